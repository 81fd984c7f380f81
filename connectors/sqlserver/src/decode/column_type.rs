//! The types that columns have, as their text in a schema tells, and how each is asked of the server.

use millstream_core::schema::{Column, TableSchema};

use crate::quote::quoted;

/// The longest `nvarchar` that isn't `nvarchar(max)`, in characters.
const NVARCHAR_CHARS_MAX: u32 = 4_000;

/// What a column's type means for reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnType {
    /// `bit` and the integers.
    Integer,
    Real,
    Float,
    Decimal,
    Money,
    /// `char` and `varchar` of up to so many bytes.
    Text {
        bytes: u32,
    },
    /// `varchar(max)` and `text`.
    LongText,
    /// `nchar` and `nvarchar`.
    NationalText,
    /// `nvarchar(max)` and `ntext`.
    LongNationalText,
    Date,
    Time,
    /// `smalldatetime`, `datetime`, `datetime2`.
    DateTime,
    DateTimeOffset,
    UniqueIdentifier,
    /// `binary`, `varbinary`, `rowversion`.
    Binary,
    /// `varbinary(max)` and `image`.
    LongBinary,
    Xml,
    /// `json` and `vector`, which have a text.
    Json,
    Variant,
    HierarchyId,
    /// `geometry`, `geography`, and types that users made in .NET.
    Object,
}

impl ColumnType {
    /// From a column's type as the schema has it: `decimal(10,2)`, `varchar(max)`.
    pub(crate) fn parse(source_type: &str) -> Self {
        let (name, argument) = source_type.split_once('(').unwrap_or((source_type, ""));
        let argument = argument.trim_end_matches(')');
        let long = argument.eq_ignore_ascii_case("max");
        match name.trim().to_ascii_lowercase().as_str() {
            "bit" | "tinyint" | "smallint" | "int" | "bigint" => ColumnType::Integer,
            "real" => ColumnType::Real,
            "float" => ColumnType::Float,
            "decimal" | "numeric" => ColumnType::Decimal,
            "money" | "smallmoney" => ColumnType::Money,
            "text" => ColumnType::LongText,
            "varchar" if long => ColumnType::LongText,
            "char" | "varchar" => ColumnType::Text { bytes: argument.parse().unwrap_or(1) },
            "ntext" => ColumnType::LongNationalText,
            "nvarchar" if long => ColumnType::LongNationalText,
            "nchar" | "nvarchar" | "sysname" => ColumnType::NationalText,
            "date" => ColumnType::Date,
            "time" => ColumnType::Time,
            "smalldatetime" | "datetime" | "datetime2" => ColumnType::DateTime,
            "datetimeoffset" => ColumnType::DateTimeOffset,
            "uniqueidentifier" => ColumnType::UniqueIdentifier,
            "image" => ColumnType::LongBinary,
            "varbinary" if long => ColumnType::LongBinary,
            "binary" | "varbinary" | "timestamp" | "rowversion" => ColumnType::Binary,
            "xml" => ColumnType::Xml,
            "json" | "vector" => ColumnType::Json,
            "sql_variant" => ColumnType::Variant,
            "hierarchyid" => ColumnType::HierarchyId,
            _ => ColumnType::Object,
        }
    }

    /// Whether values may lie outside the row: change data capture then leaves them out (NULL) of the image before an
    /// update, and of the one after it unless the update changed them.
    pub(crate) fn is_lob(self) -> bool {
        matches!(
            self,
            ColumnType::LongText
                | ColumnType::LongNationalText
                | ColumnType::LongBinary
                | ColumnType::Xml
                | ColumnType::Json
                | ColumnType::Object
        )
    }

    /// Whether values compare and order as keys do.
    pub(crate) fn can_be_key(self) -> bool {
        !self.is_lob() && self != ColumnType::Variant
    }

