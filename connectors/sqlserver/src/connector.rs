//! The connector itself: the core's contract, kept by the other modules.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use millstream_core::error::SourceError;
use millstream_core::open_scan::{OpenScans, ScannedPart};
use millstream_core::position::Position;
use millstream_core::schema::{IdentityKind, TableName, TableSchema};
use millstream_core::selection::Selection;
use millstream_core::source::{
    Catalog, Chunk, DeliveryStream, Discovery, HiddenTable, KeyRange, Problem, ReadRequest, ReadScope, Remarks,
    SourceConnector,
};

use crate::capture::plan::Gaps;
use crate::capture::{self, Found};
use crate::check;
use crate::cleanup::Cleaner;
use crate::config::SqlServerConfig;
use crate::connect::{Connection, Connector};
use crate::discover::{self, Which};
use crate::fence::{self, Fence};
use crate::field::optional_text;
use crate::noticed::Noticed;
use crate::position::{Lsn, PositionError, SqlServerPosition};
use crate::progress::Progress;
use crate::pulse::Pulse;
use crate::read::{self, Answer};
use crate::stream;

/// How often the catalog may have changed since it was read before.
const DIFFERENT_READINGS_MAX: usize = 10;
/// How long to wait for the capture process to take notice of instances that were just made, and to come to where the
/// log ended. It looks every five seconds by default, in Azure SQL Database every twenty, and may have to look twice.
const CAPTURE_WAIT_MAX: Duration = Duration::from_secs(60);

/// A database of a SQL Server or of Azure SQL as a source.
struct SqlServerSource {
    connector: Arc<Connector>,
    progress: Arc<Progress>,
    scans: OpenScans,
    cleaner: Cleaner,
    noticed: Arc<Noticed>,
    /// Which tables are followed, once they are.
    followed: Mutex<Selection>,
}

impl SqlServerConfig {
    /// Checks the configuration and builds the source. Nothing is connected yet. `name` is the source's own, for
    /// messages.
    ///
    /// # Errors
    ///
    /// A definite error that tells every fault at once.
    pub fn build(self, name: &str) -> Result<Arc<dyn SourceConnector>, SourceError> {
        let connector = Arc::new(Connector::new(self.settings(name)?));
        Ok(Arc::new(SqlServerSource {
            connector,
            progress: Arc::default(),
            scans: OpenScans::new(read::SCAN_IDLE_MAX),
            cleaner: Cleaner::default(),
            noticed: Arc::default(),
            followed: Mutex::default(),
        }))
    }
}

impl SqlServerSource {
    /// The end of the log now.
    ///
    /// # Errors
    ///
    /// [`SourceError::PositionLost`] if it lies before a place that was reached already: then the database has been
    /// restored from a backup.
    async fn end_of_log(&self, connection: &mut Connection) -> Result<Position, SourceError> {
        let (epoch, reached) = (self.progress.epoch(), self.progress.reached());
        let end = fence::log_end(connection).await?;
        if end < reached {
            self.progress.lose(epoch);
            let position = SqlServerPosition::at(epoch, reached).to_string();
            let reason = format!("the log ends at {end} now: the database was restored");
            return Err(SourceError::PositionLost { position, reason });
        }
        Ok(Position::from(&SqlServerPosition::at(epoch, end)))
    }

    /// What a fence says was scanned, or what an earlier one knew to be: in an idle database that takes a fence several
    /// looks to find out. Where the log ends before that place it is another log, of which nothing was known.
    async fn furthest_scanned(&self, connection: &mut Connection, lsn: Lsn) -> Result<Lsn, SourceError> {
        let furthest = self.progress.scanned(lsn);
        let is_known = furthest == lsn || furthest <= fence::log_end(connection).await?;
        Ok(if is_known { furthest } else { lsn })
    }

