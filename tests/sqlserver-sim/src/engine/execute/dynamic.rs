//! Texts that run as batches of their own: `EXEC('…')` and `sp_executesql`.

use sqlparser::ast::Expr;

use crate::error::{SqlError, SqlResult};
use crate::value::Value;
use crate::value::collation::folded;
use crate::value::convert;

use super::super::bind::named_type;
use super::super::module as modules;
use super::super::parse;
use super::super::session::OutputSink;
use super::super::state::{Execution, Variables};
use super::super::statement::{ModuleKind, ModuleParameter};
use super::procedure::{Answer, Given, matched, nested, table_argument};
use super::{Next, check_batch, value_of};

/// `EXEC('…')`.
pub fn execute_text(execution: &mut Execution<'_>, text: &Expr, out: &mut OutputSink<'_>) -> SqlResult<()> {
    let (value, _) = value_of(execution, text)?;
    let text = value.as_text().unwrap_or_default().to_owned();
    inner_batch(execution, &text, Variables::default(), out).map(|_| ())
}

/// Runs a text as a batch of its own, with variables of its own.
fn inner_batch(
    execution: &mut Execution<'_>,
    text: &str,
    variables: Variables,
    out: &mut OutputSink<'_>,
) -> SqlResult<(Next, Variables)> {
    let statements = parse::batch(text)?;
    let own = std::mem::replace(&mut execution.variables, variables);
    let checked = check_batch(execution, &statements);
    let variables = std::mem::replace(&mut execution.variables, own);
    checked?;
    nested(execution, None, variables, &statements, out)
}

fn text_of(given: Option<&Given>) -> String {
    given.and_then(|given| given.value.as_ref()).and_then(|(value, _)| value.as_text()).unwrap_or_default().to_owned()
}

/// `EXEC sp_executesql N'…', N'@a int, @b int OUTPUT', @a = 1, @b = @c OUTPUT`.
pub fn sp_executesql(execution: &mut Execution<'_>, given: Vec<Given>, out: &mut OutputSink<'_>) -> SqlResult<Answer> {
    let text = text_of(given.first());
    let declared = declared_parameters(&text_of(given.get(1)))?;
    let names: Vec<String> = declared.iter().map(|parameter| parameter.name.clone()).collect();
    let rest = given.get(2..).unwrap_or_default();
    let arguments = matched("sp_executesql", &names, rest)?;
    let mut variables = Variables::default();
    let mut outputs = Vec::new();
    for (at, (parameter, argument)) in declared.iter().zip(arguments).enumerate() {
        if parameter.read_only {
            let own = table_argument(execution, "sp_executesql", parameter, argument)?;
            variables.tables.insert(folded(&parameter.name), own);
            variables.read_only.insert(folded(&parameter.name));
            continue;
        }
        let sql_type = named_type(execution.state, &parameter.data_type)?;
        let value = match argument.and_then(|argument| argument.value.as_ref()) {
            Some((value, from)) => convert::convert(value, *from, sql_type, None)?,
            None => {
                let text = format!(
                    "The parameterized query '{text}' expects the parameter '{}', which was not supplied.",
                    parameter.name
                );
                return Err(SqlError::new(8178, 16, text));
            }
        };
        variables.declare(&parameter.name, sql_type, value);
        if parameter.output {
            let positional = argument.is_some_and(|argument| argument.name.is_none());
            let name = if positional { format!("#{}", at + 2) } else { parameter.name.clone() };
            outputs.push((name, parameter.name.clone(), sql_type));
        }
    }
    let (next, variables) = inner_batch(execution, &text, variables, out)?;
    let outputs = outputs.into_iter().map(|(name, own, sql_type)| {
        let value = variables
            .find(&own)
            .and_then(|slot| variables.get(slot))
            .map_or(Value::Null, |variable| variable.value.clone());
        (name, sql_type, value)
    });
    Ok(Answer { status: if let Next::Return(status) = next { status } else { 0 }, outputs: outputs.collect() })
}

/// The parameters that a text declares: `@a int, @b nvarchar(10) = N'x' OUTPUT`.
fn declared_parameters(text: &str) -> SqlResult<Vec<ModuleParameter>> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    match modules::read(&format!("CREATE PROCEDURE p {text} AS RETURN"))?.kind {
        ModuleKind::Procedure { parameters, .. } => Ok(parameters),
        _ => Err(SqlError::syntax_near(text)),
    }
}
