//! The contract of a connector.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::change::Delivery;
use crate::error::SourceError;
use crate::position::Position;
use crate::row::RowBatch;
use crate::schema::{TableName, TableSchema};
use crate::selection::Selection;

/// Deliveries, until an error or until it is dropped.
pub type DeliveryStream = BoxStream<'static, Result<Delivery, SourceError>>;

/// A database whose changes can be followed.
///
/// One value serves one source for the whole run. Its methods may be called from several tasks at once, [`read`] from
/// many; only one stream is used at a time, and the next is asked for only after the last was dropped. Every call may
/// be cancelled by dropping it at any await: nothing at the source depends on it afterwards, and a connection that was
/// in the middle of something is discarded, not reused.
///
/// # Consistency
///
/// Three facts together make reconcile right, so a connector must guarantee them:
///
/// 1. A stream from position *p* delivers every change to a selected table that was committed after *p*, once, in
///    commit order, and none before. A new stream from the same position delivers the same. Where a schema change has
///    the table read, changes may be left out that were committed before it was told: every read that follows shows
///    them.
/// 2. A [`Chunk`]'s rows are a state of the table that lies before or at its `high` in the log, and not before the
///    position that the stream had reached when the read was asked for.
/// 3. A row read by a chunk and the same row delivered by the stream have identical values.
///
/// # Schemas
///
/// Rows are only ever decoded by a schema that is certain at their place in the log. A connector finds out by its own
/// means (the log's metadata, looking ahead in it for later statements); while it can't be certain about a table, it
/// says [`Unreadable`](crate::schema_change::SchemaChangeKind::Unreadable), delivers no rows of that table, goes on
/// with all others, and says [`Settled`](crate::schema_change::SchemaChangeKind::Settled) at the place from which it is
/// certain again.
///
/// # Errors
///
/// See [`SourceError`]. After an error the stream ends; the core asks for another from the last commit's position:
/// after a transient one with growing pauses, for ever. A connector doesn't retry by itself.
///
/// [`read`]: SourceConnector::read
#[async_trait]
pub trait SourceConnector: Send + Sync {
    /// The kind of source, as in the configuration's `type`: `mysql`, `sqlserver`.
    fn kind(&self) -> &'static str;

    /// Every problem with the server's set-up and with the selected tables, all at once.
    ///
    /// An unreachable server is a problem as well, not an error, as long as the way to mend it can be told.
    async fn check(&self, selection: &Selection) -> Result<Vec<Problem>, SourceError>;

    /// The selected tables that exist, and a position at which all these schemas were true.
    async fn discover(&self, selection: &Selection) -> Result<Discovery, SourceError>;

    /// The selected tables that exist, for somebody who wants to see them and nothing more. A server that isn't set up
    /// yet so that it can be followed may be able to answer this.
    async fn tables(&self, selection: &Selection) -> Result<Vec<Arc<TableSchema>>, SourceError> {
        Ok(self.discover(selection).await?.tables)
    }

    /// The schemas that have tables, of a source whose tables are in several; for somebody who wants to see all of them.
    async fn schemas(&self) -> Result<Vec<String>, SourceError> {
        Ok(Vec::new())
    }

    /// Which of these tables, none of which [`discover`](SourceConnector::discover) found, may exist all the same, hidden
    /// from a user who may not read them. A connector of which nothing is hidden answers with none.
    async fn hidden(&self, _tables: &[TableName]) -> Result<Vec<HiddenTable>, SourceError> {
        Ok(Vec::new())
    }

    /// The position now: everything committed before this call lies before or at it.
    async fn head(&self) -> Result<Position, SourceError>;

    /// How many bytes of log lie between two positions; `None` where that can't be told.
    async fn bytes_between(&self, from: &Position, to: &Position) -> Result<Option<u64>, SourceError>;

    /// The changes after a position, as the trait's docs say.
    ///
    /// Transactions arrive in commit order. Several small ones may share a [`Delivery`]; a large one arrives in
    /// several, of which only the last has a commit, so memory stays bounded whatever its size. A delivery comes
    /// without waiting for more once the log has nothing more to read at once. While the log is idle, a delivery
    /// without events arrives at least every ten seconds as a sign of life.
    async fn stream(&self, from: &Position, catalog: Catalog) -> Result<DeliveryStream, SourceError>;

    /// Divides a table's identities into at most `parts` ranges of about the same number of rows, in order, together
    /// covering every possible identity. One range that covers all is always right.
    async fn split(&self, table: &TableSchema, parts: usize) -> Result<Vec<KeyRange>, SourceError>;

    /// About how many rows a table has, for showing progress.
    async fn estimate_rows(&self, table: &TableSchema) -> Result<Option<u64>, SourceError>;

    /// Reads one chunk. Rows carry the values of all of the schema's columns.
    async fn read(&self, request: ReadRequest) -> Result<Chunk, SourceError>;

