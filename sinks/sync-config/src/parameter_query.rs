//! Parameter queries: which buckets a request may read.

use crate::data_query::{keep_first, name_of, output_name, read_table};
use crate::expression::{EvaluationError, Expression};
use crate::fault::Place;
use crate::filter::{MatchKind, Parameters, branches};
use crate::json;
use crate::names::{ElementLeaf, ElementNames, Names, RequestNames, RowLeaf, RowNames};
use crate::report::QueryReport;
use crate::request::{ElementScope, Request, RequestLeaf};
use crate::resolve::resolve;
use crate::rows::{Binder, BoundColumn, RowBranch, RowScope, SlotValue};
use crate::sql::syntax::{Expr, ExprKind, From, Name, Select, SelectItem};
use crate::table_name::TableReference;
use crate::value::Value;

/// The column of a parameter query that sets a priority.
const PRIORITY: &str = "_priority";

/// A parameter query.
#[derive(Debug, Clone)]
pub(crate) struct ParameterQuery {
    pub(crate) place: Place,
    /// What it calls the parameters, in its order.
    pub(crate) names: Vec<String>,
    pub(crate) priority: Option<u8>,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    /// About the request alone.
    Static {
        condition: Option<Expression<RequestLeaf>>,
        outputs: Vec<Expression<RequestLeaf>>,
    },
    /// Over the elements of an array in the request.
    Each {
        array: Expression<RequestLeaf>,
        condition: Option<Expression<ElementLeaf>>,
        outputs: Vec<Expression<ElementLeaf>>,
    },
    Table(TableQuery),
}

/// A query over rows, which are filed under what a request must bring to find them.
#[derive(Debug, Clone)]
pub(crate) struct TableQuery {
    pub(crate) table: TableReference,
    branches: Vec<RowBranch<RowLeaf>>,
    /// What of the request is looked up, in the order of the slots.
    lookups: Vec<Lookup>,
    /// What else is asked of the request.
    conditions: Vec<Expression<RequestLeaf>>,
    outputs: Vec<TableOutput>,
}

#[derive(Debug, Clone)]
struct Lookup {
    value: Expression<RequestLeaf>,
    /// Whether the value is an array, each of whose elements is looked up.
    each: bool,
}

#[derive(Debug, Clone)]
enum TableOutput {
    Row(Expression<RowLeaf>),
    Request(Expression<RequestLeaf>),
}

impl ParameterQuery {
    /// The query of a definition that has none: everybody gets its one bucket.
    pub(crate) fn everybody(place: Place) -> Self {
        let kind = Kind::Static { condition: None, outputs: Vec::new() };
        Self { place, names: Vec::new(), priority: None, kind }
    }

    /// Checks a query; `None` if anything is wrong, which is reported.
    pub(crate) fn new(select: &Select, query: &mut QueryReport<'_, '_>) -> Option<Self> {
        let items = items(select, query);
        let kind = match &select.from {
            None => {
                let condition = condition(select, &RequestNames, query);
                let outputs = outputs(&items.values, &RequestNames, query);
                Kind::Static { condition: condition?, outputs: outputs? }
            }
            Some(From::Call { name, arguments, alias }) => each(select, &items, name, arguments, alias, query)?,
            Some(From::Table { .. }) => Kind::Table(table(select, &items, query)?),
        };
        let place = query.place(select.at);
        items.sound.then_some(Self { place, names: items.names, priority: items.priority, kind })
    }

    pub(crate) fn table(&self) -> Option<&TableQuery> {
        match &self.kind {
            Kind::Table(table) => Some(table),
            Kind::Static { .. } | Kind::Each { .. } => None,
        }
    }

