//! The configuration of one source, which builds the connector.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use millstream_core::error::SourceError;
use serde::{Deserialize, Serialize};

use crate::address::{Address, AddressFault};

/// The most reader connections that may be asked for.
const READERS_MAX: usize = 32;
/// The longest pause between two looks at the log, in milliseconds: a sign of life is due every ten seconds.
const POLL_INTERVAL_MS_MAX: u64 = 5_000;

/// How to reach one database of a SQL Server or of Azure SQL, and how to treat it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlServerConfig {
    /// `mssql://user:password@host:port/database`. Special letters in user and password are percent-encoded.
    pub uri: ServerUri,
    /// The name of the instance, where the host has several. Its port is asked of the SQL Server Browser service, which
    /// listens at UDP port 1434 of the host, or at the one that the URI names.
    #[serde(default)]
    pub instance: Option<String>,
    /// Who Millstream is to the server.
    #[serde(default)]
    pub authentication: Authentication,
    /// Encryption, the same for every connection.
    #[serde(default)]
    pub tls: Tls,
    /// Who makes the capture instances that a changed table needs.
    #[serde(default)]
    pub capture_instances: CaptureInstances,
    /// What becomes of rows in change tables that are safely stored.
    #[serde(default)]
    pub cleanup: Cleanup,
    /// How long to wait between two looks at the log when it has nothing new, in milliseconds.
    #[serde(default = "default_poll_interval_ms")]
    pub poll_interval_ms: u64,
    /// How many connections read chunks of tables side by side.
    #[serde(default = "default_readers")]
    pub readers: usize,
    /// How long connecting may take, TLS and login included, in seconds.
    #[serde(default = "default_connect_timeout_seconds")]
    pub connect_timeout_seconds: u64,
    /// How long a server may take to answer a query that isn't a read of rows, in seconds.
    #[serde(default = "default_query_timeout_seconds")]
    pub query_timeout_seconds: u64,
}

fn default_poll_interval_ms() -> u64 {
    500
}

fn default_readers() -> usize {
    2
}

fn default_connect_timeout_seconds() -> u64 {
    15
}

fn default_query_timeout_seconds() -> u64 {
    60
}

/// A connection URI whose password never shows in logs or errors.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct ServerUri(String);

impl ServerUri {
    /// Not checked here: [`SqlServerConfig`] tells all faults at once when it builds.
    pub fn new(uri: impl Into<String>) -> Self {
        Self(uri.into())
    }
}

impl fmt::Debug for ServerUri {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Address::parse(&self.0) {
            Ok(address) => write!(formatter, "mssql://***@{address}"),
            Err(_) => formatter.write_str("mssql://***"),
        }
    }
}

/// Who Millstream is to the server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Authentication {
    /// The user and password of the URI: a SQL Server login.
    #[default]
    Sql,
    /// A Microsoft Entra access token for `https://database.windows.net/`, read from a file for each connection, so
    /// that whoever renews it need only replace the file.
    EntraToken(PathBuf),
    /// The Kerberos ticket of the user that runs Millstream. Needs a build with the feature `kerberos`.
    Kerberos,
}

/// Encryption of connections.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Whether to encrypt, and what to verify.
    #[serde(default)]
    pub mode: TlsMode,
    /// A file with the certificates (PEM or DER) of the authorities to trust, beside the machine's, or the public ones
    /// where that has none.
    #[serde(default)]
    pub ca_certificate: Option<PathBuf>,
    /// The name that the server's certificate is for, where that isn't the host of the URI.
    #[serde(default)]
    pub certificate_host: Option<String>,
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
    /// Encrypted; the certificate must come from a trusted authority and be for the host in the URI.
    #[default]
    VerifyIdentity,
    /// As `verify_identity`, with encryption before the first byte (TDS 8.0; SQL Server 2022 and later, Azure SQL).
    Strict,
    /// Encrypted, and nothing verified: also the certificate that a server makes for itself is taken.
    Required,
    /// Only the login is encrypted, and nothing verified.
    Disabled,
}

/// Who makes the capture instances that a changed table needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptureInstances {
    /// Millstream: where a table's columns changed it makes the new instance and drops the old one after the
    /// hand-over. Needs membership in db_owner.
    Auto,
    /// An administrator; Millstream says which statements to run.
    #[default]
    Manual,
}

/// What becomes of rows in change tables that are safely stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cleanup {
    /// The server's own cleanup job removes them after its retention time.
    #[default]
    Server,
    /// Millstream removes them a while after they are durable at its end. Only where nobody else reads the change
    /// tables. Needs membership in db_owner.
    Acknowledged,
}

/// A configuration that has been checked.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) address: Address,
    pub(crate) instance: Option<String>,
    pub(crate) authentication: Authentication,
    pub(crate) tls: Tls,
    pub(crate) capture_instances: CaptureInstances,
    pub(crate) cleanup: Cleanup,
    pub(crate) poll_interval: Duration,
    pub(crate) readers: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) query_timeout: Duration,
}

impl SqlServerConfig {
    /// A configuration with nothing but the database's address.
    pub fn new(uri: impl Into<String>) -> Self {
        Self {
            uri: ServerUri::new(uri),
            instance: None,
            authentication: Authentication::default(),
            tls: Tls::default(),
            capture_instances: CaptureInstances::default(),
            cleanup: Cleanup::default(),
            poll_interval_ms: default_poll_interval_ms(),
            readers: default_readers(),
            connect_timeout_seconds: default_connect_timeout_seconds(),
            query_timeout_seconds: default_query_timeout_seconds(),
        }
    }

