//! The catalog: `sys` and `INFORMATION_SCHEMA` as relations over what the storage holds.

mod columns;
mod constraints;
mod databases;
mod indexes;
mod information_schema;
mod objects;
mod parameters;
mod partitions;
mod principals;
mod procedures;
mod properties;
mod scope;
mod sequences;
mod server;
mod types;
mod view;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use crate::cdc;
use crate::engine::relation::Relation;
use crate::storage::Storage;
use crate::value::collation::{equal, folded};

pub use procedures::procedure;
pub use types::TYPES;

/// A view with its schema and name.
type Named = (&'static str, &'static str, Arc<dyn Relation>);

/// By schema and name in lower case. What it holds never changes: the rows come from the context.
static VIEWS: LazyLock<HashMap<(String, String), Arc<dyn Relation>>> = LazyLock::new(|| {
    let all = [
        objects::views(),
        columns::views(),
        indexes::views(),
        constraints::views(),
        databases::views(),
        principals::views(),
        server::views(),
        parameters::views(),
        properties::views(),
        partitions::views(),
        sequences::views(),
        types::views(),
        information_schema::views(),
    ];
    all.into_iter().flatten().map(|(schema, name, view)| ((folded(schema), folded(name)), view)).collect()
});

/// The view of this name, whatever its case: of the catalog, or of the server's state.
pub fn relation(storage: &Arc<Storage>, schema: &str, name: &str) -> Option<Arc<dyn Relation>> {
    let view = VIEWS.get(&(folded(schema), folded(name))).cloned();
    view.or_else(|| {
        let qualified = format!("{schema}.{name}");
        let dynamic = cdc::relations(storage).into_iter().find(|(known, _)| equal(known, &qualified));
        dynamic.map(|(_, relation)| relation)
    })
}

#[cfg(test)]
mod tests;
