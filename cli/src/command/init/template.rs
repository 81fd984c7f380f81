//! The files that `init` writes.

use std::path::PathBuf;
use std::sync::Arc;

use millstream_core::schema::{Column, IdentityKind, TableName, TableSchema};

use crate::config::{Kind, environment_line};

/// A source's name made of a database's.
pub(super) fn source_name(database: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || "_-".contains(letter) { letter } else { '_' };
    database.chars().map(plain).collect()
}

/// A source, as the configuration is to describe it.
pub(super) struct Described<'a> {
    pub(super) name: &'a str,
    pub(super) kind: Kind,
    pub(super) uri: &'a str,
    pub(super) password_variable: Option<&'a str>,
    pub(super) tls_mode: Option<&'a str>,
    pub(super) ca_certificate: Option<PathBuf>,
}

pub(super) fn config(source: &Described) -> String {
    let Described { name, kind, uri, .. } = source;
    let password = match source.password_variable {
        Some(variable) => format!("    password: ${{{variable}}}    # from the environment, or from millstream.env\n"),
        None => String::new(),
    };
    let (word, servers, settings) = (kind.word(), kind.servers(), settings(source));
    let (name, uri) = (scalar(name), scalar(&uri.replace('$', "$$")));
    format!(
        "\
# What `millstream run` follows, and where it keeps what it makes of it. Paths are relative to this file.
# `millstream check` says whether everything fits together.

sources:
  - name: {name}
    type: {word}    # {servers}
    uri: {uri}
{password}
{settings}
    # To spare the database while tables are read: fewer connections (2 is the default), or a limit on the rows.
    # readers: 1
    # rows_per_second_max: 20000

# Which rows go into which bucket.
sync_config: sync-config.yaml

# The folder of the buckets. Losing it loses nothing that a new read of the sources wouldn't bring back, but clients
# would have to download everything again.
data: ./millstream-data
"
    )
}

/// What one kind of source has of its own; comments, but for what was asked for.
fn settings(source: &Described) -> String {
    let tls = tls(source);
    match source.kind {
        Kind::MySql => format!(
            "    # Encryption of every connection: preferred (the default), required, verify_ca, verify_identity, disabled.
{tls}"
        ),
        Kind::SqlServer => format!(
            "    # Encryption of every connection: verify_identity (the default), strict, required (which takes any certificate,
    # also one that the server made for itself), disabled.
{tls}
    # Whether Millstream makes the capture instances that a changed table needs (auto; its user must be a member of
    # db_owner), or says which statements to run (manual, the default).
    # capture_instances: auto
"
        ),
    }
}

fn tls(source: &Described) -> String {
    if source.tls_mode.is_none() && source.ca_certificate.is_none() {
        return "    # tls:\n    #   mode: verify_identity\n    #   ca_certificate: ca.pem\n".to_owned();
    }
    let mode = source.tls_mode.unwrap_or("verify_identity");
    let authority = source.ca_certificate.as_ref().map(|file| scalar(&file.display().to_string()));
    let authority = authority.map(|file| format!("      ca_certificate: {file}\n")).unwrap_or_default();
    format!("    tls:\n      mode: {}\n{authority}", scalar(mode))
}

/// `None` for a password that no line can hold.
pub(super) fn environment(variable: &str, password: &str) -> Option<String> {
    let line = environment_line(variable, password)?;
    Some(format!(
        "\
# Secrets for the configuration beside this file, one NAME=value a line. The environment of the process goes before it.
{line}"
    ))
}

const SYNC_CONFIG_HEAD: &str = "\
# Which rows go into which bucket. The language is that of PowerSync's sync rules: each data query selects from one
# table, and what it selects is the row as clients see it. A row needs a column `id`, which is text for clients.
#
# Binary columns are left out of rows; select them as text where they matter: hex(\"photo\") AS photo.

config:
  edition: 2
";

const MICROSECONDS: &str = "\
  # A key tells moments apart to the microsecond. With fewer digits several rows would have the same id.
  timestamp_max_precision: microseconds
";

const DEFINITIONS_HEAD: &str = "
bucket_definitions:
  # One bucket with every row of every table, for all users.
  everything:
    data:
