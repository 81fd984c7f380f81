//! Rows from the stream and from passes.
//!
//! The rules of generations, see [`Sink`](millstream_core::sink::Sink): what the stream writes is stamped, whether or not
//! its output changed; what a chunk brings yields to what has the chunk's generation already.

use millstream_core::error::SinkError;
use millstream_core::schema::IdentityKind;
use millstream_core::sink::PassMode;

use super::Writer;
use super::adoption::{Adopting, Filed, Finding};
use super::known_rows::{AHEAD_ROWS_MAX, Addresses};
use super::placing::{DifferencePlace, Placed, Placing, SPELT_OUT_MAX};
use crate::evaluated::{EvaluatedRows, FreshRow};
use crate::key::{IdentityNumber, SourceId, TableKey};
use crate::queue::Item;
use crate::row_state::RowState;
use crate::store::Keyspace;

impl Writer {
    /// Rows of the stream.
    pub(super) fn stream_rows(
        &mut self,
        key: TableKey,
        generation: u64,
        pass_active: bool,
        rows: &EvaluatedRows,
    ) -> Result<(), SinkError> {
        self.ledger.dissolve_load();
        let filed = self.file(key, generation, rows, true)?;
        if pass_active {
            self.look(key, generation)?;
        }
        let is_staged = self.is_staged(key);
        let read_generation = self.tables.entry(key).read_generation;
        let mut address = key.filed(filed.identity).to_vec();
        let mut former = Vec::new();
        for (index, row) in rows.rows().enumerate() {
            set_row_key(&mut address, row.key);
            filed.former_addresses(key, rows, index, &mut former);
            let placing = Placing {
                address: &address,
                generation,
                is_staged,
                // Once everything has been read no chunk can bring the row back.
                leaves_tombstone: pass_active && generation > read_generation,
                is_loaded: false,
                adopting: filed.adopting(&former),
                is_partial: false,
                spelt_out_max: SPELT_OUT_MAX,
            };
            self.begin_large_row(key, placing, &row)?;
            let stored = self.ledger.row(&address)?;
            let fresh = (!row.is_deleted).then_some(&row);
            let placed = self.ledger.place(placing, stored.as_deref(), fresh)?;
            let table = self.tables.entry(key);
            table.count(&placed);
            table.note_streamed(row.key, generation, &placed);
            self.flush_if_full()?;
        }
        Ok(())
    }

    /// Looks up what is stored of rows of the stream, as many as the next items have, but for the last ones where they are
    /// too many. Gives their number.
    pub(super) fn look_ahead(&mut self, source: SourceId, items: &[Item]) -> Result<usize, SinkError> {
        let mut addresses = Addresses::default();
        let mut ahead = 0;
        for item in items {
            let Item::Stream { table, rows, .. } = item else { break };
            if ahead > 0 && ahead + rows.len() > AHEAD_ROWS_MAX {
                break;
            }
            ahead += rows.len();
            // If these are the first rows under another identity, nothing of them is found here, or later.
            let key = TableKey { source, table: *table };
            let Some(identity) = self.tables.identity(key) else { continue };
            let filed = key.filed(identity);
            rows.rows().for_each(|row| addresses.push(&filed, row.key));
        }
        self.ledger.look_ahead(&addresses)?;
        Ok(ahead)
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
        let filed = self.file(key, generation, rows, mode == PassMode::Repair)?;
        // Equal rows of a table without a key are one stored row, which is counted when the first of them comes.
        let tells_rows_apart = rows.schema.identity.kind != IdentityKind::WholeRow;
        if tells_rows_apart {
            self.tables.entry(key).tally.of(generation).rows_compared += rows.len() as u64;
        }
        let are_new = tells_rows_apart && self.are_new(key, generation, rows)? && mode == PassMode::Repair;
        if are_new && matches!(filed.finding, Finding::Nothing) {
            return self.new_rows(key, filed.identity, generation, is_staged, rows);
        }
        self.ledger.dissolve_load();
        self.look_ahead_to_adopt(key, &filed, rows)?;
        let mut address = key.filed(filed.identity).to_vec();
        let mut former = Vec::new();
        for (index, row) in rows.rows().enumerate() {
            set_row_key(&mut address, row.key);
            filed.former_addresses(key, rows, index, &mut former);
            let stored = if are_new { None } else { self.ledger.row(&address)? };
            if let Some(stored) = &stored
                && RowState::decode(stored)?.generation >= generation
            {
                continue;
            }
            if !tells_rows_apart {
                self.tables.entry(key).tally.of(generation).rows_compared += 1;
            }
            match mode {
                PassMode::Repair => {
                    let spelt_out_max = self.tables.entry(key).tally.of(generation).spelt_out_max();
                    let placing = Placing {
                        address: &address,
                        generation,
                        is_staged,
                        leaves_tombstone: false,
                        is_loaded: false,
                        adopting: filed.adopting(&former),
                        is_partial: false,
                        spelt_out_max,
                    };
                    let begun = self.begin_large_row(key, placing, &row)?;
                    let stored = if begun.is_some() { self.ledger.row(&address)? } else { stored };
                    let mut placed = self.ledger.place(placing, stored.as_deref(), Some(&row))?;
                    placed.add(begun);
                    self.tally(key, generation, rows, &row, &placed)?;
                }
                PassMode::Verify => self.verify_row(key, generation, rows, &row, &address, stored.as_deref())?,
            }
            self.flush_if_full()?;
        }
        self.ledger.forget_ahead();
        Ok(())
    }

