//! How a table is read: what is selected, and what its identities are in SQL.

use millstream_core::error::SourceError;
use millstream_core::row::{RowBatch, RowRef};
use millstream_core::schema::{Column, IdentityKind, TableName, TableSchema};
use millstream_core::source::{Cursor, KeyRange};
use mysql_async::{Column as AnswerColumn, Row, Value};

use super::key_value::{KeyValue, literal_of_value};
use super::result_column::ResultColumn;
use crate::decode::column_type::ColumnType;

/// A table's schema, ready to be put into queries and to take in their answers.
#[derive(Debug)]
pub(super) struct Plan<'s> {
    schema: &'s TableSchema,
    columns: Vec<ResultColumn>,
}

/// One column of a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyColumn<'p> {
    index: usize,
    column: &'p Column,
    result: &'p ResultColumn,
}

impl<'s> Plan<'s> {
    /// Fails if the schema has types that can't be read.
    pub(super) fn new(schema: &'s TableSchema) -> Result<Plan<'s>, SourceError> {
        let columns = schema.columns.iter().map(ResultColumn::new).collect::<Result<_, _>>();
        let columns = columns.map_err(|found| SourceError::Table {
            table: schema.table.clone(),
            reason: format!("{found}, which this version of Millstream can't read"),
        })?;
        Ok(Plan { schema, columns })
    }

    pub(super) fn table(&self) -> &'s TableName {
        &self.schema.table
    }

    /// Not as its schema says.
    pub(super) fn mismatch(&self, reason: impl Into<String>) -> SourceError {
        SourceError::Table { table: self.schema.table.clone(), reason: reason.into() }
    }

    pub(super) fn has_key(&self) -> bool {
        self.schema.identity.kind != IdentityKind::WholeRow
    }

    /// `SELECT` of all columns, up to and with the table's name.
    pub(super) fn select(&self) -> String {
        let expressions = self.schema.columns.iter().zip(&self.columns);
        let list: Vec<String> =
            expressions.map(|(column, result)| result.expression(&quoted_name(&column.name))).collect();
        format!("SELECT {} FROM {}", list.join(", "), self.quoted_table())
    }

