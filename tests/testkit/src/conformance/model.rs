//! What the source must hold, computed beside it: the suite's own opinion, which shares no code with any connector.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::operation::{ColumnDefinition, ColumnType, Input, Operation};
use super::value::{Row, Value};

/// A table of the model.
#[derive(Debug, Clone)]
pub(super) struct ModelTable {
    pub(super) columns: Vec<ColumnDefinition>,
    pub(super) key: Vec<String>,
    /// The values of all columns, as they were written.
    pub(super) rows: Vec<Vec<Input>>,
}

impl ModelTable {
    pub(super) fn column(&self, name: &str) -> usize {
        let found = self.columns.iter().position(|column| column.name == name);
        found.unwrap_or_else(|| panic!("the suite names column {name}, which isn't there"))
    }

    /// What names a row in an operation: the key's columns, or all of them where there is no key.
    pub(super) fn row_name(&self, row: &[Input]) -> Vec<(String, Input)> {
        let named = |column: &&ColumnDefinition| self.key.is_empty() || self.key.contains(&column.name);
        let columns = self.columns.iter().filter(named);
        columns.map(|column| (column.name.clone(), row[self.column(&column.name)].clone())).collect()
    }

    fn find(&self, name: &[(String, Input)]) -> usize {
        let is_it = |row: &Vec<Input>| name.iter().all(|(column, value)| row[self.column(column)] == *value);
        let found = self.rows.iter().position(is_it);
        found.unwrap_or_else(|| panic!("the suite names a row {name:?}, which isn't there"))
    }
}

/// All tables, now.
#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    pub(super) tables: BTreeMap<String, ModelTable>,
}

impl Model {
    pub(super) fn table(&self, name: &str) -> &ModelTable {
        self.tables.get(name).unwrap_or_else(|| panic!("the suite names table {name}, which isn't there"))
    }

    fn table_mut(&mut self, name: &str) -> &mut ModelTable {
        self.tables.get_mut(name).unwrap_or_else(|| panic!("the suite names table {name}, which isn't there"))
    }

    fn take(&mut self, name: &str) -> ModelTable {
        self.tables.remove(name).unwrap_or_else(|| panic!("the suite names table {name}, which isn't there"))
    }

    pub(super) fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::CreateTable { table, columns, key } => {
                let new = ModelTable { columns: columns.clone(), key: key.clone(), rows: Vec::new() };
                assert!(self.tables.insert(table.clone(), new).is_none(), "table {table} is there already");
            }
            Operation::DropTable { table } => drop(self.take(table)),
            Operation::Truncate { table } => self.table_mut(table).rows.clear(),
            Operation::RenameTable { from, to } => {
                let table = self.take(from);
                self.tables.insert(to.clone(), table);
            }
            Operation::SwapTables { left, right } => {
                let (one, other) = (self.take(left), self.take(right));
                self.tables.extend([(left.clone(), other), (right.clone(), one)]);
            }
            Operation::Insert { table, rows } => self.table_mut(table).rows.extend(rows.iter().cloned()),
            Operation::Update { table, row, set } => {
                let table = self.table_mut(table);
                let index = table.find(row);
                for (column, value) in set {
                    let column = table.column(column);
                    table.rows[index][column] = value.clone();
                }
            }
            Operation::Delete { table, row } => {
                let table = self.table_mut(table);
                let index = table.find(row);
                table.rows.remove(index);
            }
            Operation::AddColumn { .. }
            | Operation::DropColumn { .. }
            | Operation::RenameColumn { .. }
            | Operation::RetypeColumn { .. }
            | Operation::ChangeKey { .. } => self.alter(operation),
        }
    }

    fn alter(&mut self, operation: &Operation) {
        match operation {
            Operation::AddColumn { table, column } => {
                let table = self.table_mut(table);
                let value = column.default.clone().unwrap_or(Input::Null);
                table.rows.iter_mut().for_each(|row| row.push(value.clone()));
                table.columns.push(column.clone());
            }
            Operation::DropColumn { table, column } => {
                let table = self.table_mut(table);
                let index = table.column(column);
                table.rows.iter_mut().for_each(|row| drop(row.remove(index)));
                table.columns.remove(index);
            }
            Operation::RenameColumn { table, from, to } => {
                let table = self.table_mut(table);
                let index = table.column(from);
                table.columns[index].name.clone_from(to);
                table.key.iter_mut().filter(|name| *name == from).for_each(|name| name.clone_from(to));
            }
            Operation::RetypeColumn { table, column } => {
                let table = self.table_mut(table);
                let index = table.column(&column.name);
                table.columns[index] = column.clone();
                if matches!(column.kind, ColumnType::Text(_)) {
                    table.rows.iter_mut().for_each(|row| row[index] = row[index].as_text());
                }
            }
            Operation::ChangeKey { table, key } => self.table_mut(table).key.clone_from(key),
            other => panic!("no alteration: {other:?}"),
        }
    }

    /// What the connector must deliver of the tables for which `wanted` is true.
    pub(super) fn state(
        &self,
        wanted: impl Fn(&str) -> bool,
        delivered: impl Fn(&ColumnType, &Input) -> Value,
    ) -> State {
        let tables = self.tables.iter().filter(|(name, _)| wanted(name));
        tables.map(|(name, table)| (name.clone(), Arc::new(TableContent::of(table, &delivered)))).collect()
    }
}

