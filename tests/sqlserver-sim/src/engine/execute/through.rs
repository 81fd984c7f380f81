//! Changes of a table's rows through what shows them: a view, a common table expression, a subquery in FROM.
//!
//! Each row shown is made from one row of the table. So the query behind is made to give that row's number as well, in a
//! column behind its own, through as many queries as there are.

use std::sync::Arc;

use crate::error::{SqlError, SqlResult};
use crate::storage::{Column, DatabaseId, ModuleKind, Object, PrincipalId, Securable, Table};
use crate::value::SqlType;
use crate::value::collation::equal;

use super::super::bind::{Binder, NamedColumn, NamedSource};
use super::super::context::has_permission;
use super::super::expression::{ColumnRef, Expression, Node};
use super::super::plan::{Body, Query, Source};
use super::super::run::TargetPlace;
use super::super::state::Execution;
use super::super::statement::Name;
use super::target::Target;

/// A table, as a source that isn't one shows it.
pub struct Through {
    name: String,
    slot: usize,
    pub target: Target,
    columns: Vec<NamedColumn>,
    /// For each place in the rows shown, that in the table's; None for a value that is made.
    origins: Vec<Option<usize>>,
    /// Where the number of the table's row is in the rows shown.
    id_at: usize,
}

/// The table under a query, and what of it the query shows.
struct Base {
    database: DatabaseId,
    table: Arc<Table>,
    origins: Vec<Option<usize>>,
    id_at: usize,
}

impl Through {
    /// `set` are the columns that are to be set; none for a DELETE.
    ///
    /// # Errors
    /// 4403, 4405 and 4406 for what can't be changed, 207 for a column that isn't there.
    pub fn open(from: &mut Source, source: &NamedSource, set: &[&str]) -> SqlResult<Self> {
        let mut places = Vec::with_capacity(set.len());
        for name in set {
            let column = source.columns.iter().find(|column| equal(&column.name, name));
            places.push(column.ok_or_else(|| SqlError::invalid_column(name))?.at);
        }
        let Some(Source::Derived { query, .. }) = at(from, source.slot) else {
            return Err(SqlError::unsupported(format!("changes of rows through '{}'", source.name)));
        };
        let base = base(query, &source.name, &places)?;
        let target = Target { database: base.database, table: base.table, variable: false };
        Ok(Self {
            name: source.name.clone(),
            slot: source.slot,
            target,
            columns: source.columns.clone(),
            origins: base.origins,
            id_at: base.id_at,
        })
    }

    pub fn place(&self) -> TargetPlace {
        TargetPlace { slot: self.slot, id_at: Some(self.id_at) }
    }

    /// The table's column behind one of the source's.
    pub fn column(&self, name: &str) -> SqlResult<Column> {
        let slot = self.origin(self.named(name)?);
        let column = self.target.table.columns.iter().find(|column| slot.is_some() && column.slot() == slot);
        column.cloned().ok_or_else(|| derived_field(&self.name))
    }

    /// The value of a column in the row shown.
    pub fn value(&self, name: &str) -> SqlResult<Expression> {
        let column = self.named(name)?;
        Ok(value(self.slot, column.at, column.sql_type))
    }

    /// What `inserted` and `deleted` have: the table's values by the source's names.
    pub fn shown(&self) -> Vec<NamedColumn> {
        let column = |column: &NamedColumn| Some(NamedColumn { at: self.origin(column)?, ..column.clone() });
        self.columns.iter().filter_map(column).collect()
    }

    fn named(&self, name: &str) -> SqlResult<&NamedColumn> {
        let found = self.columns.iter().find(|column| equal(&column.name, name));
        found.ok_or_else(|| SqlError::invalid_column(name))
    }

    fn origin(&self, column: &NamedColumn) -> Option<usize> {
        self.origins.get(column.at).copied().flatten()
    }
}

/// The view of a name, where it is one.
fn view_named(execution: &Execution<'_>, name: &Name) -> SqlResult<Option<(DatabaseId, Arc<crate::storage::Module>)>> {
    if name.object.starts_with(['@', '#']) {
        return Ok(None);
    }
    let database = execution.state.database_of(name)?;
    Ok(match execution.state.object(database, name)? {
        Some((_, Object::Module(module))) if module.kind == ModuleKind::View => Some((database, module)),
        _ => None,
    })
}

pub fn is_view(execution: &Execution<'_>, name: &Name) -> SqlResult<bool> {
    Ok(view_named(execution, name)?.is_some())
}

