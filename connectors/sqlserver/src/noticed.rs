//! What is amiss although all goes on, as the stream has last found it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use millstream_core::schema::TableName;
use millstream_core::source::{Remark, Remarks};

/// Written by whoever follows, read by whoever wants to show it.
#[derive(Debug, Default)]
pub(crate) struct Noticed(Mutex<Remarks>);

impl Noticed {
    /// Whether the log is being captured.
    pub(crate) fn set_standstill(&self, standstill: Option<Remark>) {
        self.lock().standstill = standstill;
    }

    /// What is amiss with tables.
    pub(crate) fn set_tables(&self, tables: BTreeMap<TableName, Remark>) {
        self.lock().tables = tables;
    }

    /// All of it.
    pub(crate) fn remarks(&self) -> Remarks {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Remarks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
