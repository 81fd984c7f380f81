//! The keys of a source of type `mysql`.

use millstream_mysql::{MySqlConfig, Tls, TlsMode};

use super::{CONNECT_SECONDS, QUERY_SECONDS, READERS, choice, read_file};
use crate::config::document::{Node, Value};
use crate::config::fields::{Fields, Reading};

pub(super) const KEYS: &[&str] = &[
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
const TLS_MODES: &[(&str, TlsMode)] = &[
    ("preferred", TlsMode::Preferred),
    ("required", TlsMode::Required),
    ("verify_ca", TlsMode::VerifyCa),
    ("verify_identity", TlsMode::VerifyIdentity),
    ("disabled", TlsMode::Disabled),
];

/// Everything but the URI.
pub(super) fn read(fields: &mut Fields, reading: &mut Reading<'_>) -> MySqlConfig {
    let tls = fields.take("tls").map_or_else(Tls::default, |node| read_tls(node, reading));
    let mut config = MySqlConfig { tls, ..MySqlConfig::new("") };
    if let Some(readers) = fields.number("readers", READERS, reading) {
        config.readers = readers as usize;
    }
    if let Some(seconds) = fields.number("connect_timeout_seconds", CONNECT_SECONDS, reading) {
        config.connect_timeout_seconds = seconds;
    }
    if let Some(seconds) = fields.number("query_timeout_seconds", QUERY_SECONDS, reading) {
        config.query_timeout_seconds = seconds;
    }
    if let Some(id) = fields.number("server_id", 1..=u64::from(u32::MAX), reading) {
        config.server_id = u32::try_from(id).ok();
    }
    if let Some(bytes) = fields.number("lookahead_bytes_max", 1 << 20..=1 << 40, reading) {
        config.lookahead_bytes_max = bytes as usize;
    }
    config
}

fn read_tls(node: Node, reading: &mut Reading<'_>) -> Tls {
    const MODE: &str = "TLS mode";
    // `tls: required` says all that most set-ups need.
    if matches!(node.value, Value::Text(_)) {
        let mode = reading.text("tls", node);
        return Tls { mode: choice(MODE, TLS_MODES, mode, reading).unwrap_or_default(), ..Tls::default() };
    }
    let Some(mut fields) = Fields::of("`tls`", TLS_KEYS, node, reading) else { return Tls::default() };
    let mode = fields.text("mode", reading);
    let mut tls = Tls { mode: choice(MODE, TLS_MODES, mode, reading).unwrap_or_default(), ..Tls::default() };
    tls.ca_certificate = read_file("ca_certificate", &mut fields, reading);
    tls.client_certificate = read_file("client_certificate", &mut fields, reading);
    tls.client_key = read_file("client_key", &mut fields, reading);
    super::refuse_half_a_pair(tls.client_certificate.is_some(), tls.client_key.is_some(), &fields, reading);
    tls
}
