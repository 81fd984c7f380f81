//! What the names in an expression mean, by the kind of query they stand in.

use crate::expression::Expression;
use crate::fault::Place;
use crate::json_path::{JsonPath, Quoting};
use crate::report::QueryReport;
use crate::request::RequestLeaf;
use crate::resolve::{json_value, resolve};
use crate::spelling::suggest;
use crate::sql::syntax::{Expr, ExprKind, Name};

/// Names under which bucket parameters are known in data queries.
pub(crate) const BUCKET: [&str; 2] = ["bucket", "bucket_parameters"];
const TOKEN_PARAMETERS: &str = "token_parameters";
const USER_PARAMETERS: &str = "user_parameters";
const REQUEST: &str = "request";
const REQUEST_FUNCTIONS: [&str; 4] = ["user_id", "jwt", "parameters", "parameter"];
/// Namespaces that only streams have.
const STREAM_NAMESPACES: [&str; 3] = ["auth", "connection", "subscription"];

/// Gives a meaning to the names of one kind of expression. A name without one is reported, and `None`.
pub(crate) trait Names {
    type Leaf: Clone;

    fn column(
        &self,
        at: usize,
        qualifier: Option<&Name>,
        name: &Name,
        query: &mut QueryReport<'_, '_>,
    ) -> Option<Expression<Self::Leaf>>;

    /// A call in a namespace, as `request.user_id()`.
    fn call(
        &self,
        namespace: &Name,
        name: &Name,
        arguments: &[Expr],
        query: &mut QueryReport<'_, '_>,
    ) -> Option<Expression<Self::Leaf>>;
}

/// A column of a row, or what stands beside a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RowLeaf {
    Column {
        name: String,
        place: Place,
    },
    /// What a wildcard stood for.
    TableSuffix,
}

/// The names of a query that reads a table.
pub(crate) struct RowNames {
    /// What the query calls the table.
    pub(crate) table: String,
    /// Whether it names several tables.
    pub(crate) wildcard: bool,
}

impl RowNames {
    /// Whether the table itself has the name of a namespace of parameters, which it then hides.
    fn hides(&self, qualifier: &str) -> bool {
        self.table == qualifier
    }

    pub(crate) fn is_bucket_parameter(&self, expr: &Expr) -> bool {
        matches!(&expr.kind, ExprKind::Column { qualifier: Some(qualifier), .. }
            if BUCKET.contains(&qualifier.text.as_str()) && !self.hides(&qualifier.text))
    }

    pub(crate) fn is_request_value(&self, expr: &Expr) -> bool {
        match &expr.kind {
            ExprKind::Call { namespace: Some(_), .. } => true,
            ExprKind::Column { qualifier: Some(qualifier), .. } => {
                matches!(qualifier.text.as_str(), TOKEN_PARAMETERS | USER_PARAMETERS) && !self.hides(&qualifier.text)
            }
            _ => false,
        }
    }
}

impl Names for RowNames {
    type Leaf = RowLeaf;

    fn column(
        &self,
        at: usize,
        qualifier: Option<&Name>,
        name: &Name,
        query: &mut QueryReport<'_, '_>,
    ) -> Option<Expression<RowLeaf>> {
        if let Some(qualifier) = qualifier.filter(|qualifier| qualifier.text != self.table) {
            let (message, suggestion) = match qualifier.text.as_str() {
                namespace if BUCKET.contains(&namespace) => (
                    format!("`{namespace}.{}` has no value here", name.text),
                    Some("compare it with a column by = or IN in the WHERE of a data query".to_owned()),
                ),
                TOKEN_PARAMETERS | USER_PARAMETERS => (
                    format!("`{}.{}` has no value here", qualifier.text, name.text),
                    Some("requests are known to parameter queries only".to_owned()),
                ),
                unknown => (
                    format!("the query doesn't read `{unknown}`"),
                    Some(match suggest(unknown, [self.table.as_str(), "bucket"]) {
                        Some(suggestion) => suggestion,
                        None => format!("it reads `{}`", self.table),
                    }),
                ),
            };
            query.error(at, message, suggestion);
            return None;
        }
        if self.wildcard && name.text == "_table_suffix" {
            return Some(Expression::Leaf(RowLeaf::TableSuffix));
        }
        Some(Expression::Leaf(RowLeaf::Column { name: name.text.clone(), place: query.place(at) }))
    }

    fn call(
        &self,
        namespace: &Name,
        name: &Name,
        _arguments: &[Expr],
        query: &mut QueryReport<'_, '_>,
    ) -> Option<Expression<RowLeaf>> {
        let message = format!("`{}.{}()` has no value here", namespace.text, name.text);
        let suggestion = match namespace.text.as_str() {
            REQUEST => "requests are known to parameter queries only: select it there, and use bucket.name here",
            _ => "only request.user_id(), request.jwt(), request.parameters() and request.parameter('name') exist",
        };
        query.error(namespace.at, message, Some(suggestion.to_owned()));
        None
    }
}

