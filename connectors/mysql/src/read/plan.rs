//! How a table is read: what is selected, and what its identities are in SQL.

use millstream_core::error::SourceError;
use millstream_core::row::{RowBatch, RowRef};
use millstream_core::schema::{IdentityKind, TableName, TableSchema};
use millstream_core::source::{Cursor, KeyRange};
use mysql_async::{Column as AnswerColumn, Value};

use super::key_column::{Comparison, KeyColumn, quoted_name};
use super::key_value::{KeyValue, literal_of_value};
use super::result_column::ResultColumn;
use crate::decode::DecodeError;
use crate::wire::BinaryRow;

/// A value that takes more than this in a statement is compared when the rows have come.
const LITERAL_BYTES_MAX: usize = 16 << 10;

/// A table's schema, ready to be put into queries and to take in their answers.
#[derive(Debug)]
pub(super) struct Plan<'s> {
    schema: &'s TableSchema,
    columns: Vec<ResultColumn>,
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
            conditions.push(self.beyond(after, Comparison::Greater)?);
        }
        if let Some(upto) = &range.upto {
            conditions.push(self.beyond(upto, Comparison::Less)?);
        }
        Ok(if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) })
    }

    /// Compares rows with a cursor as `(a, b) > (x, y)` or `(a, b) <= (x, y)` does, but written as
    /// `(a > x) OR (a = x AND b > y)`, which indexes serve. A cursor may have fewer values than the key: it lies after
    /// all rows that begin with them.
    fn beyond(&self, cursor: &Cursor, comparison: Comparison) -> Result<String, SourceError> {
        let literals = self.cursor_literals(cursor)?;
        let mut alternatives = Vec::new();
        let mut equal_so_far: Vec<String> = Vec::new();
        for (column, literal) in self.key().iter().zip(&literals) {
            let mut alternative = equal_so_far.clone();
            alternative.push(column.compare(comparison, literal));
            alternatives.push(alternative.join(" AND "));
            equal_so_far.push(column.compare(Comparison::Equal, literal));
        }
        if comparison == Comparison::Less {
            alternatives.push(equal_so_far.join(" AND "));
        }
        Ok(format!("(({}))", alternatives.join(") OR (")))
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
    pub(super) fn cursor_after(&self, row: BinaryRow<'_>) -> Result<Cursor, SourceError> {
        let values = row.values().map_err(|found| self.mismatch(found.to_string()))?;
        let key = self.key();
        self.cursor(key.iter().map(|column| (*column, values.get(column.index).unwrap_or(&Value::NULL))))
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

    /// The condition that a row has an identity, as far as SQL can tell: types that don't compare and values too long
    /// to be sent are left out of it.
    pub(super) fn has_identity(&self, identity: RowRef<'_>) -> String {
        let comparison = if self.has_key() { Comparison::Equal } else { Comparison::Same };
        let key = self.key();
        let equalities = key.iter().filter_map(|column| {
            let value = identity.get(column.index)?;
            let literal = literal_of_value(value, column.column_type(), column.column)?;
            (literal.len() <= LITERAL_BYTES_MAX).then(|| column.compare(comparison, &literal))
        });
        let equalities: Vec<String> = equalities.collect();
        if equalities.is_empty() { "(TRUE)".to_owned() } else { format!("({})", equalities.join(" AND ")) }
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

    /// Appends a row of an answer that has been checked.
    pub(super) fn push(&self, row: BinaryRow<'_>, batch: &mut RowBatch, text: &mut String) -> Result<(), SourceError> {
        for (index, (field, column)) in row.fields().zip(&self.columns).enumerate() {
            let pushed = field.map_err(|found: DecodeError| found.to_string());
            let pushed = pushed.and_then(|field| column.push(&field, batch, text));
            pushed.map_err(|found| {
                let name = self.schema.columns.get(index).map_or("", |column| column.name.as_str());
                self.mismatch(format!("column `{name}`: {found}"))
            })?;
        }
        Ok(())
    }
}

pub(super) fn cursor_of(values: &[KeyValue]) -> Cursor {
    let texts: Vec<&str> = values.iter().map(KeyValue::as_str).collect();
    Cursor(serde_json::Value::from(texts).to_string())
}
