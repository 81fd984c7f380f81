//! A column's type, read from the text of `information_schema.COLUMNS.COLUMN_TYPE`.

/// What a column holds, as far as its values' bytes and text depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ColumnType {
    Int { bytes: u8, unsigned: bool },
    Decimal { precision: u8, scale: u8, unsigned: bool },
    Float { unsigned: bool },
    Double { unsigned: bool },
    Bit { bits: u8 },
    Year,
    Date,
    Time { fraction: u8 },
    DateTime { fraction: u8 },
    Timestamp { fraction: u8 },
    Char { characters: u32 },
    VarChar { characters: u32, compressed: bool },
    Text { length_bytes: u8, compressed: bool },
    Binary { length: u8 },
    VarBinary { length: u32, compressed: bool },
    Blob { length_bytes: u8, compressed: bool },
    Enum { labels: Vec<String> },
    Set { labels: Vec<String> },
    Json,
    Geometry,
    Vector,
    Uuid,
    Inet4,
    Inet6,
}

impl ColumnType {
    /// `None` for a type that this program doesn't know.
    pub(crate) fn parse(source_type: &str) -> Option<ColumnType> {
        let compressed = source_type.contains("/*M!") && source_type.contains("COMPRESSED*/");
        let text = source_type.trim_start();
        let name_end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        let (name, rest) = text.split_at_checked(name_end)?;
        let name = name.to_ascii_lowercase();
        if matches!(name.as_str(), "enum" | "set") {
            let labels = labels(rest)?;
            return Some(if name == "enum" { ColumnType::Enum { labels } } else { ColumnType::Set { labels } });
        }
        let (arguments, attributes) = arguments(rest)?;
        let argument = |index: usize| arguments.get(index).copied();
        let unsigned = attributes.split_ascii_whitespace().any(|word| matches!(word, "unsigned" | "zerofill"));
        let fraction = argument(0).and_then(|digits| u8::try_from(digits).ok()).filter(|digits| *digits <= 6);
        let fraction = if arguments.is_empty() { Some(0) } else { fraction };
        Some(match name.as_str() {
            "tinyint" => ColumnType::Int { bytes: 1, unsigned },
            "smallint" => ColumnType::Int { bytes: 2, unsigned },
            "mediumint" => ColumnType::Int { bytes: 3, unsigned },
            "int" => ColumnType::Int { bytes: 4, unsigned },
            "bigint" => ColumnType::Int { bytes: 8, unsigned },
            "decimal" => {
                let precision = u8::try_from(argument(0).unwrap_or(10)).ok().filter(|digits| *digits <= 65)?;
                let scale = u8::try_from(argument(1).unwrap_or(0)).ok().filter(|digits| *digits <= precision)?;
                ColumnType::Decimal { precision, scale, unsigned }
            }
            "float" => ColumnType::Float { unsigned },
            "double" => ColumnType::Double { unsigned },
            "bit" => ColumnType::Bit {
                bits: u8::try_from(argument(0).unwrap_or(1)).ok().filter(|bits| (1..=64).contains(bits))?,
            },
            "year" => ColumnType::Year,
            "date" => ColumnType::Date,
            "time" => ColumnType::Time { fraction: fraction? },
            "datetime" => ColumnType::DateTime { fraction: fraction? },
            "timestamp" => ColumnType::Timestamp { fraction: fraction? },
            "char" => ColumnType::Char { characters: argument(0).unwrap_or(1) },
            "varchar" => ColumnType::VarChar { characters: argument(0)?, compressed },
            "tinytext" => ColumnType::Text { length_bytes: 1, compressed },
            "text" => ColumnType::Text { length_bytes: 2, compressed },
            "mediumtext" => ColumnType::Text { length_bytes: 3, compressed },
            "longtext" => ColumnType::Text { length_bytes: 4, compressed },
            "binary" => ColumnType::Binary { length: u8::try_from(argument(0).unwrap_or(1)).ok()? },
            "varbinary" => ColumnType::VarBinary { length: argument(0)?, compressed },
            "tinyblob" => ColumnType::Blob { length_bytes: 1, compressed },
            "blob" => ColumnType::Blob { length_bytes: 2, compressed },
            "mediumblob" => ColumnType::Blob { length_bytes: 3, compressed },
            "longblob" => ColumnType::Blob { length_bytes: 4, compressed },
            "json" => ColumnType::Json,
            "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon"
            | "geometrycollection" | "geomcollection" => ColumnType::Geometry,
            "vector" => ColumnType::Vector,
            "uuid" => ColumnType::Uuid,
            "inet4" => ColumnType::Inet4,
            "inet6" => ColumnType::Inet6,
            _ => return None,
        })
    }

