//! From events to transactions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use millstream_core::error::SourceError;
use millstream_core::outbox::{Abandoned, Outbox};
use millstream_core::position::Position;
use millstream_core::schema::TableName;
use millstream_core::schema_change::{SchemaChange, SchemaChangeKind};
use millstream_core::source::Catalog;
use mysql_common::binlog::consts::EventFlags;
use tokio::time::timeout_at;

use super::cascades::Watch;
use super::event::{self, Begin, Query, RawEvent, kind};
use super::input::Input;
use super::maps::Maps;
use super::payload;
use super::start::{self, Beginning};
use super::statement_format::SetOff;
use super::tables::{Standing, Tables};
use super::xa::{Branch, Branches};
use crate::connect::{Connector, Server};
use crate::decode::DecodeError;
use crate::gtid::{Gtid, GtidSet};
use crate::log;
use crate::position::{LogFile, LogPlace, MySqlPosition, SeriesPlace};
use crate::progress::{Alarm, Progress};

/// Why a stream ended.
#[derive(Debug)]
pub(super) enum End {
    /// Nobody listens any more.
    Abandoned,
    /// It can't go on.
    Failed(SourceError),
    /// What the server sends isn't what follows in the log that was being followed; this is why.
    Lost(String),
}

impl From<Abandoned> for End {
    fn from(_: Abandoned) -> Self {
        End::Abandoned
    }
}

impl From<SourceError> for End {
    fn from(error: SourceError) -> Self {
        End::Failed(error)
    }
}

impl From<DecodeError> for End {
    fn from(error: DecodeError) -> Self {
        End::Failed(SourceError::definite(
            format!("an event of the binary log can't be read: {error}"),
            "Check that the server's version is supported; report this with the server's version otherwise",
        ))
    }
}

/// The transaction that is being read.
#[derive(Debug, Default)]
pub(super) struct Open {
    gtid: Option<Gtid>,
    committed_at_ms: Option<i64>,
    /// It lasts until its own end; otherwise one statement is all of it.
    pub(super) began: bool,
    /// Tables whose rows it changed.
    pub(super) touched: Vec<TableName>,
    /// Tables of which rows changed that neither the log nor a statement names, and how: told at its end.
    pub(super) replaced_unseen: BTreeMap<TableName, &'static str>,
    /// The distributed transaction that its rows belong to: they count when that is committed.
    pub(super) branch: Option<Branch>,
}

impl Open {
    /// It lasts until its own end.
    pub(super) fn stays_open(&mut self) {
        self.began = true;
    }

    /// The event that is being handled is its last.
    pub(super) fn ends_here(&mut self) {
        self.began = false;
    }
}

/// Follows the log of one server from one place on.
pub(super) struct Follower {
    pub(super) connector: Arc<Connector>,
    progress: Arc<Progress>,
    pub(super) server: Arc<Server>,
    pub(super) input: Input,
    pub(super) outbox: Outbox,
    pub(super) tables: Tables,
    pub(super) maps: Maps,
    pub(super) watch: Watch,
    pub(super) set_off: SetOff,
    pub(super) open: Option<Open>,
    branches: Branches,
    /// Behind the event that is being handled.
    pub(super) place: LogPlace,
    skip_until: u64,
    /// All transactions before the open one.
    gtid: Option<GtidSet>,
    epoch: u16,
    /// When the file being read was begun, once its first event has told.
    begun: Option<u32>,
    /// When it must have been begun to be the right one, where that is known.
    begun_expected: Option<u32>,
    /// Whether the file being read has come to a regular end.
    file_ended: bool,
    /// Where no transaction was open the last time, and when that file was begun.
    rest: (LogFile, u64, Option<u32>),
    /// How many tables are settled by the stream's coming to a place.
    pub(super) waiting_for_place: usize,
    /// The time of the last event that had one.
    at_ms: i64,
}