";

const SYNC_CONFIG_TAIL: &str = "
  # A bucket for each user, with that user's rows alone, looks like this. Take the comment signs away, put your own
  # names in, and take the tables out of the bucket above.
  #
  # by_customer:
  #   parameters: SELECT request.user_id() AS customer_id
  #   data:
  #     - SELECT * FROM \"orders\" WHERE \"orders\".\"customer_id\" = bucket.customer_id
  #
  # Parameters may also come from a table:
  #
  # by_team:
  #   parameters: SELECT \"team_id\" FROM \"members\" WHERE \"members\".\"login\" = request.user_id()
  #   data:
  #     - SELECT * FROM \"tasks\" WHERE \"tasks\".\"team_id\" = bucket.team_id
";

/// `home` is the schema of tables that are named without one.
pub(super) fn sync_config(database: &str, home: &str, kind: Kind, tables: &[Arc<TableSchema>]) -> String {
    let mut text = SYNC_CONFIG_HEAD.to_owned();
    if kind == Kind::MySql && tables.iter().any(|table| key(table).any(has_microseconds)) {
        text.push_str(MICROSECONDS);
    }
    text.push_str(DEFINITIONS_HEAD);
    let mut selected = 0;
    for table in tables {
        match data_query(table, home, kind) {
            Ok(query) => {
                selected += 1;
                if hides_a_column(table) {
                    text.push_str("      # Its own column \"id\" isn't its key, and doesn't reach clients: they see the id that is made here.\n");
                }
                text.push_str(&format!("      - {}\n", scalar(&query)));
            }
            Err(reason) => {
                let name = if table.table.schema == home { table.table.name.clone() } else { table.table.to_string() };
                text.push_str(&format!("      # {}: {reason}\n", name.escape_default()));
            }
        }
    }
    if selected == 0 {
        // A definition needs a query; this one takes in whatever tables come.
        text.push_str(&format!("      # No table of {} could be written here by itself.\n", database.escape_default()));
        text.push_str("      - SELECT * FROM \"%\"\n");
    }
    text.push_str(SYNC_CONFIG_TAIL);
    text
}

/// The query that selects a whole table with an `id`; or why there is none.
pub(super) fn data_query(table: &TableSchema, home: &str, kind: Kind) -> Result<String, &'static str> {
    if table.table.name.contains('%') || table.table.schema.contains('%') {
        return Err("a % in a name stands for the rest of a name here; rename the table to have it in a bucket");
    }
    if table.identity.kind == IdentityKind::WholeRow {
        return Err("has no key that could be the `id` of its rows; add a primary key, then a query for it here");
    }
    let key: Vec<&Column> = key(table).collect();
    let mut selected = match key[..] {
        [column] if column.name == "id" && !is_binary(column, kind) => String::new(),
        _ => format!("{} AS id, ", id_of(&key, kind)),
    };
    selected.push('*');
    // `*` leaves out columns whose names begin with an underscore.
    for column in table.columns.iter().filter(|column| column.name.starts_with('_') && !is_binary(column, kind)) {
        selected.push_str(&format!(", {}", quoted(&column.name)));
    }
    let TableName { schema, name } = &table.table;
    let from = match schema == home {
        true => quoted(name),
        // Clients see tables by their own names alone, which two schemas may have.
        false => format!("{}.{} AS {}", quoted(schema), quoted(name), quoted(&format!("{schema}_{name}"))),
    };
    Ok(format!("SELECT {selected} FROM {from}"))
}

/// Whether a column is called `id` and isn't what rows are told apart by.
pub(super) fn hides_a_column(table: &TableSchema) -> bool {
    let is_id = |column: &Column| column.name == "id";
    table.columns.iter().any(is_id) && key(table).map(is_id).ne([true])
}

fn key(table: &TableSchema) -> impl Iterator<Item = &Column> {
    table.identity.columns.iter().filter_map(|index| table.columns.get(*index))
}

