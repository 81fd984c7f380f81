//! One item of `sources`.

mod mysql;
mod sqlserver;
mod tls;

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_core::source::SourceConnector;
use millstream_mysql::MySqlConfig;
use millstream_sqlserver::{Authentication, SqlServerConfig};

use crate::config::document::{Node, Value};
use crate::config::fault::did_you_mean;
use crate::config::fields::{Fields, Placed, Reading};
use crate::config::folder_of;
use crate::config::kind::Kind;
use crate::config::uri::{self, with_password, without_password};
use crate::failure::Failure;

const NAME_RULE: &str = "a name has letters, digits, `_` and `-`";
const READERS: RangeInclusive<u64> = 1..=32;
const CONNECT_SECONDS: RangeInclusive<u64> = 1..=3_600;
const QUERY_SECONDS: RangeInclusive<u64> = 1..=86_400;

/// One source.
#[derive(Debug, Clone)]
pub(crate) struct SourceConfig {
    /// How it is called in commands, logs and the store.
    pub(crate) name: String,
    /// Whether it is the file's first: table names without a source are its.
    pub(crate) is_default: bool,
    /// Where it is, without the password.
    pub(crate) address: String,
    /// A limit on what re-reading tables asks of the source; `None` for as fast as it goes.
    pub(crate) rows_per_second_max: Option<u64>,
    pub(crate) connection: Connection,
}

/// How to follow it.
#[derive(Debug, Clone)]
pub(crate) enum Connection {
    MySql(Box<MySqlConfig>),
    SqlServer(Box<SqlServerConfig>),
}

impl SourceConfig {
    /// Reads an item. Faults are noted in `reading`; of an item with any there is the name, if that is known.
    /// `names` are those of the items before, with their lines.
    pub(super) fn read(
        item: Node,
        is_default: bool,
        names: &mut HashMap<String, u64>,
        reading: &mut Reading<'_>,
    ) -> Result<Self, Option<String>> {
        let errors_before = reading.errors();
        // Which keys there are depends on the kind; what is wrong with the kind itself is told below.
        let kind = kind_of(&item).unwrap_or(Kind::MySql);
        let keys = match kind {
            Kind::MySql => mysql::KEYS,
            Kind::SqlServer => sqlserver::KEYS,
        };
        let mut fields = Fields::of("a source", keys, item, reading).ok_or(None)?;
        let name = read_name(&mut fields, names, reading);
        read_kind(&mut fields, reading);
        let uri = fields.required_text("uri", kind.example(), reading);
        let password = fields.text("password", reading);
        if let Some(uri) = &uri {
            for (message, suggestion) in uri::faults(&uri.value, Some(kind), password.is_some()) {
                reading.error(uri.place, message, suggestion);
            }
        }
        let mut connection = match kind {
            Kind::MySql => Connection::MySql(Box::new(mysql::read(&mut fields, reading))),
            Kind::SqlServer => Connection::SqlServer(Box::new(sqlserver::read(&mut fields, reading))),
        };
        if let (Some(uri), Connection::SqlServer(config)) = (&uri, &connection)
            && config.authentication == Authentication::Sql
            && !uri.value.contains('@')
        {
            reading.error(uri.place, "the URI names no user", format!("write {}", kind.example()));
        }
        let rows_per_second_max = fields.number("rows_per_second_max", 1..=u64::MAX, reading);
        let (name, uri) = match (name, uri) {
            (Some(name), Some(uri)) if reading.errors() == errors_before => (name, uri.value),
            (name, _) => return Err(name),
        };
        connection.locate(&uri, password.as_ref().map(|password| password.value.as_str()));
        Ok(Self { name, is_default, address: without_password(&uri), rows_per_second_max, connection })
    }

