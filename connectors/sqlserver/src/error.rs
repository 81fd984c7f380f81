//! What an error of the driver or the server means for us: worth trying again, or somebody has to change something.
//!
//! The decision is by the server's error number, or by the error's kind where there is none; never by text.

use std::error::Error as StdError;
use std::io;

use millstream_core::error::{SourceError, chain};
use millstream_core::schema::TableName;
use millstream_core::source::{Problem, Severity};
use tiberius::error::Error;

/// Server error numbers that mean something to us, with what they say.
pub(crate) mod number {
    /// Invalid column name.
    pub(crate) const COLUMN_UNKNOWN: u32 = 207;
    /// Invalid object name.
    pub(crate) const OBJECT_UNKNOWN: u32 = 208;
    /// Permission on an object was denied.
    pub(crate) const PERMISSION_DENIED: u32 = 229;
    /// Permission on a column was denied.
    pub(crate) const COLUMN_PERMISSION_DENIED: u32 = 230;
    /// Permission in the database was denied.
    pub(crate) const DATABASE_PERMISSION_DENIED: u32 = 262;
    /// The user may not do this action (VIEW SERVER STATE and the like).
    pub(crate) const ACTION_PERMISSION_DENIED: u32 = 297;
    /// Permission (VIEW SERVER STATE and the like) was denied.
    pub(crate) const STATE_PERMISSION_DENIED: u32 = 300;
    /// An index named in a hint doesn't exist.
    pub(crate) const INDEX_UNKNOWN: u32 = 308;
    /// The database can't be entered by this user.
    pub(crate) const DATABASE_ACCESS_DENIED: u32 = 916;
    /// The database doesn't exist.
    pub(crate) const DATABASE_UNKNOWN: u32 = 911;
    /// Chosen as the victim of a deadlock.
    pub(crate) const DEADLOCK: u32 = 1205;
    /// A lock wasn't had in time.
    pub(crate) const LOCK_TIMEOUT: u32 = 1222;
    /// The database isn't enabled for snapshot isolation.
    pub(crate) const SNAPSHOT_NOT_ALLOWED: u32 = 3952;
    /// A snapshot transaction met a change made since.
    pub(crate) const SNAPSHOT_CONFLICT: u32 = 3960;
    /// A snapshot transaction met a changed definition.
    pub(crate) const SNAPSHOT_DEFINITION_CHANGED: u32 = 3961;
    /// User, password or token aren't right.
    pub(crate) const LOGIN_FAILED: u32 = 18456;
    /// The database can't be opened by this login.
    pub(crate) const LOGIN_DATABASE: u32 = 4060;
    /// The database isn't enabled for change data capture.
    pub(crate) const CDC_DATABASE_DISABLED: u32 = 22901;
    /// Only sysadmin may do this.
    pub(crate) const CDC_NEEDS_SYSADMIN: u32 = 22902;
    /// Only db_owner may do this.
    pub(crate) const CDC_NEEDS_DB_OWNER: u32 = 22904;
    /// The range isn't within what the capture instance holds.
    pub(crate) const CDC_LSN_OUTSIDE: u32 = 22957;
    /// A capture instance of that name exists.
    pub(crate) const CDC_INSTANCE_EXISTS: u32 = 22926;
    /// The table to capture isn't there.
    pub(crate) const CDC_TABLE_UNKNOWN: u32 = 22931;
    /// The database hasn't the capture instance.
    pub(crate) const CDC_INSTANCE_GONE: u32 = 22920;
    /// The table hasn't the capture instance.
    pub(crate) const CDC_INSTANCE_UNKNOWN: u32 = 22960;
    /// The table has two capture instances already.
    pub(crate) const CDC_THIRD_INSTANCE: u32 = 22962;
    /// The LSN isn't a commit's that the server knows.
    pub(crate) const CDC_LSN_UNKNOWN: u32 = 22964;
    /// The table isn't enabled for change data capture.
    pub(crate) const CDC_TABLE_DISABLED: u32 = 22985;
}

