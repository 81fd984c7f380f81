//! The connector itself: the core's contract, kept by the other modules.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use millstream_core::error::SourceError;
use millstream_core::position::Position;
use millstream_core::schema::{IdentityKind, TableSchema};
use millstream_core::selection::Selection;
use millstream_core::source::{
    Catalog, Chunk, DeliveryStream, Discovery, KeyRange, Problem, ReadRequest, ReadScope, SourceConnector,
};

use tokio::time::timeout;

use crate::capture::{self, plan::Gaps};
use crate::check;
use crate::cleanup::Cleaner;
use crate::config::SqlServerConfig;
use crate::connect::{Connection, Connector};
use crate::discover::{self, Which};
use crate::fence::{self, Fence};
use crate::position::{Lsn, PositionError, SqlServerPosition};
use crate::progress::Progress;
use crate::read::{self, Answer, Scans};
use crate::stream;

/// How often the catalog is read again when it changed, or may have changed, during the reading.
const DISCOVERIES_MAX: usize = 10;
/// How long to wait for the capture process to take notice of instances that were just made. It looks every five
/// seconds by default, in Azure SQL Database every twenty.
const NOTICE_WAIT_MAX: Duration = Duration::from_secs(30);

/// A database of a SQL Server or of Azure SQL as a source.
struct SqlServerSource {
    connector: Arc<Connector>,
    progress: Arc<Progress>,
    scans: Scans,
    cleaner: Cleaner,
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
            scans: Scans::default(),
            cleaner: Cleaner::default(),
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

    /// Waits until the capture process has noticed all instances of the selected tables, and scanned up to there.
    async fn await_notice(
        &self,
        connection: &mut Connection,
        fence: &mut Fence,
        selection: &Selection,
    ) -> Result<(), SourceError> {
        loop {
            let lsn = fence.scanned(connection).await?.map_or(Lsn::ZERO, |scanned| scanned.lsn);
            if !fence::has_unnoticed(connection, selection, lsn).await? {
                return Ok(());
            }
            tokio::time::sleep(self.connector.settings().poll_interval).await;
        }
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
        let Answer { rows, next } = match range.after {
            Some(cursor) => self.scans.resume(&cursor, &table).await?,
            None => self.scans.begin(self.connector.open_for_rows().await?, table, limit_rows).await?,
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
        let connection = &mut reader.connection;
        let mut fence = Fence::default();
        // What isn't captured even then is left to the stream, which says so.
        let noticed = self.await_notice(connection, &mut fence, selection);
        if let Ok(outcome) = timeout(NOTICE_WAIT_MAX, noticed).await {
            outcome?;
        } else {
            // A request given up half-way leaves the connection of no use.
            drop(reader);
            reader = self.connector.reader().await?;
        }
        let connection = &mut reader.connection;
        let gaps = Gaps::of(self.connector.settings().capture_instances);
        let mut before = None;
        for _ in 0..DISCOVERIES_MAX {
            // Statements up to here are in the history, so shapes can be told for this place; not for a later one.
            let scanned = fence.scanned(connection).await?;
            let lsn = self.furthest_scanned(connection, scanned.map_or(Lsn::ZERO, |scanned| scanned.lsn)).await?;
            let found = capture::followed(connection, selection, gaps, lsn).await?;
            // The catalog is read in several queries, between which it may change: so twice.
            if before.as_ref() == Some(&found) {
                let last_commit = scanned.and_then(|scanned| scanned.last_commit);
                let position = SqlServerPosition { epoch: self.progress.epoch(), lsn, last_commit };
                self.connector.give_back(reader);
                return Ok(Discovery { tables: found, position: Position::from(&position) });
            }
            before = Some(found);
        }
        let error = format!("{DISCOVERIES_MAX} readings in a row were different");
        Err(SourceError::transient("read the tables' shapes while none of them changes", error))
    }

    async fn tables(&self, selection: &Selection) -> Result<Vec<Arc<TableSchema>>, SourceError> {
        let mut reader = self.connector.reader().await?;
        let found = discover::live(&mut reader.connection, Which::Selection(selection)).await?;
        self.connector.give_back(reader);
        Ok(found.iter().map(|table| Arc::new(table.schema())).collect())
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
        stream::open(Arc::clone(&self.connector), Arc::clone(&self.progress), from, catalog).await
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
        match scope {
            ReadScope::Range(range) if table.identity.kind == IdentityKind::WholeRow => {
                self.read_whole(table, range, limit_rows).await
            }
            scope => self.read_by_key(&table, &scope, limit_rows).await,
        }
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