    /// The connector for it. Nothing is connected yet.
    pub(crate) fn connector(&self) -> Result<Arc<dyn SourceConnector>, Failure> {
        match &self.connection {
            Connection::MySql(config) => Ok(config.as_ref().clone().build(&self.name)?),
            Connection::SqlServer(config) => Ok(config.as_ref().clone().build(&self.name)?),
        }
    }

    /// The kind of source, as in the configuration.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.connection {
            Connection::MySql(_) => Kind::MySql.word(),
            Connection::SqlServer(_) => Kind::SqlServer.word(),
        }
    }

    /// The namespace that table names without one refer to.
    pub(crate) fn default_schema(&self) -> Option<String> {
        match &self.connection {
            Connection::MySql(config) => config.default_schema(),
            Connection::SqlServer(config) => config.default_schema(),
        }
    }
}

impl Connection {
    /// Where it leads, with the password wherever that was found.
    fn locate(&mut self, uri: &str, password: Option<&str>) {
        let uri = password.map_or_else(|| uri.to_owned(), |password| with_password(uri, password));
        match self {
            Connection::MySql(config) => config.uri = millstream_mysql::ServerUri::new(uri),
            Connection::SqlServer(config) => config.uri = millstream_sqlserver::ServerUri::new(uri),
        }
    }
}

/// What the item says it is.
fn kind_of(item: &Node) -> Option<Kind> {
    let Value::Map(entries) = &item.value else { return None };
    let entry = entries.iter().find(|entry| entry.key == "type")?;
    match &entry.node.value {
        Value::Text(word) => Kind::of_word(word),
        _ => None,
    }
}

fn read_kind(fields: &mut Fields, reading: &mut Reading<'_>) {
    let Some(kind) = fields.required_text("type", Kind::MySql.word(), reading) else { return };
    if Kind::of_word(&kind.value).is_some() {
        return;
    }
    let suggestion = match did_you_mean(&kind.value, Kind::WORDS) {
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("these are known: {} (`mysql` is for MariaDB too)", Kind::WORDS.join(", ")),
    };
    reading.error(kind.place, format!("there is no source type `{}`", kind.value), suggestion);
}

fn read_name(fields: &mut Fields, names: &mut HashMap<String, u64>, reading: &mut Reading<'_>) -> Option<String> {
    let name = fields.required_text("name", "shop", reading)?;
    if !is_name(&name.value) {
        reading.error(name.place, format!("`{}` can't be a source's name", name.value), NAME_RULE);
    }
    // Commands and the store tell sources apart by their names.
    if let Some(line) = names.insert(name.value.clone(), name.place.line) {
        let message = format!("the name `{}` is taken by the source in line {line}", name.value);
        reading.error(name.place, message, "give each source a name of its own");
    }
    Some(name.value)
}

/// One of several words. `what` says of what, for messages. `None` if there is none or another.
fn choice<T: Clone>(
    what: &str,
    words: &[(&'static str, T)],
    text: Option<Placed<String>>,
    reading: &mut Reading<'_>,
) -> Option<T> {
    let text = text?;
    if let Some((_, found)) = words.iter().find(|(word, _)| *word == text.value) {
        return Some(found.clone());
    }
    let known: Vec<&'static str> = words.iter().map(|(word, _)| *word).collect();
    let suggestion = match did_you_mean(&text.value, &known) {
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("one of {}", known.join(", ")),
    };
    reading.error(text.place, format!("there is no {what} `{}`", text.value), suggestion);
    None
}

/// A file that must be readable; relative to the configuration's folder.
fn read_file(key: &'static str, fields: &mut Fields, reading: &mut Reading<'_>) -> Option<PathBuf> {
    let text = fields.text(key, reading)?;
    let file = folder_of(reading.file).join(Path::new(&text.value));
    if let Err(error) = std::fs::File::open(&file) {
        reading.error(
            text.place,
            format!("{} can't be read: {error}", file.display()),
            "name a file that can be read; a relative path begins at the configuration's folder",
        );
    }
    Some(file)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-".contains(letter))
}
