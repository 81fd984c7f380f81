//! What an error of the driver or the server means for us: worth trying again, or somebody has to change something.
//!
//! The decision is by the server's error code, or by its SQLSTATE where the code says nothing special; never by text.

use std::error::Error as StdError;
use std::io;

use millstream_core::error::{SourceError, chain};
use millstream_core::schema::TableName;
use millstream_core::source::{Problem, Severity};
use mysql_async::{DriverError, Error, IoError, ServerError};

/// Server error codes that mean something to us. The names are the servers' own.
mod code {
    pub(super) const DBACCESS_DENIED: u16 = 1044;
    pub(super) const ACCESS_DENIED: u16 = 1045;
    pub(super) const BAD_DB: u16 = 1049;
    pub(super) const BAD_FIELD: u16 = 1054;
    pub(super) const HOST_IS_BLOCKED: u16 = 1129;
    pub(super) const HOST_NOT_PRIVILEGED: u16 = 1130;
    pub(super) const TABLEACCESS_DENIED: u16 = 1142;
    pub(super) const COLUMNACCESS_DENIED: u16 = 1143;
    pub(super) const NO_SUCH_TABLE: u16 = 1146;
    pub(super) const KEY_DOES_NOT_EXIST: u16 = 1176;
    pub(super) const CRASHED_ON_USAGE: u16 = 1194;
    pub(super) const CRASHED_ON_REPAIR: u16 = 1195;
    pub(super) const TOO_MANY_USER_CONNECTIONS: u16 = 1203;
    pub(super) const LOCK_WAIT_TIMEOUT: u16 = 1205;
    pub(super) const USER_LIMIT_REACHED: u16 = 1226;
    pub(super) const SPECIFIC_ACCESS_DENIED: u16 = 1227;
    pub(super) const MASTER_FATAL_ERROR_READING_BINLOG: u16 = 1236;
    pub(super) const NOT_SUPPORTED_AUTH_MODE: u16 = 1251;
    pub(super) const WRONG_OBJECT: u16 = 1347;
    pub(super) const UNKNOWN_TARGET_BINLOG: u16 = 1373;
    pub(super) const NO_BINARY_LOGGING: u16 = 1381;
    pub(super) const TABLE_DEF_CHANGED: u16 = 1412;
    pub(super) const ACCESS_DENIED_NO_PASSWORD: u16 = 1698;
    pub(super) const MAX_PREPARED_STMT_COUNT_REACHED: u16 = 1461;
    pub(super) const TABLESPACE_MISSING: u16 = 1812;
    pub(super) const TABLESPACE_DISCARDED: u16 = 1814;
    pub(super) const MUST_CHANGE_PASSWORD: u16 = 1820;
    pub(super) const MUST_CHANGE_PASSWORD_LOGIN: u16 = 1862;
    pub(super) const GTID_POSITION_NOT_FOUND_IN_BINLOG: u16 = 1955;
    pub(super) const MYSQL_ACCOUNT_HAS_BEEN_LOCKED: u16 = 3118;
    pub(super) const SECURE_TRANSPORT_REQUIRED: u16 = 3159;
    pub(super) const MARIADB_ACCOUNT_HAS_BEEN_LOCKED: u16 = 4151;
}

/// The error of one of our statements or connections; `context` says what was being done (`read shop.item`).
///
/// A refusal to send the log is called a lost position, though it may be something else: who asked for the log finds
/// out (`stream::start::confirm`).
pub(crate) fn classify(context: impl Into<String>, error: Error) -> SourceError {
    let context = context.into();
    if let Error::Server(server) = &error
        && is_position_lost(server.code)
    {
        return SourceError::PositionLost { position: context, reason: server.message.clone() };
    }
    match remedy(&error) {
        Some(remedy) => SourceError::definite(format!("{context}: {}", text(&error)), remedy),
        None => match error {
            // The driver wraps these twice in the same words.
            Error::Io(IoError::Io(error)) => SourceError::transient(context, error),
            error => SourceError::transient(context, error),
        },
    }
}

/// As [`classify`], for a statement that reads one table: the table itself may be other than expected, which the
/// stream tells or has told.
pub(crate) fn classify_read(table: &TableName, error: Error) -> SourceError {
    match &error {
        Error::Server(server) if is_about_the_table(server.code) => {
            SourceError::Table { table: table.clone(), reason: server.message.clone() }
        }
        _ => classify(format!("read {table}"), error),
    }
}

/// An error met while connecting, as a problem for `check`. `address` is the server's, without user and password.
pub(crate) fn connection_problem(address: &str, error: &SourceError) -> Problem {
    let (found, remedy) = match error {
        SourceError::Definite { diagnosis, remedy } => (diagnosis.clone(), remedy.clone()),
        other => (chain(other), reaching_remedy(other, address)),
    };
    Problem { severity: Severity::Error, subject: format!("connection to {address}"), found, remedy }
}

