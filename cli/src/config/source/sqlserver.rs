//! The keys of a source of type `sqlserver`.

use millstream_sqlserver::{Authentication, CaptureInstances, Cleanup, SqlServerConfig, Tls, TlsMode};

use super::tls::TlsFields;
use super::{CONNECT_SECONDS, QUERY_SECONDS, READERS, choice, read_file};
use crate::config::document::{Node, Value};
use crate::config::fields::{Fields, Reading};

pub(super) const KEYS: &[&str] = &[
    "name",
    "type",
    "uri",
    "password",
    "instance",
    "authentication",
    "tls",
    "capture_instances",
    "cleanup",
    "poll_interval_ms",
    "readers",
    "connect_timeout_seconds",
    "query_timeout_seconds",
    "rows_per_second_max",
];
const TLS_KEYS: &[&str] = &["mode", "ca_certificate", "certificate_host", "client_certificate", "client_key"];
const TLS_MODES: &[(&str, TlsMode)] = &[
    ("verify_identity", TlsMode::VerifyIdentity),
    ("strict", TlsMode::Strict),
    ("required", TlsMode::Required),
    ("disabled", TlsMode::Disabled),
];
const AUTHENTICATIONS: &[(&str, Authentication)] =
    &[("sql", Authentication::Sql), ("kerberos", Authentication::Kerberos)];
const CAPTURE_INSTANCES: &[(&str, CaptureInstances)] =
    &[("manual", CaptureInstances::Manual), ("auto", CaptureInstances::Auto)];
const CLEANUPS: &[(&str, Cleanup)] = &[("server", Cleanup::Server), ("acknowledged", Cleanup::Acknowledged)];

/// Everything but the URI.
pub(super) fn read(fields: &mut Fields, reading: &mut Reading<'_>) -> SqlServerConfig {
    let tls = fields.take("tls").map_or_else(Tls::default, |node| read_tls(node, reading));
    let mut config = SqlServerConfig { tls, ..SqlServerConfig::new("") };
    config.instance = fields.text("instance", reading).map(|text| text.value);
    if let Some(node) = fields.take("authentication") {
        config.authentication = read_authentication(node, reading);
    }
    let text = fields.text("capture_instances", reading);
    config.capture_instances =
        choice("value of capture_instances", CAPTURE_INSTANCES, text, reading).unwrap_or_default();
    let text = fields.text("cleanup", reading);
    config.cleanup = choice("value of cleanup", CLEANUPS, text, reading).unwrap_or_default();
    if let Some(pause) = fields.number("poll_interval_ms", 10..=5_000, reading) {
        config.poll_interval_ms = pause;
    }
    if let Some(readers) = fields.number("readers", READERS, reading) {
        config.readers = readers as usize;
    }
    if let Some(seconds) = fields.number("connect_timeout_seconds", CONNECT_SECONDS, reading) {
        config.connect_timeout_seconds = seconds;
    }
    if let Some(seconds) = fields.number("query_timeout_seconds", QUERY_SECONDS, reading) {
        config.query_timeout_seconds = seconds;
    }
    config
}

fn read_authentication(node: Node, reading: &mut Reading<'_>) -> Authentication {
    if !matches!(node.value, Value::Map(_)) {
        let text = reading.text("authentication", node);
        return choice("authentication", AUTHENTICATIONS, text, reading).unwrap_or_default();
    }
    let Some(mut fields) = Fields::of("`authentication`", &["entra_token"], node, reading) else {
        return Authentication::default();
    };
    match read_file("entra_token", &mut fields, reading) {
        Some(file) => Authentication::EntraToken(file),
        None => Authentication::default(),
    }
}

fn read_tls(node: Node, reading: &mut Reading<'_>) -> Tls {
    let TlsFields { mode, ca_certificate, certificate_host, client_certificate, client_key } =
        TlsFields::read(node, TLS_KEYS, TLS_MODES, reading);
    Tls { mode: mode.unwrap_or_default(), ca_certificate, certificate_host, client_certificate, client_key }
}
