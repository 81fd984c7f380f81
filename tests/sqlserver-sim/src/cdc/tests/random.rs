//! Random work on a captured table, and what change tables then tell of it.
//!
//! A run prints its seed; `SQLSERVER_SIM_SEED` gives it again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{Harness, insert, update};
use crate::engine::session::Isolation;
use crate::error::SqlResult;
use crate::storage::{
    Alteration, Column, ColumnId, Ddl, ReadRequest, Row, RowId, Table, Transaction, UpdateManner, Visibility,
};
use crate::value::{SqlType, Value};

const STEPS: usize = 400;
const KEYS: i32 = 12;

fn seed() -> u64 {
    let given = std::env::var("SQLSERVER_SIM_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| rand::rng().random());
    eprintln!("SQLSERVER_SIM_SEED={seed}");
    seed
}

/// One random statement; errors of keys are part of the game.
fn statement(harness: &Harness, transaction: &mut Transaction, table: &Table, random: &mut StdRng) -> SqlResult<()> {
    let table = Arc::clone(transaction.catalog(harness.database)?.table(table.object_id).expect("the table"));
    let request = ReadRequest::all(harness.database, Arc::clone(&table)).visible(Visibility::Current);
    let rows = transaction.read_all(&request)?;
    let fresh = |random: &mut StdRng, id: i32| {
        let mut values = vec![Value::Null; table.row_width()];
        for column in &table.columns {
            values[column.slot().unwrap()] = match (column.column_id.0, column.sql_type) {
                (1, _) => Value::Int(id),
                (_, SqlType::BigInt) => Value::BigInt(random.random_range(0..3)),
                (_, SqlType::Int) => Value::Int(random.random_range(0..3)),
                _ => Value::text(["a", "A", "b"][random.random_range(0..3)]),
            };
        }
        Row::from(values)
    };
    match random.random_range(0..10) {
        0..4 => {
            let id = random.random_range(0..KEYS);
            let row = fresh(random, id);
            insert(harness, transaction, &table, &[&row]).map(drop)
        }
        4..8 => {
            let shift = if random.random_bool(0.3) { random.random_range(1..4) } else { 0 };
            let manner = if random.random_bool(0.2) { UpdateManner::Deferred } else { UpdateManner::InPlace };
            let chosen: Vec<(RowId, Row)> = rows
                .iter()
                .filter(|_| random.random_bool(0.4))
                .map(|(id, row)| (*id, i32::try_from(row[0].as_integer().unwrap()).unwrap() + shift))
                .collect::<Vec<_>>()
                .into_iter()
                .map(|(id, key)| (id, fresh(random, key)))
                .collect();
            let chosen: Vec<(RowId, &[Value])> = chosen.iter().map(|(id, row)| (*id, &**row)).collect();
            update(harness, transaction, &table, &chosen, manner)
        }
        _ => {
            let chosen: Vec<RowId> = rows.iter().filter(|_| random.random_bool(0.3)).map(|(id, _)| *id).collect();
            transaction.delete(harness.database, &table, &chosen)
        }
    }
}

fn alteration(harness: &Harness, table: &Table, random: &mut StdRng) -> Alteration {
    let table = harness.current(table);
    let droppable: Vec<ColumnId> = table.columns.iter().skip(1).map(|column| column.column_id).collect();
    match random.random_range(0..3) {
        0 => Alteration::AddColumns(vec![Column::new(&format!("c{}", table.column_id_max), SqlType::Int)]),
        1 if droppable.len() > 1 => Alteration::DropColumns(vec![droppable[random.random_range(0..droppable.len())]]),
        _ => {
            let column = table.columns.iter().skip(1).find(|column| column.sql_type == SqlType::Int);
            match column {
                Some(column) => {
                    Alteration::AlterColumn { column: column.column_id, sql_type: SqlType::BigInt, nullable: true }
                }
                None => Alteration::AddColumns(vec![Column::new(&format!("c{}", table.column_id_max), SqlType::Int)]),
            }
        }
    }
}

/// What the instance's changes make of an empty table, by key; every change must fit what is there.
fn replay(harness: &Harness, instance: &str) -> BTreeMap<i64, Vec<Value>> {
    let mut rows: BTreeMap<i64, Vec<Value>> = BTreeMap::new();
    for (operation, values) in harness.changes(instance) {
        let key = values[0].as_integer().unwrap();
        match operation {
            1 => assert!(rows.remove(&key).is_some(), "deletes what is there"),
            2 => assert!(rows.insert(key, values).is_none(), "inserts what isn't there"),
            3 => assert!(rows.contains_key(&key), "updates what is there"),
            _ => drop(rows.insert(key, values)),
        }
    }
    rows
}

/// The table as it is, with the columns that the instance captures; dropped ones are left out of both.
fn expected(harness: &Harness, table: &Table, instance: &str) -> (Vec<usize>, BTreeMap<i64, Vec<Value>>) {
    let table = harness.current(table);
    let catalog = harness.storage.catalog(harness.database).unwrap();
    let captured = &catalog.instance_named(instance).unwrap().columns;
    let kept: Vec<usize> = (0..captured.len()).filter(|at| table.column(captured[*at].source).is_some()).collect();
    let rows = harness.rows("dbo", "t");
    let project = |row: &Row| {
        let value = |at: &usize| table.value(table.column(captured[*at].source).unwrap(), row).clone();
        (row[0].as_integer().unwrap(), kept.iter().map(value).collect())
    };
    let rows = rows.iter().map(project).collect();
    (kept, rows)
}

#[test]
fn change_tables_replay_to_the_table_whatever_happens() {
    let mut random = StdRng::seed_from_u64(seed());
    let (harness, table) = Harness::with_table();
    for step in 0..STEPS {
        match random.random_range(0..20) {
            0 => {
                let alteration = alteration(&harness, &table, &mut random);
                harness.alter(&table, alteration, "ALTER").unwrap();
            }
            1..4 => drop(harness.control().scan_cycle("shop", random.random_range(1..5)).unwrap()),
            _ => {
                let mut transaction = harness.begin(Isolation::ReadCommitted);
                for _ in 0..random.random_range(1..5) {
                    let savepoint = transaction.savepoint();
                    let failed = statement(&harness, &mut transaction, &table, &mut random).is_err();
                    if failed || random.random_bool(0.1) {
                        transaction.rollback_to(&savepoint);
                    }
                }
                if random.random_bool(0.1) {
                    let ddl = Ddl { command: "ALTER", by_owner: true };
                    let added = Alteration::AddColumns(vec![Column::new(&format!("s{step}"), SqlType::Int)]);
                    transaction.alter_table(harness.database, table.object_id, vec![added], &ddl).unwrap();
                    statement(&harness, &mut transaction, &table, &mut random).ok();
                }
                if random.random_bool(0.8) {
                    transaction.commit().unwrap();
                } else {
                    transaction.rollback();
                }
            }
        }
    }
    harness.scan();
    let (kept, rows) = expected(&harness, &table, "dbo_t");
    let replayed: BTreeMap<i64, Vec<Value>> = replay(&harness, "dbo_t")
        .into_iter()
        .map(|(key, values)| (key, kept.iter().map(|at| values[*at].clone()).collect()))
        .collect();
    assert_eq!(replayed, rows);
}

/// Money goes between the rows of two captured tables while the log is scanned and readers look.
#[test]
fn readers_see_whole_transactions_while_writers_and_the_scan_go_on() {
    const ROWS: i32 = 8;
    const TRANSFERS: usize = 150;
    let seed = seed();
    let (harness, first) = Harness::with_table();
    let second = harness.table("u");
    harness.enable("u", None);
    harness
        .step(|transaction| {
            transaction.edit_catalog(harness.database, |catalog| {
                catalog.options.allow_snapshot_isolation = true;
                Ok(())
            })
        })
        .unwrap();
    let accounts: Vec<Vec<Value>> = (0..ROWS).map(|id| super::row(id, "a", 100)).collect();
    let slices: Vec<&[Value]> = accounts.iter().map(Vec::as_slice).collect();
    harness.insert(&first, &slices);
    harness.insert(&second, &slices);
    let harness = Arc::new(harness);
    let done = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let (harness, tables) = (Arc::clone(&harness), [Arc::clone(&first), Arc::clone(&second)]);
            std::thread::spawn(move || {
                let mut random = StdRng::seed_from_u64(seed.wrapping_add(writer));
                (0..TRANSFERS).filter(|_| transfer(&harness, &tables, &mut random, ROWS).is_ok()).count()
            })
        })
        .collect();
    let scanner = {
        let (harness, done) = (Arc::clone(&harness), Arc::clone(&done));
        std::thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                harness.control().scan_cycle("shop", 7).unwrap();
            }
        })
    };
    for _ in 0..30 {
        let mut reader = harness.begin(Isolation::Snapshot);
        assert_eq!(total(&harness, &mut reader, &[&first, &second]), i64::from(ROWS) * 200);
    }
    let done_transfers: usize = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
    done.store(true, Ordering::Relaxed);
    scanner.join().unwrap();
    assert!(done_transfers > 0);
    harness.scan();
    let sum: i64 = ["dbo_t", "dbo_u"]
        .iter()
        .flat_map(|instance| replay(&harness, instance).into_values())
        .map(|row| row[2].as_integer().unwrap())
        .sum();
    assert_eq!(sum, i64::from(ROWS) * 200);
}

