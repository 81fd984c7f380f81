//! One item of `sources`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_core::source::SourceConnector;

use millstream_mysql::{MySqlConfig, ServerUri, Tls, TlsMode};

use crate::config::document::{Node, Value};
use crate::config::fault::did_you_mean;
use crate::config::fields::{Fields, Placed, Reading};
use crate::config::folder_of;
use crate::config::uri::{self, with_password, without_password};
use crate::failure::Failure;

const KEYS: &[&str] = &[
    "name",
    "type",
    "uri",
    "password",
    "tls",
    "readers",
    "connect_timeout_seconds",
    "query_timeout_seconds",
    "server_id",
    "lookahead_bytes_max",
    "rows_per_second_max",
];
const TLS_KEYS: &[&str] = &["mode", "ca_certificate", "client_certificate", "client_key"];
const TYPES: &[&str] = &["mysql"];
const TLS_MODES: &[(&str, TlsMode)] = &[
    ("preferred", TlsMode::Preferred),
    ("required", TlsMode::Required),
    ("verify_ca", TlsMode::VerifyCa),
    ("verify_identity", TlsMode::VerifyIdentity),
    ("disabled", TlsMode::Disabled),
];
const NAME_RULE: &str = "a name has letters, digits, `_` and `-`";

/// One source.
#[derive(Debug, Clone)]
pub(crate) struct SourceConfig {
    /// How it is called in commands, logs and the store.
    pub(crate) name: String,
    /// Where it is, without the password.
    pub(crate) address: String,
    /// A limit on what re-reading tables asks of the source; `None` for as fast as it goes.
    pub(crate) rows_per_second_max: Option<u64>,
    pub(crate) connection: Connection,
}

/// How to follow it.
#[derive(Debug, Clone)]
pub(crate) enum Connection {
    MySql(MySqlConfig),
}

impl SourceConfig {
    /// Reads an item. Faults are noted in `reading`; an item that is too faulty to go on with is `None`.
    /// `names` are those of the items before, with their lines.
    pub(super) fn read(item: Node, names: &mut HashMap<String, u64>, reading: &mut Reading<'_>) -> Option<Self> {
        let errors_before = reading.errors();
        let mut fields = Fields::of("a source", KEYS, item, reading)?;
        let name = fields.required_text("name", "shop", reading);
        if let Some(name) = &name {
            if !is_name(&name.value) {
                reading.error(name.place, format!("`{}` can't be a source's name", name.value), NAME_RULE);
            }
            // Commands and the store tell sources apart by their names.
            if let Some(line) = names.insert(name.value.clone(), name.place.line) {
                let message = format!("the name `{}` is taken by the source in line {line}", name.value);
                reading.error(name.place, message, "give each source a name of its own");
            }
        }
        let kind = fields.required_text("type", "mysql", reading);
        if let Some(kind) = kind.as_ref().filter(|kind| !TYPES.contains(&kind.value.as_str())) {
            let suggestion = match did_you_mean(&kind.value, TYPES) {
                Some(word) => format!("did you mean `{word}`?"),
                None => format!("these are known: {} (for MariaDB too)", TYPES.join(", ")),
            };
            reading.error(kind.place, format!("there is no source type `{}`", kind.value), suggestion);
        }
        let uri = fields.required_text("uri", uri::EXAMPLE, reading);
        let password = fields.text("password", reading);
        if let Some(uri) = &uri {
            for (message, suggestion) in uri::faults(&uri.value, password.is_some()) {
                reading.error(uri.place, message, suggestion);
            }
        }
        let tls = fields.take("tls").map_or_else(Tls::default, |node| read_tls(node, reading));
        let mut config = MySqlConfig { tls, ..MySqlConfig::new(String::new()) };
        read_numbers(&mut fields, &mut config, reading);
        let rows_per_second_max = fields.number("rows_per_second_max", 1..=u64::MAX, reading);
        let (name, uri) = (name?, uri?.value);
        if reading.errors() > errors_before {
            return None;
        }
        config.uri = complete(&uri, password.as_ref().map(|password| password.value.as_str()));
        let address = without_password(&uri);
        Some(Self { name: name.value, address, rows_per_second_max, connection: Connection::MySql(config) })
    }

