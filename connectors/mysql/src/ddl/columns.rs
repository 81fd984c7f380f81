//! Which columns keep all their values though their definition changes.
//!
//! A re-read is right whatever this says; it is spared where each rule below has an argument. What no rule covers may
//! have changed.

use millstream_core::schema::{Column, TableSchema};

/// The columns whose definition differs between two shapes of a table though no stored value can, as it is delivered.
/// `strict` is [`SqlMode::strict`](super::SqlMode::strict).
///
/// Only for an ALTER TABLE whose reading says that it replaced no rows: `ALTER IGNORE`, a new AUTO_INCREMENT and some
/// SQL modes change values whatever the types.
pub(crate) fn values_kept(before: &TableSchema, after: &TableSchema, strict: bool) -> Vec<String> {
    let kept = |column: &&Column| {
        let other = after.columns.iter().find(|other| other.name == column.name);
        other.is_some_and(|other| *other != **column && keeps_values(column, other, strict))
    };
    before.columns.iter().filter(kept).map(|column| column.name.clone()).collect()
}

fn keeps_values(before: &Column, after: &Column, strict: bool) -> bool {
    // A generated column is computed again, and what its expression gives may depend on its type.
    if before.generated.is_some() || after.generated.is_some() {
        return false;
    }
    let (Some(old), Some(new)) = (Type::parse(before), Type::parse(after)) else { return false };
    // In strict mode a NULL in a column that becomes NOT NULL makes the statement fail; otherwise it becomes 0, '' or,
    // in a TIMESTAMP in either mode, the time of the statement.
    let nulls_kept =
        after.nullable || !before.nullable || (strict && !matches!(new, Type::Moment { timestamp: true, .. }));
    nulls_kept && new.holds_all_of(&old, strict)
}

/// What of a column's type decides about its values.
#[derive(Debug, PartialEq)]
enum Type<'a> {
    /// An integer of `bits` bits. Display width and ZEROFILL don't change what is delivered, which is a number.
    Int {
        bits: u32,
        unsigned: bool,
    },
    Decimal {
        digits: u32,
        scale: u32,
        unsigned: bool,
    },
    /// CHAR, VARCHAR or one of the TEXTs.
    Text {
        kind: Stored,
        charset: &'a str,
    },
    /// VARBINARY or one of the BLOBs.
    Blob {
        kind: Stored,
    },
    /// ENUM or SET.
    Labels {
        set: bool,
        labels: Vec<&'a str>,
        charset: &'a str,
    },
    /// DATETIME or TIMESTAMP.
    Moment {
        timestamp: bool,
        fraction: u32,
    },
}

/// How much of a text or a blob is kept.
#[derive(Debug, PartialEq)]
enum Stored {
    /// CHAR: without the spaces at its end.
    Fixed { length: u32 },
    /// VARCHAR, VARBINARY: as it is.
    Variable { length: u32 },
    /// The TEXTs and BLOBs: as it is, up to 2^8, 2^16, 2^24 or 2^32 bytes, by the exponent.
    Large { exponent: u32 },
}

impl<'a> Type<'a> {
    /// `None` for types without a rule.
    fn parse(column: &'a Column) -> Option<Self> {
        let text = column.source_type.as_str();
        let name_length = text.find(|next: char| !next.is_ascii_alphabetic()).unwrap_or(text.len());
        let (name, rest) = text.split_at_checked(name_length)?;
        let (arguments, flags) = match rest.strip_prefix('(') {
            // Labels may hold parentheses; nothing follows the last one but flags, which hold none.
            Some(rest) => rest.rsplit_once(')')?,
            None => ("", rest),
        };
        let (mut unsigned, mut zerofill) = (false, false);
        for flag in flags.split_whitespace() {
            match flag {
                "unsigned" => unsigned = true,
                "zerofill" => zerofill = true,
                _ => return None,
            }
        }
        let bits = match name {
            "tinyint" => 8,
            "smallint" => 16,
            "mediumint" => 24,
            "int" => 32,
            "bigint" => 64,
            _ => return Self::other(name, arguments, unsigned, zerofill, column.collation.as_deref()),
        };
        Some(Type::Int { bits, unsigned })
    }