fn total(harness: &Harness, reader: &mut Transaction, tables: &[&Arc<Table>]) -> i64 {
    let mut sum = 0;
    for table in tables {
        let rows = reader.read_all(&ReadRequest::all(harness.database, Arc::clone(table))).unwrap();
        sum += rows.iter().map(|(_, row)| row[2].as_integer().unwrap()).sum::<i64>();
    }
    sum
}

fn transfer(harness: &Harness, tables: &[Arc<Table>; 2], random: &mut StdRng, rows: i32) -> SqlResult<()> {
    let mut transaction = harness.begin(Isolation::ReadCommitted);
    for (table, amount) in [(random.random_range(0..2), 1), (random.random_range(0..2), -1)] {
        let table = &tables[table];
        let key = random.random_range(0..rows);
        let range = crate::storage::KeyRange::prefix(vec![Value::Int(key)]);
        let request = ReadRequest::all(harness.database, Arc::clone(table))
            .range(crate::storage::IndexId::CLUSTERED, range)
            .visible(Visibility::Current);
        let (id, row) = transaction.read_first(&request)?.expect("the account");
        let row = match transaction.lock_rows(harness.database, table, &[(id, row.clone())])?.first() {
            Some(changed) => transaction.row(harness.database, table, *changed)?.expect("the account"),
            None => row,
        };
        let balance = i32::try_from(row[2].as_integer().unwrap()).unwrap() + amount;
        let changed = [row[0].clone(), row[1].clone(), Value::Int(balance)];
        update(harness, &mut transaction, table, &[(id, &changed)], UpdateManner::InPlace)?;
    }
    transaction.commit()
}