    /// The selected tables at a place that the capture process has come to. The catalog is read in several queries,
    /// between which it may change: so again and again, until it stays as it is. And instances that were just made are
    /// noticed, and everything is captured up to where the tables' changes count from, so that reading needn't wait.
    async fn look_until_settled(
        &self,
        connection: &mut Connection,
        selection: &Selection,
    ) -> Result<Discovery, SourceError> {
        let gaps = Gaps::of(self.connector.settings().capture_instances);
        let patience_ends = Instant::now() + CAPTURE_WAIT_MAX;
        let mut fence = Fence::default();
        let mut pulse = Pulse::new(Arc::clone(&self.noticed));
        let mut seen: Option<Found> = None;
        let mut readings = 0;
        while readings < DIFFERENT_READINGS_MAX {
            // Statements up to here are in the history, so shapes can be told for this place; not for a later one.
            let scanned = fence.scanned(connection).await?;
            pulse.feel(connection, fence.seen()).await?;
            let lsn = self.furthest_scanned(connection, scanned.map_or(Lsn::ZERO, |scanned| scanned.lsn)).await?;
            let found = capture::followed(connection, selection, gaps, lsn).await?;
            match seen.as_ref().filter(|seen| seen.tables == found.tables) {
                Some(seen) => {
                    let is_captured = seen.tables.is_empty() || lsn >= seen.end;
                    let is_settled = is_captured && !fence::has_unnoticed(connection, selection, lsn).await?;
                    if is_settled || Instant::now() >= patience_ends {
                        // What isn't noticed even then is left to the stream, which says so.
                        let mark = scanned.and_then(|scanned| scanned.mark);
                        // Whoever waits until everything is current must not have come there before the stream has
                        // told of the tables that wait: something remains to be read.
                        let lsn = if found.has_waiting { lsn.previous() } else { lsn };
                        let position = SqlServerPosition { epoch: self.progress.epoch(), lsn, mark };
                        let counted = |table: &Arc<TableSchema>| Arc::new(capture::counted_since(table, seen.end));
                        let tables = found.tables.iter().map(counted).collect();
                        return Ok(Discovery { tables, position: Position::from(&position) });
                    }
                }
                None => {
                    readings += 1;
                    seen = Some(found);
                }
            }
            tokio::time::sleep(self.connector.settings().poll_interval).await;
        }
        let error = format!("{DIFFERENT_READINGS_MAX} readings were different");
        Err(SourceError::transient("read the tables' shapes while none of them changes", error))
    }