    /// The SQL expression that gives the value of a column in the one form that [`RowDecoder`](super::RowDecoder)
    /// reads. `place` is the column's quoted name, with the table's before it if need be.
    pub(crate) fn select(self, place: &str, collation: Option<&str>) -> String {
        let latin = collation.is_some_and(is_latin1);
        match self {
            // The protocol sends money as an integer, of which the driver makes a binary float.
            ColumnType::Money => format!("CAST({place} AS decimal(19,4))"),
            // In other code pages the server knows better what the bytes mean.
            ColumnType::Text { bytes } if !latin => {
                let length = if bytes <= NVARCHAR_CHARS_MAX { bytes.to_string() } else { "max".to_owned() };
                format!("CAST({place} AS nvarchar({length}))")
            }
            ColumnType::LongText if !latin => format!("CAST({place} AS nvarchar(max))"),
            ColumnType::Xml | ColumnType::Json => format!("CAST({place} AS nvarchar(max))"),
            ColumnType::HierarchyId => format!("CAST({place} AS varbinary(892))"),
            ColumnType::Object => format!("CAST({place} AS varbinary(max))"),
            ColumnType::Variant => format!(
                "CASE WHEN CAST(SQL_VARIANT_PROPERTY({place}, 'BaseType') AS nvarchar(128)) IN (N'money', \
                 N'smallmoney') THEN CAST(CAST({place} AS decimal(19,4)) AS sql_variant) ELSE {place} END"
            ),
            _ => place.to_owned(),
        }
    }
}

/// Whether texts in code pages under this collation are in Windows-1252, which every driver reads alike.
fn is_latin1(collation: &str) -> bool {
    let latin = ["Latin1_General_", "SQL_Latin1_General_CP1_"].iter().any(|start| collation.starts_with(start));
    latin && !collation.ends_with("_UTF8")
}

/// The expressions for all columns of a table, in the schema's order, each under its own name. `qualifier` stands
/// before each column's name: an alias with its dot, or nothing.
pub(crate) fn select_list(table: &TableSchema, qualifier: &str) -> String {
    let select = |column: &Column| format!("{} AS {}", select_column(column, qualifier), quoted(&column.name));
    table.columns.iter().map(select).collect::<Vec<_>>().join(", ")
}

/// The expression for one column.
pub(crate) fn select_column(column: &Column, qualifier: &str) -> String {
    let place = format!("{qualifier}{}", quoted(&column.name));
    ColumnType::parse(&column.source_type).select(&place, column.collation.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_from_their_text() {
        for (text, found) in [
            ("int", ColumnType::Integer),
            ("decimal(10,2)", ColumnType::Decimal),
            ("varchar(50)", ColumnType::Text { bytes: 50 }),
            ("VARCHAR(MAX)", ColumnType::LongText),
            ("nvarchar(max)", ColumnType::LongNationalText),
            ("varbinary(max)", ColumnType::LongBinary),
            ("timestamp", ColumnType::Binary),
            ("datetime2(7)", ColumnType::DateTime),
            ("geography", ColumnType::Object),
            ("dbo.Point", ColumnType::Object),
        ] {
            assert_eq!(ColumnType::parse(text), found, "{text}");
        }
    }

    #[test]
    fn only_what_the_way_would_change_is_converted() {
        let select = |text: &str, collation| ColumnType::parse(text).select("[c]", collation);
        assert_eq!(select("int", None), "[c]");
        assert_eq!(select("varchar(10)", Some("SQL_Latin1_General_CP1_CI_AS")), "[c]");
        assert_eq!(select("varchar(10)", Some("SQL_Latin1_General_CP437_CI_AS")), "CAST([c] AS nvarchar(10))");
        assert_eq!(select("varchar(10)", Some("Latin1_General_100_CI_AS_SC_UTF8")), "CAST([c] AS nvarchar(10))");
        assert_eq!(select("varchar(8000)", Some("Cyrillic_General_CI_AS")), "CAST([c] AS nvarchar(max))");
        assert_eq!(select("money", None), "CAST([c] AS decimal(19,4))");
        assert_eq!(select("xml", None), "CAST([c] AS nvarchar(max))");
    }
}