    /// The table's name, followed by a hint to walk along its primary key where that is the identity.
    pub(super) fn key_hint(&self) -> &'static str {
        match self.schema.identity.kind {
            IdentityKind::PrimaryKey => " FORCE INDEX (PRIMARY)",
            IdentityKind::UniqueKey | IdentityKind::WholeRow => "",
        }
    }

    pub(super) fn quoted_table(&self) -> String {
        let TableName { schema, name } = &self.schema.table;
        format!("{}.{}", quoted_name(schema), quoted_name(name))
    }

    /// The identity's columns in order.
    pub(super) fn key(&self) -> Vec<KeyColumn<'_>> {
        let columns = self.schema.identity.columns.iter().filter_map(|index| {
            Some(KeyColumn {
                index: *index,
                column: self.schema.columns.get(*index)?,
                result: self.columns.get(*index)?,
            })
        });
        columns.collect()
    }

    /// `a, b, c`
    pub(super) fn key_order(&self) -> String {
        let names: Vec<String> = self.key().iter().map(|column| quoted_name(&column.column.name)).collect();
        names.join(", ")
    }

    /// As `key_order`, but as it is selected.
    pub(super) fn key_list(&self) -> String {
        let key = self.key();
        let expressions: Vec<String> =
            key.iter().map(|column| column.result.expression(&quoted_name(&column.column.name))).collect();
        expressions.join(", ")
    }

    /// The condition that an identity lies within a range; empty if every one does.
    pub(super) fn within(&self, range: &KeyRange) -> Result<String, SourceError> {
        let mut conditions = Vec::new();
        if let Some(after) = &range.after {
            conditions.push(self.beyond(after, ">", false)?);
        }
        if let Some(upto) = &range.upto {
            conditions.push(self.beyond(upto, "<", true)?);
        }
        Ok(if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) })
    }

    /// Compares rows with a cursor as `(a, b) > (x, y)` does, but written as `(a > x) OR (a = x AND b > y)`, which
    /// indexes serve. A cursor may have fewer values than the key: it lies after all rows that begin with them.
    fn beyond(&self, cursor: &Cursor, operator: &str, or_equal: bool) -> Result<String, SourceError> {
        let literals = self.cursor_literals(cursor)?;
        let key = self.key();
        let mut alternatives = Vec::new();
        let mut equal_so_far = String::new();
        for (column, literal) in key.iter().zip(&literals) {
            alternatives.push(format!("({equal_so_far}{} {operator} {literal})", column.comparable()));
            equal_so_far.push_str(&format!("{} = {literal} AND ", column.comparable()));
        }
        if or_equal {
            alternatives.push(format!("({})", equal_so_far.trim_end_matches(" AND ")));
        }
        Ok(format!("({})", alternatives.join(" OR ")))
    }

    fn cursor_literals(&self, cursor: &Cursor) -> Result<Vec<String>, SourceError> {
        let broken = || self.mismatch("a cursor isn't of this table's key");
        let texts: Vec<String> = serde_json::from_str(&cursor.0).map_err(|_| broken())?;
        let key = self.key();
        if texts.is_empty() || texts.len() > key.len() {
            return Err(broken());
        }
        let literals = texts.iter().zip(&key).map(|(text, column)| {
            KeyValue::from_cursor(text, &column.result.column_type)?.literal(&column.result.column_type, column.column)
        });
        literals.collect::<Option<_>>().ok_or_else(broken)
    }

    /// The place right after a row of an answer that `select` asked for.
    pub(super) fn cursor_after(&self, row: &Row) -> Result<Cursor, SourceError> {
        let key = self.key();
        let values = key.iter().map(|column| (*column, row.as_ref(column.index).unwrap_or(&Value::NULL)));
        self.cursor(values)
    }

    /// The place right after all rows whose key begins with these values.
    pub(super) fn cursor<'v>(
        &self,
        values: impl Iterator<Item = (KeyColumn<'v>, &'v Value)>,
    ) -> Result<Cursor, SourceError> {
        let texts = values.map(|(column, value)| KeyValue::from_answer(value, &column.result.column_type));
        let texts: Option<Vec<KeyValue>> = texts.collect();
        let texts =
            texts.ok_or_else(|| self.mismatch("a column of its key holds NULL or a value that can't be compared"))?;
        Ok(cursor_of(&texts))
    }

    /// The condition that a row has one of these identities; `None` if SQL can't tell for one of the columns alone, so
    /// that every row has to be looked at.
    pub(super) fn is_one_of<'r>(&self, identities: impl Iterator<Item = RowRef<'r>>) -> String {
        let key = self.key();
        let conditions: Vec<String> = identities
            .map(|identity| {
                let equalities = key.iter().filter_map(|column| {
                    let value = identity.get(column.index)?;
                    let literal = literal_of_value(value, &column.result.column_type, column.column)?;
                    let operator = if self.has_key() { "=" } else { "<=>" };
                    Some(format!("{} {operator} {literal}", column.comparable()))
                });
                let equalities: Vec<String> = equalities.collect();
                if equalities.is_empty() { "TRUE".to_owned() } else { equalities.join(" AND ") }
            })
            .collect();
        format!("({})", conditions.join(") OR ("))
    }

    /// Whether an answer has the columns that the schema says.
    pub(super) fn check(&self, answer: &[AnswerColumn]) -> Result<(), SourceError> {
        if answer.len() != self.columns.len() {
            return Err(self.mismatch("a query answered another number of columns than was asked for"));
        }
        for ((column, result), answered) in self.schema.columns.iter().zip(&self.columns).zip(answer) {
            result.check(answered).map_err(|found| self.mismatch(format!("column `{}`: {found}", column.name)))?;
        }
        Ok(())
    }

    /// Appends a row of an answer.
    pub(super) fn push(&self, row: &Row, batch: &mut RowBatch, text: &mut String) -> Result<(), SourceError> {
        for (index, column) in self.columns.iter().enumerate() {
            column.push(row.as_ref(index).unwrap_or(&Value::NULL), batch, text).map_err(|found| {
                let name = self.schema.columns.get(index).map_or("", |column| column.name.as_str());
                self.mismatch(format!("column `{name}`: {found}"))
            })?;
        }
        Ok(())
    }
}

impl KeyColumn<'_> {
    /// The column as an operand. Labels compare as text but sort by their number, so they are compared by number.
    fn comparable(&self) -> String {
        let name = quoted_name(&self.column.name);
        if self.is_label() { format!("{name} + 0") } else { name }
    }

    pub(super) fn name(&self) -> &str {
        &self.column.name
    }

    pub(super) fn column_type(&self) -> &ColumnType {
        &self.result.column_type
    }

    fn is_label(&self) -> bool {
        matches!(self.result.column_type, ColumnType::Enum { .. } | ColumnType::Set { .. })
    }
}

pub(super) fn cursor_of(values: &[KeyValue]) -> Cursor {
    let texts: Vec<&str> = values.iter().map(KeyValue::as_str).collect();
    Cursor(serde_json::Value::from(texts).to_string())
}

/// A name in backquotes.
pub(super) fn quoted_name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}
