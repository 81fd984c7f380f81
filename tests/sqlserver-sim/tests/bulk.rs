//! Bulk loads and table-valued parameters, through tiberius and python-tds.

use tiberius::{IntoRow, SqlBulkCopyOption, TokenRow};

use crate::client::{Tiberius, connect, start};
use crate::programs::{get, python};

async fn run(client: &mut Tiberius, sql: &str) {
    client.simple_query(sql).await.unwrap().into_results().await.unwrap();
}

async fn text(client: &mut Tiberius, sql: &str) -> String {
    let row = client.simple_query(sql).await.unwrap().into_row().await.unwrap().unwrap();
    row.get::<&str, _>(0).unwrap().to_owned()
}

#[tokio::test]
async fn tiberius_loads_rows_in_bulk() {
    let sim = start();
    let mut client = connect(&sim).await;
    run(
        &mut client,
        "CREATE TABLE t (id int IDENTITY PRIMARY KEY, name nvarchar(40), n int CHECK (n < 100), d decimal(10,2), old ntext, big nvarchar(max))",
    )
    .await;
    let names: Vec<String> = (0..5000).map(|n| format!("größe {n}")).collect();
    let mut load = client.bulk_insert("t").await.unwrap();
    for (n, name) in names.iter().enumerate() {
        let n = i32::try_from(n).unwrap();
        let d = tiberius::numeric::Numeric::new_with_scale(i128::from(n) * 100 + 25, 2);
        let row = (Some(name.as_str()), Some(n), Some(d), None::<&str>, Some("x"));
        load.send(row.into_row()).await.unwrap();
    }
    assert_eq!(load.finalize().await.unwrap().total(), 5000);
    let seen = "SELECT CONCAT(COUNT(*), ' ', MIN(id), ' ', MAX(id), ' ', SUM(n), ' ', SUM(d), ' ', MAX(name)) FROM t WHERE old IS NULL AND big = 'x'";
    assert_eq!(text(&mut client, seen).await, "5000 1 5000 12497500 12498750.00 größe 999");
}

#[tokio::test]
async fn options_of_a_bulk_load_are_kept() {
    let sim = start();
    let mut client = connect(&sim).await;
    run(
        &mut client,
        "CREATE TABLE t (id int IDENTITY PRIMARY KEY, n int DEFAULT 7 CHECK (n < 100)); CREATE TABLE log (n int)",
    )
    .await;
    run(&mut client, "CREATE TRIGGER tr ON t AFTER INSERT AS INSERT INTO log SELECT COUNT(*) FROM inserted").await;
    // Without options NULL takes the default, nothing is checked, and no trigger fires.
    let mut load = client.bulk_insert_columns("t", &["n"]).await.unwrap();
    for n in [None, Some(200_i32)] {
        load.send(n.into_row()).await.unwrap();
    }
    load.finalize().await.unwrap();
    let seen = "SELECT CONCAT((SELECT STRING_AGG(CONCAT(id, '=', n), ',') FROM t), ' ', (SELECT COUNT(*) FROM log))";
    assert_eq!(text(&mut client, seen).await, "1=7,2=200 0");
    let options = SqlBulkCopyOption::KeepIdentity
        | SqlBulkCopyOption::KeepNulls
        | SqlBulkCopyOption::FireTriggers
        | SqlBulkCopyOption::CheckConstraints;
    let mut load = client.bulk_insert_with_options("t", &["*"], options, &[]).await.unwrap();
    load.send((40, None::<i32>).into_row()).await.unwrap();
    load.finalize().await.unwrap();
    assert_eq!(
        text(
            &mut client,
            "SELECT CONCAT(MAX(id), (SELECT COUNT(*) FROM t WHERE n IS NULL), (SELECT MAX(n) FROM log)) FROM t"
        )
        .await,
        "4011"
    );
    let mut load = client.bulk_insert_with_options("t", &["n"], options, &[]).await.unwrap();
    load.send(Some(500_i32).into_row()).await.unwrap();
    let refused = load.finalize().await.unwrap_err();
    assert!(refused.to_string().contains("CHECK"), "{refused}");
    assert_eq!(text(&mut client, "SELECT CONCAT(COUNT(*), '') FROM t").await, "3");
}

#[tokio::test]
async fn a_bulk_load_is_part_of_the_transaction_and_captured() {
    let sim = start();
    let mut client = connect(&sim).await;
    sim.run_script(
        "CREATE DATABASE shop;\nGO\nUSE shop;\nEXEC sys.sp_cdc_enable_db;\nCREATE TABLE t (id int PRIMARY KEY);\nEXEC sys.sp_cdc_enable_table @source_schema = 'dbo', @source_name = 't', @role_name = NULL;",
    )
    .unwrap();
    run(&mut client, "USE shop").await;
    for (end, first) in [("ROLLBACK", 1), ("COMMIT", 11)] {
        run(&mut client, "BEGIN TRAN").await;
        let mut load = client.bulk_insert("t").await.unwrap();
        for id in first..first + 3 {
            let mut row = TokenRow::new();
            row.push(tiberius::ColumnData::I32(Some(id)));
            load.send(row).await.unwrap();
        }
        load.finalize().await.unwrap();
        run(&mut client, end).await;
    }
    assert_eq!(sim.control().scan("shop").unwrap().rows, 3);
    let changes = "SELECT STRING_AGG(CONCAT(id, ':', __$operation), ',') FROM cdc.dbo_t_CT";
    assert_eq!(text(&mut client, changes).await, "11:2,12:2,13:2");
}

const PYTDS: &str = r#"
import sys, pytds
c = pytds.connect('127.0.0.1', user='sa', password=sys.argv[2], port=int(sys.argv[1]), database='master', autocommit=True)
cur = c.cursor()
cur.execute('CREATE TABLE t (id int, name nvarchar(20))')
cur.copy_to(data=[(1, 'größe'), (2, None)], table_or_view='t', schema='dbo',
            columns=[pytds.Column('id', type=pytds.tds_types.IntType()), pytds.Column('name', type=pytds.tds_types.NVarCharType(size=20))])
cur.execute('SELECT id, name FROM t ORDER BY id')
print([tuple(row) for row in cur.fetchall()])
cur.execute('CREATE TYPE dbo.pairs AS TABLE (id int, name nvarchar(20))')
cur.execute('CREATE PROCEDURE p @rows dbo.pairs READONLY AS SELECT COUNT(*), SUM(id), MAX(name) FROM @rows')
cur.callproc('p', (pytds.TableValuedParam(type_name='dbo.pairs', columns=(
    pytds.Column('id', type=pytds.tds_types.IntType()), pytds.Column('name', type=pytds.tds_types.NVarCharType(size=20))),
    rows=[(5, 'a'), (6, 'b')]),))
print([tuple(row) for row in cur.fetchall()])
"#;

#[test]
fn python_tds_loads_rows_and_passes_tables() {
    let Some(program) = get("get-python") else { return };
    assert_eq!(python(&program, &start(), PYTDS), "[(1, 'größe'), (2, None)]\n[(2, 11, 'b')]\n");
}
