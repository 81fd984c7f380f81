//! What stands in FROM.

use std::sync::Arc;

use sqlparser::ast::{self, JoinConstraint, JoinOperator, TableFactor, TableVersion};

use crate::catalog;
use crate::error::{SqlError, SqlResult};
use crate::storage::{DatabaseId, Module, ModuleKind, Object, PrincipalId, Securable, Table};
use crate::value::collation::{equal, folded};

use super::super::context::has_permission;
use super::super::plan::{Access, Hints, Join, JoinKind, Query, RelationSource, Source, TableSource};
use super::super::relation::Column;
use super::super::statement::Name;
use super::super::{execute, module, parse};
use super::{Binder, Level, NamedColumn, NamedSource, hint};

/// A name of sqlparser's.
pub fn object_name(name: &ast::ObjectName) -> SqlResult<Name> {
    let mut parts =
        name.0.iter().rev().map(|part| part.as_ident().map(|ident| ident.value.clone()).unwrap_or_default());
    let filled = |part: Option<String>| part.filter(|part| !part.is_empty());
    let object = parts.next().unwrap_or_default();
    let (schema, database) = (filled(parts.next()), filled(parts.next()));
    if parts.next().is_some() {
        return Err(SqlError::unsupported("names of four parts"));
    }
    Ok(Name { database, schema, object })
}

/// A table as a source of rows, all of its columns named.
pub fn table_source(
    binder: &mut Binder<'_, '_>,
    slot: usize,
    database: DatabaseId,
    table: &Arc<Table>,
) -> SqlResult<(TableSource, Vec<NamedColumn>)> {
    let named: Vec<NamedColumn> = table
        .columns
        .iter()
        .filter_map(|column| {
            Some(NamedColumn {
                name: Arc::clone(&column.name),
                sql_type: column.sql_type,
                nullable: column.nullable,
                at: column.slot()?,
                identity: column.identity.is_some(),
                computed: column.computed.is_some(),
                hidden: column.hidden,
            })
        })
        .collect();
    let mut computed = Vec::new();
    for column in &table.columns {
        if let (Some(definition), Some(at)) =
            (column.computed.as_ref().filter(|computed| !computed.persisted), column.slot())
        {
            let stored =
                NamedSource { slot: 0, name: String::new(), schema: None, columns: named.clone(), by_name_only: false };
            let expression = parse::expression(&definition.definition)?;
            let mut own = Binder::with_sources(binder.execution, vec![stored]);
            let expression = own.scalar(&expression)?;
            computed.push((at, own.converted(expression, column.sql_type)?));
        }
    }
    let source = TableSource {
        slot,
        database,
        table: Arc::clone(table),
        computed,
        access: Access::default(),
        filter: Vec::new(),
        hints: Hints::default(),
        tells_id: false,
    };
    Ok((source, named))
}

impl Binder<'_, '_> {
    /// The sources of FROM, comma by comma, added to the innermost query.
    pub(super) fn from(&mut self, from: &[ast::TableWithJoins]) -> SqlResult<Source> {
        let mut whole: Option<Source> = None;
        for item in from {
            let source = self.with_joins(item)?;
            whole = Some(match whole {
                None => source,
                Some(left) => self.joined(JoinKind::Inner, left, source, Vec::new()),
            });
        }
        Ok(whole.unwrap_or(Source::Nothing))
    }

