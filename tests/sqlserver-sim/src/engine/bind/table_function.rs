//! Functions that stand in FROM.

use std::sync::Arc;

use sqlparser::ast;

use crate::error::{SqlError, SqlResult};
use crate::storage::{DatabaseId, Module, ModuleKind, Object, PrincipalId, Securable};
use crate::value::{Length, SqlType};

use super::super::context::has_permission;
use super::super::expression::{Expression, Node};
use super::super::functions::{JsonColumn, OpenJson};
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
            let (function, columns) = match name.object.to_ascii_uppercase().as_str() {
                "STRING_SPLIT" if matches!(bound.len(), 2 | 3) => {
                    let numbered = bound.get(2).is_some_and(
                        |wanted| matches!(&wanted.node, Node::Literal(value) if value.as_integer() == Some(1)),
                    );
                    let mut columns = vec![Column::new("value", SqlType::NVarChar(Length::Max), false)];
                    columns.extend(numbered.then(|| Column::new("ordinal", SqlType::BigInt, false)));
                    (TableFunction::SplitString { numbered }, columns)
                }
                "GENERATE_SERIES" if bound.len() >= 2 => {
                    let sql_type = bound.first().map_or(SqlType::Int, |first| first.sql_type);
                    (TableFunction::GenerateSeries(sql_type), vec![Column::new("value", sql_type, false)])
                }
                _ => return Err(SqlError::invalid_object(&name.to_string())),
            };
            let slot = self.add(&exposed, None, renamed_columns(&columns, &renamed))?;
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
        arguments: Vec<Expression>,
        exposed: &str,
        renamed: &[String],
    ) -> SqlResult<Source> {
        let Some((_, Object::Module(found))) = self.execution.state.object(database, name)? else {
            return Err(SqlError::invalid_object(&name.to_string()));
        };
        if found.kind == ModuleKind::TableFunction {
            self.check_selectable(database, &found)?;
            return self.table_function(&found, name, arguments, exposed, renamed);
        }
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
        self.derived(query?, exposed, None, renamed)
    }

    /// A function of several statements, whose arguments may be of the rows beside it.
    fn table_function(
        &mut self,
        found: &Module,
        name: &Name,
        arguments: Vec<Expression>,
        exposed: &str,
        renamed: &[String],
    ) -> SqlResult<Source> {
        let function = module::table_function(self.execution, &found.name, &found.definition)?;
        if function.parameters.len() != arguments.len() {
            return Err(SqlError::too_few_arguments(&name.to_string()));
        }
        let mut converted = Vec::with_capacity(arguments.len());
        for (argument, parameter) in arguments.into_iter().zip(&function.parameters) {
            converted.push(self.converted(argument, parameter.sql_type)?);
        }
        let slot = self.add(exposed, None, renamed_columns(&function.columns, renamed))?;
        let function = TableFunction::User(Arc::new(function));
        Ok(Source::Function { slot, function, arguments: converted, filter: Vec::new() })
    }

    fn check_selectable(&self, database: DatabaseId, function: &Module) -> SqlResult<()> {
        let state = &self.execution.state;
        let catalog = state.catalog(database)?;
        let user = state.user(database)?;
        if user == PrincipalId::DBO
            || self.execution.view_depth > 0
            || has_permission(&catalog, user, "SELECT", Securable::Object(function.object_id))
        {
            return Ok(());
        }
        let schema =
            catalog.schema(function.schema_id).map_or_else(|| Arc::from(""), |schema| Arc::clone(&schema.name));
        Err(SqlError::permission_denied("SELECT", &function.name, &state.database_name(database), &schema))
    }

    /// `OPENJSON(text, path) WITH (…)`.
    pub(super) fn open_json(
        &mut self,
        json: &ast::Expr,
        path: Option<&ast::ValueWithSpan>,
        written: &[ast::OpenJsonTableColumn],
        alias: Option<&ast::TableAlias>,
    ) -> SqlResult<Source> {
        let json = self.scalar(json)?;
        let json = self.converted(json, SqlType::NVarChar(Length::Max))?;
        let path = match path.map(|path| &path.value) {
            None => "$".to_owned(),
            Some(ast::Value::SingleQuotedString(path) | ast::Value::NationalStringLiteral(path)) => path.clone(),
            Some(other) => return Err(SqlError::syntax_near(&other.to_string())),
        };
        let mut columns = Vec::with_capacity(written.len());
        for column in written {
            let sql_type = super::types::type_of(self.execution.state, &column.r#type)?;
            let name = column.name.value.clone();
            let path = column.path.clone().unwrap_or_else(|| format!("$.\"{name}\""));
            columns.push(JsonColumn { name, sql_type, path, as_json: column.as_json });
        }
        let function = OpenJson::new(&path, columns)?;
        let exposed = alias.map_or("OPENJSON", |alias| alias.name.value.as_str()).to_owned();
        let slot = self.add(&exposed, None, renamed_columns(&function.columns(), &alias_columns(alias)))?;
        let function = TableFunction::OpenJson(Arc::new(function));
        Ok(Source::Function { slot, function, arguments: vec![json], filter: Vec::new() })
    }
}
