//! Functions that stand in FROM.

use sqlparser::ast;

use crate::error::{SqlError, SqlResult};
use crate::storage::{DatabaseId, ModuleKind, Object};
use crate::value::{Length, SqlType};

use super::super::plan::{Source, TableFunction};
use super::super::relation::Column;
use super::super::statement::Name;
use super::super::{module, system};
use super::Binder;
use super::source::{alias_columns, renamed_columns};

impl Binder<'_, '_> {
    pub(super) fn called(
        &mut self,
        name: &Name,
        arguments: &[ast::FunctionArg],
        alias: Option<&ast::TableAlias>,
    ) -> SqlResult<Source> {
        let exposed = alias.map_or(name.object.as_str(), |alias| alias.name.value.as_str()).to_owned();
        let mut bound = Vec::with_capacity(arguments.len());
        for argument in arguments {
            bound.push(self.argument(argument)?);
        }
        let renamed = alias_columns(alias);
        if name.schema.is_none() {
            let (function, column) = match name.object.to_ascii_uppercase().as_str() {
                "STRING_SPLIT" if bound.len() == 2 => {
                    (TableFunction::SplitString, Column::new("value", SqlType::NVarChar(Length::Max), false))
                }
                "GENERATE_SERIES" if bound.len() >= 2 => {
                    let sql_type = bound.first().map_or(SqlType::Int, |first| first.sql_type);
                    (TableFunction::GenerateSeries(sql_type), Column::new("value", sql_type, false))
                }
                _ => return Err(SqlError::invalid_object(&name.to_string())),
            };
            let slot = self.add(&exposed, None, renamed_columns(&[column], &renamed))?;
            return Ok(Source::Function { slot, function, arguments: bound, filter: Vec::new() });
        }
        let database = self.execution.state.database_of(name)?;
        let catalog = self.execution.state.catalog(database)?;
        let schema =
            name.schema.as_deref().and_then(|schema| catalog.schema_named(schema)).map(|schema| schema.schema_id);
        let Some(schema) = schema else { return Err(SqlError::invalid_object(&name.to_string())) };
        if let Some(function) = system::table_function(&catalog, schema, &name.object) {
            let parameters = system::table_parameters(&function).to_vec();
            if bound.len() != parameters.len() {
                return Err(if bound.len() < parameters.len() {
                    SqlError::too_few_arguments(&name.to_string())
                } else {
                    SqlError::too_many_arguments(&name.to_string())
                });
            }
            let mut converted = Vec::with_capacity(bound.len());
            for (argument, sql_type) in bound.into_iter().zip(parameters) {
                converted.push(self.converted(argument, sql_type)?);
            }
            let columns = renamed_columns(system::table_columns(&function), &renamed);
            let slot = self.add(&exposed, None, columns)?;
            let function = TableFunction::System { function, database };
            return Ok(Source::Function { slot, function, arguments: converted, filter: Vec::new() });
        }
        self.inline_function(database, name, bound, &exposed, &renamed)
    }

    /// An inline function is its query, in which parameters stand for the arguments.
    fn inline_function(
        &mut self,
        database: DatabaseId,
        name: &Name,
        arguments: Vec<super::super::expression::Expression>,
        exposed: &str,
        renamed: &[String],
    ) -> SqlResult<Source> {
        let Some((_, Object::Module(found))) = self.execution.state.object(database, name)? else {
            return Err(SqlError::invalid_object(&name.to_string()));
        };
        if found.kind != ModuleKind::InlineFunction {
            return Err(SqlError::invalid_object(&name.to_string()));
        }
        let (parameters, query) = module::inline_function(&found.definition)?;
        if parameters.len() != arguments.len() {
            return Err(SqlError::too_few_arguments(&name.to_string()));
        }
        // The parameters become columns of a source around the query, whose one row is that of the arguments.
        let mut values = Vec::with_capacity(arguments.len());
        for (argument, parameter) in arguments.into_iter().zip(&parameters) {
            let sql_type = super::named_type(self.execution.state, &parameter.data_type)?;
            values.push((parameter.name.clone(), self.converted(argument, sql_type)?));
        }
        for (_, value) in &values {
            let mut looks = false;
            value.columns(&mut |_| looks = true);
            if looks {
                return Err(SqlError::unsupported("columns as arguments of inline functions"));
            }
        }
        // Arguments are constants of the statement, so they can be variables of it.
        let outer = self.execution.variables.clone();
        for (parameter, value) in values {
            let held = value.evaluate(self.execution, &super::Scope::EMPTY)?;
            self.execution.variables.shadow(&parameter, value.sql_type, held);
        }
        let query = self.apart(Vec::new(), |binder| binder.query(&query));
        self.execution.variables.restore_names(&outer);
        self.derived(query?, exposed, renamed)
    }
}
