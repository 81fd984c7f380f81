//! The configuration of one source, which builds the connector.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use millstream_core::error::SourceError;
use mysql_async::{ClientIdentity, Opts, OptsBuilder, SslOpts, UrlError};
use serde::{Deserialize, Serialize};

use crate::connect::address;

/// The most reader connections that may be asked for.
const READERS_MAX: usize = 32;

/// How to reach one MySQL or MariaDB server, and how to treat it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MySqlConfig {
    /// `mysql://user:password@host:port/database`. Special letters in user and password are percent-encoded. The
    /// database is the one that table names without a database refer to.
    pub uri: ServerUri,
    /// Encryption, the same for every connection, the binlog's included.
    #[serde(default)]
    pub tls: Tls,
    /// How many connections read chunks of tables side by side.
    #[serde(default = "default_readers")]
    pub readers: usize,
    /// How long connecting may take, TLS and login included, in seconds.
    #[serde(default = "default_connect_timeout_seconds")]
    pub connect_timeout_seconds: u64,
    /// How long a server may take to answer a query that isn't a read of rows, in seconds.
    #[serde(default = "default_query_timeout_seconds")]
    pub query_timeout_seconds: u64,
    /// The id under which the server sees this replica; must differ from every other replica's. Chosen at random
    /// where absent.
    #[serde(default)]
    pub server_id: Option<u32>,
    /// How much of the log may be read ahead and kept in memory to find out whether a schema just read holds at a
    /// statement's place, in bytes.
    #[serde(default = "default_lookahead_bytes_max")]
    pub lookahead_bytes_max: usize,
}

fn default_readers() -> usize {
    2
}

fn default_connect_timeout_seconds() -> u64 {
    10
}

fn default_query_timeout_seconds() -> u64 {
    60
}

fn default_lookahead_bytes_max() -> usize {
    32 << 20
}

/// A connection URI whose password never shows in logs or errors.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct ServerUri(String);

impl ServerUri {
    /// Not checked here: [`MySqlConfig`] tells all faults at once when it builds.
    pub fn new(uri: impl Into<String>) -> Self {
        Self(uri.into())
    }

    fn opts(&self) -> Result<Opts, UrlError> {
        let opts = Opts::from_url(&self.0)?;
        // An IPv6 address has brackets in a URI, and only there.
        match opts.ip_or_hostname().strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(host) => Ok(OptsBuilder::from_opts(opts.clone()).ip_or_hostname(host).into()),
            None => Ok(opts),
        }
    }
}

impl fmt::Debug for ServerUri {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.opts() {
            Ok(opts) => write!(formatter, "mysql://***@{}", address(&opts)),
            Err(_) => formatter.write_str("mysql://***"),
        }
    }
}

/// Encryption of connections.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Whether to encrypt, and what to verify.
    #[serde(default)]
    pub mode: TlsMode,
    /// A file with the certificates (PEM or DER) of the authorities to trust, beside the public ones.
    #[serde(default)]
    pub ca_certificate: Option<PathBuf>,
    /// A file with this client's certificate chain (PEM or DER).
    #[serde(default)]
    pub client_certificate: Option<PathBuf>,
    /// A file with this client's private key (PEM or DER).
    #[serde(default)]
    pub client_key: Option<PathBuf>,
}

/// Whether connections are encrypted, and what is verified of the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsMode {
    /// Encrypted if the server can, and nothing verified.
    #[default]
    Preferred,
    /// Encrypted, and nothing verified.
    Required,
    /// Encrypted; the certificate must come from a trusted authority.
    VerifyCa,
    /// Encrypted; the certificate must come from a trusted authority and be for the host in the URI.
    VerifyIdentity,
    /// Not encrypted.
    Disabled,
}

/// A configuration that has been checked.
pub(crate) struct Settings {
    /// For a connection as the configuration wants it first. Without a default database, as every name that is sent has
    /// its own: a database that is missing or hidden is then no reason not to connect, and `check` says so among the
    /// rest.
    pub(crate) opts: Opts,
    /// For a second attempt, where the server can't encrypt and needn't.
    pub(crate) unencrypted: Option<Opts>,
    /// The database of the URI.
    pub(crate) database: Option<String>,
    pub(crate) tls: Tls,
    pub(crate) connect_timeout: Duration,
    pub(crate) query_timeout: Duration,
    pub(crate) readers: usize,
    pub(crate) server_id: Option<u32>,
    pub(crate) lookahead_bytes_max: usize,
}

