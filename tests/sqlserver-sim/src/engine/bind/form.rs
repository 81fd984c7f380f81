//! FOR JSON and FOR XML, and what is asked of their texts.

use sqlparser::ast::{self, AccessExpr, Expr, ForClause, ForJson, ForXml};

use crate::error::{SqlError, SqlResult};
use crate::value::SqlType;

use super::super::expression::{Expression, Node};
use super::super::form::{Form, FormColumn};
use super::super::parse;
use super::super::plan::{Body, OutputColumn, Query};
use super::{Binder, named_type};

/// The paths that lead to the whole text of an XML value.
const WHOLE_TEXT: &[&str] = &[".", "(.)[1]", ".[1]", "text()[1]", "./text()[1]", "(./text())[1]", "(text())[1]"];

fn form_of(clause: &ForClause, sources: usize) -> SqlResult<Form> {
    Ok(match clause {
        ForClause::Json { for_json, root, include_null_values, without_array_wrapper } => {
            let nested = *for_json == ForJson::Path;
            if !nested && sources > 1 {
                return Err(SqlError::unsupported("FOR JSON AUTO over several tables; use FOR JSON PATH"));
            }
            if *without_array_wrapper && root.is_some() {
                let text = "ROOT option and WITHOUT_ARRAY_WRAPPER option cannot be used together in FOR JSON. Remove one of these options.";
                return Err(SqlError::new(13_620, 16, text));
            }
            Form::Json { root: root.clone(), nulls: *include_null_values, wrapper: !without_array_wrapper, nested }
        }
        ForClause::Xml { for_xml, elements, root, r#type, .. } => {
            let (row, attributes) = match for_xml {
                ForXml::Raw(name) => (Some(name.clone().unwrap_or_else(|| "row".to_owned())), !elements),
                ForXml::Path(name) => (Some(name.clone().unwrap_or_else(|| "row".to_owned())), false),
                ForXml::Auto => return Err(SqlError::unsupported("FOR XML AUTO; use FOR XML PATH")),
                ForXml::Explicit => return Err(SqlError::unsupported("FOR XML EXPLICIT; use FOR XML PATH")),
            };
            let row = row.filter(|name| !name.is_empty());
            Form::Xml { row, root: root.clone(), attributes, typed: *r#type }
        }
        ForClause::Browse => return Err(SqlError::unsupported("FOR BROWSE")),
    })
}

/// Whether an output is of the same form already.
fn is_ready(expression: &Expression, form: &Form) -> bool {
    match &expression.node {
        Node::Subquery(query) => matches!(
            (&query.body, form),
            (Body::Formed { form: Form::Json { .. }, .. }, Form::Json { .. })
                | (Body::Formed { form: Form::Xml { typed: true, .. }, .. }, Form::Xml { .. })
        ),
        Node::Function { function, .. } => matches!(form, Form::Json { .. }) && function.name == "JSON_QUERY",
        _ => false,
    }
}

impl Binder<'_, '_> {
    /// A query whose rows become one text.
    pub(super) fn formed(&mut self, query: &ast::Query, clause: &ForClause) -> SqlResult<Query> {
        let sources = match query.body.as_ref() {
            ast::SetExpr::Select(select) => select.from.iter().map(|item| 1 + item.joins.len()).sum(),
            _ => 1,
        };
        let form = form_of(clause, sources)?;
        let inner = self.query(&ast::Query { for_clause: None, ..query.clone() })?;
        let outputs: &[Expression] = match &inner.body {
            Body::Select(select) => &select.output,
            _ => &[],
        };
        let column = |(at, column): (usize, &OutputColumn)| FormColumn {
            name: column.name.clone(),
            sql_type: column.sql_type,
            ready: outputs.get(at).is_some_and(|output| is_ready(output, &form)),
        };
        let columns: Vec<FormColumn> = inner.columns.iter().enumerate().map(column).collect();
        form.check(&columns)?;
        let (name, sql_type) = form.column();
        let output = OutputColumn { name: name.to_owned(), sql_type, nullable: true, identity: false, computed: false };
        let body = Body::Formed { query: Box::new(inner), form, columns };
        Ok(Query { body, columns: vec![output], order: Vec::new(), offset: None, fetch: None })
    }

    /// `(SELECT … FOR XML PATH(''), TYPE).value('.', 'nvarchar(max)')`.
    pub(super) fn method(&mut self, root: &Expr, chain: &[AccessExpr]) -> SqlResult<Expression> {
        let [AccessExpr::Dot(Expr::Function(function))] = chain else {
            return Err(SqlError::syntax_near("."));
        };
        let name = function.name.to_string();
        let arguments: Vec<&str> = match &function.args {
            ast::FunctionArguments::List(list) => list.args.iter().filter_map(literal).collect(),
            _ => Vec::new(),
        };
        let (true, [path, data_type]) = (name.trim_matches(['[', ']']).eq_ignore_ascii_case("value"), &*arguments)
        else {
            return Err(SqlError::unsupported(format!("the method {name} of xml")));
        };
        let value = self.scalar(root)?;
        if value.sql_type != SqlType::Xml {
            let text = format!("Cannot call methods on {}.", value.sql_type.name());
            return Err(SqlError::new(258, 15, text));
        }
        if !WHOLE_TEXT.contains(&path.trim()) {
            return Err(SqlError::unsupported(format!("the XQuery path {path}")));
        }
        let sql_type = named_type(self.execution.state, &parse::type_name(data_type)?)?;
        let text = self.call("XML_TEXT", vec![value])?;
        Ok(Self::wrapped(text, sql_type, None, false))
    }
}

fn literal(argument: &ast::FunctionArg) -> Option<&str> {
    match argument {
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(Expr::Value(value))) => match &value.value {
            ast::Value::SingleQuotedString(text) | ast::Value::NationalStringLiteral(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}
