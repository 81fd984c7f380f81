//! What a table is asked to be captured by: the arguments of `sp_cdc_enable_table`, checked against the table.

use std::sync::Arc;

use crate::error::{SqlError, SqlResult};
use crate::storage::{Catalog, Column, ColumnId, Index, Table};
use crate::value::{Value, collation};

use super::system_table::broken;
use super::{change_table, errors};

/// What a capture instance's name may have, so that the names of its objects fit.
const INSTANCE_NAME_CHARACTERS_MAX: usize = 100;
const CAPTURED_COLUMNS_MAX: usize = 1018;
const CAPTURE_INSTANCES_MAX: usize = 2;
/// What leaves room in the index of the change table beside its own columns.
const NET_CHANGES_KEY_COLUMNS_MAX: usize = 14;

/// See the module's docs.
pub(super) struct Request {
    pub(super) table: Arc<Table>,
    pub(super) instance: String,
    pub(super) role: Option<String>,
    pub(super) columns: Vec<Column>,
    pub(super) index: Option<Index>,
    pub(super) net_changes: bool,
    pub(super) filegroup: Option<String>,
    pub(super) allow_partition_switch: bool,
    /// What is said of switching partitions.
    pub(super) partition_warning: Option<SqlError>,
}

/// The text of an argument that must have one.
///
/// # Errors
/// 22963 where it is NULL or empty.
pub fn named<'v>(argument: &'v Value, parameter: &str) -> SqlResult<&'v str> {
    argument.as_text().filter(|text| !text.is_empty()).ok_or_else(|| errors::argument_missing(parameter))
}

/// The table that a schema and name are of.
///
/// # Errors
/// 22931 where there is none.
pub fn source_table(catalog: &Catalog, schema: &str, name: &str) -> SqlResult<Arc<Table>> {
    let found = catalog.schema_named(schema).and_then(|schema| catalog.table_named(schema.schema_id, name));
    found.cloned().ok_or_else(|| errors::no_source_table(schema, name))
}

/// What is said of switching partitions: that it isn't captured, that it is forbidden, or that there is none.
fn partition_warning(table: &Table, allowed: bool) -> Option<SqlError> {
    let name = &table.name;
    let (number, text) = match (table.partitioned, allowed) {
        (true, true) => (
            22855,
            format!(
                "Warning: switching partitions of the table '{name}' is allowed, and the rows that are switched are not captured."
            ),
        ),
        (true, false) => {
            (22856, format!("Warning: partitions of the table '{name}' cannot be switched while capture is enabled."))
        }
        (false, false) => {
            (22857, format!("Warning: @allow_partition_switch is ignored, as the table '{name}' is not partitioned."))
        }
        (false, true) => return None,
    };
    Some(SqlError::new(number, 10, text))
}

impl Request {
    pub(super) fn read(catalog: &Catalog, arguments: &[Value]) -> SqlResult<Self> {
        let [schema, name, instance, net_changes, role, index, columns, filegroup, allow_switch, ..] = arguments else {
            return Err(broken("an argument"));
        };
        let (schema, name) = (named(schema, "@source_schema")?, named(name, "@source_name")?);
        let table = source_table(catalog, schema, name)?;
        let schema = catalog.schema(table.schema_id).ok_or_else(|| broken("the table's schema"))?;
        if collation::equal(&schema.name, "cdc") {
            return Err(errors::cdc_schema_table());
        }
        let role = match role.as_text() {
            Some(role) if role.trim().is_empty() => return Err(errors::role_missing()),
            role => role.map(str::to_owned),
        };
        let instance = match instance.as_text() {
            Some(instance) if !instance.is_empty() => instance.to_owned(),
            _ => format!("{}_{}", schema.name, table.name),
        };
        if instance.chars().count() > INSTANCE_NAME_CHARACTERS_MAX {
            return Err(errors::instance_name_long(&instance));
        }
        if catalog.instances_of(table.object_id).count() >= CAPTURE_INSTANCES_MAX {
            return Err(errors::two_instances(&table.name));
        }
        if catalog.instance_named(&instance).is_some() {
            return Err(errors::instance_taken(&instance));
        }
        if let Some(filegroup) = filegroup.as_text().filter(|name| !collation::equal(name, "PRIMARY")) {
            return Err(errors::no_filegroup(filegroup));
        }
        if table.columns.iter().any(|column| column.column_set) {
            return Err(errors::column_set(&table.name));
        }
        let index = chosen_index(&table, index.as_text())?;
        let columns = captured_columns(&table, columns.as_text())?;
        let net_changes = match net_changes {
            Value::Null => table.primary_key().is_some(),
            given => given.as_integer() == Some(1),
        };
        if net_changes {
            let index = index.as_ref().ok_or_else(|| errors::net_changes_without_key(&table.name))?;
            if index.key.len() > NET_CHANGES_KEY_COLUMNS_MAX {
                return Err(errors::key_too_wide(&index.name, &table.name, NET_CHANGES_KEY_COLUMNS_MAX));
            }
            let captured = |id: ColumnId| columns.iter().any(|column| column.column_id == id);
            if !index.key.iter().all(|key| captured(key.column_id)) {
                return Err(errors::key_not_captured(&table.name, &index.name));
            }
        }
        let allowed = allow_switch.as_integer() != Some(0);
        Ok(Self {
            instance,
            role,
            columns,
            index,
            net_changes,
            filegroup: filegroup.as_text().map(str::to_owned),
            // The parameter is for partitioned tables.
            allow_partition_switch: allowed || !table.partitioned,
            partition_warning: partition_warning(&table, allowed),
            table,
        })
    }
}

