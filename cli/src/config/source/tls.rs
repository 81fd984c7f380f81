//! What sources of all types say of TLS alike.

use std::path::PathBuf;

use super::{choice, read_file};
use crate::config::document::{Node, Value};
use crate::config::fields::{Fields, Reading};

/// What stands at `tls`; what is left out is `None`.
pub(super) struct TlsFields<M> {
    pub(super) mode: Option<M>,
    pub(super) ca_certificate: Option<PathBuf>,
    /// The name that the server's certificate is held against.
    pub(super) certificate_host: Option<String>,
    pub(super) client_certificate: Option<PathBuf>,
    pub(super) client_key: Option<PathBuf>,
}

impl<M: Clone> TlsFields<M> {
    /// `keys` are those that a source of this type knows.
    pub(super) fn read(
        node: Node,
        keys: &'static [&'static str],
        modes: &[(&'static str, M)],
        reading: &mut Reading<'_>,
    ) -> Self {
        const MODE: &str = "TLS mode";
        let mut all = Self {
            mode: None,
            ca_certificate: None,
            certificate_host: None,
            client_certificate: None,
            client_key: None,
        };
        // `tls: required` says all that most set-ups need.
        if matches!(node.value, Value::Text(_)) {
            let mode = reading.text("tls", node);
            all.mode = choice(MODE, modes, mode, reading);
            return all;
        }
        let Some(mut fields) = Fields::of("`tls`", keys, node, reading) else { return all };
        let mode = fields.text("mode", reading);
        all.mode = choice(MODE, modes, mode, reading);
        all.ca_certificate = read_file("ca_certificate", &mut fields, reading);
        if keys.contains(&"certificate_host") {
            all.certificate_host = fields.text("certificate_host", reading).map(|text| text.value);
        }
        all.client_certificate = read_file("client_certificate", &mut fields, reading);
        all.client_key = read_file("client_key", &mut fields, reading);
        if all.client_certificate.is_some() != all.client_key.is_some() {
            reading.error(
                fields.place(),
                "`client_certificate` and `client_key` belong together and one is missing",
                "name both files, or neither",
            );
        }
        all
    }
}