impl Follower {
    pub(super) fn new(
        connector: Arc<Connector>,
        progress: Arc<Progress>,
        server: Arc<Server>,
        input: Input,
        outbox: Outbox,
        beginning: Beginning,
        catalog: &Catalog,
    ) -> Self {
        let Beginning { start: _, place, skip_until, begun, gtid, epoch, relied_until } = beginning;
        let mut tables = Tables::new(catalog.selection.clone());
        for (name, schema) in &catalog.tables {
            if let Some(schema) = schema {
                tables.set(name, Standing::Known(Arc::clone(schema)));
            }
        }
        Self {
            connector,
            progress,
            server,
            input,
            outbox,
            tables,
            maps: Maps::default(),
            watch: Watch::default(),
            set_off: SetOff::resumed(relied_until),
            open: None,
            branches: Branches::default(),
            rest: (place.file().clone(), skip_until.max(place.offset()), begun),
            place,
            skip_until,
            gtid,
            epoch,
            begun: None,
            begun_expected: begun,
            file_ended: false,
            waiting_for_place: 0,
            at_ms: 0,
        }
    }

    /// Runs until nobody listens (`None`) or something ends it.
    pub(super) async fn run(mut self, catalog: Catalog) -> Option<SourceError> {
        let mut alarms = self.progress.alarms();
        let epoch = self.epoch;
        let end = tokio::select! {
            end = self.follow(catalog) => end,
            // Another call has found out; here it would take as long as the server keeps silent about it.
            alarm = alarms.wait_for(|alarm| alarm.as_ref().is_some_and(|alarm| alarm.epoch == epoch)) => {
                match alarm.ok().and_then(|alarm| (*alarm).clone()) {
                    Some(Alarm { is_lost: true, reason, .. }) => End::Lost(reason),
                    Some(Alarm { reason, .. }) => SourceError::transient("read the binary log", reason).into(),
                    None => End::Abandoned,
                }
            }
        };
        let position = self.position();
        let error = match end {
            End::Abandoned => return None,
            End::Failed(SourceError::PositionLost { reason, .. }) => {
                start::confirm(&self.connector, &position, reason).await
            }
            End::Failed(error) => error,
            End::Lost(reason) => SourceError::PositionLost { position: position.to_string(), reason },
        };
        if let SourceError::PositionLost { reason, .. } = &error {
            self.progress.lose(&position, reason);
        }
        Some(error)
    }

    async fn follow(&mut self, catalog: Catalog) -> End {
        let unknown = catalog.tables.into_iter().filter(|(_, schema)| schema.is_none()).map(|(name, _)| name).collect();
        if let Err(end) = self.settle_at_start(unknown).await {
            return end;
        }
        loop {
            if let Err(end) = self.step().await {
                return end;
            }
        }
    }

    async fn step(&mut self) -> Result<(), End> {
        if self.input.is_idle() && self.outbox.has_rested() {
            self.hand_over().await?;
        }
        match self.access_due() {
            None => {}
            Some(due) if due <= Instant::now() => return self.ask_for_access().await,
            Some(due) => match timeout_at(due.into(), self.input.next()).await {
                Ok(event) => return self.handle(event?).await,
                Err(_) => return self.ask_for_access().await,
            },
        }
        let event = self.input.next().await?;
        self.handle(event).await
    }

    /// Where to resume: no transaction is open there.
    fn position(&self) -> MySqlPosition {
        let (file, offset, begun) = self.rest.clone();
        let relied_until = self.set_off.relied_until(SeriesPlace { file_number: file.number(), offset });
        let (server, gtid) = (self.server.identity, self.gtid.clone());
        MySqlPosition { epoch: self.epoch, server, file, offset, begun, gtid, relied_until }
    }

    /// Hands over all whole transactions.
    async fn hand_over(&mut self) -> Result<(), End> {
        let position = self.position();
        // First, so that a read that is asked for on account of this delivery isn't older than it.
        self.progress.reach(&position);
        Ok(self.outbox.hand_over(Position::from(&position)).await?)
    }

    /// Hands over a part of the open transaction.
    async fn hand_over_part(&mut self) -> Result<(), End> {
        // A read that is asked for on account of this part must see the whole transaction, not only those before it.
        let mut gtid = self.gtid.clone();
        if let (Some(set), Some(open)) = (&mut gtid, self.open.as_ref().and_then(|open| open.gtid.as_ref())) {
            set.add(open);
        }
        let (file, offset) = (self.place.file().clone(), self.place.offset());
        self.progress.reach(&MySqlPosition { file, offset, gtid, ..self.position() });
        Ok(self.outbox.hand_over_part().await?)
    }

