//! A capture instance as the scan goes along: which rows a log record becomes in its change table, and how the change table
//! follows its source's shape.

use std::sync::Arc;

use crate::error::SqlResult;
use crate::storage::{
    Alteration, CaptureInstance, CapturedColumn, Column, ColumnId, DatabaseId, Ddl, LogChange, Retyped, Row, RowId,
    Table, Transaction, identical,
};
use crate::value::{SqlType, Value};

use super::change_table::{self, Operation, Place};
use super::errors;
use super::failure::{Failure, ScanResult};
use super::system_table::{SystemTable, value};

pub struct Target {
    pub instance: Arc<CaptureInstance>,
    pub change_table: Arc<Table>,
    pub full_mask: Value,
    /// Whether the log has been read past its creation.
    pub recognised: bool,
    pub row: (RowId, Row),
    pub rows: Vec<Row>,
    /// Whether values of CLR types break the scan.
    pub clr_types_break: bool,
}

/// Whether a large value is too long for its row.
fn is_off_row(value: &Value) -> bool {
    const ROW_BYTES_MAX: usize = 8000;
    match value {
        Value::Text(text) => text.len() > ROW_BYTES_MAX,
        Value::Binary(bytes) => bytes.len() > ROW_BYTES_MAX,
        _ => false,
    }
}

impl Target {
    /// Adds a record's rows; gives how many.
    pub fn add(&mut self, place: &Place, source: &Table, change: &LogChange) -> SqlResult<usize> {
        let before = self.rows.len();
        if let Some(captured) = self.instance.columns.iter().find(|captured| self.breaks_at(source, captured)) {
            return Err(errors::clr_type(&captured.name));
        }
        match change {
            LogChange::Insert { row, .. } => {
                let mask = self.full_mask.clone();
                self.push(place, source, Operation::Insert, &mask, row, |_| false)?;
            }
            LogChange::Delete { row, .. } => {
                let mask = self.full_mask.clone();
                self.push(place, source, Operation::Delete, &mask, row, |_| false)?;
            }
            LogChange::Update { before, after, .. } => {
                let same = |column: &Column| identical(source.value(column, before), source.value(column, after));
                let changed = |id: ColumnId| source.column(id).is_some_and(|column| !same(column));
                let captures = |id: ColumnId| {
                    self.instance.columns.iter().any(|captured| captured.source == id && !captured.computed)
                };
                // An update of other columns leaves no rows.
                if source.columns.iter().any(|column| captures(column.column_id) && changed(column.column_id)) {
                    let off_row = |captured: &&CapturedColumn| {
                        let column = source.column(captured.source).filter(|_| captured.was_text);
                        column.is_some_and(|column| !same(column) && is_off_row(source.value(column, after)))
                    };
                    if let Some(captured) = self.instance.columns.iter().find(off_row) {
                        return Err(errors::off_row_after_text(&captured.name));
                    }
                    let mask = change_table::mask(&self.instance, |captured| changed(captured.source));
                    self.push(place, source, Operation::UpdateBefore, &mask, before, same)?;
                    self.push(place, source, Operation::UpdateAfter, &mask, after, same)?;
                }
            }
            LogChange::Ddl { .. } | LogChange::Enabled { .. } => {}
        }
        Ok(self.rows.len() - before)
    }

    fn push(
        &mut self,
        place: &Place,
        source: &Table,
        operation: Operation,
        mask: &Value,
        values: &Row,
        unchanged: impl Fn(&Column) -> bool,
    ) -> SqlResult<()> {
        let image = change_table::Image { source, operation, mask, values };
        self.rows.push(change_table::row(&self.instance, &self.change_table, place, &image, unchanged)?);
        Ok(())
    }

    fn breaks_at(&self, source: &Table, captured: &CapturedColumn) -> bool {
        let clr =
            |column: &Column| matches!(column.sql_type, SqlType::HierarchyId | SqlType::Geometry | SqlType::Geography);
        self.clr_types_break && source.column(captured.source).is_some_and(clr)
    }

    /// Brings the change table's columns to the types that the source's have now. True where one had to change.
    pub fn follow(
        &mut self,
        transaction: &mut Transaction,
        database: DatabaseId,
        source: &str,
        retyped: &[Retyped],
    ) -> ScanResult<bool> {
        let mut instance = CaptureInstance::clone(&self.instance);
        let mut altered = Vec::new();
        for (captured, target) in
            instance.columns.iter_mut().zip(self.change_table.columns.iter().skip(change_table::FIRST_CAPTURED))
        {
            let Some(change) = retyped.iter().rev().find(|change| change.column == captured.source) else { continue };
            captured.was_text |= matches!(captured.sql_type, SqlType::Text | SqlType::NText | SqlType::Image);
            captured.sql_type = change.sql_type;
            let sql_type = change_table::captured_type(change.sql_type);
            if sql_type != target.sql_type {
                altered.push((captured.clone(), target.column_id, sql_type));
            }
        }
        if altered.is_empty() {
            return Ok(false);
        }
        let ddl = Ddl { command: "", by_owner: true };
        for (captured, column, sql_type) in &altered {
            let alteration = Alteration::AlterColumn { column: *column, sql_type: *sql_type, nullable: true };
            let object = self.change_table.object_id;
            self.change_table = transaction.alter_table(database, object, vec![alteration], &ddl).map_err(|cause| {
                let table = &self.change_table.name;
                Failure::from(cause).led_to(errors::column_not_altered(&captured.name, table, source))
            })?;
            self.describe(transaction, database, captured).map_err(|cause| {
                let table = &self.change_table.name;
                Failure::from(cause).led_to(errors::captured_column_not_updated(&captured.name, table))
            })?;
        }
        self.instance = Arc::new(instance.clone());
        transaction.edit_catalog(database, |catalog| {
            catalog.put_instance(instance);
            Ok(())
        })?;
        Ok(true)
    }

    /// Writes a captured column's type to `cdc.captured_columns`.
    fn describe(
        &self,
        transaction: &mut Transaction,
        database: DatabaseId,
        captured: &CapturedColumn,
    ) -> SqlResult<()> {
        let object = Value::Int(self.instance.change_table.0);
        for row in SystemTable::CapturedColumns.current_rows(transaction, database, Some(object))? {
            if value(&row.1, 2).as_integer() == Some(i64::from(captured.source.0)) {
                let name = Value::text(change_table::type_name(captured.sql_type));
                SystemTable::CapturedColumns.set(transaction, database, &row, 3, name)?;
            }
        }
        Ok(())
    }
}