    fn with_joins(&mut self, item: &ast::TableWithJoins) -> SqlResult<Source> {
        let mut left = self.factor(&item.relation, false)?;
        for join in &item.joins {
            let (kind, constraint, apply) = match &join.join_operator {
                JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => {
                    (JoinKind::Inner, constraint, false)
                }
                JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => {
                    (JoinKind::Left, constraint, false)
                }
                JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
                    (JoinKind::Right, constraint, false)
                }
                JoinOperator::FullOuter(constraint) => (JoinKind::Full, constraint, false),
                JoinOperator::CrossJoin(constraint) => (JoinKind::Inner, constraint, false),
                JoinOperator::CrossApply => (JoinKind::Inner, &JoinConstraint::None, true),
                JoinOperator::OuterApply => (JoinKind::Left, &JoinConstraint::None, true),
                other => return Err(SqlError::syntax_near(&format!("{other:?}"))),
            };
            let right = self.factor(&join.relation, apply)?;
            let mut on = Vec::new();
            match constraint {
                JoinConstraint::None => {}
                JoinConstraint::On(condition) => {
                    let before = std::mem::replace(&mut self.level().no_aggregates, true);
                    let predicate = self.predicate(condition);
                    self.level().no_aggregates = before;
                    predicate?.conjuncts(&mut on);
                }
                JoinConstraint::Using(_) | JoinConstraint::Natural => return Err(SqlError::syntax_near("USING")),
            }
            left = self.joined(kind, left, right, on);
        }
        Ok(left)
    }

    fn joined(
        &mut self,
        kind: JoinKind,
        left: Source,
        right: Source,
        on: Vec<super::super::expression::Predicate>,
    ) -> Source {
        let (left_slots, right_slots) = (left.slots(), right.slots());
        let level = self.level();
        let width = |slot: &usize| {
            let source = level.sources.iter().find(|source| source.slot == *slot);
            source.and_then(|source| source.columns.iter().map(|column| column.at + 1).max()).unwrap_or(0)
        };
        let left_widths = left_slots.iter().map(width).collect();
        let right_widths = right_slots.iter().map(width).collect();
        Source::Join(Box::new(Join {
            kind,
            left,
            right,
            on,
            keys: Vec::new(),
            dependent: false,
            left_slots,
            right_slots,
            right_widths,
            left_widths,
        }))
    }

    /// Adds a source that can be named.
    pub(super) fn add(&mut self, name: &str, schema: Option<&str>, columns: Vec<NamedColumn>) -> SqlResult<usize> {
        let level = self.level();
        let slot = level.width;
        let taken = level.sources.iter().any(|source| equal(&source.name, name) && source.schema.as_deref() == schema);
        if taken {
            let text = format!(
                "The objects \"{name}\" and \"{name}\" in the FROM clause have the same exposed names. Use correlation names to distinguish them."
            );
            return Err(SqlError::new(1013, 16, text));
        }
        level.width += 1;
        level.sources.push(NamedSource {
            slot,
            name: name.to_owned(),
            schema: schema.map(str::to_owned),
            columns,
            by_name_only: false,
        });
        Ok(slot)
    }

    pub(super) fn factor(&mut self, factor: &TableFactor, apply: bool) -> SqlResult<Source> {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args,
                with_hints,
                version: None,
                with_ordinality: false,
                partitions,
                sample: None,
                ..
            } if partitions.is_empty() => {
                let name = object_name(name)?;
                let arguments = args.as_ref().map(|args| args.args.as_slice());
                let (arguments, old_hints) = match arguments {
                    // `FROM t (NOLOCK)`
                    Some(arguments) if arguments.iter().all(hint::is_hint) && !arguments.is_empty() => {
                        (None, arguments)
                    }
                    other => (other, &[][..]),
                };
                let mut hints = hint::hints(with_hints.iter().map(ToString::to_string))?;
                if !old_hints.is_empty() {
                    hints = hint::hints(old_hints.iter().map(ToString::to_string))?;
                }
                let indexes = hint::indexes(with_hints.iter().map(ToString::to_string));
                let Some(arguments) = arguments else {
                    let source = self.named(&name, alias.as_ref(), hints)?;
                    if let Source::Table(table) = &source {
                        hint::check_indexes(&table.table, &indexes)?;
                    }
                    return Ok(source);
                };
                self.called(&name, arguments, alias.as_ref())
            }
            TableFactor::Table {
                name,
                alias,
                args: None,
                version: Some(TableVersion::ForSystemTimeAsOf(time)),
                ..
            } => {
                let name = object_name(name)?;
                let query =
                    execute::rows_as_of(self.execution, &name, &super::pivot::with_variables(&time.to_string()))?;
                let own = ast::TableAlias {
                    explicit: true,
                    name: ast::Ident::new(name.object),
                    columns: Vec::new(),
                    at: None,
                };
                self.rewritten(&query, Some(alias.as_ref().unwrap_or(&own)))
            }
            TableFactor::Function { name, args, alias, with_ordinality: false, .. } => {
                self.called(&object_name(name)?, args, alias.as_ref())
            }
            TableFactor::Derived { subquery, alias, sample: None, .. } => {
                let Some(alias) = alias else {
                    return Err(SqlError::syntax_near(")"));
                };
                let was_hidden = std::mem::replace(&mut self.level().hidden, !apply);
                let query = self.query(subquery);
                self.level().hidden = was_hidden;
                self.derived(query?, &alias.name.value, None, &alias_columns(Some(alias)))
            }
            TableFactor::OpenJsonTable { json_expr, json_path, columns, alias } => {
                self.open_json(json_expr, json_path.as_ref(), columns, alias.as_ref())
            }
            TableFactor::Pivot {
                table,
                aggregate_functions,
                value_column,
                value_source,
                default_on_null: None,
                alias,
            } => self.pivot(table, aggregate_functions, value_column, value_source, alias.as_ref()),
            TableFactor::Unpivot { table, value, name, columns, null_inclusion: None, alias } => {
                self.unpivot(table, value, name, columns, alias.as_ref())
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => self.with_joins(table_with_joins),
            other => Err(SqlError::unsupported(format!("{other} in FROM"))),
        }
    }

    pub(super) fn derived(
        &mut self,
        query: Query,
        name: &str,
        schema: Option<&str>,
        renamed: &[String],
    ) -> SqlResult<Source> {
        let columns = named_columns(&query, renamed, name)?;
        let slot = self.add(name, schema, columns)?;
        Ok(Source::Derived { slot, query: Box::new(query), filter: Vec::new() })
    }

    // Names

    fn named(&mut self, name: &Name, alias: Option<&ast::TableAlias>, hints: Hints) -> SqlResult<Source> {
        let exposed = alias.map_or(name.object.as_str(), |alias| alias.name.value.as_str()).to_owned();
        let renamed = alias_columns(alias);
        if name.schema.is_none() && name.database.is_none() {
            if let Some(at) = self.common.iter().rposition(|common| equal(&common.name, &name.object)) {
                return self.common_table(at, &exposed, &renamed);
            }
            if let Some(source) = self.trigger_rows(&name.object, &exposed)? {
                return Ok(source);
            }
            if name.object.starts_with('@') {
                let own = self.execution.variables.tables.get(&folded(&name.object)).cloned();
                let own = own.ok_or_else(|| {
                    SqlError::new(1087, 15, format!("Must declare the table variable \"{}\".", name.object))
                        .with_state(2)
                })?;
                return self.temporary_table(&own, &exposed, hints);
            }
        }
        if name.is_temporary() {
            let own = self.execution.state.temporary.get(&folded(&name.object)).cloned();
            let own = own.ok_or_else(|| SqlError::invalid_object(&name.object))?;
            return self.temporary_table(&own, &exposed, hints);
        }
        let database = self.execution.state.database_of(name)?;
        let shown_schema =
            if alias.is_some() { None } else { Some(name.schema.clone().unwrap_or_else(|| "dbo".to_owned())) };
        if let Some(schema) = &name.schema
            && let Some(relation) = catalog::relation(&self.execution.state.storage, schema, &name.object)
        {
            let columns = relation.columns().iter().enumerate().map(|(at, column)| plain_column(column, at)).collect();
            let slot = self.add(&exposed, shown_schema.as_deref(), columns)?;
            let name = format!("{schema}.{}", name.object);
            let source = RelationSource { slot, name, database, relation, equal: Vec::new(), filter: Vec::new() };
            return Ok(Source::Relation(Box::new(source)));
        }
        match self.execution.state.object(database, name)? {
            Some((_, Object::Table(table))) => {
                self.check_readable(database, &table)?;
                self.stored_table(database, &table, &exposed, shown_schema.as_deref(), hints)
            }
            Some((_, Object::Module(module))) if module.kind == ModuleKind::View => {
                self.view(database, &module, &exposed, shown_schema.as_deref(), renamed)
            }
            Some((_, Object::Module(module))) if module.kind == ModuleKind::Synonym => {
                let target = parse::name(&module.definition)?;
                self.named(&target, alias.cloned().as_ref(), hints)
            }
            _ => Err(SqlError::invalid_object(&name.to_string())),
        }
    }

    fn check_readable(&self, database: DatabaseId, table: &Table) -> SqlResult<()> {
        let state = &self.execution.state;
        let catalog = state.catalog(database)?;
        let user = state.user(database)?;
        if user == PrincipalId::DBO
            || self.execution.view_depth > 0
            || has_permission(&catalog, user, "SELECT", Securable::Object(table.object_id))
        {
            return Ok(());
        }
        let schema = catalog.schema(table.schema_id).map_or_else(|| Arc::from(""), |schema| Arc::clone(&schema.name));
        Err(SqlError::permission_denied("SELECT", &table.name, &state.database_name(database), &schema))
    }

    fn stored_table(
        &mut self,
        database: DatabaseId,
        table: &Arc<Table>,
        exposed: &str,
        schema: Option<&str>,
        hints: Hints,
    ) -> SqlResult<Source> {
        let (mut source, columns) = table_source(self, 0, database, table)?;
        source.slot = self.add(exposed, schema, columns)?;
        source.hints = hints;
        Ok(Source::Table(Box::new(source)))
    }

    fn temporary_table(&mut self, own: &str, exposed: &str, hints: Hints) -> SqlResult<Source> {
        let catalog = self.execution.state.catalog(DatabaseId::TEMPDB)?;
        let table = catalog.table_named(crate::storage::SchemaId::DBO, own).cloned();
        let table = table.ok_or_else(|| SqlError::invalid_object(exposed))?;
        self.stored_table(DatabaseId::TEMPDB, &table, exposed, None, hints)
    }

    fn trigger_rows(&mut self, object: &str, exposed: &str) -> SqlResult<Option<Source>> {
        let Some(trigger) = self.execution.trigger.clone() else { return Ok(None) };
        let rows = if equal(object, "inserted") {
            Arc::clone(&trigger.inserted)
        } else if equal(object, "deleted") {
            Arc::clone(&trigger.deleted)
        } else {
            return Ok(None);
        };
        let (_, columns) = table_source(self, 0, trigger.database, &trigger.table)?;
        let slot = self.add(exposed, None, columns)?;
        Ok(Some(Source::Held { slot, rows, filter: Vec::new() }))
    }

    /// A view, as the only source.
    pub fn view_source(&mut self, database: DatabaseId, view: &Module) -> SqlResult<Source> {
        self.view(database, view, &view.name, None, Vec::new())
    }

    fn view(
        &mut self,
        database: DatabaseId,
        view: &Module,
        exposed: &str,
        schema: Option<&str>,
        renamed: Vec<String>,
    ) -> SqlResult<Source> {
        let (columns, query) = module::view(&view.definition)?;
        let own = std::mem::replace(&mut self.execution.state.database, database);
        let query = self.apart(Vec::new(), |binder| binder.query(&query));
        self.execution.state.database = own;
        let renamed = if renamed.is_empty() { columns } else { renamed };
        self.derived(query?, exposed, schema, &renamed)
    }

    pub(super) fn fresh_level(&self) -> Level {
        Level::default()
    }
}

