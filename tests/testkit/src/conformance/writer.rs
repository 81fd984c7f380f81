//! Whoever changes the source, and keeps the model and the history in step with it.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::backend::{Backend, Capability, lacks};
use super::history::History;
use super::model::{Model, ModelTable, State};
use super::operation::{ColumnDefinition, ColumnType, Input, Operation};
use super::replica::SELECTED;

const OPERATION_SHOWN_CHARS: usize = 300;
/// Keys are chosen below this, so that they meet again.
const KEYS_MAX: i64 = 5_000;

pub(super) struct Writer<B> {
    backend: Arc<B>,
    history: Arc<History>,
    pub(super) model: Model,
    pub(super) random: StdRng,
}

impl<B: Backend> Writer<B> {
    pub(super) fn new(backend: Arc<B>, history: Arc<History>, seed: u64) -> Self {
        Self { backend, history, model: Model::default(), random: StdRng::seed_from_u64(seed) }
    }

    /// What the selected tables hold.
    pub(super) fn state(&self) -> State {
        self.model.state(|name| name.starts_with(SELECTED), |kind, input| self.backend.delivered(kind, input))
    }

    /// What they held after each transaction, the newest last.
    pub(super) fn states(&self) -> Vec<State> {
        self.history.states()
    }

    /// Executes a transaction.
    pub(super) async fn execute(&mut self, operations: Vec<Operation>) {
        operations.iter().for_each(|operation| self.model.apply(operation));
        self.commit(operations).await;
    }

    pub(super) async fn execute_one(&mut self, operation: Operation) {
        self.execute(vec![operation]).await;
    }

    /// Executes operations that the model has seen already.
    async fn commit(&mut self, operations: Vec<Operation>) {
        // Noted before, as the connector may deliver it before we hear of its end.
        self.history.push(self.state());
        // Shown by the test runner when the case fails.
        for operation in &operations {
            let text: String = operation.to_string().chars().take(OPERATION_SHOWN_CHARS).collect();
            println!("  {text}");
        }
        if operations.len() > 1 {
            println!("  (one transaction of {})", operations.len());
        }
        self.backend.execute(&operations).await.expect("the source does what is possible");
    }

    /// A table with a key of one column, `id`, a text that may be NULL, and two integers of which one may.
    pub(super) async fn create_keyed(&mut self, table: &str) {
        self.execute_one(keyed(table)).await;
    }

    /// A table with a key of an integer and a text.
    pub(super) async fn create_composite(&mut self, table: &str) {
        let columns = vec![
            ColumnDefinition::required("p", ColumnType::Integer),
            ColumnDefinition::required("q", ColumnType::Text(10)),
            ColumnDefinition::nullable("c", ColumnType::Text(40)),
        ];
        let key = vec!["p".to_owned(), "q".to_owned()];
        self.execute_one(Operation::CreateTable { table: table.to_owned(), columns, key }).await;
    }

    /// A table without a key, few of whose rows differ.
    pub(super) async fn create_keyless(&mut self, table: &str) {
        let columns = vec![
            ColumnDefinition::nullable("x", ColumnType::Integer),
            ColumnDefinition::nullable("y", ColumnType::Text(20)),
        ];
        self.execute_one(Operation::CreateTable { table: table.to_owned(), columns, key: Vec::new() }).await;
    }

    /// Adds so many rows in one statement.
    pub(super) async fn insert(&mut self, table: &str, rows: usize) {
        let operation = self.insertion(table, rows);
        self.commit(vec![operation]).await;
    }

    /// A random transaction on these tables: one to four row changes, or one where the source has no transactions.
    pub(super) async fn change(&mut self, tables: &[&str]) {
        let count = if lacks::<B>(Capability::Transactions).is_some() { 1 } else { self.random.random_range(1..=4) };
        let mut operations = Vec::new();
        for _ in 0..count {
            let table = tables.choose(&mut self.random).expect("there are tables");
            operations.push(self.row_change(table));
        }
        self.commit(operations).await;
    }

    pub(super) async fn change_often(&mut self, tables: &[&str], times: usize) {
        for _ in 0..times {
            self.change(tables).await;
        }
    }

