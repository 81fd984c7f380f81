//! What a pass over a table has done so far; stored with it, so that a restart doesn't lose it.

use millstream_core::schema::TableSchema;
use millstream_core::sink::{DIFFERENCES_SHOWN_MAX, Difference, DifferenceKind, PassReport};
use serde::{Deserialize, Serialize};

use crate::row_key;

/// One pass's figures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    pub(super) generation: u64,
    pub(super) ops_written: u64,
    pub(super) rows_compared: u64,
    pub(super) differences_total: u64,
    /// Stored by themselves, as they change rarely.
    #[serde(skip)]
    pub(super) differences: Vec<Difference>,
    #[serde(skip)]
    pub(super) is_changed: bool,
    #[serde(skip)]
    pub(super) differences_changed: bool,
}

impl Tally {
    /// This pass's tally: what there is, or a new one if that is another's.
    pub(super) fn of(&mut self, generation: u64) -> &mut Tally {
        if self.generation != generation {
            *self = Tally { generation, differences_changed: true, ..Tally::default() };
        }
        self.is_changed = true;
        self
    }

    /// Notes a difference. `place` is only asked for while differences are still spelt out.
    pub(super) fn differs(
        &mut self,
        schema: Option<&TableSchema>,
        row_key: &[u8],
        kind: DifferenceKind,
        place: impl FnOnce() -> String,
    ) {
        self.differences_total += 1;
        if self.differences.len() < DIFFERENCES_SHOWN_MAX {
            self.differences.push(Difference { key: row_key::readable(row_key, schema), kind, place: place() });
            self.differences_changed = true;
        }
    }

    /// How many of a row's differences there is still room for.
    pub(super) fn spelt_out_max(&self) -> usize {
        DIFFERENCES_SHOWN_MAX.saturating_sub(self.differences.len())
    }

    pub(super) fn report(&self) -> PassReport {
        PassReport {
            ops_written: self.ops_written,
            rows_compared: self.rows_compared,
            differences_total: self.differences_total,
            differences: self.differences.clone(),
        }
    }
}
