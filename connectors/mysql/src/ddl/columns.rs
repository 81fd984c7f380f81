//! Which columns keep all their values though their definition changes.

use millstream_core::schema::TableSchema;

/// The columns whose definition differs between two shapes of a table though no stored value can.
pub(crate) fn values_kept(_before: &TableSchema, _after: &TableSchema, _strict_sql_mode: bool) -> Vec<String> {
    Vec::new()
}
