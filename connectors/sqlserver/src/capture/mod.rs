//! Capture instances: which there are, which of them serves a table at a place in the log, and who makes new ones.
//!
//! A table's changes are captured through one or two capture instances. An instance keeps the columns that it was made
//! with; a column that is added later is only in an instance made after it. So a table that changes goes over from one
//! instance to the next, and this module decides where ([`plan`]) and with which shape ([`shape`]). What a statement in
//! the history did is told by its tokens ([`ddl`]), everything else comes from the catalog ([`catalog`]).

pub(crate) mod caretaker;
pub(crate) mod catalog;
mod ddl;
mod instance;
pub(crate) mod origin;
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
use plan::{Gaps, Plan};

/// The selected tables that can be followed from `upto` on, with their shapes there. `upto` was scanned before this
/// was called.
pub(crate) async fn followed(
    connection: &mut Connection,
    selection: &Selection,
    gaps: Gaps,
    upto: Lsn,
) -> Result<Vec<Arc<TableSchema>>, QueryError> {
    let mut catalog = Catalog::default();
    catalog.look(connection, selection).await?;
    let tables = catalog.tables().values().filter_map(|table| {
        let created = |schema| SchemaChangeKind::Created { schema, empty: false };
        match plan::begin(table, gaps, upto.previous(), upto, created) {
            Plan::Follow(_, following) => following.map(|following| following.schema),
            Plan::Uncaptured | Plan::Overtaken => None,
        }
    });
    Ok(tables.collect())
}
