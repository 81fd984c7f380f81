//! What a table is made of.

use std::sync::Arc;

use crate::value::{Moment, SqlType, Value};

use super::catalog::{ObjectId, SchemaId};
use super::filter::Filter;
use super::partition::PartitionKey;
use super::rowset::Rowsets;

/// A column's number. It is given once and never again, so that it names the column for ever, through renames too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ColumnId(pub i32);

/// 1 is the clustered index; others follow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct IndexId(pub i32);

impl IndexId {
    pub const CLUSTERED: Self = Self(1);
}

/// A row's values by column number: that of column `n` is at `n - 1`. A row that is older than a column ends before it;
/// [`Table::value`] reads it rightly.
pub type Row = Arc<[Value]>;

#[derive(Clone, Debug)]
pub struct Table {
    pub object_id: ObjectId,
    pub schema_id: SchemaId,
    pub name: Arc<str>,
    pub created: Moment,
    pub modified: Moment,
    /// In the order of their numbers; dropped ones are gone.
    pub columns: Vec<Column>,
    /// The greatest number ever given to a column.
    pub column_id_max: i32,
    pub indexes: Vec<Index>,
    pub checks: Vec<Check>,
    pub foreign_keys: Vec<ForeignKey>,
    /// `is_tracked_by_cdc`: its changes are kept in the log for the capture process.
    pub tracked: bool,
    /// Of the server, not of a user: `is_ms_shipped`.
    pub system: bool,
    /// Whether it lies on a partition scheme.
    pub partitioned: bool,
    /// Which scheme that is, and by which column.
    pub partition: Option<PartitionKey>,
    pub rowsets: Rowsets,
    /// The period of its rows, where they have one.
    pub system_time: Option<SystemTime>,
    /// Whether it holds the past rows of another.
    pub is_history: bool,
}

impl Table {
    /// A table without columns. [`super::Transaction::create_table`] gives it its number and times.
    pub fn new(schema_id: SchemaId, name: &str) -> Self {
        Self {
            object_id: ObjectId(0),
            schema_id,
            name: Arc::from(name),
            created: Moment { days: 0, ticks: 0 },
            modified: Moment { days: 0, ticks: 0 },
            columns: Vec::new(),
            column_id_max: 0,
            indexes: Vec::new(),
            checks: Vec::new(),
            foreign_keys: Vec::new(),
            tracked: false,
            system: false,
            partitioned: false,
            partition: None,
            rowsets: Rowsets::default(),
            system_time: None,
            is_history: false,
        }
    }

    /// Adds a column at the end and gives it the next number.
    pub fn push_column(&mut self, mut column: Column) -> ColumnId {
        self.column_id_max += 1;
        column.column_id = ColumnId(self.column_id_max);
        let id = column.column_id;
        self.columns.push(column);
        id
    }

    pub fn column(&self, id: ColumnId) -> Option<&Column> {
        self.columns.iter().find(|column| column.column_id == id)
    }

    /// By name, without regard to case.
    pub fn column_named(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| crate::value::collation::equal(&column.name, name))
    }

    pub fn index(&self, id: IndexId) -> Option<&Index> {
        self.indexes.iter().find(|index| index.index_id == id)
    }

    pub fn index_named(&self, name: &str) -> Option<&Index> {
        self.indexes.iter().find(|index| crate::value::collation::equal(&index.name, name))
    }

    pub fn clustered(&self) -> Option<&Index> {
        self.index(IndexId::CLUSTERED)
    }

    pub fn primary_key(&self) -> Option<&Index> {
        self.indexes.iter().find(|index| matches!(index.constraint, Some(Constraint { primary: true, .. })))
    }

    /// The value of a column in a row, whichever is older.
    pub fn value<'a>(&'a self, column: &'a Column, row: &'a [Value]) -> &'a Value {
        match column.slot().and_then(|slot| row.get(slot)) {
            Some(value) => value,
            None => column.missing.as_ref().unwrap_or(&Value::Null),
        }
    }

    /// A copy of the row with one value changed; values that it lacks are those of older rows.
    pub fn with_value(&self, row: &[Value], slot: usize, value: Value) -> Row {
        let mut values = vec![Value::Null; self.row_width().max(row.len())];
        for (at, target) in values.iter_mut().enumerate() {
            match row.get(at) {
                Some(value) => *target = value.clone(),
                None => {
                    let column = self.columns.iter().find(|column| column.slot() == Some(at));
                    *target = column.and_then(|column| column.missing.clone()).unwrap_or(Value::Null);
                }
            }
        }
        if let Some(target) = values.get_mut(slot) {
            *target = value;
        }
        Row::from(values)
    }

    /// A row's length when it is written now.
    pub fn row_width(&self) -> usize {
        usize::try_from(self.column_id_max).unwrap_or(0)
    }

    /// The number that the next index of the table gets.
    pub fn next_index_id(&self, clustered: bool) -> IndexId {
        if clustered {
            return IndexId::CLUSTERED;
        }
        IndexId(self.indexes.iter().map(|index| index.index_id.0).max().unwrap_or(1).max(1) + 1)
    }
}

