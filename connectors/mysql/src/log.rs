//! What a server says about its own log: where it ends, which files there are, which transactions are gone.

use std::time::Duration;

use millstream_core::error::SourceError;
use mysql_async::Row;

use crate::connect::{Connection, Session};
use crate::discover::literal;
use crate::gtid::GtidSet;
use crate::position::{FIRST_EVENT_OFFSET, LogFile, MySqlPosition, SeriesPlace};
use crate::version::Flavor;

/// The end of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) file: LogFile,
    pub(crate) offset: u64,
}

/// One file of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogSize {
    pub(crate) file: LogFile,
    pub(crate) bytes: u64,
}

impl Head {
    /// Where that is in the series of files.
    pub(crate) fn in_series(&self) -> SeriesPlace {
        SeriesPlace { file_number: self.file.number(), offset: self.offset }
    }
}

impl LogSize {
    /// Where the file ends.
    pub(crate) fn end(&self) -> SeriesPlace {
        SeriesPlace { file_number: self.file.number(), offset: self.bytes }
    }
}

/// The end of the log now: everything committed before lies before it.
pub(crate) async fn head(connection: &mut Connection<impl Session>, limit: Duration) -> Result<Head, SourceError> {
    let version = connection.server.version;
    let statement = match version.flavor {
        Flavor::MySql if version.at_least(8, 2, 0) => "SHOW BINARY LOG STATUS",
        Flavor::MySql | Flavor::MariaDb => "SHOW MASTER STATUS",
    };
    let what = "ask where the binary log ends";
    let rows: Vec<Row> = connection.rows(limit, what, statement).await?;
    let off = || {
        SourceError::definite(
            "the server keeps no binary log",
            "Turn it on in the server's configuration (log_bin, server_id) and restart the server",
        )
    };
    let row = rows.into_iter().next().ok_or_else(off)?;
    let file = field(&row, 0).and_then(LogFile::new).ok_or_else(|| unexpected(statement))?;
    let offset = field(&row, 1).and_then(|text| text.parse().ok()).ok_or_else(|| unexpected(statement))?;
    Ok(Head { file, offset })
}

/// How often the server was told to RESET something, its log or something else, since it was started.
pub(crate) async fn resets(connection: &mut Connection, limit: Duration) -> Result<Option<u64>, SourceError> {
    let statement = "SHOW GLOBAL STATUS WHERE Variable_name = 'Com_reset'";
    let rows: Vec<Row> = connection.rows(limit, "ask whether the log was reset", statement).await?;
    Ok(rows.first().and_then(|row| field(row, 1)).and_then(|count| count.parse().ok()))
}

/// MariaDB: the transactions before a place in the log. The server reads the file up to there.
pub(crate) async fn gtid_at(
    connection: &mut Connection,
    limit: Duration,
    file: &LogFile,
    offset: u64,
) -> Result<GtidSet, SourceError> {
    let statement = format!("SELECT BINLOG_GTID_POS({}, {offset})", literal(file.name()));
    let rows: Vec<Row> = connection.rows(limit, "ask for the GTIDs of a place in the log", &statement).await?;
    let text = rows.first().and_then(|row| field(row, 0)).ok_or_else(|| unexpected("BINLOG_GTID_POS"))?;
    GtidSet::parse(Flavor::MariaDb, &text).map_err(|_| unexpected("BINLOG_GTID_POS"))
}

/// The files that there are, oldest first.
pub(crate) async fn files(connection: &mut Connection, limit: Duration) -> Result<Vec<LogSize>, SourceError> {
    let statement = "SHOW BINARY LOGS";
    let rows: Vec<Row> = connection.rows(limit, "list the files of the binary log", statement).await?;
    let size = |row: &Row| {
        let file = field(row, 0).and_then(LogFile::new)?;
        let bytes = field(row, 1)?.parse().ok()?;
        Some(LogSize { file, bytes })
    };
    rows.iter().map(|row| size(row).ok_or_else(|| unexpected(statement))).collect()
}

