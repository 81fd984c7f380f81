//! From syntax to expressions that can be evaluated.

use crate::expression::{Expression, JsonOperand};
use crate::function::{Found, Function, ValueFunction};
use crate::json;
use crate::json_path::{JsonPath, Quoting};
use crate::names::Names;
use crate::report::QueryReport;
use crate::spelling::suggest;
use crate::sql::syntax::{Expr, ExprKind, JsonResult, Name};
use crate::value::Value;

/// Resolves an expression. Everything wrong with it is reported, not the first thing only; it is then `None`.
pub(crate) fn resolve<N: Names>(
    expr: &Expr,
    names: &N,
    query: &mut QueryReport<'_, '_>,
) -> Option<Expression<N::Leaf>> {
    Some(match &expr.kind {
        ExprKind::Null => Expression::Literal(Value::Null),
        ExprKind::Integer(value) => Expression::Literal(Value::Int(*value)),
        ExprKind::Real(value) => Expression::Literal(Value::Real(*value)),
        ExprKind::Text(text) => Expression::Literal(Value::text(text.as_str())),
        ExprKind::Column { qualifier, name } => names.column(expr.at, qualifier.as_ref(), name, query)?,
        ExprKind::Call { namespace: Some(namespace), name, arguments } => {
            names.call(namespace, name, arguments, query)?
        }
        ExprKind::Call { namespace: None, name, arguments } => call(name, arguments, names, query)?,
        ExprKind::Unary(operator, part) => Expression::Unary(*operator, Box::new(resolve(part, names, query)?)),
        ExprKind::Binary(operator, left, right) => {
            let (left, right) = (resolve(left, names, query), resolve(right, names, query));
            Expression::Binary(*operator, Box::new(left?), Box::new(right?))
        }
        ExprKind::Json { result, document, path } => {
            let (document, path) = (resolve(document, names, query), resolve(path, names, query));
            let quoting = query.quoting;
            let document = Box::new(document?);
            Expression::Json { result: *result, quoting, document, path: operand(path?, quoting) }
        }
        ExprKind::In { negated, needle, array } => {
            let (needle, resolved) = (resolve(needle, names, query), resolve(array, names, query));
            membership(*negated, needle?, resolved?, array.at, query)?
        }
        ExprKind::Cast(part, to) => Expression::Cast(Box::new(resolve(part, names, query)?), *to),
        ExprKind::And(parts) => Expression::And(resolve_all(parts, names, query)?),
        ExprKind::Or(parts) => Expression::Or(resolve_all(parts, names, query)?),
    })
}

/// Resolves all of a list, so that all faults are reported.
pub(crate) fn resolve_all<N: Names>(
    parts: &[Expr],
    names: &N,
    query: &mut QueryReport<'_, '_>,
) -> Option<Vec<Expression<N::Leaf>>> {
    let resolved: Vec<_> = parts.iter().map(|part| resolve(part, names, query)).collect();
    resolved.into_iter().collect()
}

/// Whether an expression calls a function that there isn't.
pub(crate) fn is_unknown_call(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Call { namespace: None, name, arguments } => {
            matches!(Function::find(&name.text, arguments.len()), Found::Unknown)
        }
        _ => false,
    }
}

fn call<N: Names>(
    name: &Name,
    arguments: &[Expr],
    names: &N,
    query: &mut QueryReport<'_, '_>,
) -> Option<Expression<N::Leaf>> {
    let resolved = resolve_all(arguments, names, query);
    let function = match Function::find(&name.text, arguments.len()) {
        Found::Function(function) => function,
        Found::WrongCount { wanted } => {
            query.error(name.at, format!("{}() takes {wanted}, not {}", name.text, arguments.len()), None);
            return None;
        }
        Found::Unknown => {
            let suggestion = match name.text.as_str() {
                "coalesce" | "nvl" => Some("use ifnull(x, y)".to_owned()),
                "if" => Some("use iif(condition, then, else)".to_owned()),
                "concat" => Some("use x || y".to_owned()),
                "json_each" => Some("json_each stands after FROM".to_owned()),
                unknown => suggest(unknown, Function::names()).or_else(|| {
                    let names: Vec<_> = Function::names().collect();
                    Some(format!("the functions are {}", names.join(", ")))
                }),
            };
            query.error(name.at, format!("there is no function `{}`", name.text), suggestion);
            return None;
        }
    };
    let resolved = resolved?;
    if let (Function::Of(ValueFunction::JsonExtract), Some(Expression::Literal(path)), Some(written)) =
        (function, resolved.get(1), arguments.get(1))
        && path.to_text().is_some_and(|path| JsonPath::of_extract(&path).is_err())
    {
        query.error(
            written.at,
            "a JSON path starts with `$` and goes on with `.key` or `[index]`",
            Some("write '$.key', or use json ->> 'key'".to_owned()),
        );
        return None;
    }
    Some(Expression::Call(function, resolved))
}

/// `needle IN array`; an array that is known beforehand is read once.
fn membership<L>(
    negated: bool,
    needle: Expression<L>,
    array: Expression<L>,
    array_at: usize,
    query: &mut QueryReport<'_, '_>,
) -> Option<Expression<L>> {
    let needle = Box::new(needle);
    let Expression::Literal(literal) = array else {
        return Some(Expression::In { negated, needle, array: Box::new(array) });
    };
    match json::array_values(&literal) {
        Ok(Some(list)) => Some(Expression::InList { negated, needle, list }),
        Ok(None) => Some(Expression::Literal(Value::Null)),
        Err(_) => {
            let example = parameter_example(&literal);
            query.error(array_at, "IN takes a JSON array", Some(format!("write IN '{example}'")));
            None
        }
    }
}

/// The array of one element that a value was probably meant as.
fn parameter_example(value: &Value<'_>) -> String {
    json::parameter_array([value]).replace('\'', "''")
}

/// A path that is known beforehand is read once.
fn operand<L>(right: Expression<L>, quoting: Quoting) -> JsonOperand<L> {
    if let Expression::Literal(literal) = &right
        && let Ok(Some(path)) = JsonPath::of_operand(literal, quoting)
    {
        return JsonOperand::Path(path);
    }
    JsonOperand::Computed(Box::new(right))
}

/// `document ->> path` for a path that is known.
pub(crate) fn json_value<L>(document: Expression<L>, path: JsonPath) -> Expression<L> {
    let path = JsonOperand::Path(path);
    Expression::Json { result: JsonResult::Value, quoting: Quoting::OneKey, document: Box::new(document), path }
}

/// `document ->> key` for any key.
pub(crate) fn json_lookup<L>(document: Expression<L>, key: Expression<L>, quoting: Quoting) -> Expression<L> {
    let path = operand(key, quoting);
    Expression::Json { result: JsonResult::Value, quoting, document: Box::new(document), path }
}