/// The error of one of our statements, before anybody has said what it means there.
///
/// `?` makes a [`SourceError`] of it that is transient or definite by its number; whoever expects certain numbers asks
/// [`number`](QueryError::number) first.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {}", text(error))]
pub(crate) struct QueryError {
    /// What was being done.
    pub(crate) what: String,
    /// What the driver or the server said.
    pub(crate) error: Error,
}

impl QueryError {
    pub(crate) fn new(what: impl Into<String>, error: Error) -> Self {
        Self { what: what.into(), error }
    }

    /// The server's error number, if the server answered with one.
    pub(crate) fn number(&self) -> Option<u32> {
        self.error.code()
    }

    /// Whether the server answered, and the answer is no: the user lacks a permission, or this server doesn't know what it
    /// is asked for.
    pub(crate) fn is_refusal(&self) -> bool {
        const CLASS_MAX: u8 = 16;
        matches!(&self.error, Error::Server(server) if (11..=CLASS_MAX).contains(&server.class()))
    }

    /// For the first connection of all: a database that can't be entered is a wrong name, or a user that lacks.
    pub(crate) fn of_first_login(self) -> SourceError {
        use number::{DATABASE_ACCESS_DENIED, DATABASE_UNKNOWN, LOGIN_DATABASE};
        match self.number() {
            Some(LOGIN_DATABASE | DATABASE_UNKNOWN | DATABASE_ACCESS_DENIED) => SourceError::definite(
                self.to_string(),
                "Correct the database's name in the source's uri, or let the login in: CREATE USER name FOR LOGIN name \
                 in that database",
            ),
            _ => self.into(),
        }
    }

    /// For a statement that reads one table: the table itself may be other than expected, which the stream tells or
    /// has told.
    pub(crate) fn of_table(self, table: &TableName) -> SourceError {
        match &self.error {
            Error::Server(server) if is_about_the_table(server.code()) => {
                SourceError::Table { table: table.clone(), reason: server.message().to_owned() }
            }
            _ => self.into(),
        }
    }
}

impl From<QueryError> for SourceError {
    fn from(error: QueryError) -> Self {
        let QueryError { what, error } = error;
        match remedy(&error) {
            Some(remedy) => SourceError::definite(format!("{what}: {}", text(&error)), remedy),
            None => SourceError::transient(what, Answered(error)),
        }
    }
}

/// The driver's error behind ours, in plain words.
#[derive(Debug, thiserror::Error)]
#[error("{}", text(.0))]
struct Answered(Error);

/// An error met while connecting, as a problem for `check`. `address` is the server's, without user and password.
pub(crate) fn connection_problem(address: &str, error: &SourceError) -> Problem {
    let (found, remedy) = match error {
        SourceError::Definite { diagnosis, remedy } => (diagnosis.clone(), remedy.clone()),
        other => {
            let remedy = answer(other).and_then(remedy).map(str::to_owned);
            (chain(other), remedy.unwrap_or_else(|| reaching_remedy(other, address)))
        }
    };
    Problem { severity: Severity::Error, subject: format!("connection to {address}"), found, remedy }
}

/// The server's or the driver's words, without the driver's wrapping.
fn text(error: &Error) -> String {
    match error {
        Error::Server(server) => format!("{} (error {})", server.message().trim_end(), server.code()),
        // Behind the reason the driver gives advice to programmers.
        Error::Tls(reason) => reason.split(" To connect anyway").next().unwrap_or_default().to_owned(),
        Error::Io { message, .. } => plain(message).to_owned(),
        other => chain(other),
    }
}

/// What a line's failure says, without the wrapping that the driver gives it, each time it passes through one of its
/// layers, and without the addresses of pages for programmers.
fn plain(message: &str) -> &str {
    const WRAPPING: &str = "An error occurred during the attempt of performing I/O: ";
    let inner = message.rsplit(WRAPPING).next().unwrap_or(message);
    inner.split(": https://").next().unwrap_or(inner)
}