pub fn alias_columns(alias: Option<&ast::TableAlias>) -> Vec<String> {
    alias.map_or(&[][..], |alias| &alias.columns).iter().map(|column| column.name.value.clone()).collect()
}

fn plain_column(column: &Column, at: usize) -> NamedColumn {
    let (sql_type, nullable) = (column.sql_type, column.nullable);
    NamedColumn {
        name: Arc::clone(&column.name),
        sql_type,
        nullable,
        at,
        identity: false,
        computed: false,
        hidden: false,
    }
}

pub fn renamed_columns(columns: &[Column], renamed: &[String]) -> Vec<NamedColumn> {
    let named = columns.iter().enumerate().map(|(at, column)| {
        let mut named = plain_column(column, at);
        if let Some(name) = renamed.get(at) {
            named.name = Arc::from(name.as_str());
        }
        named
    });
    named.collect()
}

/// The columns of a query that stands in FROM. Each must have a name, and no two the same.
pub fn named_columns(query: &Query, renamed: &[String], name: &str) -> SqlResult<Vec<NamedColumn>> {
    if !renamed.is_empty() && renamed.len() != query.columns.len() {
        let (number, word) = if renamed.len() < query.columns.len() { (8158, "more") } else { (8159, "fewer") };
        return Err(SqlError::new(
            number,
            16,
            format!("'{name}' has {word} columns than were specified in the column list."),
        ));
    }
    let mut named: Vec<NamedColumn> = Vec::with_capacity(query.columns.len());
    for (at, column) in query.columns.iter().enumerate() {
        let own = renamed.get(at).unwrap_or(&column.name);
        if own.is_empty() {
            return Err(SqlError::new(
                8155,
                16,
                format!("No column name was specified for column {} of '{name}'.", at + 1),
            ));
        }
        if named.iter().any(|other| equal(&other.name, own)) {
            return Err(SqlError::new(
                8156,
                16,
                format!("The column '{own}' was specified multiple times for '{name}'."),
            ));
        }
        named.push(NamedColumn {
            name: Arc::from(own.as_str()),
            sql_type: column.sql_type,
            nullable: column.nullable,
            at,
            identity: false,
            computed: false,
            hidden: false,
        });
    }
    Ok(named)
}