/// Every transaction that the server has, and those of them that its log doesn't hold any more.
pub(crate) struct Executed {
    pub(crate) all: GtidSet,
    pub(crate) purged: GtidSet,
}

/// Asks for both sets. MariaDB keeps no list of what was purged: it is what lies before its first file.
pub(crate) async fn executed(
    connection: &mut Connection,
    limit: Duration,
    first: Option<&LogFile>,
) -> Result<Executed, SourceError> {
    let flavor = connection.server.version.flavor;
    let statement = match flavor {
        Flavor::MySql => "SELECT @@GLOBAL.gtid_executed, @@GLOBAL.gtid_purged",
        Flavor::MariaDb => "SELECT @@GLOBAL.gtid_binlog_pos, ''",
    };
    let rows: Vec<Row> = connection.rows(limit, "ask which transactions the server has", statement).await?;
    let set = |index| {
        let text = rows.first().and_then(|row| field(row, index)).unwrap_or_default();
        GtidSet::parse(flavor, &text).map_err(|_| unexpected(statement))
    };
    let (all, purged) = (set(0)?, set(1)?);
    match (flavor, first) {
        (Flavor::MariaDb, Some(first)) => {
            let purged = gtid_at(connection, limit, first, FIRST_EVENT_OFFSET).await?;
            Ok(Executed { all, purged })
        }
        _ => Ok(Executed { all, purged }),
    }
}

/// MySQL: the transactions in all files before this one, as its second event says.
pub(crate) async fn previous_gtids(
    connection: &mut Connection,
    limit: Duration,
    file: &LogFile,
) -> Result<GtidSet, SourceError> {
    const KIND: usize = 2;
    const INFO: usize = 5;
    let statement = format!("SHOW BINLOG EVENTS IN {} LIMIT 3", literal(file.name()));
    let rows: Vec<Row> = connection.rows(limit, "ask which transactions are in earlier files", &statement).await?;
    let row = rows.iter().find(|row| field(row, KIND).as_deref() == Some("Previous_gtids"));
    let text = row.and_then(|row| field(row, INFO)).ok_or_else(|| unexpected("SHOW BINLOG EVENTS"))?;
    GtidSet::parse(Flavor::MySql, &text).map_err(|_| unexpected("SHOW BINLOG EVENTS"))
}

/// Whether an event of a file begins at an offset, or the file ends there.
///
/// # Errors
///
/// A server may refuse to read there instead of answering.
pub(crate) async fn has_event_at(
    connection: &mut Connection,
    limit: Duration,
    size: &LogSize,
    offset: u64,
) -> Result<bool, SourceError> {
    const PLACE: usize = 1;
    let statement = format!("SHOW BINLOG EVENTS IN {} FROM {offset} LIMIT 1", literal(size.file.name()));
    let rows: Vec<Row> = connection.rows(limit, "look at a place in the log", &statement).await?;
    Ok(match rows.first().and_then(|row| field(row, PLACE)) {
        Some(place) => place.parse() == Ok(offset),
        None => size.bytes == offset,
    })
}

fn field(row: &Row, index: usize) -> Option<String> {
    row.get_opt::<Vec<u8>, _>(index)?.ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn unexpected(statement: &str) -> SourceError {
    SourceError::definite(
        format!("the server's answer to {statement} isn't one of MySQL or MariaDB"),
        "Check that nothing between Millstream and the server changes its answers, and report this otherwise",
    )
}

/// How much log lies between two places of one series of files; `None` if a file of them is gone.
pub(crate) fn bytes_between(files: &[LogSize], from: &MySqlPosition, to: &MySqlPosition) -> Option<u64> {
    let (first, last) = (from.file.number(), to.file.number());
    if (first, from.offset) >= (last, to.offset) {
        return Some(0);
    }
    let earlier = files.iter().filter(|size| (first..last).contains(&size.file.number()));
    let (count, bytes) = earlier.fold((0, 0_u64), |(count, bytes), size| (count + 1, bytes + size.bytes));
    (count == last - first).then(|| (bytes + to.offset).saturating_sub(from.offset))
}