    fn other(
        name: &str,
        arguments: &'a str,
        unsigned: bool,
        zerofill: bool,
        collation: Option<&'a str>,
    ) -> Option<Self> {
        let charset = collation.map(|collation| match collation.split_once('_').map_or(collation, |(name, _)| name) {
            "utf8" => "utf8mb3",
            charset => charset,
        });
        let number = || arguments.parse::<u32>().ok();
        let large = |exponent: u32| Stored::Large { exponent };
        Some(match name {
            // ZEROFILL is seen in the text of a decimal, and its zeroes grow with the type.
            "decimal" if !zerofill => {
                let (digits, scale) = arguments.split_once(',')?;
                Type::Decimal { digits: digits.parse().ok()?, scale: scale.parse().ok()?, unsigned }
            }
            "char" => Type::Text { kind: Stored::Fixed { length: number()? }, charset: charset? },
            "varchar" => Type::Text { kind: Stored::Variable { length: number()? }, charset: charset? },
            "tinytext" => Type::Text { kind: large(8), charset: charset? },
            "text" => Type::Text { kind: large(16), charset: charset? },
            "mediumtext" => Type::Text { kind: large(24), charset: charset? },
            "longtext" => Type::Text { kind: large(32), charset: charset? },
            "varbinary" => Type::Blob { kind: Stored::Variable { length: number()? } },
            "tinyblob" => Type::Blob { kind: large(8) },
            "blob" => Type::Blob { kind: large(16) },
            "mediumblob" => Type::Blob { kind: large(24) },
            "longblob" => Type::Blob { kind: large(32) },
            "enum" | "set" => Type::Labels { set: name == "set", labels: labels(arguments)?, charset: charset? },
            "datetime" | "timestamp" => Type::Moment {
                timestamp: name == "timestamp",
                fraction: if arguments.is_empty() { 0 } else { number()? },
            },
            _ => return None,
        })
    }

    /// Whether every value of `old` is the same value in this type.
    fn holds_all_of(&self, old: &Self, strict: bool) -> bool {
        match (old, self) {
            // Every number has its place in a wider type, a number without sign also in a wider one with it.
            (Type::Int { bits: old_bits, unsigned: old_unsigned }, Type::Int { bits, unsigned }) => {
                let sign_kept = old_unsigned == unsigned && old_bits <= bits;
                sign_kept || (*old_unsigned && old_bits < bits)
            }
            // As many digits behind the point, so the same text; and room for those before it.
            (
                Type::Decimal { digits: old_digits, scale: old_scale, unsigned: old_unsigned },
                Type::Decimal { digits, scale, unsigned },
            ) => old_scale == scale && old_digits <= digits && (*old_unsigned || !unsigned),
            (Type::Text { kind: old_kind, charset: old_charset }, Type::Text { kind, charset }) => {
                charset_keeps_text(old_charset, charset) && kind.has_room_for(old_kind)
            }
            (Type::Blob { kind: old_kind }, Type::Blob { kind }) => kind.has_room_for(old_kind),
            // Values are numbers of labels, delivered as labels: labels at the end change no other's number.
            (
                Type::Labels { set: old_set, labels: old_labels, charset: old_charset },
                Type::Labels { set, labels, charset },
            ) => old_set == set && charset_keeps_text(old_charset, charset) && labels.starts_with(old_labels),
            // Delivered with three digits of fraction or as many as declared, if more. A day such as 2024-00-00 may
            // become 0000-00-00 under some SQL modes; under strict ones that is an error instead.
            (
                Type::Moment { timestamp: old_timestamp, fraction: old_fraction },
                Type::Moment { timestamp, fraction },
            ) => {
                let unchanged = old_fraction == fraction;
                old_timestamp == timestamp && (unchanged || (strict && old_fraction < fraction && *fraction <= 3))
            }
            _ => false,
        }
    }
}

impl Stored {
    /// Whether whatever the other kind keeps, this one keeps as it is. BINARY isn't among them: it fills up with zeroes.
    fn has_room_for(&self, old: &Stored) -> bool {
        match (old, self) {
            (Stored::Fixed { length: old }, Stored::Fixed { length }) => old <= length,
            (Stored::Variable { length: old }, Stored::Variable { length }) => old <= length,
            (Stored::Large { exponent: old }, Stored::Large { exponent }) => old <= exponent,
            // No row holds more than 2^16 bytes of a VARCHAR.
            (Stored::Variable { .. }, Stored::Large { exponent }) => *exponent >= 16,
            _ => false,
        }
    }
}

/// A collation orders and compares; the text stays. utf8mb4 holds utf8mb3's characters in the same bytes.
fn charset_keeps_text(old: &str, new: &str) -> bool {
    old == new || (old == "utf8mb3" && new == "utf8mb4")
}

/// The labels between the parentheses of an ENUM or SET, quoted and with quotes in them doubled, as they are.
fn labels(arguments: &str) -> Option<Vec<&str>> {
    let mut labels = Vec::new();
    let mut rest = arguments;
    loop {
        let body = rest.strip_prefix('\'')?;
        let mut quotes = body.match_indices('\'').map(|(index, _)| index).peekable();
        let end = loop {
            let quote = quotes.next()?;
            // Two in a row stand for one in the label.
            if quotes.next_if_eq(&(quote + 1)).is_none() {
                break quote;
            }
        };
        labels.push(body.get(..end)?);
        rest = body.get(end + 1..)?;
        if rest.is_empty() {
            return Some(labels);
        }
        rest = rest.strip_prefix(',')?;
    }
}

