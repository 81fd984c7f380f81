//! How a table is read: what is selected, and what its identities are in SQL.

use millstream_core::error::SourceError;
use millstream_core::row::{RowBatch, RowRef};
use millstream_core::schema::{IdentityKind, TableSchema};
use millstream_core::source::{Cursor, KeyRange};
use millstream_core::value::ValueRef;
use tiberius::Row;

use super::key::KeyColumn;
use super::statement::{Parameter, Statement};
use crate::capture::origin::Origin;
use crate::connect::Connection;
use crate::decode::{RowDecoder, select_list};
use crate::field::int;
use crate::keyset::{KeyPart, not_above, stretches_behind};
use crate::quote::{literal, quoted_table};

/// A value that takes more than this is compared when the rows have come, in bytes.
const PARAMETER_BYTES_MAX: usize = 4 << 10;

/// A table's schema, ready to be put into queries and to take in their answers.
pub(super) struct Plan<'s> {
    schema: &'s TableSchema,
    key: Vec<KeyColumn<'s>>,
    decoder: RowDecoder,
    /// The object that the table's name must denote.
    object_id: Option<i32>,
}

impl<'s> Plan<'s> {
    pub(super) fn new(schema: &'s TableSchema) -> Plan<'s> {
        let origin = schema.origin.as_deref().and_then(|origin| origin.parse::<Origin>().ok());
        let object_id = origin.map(|origin| origin.object);
        Plan { schema, key: KeyColumn::of(schema), decoder: RowDecoder::new(schema), object_id }
    }

    /// What is being done, for errors.
    pub(super) fn what(&self) -> String {
        format!("read {}", self.schema.table)
    }

    pub(super) fn schema(&self) -> &'s TableSchema {
        self.schema
    }

    /// Not as its schema says.
    pub(super) fn mismatch(&self, reason: impl Into<String>) -> SourceError {
        SourceError::Table { table: self.schema.table.clone(), reason: reason.into() }
    }

    pub(super) fn has_key(&self) -> bool {
        self.schema.identity.kind != IdentityKind::WholeRow
    }

    pub(super) fn key(&self) -> &[KeyColumn<'s>] {
        &self.key
    }

    pub(super) fn table(&self) -> String {
        quoted_table(&self.schema.table)
    }

    /// What the name denotes now, as an expression.
    fn denoted(&self) -> String {
        format!("OBJECT_ID({})", literal(&self.table()))
    }

    /// `SELECT` of all columns, up to and with the table's name. Before them stands what the name denotes.
    pub(super) fn select(&self, top: &str) -> String {
        format!("SELECT {top} {}, {} FROM {}", self.denoted(), select_list(self.schema, ""), self.table())
    }

    /// `[a], [b], [c]`
    pub(super) fn key_order(&self) -> String {
        let names: Vec<String> = self.key.iter().map(KeyColumn::name).collect();
        names.join(", ")
    }

    /// The stretches of the key's index that a range has, in their order, as conditions; one without any if every row is
    /// in it. A cursor may have fewer values than the key: it lies after all rows that begin with them.
    pub(super) fn stretches(&self, range: &KeyRange, statement: &mut Statement) -> Result<Vec<String>, SourceError> {
        let behind = match &range.after {
            Some(cursor) => stretches_behind(&self.key_parts(cursor, statement)?),
            None => vec![String::new()],
        };
        let Some(upto) = &range.upto else { return Ok(behind) };
        let upto = not_above(&self.key_parts(upto, statement)?);
        let both = |stretch: String| if stretch.is_empty() { upto.clone() } else { format!("{stretch} AND {upto}") };
        Ok(behind.into_iter().map(both).collect())
    }

