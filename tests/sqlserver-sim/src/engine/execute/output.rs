//! The OUTPUT of statements on data.

use std::sync::Arc;

use crate::error::SqlResult;
use crate::storage::Row;
use crate::value::{SqlType, Value};

use super::super::bind::{Binder, NamedSource};
use super::super::evaluate::Scope;
use super::super::expression::Expression;
use super::super::plan::OutputColumn;
use super::super::session::{ColumnMetadata, Output, OutputSink};
use super::super::state::Execution;
use super::super::statement::{Name, OutputClause};
use super::data::Change;
use super::row::named;
use super::target::{self, Target};
use super::through::Through;
use super::{insert, send};

/// What OUTPUT gives: bound over `inserted`, `deleted` and the sources.
pub struct BoundOutput {
    columns: Vec<OutputColumn>,
    values: Vec<Expression>,
    into: Option<(Name, Vec<String>)>,
    sources: usize,
    target: Target,
}

/// Binds OUTPUT: the sources keep their places, `inserted` and `deleted` come after them.
pub fn bind_output(
    execution: &mut Execution<'_>,
    output: Option<&OutputClause>,
    target: &Target,
    sources: &[NamedSource],
    with_action: bool,
    through: Option<&Through>,
) -> SqlResult<Option<BoundOutput>> {
    let Some(output) = output else { return Ok(None) };
    let width = sources.iter().map(|source| source.slot + 1).max().unwrap_or(0);
    let pseudo = |name: &str, slot: usize| {
        let own = named(&target.table, name, slot);
        let columns = through.map_or(own.columns, Through::shown);
        NamedSource { by_name_only: true, columns, ..own }
    };
    let mut all = sources.to_vec();
    all.extend([pseudo("inserted", width), pseudo("deleted", width + 1)]);
    if with_action {
        let column = super::super::bind::NamedColumn {
            name: Arc::from("$action"),
            sql_type: SqlType::NVarChar(crate::value::Length::Limited(10)),
            nullable: false,
            at: 0,
            identity: false,
            computed: false,
            hidden: false,
        };
        all.push(NamedSource {
            slot: width + 2,
            name: String::new(),
            schema: None,
            columns: vec![column],
            by_name_only: false,
        });
    }
    let (columns, values) = Binder::with_sources(execution, all).output_list(&output.list)?;
    Ok(Some(BoundOutput { columns, values, into: output.into.clone(), sources: width, target: target.clone() }))
}

impl BoundOutput {
    /// Gives the rows to the client or puts them into the table.
    pub fn give(&self, execution: &mut Execution<'_>, changes: &[Change], out: &mut OutputSink<'_>) -> SqlResult<()> {
        let nulls: Row = Row::from(vec![Value::Null; self.target.table.row_width()]);
        let mut rows = Vec::with_capacity(changes.len());
        for change in changes {
            let mut scope_row = change.found_with.clone();
            scope_row.resize(self.sources, nulls.clone());
            scope_row.push(change.after.clone().unwrap_or_else(|| nulls.clone()));
            scope_row.push(change.before.clone().unwrap_or_else(|| nulls.clone()));
            let action = match (&change.before, &change.after) {
                (None, _) => "INSERT",
                (_, None) => "DELETE",
                _ => "UPDATE",
            };
            scope_row.push(Row::from(vec![Value::text(action)]));
            let scope = Scope { row: &scope_row, outer: None };
            let mut row = Vec::with_capacity(self.values.len());
            for value in &self.values {
                row.push(value.evaluate(execution, &scope)?);
            }
            rows.push(row);
        }
        if let Some((name, columns)) = &self.into {
            let types: Vec<SqlType> = self.columns.iter().map(|column| column.sql_type).collect();
            let target = target::find(execution, name)?;
            let columns = (!columns.is_empty()).then_some(columns.as_slice());
            return insert::insert_rows(execution, target, columns, &rows, &types).map(|_| ());
        }
        let column = |column: &OutputColumn| ColumnMetadata {
            name: column.name.clone(),
            sql_type: column.sql_type,
            nullable: true,
            identity: false,
            computed: false,
        };
        send(out, Output::Columns(self.columns.iter().map(column).collect()))?;
        if !rows.is_empty() {
            send(out, Output::Rows(rows))?;
        }
        Ok(())
    }
}