fn is_about_the_table(error: u32) -> bool {
    use number::*;
    // 4413 and 4502: a view whose table changed; 8115 to 8117 and 245: a key of another type than it was.
    matches!(
        error,
        COLUMN_UNKNOWN
            | OBJECT_UNKNOWN
            | INDEX_UNKNOWN
            | SNAPSHOT_DEFINITION_CHANGED
            | 206
            | 245
            | 402
            | 4121
            | 4413
            | 4502
            | 8114..=8117
    )
}

/// What has to be changed before trying again can help; `None` if nothing.
fn remedy(error: &Error) -> Option<&'static str> {
    match error {
        Error::Server(server) => server_remedy(server.code(), server.class()),
        Error::Tls(_) => Some(TLS_REMEDY),
        Error::Encoding(_) | Error::Conversion(_) | Error::Utf8 | Error::Utf16 | Error::ParseInt(_) => {
            Some("The server sends a value in another form than it announced; check what is between, and report this")
        }
        Error::BulkInput(_) => Some("Report this"),
        Error::Io { .. } | Error::Protocol(_) | Error::Routing { .. } => None,
        #[cfg(feature = "kerberos")]
        Error::Gssapi(_) => Some("Get a Kerberos ticket for the user that runs Millstream: kinit"),
    }
}

const TLS_REMEDY: &str = "Give the certificate of the authority that signed the server's as tls.ca_certificate, and \
                          the name in it as tls.certificate_host if that isn't the host of the uri. For a certificate \
                          that the server made for itself: tls.mode: required, which encrypts and verifies nothing";

fn server_remedy(error: u32, class: u8) -> Option<&'static str> {
    use number::*;
    let remedy = match error {
        LOGIN_FAILED | 18452 | 18470 | 18486 => {
            "Correct the source's user and password (in its uri, by the key `password`, or where that is taken from), \
             or create or enable the login (docs/sqlserver.md shows the statements), or renew the access token; Windows users need authentication: kerberos"
        }
        18487 | 18488 => {
            "The login's password has expired: ALTER LOGIN name WITH PASSWORD = '...', CHECK_EXPIRATION = OFF"
        }
        40532 | 40615 => "Let this host through the Azure SQL firewall, and use a login of this server",
        PERMISSION_DENIED
        | COLUMN_PERMISSION_DENIED
        | DATABASE_PERMISSION_DENIED
        | ACTION_PERMISSION_DENIED
        | STATE_PERMISSION_DENIED
        | CDC_NEEDS_SYSADMIN
        | CDC_NEEDS_DB_OWNER
        | 15247
        | 15562 => "Grant the permission; `millstream check` prints the exact statement",
        CDC_DATABASE_DISABLED => {
            "Turn change data capture on for the database: EXEC sys.sp_cdc_enable_db; `millstream check` prints all \
             that is missing"
        }
        CDC_TABLE_DISABLED | CDC_INSTANCE_GONE | CDC_INSTANCE_UNKNOWN => {
            "Turn change data capture on for the table; `millstream check` prints the exact statement"
        }
        SNAPSHOT_NOT_ALLOWED => "Report this: no statement of Millstream's needs snapshot isolation",
        // The database has been entered before, so it is away for a moment: being restored, or moved to another server.
        LOGIN_DATABASE | DATABASE_UNKNOWN | DATABASE_ACCESS_DENIED => return None,
        // The server is busy, starting, failing over, out of some resource, or another was in the way: it passes.
        DEADLOCK | LOCK_TIMEOUT | SNAPSHOT_CONFLICT | SNAPSHOT_DEFINITION_CHANGED => return None,
        701 | 802 | 845 | 922 | 924 | 927 | 952 | 976 | 978 | 979 | 982 | 983 | 1204 | 1221 | 3906 | 3928 | 3935 => {
            return None;
        }
        6005
        | 8645
        | 8651
        | 9001
        | 9002
        | 10928
        | 10929
        | 17142..=17200
        | 18401
        | 40143
        | 40197
        | 40501
        | 40540
        | 40613
        | 49918..=49920 => return None,
        // CDC's own procedures: metadata busy (22832 to 22834 wrap another error; 22840 is a lock not had).
        22832..=22834 | 22840 => return None,
        // Syntax errors and unknown names, in statements that are our own. Above 16 it is the server's own trouble.
        _ if (11..=16).contains(&class) => {
            "The server doesn't understand a statement of Millstream's: check that its version is supported, and \
             report this otherwise"
        }
        _ => return None,
    };
    Some(remedy)
}