#[cfg(test)]
mod tests {
    use millstream_core::schema::Generated;

    use super::*;

    fn column(source_type: &str) -> Column {
        let (source_type, collation) = match source_type.split_once(" collate ") {
            Some((source_type, collation)) => (source_type, Some(collation.to_owned())),
            None => (source_type, None),
        };
        Column {
            name: "c".into(),
            source_type: source_type.into(),
            nullable: true,
            collation,
            generated: None,
            default: None,
        }
    }

    fn keeps(before: &str, after: &str) -> bool {
        keeps_values(&column(before), &column(after), true)
    }

    #[test]
    fn types_that_hold_every_old_value_as_it_was_keep_it() {
        for (before, after) in [
            ("tinyint", "int"),
            ("int(11)", "int"),
            ("int(5) unsigned zerofill", "bigint(20) unsigned"),
            ("int unsigned", "bigint"),
            ("decimal(10,2)", "decimal(12,2)"),
            ("decimal(10,2) unsigned", "decimal(10,2)"),
            ("varchar(10) collate utf8mb3_general_ci", "varchar(20) collate utf8mb4_bin"),
            ("varchar(10) collate utf8_general_ci", "varchar(10) collate utf8mb3_bin"),
            ("varchar(10) collate latin1_bin", "mediumtext collate latin1_bin"),
            ("char(3) collate latin1_bin", "char(4) collate latin1_swedish_ci"),
            ("tinytext collate latin1_bin", "text collate latin1_bin"),
            ("varbinary(4)", "varbinary(8)"),
            ("varbinary(4)", "longblob"),
            ("blob", "mediumblob"),
            ("enum('a','b') collate utf8mb4_bin", "enum('a','b','c') collate utf8mb4_bin"),
            ("set('a,(''b') collate utf8mb4_bin", "set('a,(''b',')') collate utf8mb4_bin"),
            ("datetime", "datetime(3)"),
            ("timestamp(1)", "timestamp(2)"),
        ] {
            assert!(keeps(before, after), "{before} -> {after}");
        }
    }

    #[test]
    fn all_others_may_change() {
        for (before, after) in [
            ("int", "smallint"),
            ("int", "int unsigned"),
            ("int unsigned", "int"),
            ("int", "double"),
            ("float", "double"),
            ("decimal(10,2)", "decimal(12,3)"),
            ("decimal(10,2) unsigned zerofill", "decimal(12,2) unsigned zerofill"),
            ("varchar(10) collate latin1_bin", "varchar(9) collate latin1_bin"),
            ("varchar(10) collate latin1_bin", "varchar(10) collate utf8mb4_bin"),
            ("varchar(10) collate utf8mb4_bin", "varchar(10) collate utf8mb3_bin"),
            ("varchar(10) collate latin1_bin", "tinytext collate latin1_bin"),
            ("varchar(10) collate latin1_bin", "char(10) collate latin1_bin"),
            ("char(10) collate latin1_bin", "varchar(10) collate latin1_bin"),
            ("text collate latin1_bin", "blob"),
            ("binary(3)", "binary(4)"),
            ("binary(3)", "varbinary(3)"),
            ("bit(3)", "bit(4)"),
            ("year", "int"),
            ("enum('a','b') collate utf8mb4_bin", "enum('b','a') collate utf8mb4_bin"),
            ("enum('a','b') collate utf8mb4_bin", "enum('a') collate utf8mb4_bin"),
            ("enum('a') collate utf8mb4_bin", "set('a') collate utf8mb4_bin"),
            ("enum('a'',''b') collate utf8mb4_bin", "enum('a','b') collate utf8mb4_bin"),
            ("datetime(3)", "datetime(6)"),
            ("datetime(3)", "datetime"),
            ("datetime", "timestamp"),
            ("time", "time(3)"),
            ("json", "longtext collate utf8mb4_bin"),
            ("varchar(10) /*M!100301 COMPRESSED*/ collate latin1_bin", "varchar(20) collate latin1_bin"),
        ] {
            assert!(!keeps(before, after), "{before} -> {after}");
        }
    }

    #[test]
    fn nulls_and_expressions_count() {
        let nullable = column("int");
        let not_null = Column { nullable: false, ..nullable.clone() };
        assert!(keeps_values(&nullable, &not_null, true));
        assert!(!keeps_values(&nullable, &not_null, false));
        assert!(keeps_values(&not_null, &nullable, false));
        let moment = column("timestamp");
        assert!(!keeps_values(&moment, &Column { nullable: false, ..moment.clone() }, true));
        assert!(!keeps_values(&column("datetime"), &column("datetime(3)"), false));
        let generated = Column { generated: Some(Generated::Stored("a + 1".into())), ..nullable.clone() };
        assert!(!keeps_values(&generated, &Column { source_type: "bigint".into(), ..generated.clone() }, true));
    }
}
