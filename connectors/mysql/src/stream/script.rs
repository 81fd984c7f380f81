//! A log made of bytes, followed without a server: for events that the servers at hand don't write.

use std::sync::Arc;

use millstream_core::change::{Event, RowChange};
use millstream_core::error::SourceError;
use millstream_core::outbox::Outbox;
use millstream_core::schema::{Column, Identity, IdentityKind, TableName, TableSchema};
use millstream_core::schema_change::SchemaChangeKind;
use millstream_core::selection::{Selection, TablePattern};
use millstream_core::source::Catalog;
use millstream_core::value::ValueRef;
use mysql_common::binlog::events::BinlogEventHeader;
use mysql_common::io::ParseBuf;
use tokio::sync::mpsc;

use super::cascades::Watch;
use super::dump::Start;
use super::event::{RawEvent, kind};
use super::follower::Follower;
use super::input::Input;
use super::start::Beginning;
use super::statement_format::SetOff;
use crate::config::MySqlConfig;
use crate::connect::{Connector, Server};
use crate::ddl::NameCase;
use crate::position::{FIRST_EVENT_OFFSET, LogFile, LogPlace};
use crate::progress::Progress;
use crate::version::{Flavor, Version};

/// When all events happened, in seconds since 1970.
const AT_SECONDS: u32 = 1_700_000_000;
const FILE: &str = "binlog.000001";
const EVENTS_MAX: usize = 1_000;

/// A log being written.
pub(super) struct Script {
    server: Server,
    tables: Vec<Arc<TableSchema>>,
    events: Vec<RawEvent>,
    offset: u32,
}

/// What came of following it.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The events delivered, a line each.
    pub(super) lines: Vec<String>,
    /// Where to resume after the last of them.
    pub(super) position: String,
    /// What ended it. A log without a fault just ends, which is transient.
    pub(super) error: SourceError,
}

impl Script {
    /// A file of a server's log; all tables of the database `d` are selected.
    pub(super) fn new(version: Version, names: NameCase) -> Self {
        let identity = match version.flavor {
            Flavor::MySql => "3e11fa47-71ca-11e1-9e33-c80aa9429562",
            Flavor::MariaDb => "17",
        };
        let server = Server { version, identity: identity.parse().unwrap(), names, gtid: false };
        let script = Self { server, tables: Vec::new(), events: Vec::new(), offset: FIRST_EVENT_OFFSET as u32 };
        script.event(kind::FORMAT_DESCRIPTION, &format_description())
    }

    /// A table that is followed, by its columns' names and types; the first is its primary key and never NULL.
    pub(super) fn table(mut self, name: &str, columns: &[(&str, &str)]) -> Self {
        let column = |(index, (name, source_type)): (usize, &(&str, &str))| Column {
            name: (*name).to_owned(),
            source_type: (*source_type).to_owned(),
            nullable: index > 0,
            collation: source_type.contains("char").then(|| "latin1_swedish_ci".to_owned()),
            generated: None,
            default: None,
        };
        self.tables.push(Arc::new(TableSchema {
            table: TableName::new("d", name),
            columns: columns.iter().enumerate().map(column).collect(),
            identity: Identity { kind: IdentityKind::PrimaryKey, columns: vec![0] },
            origin: None,
        }));
        self
    }

    /// The next event.
    pub(super) fn event(self, kind: u8, body: &[u8]) -> Self {
        self.flagged(kind, 0, body)
    }

    /// The next event, with flags.
    pub(super) fn flagged(mut self, kind: u8, flags: u16, body: &[u8]) -> Self {
        let size = (BinlogEventHeader::LEN + body.len()) as u32;
        self.offset += size;
        let mut header = AT_SECONDS.to_le_bytes().to_vec();
        header.push(kind);
        header.extend_from_slice(&1_u32.to_le_bytes());
        header.extend_from_slice(&size.to_le_bytes());
        header.extend_from_slice(&self.offset.to_le_bytes());
        header.extend_from_slice(&flags.to_le_bytes());
        let header = ParseBuf(&header).parse(()).unwrap();
        self.events.push(RawEvent { header, body: body.to_vec(), inner: false });
        self
    }

    /// A statement in the database `d`.
    pub(super) fn query(self, text: &str) -> Self {
        self.event(kind::QUERY, &query(text, &[]))
    }

