//! INSERT.

use std::sync::Arc;

use sqlparser::ast::Expr;

use crate::error::{SqlError, SqlResult};
use crate::storage::{DatabaseId, SchemaId};
use crate::value::{SqlType, Value};

use super::super::bind::{Binder, table_type};
use super::super::evaluate::Scope;
use super::super::run;
use super::super::session::{Flow, OutputSink, TableArgument};
use super::super::state::Execution;
use super::super::statement::{Insert, InsertSource, Name, TriggerEvents};
use super::control::declare_table;
use super::data::{Change, write};
use super::output::bind_output;
use super::row::Maker;
use super::target::{self, Target};
use super::through::{self, Through};
use super::{done, module, procedure, reference, transaction, value_of};

pub fn insert(execution: &mut Execution<'_>, insert: &Insert, out: &mut OutputSink<'_>) -> SqlResult<()> {
    // The procedure of INSERT … EXEC runs statements of its own, so it goes first.
    let given = match &insert.source {
        InsertSource::Execute(statement) => Some(procedure::rows_of(execution, statement, out)?),
        _ => None,
    };
    let limit = match &insert.top {
        Some(top) => Some(rows_of_top(execution, top)?),
        None => None,
    };
    let rows = transaction::atomic(execution, |execution| {
        let InsertTarget { target, columns, through } = InsertTarget::find(execution, insert)?;
        let output = bind_output(execution, insert.output.as_ref(), &target, &[], false, through.as_ref())?;
        let columns = columns.as_deref();
        let changes = match (&insert.source, given) {
            (_, Some((mut rows, types))) => {
                rows.truncate(limit.unwrap_or(usize::MAX));
                insert_rows(execution, target.clone(), columns, &rows, &types)?
            }
            (InsertSource::DefaultValues, _) => insert_given(execution, target.clone(), &[], vec![Vec::new()])?,
            (InsertSource::Values(rows), _) => {
                let rows = rows.get(..limit.unwrap_or(usize::MAX)).unwrap_or(rows);
                insert_values(execution, target.clone(), columns, rows)?
            }
            (InsertSource::Query(query), _) => {
                let plan = Binder::new(execution).query(query)?;
                let types: Vec<SqlType> = plan.columns.iter().map(|column| column.sql_type).collect();
                let mut rows = Vec::new();
                run::query(execution, &plan, None, &mut |_, row| {
                    if limit.is_none_or(|limit| rows.len() < limit) {
                        rows.push(row);
                        Ok(Flow::Continue)
                    } else {
                        Ok(Flow::Stop)
                    }
                })?;
                insert_rows(execution, target.clone(), columns, &rows, &types)?
            }
            (InsertSource::Execute(_), None) => Vec::new(),
        };
        module::fire(execution, &target, &changes, TriggerEvents::INSERT, &[], out)?;
        if let Some(output) = &output {
            output.give(execution, &changes, out)?;
        }
        Ok(changes.len())
    })?;
    done(execution, u64::try_from(rows).ok(), out)
}

/// Where the rows of an INSERT go, and the columns that it gives; None for all.
pub struct InsertTarget {
    pub target: Target,
    pub columns: Option<Vec<String>>,
    pub through: Option<Through>,
}

impl InsertTarget {
    pub fn find(execution: &mut Execution<'_>, insert: &Insert) -> SqlResult<Self> {
        let found = match through::inserted(execution, &insert.target, insert.columns.as_deref())? {
            Some((through, columns)) => {
                Self { target: through.target.clone(), columns: Some(columns), through: Some(through) }
            }
            None => {
                let target = target::find(execution, &insert.target)?;
                Self { target, columns: insert.columns.clone(), through: None }
            }
        };
        through::check_permission(execution, &insert.target, &found.target, "INSERT")?;
        Ok(found)
    }
}