    /// Calls `found` with each set of parameters, in the query's order, that the request has.
    ///
    /// `look_up` gives the outputs of all rows filed under a lookup, as JSON arrays.
    pub(crate) fn parameters(
        &self,
        request: &Request,
        look_up: &mut dyn FnMut(&str) -> Vec<String>,
        found: &mut dyn FnMut(Vec<Value<'static>>),
    ) -> Result<(), EvaluationError> {
        match &self.kind {
            Kind::Static { condition, outputs } => {
                if holds(condition.as_ref(), request)? {
                    let values = outputs.iter().map(|output| Ok(output.evaluate(request)?.into_owned()));
                    emit(values.collect::<Result<_, _>>()?, found);
                }
                Ok(())
            }
            Kind::Each { array, condition, outputs } => {
                for (key, value) in elements(&array.evaluate(request)?)? {
                    let scope = ElementScope { request, key, value };
                    if holds(condition.as_ref(), &scope)? {
                        let values = outputs.iter().map(|output| Ok(output.evaluate(&scope)?.into_owned()));
                        emit(values.collect::<Result<_, _>>()?, found);
                    }
                }
                Ok(())
            }
            Kind::Table(table) => table.parameters(request, look_up, found),
        }
    }
}

/// A set of parameters counts only if every one of them can be a bucket's.
fn emit(values: Vec<Value<'static>>, found: &mut dyn FnMut(Vec<Value<'static>>)) {
    if values.iter().all(json::is_parameter) {
        found(values);
    }
}

fn holds<L, S: crate::expression::Scope<L>>(
    condition: Option<&Expression<L>>,
    scope: &S,
) -> Result<bool, EvaluationError> {
    condition.map_or(Ok(true), |condition| Ok(condition.evaluate(scope)?.is_true()))
}

/// What `json_each` walks over: the elements of an array, the entries of an object, or one value.
fn elements(value: &Value<'_>) -> Result<Vec<(Value<'static>, Value<'static>)>, EvaluationError> {
    use serde_json::Value as Json;
    let Some(text) = value.to_text() else { return Ok(Vec::new()) };
    Ok(match json::parse(&text)? {
        Json::Array(items) => {
            let keys = (0..).map(Value::Int);
            keys.zip(items.iter().map(json::element_value)).collect()
        }
        Json::Object(entries) => {
            entries.iter().map(|(key, value)| (Value::text(key.as_str()), json::element_value(value))).collect()
        }
        Json::Null => Vec::new(),
        single => vec![(Value::Null, json::element_value(&single))],
    })
}

/// What a query calls the parameters, whatever else may be wrong with it; `None` if it doesn't say of each.
pub(crate) fn parameter_names(select: &Select) -> Option<Vec<String>> {
    let names = select.columns.iter().map(|item| match item {
        SelectItem::Star { .. } => None,
        SelectItem::Expression { expr, alias } => name_of(expr, alias.as_ref()),
    });
    let mut names: Vec<String> = names.map(|name| name.map(str::to_owned)).collect::<Option<_>>()?;
    names.retain(|name| name != PRIORITY);
    keep_first(&mut names);
    Some(names)
}

/// A query's select list, as far as it is sound.
struct Items<'s> {
    sound: bool,
    names: Vec<String>,
    values: Vec<&'s Expr>,
    priority: Option<u8>,
}

fn items<'s>(select: &'s Select, query: &mut QueryReport<'_, '_>) -> Items<'s> {
    let mut items = Items { sound: true, names: Vec::new(), values: Vec::new(), priority: None };
    for item in &select.columns {
        let (expr, alias) = match item {
            SelectItem::Star { at, .. } => {
                let suggestion = Some("name each parameter".to_owned());
                query.error(*at, "a parameter query can't select `*`", suggestion);
                items.sound = false;
                continue;
            }
            SelectItem::Expression { expr, alias } => (expr, alias.as_ref()),
        };
        let Some(name) = output_name(expr, alias, query) else {
            items.sound = false;
            continue;
        };
        if name == PRIORITY {
            match expr.kind {
                ExprKind::Integer(priority @ 0..=3) => items.priority = Some(priority as u8),
                _ => {
                    query.error(expr.at, "_priority must be one of 0, 1, 2 and 3, written as a number", None);
                    items.sound = false;
                }
            }
            continue;
        }
        if items.names.contains(&name) {
            query.error(expr.at, format!("the parameter `{name}` is selected twice"), None);
            items.sound = false;
        }
        items.names.push(name);
        items.values.push(expr);
    }
    items
}

