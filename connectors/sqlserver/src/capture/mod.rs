//! Capture instances: which there are, which of them serves a table at a place in the log, and who makes new ones.
//!
//! A table's changes are captured through one or two capture instances. An instance keeps the columns that it was made
//! with; a column that is added later is only in an instance made after it. So a table that changes goes over from one
//! instance to the next, and this module decides where ([`plan`]) and with which shape ([`shape`]). What a statement in
//! the history did is told by its tokens ([`ddl`]), everything else comes from the catalog ([`catalog`]).

pub(crate) mod caretaker;
pub(crate) mod catalog;
mod ddl;
pub(crate) mod hidden;
pub(crate) mod instance;
pub(crate) mod origin;
pub(crate) mod partitions;
pub(crate) mod plan;
pub(crate) mod shape;
pub(crate) mod statements;
pub(crate) mod table;

use std::sync::Arc;

use millstream_core::schema::TableSchema;
use millstream_core::schema_change::SchemaChangeKind;
use millstream_core::selection::Selection;

use crate::connect::Connection;
use crate::error::QueryError;
use crate::position::Lsn;
use catalog::Catalog;
use origin::Origin;
use plan::{Gaps, Plan, Reach};

/// What a look at the catalog finds.
#[derive(Debug)]
pub(crate) struct Found {
    /// The selected tables that can be followed, with all their changes.
    pub(crate) tables: Vec<Arc<TableSchema>>,
    /// Whether there are others, which have to wait: the stream tells what for.
    pub(crate) has_waiting: bool,
    /// Where the log ended behind the look.
    pub(crate) end: Lsn,
}

/// The selected tables that can be followed from `upto` on, with their shapes there. `upto` was scanned before this
/// was called.
pub(crate) async fn followed(
    connection: &mut Connection,
    selection: &Selection,
    gaps: Gaps,
    upto: Lsn,
) -> Result<Found, QueryError> {
    let mut catalog = Catalog::default();
    let end = catalog.look_to_end(connection, selection).await?;
    let reach = Reach { after: upto.previous(), upto, end: Lsn::ZERO };
    let mut found = Found { tables: Vec::new(), has_waiting: false, end };
    for table in catalog.tables().values() {
        let created = |schema| SchemaChangeKind::Created { schema, empty: false };
        match plan::begin(table, gaps, reach, created) {
            Plan::Follow(_, Some(following)) => found.tables.push(following.schema),
            Plan::Follow(_, None) | Plan::Uncaptured | Plan::Overtaken => {
                let instances = &table.instances;
                found.has_waiting |= instances.is_empty() || instances.iter().any(|instance| instance.start.is_some());
            }
        }
    }
    Ok(found)
}

/// The shape of a table whose changes count from behind a place on.
pub(crate) fn counted_since(schema: &TableSchema, since: Lsn) -> TableSchema {
    let origin = origin(schema).map(|origin| Origin { since, ..origin }.to_string());
    TableSchema { origin, ..schema.clone() }
}

/// From behind which place on a table's changes count.
pub(crate) fn counts_since(schema: &TableSchema) -> Lsn {
    origin(schema).map_or(Lsn::ZERO, |origin| origin.since)
}

fn origin(schema: &TableSchema) -> Option<Origin> {
    schema.origin.as_deref()?.parse().ok()
}