    /// A source that no file describes yet.
    pub(crate) fn from_parts(name: &str, uri: &str, password: Option<&str>) -> Result<Self, Failure> {
        if !is_name(name) {
            return Err(Failure::new(format!("`{name}` can't be a source's name"), NAME_RULE));
        }
        let mut config = MySqlConfig::new("");
        config.uri = complete(uri, password);
        Ok(Self {
            name: name.to_owned(),
            address: without_password(uri),
            rows_per_second_max: None,
            connection: Connection::MySql(config),
        })
    }

    /// The connector for it. Nothing is connected yet.
    pub(crate) fn connector(&self) -> Result<Arc<dyn SourceConnector>, Failure> {
        match &self.connection {
            Connection::MySql(config) => Ok(config.clone().build(&self.name)?),
        }
    }

    /// The kind of source, as in the configuration.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.connection {
            Connection::MySql(_) => "mysql",
        }
    }

    /// The namespace that table names without one refer to.
    pub(crate) fn default_schema(&self) -> Option<String> {
        match &self.connection {
            Connection::MySql(config) => config.default_schema(),
        }
    }
}

fn complete(uri: &str, password: Option<&str>) -> ServerUri {
    ServerUri::new(password.map_or_else(|| uri.to_owned(), |password| with_password(uri, password)))
}

fn read_numbers(fields: &mut Fields, config: &mut MySqlConfig, reading: &mut Reading<'_>) {
    const READERS_MAX: u64 = 32;
    if let Some(readers) = fields.number("readers", 1..=READERS_MAX, reading) {
        config.readers = readers as usize;
    }
    if let Some(seconds) = fields.number("connect_timeout_seconds", 1..=3600, reading) {
        config.connect_timeout_seconds = seconds;
    }
    if let Some(seconds) = fields.number("query_timeout_seconds", 1..=86_400, reading) {
        config.query_timeout_seconds = seconds;
    }
    if let Some(id) = fields.number("server_id", 1..=u64::from(u32::MAX), reading) {
        config.server_id = u32::try_from(id).ok();
    }
    if let Some(bytes) = fields.number("lookahead_bytes_max", 1 << 20..=1 << 40, reading) {
        config.lookahead_bytes_max = bytes as usize;
    }
}

fn read_tls(node: Node, reading: &mut Reading<'_>) -> Tls {
    // `tls: required` says all that most set-ups need.
    if matches!(node.value, Value::Text(_)) {
        return Tls { mode: read_mode(reading.text("tls", node), reading), ..Tls::default() };
    }
    let Some(mut fields) = Fields::of("`tls`", TLS_KEYS, node, reading) else { return Tls::default() };
    let mut tls = Tls { mode: read_mode(fields.text("mode", reading), reading), ..Tls::default() };
    tls.ca_certificate = read_file("ca_certificate", &mut fields, reading);
    tls.client_certificate = read_file("client_certificate", &mut fields, reading);
    tls.client_key = read_file("client_key", &mut fields, reading);
    if tls.client_certificate.is_some() != tls.client_key.is_some() {
        reading.error(
            fields.place(),
            "`client_certificate` and `client_key` belong together and one is missing",
            "name both files, or neither",
        );
    }
    tls
}

fn read_mode(text: Option<Placed<String>>, reading: &mut Reading<'_>) -> TlsMode {
    let Some(text) = text else { return TlsMode::default() };
    let known: Vec<&'static str> = TLS_MODES.iter().map(|(word, _)| *word).collect();
    if let Some((_, mode)) = TLS_MODES.iter().find(|(word, _)| *word == text.value) {
        return *mode;
    }
    let suggestion = match did_you_mean(&text.value, &known) {
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("one of {}", known.join(", ")),
    };
    reading.error(text.place, format!("there is no TLS mode `{}`", text.value), suggestion);
    TlsMode::default()
}

/// A file that must be readable; relative to the configuration's folder.
fn read_file(key: &'static str, fields: &mut Fields, reading: &mut Reading<'_>) -> Option<PathBuf> {
    let text = fields.text(key, reading)?;
    let file = folder_of(reading.file).join(Path::new(&text.value));
    if let Err(error) = std::fs::File::open(&file) {
        reading.error(
            text.place,
            format!("{} can't be read: {error}", file.display()),
            "name a file in PEM format; a relative path begins at the configuration's folder",
        );
    }
    Some(file)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-".contains(letter))
}
