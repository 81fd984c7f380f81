//! The oracle: random rows, schema changes, stops, kills and cuts; at every checkpoint the live tables hold what the
//! source held, and whenever all is quiet everything is equal.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;
use rand::seq::IndexedRandom;

use crate::conformance::backend::Capability;
use crate::conformance::replica::SELECTED;
use crate::conformance::scene::{has, number};
use crate::conformance::{Backend, ColumnDefinition, ColumnType, Input, Operation, Scene};

const SECONDS: u64 = 15;
const TABLES_MAX: usize = 6;

/// Lives one after another until the time is over, each on a source and with a seed of its own.
pub async fn random_lives_end_equal<B: Backend>(first: Scene<B>) {
    let end = Instant::now() + Duration::from_secs(number("MILLSTREAM_ORACLE_SECONDS").unwrap_or(SECONDS));
    let is_replay = number("MILLSTREAM_ORACLE_SEED").is_some();
    let mut seed = first.seed;
    let mut scene = first;
    let mut lived = 0;
    loop {
        println!("{} oracle: seed {seed} (replay: MILLSTREAM_ORACLE_SEED={seed})", B::NAME);
        live(scene, end).await;
        lived += 1;
        seed += 1;
        if is_replay || Instant::now() > end {
            println!("{} oracle: {lived} lives, no difference", B::NAME);
            return;
        }
        scene = Scene::on(Arc::new(B::start(&[]).await.expect("the back-end starts")), seed);
    }
}

async fn live<B: Backend>(mut scene: Scene<B>, end: Instant) {
    scene.writer.create_keyed("t0").await;
    if has::<B>(Capability::CompositeKeys) {
        scene.writer.create_composite("t1").await;
    }
    if has::<B>(Capability::TablesWithoutKey) {
        scene.writer.create_keyless("t2").await;
    }
    let rounds = scene.writer.random.random_range(2..5);
    for round in 0..rounds {
        if round > 0 && Instant::now() > end {
            break;
        }
        for _ in 0..scene.writer.random.random_range(0..6) {
            change_something(&mut scene).await;
        }
        if !scene.replica.is_running() {
            scene.replica.start();
        }
        for _ in 0..scene.writer.random.random_range(5..40) {
            change_something(&mut scene).await;
            disturb(&mut scene).await;
        }
        scene.replica.settle().await;
        scene.replica.verify().await;
        scene.is_renamed = false;
        match scene.writer.random.random_range(0..3) {
            0 => scene.replica.stop().await,
            1 => scene.replica.kill(true).await,
            _ => {}
        }
    }
}

async fn disturb<B: Backend>(scene: &mut Scene<B>) {
    match scene.writer.random.random_range(0..60) {
        0 => {
            let keep = scene.writer.random.random_bool(0.5);
            scene.replica.kill(keep).await;
            scene.replica.start();
        }
        1 => {
            if let Some(proxy) = scene.backend.proxy() {
                proxy.cut_all();
            }
        }
        2..20 => {
            let pause = Duration::from_millis(scene.writer.random.random_range(0..60));
            tokio::time::sleep(pause).await;
        }
        _ => {}
    }
}

async fn change_something<B: Backend>(scene: &mut Scene<B>) {
    if scene.writer.random.random_bool(0.2)
        && let Some(operation) = schema_change(scene)
    {
        if matches!(operation, Operation::RenameTable { .. } | Operation::SwapTables { .. })
            && !has::<B>(Capability::RenamesInLog)
            && std::mem::replace(&mut scene.is_renamed, true)
        {
            // One that takes back another is seen only by whoever has seen the other.
            if !scene.replica.is_running() {
                return;
            }
            scene.replica.until_current().await;
        }
        scene.writer.execute_one(operation).await;
        return;
    }
    let tables: Vec<String> = scene.writer.model.tables.keys().cloned().collect();
    if tables.is_empty() {
        scene.writer.create_keyed("t0").await;
        return;
    }
    let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
    scene.writer.change(&tables).await;
}

/// A schema change that the source can do now; `None` if the one that came up isn't possible.
fn schema_change<B: Backend>(scene: &mut Scene<B>) -> Option<Operation> {
    let writer = &mut scene.writer;
    let tables: Vec<String> = writer.model.tables.keys().cloned().collect();
    let table = tables.choose(&mut writer.random)?.clone();
    let new_name = match writer.random.random_range(0..8) {
        number @ 0..7 => format!("{SELECTED}{number}"),
        _ => "hidden".to_owned(),
    };
    let is_free = !tables.contains(&new_name);
    let content = writer.model.table(&table);
    let spare: Vec<&ColumnDefinition> =
        content.columns.iter().filter(|column| !content.key.contains(&column.name)).collect();
    let spare = spare.choose(&mut writer.random).map(|column| (*column).clone());
    let new_column = format!("c{}", writer.random.random_range(0..6));
    let column_is_free = !content.columns.iter().any(|column| column.name == new_column);
    let kind = match writer.random.random_range(0..3) {
        0 => ColumnType::Integer,
        1 => ColumnType::LongInteger,
        _ => ColumnType::Text(30),
    };
    let default = if kind == ColumnType::Text(30) { Input::text("filled") } else { Input::Integer(7) };
    let added = ColumnDefinition::nullable(&new_column, kind);
    let keeps_columns = content.columns.len() > content.key.len() + 1 && content.columns.len() > 2;
    let possible = |capability: Capability| has::<B>(capability).then_some(());
    Some(match writer.random.random_range(0..13) {
        0..2 => {
            possible(Capability::AddColumn).filter(|()| column_is_free)?;
            Operation::AddColumn { table, column: added }
        }
        2..4 => {
            possible(Capability::AddColumnWithDefault).filter(|()| column_is_free)?;
            Operation::AddColumn { table, column: ColumnDefinition { default: Some(default), ..added } }
        }
        4 => {
            possible(Capability::DropColumn).filter(|()| keeps_columns)?;
            Operation::DropColumn { table, column: spare?.name }
        }
        5 => {
            possible(Capability::RenameColumn).filter(|()| column_is_free)?;
            Operation::RenameColumn { table, from: spare?.name, to: new_column }
        }
        6 => {
            possible(Capability::RetypeColumn)?;
            let column = spare?;
            let kind = match column.kind {
                ColumnType::Integer => ColumnType::LongInteger,
                ColumnType::LongInteger => ColumnType::Text(30),
                ColumnType::Text(chars) if chars < 200 => ColumnType::Text(chars + 20),
                _ => return None,
            };
            Operation::RetypeColumn { table, column: ColumnDefinition { kind, default: None, ..column } }
        }
        7 => {
            possible(Capability::Truncate)?;
            Operation::Truncate { table }
        }
        8 => {
            possible(Capability::RenameTable).filter(|()| is_free)?;
            Operation::RenameTable { from: table, to: new_name }
        }
        9 => {
            possible(Capability::SwapTables)?;
            let other = tables.iter().find(|other| **other != table)?.clone();
            Operation::SwapTables { left: table, right: other }
        }
        10 => Operation::DropTable { table },
        _ => {
            let room = tables.len() < TABLES_MAX && is_free;
            room.then(|| crate::conformance::writer::keyed(&new_name))?
        }
    })
}
