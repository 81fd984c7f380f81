//! `cdc.fn_cdc_get_net_changes_<instance>`: one row for each key that changed, with what became of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::relation::{Column, RowSink};
use crate::error::SqlResult;
use crate::storage::{CaptureInstance, Catalog, Row};
use crate::value::{SqlType, Value};

use super::change_table::{FIRST_CAPTURED, LSN, MASK, OPERATION, START_LSN, UPDATE_MASK};
use super::changes::{ChangesFunction, filter};
use super::registry::CdcContext;
use super::system_table::value;

const DELETE: i64 = 1;
const INSERT: i64 = 2;
const UPDATE_BEFORE: i64 = 3;
const UPDATE_AFTER: i64 = 4;
/// Inserted or updated, without saying which.
const MERGE: i32 = 5;

#[derive(Debug)]
pub struct NetChanges(ChangesFunction);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Filter {
    All,
    WithMask,
    WithMerge,
}

/// What happened to one key.
struct Net {
    first: i64,
    last: i64,
    row: Row,
    mask: Vec<u8>,
}

impl NetChanges {
    pub fn new(catalog: &Catalog, instance: &Arc<CaptureInstance>, name: &str) -> Option<Self> {
        if !instance.supports_net_changes {
            return None;
        }
        ChangesFunction::new(catalog, instance, name).map(Self)
    }

    pub fn columns(&self) -> Vec<Column> {
        let mut columns = vec![
            Column::new("__$start_lsn", LSN, true),
            Column::new("__$operation", SqlType::Int, true),
            Column::new("__$update_mask", MASK, true),
        ];
        columns.extend(self.0.captured_columns());
        columns
    }

    pub fn rows(&self, context: &mut CdcContext<'_>, arguments: &[Value], sink: &mut RowSink<'_>) -> SqlResult<()> {
        self.0.check_permission(context)?;
        let filter = match filter(arguments).as_deref() {
            Some("all") => Filter::All,
            Some("all with mask") => Filter::WithMask,
            Some("all with merge") => Filter::WithMerge,
            _ => return Err(self.0.invalid()),
        };
        let (from, to) = self.0.bounds(context, arguments)?;
        let mut keys: BTreeMap<Vec<Value>, Net> = BTreeMap::new();
        self.0.for_each(context.transaction, context.database, from, to, &mut |row| {
            self.add(&mut keys, row);
            Ok(())
        })?;
        for net in keys.into_values() {
            let Some(operation) = net.operation(filter) else { continue };
            let mask = match (filter, operation) {
                (Filter::WithMask, 4) => Value::binary(&net.mask),
                (Filter::WithMask, _) => value(&net.row, UPDATE_MASK).clone(),
                _ => Value::Null,
            };
            let mut given = vec![value(&net.row, START_LSN).clone(), Value::Int(operation), mask];
            given.extend(self.0.captured_values(&net.row));
            sink(given)?;
        }
        Ok(())
    }

    fn add(&self, keys: &mut BTreeMap<Vec<Value>, Net>, row: &Row) {
        let operation = value(row, OPERATION).as_integer().unwrap_or(0);
        if operation == UPDATE_BEFORE {
            return;
        }
        let mask = value(row, UPDATE_MASK).as_bytes().unwrap_or_default();
        let net = keys.entry(self.key(row)).or_insert_with(|| Net {
            first: operation,
            last: operation,
            row: Arc::clone(row),
            mask: vec![0; mask.len()],
        });
        net.last = operation;
        net.row = Arc::clone(row);
        for (target, byte) in net.mask.iter_mut().zip(mask) {
            *target |= byte;
        }
    }

    fn key(&self, row: &Row) -> Vec<Value> {
        let instance = &self.0.instance;
        let position = |id| instance.columns.iter().position(|column| column.source == id);
        let positions = instance.key.iter().filter_map(|id| position(*id));
        positions.map(|position| value(row, FIRST_CAPTURED + position).clone()).collect()
    }
}

impl Net {
    /// None where a row came and went.
    fn operation(&self, filter: Filter) -> Option<i32> {
        match (self.first, self.last) {
            (INSERT, DELETE) => None,
            (_, DELETE) => Some(1),
            _ if filter == Filter::WithMerge => Some(MERGE),
            (INSERT, INSERT | UPDATE_AFTER) => Some(2),
            _ => Some(4),
        }
    }
}