    async fn hand_over_if_large(&mut self) -> Result<(), End> {
        match self.open {
            None if self.outbox.has_rested() && self.outbox.is_full() => self.hand_over().await,
            Some(_) if self.outbox.overflows() => {
                if self.outbox.has_rested() {
                    self.hand_over().await?;
                }
                match self.outbox.overflows() {
                    true => self.hand_over_part().await,
                    false => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    async fn handle(&mut self, event: RawEvent) -> Result<(), End> {
        if event.inner {
            return self.handle_plain(&event).await;
        }
        if event.header.timestamp() != 0 {
            self.at_ms = event.at_ms();
        }
        self.watch_file(&event).await?;
        let before = self.place.offset();
        advance(&mut self.place, &event)?;
        let in_log = self.place.offset() != before || event.kind() == kind::ROTATE;
        if in_log {
            if event.kind() == kind::ROTATE {
                self.skip_until = if self.place.file() == &self.rest.0 { self.skip_until } else { 0 };
            } else if self.place.offset() <= self.skip_until {
                return Ok(());
            }
            self.outbox.count_log(u64::from(event.header.event_size()));
        }
        self.handle_plain(&event).await?;
        // At the beginning of a file it isn't known yet when that was begun; its first event follows at once.
        if self.open.is_none() && self.skip_until <= self.place.offset() && event.kind() != kind::ROTATE {
            self.rest();
        }
        Ok(())
    }

    /// Notices when the files aren't the ones that were being followed: a server whose log is reset sends no word of
    /// that, but keeps silent, or goes on with whatever the next file is called.
    async fn watch_file(&mut self, event: &RawEvent) -> Result<(), End> {
        match event.kind() {
            kind::FORMAT_DESCRIPTION => {
                self.file_ended = false;
                self.begun = Some(event.header.timestamp()).filter(|seconds| *seconds > 0);
                let expected = self.begun_expected.take();
                if expected.is_some() && self.begun != expected {
                    let file = self.place.file();
                    return Err(End::Lost(format!(
                        "the server's {file} is another file of that name: the log was reset"
                    )));
                }
            }
            kind::STOP => self.file_ended = true,
            kind::ROTATE => {
                let (_, next) = event::rotate(&event.body)?;
                if next == self.place.file().name() {
                    return Ok(());
                }
                let is_made_up =
                    event.header.log_pos() == 0 || event.header.flags().contains(EventFlags::LOG_EVENT_ARTIFICIAL_F);
                let breaks_off = is_made_up && self.begun.take().is_some() && !self.file_ended;
                self.file_ended = true;
                if breaks_off {
                    self.confirm_end_of_file().await?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The server goes on with another file although this one had no last event. That is right where a crash ended the
    /// file, which then has as many bytes as were read.
    async fn confirm_end_of_file(&self) -> Result<(), End> {
        let mut connection = self.connector.open().await?;
        let files = log::files(&mut connection, self.connector.query_timeout()).await?;
        let (file, offset) = (self.place.file(), self.place.offset());
        match files.iter().any(|size| size.file == *file && size.bytes == offset) {
            true => Ok(()),
            false => Err(End::Lost(format!("the server left {file} before its end: the log was reset"))),
        }
    }

    async fn handle_plain(&mut self, event: &RawEvent) -> Result<(), End> {
        match event.kind() {
            kind::GTID | kind::ANONYMOUS_GTID | kind::GTID_TAGGED => self.begin(event::mysql_begin(event)?)?,
            kind::MARIADB_GTID => self.begin(event::mariadb_begin(event)?)?,
            kind::QUERY | kind::EXECUTE_LOAD_QUERY => {
                self.query(Query::parse(&event.header, &event.body)?).await?;
            }
            kind::MARIADB_QUERY_COMPRESSED => {
                let body = payload::inflate_query(&event.body)?;
                self.query(Query::parse(&event.header, &body)?).await?;
            }
            kind::XID => self.commit(),
            kind::XA_PREPARE => self.xa_prepare(event)?,
            kind::TABLE_MAP => self.table_map(event).await?,
            kind::WRITE_ROWS_V1..=kind::DELETE_ROWS_V1
            | kind::WRITE_ROWS..=kind::DELETE_ROWS
            | kind::PARTIAL_UPDATE_ROWS => self.rows(event.kind(), &event.body)?,
            kind::MARIADB_WRITE_ROWS_COMPRESSED_V1..=kind::MARIADB_DELETE_ROWS_COMPRESSED => {
                let (plain_kind, body) = payload::inflate_rows(event.kind(), &event.body)?;
                self.rows(plain_kind, &body)?;
            }
            kind::INCIDENT => self.incident(&event.body),
            // A file that begins, or a server that stops, while a transaction is open: it was never committed.
            kind::FORMAT_DESCRIPTION | kind::STOP if event.header.log_pos() != 0 => self.broken_off(),
            kind::STOP
            | kind::ROTATE
            | kind::INTVAR
            | kind::APPEND_BLOCK
            | kind::DELETE_FILE
            | kind::RAND
            | kind::USER_VAR
            | kind::FORMAT_DESCRIPTION
            | kind::BEGIN_LOAD_QUERY
            | kind::HEARTBEAT
            | kind::HEARTBEAT_V2
            | kind::IGNORABLE
            | kind::ROWS_QUERY
            | kind::PREVIOUS_GTIDS
            | kind::TRANSACTION_CONTEXT
            | kind::VIEW_CHANGE
            // Its contents follow as events of their own.
            | kind::TRANSACTION_PAYLOAD
            | kind::MARIADB_ANNOTATE_ROWS
            | kind::MARIADB_BINLOG_CHECKPOINT
            | kind::MARIADB_GTID_LIST
            | kind::MARIADB_START_ENCRYPTION => {}
            _ if event.is_ignorable() => {}
            unknown => return Err(unknown_kind(unknown, &self.place)),
        }
        self.hand_over_if_large().await
    }

    fn begin(&mut self, begin: Begin) -> Result<(), End> {
        if self.open.is_some() {
            return Err(End::Failed(SourceError::definite(
                format!(
                    "before {}:{} a transaction of the binary log has no end",
                    self.place.file(),
                    self.place.offset()
                ),
                "Check the server's error log and disk; if the log is whole (mysqlbinlog reads it), report this",
            )));
        }
        self.maps.bound();
        let began = self.server.version.flavor == crate::version::Flavor::MariaDb && !begin.standalone;
        let Begin { gtid, committed_at_ms, standalone: _, xid } = begin;
        self.open = Some(Open { gtid, committed_at_ms, began, branch: xid.map(Branch::new), ..Open::default() });
        Ok(())
    }

    async fn query(&mut self, query: Query<'_>) -> Result<(), End> {
        match query.text {
            b"BEGIN" => self.open.get_or_insert_default().began = true,
            b"COMMIT" => self.commit(),
            _ => {
                self.statement(&query).await?;
                if self.open.as_ref().is_none_or(|open| !open.began) {
                    self.commit();
                }
            }
        }
        Ok(())
    }

    /// The open transaction, or one of a single event, ends with this event.
    pub(super) fn commit(&mut self) {
        let open = self.open.take().unwrap_or_default();
        if let (Some(set), Some(gtid)) = (&mut self.gtid, &open.gtid) {
            set.add(gtid);
        }
        for (name, cause) in &open.replaced_unseen {
            self.rows_replaced(name, cause);
        }
        self.outbox.commit(open.committed_at_ms.unwrap_or(self.at_ms));
        self.rest();
    }

    fn rest(&mut self) {
        self.settle_what_was_passed();
        self.outbox.rest();
        if self.rest.0 != *self.place.file() {
            self.rest.0 = self.place.file().clone();
        }
        self.rest.1 = self.place.offset();
        self.rest.2 = self.begun;
    }

    pub(super) fn change(&mut self, name: &TableName, kind: SchemaChangeKind, statement: Option<&str>) {
        let statement = statement.map(str::to_owned);
        self.outbox.schema_change(SchemaChange { table: name.clone(), kind, statement, at_ms: self.at_ms });
    }

    pub(super) fn branches(&mut self) -> &mut Branches {
        &mut self.branches
    }
}

/// Moves a place past an event.
pub(super) fn advance(place: &mut LogPlace, event: &RawEvent) -> Result<(), DecodeError> {
    if event.inner {
        return Ok(());
    }
    if event.kind() == kind::ROTATE {
        let (offset, name) = event::rotate(&event.body)?;
        let file =
            LogFile::new(name).ok_or_else(|| DecodeError::malformed("a rotate event", "a name without a number"))?;
        place.jump(file, offset);
    } else {
        place.advance(&event.header);
    }
    Ok(())
}

fn unknown_kind(number: u8, place: &LogPlace) -> End {
    End::Failed(SourceError::definite(
        format!(
            "before {}:{} the binary log has an event of kind {number}, which isn't known",
            place.file(),
            place.offset()
        ),
        "Check that the server's version is supported, and upgrade Millstream if a newer version knows it",
    ))
}