impl MySqlConfig {
    /// A configuration with nothing but the server's address.
    pub fn new(uri: impl Into<String>) -> Self {
        Self {
            uri: ServerUri::new(uri),
            tls: Tls::default(),
            readers: default_readers(),
            connect_timeout_seconds: default_connect_timeout_seconds(),
            query_timeout_seconds: default_query_timeout_seconds(),
            server_id: None,
            lookahead_bytes_max: default_lookahead_bytes_max(),
        }
    }

    /// The database of the URI, which table names without a database refer to.
    pub fn default_schema(&self) -> Option<String> {
        self.uri.opts().ok()?.db_name().filter(|name| !name.is_empty()).map(str::to_owned)
    }

    /// Every fault at once, or what follows from it.
    pub(crate) fn settings(&self, name: &str) -> Result<Settings, SourceError> {
        let mut faults = Vec::new();
        let opts = match self.uri.opts() {
            Ok(opts) => {
                faults.extend(uri_faults(&self.uri.0, &opts));
                Some(opts)
            }
            Err(error) => {
                faults.push(format!("uri: {}", uri_fault(&error)));
                None
            }
        };
        faults.extend(self.tls.faults());
        if !(1..=READERS_MAX).contains(&self.readers) {
            faults.push(format!("readers: {} isn't between 1 and {READERS_MAX}", self.readers));
        }
        if self.connect_timeout_seconds == 0 {
            faults.push("connect_timeout_seconds: must be at least 1".to_owned());
        }
        if self.query_timeout_seconds == 0 {
            faults.push("query_timeout_seconds: must be at least 1".to_owned());
        }
        if self.server_id == Some(0) {
            faults.push("server_id: 0 is no replica's id; leave it out to have one chosen".to_owned());
        }
        match opts {
            Some(opts) if faults.is_empty() => Ok(self.checked(&opts)),
            _ => Err(SourceError::definite(
                format!("the configuration of source {name} is at fault: {}", faults.join("; ")),
                "Correct the source's entry in the configuration file",
            )),
        }
    }

    fn checked(&self, opts: &Opts) -> Settings {
        let database = self.default_schema();
        // The local socket would go round the encryption that was asked for; the server's packets may be as large as
        // it likes.
        let plain = || {
            OptsBuilder::from_opts(opts.clone())
                .prefer_socket(false)
                .db_name(None::<String>)
                .max_allowed_packet(Some(1 << 30))
                .tcp_keepalive(Some(Duration::from_secs(30)))
                .stmt_cache_size(16)
        };
        let encrypted = || Opts::from(plain().ssl_opts(self.tls.ssl_opts()));
        let (opts, unencrypted) = match self.tls.mode {
            TlsMode::Disabled => (plain().into(), None),
            TlsMode::Preferred => (encrypted(), Some(plain().into())),
            TlsMode::Required | TlsMode::VerifyCa | TlsMode::VerifyIdentity => (encrypted(), None),
        };
        Settings {
            opts,
            unencrypted,
            database,
            tls: self.tls.clone(),
            connect_timeout: Duration::from_secs(self.connect_timeout_seconds),
            query_timeout: Duration::from_secs(self.query_timeout_seconds),
            readers: self.readers,
            server_id: self.server_id,
            lookahead_bytes_max: self.lookahead_bytes_max,
        }
    }
}

