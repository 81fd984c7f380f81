//! The connector itself: the core's contract, kept by the other modules.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use millstream_core::error::SourceError;
use millstream_core::open_scan::{OpenScans, ScannedPart};
use millstream_core::position::Position;
use millstream_core::schema::{IdentityKind, TableName, TableSchema};
use millstream_core::selection::Selection;
use millstream_core::source::{
    Catalog, Chunk, DeliveryStream, Discovery, HiddenTable, KeyRange, Problem, ReadRequest, ReadScope, SourceConnector,
};

use crate::access::{self, Access};
use crate::check;
use crate::config::MySqlConfig;
use crate::connect::{Connection, Connector, Session};
use crate::discover;
use crate::log::{self, Head};
use crate::position::{MySqlPosition, PositionError};
use crate::progress::Progress;
use crate::read::{self, Answer, RowSizes};
use crate::{fence, stream};

/// Why the catalog doesn't show a table that was there.
const HIDDEN: &str = "the user may not read the table, so it can't be known whether it is still there";
/// What follows a GRANT that lets the user read a table.
pub(crate) const SEEN_SOON: &str = "It is read again within seconds of that";
/// How often the catalog is read again when it changed, or may have changed, during the reading.
const DISCOVERIES_MAX: usize = 10;

/// A MySQL or MariaDB server as a source.
struct MySqlSource {
    connector: Arc<Connector>,
    progress: Arc<Progress>,
    scans: OpenScans,
    row_sizes: RowSizes,
    /// Names this replica to the server.
    replica_id: u32,
}

impl MySqlConfig {
    /// Checks the configuration and builds the source. Nothing is connected yet. `name` is the source's own, for
    /// messages.
    ///
    /// # Errors
    ///
    /// A definite error that tells every fault at once.
    pub fn build(self, name: &str) -> Result<Arc<dyn SourceConnector>, SourceError> {
        let settings = self.settings(name)?;
        let replica_id = settings.server_id.unwrap_or_else(random_replica_id);
        let connector = Arc::new(Connector::new(settings));
        Ok(Arc::new(MySqlSource {
            connector,
            progress: Arc::default(),
            scans: OpenScans::new(read::SCAN_IDLE_MAX),
            row_sizes: RowSizes::default(),
            replica_id,
        }))
    }
}

/// Above what people give to their servers. The standard library seeds its hashers at random.
fn random_replica_id() -> u32 {
    const OWN_RANGE: u32 = 1 << 31;
    let random = RandomState::new().hash_one(std::process::id());
    u32::try_from(random >> 33).unwrap_or_default() | OWN_RANGE
}

impl MySqlSource {
    fn limit(&self) -> Duration {
        self.connector.query_timeout()
    }

    /// The log's end now, as a position without GTIDs.
    ///
    /// # Errors
    ///
    /// [`SourceError::PositionLost`] if it lies before a place that the log had already: then it was reset. The
    /// server says no word of it to those who follow the log, and sends them nothing more.
    async fn end_of_log(&self, connection: &mut Connection<impl Session>) -> Result<MySqlPosition, SourceError> {
        let reached = self.progress.reached();
        let Head { file, offset } = log::head(connection, self.limit()).await?;
        let server = connection.server.identity;
        let epoch = self.progress.epoch(server, file.stem());
        let end = MySqlPosition { epoch, server, file, offset, begun: None, gtid: None, relied_until: None };
        match reached.map(|reached| reached.position) {
            Some(reached) if reached.same_log(&end) && Position::from(&end) < Position::from(&reached) => {
                let reason = format!("the log ends at {}:{} now: it was reset", end.file, end.offset);
                self.progress.lose(&reached, &reason);
                Err(SourceError::PositionLost { position: reached.to_string(), reason })
            }
            _ => Ok(end),
        }
    }

    /// What a read met, with the exact remedy if the user may not read the table.
    async fn diagnosed(&self, table: &TableSchema, error: SourceError) -> SourceError {
        let SourceError::Definite { diagnosis, .. } = &error else { return error };
        let probed = async {
            let mut connection = self.connector.open().await?;
            access::probe(&mut connection, self.limit(), &table.table).await
        };
        match probed.await {
            Ok(Access::Denied { grant }) => SourceError::definite(
                format!("the user may not read all of the table ({diagnosis})"),
                format!("{grant} {SEEN_SOON}"),
            ),
            // The first error says what is wrong.
            Ok(Access::Granted | Access::Nothing | Access::Locked) | Err(_) => error,
        }
    }