/// What the selected tables hold, by name.
pub(super) type State = BTreeMap<String, Arc<TableContent>>;

/// What one table holds. Equal rows of a table without a key are one, as they are to every sink.
#[derive(Debug, Clone, Default)]
pub struct TableContent {
    /// The rows by what names them.
    rows: BTreeMap<Vec<Value>, Row>,
    fingerprint: u64,
}

impl TableContent {
    fn of(table: &ModelTable, delivered: &impl Fn(&ColumnType, &Input) -> Value) -> Self {
        let rows = table.rows.iter().map(|row| {
            let values: Vec<Value> =
                table.columns.iter().zip(row).map(|(column, input)| delivered(&column.kind, input)).collect();
            let key = match table.key.as_slice() {
                [] => values.clone(),
                key => key.iter().map(|name| values[table.column(name)].clone()).collect(),
            };
            (key, Row::new(table.columns.iter().map(|column| column.name.clone()).zip(values)))
        });
        Self::new(rows)
    }

    pub(super) fn new(rows: impl Iterator<Item = (Vec<Value>, Row)>) -> Self {
        let rows: BTreeMap<Vec<Value>, Row> = rows.collect();
        let fingerprint = fingerprint(rows.values());
        Self { rows, fingerprint }
    }

    /// Its rows.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// The same for equal contents, and most probably for no others.
    pub(super) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// How many rows must be written or removed to make this out of `before`.
    pub(super) fn ops_from(&self, before: &TableContent) -> u64 {
        let written = self.rows.iter().filter(|(key, row)| before.rows.get(*key) != Some(row)).count();
        let removed = before.rows.keys().filter(|key| !self.rows.contains_key(*key)).count();
        (written + removed) as u64
    }
}

/// A number for a set of rows, whatever their order.
pub(super) fn fingerprint<'a>(rows: impl Iterator<Item = &'a Row>) -> u64 {
    rows.fold(0, |sum: u64, row| {
        let mut hasher = DefaultHasher::new();
        row.to_string().hash(&mut hasher);
        sum.wrapping_add(hasher.finish() | 1)
    })
}

/// The first rows that only one side has, or `None` if they are equal.
pub(super) fn difference(expected: &TableContent, found: &BTreeSet<Row>) -> Option<String> {
    const SHOWN_MAX: usize = 5;
    let wanted: BTreeSet<&Row> = expected.rows().collect();
    let missing: Vec<String> =
        wanted.iter().filter(|row| !found.contains(**row)).map(|row| format!("    missing {row}\n")).collect();
    let extra: Vec<String> =
        found.iter().filter(|row| !wanted.contains(*row)).map(|row| format!("    extra   {row}\n")).collect();
    if missing.is_empty() && extra.is_empty() {
        return None;
    }
    let shown: String = missing.iter().take(SHOWN_MAX).chain(extra.iter().take(SHOWN_MAX)).cloned().collect();
    Some(format!("{} rows missing, {} extra:\n{shown}", missing.len(), extra.len()))
}
