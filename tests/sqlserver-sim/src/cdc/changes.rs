//! `cdc.fn_cdc_get_all_changes_<instance>`, and what it shares with net changes: who may read, and which bounds are valid.

use std::ops::Bound;
use std::sync::Arc;

use crate::engine::relation::{Column, RowSink};
use crate::error::{SqlError, SqlResult};
use crate::storage::{
    CaptureInstance, Catalog, DatabaseId, Grant, IndexId, KeyRange, Lsn, Permission, PrincipalId, ReadCursor,
    ReadRequest, Row, Securable, Table, Transaction, Visibility,
};
use crate::value::{SqlType, Value, collation};

use super::change_table::{FIRST_CAPTURED, LSN, MASK, OPERATION, SEQVAL, START_LSN, UPDATE_MASK, captured_type};
use super::functions;
use super::registry::CdcContext;
use super::system_table::value;

const BATCH_ROWS_MAX: usize = 4096;

/// The function of one instance.
#[derive(Debug)]
pub struct AllChanges(pub(super) ChangesFunction);

/// What the functions of an instance have in common.
#[derive(Debug)]
pub struct ChangesFunction {
    pub instance: Arc<CaptureInstance>,
    pub change_table: Arc<Table>,
    /// With its schema.
    pub name: String,
}

impl AllChanges {
    pub fn new(catalog: &Catalog, instance: &Arc<CaptureInstance>, name: &str) -> Option<Self> {
        ChangesFunction::new(catalog, instance, name).map(Self)
    }

    pub fn columns(&self) -> Vec<Column> {
        let mut columns = vec![
            Column::new("__$start_lsn", LSN, true),
            Column::new("__$seqval", LSN, true),
            Column::new("__$operation", SqlType::Int, true),
            Column::new("__$update_mask", MASK, true),
        ];
        columns.extend(self.0.captured_columns());
        columns
    }

    /// Gives the rows in the order of the change table, which the function doesn't promise.
    pub fn rows(&self, context: &mut CdcContext<'_>, arguments: &[Value], sink: &mut RowSink<'_>) -> SqlResult<()> {
        self.0.check_permission(context)?;
        let before_images = match filter(arguments).as_deref() {
            Some("all") => false,
            Some("all update old") => true,
            _ => return Err(self.0.invalid()),
        };
        let (from, to) = self.0.bounds(context, arguments)?;
        self.0.for_each(context.transaction, context.database, from, to, &mut |row| {
            if !before_images && value(row, OPERATION).as_integer() == Some(3) {
                return Ok(());
            }
            let mut given = Vec::with_capacity(row.len());
            given.extend([START_LSN, SEQVAL, OPERATION, UPDATE_MASK].map(|at| value(row, at).clone()));
            given.extend(self.0.captured_values(row));
            sink(given)
        })
    }
}

/// The row filter as the function compares it.
pub fn filter(arguments: &[Value]) -> Option<String> {
    Some(arguments.get(2)?.as_text()?.trim().to_lowercase())
}

impl ChangesFunction {
    pub fn new(catalog: &Catalog, instance: &Arc<CaptureInstance>, name: &str) -> Option<Self> {
        let change_table = Arc::clone(catalog.table(instance.change_table)?);
        Some(Self { instance: Arc::clone(instance), change_table, name: name.to_owned() })
    }

    pub fn captured_columns(&self) -> impl Iterator<Item = Column> {
        self.instance.columns.iter().map(|column| Column::new(&column.name, captured_type(column.sql_type), true))
    }

    pub fn captured_values<'a>(&self, row: &'a Row) -> impl Iterator<Item = Value> + 'a {
        row.iter().skip(FIRST_CAPTURED).take(self.instance.columns.len()).cloned()
    }

    /// The function's only way to say that an argument isn't valid.
    pub fn invalid(&self) -> SqlError {
        let prefix = self.name.strip_suffix(&*self.instance.name).unwrap_or(&self.name);
        SqlError::too_few_arguments(&format!("{prefix} ... "))
    }

    pub fn check_permission(&self, context: &CdcContext<'_>) -> SqlResult<()> {
        if may_read(context, &self.instance)? {
            return Ok(());
        }
        let database =
            context.storage().database(context.database).map_or_else(String::new, |info| info.name.to_string());
        let name = self.name.split_once('.').map_or(self.name.as_str(), |(_, name)| name);
        let text =
            format!("The SELECT permission was denied on the object '{name}', database '{database}', schema 'cdc'.");
        Err(SqlError::new(229, 14, text).with_state(5))
    }

    /// Both ends belong to the range, which must lie between the instance's low end and the last LSN mapped.
    pub fn bounds(&self, context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<(Lsn, Lsn)> {
        let bound = |at: usize| arguments.get(at).and_then(Lsn::from_value);
        let (Some(from), Some(to)) = (bound(0), bound(1)) else { return Err(self.invalid()) };
        let low = functions::start_lsn(context.transaction, context.database, &self.instance.name)?;
        let high = functions::max_lsn(context.transaction, context.database)?;
        let valid = match (low, high) {
            (Some(low), Some(high)) => low <= from && from <= to && to <= high,
            _ => false,
        };
        if valid { Ok((from, to)) } else { Err(self.invalid()) }
    }

    /// Calls `each` for the change table's rows in its order, committed or not, as the function reads without locks.
    pub fn for_each(
        &self,
        transaction: &mut Transaction,
        database: DatabaseId,
        from: Lsn,
        to: Lsn,
        each: &mut dyn FnMut(&Row) -> SqlResult<()>,
    ) -> SqlResult<()> {
        let range =
            KeyRange { low: Bound::Included(vec![from.to_value()]), high: Bound::Included(vec![to.to_value()]) };
        let request = ReadRequest::all(database, Arc::clone(&self.change_table))
            .range(IndexId::CLUSTERED, range)
            .visible(Visibility::Uncommitted);
        let mut cursor = ReadCursor::default();
        let mut rows = Vec::new();
        loop {
            let more = transaction.read(&request, &mut cursor, BATCH_ROWS_MAX, &mut rows)?;
            for (_, row) in rows.drain(..) {
                each(&row)?;
            }
            if !more {
                return Ok(());
            }
        }
    }
}

/// Owners may read everything; others need the instance's gating role, where it has one, and the right to read the source.
pub fn may_read(context: &CdcContext<'_>, instance: &CaptureInstance) -> SqlResult<bool> {
    if context.is_owner()? {
        return Ok(true);
    }
    let catalog = context.catalog()?;
    let in_role = match &instance.role {
        None => true,
        Some(role) => catalog.principals().any(|principal| {
            collation::equal(&principal.name, role) && catalog.is_member(context.user, principal.principal_id)
        }),
    };
    Ok(in_role && may_select(&catalog, context.user, instance))
}

fn may_select(catalog: &Catalog, user: PrincipalId, instance: &CaptureInstance) -> bool {
    let Some(table) = catalog.table(instance.source) else { return false };
    let roles = catalog.with_roles(user);
    if roles.contains(&PrincipalId::DB_DATAREADER) {
        return true;
    }
    let securables = [Securable::Object(table.object_id), Securable::Schema(table.schema_id), Securable::Database];
    let said = |grant: Grant| {
        roles.iter().any(|grantee| {
            securables.iter().any(|securable| {
                ["SELECT", "CONTROL"].iter().any(|name| {
                    let permission = Permission { grantee: *grantee, securable: *securable, name: Arc::from(*name) };
                    catalog.permission(&permission) == Some(grant)
                })
            })
        })
    };
    !said(Grant::Denied) && said(Grant::Granted)
}