    /// The rows of a range, or those with certain identities.
    async fn read_by_key(
        &self,
        table: &TableSchema,
        scope: &ReadScope,
        limit_rows: usize,
    ) -> Result<Chunk, SourceError> {
        let reached = self.progress.reached();
        let mut reader = self.connector.row_reader().await?;
        let connection = &mut reader.connection;
        fence::await_visible(connection, self.limit(), reached.as_ref()).await?;
        let conn = &mut connection.conn;
        let Answer { rows, next, unread } = match scope {
            ReadScope::Range(range) => {
                let limit_rows = self.row_sizes.limit_rows(&table.table, limit_rows);
                let answer = read::read_range(conn, table, range, limit_rows).await?;
                self.row_sizes.note(&table.table, answer.rows.len(), answer.rows.size_bytes());
                answer
            }
            ReadScope::Keys(identities) => {
                let rows = read::read_keys(conn, table, identities).await?;
                Answer { rows, next: None, unread: false }
            }
        };
        if unread {
            // Another connection's head is later, which is as right.
            drop(reader);
            return Ok(Chunk { rows, high: self.head().await?, next });
        }
        fence::end(connection, self.limit()).await?;
        let high = self.head_on(connection).await?;
        reader.give_back();
        Ok(Chunk { rows, high, next })
    }

    /// The next rows of a table without a key. The query has a connection beside the readers': it stays open for as
    /// long as somebody takes in its rows, who may need readers meanwhile.
    async fn read_whole(
        &self,
        table: Arc<TableSchema>,
        range: KeyRange,
        limit_rows: usize,
    ) -> Result<Chunk, SourceError> {
        let ScannedPart { rows, next } = match range.after {
            Some(cursor) => self.scans.resume(&cursor, &table).await?,
            None => {
                let reached = self.progress.reached();
                let mut connection = self.connector.open_for_rows().await?;
                fence::await_visible(&mut connection, self.limit(), reached.as_ref()).await?;
                let conn = connection.conn;
                let query = |table, parts| read::read_whole(conn, table, parts);
                self.scans.begin(&table, read::part_limit(limit_rows), query).await?
            }
        };
        Ok(Chunk { rows, high: self.head().await?, next })
    }

    async fn head_on(&self, connection: &mut Connection<impl Session>) -> Result<Position, SourceError> {
        Ok(Position::from(&self.end_of_log(connection).await?))
    }
}

fn parse(position: &Position) -> Result<MySqlPosition, SourceError> {
    MySqlPosition::try_from(position).map_err(|error: PositionError| {
        SourceError::definite(
            error.to_string(),
            "Check that the store belongs to this source, and that it is a MySQL one",
        )
    })
}

