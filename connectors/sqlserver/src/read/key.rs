//! Columns of identities: their values as they are kept in a cursor, and as SQL that compares as the column does.

use millstream_core::schema::{Column, TableSchema};
use millstream_core::value::ValueRef;

use super::statement::{Parameter, Placeholder};
use crate::decode::ColumnType;
use crate::quote::quoted;

/// One column of an identity.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyColumn<'s> {
    /// Its place in the schema.
    pub(super) index: usize,
    pub(super) column: &'s Column,
    pub(super) column_type: ColumnType,
}

impl<'s> KeyColumn<'s> {
    /// An identity's columns, in its order.
    pub(super) fn of(schema: &'s TableSchema) -> Vec<KeyColumn<'s>> {
        let columns = schema.identity.columns.iter().filter_map(|index| {
            let column = schema.columns.get(*index)?;
            Some(KeyColumn { index: *index, column, column_type: ColumnType::parse(&column.source_type) })
        });
        columns.collect()
    }

    /// The column's name in a statement.
    pub(super) fn name(&self) -> String {
        quoted(&self.column.name)
    }

    /// The value beside a statement, typed as the column is: so an index on the column serves, and values compare as
    /// the column's own do.
    pub(super) fn typed(&self, placeholder: Placeholder) -> String {
        let source_type = match self.column.source_type.as_str() {
            "timestamp" | "rowversion" => "binary(8)",
            other => other,
        };
        match (self.column_type, &self.column.collation) {
            // Into the column's code page, not the database's.
            (ColumnType::Text { .. }, Some(collation)) => {
                format!("CAST({placeholder} COLLATE {collation} AS {source_type})")
            }
            _ => format!("CAST({placeholder} AS {source_type})"),
        }
    }

    /// A value as a parameter; `None` for NULL, and for what SQL doesn't compare by content.
    pub(super) fn parameter(&self, value: ValueRef<'_>) -> Option<Parameter> {
        if !self.column_type.can_be_key() {
            return None;
        }
        Some(match value {
            ValueRef::Null => return None,
            ValueRef::Int(value) => Parameter::Int(value),
            ValueRef::Real(value) => Parameter::Real(value),
            ValueRef::Blob(bytes) => Parameter::Bytes(bytes.to_vec()),
            // The server reads a time with a zone as datetimeoffset only.
            ValueRef::Text(text) if self.column_type == ColumnType::DateTime => {
                Parameter::Text(text.trim_end_matches('Z').to_owned())
            }
            ValueRef::Text(text) => Parameter::Text(text.to_owned()),
        })
    }
}

impl Parameter {
    /// As text whose form follows from the column's type: digits, the shortest exponent form, hexadecimal bytes, or
    /// the text itself.
    pub(super) fn to_cursor(&self) -> String {
        match self {
            Parameter::Int(value) => value.to_string(),
            Parameter::Real(value) => format!("{value:e}"),
            Parameter::Text(value) => value.clone(),
            Parameter::Bytes(value) => value.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }

    /// The reverse; `None` for what `to_cursor` doesn't write for a column of this type.
    pub(super) fn from_cursor(text: &str, column_type: ColumnType) -> Option<Parameter> {
        Some(match column_type {
            ColumnType::Integer => Parameter::Int(text.parse().ok()?),
            ColumnType::Real | ColumnType::Float => Parameter::Real(text.parse().ok()?),
            ColumnType::Binary | ColumnType::HierarchyId => Parameter::Bytes(bytes_of(text)?),
            other if other.can_be_key() => Parameter::Text(text.to_owned()),
            _ => return None,
        })
    }
}

fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(source_type: &str, collation: Option<&str>) -> Column {
        Column {
            name: "k".into(),
            source_type: source_type.into(),
            nullable: false,
            collation: collation.map(str::to_owned),
            generated: None,
            default: None,
        }
    }

    fn key(column: &Column) -> KeyColumn<'_> {
        KeyColumn { index: 0, column, column_type: ColumnType::parse(&column.source_type) }
    }

    #[test]
    fn values_come_back_from_a_cursor() {
        for (source_type, value) in [
            ("int", ValueRef::Int(-5)),
            ("bigint", ValueRef::Int(i64::MIN)),
            ("float", ValueRef::Real(0.1)),
            ("nvarchar(10)", ValueRef::Text("é'")),
            ("decimal(38,10)", ValueRef::Text("-0.1000000000")),
            ("uniqueidentifier", ValueRef::Text("0E984725-C51C-4BF4-9960-E1C80E27ABA0")),
            ("datetimeoffset(7)", ValueRef::Text("2026-02-28T23:59:58.1234567+02:00")),
            ("binary(3)", ValueRef::Blob(&[0, 255, 16])),
            ("hierarchyid", ValueRef::Blob(&[0x5a, 0xc0])),
        ] {
            let column = column(source_type, None);
            let parameter = key(&column).parameter(value).unwrap();
            let text = parameter.to_cursor();
            assert_eq!(Parameter::from_cursor(&text, key(&column).column_type), Some(parameter), "{source_type}");
        }
        assert_eq!(Parameter::from_cursor("1 OR 1=1", ColumnType::Integer), None);
        assert_eq!(Parameter::from_cursor("0g", ColumnType::Binary), None);
        assert_eq!(Parameter::from_cursor("0", ColumnType::Binary), None);
        assert_eq!(Parameter::from_cursor("x", ColumnType::Variant), None);
    }

    #[test]
    fn parameters_are_typed_as_their_column() {
        let mut statement = crate::read::statement::Statement::default();
        let placeholder = statement.bind(Parameter::Int(1));
        let typed = |source_type, collation| key(&column(source_type, collation)).typed(placeholder);
        assert_eq!(typed("int", None), "CAST(@P1 AS int)");
        assert_eq!(typed("timestamp", None), "CAST(@P1 AS binary(8))");
        assert_eq!(typed("nvarchar(10)", Some("Latin1_General_CI_AS")), "CAST(@P1 AS nvarchar(10))");
        assert_eq!(
            typed("varchar(10)", Some("Cyrillic_General_CI_AS")),
            "CAST(@P1 COLLATE Cyrillic_General_CI_AS AS varchar(10))"
        );
        let column = column("datetime", None);
        let moment = key(&column).parameter(ValueRef::Text("2026-02-28T23:59:58.123Z"));
        assert_eq!(moment, Some(Parameter::Text("2026-02-28T23:59:58.123".into())));
    }
}