    /// A random change of rows, which the model has seen.
    fn row_change(&mut self, table: &str) -> Operation {
        let content = self.model.table(table);
        let roll = self.random.random_range(0..100);
        if content.rows.is_empty() || roll < 40 {
            let rows = self.random.random_range(1..4);
            return self.insertion(table, rows);
        }
        let row = content.rows.choose(&mut self.random).expect("not empty");
        let name = content.row_name(row);
        let operation = if roll < 60 {
            Operation::Delete { table: table.to_owned(), row: name }
        } else {
            let new = new_row(content, &mut self.random);
            let is_key = |column: &ColumnDefinition| content.key.contains(&column.name);
            let changed: Vec<(String, Input)> = content
                .columns
                .iter()
                .zip(new)
                .filter(|(column, _)| is_key(column) == (roll > 95 && !content.key.is_empty()))
                .filter(|_| self.random.random_bool(0.7))
                .map(|(column, value)| (column.name.clone(), value))
                .collect();
            match free_key(content, row, &changed) {
                true => Operation::Update { table: table.to_owned(), row: name, set: changed },
                false => Operation::Delete { table: table.to_owned(), row: name },
            }
        };
        self.model.apply(&operation);
        operation
    }

    /// New rows, which the model has seen.
    fn insertion(&mut self, table: &str, rows: usize) -> Operation {
        let content = self.model.table(table);
        let mut new: Vec<Vec<Input>> = Vec::with_capacity(rows);
        let mut used: std::collections::HashSet<String> =
            content.rows.iter().map(|row| format!("{:?}", content.row_name(row))).collect();
        while new.len() < rows {
            let row = new_row(content, &mut self.random);
            if content.key.is_empty() || used.insert(format!("{:?}", content.row_name(&row))) {
                new.push(row);
            }
        }
        let operation = Operation::Insert { table: table.to_owned(), rows: new };
        self.model.apply(&operation);
        operation
    }
}

/// The operation behind [`Writer::create_keyed`].
pub(super) fn keyed(table: &str) -> Operation {
    let columns = vec![
        ColumnDefinition::required("id", ColumnType::Integer),
        ColumnDefinition::required("n", ColumnType::Integer),
        ColumnDefinition::nullable("a", ColumnType::Integer),
        ColumnDefinition::nullable("b", ColumnType::Text(40)),
    ];
    Operation::CreateTable { table: table.to_owned(), columns, key: vec!["id".to_owned()] }
}

/// Whether an update leaves the keys unique, and sets anything.
fn free_key(table: &ModelTable, row: &[Input], set: &[(String, Input)]) -> bool {
    let value_after = |name: &str| {
        let new = set.iter().find(|(column, _)| column == name).map(|(_, value)| value);
        new.unwrap_or(&row[table.column(name)]).clone()
    };
    let key: Vec<Input> = table.key.iter().map(|name| value_after(name)).collect();
    let is_taken = |other: &Vec<Input>| {
        let others: Vec<Input> = table.key.iter().map(|name| other[table.column(name)].clone()).collect();
        others == key && other.as_slice() != row
    };
    !set.is_empty() && (table.key.is_empty() || !table.rows.iter().any(is_taken))
}

fn new_row(table: &ModelTable, random: &mut StdRng) -> Vec<Input> {
    let value = |column: &ColumnDefinition| {
        let is_key = table.key.contains(&column.name);
        if column.nullable && random.random_bool(0.15) {
            return Input::Null;
        }
        match &column.kind {
            ColumnType::Integer if is_key => Input::Integer(random.random_range(1..KEYS_MAX)),
            ColumnType::Integer if table.key.is_empty() => Input::Integer(random.random_range(0..3)),
            ColumnType::Integer => Input::Integer(random.random_range(-1_000..1_000)),
            ColumnType::LongInteger if is_key => Input::Integer(random.random_range(1..KEYS_MAX)),
            ColumnType::LongInteger => Input::Integer(random.random_range(-(1_i64 << 60)..(1_i64 << 60))),
            ColumnType::Text(_) if is_key => Input::text(format!("k{}", random.random_range(0..20))),
            ColumnType::Text(_) => text(random),
            ColumnType::Native(kind) => panic!("rows of type {kind} aren't made at random"),
        }
    };
    table.columns.iter().map(value).collect()
}

pub(super) fn text(random: &mut StdRng) -> Input {
    let words = ["a", "Zürich", "x y", "0", "NULL", "ŧ→", "1e5", "café"];
    let word = words.choose(random).expect("not empty");
    Input::text(if random.random_bool(0.5) {
        (*word).to_owned()
    } else {
        format!("{word}{}", random.random_range(0..9))
    })
}