    /// Looks up the rows that rows of a chunk were before.
    fn look_ahead_to_adopt(&mut self, key: TableKey, filed: &Filed, rows: &EvaluatedRows) -> Result<(), SinkError> {
        if !matches!(filed.finding, Finding::ByFormerKeys(_)) {
            return Ok(());
        }
        let (mut addresses, mut former) = (Addresses::default(), Vec::new());
        for row in 0..rows.len() {
            filed.former_addresses(key, rows, row, &mut former);
            former.iter().for_each(|address| addresses.push(address, b""));
        }
        self.ledger.look_ahead(&addresses)
    }

    /// Writes all but the last outputs of a row that come to more than a batch by themselves, part by part, so that its
    /// size times the number of its buckets needn't fit into memory. Gives what that came to.
    ///
    /// After each part the row has what it had, but for the objects written so far. If the process dies there, the row
    /// comes again, as nothing has been stored that would tell that it came, and finds these objects done.
    fn begin_large_row(
        &mut self,
        key: TableKey,
        placing: Placing<'_>,
        row: &FreshRow<'_>,
    ) -> Result<Option<Placed>, SinkError> {
        let mut begun = None;
        for beginning in row.beginnings(self.tuning.batch_bytes_max) {
            let stored = self.ledger.row(placing.address)?;
            let placing = Placing { is_partial: true, ..placing };
            let mut placed = self.ledger.place(placing, stored.as_deref(), Some(&beginning))?;
            self.tables.entry(key).count(&placed);
            placed.add(begun.take());
            begun = Some(placed);
            self.flush_if_full()?;
        }
        Ok(begun)
    }

    /// Whether nothing is known of any of the rows: not stored, not pending, and not one of them twice.
    ///
    /// That is so if nothing was filed under their identity when the pass began, nothing has been written since where they
    /// belong, and if their keys grow. Only this and the rows of the stream bring rows into a table, and both are noted.
    fn are_new(&mut self, key: TableKey, generation: u64, rows: &EvaluatedRows) -> Result<bool, SinkError> {
        self.look(key, generation)?;
        let Some(coverage) = &mut self.tables.entry(key).coverage else { return Ok(false) };
        let mut keys = rows.rows().map(|row| row.key);
        let Some(first) = keys.next() else { return Ok(true) };
        let (mut lowest, mut last, mut highest, mut are_growing) = (first, first, first, true);
        for key in keys {
            are_growing &= last < key;
            (lowest, last, highest) = (lowest.min(key), key, highest.max(key));
        }
        Ok(coverage.add(lowest, highest) && are_growing)
    }

    /// Looks, when the first row of a pass's generation comes, whether the table is empty, or nothing is filed under its
    /// newest identity.
    fn look(&mut self, key: TableKey, generation: u64) -> Result<(), SinkError> {
        if self.tables.entry(key).looked_generation == generation {
            return Ok(());
        }
        self.flush(false)?;
        let newest = self.tables.identity(key).unwrap_or_default();
        let is_empty = self.ledger.first(Keyspace::Rows, &key.rows())?.is_none();
        let is_newest_empty = is_empty || self.ledger.first(Keyspace::Rows, &key.rows_from(newest))?.is_none();
        self.tables.entry(key).note_look(generation, is_empty, is_newest_empty);
        Ok(())
    }

    /// Rows of a pass of which nothing is known. While readers see nothing at all, they go by the load.
    fn new_rows(
        &mut self,
        key: TableKey,
        identity: IdentityNumber,
        generation: u64,
        is_staged: bool,
        rows: &EvaluatedRows,
    ) -> Result<(), SinkError> {
        let mut address = key.filed(identity).to_vec();
        for row in rows.rows() {
            set_row_key(&mut address, row.key);
            let placing = Placing {
                address: &address,
                generation,
                is_staged,
                leaves_tombstone: false,
                is_loaded: !is_staged && !self.ledger.has_checkpoint(),
                adopting: Adopting::Nothing,
                is_partial: false,
                spelt_out_max: self.tables.entry(key).tally.of(generation).spelt_out_max(),
            };
            let placed = self.ledger.place(placing, None, Some(&row))?;
            self.tally(key, generation, rows, &row, &placed)?;
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
        if differences.total == 0 {
            return Ok(());
        }
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
        if self.is_full() { self.flush(false) } else { Ok(()) }
    }

    pub(super) fn is_full(&self) -> bool {
        self.ledger.bytes() >= self.tuning.batch_bytes_max || self.ledger.load_bytes() >= self.tuning.load_bytes_max
    }
}

/// Replaces the part of an address that follows the table and its identity.
fn set_row_key(address: &mut Vec<u8>, row_key: &[u8]) {
    address.truncate(TableKey::FILED_BYTES);
    address.extend_from_slice(row_key);
}