fn condition<N: Names>(
    select: &Select,
    names: &N,
    query: &mut QueryReport<'_, '_>,
) -> Option<Option<Expression<N::Leaf>>> {
    match &select.filter {
        Some(filter) => Some(Some(resolve(filter, names, query)?)),
        None => Some(None),
    }
}

fn outputs<N: Names>(values: &[&Expr], names: &N, query: &mut QueryReport<'_, '_>) -> Option<Vec<Expression<N::Leaf>>> {
    let resolved: Vec<_> = values.iter().map(|value| resolve(value, names, query)).collect();
    resolved.into_iter().collect()
}

fn each(
    select: &Select,
    items: &Items<'_>,
    name: &Name,
    arguments: &[Expr],
    alias: &Option<Name>,
    query: &mut QueryReport<'_, '_>,
) -> Option<Kind> {
    if name.text != "json_each" {
        let message = format!("there is no table-valued function `{}`", name.text);
        query.error(name.at, message, Some("use json_each(a JSON array of the request)".to_owned()));
        return None;
    }
    let [array] = arguments else {
        query.error(name.at, "json_each() takes 1 argument", None);
        return None;
    };
    let alias = alias.as_ref().unwrap_or(name).text.clone();
    let names = ElementNames { alias };
    let array = resolve(array, &RequestNames, query);
    let condition = condition(select, &names, query);
    let outputs = outputs(&items.values, &names, query);
    Some(Kind::Each { array: array?, condition: condition?, outputs: outputs? })
}

fn table(select: &Select, items: &Items<'_>, query: &mut QueryReport<'_, '_>) -> Option<TableQuery> {
    if let Some(From::Table { alias: Some(alias), .. }) = &select.from {
        let suggestion = Some(format!("remove `{}` and use the table's own name", alias.text));
        query.error(alias.at, "a parameter query can't give its table another name", suggestion);
        return None;
    }
    let (table, _, names) = read_table(select, query)?;
    let outputs: Vec<_> = items.values.iter().map(|value| table_output(value, &names, query)).collect();
    let outputs: Option<Vec<_>> = outputs.into_iter().collect();
    let cut = branches(select.filter.as_ref(), Parameters::Request, &names, query)?;
    let first = cut.first()?;
    // All branches use the same of the request, which the cutting has seen to.
    let mut keys: Vec<String> = Vec::new();
    let mut lookups = Vec::new();
    for found in &first.matches {
        let key = found.key();
        if !keys.contains(&key) {
            keys.push(key);
            let value = resolve(&found.parameter, &RequestNames, query);
            lookups.push(value.map(|value| Lookup { value, each: found.kind == MatchKind::InParameter }));
        }
    }
    let conditions: Vec<_> = first.request.iter().map(|part| resolve(part, &RequestNames, query)).collect();
    let mut resolved = Vec::new();
    for branch in &cut {
        let row: Vec<_> = branch.row.iter().map(|condition| resolve(condition, &names, query)).collect();
        let slots: Vec<_> = branch
            .matches
            .iter()
            .map(|found| {
                let value = resolve(&found.row, &names, query)?;
                let slot = keys.iter().position(|key| *key == found.key())?;
                Some(SlotValue { slot, value, each: found.kind == MatchKind::InRow })
            })
            .collect();
        resolved.push((row.into_iter().collect::<Option<Vec<_>>>(), slots.into_iter().collect::<Option<Vec<_>>>()));
    }
    let branches = resolved
        .into_iter()
        .map(|(conditions, slots)| Some(RowBranch { conditions: conditions?, slots: slots? }))
        .collect::<Option<Vec<_>>>();
    Some(TableQuery {
        table,
        branches: branches?,
        lookups: lookups.into_iter().collect::<Option<_>>()?,
        conditions: conditions.into_iter().collect::<Option<_>>()?,
        outputs: outputs?,
    })
}