    /// Whether it is unsigned, for numbers.
    pub(crate) fn unsigned(&self) -> Option<bool> {
        match self {
            ColumnType::Int { unsigned, .. }
            | ColumnType::Decimal { unsigned, .. }
            | ColumnType::Float { unsigned }
            | ColumnType::Double { unsigned } => Some(*unsigned),
            _ => None,
        }
    }

    /// Whether values are bytes of any length, without a character set.
    pub(crate) fn is_bytes(&self) -> bool {
        matches!(self, ColumnType::Binary { .. } | ColumnType::VarBinary { .. } | ColumnType::Blob { .. })
    }

    /// Whether values are texts in the column's character set.
    pub(crate) fn has_charset(&self) -> bool {
        matches!(self, ColumnType::Char { .. } | ColumnType::VarChar { .. } | ColumnType::Text { .. })
    }
}

/// The numbers in the parentheses that may follow a type's name, and what comes after them.
fn arguments(text: &str) -> Option<(Vec<u32>, &str)> {
    let Some(inner) = text.strip_prefix('(') else { return Some((Vec::new(), text)) };
    let (inner, attributes) = inner.split_once(')')?;
    let arguments = inner.split(',').map(|number| number.trim().parse().ok()).collect::<Option<Vec<u32>>>()?;
    Some((arguments, attributes))
}

/// The labels of `('a','it''s')`. The server doubles quotes and writes a few characters with a backslash.
fn labels(text: &str) -> Option<Vec<String>> {
    let mut chars = text.strip_prefix('(')?.chars().peekable();
    let mut labels = Vec::new();
    loop {
        if chars.next()? != '\'' {
            return None;
        }
        let mut label = String::new();
        loop {
            match chars.next()? {
                '\'' if chars.peek() == Some(&'\'') => label.extend(chars.next()),
                '\'' => break,
                '\\' => label.push(match chars.next()? {
                    '0' => '\0',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'b' => '\u{8}',
                    'Z' => '\u{1a}',
                    other => other,
                }),
                other => label.push(other),
            }
        }
        labels.push(label);
        match chars.next()? {
            ',' => {}
            ')' => return Some(labels),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> ColumnType {
        ColumnType::parse(text).unwrap_or_else(|| panic!("{text} isn't understood"))
    }

    #[test]
    fn types_of_all_editions_are_understood() {
        assert_eq!(parse("int"), ColumnType::Int { bytes: 4, unsigned: false });
        assert_eq!(parse("int(10) unsigned zerofill"), ColumnType::Int { bytes: 4, unsigned: true });
        assert_eq!(parse("decimal(10,2) unsigned"), ColumnType::Decimal { precision: 10, scale: 2, unsigned: true });
        assert_eq!(parse("bit(9)"), ColumnType::Bit { bits: 9 });
        assert_eq!(parse("datetime(3)"), ColumnType::DateTime { fraction: 3 });
        assert_eq!(parse("datetime(3) /* mariadb-5.3 */"), ColumnType::DateTime { fraction: 3 });
        assert_eq!(parse("timestamp /* 5.5 binary format */"), ColumnType::Timestamp { fraction: 0 });
        assert_eq!(
            parse("varchar(20) /*M!100301 COMPRESSED*/"),
            ColumnType::VarChar { characters: 20, compressed: true }
        );
        assert_eq!(parse("geomcollection"), ColumnType::Geometry);
        assert_eq!(parse("vector(3)"), ColumnType::Vector);
        assert_eq!(ColumnType::parse("hologram(3)"), None);
        assert_eq!(ColumnType::parse("decimal(99,2)"), None);
        assert_eq!(ColumnType::parse("decimal(5"), None);
    }

    #[test]
    fn labels_keep_quotes_commas_and_backslashes() {
        let labels = ["it's", "a,b", "back\\slash", "", "new\nline"].map(str::to_owned).to_vec();
        assert_eq!(parse(r"enum('it''s','a,b','back\\slash','','new\nline')"), ColumnType::Enum { labels });
        assert_eq!(ColumnType::parse("set('a"), None);
        assert_eq!(ColumnType::parse("set('a'x"), None);
    }
}
