//! Rows on their way into a table: conversion, defaults, computed columns, checks.

use crate::error::{SqlError, SqlResult};
use crate::storage::{Row, Table};
use crate::value::convert::{self, Manner};
use crate::value::{SqlType, Value};

use super::super::bind::{Binder, NamedColumn, NamedSource};
use super::super::evaluate::Scope;
use super::super::expression::{Expression, Predicate};
use super::super::parse;
use super::super::state::Execution;
use super::target::Target;
use super::versioning;

/// The columns of a table under a name, for expressions over its rows.
pub fn named(table: &Table, name: &str, slot: usize) -> NamedSource {
    let column = |column: &crate::storage::Column| {
        Some(NamedColumn {
            name: column.name.clone(),
            sql_type: column.sql_type,
            nullable: column.nullable,
            at: column.slot()?,
            identity: column.identity.is_some(),
            computed: column.computed.is_some(),
            hidden: column.hidden,
        })
    };
    let columns = table.columns.iter().filter_map(column).collect();
    NamedSource { slot, name: name.to_owned(), schema: None, columns, by_name_only: false }
}

/// A number as an identity column has it.
///
/// # Errors
/// 8115 where it doesn't fit.
pub fn identity_value(number: i128, sql_type: SqlType) -> SqlResult<Value> {
    let number = Value::Decimal(crate::value::Decimal::new(number, 0));
    convert::convert(&number, SqlType::Numeric { precision: 38, scale: 0 }, sql_type, None)
        .map_err(|_| SqlError::arithmetic_overflow("IDENTITY", sql_type.name()))
}

/// What makes rows of a table whole.
#[derive(Debug)]
pub struct Maker {
    pub target: Target,
    defaults: Vec<(usize, Expression)>,
    computed: Vec<(usize, Expression)>,
    /// Computed columns that aren't stored, which triggers and OUTPUT see all the same.
    unstored: Vec<(usize, Expression)>,
    checks: Vec<(String, Predicate)>,
    row_version: Option<usize>,
    identity: Option<usize>,
}