/// `PERIOD FOR SYSTEM_TIME`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SystemTime {
    pub start: ColumnId,
    pub end: ColumnId,
    /// The table of past rows, while they are kept.
    pub history: Option<ObjectId>,
}

#[derive(Clone, Debug)]
pub struct Column {
    pub column_id: ColumnId,
    pub name: Arc<str>,
    pub sql_type: SqlType,
    pub nullable: bool,
    pub collation: Option<Arc<str>>,
    pub identity: Option<Identity>,
    pub computed: Option<Computed>,
    pub default: Option<DefaultConstraint>,
    pub row_guid: bool,
    pub sparse: bool,
    /// `COLUMN_SET FOR ALL_SPARSE_COLUMNS`.
    pub column_set: bool,
    /// `GENERATED ALWAYS` and `HIDDEN` columns of temporal tables.
    pub hidden: bool,
    /// What rows have that were written before the column was added; None is NULL.
    pub missing: Option<Value>,
}

impl Column {
    /// A nullable column without anything else. Its number is given when it is added to a table.
    pub fn new(name: &str, sql_type: SqlType) -> Self {
        Self {
            column_id: ColumnId(0),
            name: Arc::from(name),
            sql_type,
            nullable: true,
            collation: None,
            identity: None,
            computed: None,
            default: None,
            row_guid: false,
            sparse: false,
            column_set: false,
            hidden: false,
            missing: None,
        }
    }

    pub fn not_null(mut self) -> Self {
        self.nullable = false;
        self
    }

    /// Where its value is in a row.
    pub fn slot(&self) -> Option<usize> {
        usize::try_from(self.column_id.0).ok()?.checked_sub(1)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub seed: i128,
    pub increment: i128,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Computed {
    /// The expression in T-SQL.
    pub definition: Arc<str>,
    /// Whether the value is stored in the row. A value that isn't is NULL there, and the engine computes it when read,
    /// unless an index has it.
    pub persisted: bool,
    /// The columns that it is computed from.
    pub columns: Vec<ColumnId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultConstraint {
    /// 0 until the table is created or altered.
    pub object_id: ObjectId,
    pub name: Arc<str>,
    pub definition: Arc<str>,
}

#[derive(Clone, Debug)]
pub struct Index {
    pub index_id: IndexId,
    pub name: Arc<str>,
    pub unique: bool,
    /// Where it belongs to a PRIMARY KEY or UNIQUE constraint.
    pub constraint: Option<Constraint>,
    pub key: Vec<KeyColumn>,
    pub included: Vec<ColumnId>,
    pub disabled: bool,
    /// Which rows a filtered index has. It isn't offered to readers.
    pub filter: Option<Filter>,
}

impl Index {
    pub fn is_clustered(&self) -> bool {
        self.index_id == IndexId::CLUSTERED
    }

    /// Whether it has an entry for every row, so that reading it gives the whole table.
    pub fn is_readable(&self) -> bool {
        !self.disabled && self.filter.is_none()
    }

    /// Whether it is kept up: to be read, or to keep rows from having one key.
    pub fn is_kept(&self) -> bool {
        !self.disabled && (self.unique || self.filter.is_none())
    }

    /// Whether no two rows have the same key.
    pub fn is_key(&self) -> bool {
        self.unique && self.filter.is_none()
    }

    /// Whether it needs a column.
    pub fn needs(&self, id: ColumnId) -> bool {
        let conditions = self.filter.as_ref().map_or(&[][..], |filter| &filter.conditions);
        self.included.contains(&id)
            || self.key.iter().any(|key| key.column_id == id)
            || conditions.iter().any(|condition| condition.column_id == id)
    }

    /// `PRIMARY KEY` or `UNIQUE KEY` or nothing, as messages say it.
    pub fn is_primary(&self) -> bool {
        self.constraint.as_ref().is_some_and(|constraint| constraint.primary)
    }
}

#[derive(Clone, Debug)]
pub struct Constraint {
    /// 0 until the table is created or altered. Its name is the index's.
    pub object_id: ObjectId,
    pub primary: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyColumn {
    pub column_id: ColumnId,
    pub descending: bool,
}

#[derive(Clone, Debug)]
pub struct Check {
    /// 0 until the table is created or altered.
    pub object_id: ObjectId,
    pub name: Arc<str>,
    pub definition: Arc<str>,
    /// The columns that it looks at.
    pub columns: Vec<ColumnId>,
    pub disabled: bool,
}

#[derive(Clone, Debug)]
pub struct ForeignKey {
    /// 0 until the table is created or altered.
    pub object_id: ObjectId,
    pub name: Arc<str>,
    pub columns: Vec<ColumnId>,
    pub referenced_table: ObjectId,
    pub referenced_columns: Vec<ColumnId>,
    pub on_delete: ReferentialAction,
    pub on_update: ReferentialAction,
    pub disabled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferentialAction {
    NoAction,
    Cascade,
    SetNull,
    SetDefault,
}
