//! Rows from the stream and from passes.
//!
//! The rules of generations, see [`Sink`](millstream_core::sink::Sink): what the stream writes is stamped, whether or not
//! its output changed; what a chunk brings yields to what has the chunk's generation already.

use millstream_core::error::SinkError;
use millstream_core::sink::PassMode;

use super::Writer;
use super::placing::{DifferencePlace, Placed, Placing};
use crate::evaluated::{EvaluatedRows, FreshRow};
use crate::key::TableKey;
use crate::row_state::RowState;

impl Writer {
    /// Rows of the stream.
    pub(super) fn stream_rows(
        &mut self,
        key: TableKey,
        generation: u64,
        pass_active: bool,
        rows: &EvaluatedRows,
    ) -> Result<(), SinkError> {
        let is_staged = self.is_staged(key);
        let read_generation = self.tables.entry(key).read_generation;
        let mut address = key.bytes().to_vec();
        for row in rows.rows() {
            set_row_key(&mut address, row.key);
            let stored = self.ledger.row(&address)?;
            let placing = Placing {
                address: &address,
                generation,
                is_staged,
                // Once everything has been read no chunk can bring the row back.
                leaves_tombstone: pass_active && generation > read_generation,
            };
            let fresh = (!row.is_deleted).then_some(&row);
            let placed = self.ledger.place(placing, stored.as_deref(), fresh)?;
            self.tables.entry(key).count(&placed);
            self.flush_if_full()?;
        }
        Ok(())
    }

    /// Rows of a pass.
    pub(super) fn chunk_rows(
        &mut self,
        key: TableKey,
        generation: u64,
        mode: PassMode,
        rows: &EvaluatedRows,
    ) -> Result<(), SinkError> {
        let is_staged = self.is_staged(key);
        if mode == PassMode::Verify {
            // It looks into the op log and the parameter index themselves, which lack what is pending.
            self.flush(false)?;
        }
        let tally = self.tables.entry(key).tally.of(generation);
        tally.rows_compared += rows.len() as u64;
        let mut address = key.bytes().to_vec();
        for row in rows.rows() {
            set_row_key(&mut address, row.key);
            let stored = self.ledger.row(&address)?;
            if let Some(stored) = &stored
                && RowState::decode(stored)?.generation >= generation
            {
                continue;
            }
            match mode {
                PassMode::Repair => {
                    let placing = Placing { address: &address, generation, is_staged, leaves_tombstone: false };
                    let placed = self.ledger.place(placing, stored.as_deref(), Some(&row))?;
                    self.tally(key, generation, rows, &row, &placed)?;
                }
                PassMode::Verify => self.verify_row(key, generation, rows, &row, &address, stored.as_deref())?,
            }
            self.flush_if_full()?;
        }
        Ok(())
    }

    fn tally(
        &mut self,
        key: TableKey,
        generation: u64,
        rows: &EvaluatedRows,
        row: &FreshRow<'_>,
        placed: &Placed,
    ) -> Result<(), SinkError> {
        let table = self.tables.entry(key);
        table.count(placed);
        table.tally.of(generation).ops_written += placed.ops;
        self.note_differences(key, generation, Some(&rows.schema), row.key, &placed.differences)
    }

    /// Adds differences of a row to its pass's tally.
    pub(super) fn note_differences(
        &mut self,
        key: TableKey,
        generation: u64,
        schema: Option<&millstream_core::schema::TableSchema>,
        row_key: &[u8],
        differences: &super::placing::Differences,
    ) -> Result<(), SinkError> {
        for (kind, place) in &differences.first {
            let place = match place {
                DifferencePlace::Lookup(lookup) => lookup.clone(),
                DifferencePlace::Bucket(bucket) => {
                    let slot = self.ledger.bucket_numbered(*bucket)?;
                    self.ledger.buckets.record(slot).map(|record| record.name.clone()).unwrap_or_default()
                }
            };
            self.tables.entry(key).tally.of(generation).differs(schema, row_key, *kind, || place);
        }
        let spelt_out = differences.first.len() as u64;
        self.tables.entry(key).tally.of(generation).differences_total += differences.total.saturating_sub(spelt_out);
        Ok(())
    }

    pub(super) fn flush_if_full(&mut self) -> Result<(), SinkError> {
        if self.ledger.bytes() >= self.tuning.batch_bytes_max { self.flush(false) } else { Ok(()) }
    }
}

/// Replaces the part of an address that follows the table.
fn set_row_key(address: &mut Vec<u8>, row_key: &[u8]) {
    address.truncate(TableKey::BYTES);
    address.extend_from_slice(row_key);
}
