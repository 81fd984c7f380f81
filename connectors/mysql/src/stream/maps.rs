//! Table maps and the rows after them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use millstream_core::schema::{TableName, TableSchema};

use super::cascades::Parent;
use super::event::{RawEvent, kind, table_number};
use super::follower::{End, Follower};
use super::settle::{Question, Reason};
use super::tables::{Retry, Standing};
use crate::decode::{DecodeError, Decoded, RowDecoder, RowsEvent, RowsKind, TableMap, TableMapHead};
use crate::discover::quoted;

/// How many table maps are remembered. A server gives a table a new number whenever it opens it anew.
const MAPS_MAX: usize = 8_192;
/// The number of a map without a table: it only ends a statement.
const NO_TABLE: u64 = 0x00ff_ffff;

/// What to do with the rows that follow a map.
#[derive(Debug)]
enum Route {
    /// Nobody wants them, or nobody can read them now.
    LeaveOut,
    Decode(Box<Decoding>),
}

#[derive(Debug)]
struct Decoding {
    schema: Arc<TableSchema>,
    decoder: RowDecoder,
}

#[derive(Debug)]
struct Mapped {
    /// The map as it was sent: the next of the same number is usually the same.
    body: Vec<u8>,
    /// The version of the tables that the route was found with.
    version: u64,
    route: Route,
    /// How to see which rows of other tables go with it.
    parent: Option<Parent>,
}

/// The table maps that rows may refer to, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Maps {
    by_number: HashMap<u64, Mapped>,
}

impl Maps {
    /// Called where no statement is being read: each statement begins with maps of its own.
    pub(super) fn bound(&mut self) {
        if self.by_number.len() >= MAPS_MAX {
            self.by_number.clear();
        }
    }
}

impl Follower {
    pub(super) async fn table_map(&mut self, event: &RawEvent) -> Result<(), End> {
        self.watch_cascades().await?;
        let number = table_number(&event.body)?;
        let version = self.tables.version();
        let known = self.maps.by_number.get(&number);
        if known.is_some_and(|mapped| mapped.version == version && mapped.body == event.body) {
            return Ok(());
        }
        let (route, parent) = self.route(&event.body).await?;
        let version = self.tables.version();
        self.maps.by_number.insert(number, Mapped { body: event.body.clone(), version, route, parent });
        Ok(())
    }

    async fn route(&mut self, body: &[u8]) -> Result<(Route, Option<Parent>), End> {
        let head = TableMapHead::parse(body)?;
        let name = self.server.names.table(head.schema, head.table);
        let (is_selected, is_parent) = (self.tables.is_selected(&name), self.watch.is_parent(&name));
        if !is_selected && !is_parent {
            return Ok((Route::LeaveOut, None));
        }
        let map = TableMap::parse(self.server.version.flavor, body);
        let parent = self.watch.parent(&name, map.as_ref().ok(), self.server.version.flavor);
        let route = match map {
            Ok(map) if is_selected => self.selected_route(&name, &map).await?,
            Err(error) if is_selected => self.unreadable_route(&name, &error),
            Ok(_) | Err(_) => Route::LeaveOut,
        };
        Ok((route, parent))
    }

    /// The table has a column of a kind that isn't known: of a server that is older, or newer, than this program knows.
    /// Other tables go on.
    fn unreadable_route(&mut self, name: &TableName, error: &DecodeError) -> Route {
        let remedy = format!(
            "If it is from a server of before MySQL 5.0, ALTER TABLE {}.{} FORCE gives it the present form; if the server \
             is newer than Millstream, upgrade Millstream",
            quoted(&name.schema),
            quoted(&name.name)
        );
        self.unfit(name, format!("the log's description of its columns can't be read: {error}"), Some(remedy));
        Route::LeaveOut
    }

    async fn selected_route(&mut self, name: &TableName, map: &TableMap) -> Result<Route, End> {
        let flavor = self.server.version.flavor;
        let known = match self.tables.get(name) {
            Some(Standing::Known(schema)) => Some(Arc::clone(schema)),
            Some(Standing::Unknown(Retry::AtStatement | Retry::Beyond(..) | Retry::WhenAllowed { .. })) => {
                return Ok(Route::LeaveOut);
            }
            Some(Standing::Unknown(Retry::NotBefore(moment))) if Instant::now() < *moment => {
                return Ok(Route::LeaveOut);
            }
            Some(Standing::Unknown(Retry::NotBefore(_))) | None => None,
        };
        if let Some(schema) = known
            && let Ok(decoder) = RowDecoder::new(flavor, map, &schema)
        {
            return Ok(Route::Decode(Box::new(Decoding { schema, decoder })));
        }
        // Something happened to the table that no statement told.
        self.settle(vec![Question { name: name.clone(), reason: Reason::Rows }], false, None).await?;
        let Some(Standing::Known(schema)) = self.tables.get(name) else { return Ok(Route::LeaveOut) };
        let schema = Arc::clone(schema);
        match RowDecoder::new(flavor, map, &schema) {
            Ok(decoder) => Ok(Route::Decode(Box::new(Decoding { schema, decoder }))),
            Err(mismatch) => {
                self.unfit(name, format!("its rows in the log aren't of its shape: {mismatch}"), None);
                Ok(Route::LeaveOut)
            }
        }
    }

    pub(super) fn rows(&mut self, event_kind: u8, body: &[u8]) -> Result<(), End> {
        let number = table_number(body)?;
        let Some(mapped) = self.maps.by_number.get(&number) else {
            return match number {
                NO_TABLE => Ok(()),
                _ => Err(DecodeError::malformed("a rows event", "no table map came before it").into()),
            };
        };
        if matches!(mapped, Mapped { route: Route::LeaveOut, parent: None, .. }) {
            return Ok(());
        }
        let (rows_kind, version) = kind_and_version(event_kind);
        let event = RowsEvent::parse(rows_kind, version, body)?;
        let affected = mapped.parent.as_ref().map(|parent| self.watch.affected(parent, &event)).unwrap_or_default();
        self.decode(number, &event);
        self.cascaded(affected);
        Ok(())
    }

    fn decode(&mut self, number: u64, event: &RowsEvent<'_>) {
        let Some(Mapped { route: Route::Decode(decoding), .. }) = self.maps.by_number.get(&number) else { return };
        let schema = Arc::clone(&decoding.schema);
        let target = match self.open.as_mut().and_then(|open| open.branch.as_mut()) {
            Some(branch) => branch.rows(&schema),
            None => self.outbox.rows(&schema),
        };
        let Some(changes) = target else { return };
        let decoded = decoding.decoder.decode(event, changes);
        let name = &schema.table;
        self.touch(name);
        match decoded {
            Ok(Decoded::Whole) => {}
            Ok(Decoded::IdentityUnknown) => {
                let cause = "the log doesn't tell which rows were changed (a partial row image)";
                self.rows_replaced_in_transaction(name, cause, None);
            }
            Err(error) => self.unfit(name, format!("its rows in the log can't be read: {error}"), None),
        }
    }
}

fn kind_and_version(event_kind: u8) -> (RowsKind, u8) {
    let version = if event_kind < kind::WRITE_ROWS { 1 } else { 2 };
    let first = if version == 1 { kind::WRITE_ROWS_V1 } else { kind::WRITE_ROWS };
    let rows_kind = match event_kind - first {
        0 => RowsKind::Write,
        1 => RowsKind::Update,
        2 => RowsKind::Delete,
        _ => RowsKind::PartialUpdate,
    };
    (rows_kind, version)
}