impl Tls {
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let files = [
            ("ca_certificate", &self.ca_certificate),
            ("client_certificate", &self.client_certificate),
            ("client_key", &self.client_key),
        ];
        for (name, file) in files {
            let Some(file) = file else { continue };
            if self.mode == TlsMode::Disabled {
                faults.push(format!("tls.{name}: is of no use with mode: disabled"));
            } else if let Err(error) = std::fs::File::open(file) {
                faults.push(format!("tls.{name}: can't read {}: {error}", file.display()));
            }
        }
        if self.client_certificate.is_some() != self.client_key.is_some() {
            faults.push("tls: client_certificate and client_key belong together; one is missing".to_owned());
        }
        faults
    }

    fn ssl_opts(&self) -> SslOpts {
        // The driver tells a name that doesn't match by the error's text, which has been worded anew since; the text names
        // the host that was asked for, and that we may choose. Should this fail one day, it refuses the server.
        const PASSES_FOR_A_WRONG_NAME: &str = "NotValidForName";
        let verified = matches!(self.mode, TlsMode::VerifyCa | TlsMode::VerifyIdentity);
        let identity = self.client_certificate.clone().zip(self.client_key.clone());
        SslOpts::default()
            .with_root_certs(self.ca_certificate.iter().cloned().map(Into::into).collect())
            .with_client_identity(identity.map(|(chain, key)| ClientIdentity::new(chain.into(), key.into())))
            .with_danger_accept_invalid_certs(!verified)
            .with_danger_skip_domain_validation(self.mode != TlsMode::VerifyIdentity)
            .with_danger_tls_hostname_override((self.mode == TlsMode::VerifyCa).then_some(PASSES_FOR_A_WRONG_NAME))
    }
}

/// What is wrong with a URI that can be read.
fn uri_faults(uri: &str, opts: &Opts) -> Vec<String> {
    let mut faults = Vec::new();
    if uri.contains('?') {
        faults.push("uri: takes no parameters after `?`; encryption is set under `tls`".to_owned());
    }
    if opts.user().is_none_or(str::is_empty) {
        faults.push("uri: names no user; write mysql://USER:PASSWORD@HOST:PORT/DATABASE".to_owned());
    }
    faults
}

/// The reason without the URI, which holds a password.
fn uri_fault(error: &UrlError) -> String {
    match error {
        UrlError::UnsupportedScheme { scheme } => format!("begins with {scheme}:// where mysql:// is expected"),
        UrlError::UnknownParameter { .. } | UrlError::FeatureRequired { .. } | UrlError::InvalidParamValue { .. } => {
            "takes no parameters after `?`; encryption is set under `tls`".to_owned()
        }
        UrlError::Parse(reason) => format!("isn't a URI: {reason}"),
        UrlError::Invalid | UrlError::InvalidPoolConstraints { .. } => {
            "isn't of the form mysql://USER:PASSWORD@HOST:PORT/DATABASE".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(config: &MySqlConfig) -> String {
        config.settings("shop").err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_password_is_never_shown() {
        let config = MySqlConfig::new("mysql://me:topsecret@db.example:3307/shop");
        assert!(!format!("{config:?}").contains("topsecret"), "{config:?}");
        let broken = MySqlConfig::new("postgres://me:topsecret@db.example:3307/shop");
        assert!(!faults(&broken).contains("topsecret"), "{}", faults(&broken));
        assert!(faults(&broken).contains("mysql://"), "{}", faults(&broken));
    }

    #[test]
    fn an_ipv6_address_loses_the_brackets_that_only_a_uri_needs() {
        let uri = ServerUri::new("mysql://me@[::1]:3307/shop");
        let opts = uri.opts().unwrap();
        assert_eq!((opts.ip_or_hostname(), opts.tcp_port(), opts.user()), ("::1", 3307, Some("me")));
        assert_eq!(address(&opts), "[::1]:3307");
        assert_eq!(format!("{uri:?}"), "mysql://***@[::1]:3307");
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let config = MySqlConfig {
            readers: 0,
            connect_timeout_seconds: 0,
            tls: Tls { client_key: Some("/nowhere/key.pem".into()), ..Tls::default() },
            ..MySqlConfig::new("mysql://db.example/shop?ssl=1")
        };
        let text = faults(&config);
        for part in ["takes no parameters", "readers", "connect_timeout_seconds", "/nowhere/key.pem", "belong together"]
        {
            assert!(text.contains(part), "{part} isn't in: {text}");
        }
    }

    #[test]
    fn the_database_of_the_uri_is_the_default_schema() {
        assert_eq!(MySqlConfig::new("mysql://me@h/shop").default_schema().as_deref(), Some("shop"));
        assert_eq!(MySqlConfig::new("mysql://me@h/").default_schema(), None);
        assert_eq!(MySqlConfig::new("nonsense").default_schema(), None);
    }
}
