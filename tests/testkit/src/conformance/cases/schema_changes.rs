//! Schema changes: each kind by itself, with what it may cost, while the source is followed and while it isn't.

use std::time::Duration;

use rand::Rng;

use millstream_core::schema_change::Effect;

use crate::conformance::backend::Capability;
use crate::conformance::model::State;
use crate::conformance::replica::SELECTED;
use crate::conformance::scene::has;
use crate::conformance::writer::keyed;
use crate::conformance::{Backend, ColumnDefinition, ColumnType, Input, Operation, Scene};

/// A kind of schema change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    TableCreated,
    TableDropped,
    TableDroppedAndCreatedAgain,
    TableTruncated,
    TableRenamedAway,
    TableRenamedIntoView,
    TablesSwapped,
    ColumnAdded,
    ColumnAddedWithADefault,
    ColumnDropped,
    ColumnDroppedAndAddedAgain,
    ColumnRenamed,
    ColumnMadeWider,
    ColumnMadeText,
    KeyChanged,
}

impl Change {
    const ALL: [Change; 15] = [
        Change::TableCreated,
        Change::TableDropped,
        Change::TableDroppedAndCreatedAgain,
        Change::TableTruncated,
        Change::TableRenamedAway,
        Change::TableRenamedIntoView,
        Change::TablesSwapped,
        Change::ColumnAdded,
        Change::ColumnAddedWithADefault,
        Change::ColumnDropped,
        Change::ColumnDroppedAndAddedAgain,
        Change::ColumnRenamed,
        Change::ColumnMadeWider,
        Change::ColumnMadeText,
        Change::KeyChanged,
    ];

    fn needs(self) -> &'static [Capability] {
        match self {
            Change::TableCreated | Change::TableDropped | Change::TableDroppedAndCreatedAgain => &[],
            Change::TableTruncated => &[Capability::Truncate],
            Change::TableRenamedAway | Change::TableRenamedIntoView => &[Capability::RenameTable],
            Change::TablesSwapped => &[Capability::SwapTables],
            Change::ColumnAdded => &[Capability::AddColumn],
            Change::ColumnAddedWithADefault => &[Capability::AddColumnWithDefault],
            Change::ColumnDropped => &[Capability::DropColumn],
            Change::ColumnDroppedAndAddedAgain => &[Capability::AddColumn, Capability::DropColumn],
            Change::ColumnRenamed => &[Capability::RenameColumn],
            Change::ColumnMadeWider | Change::ColumnMadeText => &[Capability::RetypeColumn],
            Change::KeyChanged => &[Capability::ChangeKey],
        }
    }

    /// Whether the source can do it.
    pub fn is_possible<B: Backend>(self) -> bool {
        self.needs().iter().all(|need| has::<B>(*need))
    }

    /// What does it to a keyed table, each a transaction of its own. `t_other` and `hidden` are tables of the same
    /// shape.
    pub fn operations(self, table: &str) -> Vec<Operation> {
        let table = table.to_owned();
        let (left, right) = (table.clone(), "t_other".to_owned());
        let column = |name: &str| ColumnDefinition::nullable(name, ColumnType::Text(20));
        let default = |column: ColumnDefinition| ColumnDefinition { default: Some(Input::text("new")), ..column };
        let b = || "b".to_owned();
        match self {
            Change::TableCreated => vec![keyed("t_new")],
            Change::TableDropped => vec![Operation::DropTable { table }],
            Change::TableDroppedAndCreatedAgain => vec![Operation::DropTable { table }, keyed(&left)],
            Change::TableTruncated => vec![Operation::Truncate { table }],
            Change::TableRenamedAway => vec![Operation::RenameTable { from: table, to: "gone".to_owned() }],
            Change::TableRenamedIntoView => {
                vec![Operation::RenameTable { from: "hidden".to_owned(), to: "t_shown".to_owned() }]
            }
            Change::TablesSwapped => vec![Operation::SwapTables { left, right }],
            Change::ColumnAdded => vec![Operation::AddColumn { table, column: column("added") }],
            Change::ColumnAddedWithADefault => vec![Operation::AddColumn { table, column: default(column("filled")) }],
            Change::ColumnDropped => vec![Operation::DropColumn { table, column: "a".to_owned() }],
            Change::ColumnDroppedAndAddedAgain => vec![
                Operation::DropColumn { table, column: b() },
                Operation::AddColumn { table: left, column: ColumnDefinition::nullable("b", ColumnType::Text(40)) },
            ],
            Change::ColumnRenamed => vec![Operation::RenameColumn { table, from: b(), to: "renamed".to_owned() }],
            Change::ColumnMadeWider => {
                vec![Operation::RetypeColumn { table, column: ColumnDefinition::nullable("b", ColumnType::Text(80)) }]
            }
            Change::ColumnMadeText => {
                vec![Operation::RetypeColumn { table, column: ColumnDefinition::nullable("a", ColumnType::Text(20)) }]
            }
            Change::KeyChanged => {
                vec![Operation::ChangeKey { table, key: vec!["id".to_owned(), "n".to_owned()] }]
            }
        }
    }

    /// What it may require, of which the sink's history must show something; no less would keep the promise.
    fn effects(self) -> &'static [Effect] {
        match self {
            // A table whose changes aren't captured at once is held until they are.
            Change::TableCreated => &[Effect::Keep, Effect::Load, Effect::Reconcile],
            Change::TableDropped | Change::TableRenamedAway | Change::TableTruncated => &[Effect::Remove],
            Change::TableDroppedAndCreatedAgain => &[Effect::Remove, Effect::Keep, Effect::Load, Effect::Reconcile],
            // A source whose stream shows the rows that it comes with has nothing to load.
            Change::TableRenamedIntoView => &[Effect::Load, Effect::Reconcile, Effect::Keep],
            Change::TablesSwapped => &[Effect::Reconcile],
            Change::ColumnAdded | Change::ColumnMadeWider => &[Effect::Keep, Effect::Reconcile],
            Change::ColumnAddedWithADefault => &[Effect::Reconcile, Effect::Keep],
            Change::ColumnDropped
            | Change::ColumnDroppedAndAddedAgain
            | Change::ColumnRenamed
            | Change::ColumnMadeText
            | Change::KeyChanged => &[Effect::Reconcile],
        }
    }
}