fn table_output(value: &Expr, names: &RowNames, query: &mut QueryReport<'_, '_>) -> Option<TableOutput> {
    let of_request = value.any(&mut |part| names.is_request_value(part));
    let of_row = value.any(&mut |part| matches!(part.kind, ExprKind::Column { .. }) && !names.is_request_value(part));
    match (of_request, of_row) {
        (true, true) => {
            let suggestion = Some("select both, as two parameters".to_owned());
            query.error(value.at, "a parameter comes from the row or from the request, not from both", suggestion);
            None
        }
        (true, false) => Some(TableOutput::Request(resolve(value, &RequestNames, query)?)),
        (false, _) => Some(TableOutput::Row(resolve(value, names, query)?)),
    }
}

impl TableQuery {
    /// Prepares the query for one table's rows.
    pub(crate) fn bind(&self, mut binder: Binder<'_>) -> BoundTableQuery {
        let branches = self.branches.iter().map(|branch| branch.bind(&mut binder)).collect();
        let outputs = self.outputs.iter().filter_map(|output| match output {
            TableOutput::Row(value) => Some(binder.expression(value)),
            TableOutput::Request(_) => None,
        });
        BoundTableQuery { outputs: outputs.collect(), branches, slots: self.lookups.len() }
    }

    fn parameters(
        &self,
        request: &Request,
        look_up: &mut dyn FnMut(&str) -> Vec<String>,
        found: &mut dyn FnMut(Vec<Value<'static>>),
    ) -> Result<(), EvaluationError> {
        for condition in &self.conditions {
            if !condition.evaluate(request)?.is_true() {
                return Ok(());
            }
        }
        for lookup in self.lookups(request)? {
            for output in look_up(&lookup) {
                let mut of_row = json::array_values(&Value::text(output))?.unwrap_or_default().into_iter();
                let values = self.outputs.iter().map(|output| match output {
                    TableOutput::Row(_) => Ok(of_row.next().unwrap_or(Value::Null)),
                    TableOutput::Request(value) => Ok(value.evaluate(request)?.into_owned()),
                });
                emit(values.collect::<Result<_, EvaluationError>>()?, found);
            }
        }
        Ok(())
    }

    /// The lookups that the request asks for, as JSON arrays. More than one if an array of the request is looked up;
    /// none if a value is missing.
    fn lookups(&self, request: &Request) -> Result<Vec<String>, EvaluationError> {
        let mut combinations: Vec<Vec<Value<'static>>> = vec![Vec::new()];
        for Lookup { value, each } in &self.lookups {
            let value = value.evaluate(request)?;
            let mut values = match each {
                true => json::array_values(&value)?.unwrap_or_default(),
                false => vec![value.into_owned()],
            };
            values.retain(json::is_parameter);
            // At most one of the lookups is an array, so this doesn't multiply.
            combinations = combinations
                .iter()
                .flat_map(|combination| {
                    values.iter().map(move |value| combination.iter().chain(Some(value)).cloned().collect())
                })
                .collect();
        }
        let mut lookups: Vec<String> = combinations.iter().map(json::parameter_array).collect();
        lookups.sort_unstable();
        lookups.dedup();
        Ok(lookups)
    }
}

/// A table's parameter query, for the rows of one table at one schema.
#[derive(Debug)]
pub(crate) struct BoundTableQuery {
    branches: Vec<RowBranch<BoundColumn>>,
    slots: usize,
    outputs: Vec<Expression<BoundColumn>>,
}

impl BoundTableQuery {
    /// Calls `found` with each lookup that leads to the row, once, and with what it leads to, both as JSON arrays.
    pub(crate) fn lookups(
        &self,
        scope: &RowScope<'_>,
        found: &mut dyn FnMut(String, &str),
    ) -> Result<(), EvaluationError> {
        let mut lookups: Vec<String> = Vec::new();
        for branch in &self.branches {
            branch.assignments(scope, self.slots, &mut |values| {
                lookups.push(json::parameter_array(values));
            })?;
        }
        keep_first(&mut lookups);
        if lookups.is_empty() {
            return Ok(());
        }
        let outputs = self.outputs.iter().map(|output| output.evaluate(scope)).collect::<Result<Vec<_>, _>>()?;
        // A bucket without a value for a parameter holds nothing.
        if outputs.iter().all(json::is_parameter) {
            let output = json::parameter_array(&outputs);
            lookups.into_iter().for_each(|lookup| found(lookup, &output));
        }
        Ok(())
    }
}