    /// The schema that table names without a schema refer to.
    pub fn default_schema(&self) -> Option<String> {
        Some("dbo".to_owned())
    }

    /// Every fault at once, or what follows from it.
    pub(crate) fn settings(&self, name: &str) -> Result<Settings, SourceError> {
        let mut faults = Vec::new();
        let address = match Address::parse(&self.uri.0) {
            Ok(address) => Some(address),
            Err(found) => {
                faults.extend(found.iter().map(|AddressFault(fault)| format!("uri: {fault}")));
                None
            }
        };
        faults.extend(address.iter().flat_map(|address| self.authentication.faults(address)));
        faults.extend(self.tls.faults());
        // Where the server has no encryption either, the login is sent as it is.
        if matches!(self.authentication, Authentication::EntraToken(_)) && self.tls.mode == TlsMode::Disabled {
            faults.push("tls.mode: disabled sends the access token to whoever answers; leave encryption on".to_owned());
        }
        let between = |faults: &mut Vec<String>, setting, value: u64, min, max| {
            if !(min..=max).contains(&value) {
                faults.push(format!("{setting}: {value} isn't between {min} and {max}"));
            }
        };
        between(&mut faults, "readers", self.readers as u64, 1, READERS_MAX as u64);
        between(&mut faults, "poll_interval_ms", self.poll_interval_ms, 10, POLL_INTERVAL_MS_MAX);
        between(&mut faults, "connect_timeout_seconds", self.connect_timeout_seconds, 1, 3_600);
        between(&mut faults, "query_timeout_seconds", self.query_timeout_seconds, 1, 86_400);
        match address {
            Some(address) if faults.is_empty() => Ok(Settings {
                address,
                instance: self.instance.clone(),
                authentication: self.authentication.clone(),
                tls: self.tls.clone(),
                capture_instances: self.capture_instances,
                cleanup: self.cleanup,
                poll_interval: Duration::from_millis(self.poll_interval_ms),
                readers: self.readers,
                connect_timeout: Duration::from_secs(self.connect_timeout_seconds),
                query_timeout: Duration::from_secs(self.query_timeout_seconds),
            }),
            _ => Err(SourceError::definite(
                match faults.as_slice() {
                    [fault] => format!("the configuration of source {name} has a fault: {fault}"),
                    faults => {
                        format!("the configuration of source {name} has {} faults: {}", faults.len(), faults.join("; "))
                    }
                },
                "Correct the source's entry in the configuration file",
            )),
        }
    }
}

impl Authentication {
    fn faults(&self, address: &Address) -> Vec<String> {
        let mut faults = Vec::new();
        match self {
            Authentication::Sql if address.user.is_empty() => {
                faults.push("uri: names no user; write mssql://USER:PASSWORD@HOST:PORT/DATABASE".to_owned());
            }
            Authentication::Sql => {}
            Authentication::EntraToken(file) => {
                if let Err(error) = std::fs::File::open(file) {
                    faults.push(format!("authentication.entra_token: can't read {}: {error}", file.display()));
                }
            }
            Authentication::Kerberos if !cfg!(feature = "kerberos") => faults.push(
                "authentication: this build has no Kerberos; build it with `--features kerberos`, or use a SQL Server \
                 login"
                    .to_owned(),
            ),
            Authentication::Kerberos => {}
        }
        faults
    }
}

impl Tls {
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let verified = matches!(self.mode, TlsMode::VerifyIdentity | TlsMode::Strict);
        let files = [
            ("ca_certificate", &self.ca_certificate, verified),
            ("client_certificate", &self.client_certificate, true),
            ("client_key", &self.client_key, true),
        ];
        for (name, file, of_use) in files {
            let Some(file) = file else { continue };
            if !of_use {
                faults.push(format!("tls.{name}: is of no use with a mode that verifies nothing"));
            } else if let Err(error) = std::fs::File::open(file) {
                faults.push(format!("tls.{name}: can't read {}: {error}", file.display()));
            }
        }
        if self.certificate_host.is_some() && !verified {
            faults.push("tls.certificate_host: is of no use with a mode that verifies nothing".to_owned());
        }
        if self.client_certificate.is_some() != self.client_key.is_some() {
            faults.push("tls: client_certificate and client_key belong together; one is missing".to_owned());
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(config: &SqlServerConfig) -> String {
        config.settings("shop").err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_password_is_never_shown() {
        let config = SqlServerConfig::new("mssql://me:topsecret@db.example:1444/shop");
        assert!(!format!("{config:?}").contains("topsecret"), "{config:?}");
        assert!(!format!("{:?}", config.settings("shop").unwrap()).contains("topsecret"));
        let broken = SqlServerConfig::new("postgres://me:topsecret@db.example:1444/shop");
        assert!(!faults(&broken).contains("topsecret"), "{}", faults(&broken));
        assert!(faults(&broken).contains("mssql://"), "{}", faults(&broken));
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let config = SqlServerConfig {
            readers: 0,
            poll_interval_ms: 1,
            connect_timeout_seconds: 0,
            authentication: Authentication::EntraToken("/nowhere/token".into()),
            tls: Tls { client_key: Some("/nowhere/key.pem".into()), ..Tls::default() },
            ..SqlServerConfig::new("mssql://db.example/shop")
        };
        let text = faults(&config);
        for part in [
            "readers",
            "poll_interval_ms",
            "connect_timeout_seconds",
            "/nowhere/token",
            "/nowhere/key.pem",
            "belong together",
        ] {
            assert!(text.contains(part), "{part} isn't in: {text}");
        }
        assert!(faults(&SqlServerConfig::new("mssql://db.example")).contains("names no database"));
    }
}
