//! The keys of a source of type `mysql`.

use millstream_mysql::{MySqlConfig, Tls, TlsMode};

use super::tls::TlsFields;
use super::{CONNECT_SECONDS, QUERY_SECONDS, READERS};
use crate::config::document::Node;
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
    let TlsFields { mode, ca_certificate, client_certificate, client_key, certificate_host: _ } =
        TlsFields::read(node, TLS_KEYS, TLS_MODES, reading);
    Tls { mode: mode.unwrap_or_default(), ca_certificate, client_certificate, client_key }
}