/// An id that no two rows share. Where a `/` between the parts isn't enough, because several of them may hold one,
/// all but the last of these say how long they are.
fn id_of(key: &[&Column], kind: Kind) -> String {
    let last_open = key.iter().rposition(|column| may_hold_a_slash(column, kind));
    let parts = key.iter().enumerate().map(|(index, column)| {
        let name = quoted(&column.name);
        match (is_binary(column, kind), may_hold_a_slash(column, kind) && last_open != Some(index)) {
            (true, _) => format!("hex({name})"),
            (false, true) => format!("length({name}) || '/' || {name}"),
            (false, false) => name,
        }
    });
    parts.collect::<Vec<_>>().join(" || '/' || ")
}

/// The first word of a type.
fn type_word(column: &Column) -> String {
    let word = column.source_type.split(|letter: char| !letter.is_ascii_alphanumeric()).next().unwrap_or_default();
    word.to_ascii_lowercase()
}

fn is_binary(column: &Column, kind: Kind) -> bool {
    let word = type_word(column);
    let is_of_kind = match kind {
        Kind::MySql => word == "bit",
        // A bit is a number there, and no part of a key; a timestamp is no time.
        Kind::SqlServer => matches!(word.as_str(), "image" | "timestamp" | "rowversion" | "hierarchyid"),
    };
    is_of_kind || word.ends_with("binary") || word.ends_with("blob")
}

fn may_hold_a_slash(column: &Column, kind: Kind) -> bool {
    const NUMBERS: &[&str] =
        &["decimal", "numeric", "float", "double", "real", "money", "smallmoney", "bit", "bool", "boolean", "year"];
    const TIMES: &[&str] = &["date", "datetime", "datetime2", "datetimeoffset", "smalldatetime", "timestamp", "time"];
    const OTHERS: &[&str] = &["uuid", "uniqueidentifier", "inet4", "inet6"];
    let word = type_word(column);
    let is_plain = word.ends_with("int") || [NUMBERS, TIMES, OTHERS].iter().any(|words| words.contains(&word.as_str()));
    !is_plain && !is_binary(column, kind)
}