    /// The rows of a range, or those with certain identities.
    async fn read_by_key(
        &self,
        table: &TableSchema,
        scope: &ReadScope,
        limit_rows: usize,
    ) -> Result<Chunk, SourceError> {
        let mut reader = self.connector.reader().await?;
        let connection = &mut reader.connection;
        let Answer { rows, next } = match scope {
            ReadScope::Range(range) => read::read_range(connection, table, range, limit_rows).await?,
            ReadScope::Keys(identities) => {
                Answer { rows: read::read_keys(connection, table, identities).await?, next: None }
            }
        };
        if connection.is_spoilt() {
            // Another connection's view of the log is later, which is as right.
            drop(reader);
            return Ok(Chunk { rows, high: self.head().await?, next });
        }
        let high = self.end_of_log(connection).await?;
        self.connector.give_back(reader);
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
                let connection = self.connector.open_for_rows().await?;
                let query = |table, parts| read::read_whole(connection, table, parts);
                self.scans.begin(&table, read::part_limit(limit_rows), query).await?
            }
        };
        Ok(Chunk { rows, high: self.head().await?, next })
    }

    fn followed(&self) -> Selection {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn parse(position: &Position) -> Result<SqlServerPosition, SourceError> {
    SqlServerPosition::try_from(position).map_err(|error: PositionError| {
        SourceError::definite(
            error.to_string(),
            "Check that the store belongs to this source, and that it is a SQL Server one",
        )
    })
}

#[async_trait]
impl SourceConnector for SqlServerSource {
    fn kind(&self) -> &'static str {
        "sqlserver"
    }

    async fn check(&self, selection: &Selection) -> Result<Vec<Problem>, SourceError> {
        check::check(&self.connector, selection).await
    }

    async fn discover(&self, selection: &Selection) -> Result<Discovery, SourceError> {
        let mut reader = self.connector.reader().await?;
        let discovery = self.look_until_settled(&mut reader.connection, selection).await?;
        self.connector.give_back(reader);
        Ok(discovery)
    }

    async fn tables(&self, selection: &Selection) -> Result<Vec<Arc<TableSchema>>, SourceError> {
        let mut reader = self.connector.reader().await?;
        let found = discover::live(&mut reader.connection, Which::Selection(selection)).await?;
        self.connector.give_back(reader);
        Ok(found.iter().map(|table| Arc::new(table.schema())).collect())
    }

    async fn schemas(&self) -> Result<Vec<String>, SourceError> {
        let query = "SELECT DISTINCT s.name FROM sys.tables AS t JOIN sys.schemas AS s ON s.schema_id = t.schema_id \
                     WHERE t.is_ms_shipped = 0 AND s.name <> N'cdc'";
        let mut reader = self.connector.reader().await?;
        let rows = reader.connection.rows("list the schemas that have tables", query, &[]).await?;
        self.connector.give_back(reader);
        Ok(rows.iter().filter_map(|row| optional_text(row, 0)).collect())
    }

    async fn hidden(&self, tables: &[TableName]) -> Result<Vec<HiddenTable>, SourceError> {
        let mut reader = self.connector.reader().await?;
        let missing: Vec<(TableName, Option<i32>)> = tables.iter().map(|table| (table.clone(), None)).collect();
        let hidden = capture::hidden::hidden(&mut reader.connection, &missing).await?;
        self.connector.give_back(reader);
        Ok(hidden)
    }

    async fn head(&self) -> Result<Position, SourceError> {
        let mut reader = self.connector.reader().await?;
        let position = self.end_of_log(&mut reader.connection).await?;
        self.connector.give_back(reader);
        Ok(position)
    }

    async fn bytes_between(&self, from: &Position, to: &Position) -> Result<Option<u64>, SourceError> {
        let (from, to) = (parse(from)?, parse(to)?);
        Ok(if from.epoch == to.epoch { from.lsn.bytes_until(to.lsn) } else { None })
    }

    async fn stream(&self, from: &Position, catalog: Catalog) -> Result<DeliveryStream, SourceError> {
        let from = parse(from)?;
        *self.followed.lock().unwrap_or_else(PoisonError::into_inner) = catalog.selection.clone();
        let (connector, progress, noticed) = (&self.connector, &self.progress, &self.noticed);
        stream::open(Arc::clone(connector), Arc::clone(progress), Arc::clone(noticed), from, catalog).await
    }

    async fn split(&self, table: &TableSchema, parts: usize) -> Result<Vec<KeyRange>, SourceError> {
        let mut reader = self.connector.reader().await?;
        let ranges = read::split(&mut reader.connection, table, parts).await?;
        self.connector.give_back(reader);
        Ok(ranges)
    }

    async fn estimate_rows(&self, table: &TableSchema) -> Result<Option<u64>, SourceError> {
        let mut reader = self.connector.reader().await?;
        let rows = read::estimate_rows(&mut reader.connection, &table.table).await?;
        self.connector.give_back(reader);
        Ok(rows)
    }

    async fn read(&self, request: ReadRequest) -> Result<Chunk, SourceError> {
        let ReadRequest { table, scope, limit_rows } = request;
        // What was committed up to there is in no change that counts, so it has to be in what is read.
        self.progress.until_scanned(capture::counts_since(&table)).await;
        match scope {
            ReadScope::Range(range) if table.identity.kind == IdentityKind::WholeRow => {
                self.read_whole(table, range, limit_rows).await
            }
            scope => self.read_by_key(&table, &scope, limit_rows).await,
        }
    }

    fn remarks(&self) -> Remarks {
        self.noticed.remarks()
    }

    async fn acknowledge(&self, position: &Position) -> Result<(), SourceError> {
        self.progress.acknowledge(&parse(position)?);
        let followed = self.followed();
        if !followed.patterns.is_empty() {
            self.cleaner.begin(&self.connector, &self.progress, followed);
        }
        Ok(())
    }
}