/// The server's or the driver's words, without the driver's wrapping.
fn text(error: &Error) -> String {
    match error {
        Error::Server(ServerError { code, message, .. }) => format!("{message} (error {code})"),
        other => chain(other),
    }
}

fn is_position_lost(number: u16) -> bool {
    use code::*;
    matches!(number, MASTER_FATAL_ERROR_READING_BINLOG | UNKNOWN_TARGET_BINLOG | GTID_POSITION_NOT_FOUND_IN_BINLOG)
}

/// Whether a statement has waited for a lock for as long as it may.
pub(crate) fn is_lock_timeout(error: &Error) -> bool {
    matches!(error, Error::Server(server) if server.code == code::LOCK_WAIT_TIMEOUT)
}

/// Whether the user lacks a privilege on a database, a table or a column.
pub(crate) fn is_access_denied(error: &Error) -> bool {
    use code::*;
    let Error::Server(server) = error else { return false };
    matches!(server.code, DBACCESS_DENIED | TABLEACCESS_DENIED | COLUMNACCESS_DENIED)
}

fn is_about_the_table(number: u16) -> bool {
    use code::*;
    matches!(
        number,
        BAD_DB
            | BAD_FIELD
            | NO_SUCH_TABLE
            | KEY_DOES_NOT_EXIST
            | CRASHED_ON_USAGE
            | CRASHED_ON_REPAIR
            | WRONG_OBJECT
            | TABLE_DEF_CHANGED
            | TABLESPACE_MISSING
            | TABLESPACE_DISCARDED
    )
}

/// What has to be changed before trying again can help; `None` if nothing.
fn remedy(error: &Error) -> Option<&'static str> {
    match error {
        Error::Server(server) => server_remedy(server),
        Error::Driver(driver) => driver_remedy(driver),
        Error::Io(IoError::Tls(_)) => Some(TLS_REMEDY),
        // The driver passes on what the TLS library says during the handshake as an I/O error.
        Error::Io(IoError::Io(io)) => io.get_ref()?.downcast_ref().and_then(certificate_remedy),
        Error::Url(_) => Some("Correct the source's uri"),
        Error::Other(_) => None,
    }
}

const TLS_REMEDY: &str = "Check the source's tls settings: the CA must be the one that signed the server's certificate, \
                          and the host must be a name in it";

fn certificate_remedy(error: &rustls::Error) -> Option<&'static str> {
    use rustls::Error;
    match error {
        Error::InvalidCertificate(_) | Error::NoCertificatesPresented | Error::UnsupportedNameType => Some(TLS_REMEDY),
        Error::PeerIncompatible(_) | Error::AlertReceived(_) => Some(
            "The server and Millstream agree on no version or cipher of TLS, or the server wants another client \
             certificate: check the source's tls settings and the server's tls_version",
        ),
        _ => None,
    }
}

fn server_remedy(server: &ServerError) -> Option<&'static str> {
    use code::*;
    let remedy = match server.code {
        ACCESS_DENIED | ACCESS_DENIED_NO_PASSWORD => {
            "Correct the source's user and password (in its uri, by the key `password`, or where that is taken from), \
             or create the user (docs/mysql.md shows the statements)"
        }
        HOST_NOT_PRIVILEGED => "Create the user for the host that Millstream connects from: CREATE USER 'name'@'host'",
        HOST_IS_BLOCKED => {
            "Unblock this host on the server: TRUNCATE TABLE performance_schema.host_cache, or FLUSH HOSTS"
        }
        BAD_DB => "Correct the database's name in the source's uri, or leave it out",
        DBACCESS_DENIED | TABLEACCESS_DENIED | COLUMNACCESS_DENIED | SPECIFIC_ACCESS_DENIED => {
            "Grant the user the privilege that the server names; `millstream check` prints the statements for all that \
             are missing"
        }
        NOT_SUPPORTED_AUTH_MODE => "Give the user another authentication plugin, such as caching_sha2_password",
        MUST_CHANGE_PASSWORD | MUST_CHANGE_PASSWORD_LOGIN => {
            "The user's password has expired: ALTER USER ... IDENTIFIED BY ... PASSWORD EXPIRE NEVER"
        }
        MYSQL_ACCOUNT_HAS_BEEN_LOCKED | MARIADB_ACCOUNT_HAS_BEEN_LOCKED => {
            "Unlock the user: ALTER USER ... ACCOUNT UNLOCK"
        }
        SECURE_TRANSPORT_REQUIRED => "The server takes encrypted connections only: turn tls on for this source",
        NO_BINARY_LOGGING => "Turn the binary log on: log_bin in the server's configuration, then restart it",
        _ if server.state.starts_with("28") => "Check user and password of the source, and the user's settings",
        // Others use up what the server allows; it passes.
        TOO_MANY_USER_CONNECTIONS | USER_LIMIT_REACHED | MAX_PREPARED_STMT_COUNT_REACHED => return None,
        // Syntax errors and unknown names, in statements that are our own.
        _ if server.state.starts_with("42") => {
            "The server doesn't understand a statement of Millstream's: check that its version is supported, and \
             report this otherwise"
        }
        _ => return None,
    };
    Some(remedy)
}