    fn key_parts(&self, cursor: &Cursor, statement: &mut Statement) -> Result<Vec<KeyPart>, SourceError> {
        let values = self.cursor_values(cursor)?;
        let part = |(column, value): (&KeyColumn<'_>, Option<Parameter>)| {
            let value = value.map(|value| column.typed(statement.bind(value)));
            match value {
                Some(value) if !column.column.nullable => KeyPart::new(column.name(), value),
                value => KeyPart::nullable(column.name(), value),
            }
        };
        Ok(self.key.iter().zip(values).map(part).collect())
    }

    /// `None` stands for NULL.
    fn cursor_values(&self, cursor: &Cursor) -> Result<Vec<Option<Parameter>>, SourceError> {
        let broken = || self.mismatch("a cursor isn't of this table's key");
        let texts: Vec<Option<String>> = serde_json::from_str(&cursor.0).map_err(|_| broken())?;
        if texts.is_empty() || texts.len() > self.key.len() {
            return Err(broken());
        }
        let value = |(text, column): (&Option<String>, &KeyColumn<'_>)| match text {
            Some(text) => Parameter::from_cursor(text, column.column_type).map(Some).ok_or_else(broken),
            None => Ok(None),
        };
        texts.iter().zip(&self.key).map(value).collect()
    }

    /// The place right after a row.
    pub(super) fn cursor_after(&self, row: RowRef<'_>) -> Result<Cursor, SourceError> {
        self.cursor(self.key.iter().map(|column| row.get(column.index).unwrap_or(ValueRef::Null)))
    }

    /// The place right after all rows whose key begins with these values.
    pub(super) fn cursor<'v>(&self, values: impl Iterator<Item = ValueRef<'v>>) -> Result<Cursor, SourceError> {
        let parameter = |(column, value): (&KeyColumn<'_>, ValueRef<'v>)| match value {
            // A unique index has one row with it, where the column was altered to take it.
            ValueRef::Null => Ok(None),
            value => column.parameter(value).map(Some).ok_or_else(|| {
                self.mismatch(format!("column {} of its key holds a value that can't be compared", column.name()))
            }),
        };
        let values: Vec<Option<Parameter>> = self.key.iter().zip(values).map(parameter).collect::<Result<_, _>>()?;
        Ok(cursor_of(&values))
    }

    /// The condition that a row has an identity, as far as SQL can tell: what doesn't compare, and values too long to
    /// be sent, are left out of it.
    pub(super) fn has_identity(&self, identity: RowRef<'_>, statement: &mut Statement) -> String {
        let equalities = self.key.iter().filter_map(|column| {
            let value = identity.get(column.index)?;
            match value {
                ValueRef::Null => Some(format!("{} IS NULL", column.name())),
                ValueRef::Text(text) if text.len() > PARAMETER_BYTES_MAX => None,
                ValueRef::Blob(bytes) if bytes.len() > PARAMETER_BYTES_MAX => None,
                value => {
                    let placeholder = statement.bind(column.parameter(value)?);
                    Some(format!("{} = {}", column.name(), column.typed(placeholder)))
                }
            }
        });
        let equalities: Vec<String> = equalities.collect();
        if equalities.is_empty() { "(1 = 1)".to_owned() } else { format!("({})", equalities.join(" AND ")) }
    }

    /// Appends a row of an answer to `select`.
    pub(super) fn push(&mut self, row: &Row, batch: &mut RowBatch) -> Result<(), SourceError> {
        self.check_object(row)?;
        let Self { decoder, schema, .. } = self;
        decoder
            .push(row, 1, batch)
            .map_err(|error| SourceError::Table { table: schema.table.clone(), reason: error.to_string() })
    }

    /// Refuses an answer from another object than the one that the schema describes.
    fn check_object(&self, row: &Row) -> Result<(), SourceError> {
        let found = int(row, 0);
        match self.object_id {
            Some(expected) if found != Some(expected) => Err(self.mismatch("its name denotes another table by now")),
            _ => Ok(()),
        }
    }

    /// The same, for an answer without any row to tell.
    pub(super) async fn check_denoted(&self, connection: &mut Connection) -> Result<(), SourceError> {
        let query = format!("SELECT {}", self.denoted());
        match connection.row(self.what(), &query, &[]).await? {
            Some(row) => self.check_object(&row),
            None => Err(self.mismatch("the server doesn't say what its name denotes")),
        }
    }
}