/// The names of an expression about a request alone.
pub(crate) struct RequestNames;

impl Names for RequestNames {
    type Leaf = RequestLeaf;

    fn column(
        &self,
        at: usize,
        qualifier: Option<&Name>,
        name: &Name,
        query: &mut QueryReport<'_, '_>,
    ) -> Option<Expression<RequestLeaf>> {
        let document = match qualifier.map(|qualifier| qualifier.text.as_str()) {
            Some(TOKEN_PARAMETERS) => RequestLeaf::TokenParameters,
            Some(USER_PARAMETERS) => RequestLeaf::Parameters,
            Some(namespace) if BUCKET.contains(&namespace) => {
                let message = format!("`{namespace}.{}` has no value in a parameter query", name.text);
                query.error(at, message, Some("bucket parameters are used in data queries".to_owned()));
                return None;
            }
            _ => {
                let message = format!("there is no table to take `{}` from", name.text);
                query.error(at, message, Some("write a text in single quotes; name a table after FROM".to_owned()));
                return None;
            }
        };
        Some(json_value(Expression::Leaf(document), JsonPath::key(name.text.clone())))
    }

    fn call(
        &self,
        namespace: &Name,
        name: &Name,
        arguments: &[Expr],
        query: &mut QueryReport<'_, '_>,
    ) -> Option<Expression<RequestLeaf>> {
        if namespace.text != REQUEST {
            let suggestion = match STREAM_NAMESPACES.contains(&namespace.text.as_str()) {
                true => Some("it belongs to streams; bucket definitions have request.user_id(), request.jwt(), request.parameters() and request.parameter('name')".to_owned()),
                false => suggest(&namespace.text, [REQUEST]),
            };
            query.error(namespace.at, format!("there is no `{}.{}()`", namespace.text, name.text), suggestion);
            return None;
        }
        match (name.text.as_str(), arguments) {
            ("user_id", []) => Some(Expression::Leaf(RequestLeaf::UserId)),
            ("jwt", []) => Some(Expression::Leaf(RequestLeaf::Jwt)),
            ("parameters", []) => Some(Expression::Leaf(RequestLeaf::Parameters)),
            ("parameter", [key]) => {
                let key = resolve(key, self, query)?;
                Some(crate::resolve::json_lookup(Expression::Leaf(RequestLeaf::Parameters), key, Quoting::OneKey))
            }
            (known, _) if REQUEST_FUNCTIONS.contains(&known) => {
                let wanted = if known == "parameter" { "1 argument" } else { "no arguments" };
                query.error(name.at, format!("request.{known}() takes {wanted}"), None);
                None
            }
            (unknown, _) => {
                query.error(name.at, format!("there is no request.{unknown}()"), suggest(unknown, REQUEST_FUNCTIONS));
                None
            }
        }
    }
}

/// What an element of `json_each` gives, beside the request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ElementLeaf {
    Request(RequestLeaf),
    Key,
    Value,
}

/// The names of a query over `json_each`.
pub(crate) struct ElementNames {
    /// What the query calls the function's rows.
    pub(crate) alias: String,
}

impl Names for ElementNames {
    type Leaf = ElementLeaf;

    fn column(
        &self,
        at: usize,
        qualifier: Option<&Name>,
        name: &Name,
        query: &mut QueryReport<'_, '_>,
    ) -> Option<Expression<ElementLeaf>> {
        if qualifier.is_some_and(|qualifier| qualifier.text != self.alias) {
            return Some(request_part(RequestNames.column(at, qualifier, name, query)?));
        }
        match name.text.as_str() {
            "value" => Some(Expression::Leaf(ElementLeaf::Value)),
            "key" => Some(Expression::Leaf(ElementLeaf::Key)),
            unknown => {
                let suggestion = suggest(unknown, ["value", "key"]).or(Some(format!("write value AS {unknown}")));
                query.error(at, format!("json_each has no column `{unknown}`; it has `value` and `key`"), suggestion);
                None
            }
        }
    }

    fn call(
        &self,
        namespace: &Name,
        name: &Name,
        arguments: &[Expr],
        query: &mut QueryReport<'_, '_>,
    ) -> Option<Expression<ElementLeaf>> {
        Some(request_part(RequestNames.call(namespace, name, arguments, query)?))
    }
}

fn request_part(expression: Expression<RequestLeaf>) -> Expression<ElementLeaf> {
    expression.map(&mut |leaf| Expression::Leaf(ElementLeaf::Request(*leaf)))
}