/// The table that rows go into that are inserted into a view, and the columns that they are given for: those named, or
/// all of the view's.
///
/// # Errors
/// As [`Through::open`].
pub fn inserted(
    execution: &mut Execution<'_>,
    name: &Name,
    columns: Option<&[String]>,
) -> SqlResult<Option<(Through, Vec<String>)>> {
    let Some((database, view)) = view_named(execution, name)? else { return Ok(None) };
    let mut binder = Binder::new(execution);
    let mut from = binder.view_source(database, &view)?;
    let Some(source) = binder.sources().first().cloned() else { return Ok(None) };
    let all: Vec<&str> = source.columns.iter().map(|column| &*column.name).collect();
    let given = columns.map_or(all, |columns| columns.iter().map(String::as_str).collect());
    let through = Through::open(&mut from, &source, &given)?;
    let columns = given.iter().map(|name| through.column(name).map(|column| column.name.to_string()));
    let columns = columns.collect::<SqlResult<_>>()?;
    Ok(Some((through, columns)))
}

/// Who may change rows through a view need have no right to the table.
///
/// # Errors
/// 229 where the session may not; for what isn't a view, as for the table itself.
pub fn check_permission(execution: &Execution<'_>, name: &Name, target: &Target, permission: &str) -> SqlResult<()> {
    if let Some((database, view)) = view_named(execution, name)? {
        let state = &*execution.state;
        let (catalog, user) = (state.catalog(database)?, state.user(database)?);
        if user != PrincipalId::DBO && has_permission(&catalog, user, permission, Securable::Object(view.object_id)) {
            return Ok(());
        }
    }
    super::target::check_permission(execution, target, permission)
}

fn base(query: &mut Query, name: &str, set: &[usize]) -> SqlResult<Base> {
    let Body::Select(select) = &mut query.body else { return Err(several_tables(name)) };
    if select.grouping.is_some() || select.distinct {
        let text = format!(
            "Cannot update the view or function '{name}' because it contains aggregates, or a DISTINCT or GROUP BY clause, or PIVOT or UNPIVOT operator."
        );
        return Err(SqlError::new(4403, 16, text));
    }
    let plain = |output: &Expression| output.as_column().filter(|column| column.depth == 0);
    let mut set_in: Vec<ColumnRef> = Vec::with_capacity(set.len());
    for place in set {
        set_in.push(select.output.get(*place).and_then(plain).ok_or_else(|| derived_field(name))?);
    }
    // A join's table is told by the columns that are set, as long as they are of one.
    let slot = match (set_in.as_slice(), select.source.slots().as_slice()) {
        ([], [one]) => *one,
        ([first, rest @ ..], _) if rest.iter().all(|other| other.source == first.source) => first.source,
        _ => return Err(several_tables(name)),
    };
    let (database, table, inner, inner_id_at) = match at(&mut select.source, slot) {
        Some(Source::Table(table)) => {
            table.tells_id = true;
            table.hints.update_lock = true;
            let width = table.table.row_width();
            (table.database, Arc::clone(&table.table), (0..width).map(Some).collect(), width)
        }
        Some(Source::Derived { query, .. }) => {
            let set: Vec<usize> = set_in.iter().map(|column| column.column).collect();
            let base = base(query, name, &set)?;
            (base.database, base.table, base.origins, base.id_at)
        }
        _ => return Err(SqlError::unsupported(format!("changes of rows through '{name}'"))),
    };
    let origin = |output: &Expression| {
        let column = plain(output).filter(|column| column.source == slot)?;
        inner.get(column.column).copied().flatten()
    };
    let origins = select.output.iter().map(origin).collect();
    let id_at = select.output.len();
    select.output.push(value(slot, inner_id_at, SqlType::BigInt));
    Ok(Base { database, table, origins, id_at })
}

fn at(source: &mut Source, wanted: usize) -> Option<&mut Source> {
    if let Source::Join(join) = source {
        let side = if join.left_slots.contains(&wanted) { &mut join.left } else { &mut join.right };
        return at(side, wanted);
    }
    source.slots().contains(&wanted).then_some(source)
}

fn value(source: usize, column: usize, sql_type: SqlType) -> Expression {
    Expression { node: Node::Column(ColumnRef { depth: 0, source, column }), sql_type, nullable: true }
}

fn several_tables(name: &str) -> SqlError {
    let text =
        format!("View or function '{name}' is not updatable because the modification affects multiple base tables.");
    SqlError::new(4405, 16, text)
}

fn derived_field(name: &str) -> SqlError {
    let text = format!(
        "Update or insert of view or function '{name}' failed because it contains a derived or constant field."
    );
    SqlError::new(4406, 16, text)
}
