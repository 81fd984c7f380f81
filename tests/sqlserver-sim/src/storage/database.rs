//! One database's state.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{SqlError, SqlResult};
use crate::value::Moment;

use super::catalog::{Catalog, DatabaseId, ObjectId};
use super::data::TableData;
use super::log::Log;

/// Numbers of objects are this far apart, as on a real server, so that nobody takes them for dense.
const OBJECT_ID_STEP: i32 = 16;
const OBJECT_ID_FIRST: i32 = 901_578_250;

#[derive(Debug)]
pub(super) struct Database {
    pub id: DatabaseId,
    pub name: Arc<str>,
    pub created: Moment,
    /// As committed.
    pub catalog: Arc<Catalog>,
    pub data: HashMap<ObjectId, TableData>,
    pub log: Log,
    pub object_id_last: i32,
    pub row_version_last: u64,
}

impl Database {
    pub fn new(id: DatabaseId, name: &str, created: Moment, log_file: u32) -> Self {
        Self {
            id,
            name: Arc::from(name),
            created,
            catalog: Arc::new(Catalog::initial()),
            data: HashMap::new(),
            log: Log::new(log_file),
            object_id_last: OBJECT_ID_FIRST,
            row_version_last: 2000,
        }
    }

    /// A copy without what isn't committed.
    pub fn committed(&self) -> Self {
        let data = self.data.iter().filter_map(|(id, data)| Some((*id, data.committed(self.catalog.table(*id)?))));
        Self {
            id: self.id,
            name: Arc::clone(&self.name),
            created: self.created,
            catalog: Arc::clone(&self.catalog),
            data: data.collect(),
            log: self.log.clone(),
            object_id_last: self.object_id_last,
            row_version_last: self.row_version_last,
        }
    }

    pub fn next_object_id(&mut self) -> ObjectId {
        self.object_id_last += OBJECT_ID_STEP;
        ObjectId(self.object_id_last)
    }

    pub fn data(&self, table: ObjectId) -> SqlResult<&TableData> {
        self.data.get(&table).ok_or_else(|| gone(table))
    }

    pub fn data_mut(&mut self, table: ObjectId) -> SqlResult<&mut TableData> {
        self.data.get_mut(&table).ok_or_else(|| gone(table))
    }
}

fn gone(table: ObjectId) -> SqlError {
    SqlError::new(208, 16, format!("Invalid object: the table with the number {} is no longer there.", table.0))
}