/// Makes a table of a client's table-valued parameter; gives what it is called in tempdb. It goes at the end of the
/// request.
///
/// # Errors
/// 2715 where there is no such type, 500 where it has another number of columns; those of INSERT.
pub fn filled_table(execution: &mut Execution<'_>, name: &str, given: &TableArgument) -> SqlResult<Arc<str>> {
    let schema = (!given.schema.is_empty()).then(|| given.schema.clone());
    let type_name = Name { database: None, schema, object: given.type_name.clone() };
    let shape = table_type(execution.state, &type_name)?.ok_or_else(|| {
        let text = format!("Column, parameter, or variable {name}: Cannot find data type {type_name}.");
        SqlError::new(2715, 16, text)
    })?;
    let tables = execution.variables.tables.clone();
    let own = declare_table(execution, name, &shape);
    execution.variables.tables = tables;
    let own = own?;
    let catalog = execution.state.catalog(DatabaseId::TEMPDB)?;
    let table = catalog.table_named(SchemaId::DBO, &own).cloned().ok_or_else(|| SqlError::invalid_object(&own))?;
    let target = Target { database: DatabaseId::TEMPDB, table, variable: true };
    let maker = Maker::new(execution, target)?;
    let slots: Vec<usize> = maker.target.table.columns.iter().filter_map(crate::storage::Column::slot).collect();
    if given.columns.len() != slots.len() {
        let text = format!(
            "Trying to pass a table-valued parameter with {} column(s) where the corresponding user-defined table type requires {} column(s).",
            given.columns.len(),
            slots.len()
        );
        return Err(SqlError::new(500, 16, text));
    }
    let mut rows = Vec::with_capacity(given.rows.len());
    for row in &given.rows {
        let mut values = Vec::with_capacity(row.len());
        for ((value, slot), from) in row.iter().zip(&slots).zip(&given.columns) {
            values.push(match value {
                Some(value) => Some(maker.stored(execution, *slot, value, *from)?),
                None => None,
            });
        }
        rows.push(values);
    }
    insert_made(execution, &maker, &slots, rows)?;
    Ok(own)
}

/// How many rows `INSERT TOP (n)` takes.
fn rows_of_top(execution: &mut Execution<'_>, top: &Expr) -> SqlResult<usize> {
    let number = value_of(execution, top)?.0.as_integer().and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| SqlError::new(127, 15, "A TOP N or FETCH rowcount value may not be negative."))
}

/// The places of the columns that an INSERT names, or of all that can be given.
pub fn insert_slots(execution: &Execution<'_>, maker: &Maker, columns: Option<&[String]>) -> SqlResult<Vec<usize>> {
    let table = &maker.target.table;
    let key = (maker.target.database, table.object_id);
    let mut slots = Vec::new();
    match columns {
        Some(columns) => {
            for name in columns {
                let column = table.column_named(name).ok_or_else(|| SqlError::invalid_column(name))?;
                let slot = column.slot().ok_or_else(|| SqlError::invalid_column(name))?;
                if slots.contains(&slot) {
                    let text = format!(
                        "The column name '{name}' is specified more than once in the SET clause or column list of an INSERT."
                    );
                    return Err(SqlError::new(264, 16, text));
                }
                maker.check_insertable(execution, slot)?;
                slots.push(slot);
            }
        }
        None => {
            let explicit = execution.state.options.identity_insert == Some(key);
            let given = table.columns.iter().filter(|column| {
                column.computed.is_none()
                    && !column.hidden
                    && (column.identity.is_none() || explicit)
                    && column.sql_type != SqlType::RowVersion
            });
            slots.extend(given.filter_map(crate::storage::Column::slot));
        }
    }
    Ok(slots)
}

fn count_mismatch(slots: usize, values: usize) -> SqlError {
    if slots > values {
        SqlError::new(
            109,
            15,
            "There are more columns in the INSERT statement than values specified in the VALUES clause. The number of values in the VALUES clause must match the number of columns specified in the INSERT statement.",
        )
    } else if slots < values {
        SqlError::new(
            110,
            15,
            "There are fewer columns in the INSERT statement than values specified in the VALUES clause. The number of values in the VALUES clause must match the number of columns specified in the INSERT statement.",
        )
    } else {
        SqlError::new(213, 16, "Column name or number of supplied values does not match table definition.")
    }
}