impl Maker {
    pub fn new(execution: &mut Execution<'_>, target: Target) -> SqlResult<Self> {
        let table = target.table.clone();
        let (mut defaults, mut computed, mut unstored, mut checks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for column in &table.columns {
            let Some(slot) = column.slot() else { continue };
            if let Some(default) = &column.default {
                let written = parse::expression(&default.definition)?;
                let mut binder = Binder::new(execution);
                let bound = binder.scalar(&written)?;
                defaults.push((slot, binder.converted(bound, column.sql_type)?));
            }
            if let Some(definition) = &column.computed {
                let written = parse::expression(&definition.definition)?;
                let mut binder = Binder::with_sources(execution, vec![named(&table, "", 0)]);
                let bound = binder.scalar(&written)?;
                let bound = binder.converted(bound, column.sql_type)?;
                let indexed =
                    table.indexes.iter().any(|index| index.key.iter().any(|key| key.column_id == column.column_id));
                if definition.persisted || indexed {
                    computed.push((slot, bound));
                } else {
                    unstored.push((slot, bound));
                }
            }
        }
        for check in table.checks.iter().filter(|check| !check.disabled) {
            let written = parse::expression(&check.definition)?;
            let predicate = Binder::with_sources(execution, vec![named(&table, "", 0)]).predicate(&written)?;
            checks.push((check.name.to_string(), predicate));
        }
        let slot_of = |test: &dyn Fn(&crate::storage::Column) -> bool| {
            table.columns.iter().find(|column| test(column)).and_then(|column| column.slot())
        };
        let row_version = slot_of(&|column| column.sql_type == SqlType::RowVersion);
        let identity = slot_of(&|column| column.identity.is_some());
        Ok(Self { target, defaults, computed, unstored, checks, row_version, identity })
    }

    /// Lets rows in that break a CHECK.
    pub fn pass_checks(&mut self) {
        self.checks.clear();
    }

    pub fn has_default(&self, slot: usize) -> bool {
        self.defaults.iter().any(|(own, _)| *own == slot)
    }

    pub fn default_of(&self, execution: &mut Execution<'_>, slot: usize) -> SqlResult<Value> {
        match self.defaults.iter().find(|(own, _)| *own == slot) {
            Some((_, default)) => default.evaluate(execution, &Scope::EMPTY),
            None => Ok(Value::Null),
        }
    }

    /// A new row of given values by slot; None for columns that the statement leaves out.
    pub fn inserted(&self, execution: &mut Execution<'_>, given: Vec<Option<Value>>) -> SqlResult<Row> {
        let mut values = Vec::with_capacity(given.len());
        for (slot, value) in given.into_iter().enumerate() {
            values.push(match value {
                Some(value) => {
                    if self.identity == Some(slot) {
                        self.explicit_identity(execution, &value)?;
                    }
                    value
                }
                None if self.identity == Some(slot) => self.next_identity(execution, slot)?,
                None => self.default_of(execution, slot)?,
            });
        }
        self.finished(execution, values, "INSERT")
    }

    fn next_identity(&self, execution: &mut Execution<'_>, slot: usize) -> SqlResult<Value> {
        let next = execution.state.transaction().next_identity(self.target.database, &self.target.table)?;
        execution.state.identity_last = Some(next);
        execution.scope_identity = Some(next);
        let sql_type = self
            .target
            .table
            .columns
            .iter()
            .find(|column| column.slot() == Some(slot))
            .map_or(SqlType::BigInt, |column| column.sql_type);
        identity_value(next, sql_type)
    }

    /// A value that was given lifts the count to it.
    fn explicit_identity(&self, execution: &mut Execution<'_>, value: &Value) -> SqlResult<()> {
        let (database, table) = (self.target.database, self.target.table.object_id);
        let given = convert::exact(value).map_or(0, |number| number.units());
        let transaction = execution.state.transaction();
        let last = transaction.identity_last(database, table)?;
        let increment = self
            .target
            .table
            .columns
            .iter()
            .find_map(|column| column.identity)
            .map_or(1, |identity| identity.increment);
        if last.is_none_or(|last| if increment > 0 { given > last } else { given < last }) {
            transaction.set_identity_last(database, table, Some(given))?;
        }
        execution.state.identity_last = Some(given);
        execution.scope_identity = Some(given);
        Ok(())
    }

    /// Computes what follows from the rest and checks the whole.
    pub fn finished(&self, execution: &mut Execution<'_>, mut values: Vec<Value>, operation: &str) -> SqlResult<Row> {
        if let Some(place) = self.row_version.and_then(|slot| values.get_mut(slot)) {
            let version = execution.state.storage.next_row_version(self.target.database)?;
            *place = Value::binary(&version.to_be_bytes());
        }
        versioning::stamp(execution, &self.target.table, &mut values);
        if !self.computed.is_empty() {
            let row: Row = Row::from(values.clone());
            for (slot, expression) in &self.computed {
                let value = expression.evaluate(execution, &Scope { row: std::slice::from_ref(&row), outer: None })?;
                if let Some(place) = values.get_mut(*slot) {
                    *place = value;
                }
            }
        }
        for column in self.target.table.columns.iter().filter(|column| !column.nullable && column.computed.is_none()) {
            if column.slot().and_then(|slot| values.get(slot)).is_some_and(Value::is_null) {
                let table = self.target.full_name(execution.state);
                return Err(SqlError::null_refused(&column.name, &table, operation));
            }
        }
        let row = Row::from(values);
        self.check(execution, &row, operation)?;
        Ok(row)
    }

    /// Whether a row satisfies every CHECK.
    ///
    /// # Errors
    /// 547 where it doesn't.
    pub fn check(&self, execution: &mut Execution<'_>, row: &Row, operation: &str) -> SqlResult<()> {
        for (name, predicate) in &self.checks {
            // Unknown is allowed.
            if predicate.test(execution, &Scope { row: std::slice::from_ref(row), outer: None })? == Some(false) {
                let state = &*execution.state;
                let database = state.database_name(self.target.database);
                let table = self.target.short_name(state);
                return Err(SqlError::constraint_conflict(operation, "CHECK", name, &database, &table, None));
            }
        }
        Ok(())
    }

    /// The row as readers see it, with the columns that aren't stored.
    pub fn seen(&self, execution: &mut Execution<'_>, row: &Row) -> SqlResult<Row> {
        if self.unstored.is_empty() {
            return Ok(row.clone());
        }
        let mut values = row.to_vec();
        for (slot, expression) in &self.unstored {
            let value = expression.evaluate(execution, &Scope { row: std::slice::from_ref(row), outer: None })?;
            if let Some(place) = values.get_mut(*slot) {
                *place = value;
            }
        }
        Ok(Row::from(values))
    }

    /// A value as a column holds it.
    pub fn stored(&self, execution: &Execution<'_>, slot: usize, value: &Value, from: SqlType) -> SqlResult<Value> {
        let Some(column) = self.target.table.columns.iter().find(|column| column.slot() == Some(slot)) else {
            return Err(SqlError::invalid_column("?"));
        };
        let same_text = from.is_character() && column.sql_type.is_character();
        if from.is_character() || from.family() == crate::value::sql_type::Family::Binary {
            let comparable = same_text || from.family() == column.sql_type.family();
            if comparable && let Some(cut) = convert::truncated_text(value, column.sql_type) {
                let table = self.target.full_name(execution.state);
                return Err(SqlError::truncated(&table, &column.name, &cut));
            }
        }
        convert::convert(value, from, column.sql_type, None)
    }

    /// Whether values of a type may be put into a column.
    pub fn check_type(&self, slot: usize, from: SqlType) -> SqlResult<()> {
        let column = self.target.table.columns.iter().find(|column| column.slot() == Some(slot));
        column.map_or(Ok(()), |column| convert::check(from, column.sql_type, Manner::Implicit))
    }

    /// # Errors
    /// 13536 for the period of a system-versioned table, which is set by itself.
    pub fn check_given(&self, slot: usize) -> SqlResult<()> {
        let Some(system_time) = &self.target.table.system_time else { return Ok(()) };
        let is = |id| self.target.table.column(id).is_some_and(|column| column.slot() == Some(slot));
        if !is(system_time.start) && !is(system_time.end) {
            return Ok(());
        }
        let text = format!(
            "Cannot insert an explicit value into a GENERATED ALWAYS column in table '{}'. Use INSERT with a column list to exclude the GENERATED ALWAYS column, or insert a DEFAULT into GENERATED ALWAYS column.",
            self.target.table.name
        );
        Err(SqlError::new(13_536, 16, text))
    }

    /// # Errors
    /// 271 for computed columns, 273 for rowversion, 544 for identity columns.
    pub fn check_insertable(&self, execution: &Execution<'_>, slot: usize) -> SqlResult<()> {
        let Some(column) = self.target.table.columns.iter().find(|column| column.slot() == Some(slot)) else {
            return Ok(());
        };
        if column.computed.is_some() {
            let text = format!(
                "The column \"{}\" cannot be modified because it is either a computed column or is the result of a UNION operator.",
                column.name
            );
            return Err(SqlError::new(271, 16, text));
        }
        if column.sql_type == SqlType::RowVersion {
            return Err(SqlError::new(
                273,
                16,
                "Cannot insert an explicit value into a timestamp column. Use INSERT with a column list to exclude the timestamp column, or insert a DEFAULT into the timestamp column.",
            ));
        }
        let key = (self.target.database, self.target.table.object_id);
        if column.identity.is_some() && execution.state.options.identity_insert != Some(key) {
            let text = format!(
                "Cannot insert explicit value for identity column in table '{}' when IDENTITY_INSERT is set to OFF.",
                self.target.table.name
            );
            return Err(SqlError::new(544, 16, text));
        }
        Ok(())
    }
}