/// Whether a column of MySQL's tells more than milliseconds, which texts of times have unless told otherwise.
fn has_microseconds(column: &Column) -> bool {
    let digits = column.source_type.split(['(', ')']).nth(1).and_then(|digits| digits.parse::<u32>().ok());
    matches!(type_word(column).as_str(), "datetime" | "timestamp") && digits.is_some_and(|digits| digits > 3)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as a YAML scalar: plain where that is safe, with escapes where it has what no line can show.
fn scalar(text: &str) -> String {
    if text.contains(char::is_control) {
        // A JSON string is one of YAML.
        return serde_json::Value::from(text).to_string();
    }
    let begins_plainly = text.starts_with(|first: char| first.is_ascii_alphanumeric() || "./_".contains(first));
    let holds_marks = text.contains(": ") || text.contains(" #") || text.ends_with([':', ' ']);
    let is_null = text.eq_ignore_ascii_case("null");
    if begins_plainly && !holds_marks && !is_null { text.to_owned() } else { format!("'{}'", text.replace('\'', "''")) }
}

#[cfg(test)]
mod tests {
    use millstream_core::schema::Identity;

    use super::*;

    fn table(name: &str, columns: &[(&str, &str)], identity: &[usize]) -> TableSchema {
        let column = |(name, source_type): &(&str, &str)| Column {
            name: (*name).into(),
            source_type: (*source_type).into(),
            nullable: false,
            collation: None,
            generated: None,
            default: None,
        };
        let kind = if identity.is_empty() { IdentityKind::WholeRow } else { IdentityKind::PrimaryKey };
        TableSchema {
            table: TableName::new("shop", name),
            columns: columns.iter().map(column).collect(),
            identity: Identity { kind, columns: identity.to_vec() },
            origin: None,
        }
    }

    #[test]
    fn every_table_with_a_key_gets_an_id() {
        for (columns, identity, query) in [
            (&[("id", "int")][..], &[0][..], "SELECT * FROM \"t\""),
            (&[("code", "char(3)"), ("id", "int")], &[0], "SELECT \"code\" AS id, * FROM \"t\""),
            (&[("a", "int"), ("b", "int")], &[0, 1], "SELECT \"a\" || '/' || \"b\" AS id, * FROM \"t\""),
            (&[("id", "binary(16)")], &[0], "SELECT hex(\"id\") AS id, * FROM \"t\""),
            (&[("at", "timestamp(6)")], &[0], "SELECT \"at\" AS id, * FROM \"t\""),
            (&[("id", "int"), ("_at", "timestamp")], &[0], "SELECT *, \"_at\" FROM \"t\""),
            (
                &[("a", "int unsigned"), ("b", "varchar(9)")],
                &[0, 1],
                "SELECT \"a\" || '/' || \"b\" AS id, * FROM \"t\"",
            ),
            (
                &[("a", "varchar(9)"), ("b", "blob"), ("c", "enum('x/y')")],
                &[0, 1, 2],
                "SELECT length(\"a\") || '/' || \"a\" || '/' || hex(\"b\") || '/' || \"c\" AS id, * FROM \"t\"",
            ),
            (&[("id", "int"), ("_rev", "int")], &[0], "SELECT *, \"_rev\" FROM \"t\""),
        ] {
            assert_eq!(data_query(&table("t", columns, identity), "shop", Kind::MySql).unwrap(), query);
        }
        let version = table("t", &[("id", "int"), ("_version", "timestamp")], &[0]);
        assert_eq!(data_query(&version, "shop", Kind::SqlServer).unwrap(), "SELECT * FROM \"t\"");
        assert!(data_query(&table("t", &[("a", "int")], &[]), "shop", Kind::MySql).is_err());
        for name in ["t%", "100%_x"] {
            assert!(data_query(&table(name, &[("id", "int")], &[0]), "shop", Kind::MySql).is_err());
        }
    }

    #[test]
    fn odd_names_survive_sql_and_yaml() {
        let query = data_query(&table("a\"b: c #1", &[("id", "int")], &[0]), "shop", Kind::MySql).unwrap();
        assert_eq!(query, "SELECT * FROM \"a\"\"b: c #1\"");
        assert_eq!(scalar(&query), "'SELECT * FROM \"a\"\"b: c #1\"'");
        assert_eq!(["null", "-", "on", "a:b", "~"].map(scalar), ["'null'", "'-'", "on", "a:b", "'~'"]);
        assert_eq!(source_name("my shop/ä"), "my_shop__");
    }

    #[test]
    fn what_is_written_is_what_the_reader_takes() {
        let tables = [table("orders", &[("id", "int")], &[0]), table("log", &[("a", "int")], &[])];
        let sync_config = |database: &str, home: &str, tables: &[Arc<TableSchema>]| {
            super::sync_config(database, home, Kind::MySql, tables)
        };
        let moments = table("moments", &[("at", "datetime(6)"), ("id", "int")], &[0]);
        let moments = sync_config("shop", "shop", &[Arc::new(moments)]);
        assert!(moments.contains("timestamp_max_precision: microseconds"), "{moments}");
        assert!(moments.contains("column \"id\" isn't its key"), "{moments}");
        let text = sync_config("shop", "shop", &tables.clone().map(Arc::new));
        assert!(!text.contains("timestamp_max_precision") && !text.contains("isn't its key"), "{text}");
        assert!(text.contains("      - SELECT * FROM \"orders\"\n"));
        assert!(text.contains("      # log: has no key"));
        let elsewhere = sync_config("shop", "dbo", &tables.map(Arc::new));
        assert!(elsewhere.contains("      - SELECT * FROM \"shop\".\"orders\" AS \"shop_orders\"\n"), "{elsewhere}");
        assert!(elsewhere.contains("      # shop.log: has no key"), "{elsewhere}");
        let odd = [table("two\nlines\t\u{85}", &[("id", "int")], &[0]), table("a\n", &[("a", "int")], &[])];
        let odd = sync_config("shop", "shop", &odd.map(Arc::new));
        assert!(odd.contains("      - \"SELECT * FROM \\\"two\\nlines"), "{odd}");
        for text in [text, elsewhere, moments, odd, sync_config("shop", "shop", &[])] {
            let parsed = millstream_sync_config::SyncConfig::parse(&text, "sync-config.yaml");
            assert_eq!(parsed.map(|config| config.warnings().to_vec()), Ok(Vec::new()), "{text}");
        }
    }
}
