//! How large a table's rows are, learnt from its chunks.
//!
//! A chunk that grows too large before it has all the rows that were asked for costs its connection: what is left of the
//! answer would have to be read otherwise. So no more rows are asked for than are likely to fit.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use millstream_core::schema::TableName;

use super::chunk::CHUNK_BYTES_MAX;

/// Of how many tables it is remembered.
const TABLES_MAX: usize = 10_000;

/// The mean size of the rows in each table's last chunk.
#[derive(Debug, Default)]
pub(crate) struct RowSizes {
    row_bytes: Mutex<HashMap<TableName, usize>>,
}

impl RowSizes {
    /// How many rows to ask for, if there may be at most `limit_rows`.
    pub(crate) fn limit_rows(&self, table: &TableName, limit_rows: usize) -> usize {
        /// Rows that are somewhat larger than those before fit all the same.
        const CHUNK_BYTES_WANTED: usize = CHUNK_BYTES_MAX / 8 * 7;
        match self.row_bytes().get(table) {
            Some(row_bytes) => limit_rows.min(CHUNK_BYTES_WANTED / (*row_bytes).max(1)).max(1),
            None => limit_rows,
        }
    }

    /// Notes what a chunk came to.
    pub(crate) fn note(&self, table: &TableName, rows: usize, bytes: usize) {
        let Some(mean) = bytes.checked_div(rows) else { return };
        let mut row_bytes = self.row_bytes();
        if row_bytes.len() >= TABLES_MAX {
            row_bytes.clear();
        }
        match row_bytes.get_mut(table) {
            Some(known) => *known = mean,
            None => drop(row_bytes.insert(table.clone(), mean)),
        }
    }

    fn row_bytes(&self) -> MutexGuard<'_, HashMap<TableName, usize>> {
        self.row_bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_rows_are_asked_for_than_fit() {
        let sizes = RowSizes::default();
        let (table, other) = (TableName::new("d", "t"), TableName::new("d", "u"));
        sizes.note(&table, 0, 0);
        assert_eq!(sizes.limit_rows(&table, 20_000), 20_000);
        sizes.note(&table, 1_000, 1_000 * 1_024);
        assert_eq!(sizes.limit_rows(&table, 20_000), CHUNK_BYTES_MAX / 8 * 7 / 1_024);
        assert_eq!(sizes.limit_rows(&table, 10), 10);
        assert_eq!(sizes.limit_rows(&other, 20_000), 20_000);
        sizes.note(&table, 1, 1 << 30);
        assert_eq!(sizes.limit_rows(&table, 20_000), 1);
    }
}