fn insert_values(
    execution: &mut Execution<'_>,
    target: Target,
    columns: Option<&[String]>,
    rows: &[Vec<Option<Expr>>],
) -> SqlResult<Vec<Change>> {
    let maker = Maker::new(execution, target.clone())?;
    let slots = insert_slots(execution, &maker, columns)?;
    let mut given = Vec::with_capacity(rows.len());
    for row in rows {
        if row.len() != slots.len() {
            return Err(if columns.is_some() { count_mismatch(slots.len(), row.len()) } else { count_mismatch(0, 0) });
        }
        let mut values = Vec::with_capacity(row.len());
        for (value, slot) in row.iter().zip(&slots) {
            values.push(match value {
                None => None,
                Some(value) => {
                    maker.check_given(*slot)?;
                    let bound = Binder::new(execution).scalar(value)?;
                    if !bound.is_null_literal() {
                        maker.check_type(*slot, bound.sql_type)?;
                    }
                    let value = bound.evaluate(execution, &Scope::EMPTY)?;
                    Some(maker.stored(execution, *slot, &value, bound.sql_type)?)
                }
            });
        }
        given.push(values);
    }
    insert_made(execution, &maker, &slots, given)
}

/// Inserts rows of values of given types.
pub fn insert_rows(
    execution: &mut Execution<'_>,
    target: Target,
    columns: Option<&[String]>,
    rows: &[Vec<Value>],
    types: &[SqlType],
) -> SqlResult<Vec<Change>> {
    let maker = Maker::new(execution, target)?;
    let slots = insert_slots(execution, &maker, columns)?;
    if slots.len() != types.len() {
        return Err(if columns.is_some() {
            let (number, word) = if slots.len() > types.len() { (120, "fewer") } else { (121, "more") };
            let text = format!(
                "The select list for the INSERT statement contains {word} items than the insert list. The number of SELECT values must match the number of INSERT columns."
            );
            SqlError::new(number, 15, text)
        } else {
            count_mismatch(0, 0)
        });
    }
    for (slot, from) in slots.iter().zip(types) {
        maker.check_given(*slot)?;
        maker.check_type(*slot, *from)?;
    }
    let mut given = Vec::with_capacity(rows.len());
    for row in rows {
        let mut values = Vec::with_capacity(row.len());
        for ((value, slot), from) in row.iter().zip(&slots).zip(types) {
            values.push(Some(maker.stored(execution, *slot, value, *from)?));
        }
        given.push(values);
    }
    insert_made(execution, &maker, &slots, given)
}

fn insert_given(
    execution: &mut Execution<'_>,
    target: Target,
    slots: &[usize],
    given: Vec<Vec<Option<Value>>>,
) -> SqlResult<Vec<Change>> {
    let maker = Maker::new(execution, target)?;
    insert_made(execution, &maker, slots, given)
}

/// Inserts rows whose values are of the columns' types already; None stands for DEFAULT.
pub fn insert_made(
    execution: &mut Execution<'_>,
    maker: &Maker,
    slots: &[usize],
    given: Vec<Vec<Option<Value>>>,
) -> SqlResult<Vec<Change>> {
    let width = maker.target.table.row_width();
    let mut rows = Vec::with_capacity(given.len());
    for values in given {
        let mut whole: Vec<Option<Value>> = vec![None; width];
        for (slot, value) in slots.iter().zip(values) {
            if let Some(place) = whole.get_mut(*slot) {
                *place = value;
            }
        }
        rows.push(maker.inserted(execution, whole)?);
    }
    write(execution, &maker.target, |transaction, target| {
        transaction.insert(target.database, &target.table, &rows).map(|_| ())
    })?;
    reference::check_children(execution, &maker.target, &rows, "INSERT")?;
    let mut changes = Vec::with_capacity(rows.len());
    for row in rows {
        changes.push(Change { before: None, after: Some(maker.seen(execution, &row)?), found_with: Vec::new() });
    }
    Ok(changes)
}