    /// Follows it to its end.
    pub(super) async fn play(self) -> Outcome {
        let settings = MySqlConfig::new("mysql://nobody@127.0.0.1:1").settings("script").unwrap();
        let (sender, mut deliveries) = mpsc::channel(EVENTS_MAX);
        let (batches, batch_receiver) = mpsc::channel(1);
        batches.send(Ok(self.events)).await.unwrap();
        drop(batches);
        let place = LogPlace::new(LogFile::new(FILE).unwrap(), FIRST_EVENT_OFFSET);
        let start = Start::File { file: place.file().clone(), offset: place.offset() };
        let beginning = Beginning {
            start,
            skip_until: place.offset(),
            place,
            begun: Some(AT_SECONDS),
            gtid: None,
            epoch: 0,
            relied_until: None,
        };
        let selection = Selection { patterns: vec![TablePattern { schema: "d".into(), table: "%".into() }] };
        let tables = self.tables.into_iter().map(|schema| (schema.table.clone(), Some(schema))).collect();
        let catalog = Catalog { selection, tables };
        let mut follower = Follower::new(
            Arc::new(Connector::new(settings)),
            Arc::new(Progress::default()),
            Arc::new(self.server),
            Input::new(batch_receiver),
            Outbox::new(sender),
            beginning,
            &catalog,
        );
        follower.watch = Watch::of_nothing();
        follower.set_off = SetOff::nothing();
        let error = follower.run(catalog).await.unwrap();
        let (mut lines, mut position) = (Vec::new(), String::new());
        while let Some(delivery) = deliveries.recv().await {
            let delivery = delivery.unwrap();
            lines.extend(delivery.events.iter().flat_map(shown));
            if let Some(commit) = delivery.commit {
                position = commit.position.to_string();
            }
        }
        Outcome { lines, position, error }
    }
}

/// What begins a file of MySQL 5.7: the version of the format, the server's version, when it was begun, and how long
/// the fixed parts of each kind of event are.
fn format_description() -> Vec<u8> {
    let mut body = 4_u16.to_le_bytes().to_vec();
    let mut version = b"5.7.44-log".to_vec();
    version.resize(50, 0);
    body.extend_from_slice(&version);
    body.extend_from_slice(&AT_SECONDS.to_le_bytes());
    body.push(BinlogEventHeader::LEN as u8);
    body.extend_from_slice(&[
        56, 13, 0, 8, 0, 18, 0, 4, 4, 4, 4, 18, 0, 0, 95, 0, 4, 26, 8, 0, 0, 0, 8, 8, 8, 2, 0, 0, 0, 10, 10, 10, 42,
        42, 0, 18, 52, 0,
    ]);
    body
}

/// The body of a statement's event in the database `d`, with these status variables.
pub(super) fn query(text: &str, variables: &[u8]) -> Vec<u8> {
    let mut body = vec![7, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0];
    body.extend_from_slice(&(variables.len() as u16).to_le_bytes());
    body.extend_from_slice(variables);
    body.extend_from_slice(b"d\0");
    body.extend_from_slice(text.as_bytes());
    body
}

/// The body of a table map of the number 9 without metadata. All columns but the first may be NULL.
pub(super) fn table_map(database: &str, table: &str, types: &[u8], metadata: &[u8]) -> Vec<u8> {
    let mut body = vec![9, 0, 0, 0, 0, 0, 1, 0];
    for name in [database, table] {
        body.push(name.len() as u8);
        body.extend_from_slice(name.as_bytes());
        body.push(0);
    }
    body.push(types.len() as u8);
    body.extend_from_slice(types);
    body.push(metadata.len() as u8);
    body.extend_from_slice(metadata);
    body.extend((0..types.len().div_ceil(8)).map(|byte| if byte == 0 { 0xfe } else { 0xff }));
    body
}

/// The body of a rows event of that table: which columns there are (once, or for the rows before and after), then rows.
pub(super) fn rows(columns: u8, images: &[&[u8]], rows: &[u8]) -> Vec<u8> {
    let mut body = vec![9, 0, 0, 0, 0, 0, 1, 0, columns];
    images.iter().for_each(|image| body.extend_from_slice(image));
    body.extend_from_slice(rows);
    body
}

fn shown(event: &Event) -> Vec<String> {
    match event {
        Event::Rows(changes) => {
            let row = |(row, change): (millstream_core::row::RowRef<'_>, &RowChange)| {
                let values: Vec<String> = row.iter().map(value).collect();
                format!("{} {change:?} {}", changes.schema.table, values.join(","))
            };
            changes.rows.rows().zip(&changes.changes).map(row).collect()
        }
        Event::Schema(change) => {
            let detail = match &change.kind {
                SchemaChangeKind::RowsReplaced { cause } => format!(" ({cause})"),
                SchemaChangeKind::Unreadable { reason, remedy } => format!(" ({reason}; {remedy:?})"),
                _ => String::new(),
            };
            let statement = change.statement.as_ref().map(|statement| format!(" by {statement}")).unwrap_or_default();
            vec![format!("{} {}{detail}{statement}", change.table, change.kind.word())]
        }
    }
}

fn value(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".into(),
        ValueRef::Int(value) => value.to_string(),
        ValueRef::Real(value) => value.to_string(),
        ValueRef::Text(text) => text.into(),
        ValueRef::Blob(bytes) => format!("{bytes:02x?}"),
    }
}