/// The tables that row changes go to: those that are there and selected.
fn present<B: Backend>(scene: &Scene<B>) -> Vec<String> {
    scene.writer.model.tables.keys().filter(|name| name.starts_with(SELECTED)).cloned().collect()
}

async fn change_rows<B: Backend>(scene: &mut Scene<B>, times: usize) {
    let tables = present(scene);
    let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
    scene.writer.change_often(&tables, times).await;
}

async fn create_tables<B: Backend>(scene: &mut Scene<B>) {
    for table in ["t", "t_other", "hidden"] {
        scene.writer.create_keyed(table).await;
        scene.writer.insert(table, 60).await;
    }
}

/// Waits until the sink is equal, and asks the connector as well.
pub async fn ready<B: Backend>(scene: &mut Scene<B>) {
    scene.replica.settle().await;
    scene.replica.verify().await;
}

/// How many rows must be written or removed to get from one state to another.
fn ops_between(before: &State, after: &State) -> u64 {
    let nothing = Default::default();
    let changed = after.iter().map(|(name, content)| content.ops_from(before.get(name).unwrap_or(&nothing)));
    let removed =
        before.iter().filter(|(name, _)| !after.contains_key(*name)).map(|(_, content)| nothing.ops_from(content));
    changed.chain(removed).sum()
}

/// While the source is followed: the change alone, so that its cost shows; then with rows before and behind it.
async fn live<B: Backend>(mut scene: Scene<B>, change: Change) {
    create_tables(&mut scene).await;
    scene.replica.start();
    ready(&mut scene).await;
    let (before, ops_before) = (scene.writer.state(), scene.replica.sink.ops_written());
    let lines_before = scene.replica.sink.history().len();
    let mut ops_needed = 0;
    let mut last = before;
    for operation in change.operations("t") {
        scene.writer.execute_one(operation).await;
        let now = scene.writer.state();
        ops_needed += ops_between(&last, &now);
        last = now;
    }
    ready(&mut scene).await;
    let history = scene.replica.sink.history();
    let effects: Vec<Effect> = history.iter().skip(lines_before).map(|entry| entry.effect).collect();
    let ops = scene.replica.sink.ops_written() - ops_before;
    println!("{change:?}: {effects:?}, {ops} ops");
    // Where what happens quickly leaves one trace, the parts of a change may have come to nothing together.
    let unnoticed = effects.is_empty() && change.operations("t").len() > 1 && !has::<B>(Capability::EveryVersion);
    let expected = effects.iter().any(|effect| change.effects().contains(effect));
    assert!(expected || unnoticed, "{change:?} had the effects {effects:?}");
    assert!(ops <= ops_needed, "{change:?} wrote {ops} ops where {ops_needed} rows differ");
    change_rows(&mut scene, 10).await;
    ready(&mut scene).await;
}