fn driver_remedy(driver: &DriverError) -> Option<&'static str> {
    match driver {
        DriverError::NoClientSslFlagFromServer => {
            Some("The server has no TLS: give it a certificate, or turn tls off for this source")
        }
        DriverError::UnknownAuthPlugin { .. }
        | DriverError::MysqlOldPasswordDisabled
        | DriverError::CleartextPluginDisabled => {
            Some("Give the user another authentication plugin, such as caching_sha2_password")
        }
        DriverError::NoKeyFound => Some("The file of the client's key holds no key: correct the source's tls settings"),
        DriverError::CantParseServerVersion { .. } => Some("Check that host and port are those of MySQL or MariaDB"),
        DriverError::ConnectionClosed
        | DriverError::PoolDisconnected
        | DriverError::PacketOutOfOrder
        | DriverError::UnexpectedPacket { .. }
        | DriverError::BadCompressedPacketHeader => None,
        DriverError::PacketTooLarge => Some("Raise max_allowed_packet on the server and for this source"),
        // A row of a query of ours isn't as the query says, or a parameter is missing.
        _ => Some("The server answers otherwise than MySQL and MariaDB do; check what is between, and report this"),
    }
}

/// What to do about a server that can't be reached.
fn reaching_remedy(error: &SourceError, address: &str) -> String {
    match io_kind(error) {
        Some(io::ErrorKind::ConnectionRefused) => {
            format!("Nothing listens at {address}: start the server, or correct host and port in the source's uri")
        }
        Some(io::ErrorKind::TimedOut) | None => {
            format!("Nothing answers at {address}: check host and port, and firewalls on the way")
        }
        Some(_) => format!(
            "Check that {address} can be reached from here, that its name resolves, and that it is a MySQL or MariaDB server"
        ),
    }
}

fn io_kind(error: &SourceError) -> Option<io::ErrorKind> {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(io) = current.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        cause = current.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(number: u16, state: &str) -> Error {
        Error::Server(ServerError { code: number, message: "the words".into(), state: state.into() })
    }

    #[test]
    fn what_somebody_must_change_is_definite_and_says_what() {
        for (number, state, word) in [
            (1045, "28000", "password"),
            (1044, "42000", "Grant"),
            (1142, "42000", "Grant"),
            (1227, "42000", "Grant"),
            (1049, "42000", "database"),
            (3159, "HY000", "tls"),
            (1381, "HY000", "log_bin"),
            (1064, "42000", "report"),
        ] {
            match classify("ask", server(number, state)) {
                SourceError::Definite { diagnosis, remedy } => {
                    assert!(diagnosis.contains("ask: the words") && diagnosis.contains(&number.to_string()));
                    assert!(remedy.contains(word), "{number}: {remedy}");
                }
                other => panic!("{number}: {other}"),
            }
        }
    }

    #[test]
    fn the_outside_world_is_transient() {
        let refused = || Error::Io(io::Error::from(io::ErrorKind::ConnectionRefused).into());
        for error in [
            server(1040, "08004"),
            server(1053, "08S01"),
            server(1205, "HY000"),
            server(1213, "40001"),
            server(1317, "70100"),
            refused(),
            Error::Driver(DriverError::ConnectionClosed),
        ] {
            assert!(classify("ask", error).is_transient());
        }
        let problem = connection_problem("db:3306", &classify("connect to db:3306", refused()));
        assert_eq!(problem.severity, Severity::Error);
        assert!(problem.remedy.contains("start the server"), "{problem:?}");
    }

    #[test]
    fn a_certificate_that_isnt_trusted_is_definite() {
        let untrusted = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let wrapped = Error::Io(io::Error::new(io::ErrorKind::InvalidData, untrusted).into());
        assert!(matches!(classify("connect", wrapped), SourceError::Definite { .. }));
    }

    #[test]
    fn a_purged_log_is_a_lost_position_and_a_missing_table_its_own_trouble() {
        assert!(matches!(classify("binlog.000001:4", server(1236, "HY000")), SourceError::PositionLost { .. }));
        let table = TableName::new("shop", "item");
        assert!(matches!(classify_read(&table, server(1146, "42S02")), SourceError::Table { .. }));
        assert!(matches!(classify_read(&table, server(1142, "42000")), SourceError::Definite { .. }));
        assert!(classify_read(&table, server(1213, "40001")).is_transient());
    }
}