/// A cursor of these values of the key's first columns.
pub(super) fn cursor_of(values: &[Option<Parameter>]) -> Cursor {
    let texts: Vec<Option<String>> = values.iter().map(|value| value.as_ref().map(Parameter::to_cursor)).collect();
    Cursor(serde_json::Value::from(texts).to_string())
}

#[cfg(test)]
mod tests {
    use millstream_core::schema::{Column, Identity, TableName};

    use super::*;

    fn schema() -> TableSchema {
        let column = |name: &str, source_type: &str| Column {
            name: name.into(),
            source_type: source_type.into(),
            nullable: false,
            collation: None,
            generated: None,
            default: None,
        };
        TableSchema {
            table: TableName::new("dbo", "t"),
            columns: vec![column("a", "int"), column("b", "nvarchar(9)"), column("c", "money")],
            identity: Identity { kind: IdentityKind::PrimaryKey, columns: vec![1, 0] },
            origin: None,
        }
    }

    #[test]
    fn a_range_is_stretches_that_an_index_serves() {
        let schema = schema();
        let plan = Plan::new(&schema);
        let mut statement = Statement::default();
        let cursor = |text: &str| Some(Cursor(text.to_owned()));
        let range = KeyRange { after: cursor(r#"["x","1"]"#), upto: cursor(r#"["y","2"]"#) };
        let upto = "[b] <= CAST(@P3 AS nvarchar(9)) AND ([b] < CAST(@P3 AS nvarchar(9)) OR ([b] = CAST(@P3 AS \
                    nvarchar(9)) AND [a] <= CAST(@P4 AS int)))";
        assert_eq!(
            plan.stretches(&range, &mut statement).unwrap(),
            [
                format!("[b] = CAST(@P1 AS nvarchar(9)) AND [a] > CAST(@P2 AS int) AND {upto}"),
                format!("[b] > CAST(@P1 AS nvarchar(9)) AND {upto}"),
            ]
        );
        assert_eq!(statement.parameter_count(), 4);
        let range = KeyRange { after: None, upto: cursor(r#"["y"]"#) };
        let stretches = plan.stretches(&range, &mut Statement::default()).unwrap();
        assert_eq!(stretches, ["[b] <= CAST(@P1 AS nvarchar(9))"]);
        assert_eq!(plan.stretches(&KeyRange::default(), &mut Statement::default()).unwrap(), [""]);
        for broken in ["", "[]", r#"["x","y"]"#, r#"["x","1","2"]"#, "7"] {
            let range = KeyRange { after: cursor(broken), upto: None };
            assert!(plan.stretches(&range, &mut Statement::default()).is_err(), "{broken}");
        }
    }

    #[test]
    fn the_cursor_after_a_row_is_its_key() {
        let schema = schema();
        let plan = Plan::new(&schema);
        let mut rows = RowBatch::new(3);
        for value in [ValueRef::Int(7), ValueRef::Text("q\"'"), ValueRef::Text("1.0000")] {
            rows.push(value).unwrap();
        }
        let cursor = plan.cursor_after(rows.row(0).unwrap()).unwrap();
        assert_eq!(cursor.0, r#"["q\"'","7"]"#);
        let values = [Some(Parameter::Text("q\"'".into())), Some(Parameter::Int(7))];
        assert_eq!(plan.cursor_values(&cursor).unwrap(), values);
        let cursor = plan.cursor([ValueRef::Null, ValueRef::Int(7)].into_iter()).unwrap();
        assert_eq!(
            (cursor.0.as_str(), plan.cursor_values(&cursor).unwrap()),
            (r#"[null,"7"]"#, vec![None, Some(Parameter::Int(7))])
        );
    }
}