    /// Everything up to this position is durable; the source may release what lies before. Positions only grow. In a
    /// process that continues what a former one began this is called, with where that stopped, before any position is
    /// asked for.
    async fn acknowledge(&self, position: &Position) -> Result<(), SourceError>;

    /// What people should know while the source is followed, as its stream has last found it. Asked for twice a second,
    /// so nothing is asked of the server for it.
    fn remarks(&self) -> Remarks {
        Remarks::default()
    }
}

/// What people should know of a source while it is followed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remarks {
    /// Why no changes arrive, although the source is within reach and its stream is open: whoever fills its log stands
    /// still. `None` if changes arrive, as far as is known. The text stays the same for as long as the cause does.
    pub standstill: Option<Remark>,
    /// What is amiss with tables that are followed all the same.
    pub tables: BTreeMap<TableName, Remark>,
}

/// Something amiss that stops nothing which could go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remark {
    /// What was found, for a person.
    pub found: String,
    /// What mends it, exactly: SQL, or configuration.
    pub remedy: String,
}

/// What the stream needs to know at its start.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// Which tables to deliver; tables that come to match it later are delivered too, by a schema change.
    pub selection: Selection,
    /// The tables tracked at the position where the stream starts, with the schemas that were true there. `None` says
    /// that the table is wanted but its schema there isn't known: the connector settles it.
    pub tables: Vec<(TableName, Option<Arc<TableSchema>>)>,
}

/// What [`SourceConnector::discover`] found.
#[derive(Debug, Clone)]
pub struct Discovery {
    /// The tables, sorted by name.
    pub tables: Vec<Arc<TableSchema>>,
    /// A position at which their schemas were true.
    pub position: Position,
}

/// A table that the source's catalog may hide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HiddenTable {
    /// Which.
    pub table: TableName,
    /// What was found, for a person.
    pub reason: String,
    /// What a person has to do to show it, exactly; `None` if the stream will tell by itself.
    pub remedy: Option<String>,
}

/// A place between two identities of a table; a connector's own bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor(pub String);

/// A range of identities: above `after`, up to and with `upto`. `None` means without end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRange {
    /// The identities above this.
    pub after: Option<Cursor>,
    /// The identities not above this.
    pub upto: Option<Cursor>,
}

impl KeyRange {
    /// All identities, divided behind each of these, which come in the table's order.
    pub fn divided_at(ends: Vec<Cursor>) -> Vec<KeyRange> {
        let mut ranges = Vec::with_capacity(ends.len() + 1);
        let mut after = None;
        for end in ends {
            ranges.push(KeyRange { after: after.take(), upto: Some(end.clone()) });
            after = Some(end);
        }
        ranges.push(KeyRange { after, upto: None });
        ranges
    }
}

/// Which rows to read.
#[derive(Debug, Clone)]
pub enum ReadScope {
    /// The first rows of a range, in identity order. Tables without any key have no order: they are read whole, in
    /// parts whose cursor continues one scan (a connector may hold the scan open between reads, and answers
    /// [`SourceError::Table`] for a cursor whose scan is gone).
    Range(KeyRange),
    /// The rows with these identities, whole rows of which the identity's columns count. Rows that don't exist are
    /// simply not in the answer.
    Keys(RowBatch),
}

/// One read.
#[derive(Debug, Clone)]
pub struct ReadRequest {
    /// The table and the shape it is expected to have.
    pub table: Arc<TableSchema>,
    /// Which rows.
    pub scope: ReadScope,
    /// At most this many rows; a connector may give fewer, so that a chunk of wide rows fits into memory.
    pub limit_rows: usize,
}

/// The answer to one read.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// The rows.
    pub rows: RowBatch,
    /// A position that the read's view of the table doesn't go beyond.
    pub high: Position,
    /// Where the range goes on; `None` if it has been read to its end.
    pub next: Option<Cursor>,
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Works, but something should be known or could be better.
    Warning,
    /// Prevents running.
    Error,
}

/// One problem with a set-up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// How bad.
    pub severity: Severity,
    /// What it concerns: a setting, a privilege, a table, a line of a file.
    pub subject: String,
    /// What was found.
    pub found: String,
    /// What mends it, exactly: SQL, or configuration.
    pub remedy: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_everything() {
        let cursor = |text: &str| Cursor(text.to_owned());
        let found = KeyRange::divided_at(vec![cursor("a"), cursor("b")]);
        let expected = [
            KeyRange { after: None, upto: Some(cursor("a")) },
            KeyRange { after: Some(cursor("a")), upto: Some(cursor("b")) },
            KeyRange { after: Some(cursor("b")), upto: None },
        ];
        assert_eq!(found, expected);
        assert_eq!(KeyRange::divided_at(Vec::new()), [KeyRange::default()]);
    }
}
