//! A capture instance as the log's reader needs it: which columns of which table go to which change table. What changes
//! while it lives (`start_lsn`) is in `cdc.change_tables` alone.

use std::sync::Arc;

use crate::value::SqlType;

use super::catalog::ObjectId;
use super::table::ColumnId;

#[derive(Clone, Debug)]
pub struct CaptureInstance {
    pub name: Arc<str>,
    pub source: ObjectId,
    pub change_table: ObjectId,
    pub columns: Vec<CapturedColumn>,
    /// Columns by which net changes tell rows apart; empty without net changes.
    pub key: Vec<ColumnId>,
    /// The unique index that tells rows apart.
    pub index_name: Option<Arc<str>>,
    pub supports_net_changes: bool,
    pub role: Option<Arc<str>>,
    pub allow_partition_switch: bool,
}

#[derive(Clone, Debug)]
pub struct CapturedColumn {
    /// In the source table, where it may be dropped since.
    pub source: ColumnId,
    pub name: Arc<str>,
    /// As it was when the instance was created or the capture process last followed a change.
    pub sql_type: SqlType,
    /// Whether it was `text`, `ntext` or `image` when the instance was created, and isn't any more.
    pub was_text: bool,
    pub computed: bool,
    /// From 1; bit `ordinal - 1` of the update mask.
    pub ordinal: i32,
}