#[async_trait]
impl SourceConnector for MySqlSource {
    fn kind(&self) -> &'static str {
        "mysql"
    }

    async fn check(&self, selection: &Selection) -> Result<Vec<Problem>, SourceError> {
        check::check(&self.connector, selection).await
    }

    async fn discover(&self, selection: &Selection) -> Result<Discovery, SourceError> {
        let mut reader = self.connector.reader().await?;
        let connection = &mut reader.connection;
        let mut before: Option<(MySqlPosition, _)> = None;
        for _ in 0..DISCOVERIES_MAX {
            let found = discover::selected(connection, self.limit(), selection).await?;
            let head = self.end_of_log(connection).await?;
            // Two equal readings with the head taken between them: the catalog was like this at that head. If the
            // log didn't move between two heads either, nothing happened at all.
            if let Some((mut position, _)) = before.take_if(|(_, earlier)| *earlier == found) {
                let head = Head { file: position.file.clone(), offset: position.offset };
                let known = self.progress.reached().map(|reached| reached.position);
                let replica_id = random_replica_id();
                let marks = stream::marks_of(&self.connector, connection, replica_id, &head, known.as_ref()).await;
                if let (Err(SourceError::PositionLost { reason, .. }), Some(known)) = (&marks, &known) {
                    self.progress.lose(known, reason);
                }
                let marks = marks?;
                (position.gtid, position.begun) = (marks.gtid, marks.begun);
                // What was committed before may come by reads alone, so they must see it.
                self.progress.reach(&position);
                reader.give_back();
                return Ok(Discovery {
                    tables: found.into_values().map(Arc::new).collect(),
                    position: Position::from(&position),
                });
            }
            before = Some((head, found));
        }
        let error = format!("{DISCOVERIES_MAX} readings in a row were different");
        Err(SourceError::transient("read the tables' shapes while none of them changes", error))
    }

    async fn tables(&self, selection: &Selection) -> Result<Vec<Arc<TableSchema>>, SourceError> {
        let mut reader = self.connector.reader().await?;
        let found = discover::selected(&mut reader.connection, self.limit(), selection).await?;
        reader.give_back();
        Ok(found.into_values().map(Arc::new).collect())
    }

    async fn hidden(&self, tables: &[TableName]) -> Result<Vec<HiddenTable>, SourceError> {
        let mut reader = self.connector.reader().await?;
        let mut hidden = Vec::new();
        for table in tables {
            let (reason, remedy) = match access::probe(&mut reader.connection, self.limit(), table).await? {
                Access::Nothing => continue,
                Access::Denied { grant } => (HIDDEN, Some(format!("{grant} {SEEN_SOON}"))),
                Access::Granted => ("the table was hidden a moment ago", None),
                Access::Locked => ("somebody keeps the table locked", None),
            };
            hidden.push(HiddenTable { table: table.clone(), reason: reason.to_owned(), remedy });
        }
        reader.give_back();
        Ok(hidden)
    }

    async fn head(&self) -> Result<Position, SourceError> {
        let mut reader = self.connector.reader().await?;
        let position = self.head_on(&mut reader.connection).await?;
        // After the head was asked for, as a reset is counted before it is done. A log that was reset may have come to
        // the same length again.
        let resets = log::resets(&mut reader.connection, self.limit()).await?;
        let server = reader.connection.server.identity;
        reader.give_back();
        if self.progress.is_doubtful(server, resets) {
            let error = "the server was told to RESET something: following it anew to see whether it was the log";
            return Err(SourceError::transient("ask where the binary log ends", error));
        }
        Ok(position)
    }

    async fn bytes_between(&self, from: &Position, to: &Position) -> Result<Option<u64>, SourceError> {
        let (from, to) = (parse(from)?, parse(to)?);
        if !from.same_log(&to) {
            return Ok(None);
        }
        let mut reader = self.connector.reader().await?;
        let files = log::files(&mut reader.connection, self.limit()).await?;
        reader.give_back();
        Ok(log::bytes_between(&files, &from, &to))
    }

    async fn stream(&self, from: &Position, catalog: Catalog) -> Result<DeliveryStream, SourceError> {
        let from = parse(from)?;
        stream::open(Arc::clone(&self.connector), Arc::clone(&self.progress), self.replica_id, from, catalog).await
    }

    async fn split(&self, table: &TableSchema, parts: usize) -> Result<Vec<KeyRange>, SourceError> {
        let mut reader = self.connector.reader().await?;
        let ranges = read::split(&mut reader.connection.conn, table, parts).await?;
        reader.give_back();
        Ok(ranges)
    }

    async fn estimate_rows(&self, table: &TableSchema) -> Result<Option<u64>, SourceError> {
        let mut reader = self.connector.reader().await?;
        let rows = read::estimate_rows(&mut reader.connection.conn, table).await?;
        reader.give_back();
        Ok(rows)
    }

    async fn read(&self, request: ReadRequest) -> Result<Chunk, SourceError> {
        let ReadRequest { table, scope, limit_rows } = request;
        let answer = match scope {
            ReadScope::Range(range) if table.identity.kind == IdentityKind::WholeRow => {
                self.read_whole(Arc::clone(&table), range, limit_rows).await
            }
            scope => self.read_by_key(&table, &scope, limit_rows).await,
        };
        match answer {
            Ok(chunk) => Ok(chunk),
            Err(error) => Err(self.diagnosed(&table, error).await),
        }
    }

    async fn acknowledge(&self, position: &Position) -> Result<(), SourceError> {
        // The server keeps its log for as long as it is configured to, whoever follows it. But positions that are made
        // before the stream is opened must come after this one.
        self.progress.resume(&parse(position)?);
        Ok(())
    }
}