/// While the source isn't followed, with rows before and behind it; once after a clean stop, once after a kill.
async fn while_stopped<B: Backend>(mut scene: Scene<B>, change: Change) {
    create_tables(&mut scene).await;
    scene.replica.start();
    scene.replica.settle().await;
    change_rows(&mut scene, 4).await;
    if scene.writer.random.random_bool(0.5) {
        scene.replica.stop().await;
    } else {
        scene.replica.kill(true).await;
    }
    change_rows(&mut scene, 4).await;
    for operation in change.operations("t") {
        scene.writer.execute_one(operation).await;
        change_rows(&mut scene, 4).await;
    }
    scene.replica.start();
    change_rows(&mut scene, 4).await;
    ready(&mut scene).await;
}

macro_rules! changes {
    ($how:ident: $($case:ident = $change:ident),+ $(,)?) => {
        $(pub async fn $case<B: Backend>(scene: Scene<B>) {
            super::$how(scene, super::Change::$change).await;
        })+
    };
}

/// While the source is followed.
pub mod live {
    use crate::conformance::{Backend, Scene};

    changes! { live:
        table_created = TableCreated,
        table_dropped = TableDropped,
        table_dropped_and_created_again = TableDroppedAndCreatedAgain,
        table_truncated = TableTruncated,
        table_renamed_away = TableRenamedAway,
        table_renamed_into_view = TableRenamedIntoView,
        tables_swapped = TablesSwapped,
        column_added = ColumnAdded,
        column_added_with_a_default = ColumnAddedWithADefault,
        column_dropped = ColumnDropped,
        column_dropped_and_added_again = ColumnDroppedAndAddedAgain,
        column_renamed = ColumnRenamed,
        column_made_wider = ColumnMadeWider,
        column_made_text = ColumnMadeText,
        key_changed = KeyChanged,
    }
}

/// After a stop or a kill.
pub mod while_stopped {
    use crate::conformance::{Backend, Scene};

    changes! { while_stopped:
        table_created = TableCreated,
        table_dropped = TableDropped,
        table_dropped_and_created_again = TableDroppedAndCreatedAgain,
        table_truncated = TableTruncated,
        table_renamed_away = TableRenamedAway,
        table_renamed_into_view = TableRenamedIntoView,
        tables_swapped = TablesSwapped,
        column_added = ColumnAdded,
        column_added_with_a_default = ColumnAddedWithADefault,
        column_dropped = ColumnDropped,
        column_dropped_and_added_again = ColumnDroppedAndAddedAgain,
        column_renamed = ColumnRenamed,
        column_made_wider = ColumnMadeWider,
        column_made_text = ColumnMadeText,
        key_changed = KeyChanged,
    }
}

/// With row changes all the while.
pub mod under_load {
    use super::*;

    /// Every kind that the source can do, one after the other on tables of their own, each followed by a kill at a
    /// random moment.
    pub async fn all_kinds_with_kills<B: Backend>(mut scene: Scene<B>) {
        create_tables(&mut scene).await;
        scene.replica.start();
        scene.replica.settle().await;
        let possible = Change::ALL.into_iter().filter(|change| change.is_possible::<B>());
        for (number, change) in possible.enumerate() {
            let table = format!("t_{number}");
            scene.writer.create_keyed(&table).await;
            scene.writer.insert(&table, 60).await;
            change_rows(&mut scene, 5).await;
            for operation in change.operations(&table) {
                scene.writer.execute_one(operation).await;
                change_rows(&mut scene, 3).await;
            }
            tokio::time::sleep(Duration::from_millis(scene.writer.random.random_range(0..300))).await;
            scene.replica.kill(number % 2 == 0).await;
            change_rows(&mut scene, 2).await;
            scene.replica.start();
        }
        ready(&mut scene).await;
    }
}