/// What to do about a server that can't be reached.
fn reaching_remedy(error: &SourceError, address: &str) -> String {
    match io_kind(error) {
        Some(io::ErrorKind::ConnectionRefused) => {
            format!("Nothing listens at {address}: start the server, turn TCP/IP on in it, or correct host and port")
        }
        Some(io::ErrorKind::TimedOut) | None => {
            format!("Nothing answers at {address}: check host and port, and firewalls on the way")
        }
        Some(_) => format!(
            "Check that {address} can be reached from here, that its name resolves, and that it is a SQL Server"
        ),
    }
}

/// What the driver or the server said, behind an error that is worth trying again.
fn answer(error: &SourceError) -> Option<&Error> {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(current) = cause {
        let answered = current.downcast_ref::<Answered>().map(|Answered(answer)| answer);
        if let Some(answer) = answered.or_else(|| current.downcast_ref::<Error>()) {
            return Some(answer);
        }
        cause = current.source();
    }
    None
}

fn io_kind(error: &SourceError) -> Option<io::ErrorKind> {
    if let Some(Error::Io { kind, .. }) = answer(error) {
        return Some(*kind);
    }
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

    #[test]
    fn what_somebody_must_change_is_definite_and_says_what() {
        for (number, word) in
            [(18456, "password"), (229, "check"), (22901, "sp_cdc_enable_db"), (22985, "table"), (102, "version")]
        {
            let remedy = server_remedy(number, 14).unwrap_or_default();
            assert!(remedy.contains(word), "{number}: {remedy}");
        }
        let untrusted = QueryError::new("connect", Error::Tls("unknown issuer".into()));
        assert!(matches!(SourceError::from(untrusted), SourceError::Definite { .. }));
    }

    #[test]
    fn the_outside_world_is_transient() {
        for number in [911, 1205, 1222, 3960, 4060, 9002, 22832, 40613, 10928] {
            assert_eq!(server_remedy(number, 16), None, "{number}");
        }
        assert_eq!(server_remedy(50_000, 20), None);
        let refused = || Error::Io { kind: io::ErrorKind::ConnectionRefused, message: "refused".into() };
        let error = SourceError::from(QueryError::new("connect", refused()));
        assert!(error.is_transient());
        let problem = connection_problem("db:1433/shop", &error);
        assert_eq!(problem.severity, Severity::Error);
        assert!(problem.remedy.contains("start the server"), "{problem:?}");
    }

    #[test]
    fn a_line_that_breaks_is_told_once_and_for_people() {
        let wrapping = "An error occurred during the attempt of performing I/O: ";
        let message = format!("{wrapping}peer closed connection without sending TLS close_notify: https://docs.rs/x#y");
        let error = QueryError::new("look at the log", Error::Io { kind: io::ErrorKind::UnexpectedEof, message });
        let expected = "look at the log: peer closed connection without sending TLS close_notify";
        assert_eq!(error.to_string(), expected);
        assert_eq!(chain(&SourceError::from(error)), expected);
    }

    #[test]
    fn a_missing_table_is_its_own_trouble() {
        for number in [207, 208, 3961] {
            assert!(is_about_the_table(number));
        }
        assert!(!is_about_the_table(229) && !is_about_the_table(1205));
    }
}