/// The index named, or the primary key's; none where neither is there.
fn chosen_index(table: &Table, name: Option<&str>) -> SqlResult<Option<Index>> {
    let Some(name) = name else { return Ok(table.primary_key().cloned()) };
    let index = table.index_named(name).ok_or_else(|| errors::no_index(name, &table.name))?;
    if !index.is_key() {
        return Err(errors::index_not_unique(name));
    }
    if index.disabled {
        return Err(errors::index_disabled(name, &table.name));
    }
    let nullable = |id: ColumnId| table.column(id).is_some_and(|column| column.nullable);
    if index.key.iter().any(|key| nullable(key.column_id)) {
        return Err(errors::index_nullable(name));
    }
    Ok(Some(index.clone()))
}

/// The columns of the list in the table's order, or all.
fn captured_columns(table: &Table, list: Option<&str>) -> SqlResult<Vec<Column>> {
    let columns = match list.filter(|list| !list.trim().is_empty()) {
        None => table.columns.clone(),
        Some(list) => {
            let names = split_names(list).ok_or_else(errors::bad_column_list)?;
            let mut chosen = Vec::with_capacity(names.len());
            for name in &names {
                let column = table.column_named(name).ok_or_else(|| errors::no_source_column(name))?;
                if chosen.iter().any(|other: &Column| other.column_id == column.column_id) {
                    return Err(errors::bad_column_list());
                }
                chosen.push(column.clone());
            }
            chosen.sort_by_key(|column| column.column_id);
            chosen
        }
    };
    if columns.len() > CAPTURED_COLUMNS_MAX {
        return Err(errors::too_many_columns());
    }
    match columns.iter().find(|column| change_table::is_reserved(&column.name)) {
        Some(column) => Err(errors::reserved_column(&column.name)),
        None => Ok(columns),
    }
}

/// Names separated by commas, each plain, in brackets or in quotes. None where a bracket or quote stays open or a name is
/// missing.
pub(super) fn split_names(list: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = list.trim();
    loop {
        let close = match rest.chars().next()? {
            '[' => Some(']'),
            '"' => Some('"'),
            _ => None,
        };
        let name = match close {
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let name = rest.get(..end)?.trim();
                rest = rest.get(end..)?;
                name.to_owned()
            }
            Some(close) => {
                let mut name = String::new();
                let mut characters = rest.char_indices().skip(1).peekable();
                let end = loop {
                    let (at, character) = characters.next()?;
                    if character != close {
                        name.push(character);
                    } else if characters.next_if(|(_, next)| *next == close).is_some() {
                        name.push(close);
                    } else {
                        break at + close.len_utf8();
                    }
                };
                rest = rest.get(end..)?.trim_start();
                name
            }
        };
        if name.is_empty() {
            return None;
        }
        names.push(name);
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None if rest.is_empty() => return Some(names),
            None => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::split_names;

    #[test]
    fn column_lists_have_plain_bracketed_and_quoted_names() {
        let names = |list: &str| split_names(list).map(|names| names.join("|"));
        assert_eq!(names("a, b ,c").as_deref(), Some("a|b|c"));
        assert_eq!(names("[a,b], \"c\"\"d\" ,[e]]f]").as_deref(), Some("a,b|c\"d|e]f"));
        assert_eq!(names("a,,b"), None);
        assert_eq!(names("[a"), None);
        assert_eq!(names("a,"), None);
    }
}
