//! Data queries: which rows belong to which buckets, and what they look like there.

use std::collections::HashSet;
use std::sync::Arc;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::expression::{EvaluationError, Expression};
use crate::fault::{Fault, Place, Severity};
use crate::filter::{Branch, Parameters, branches};
use crate::json;
use crate::names::{BUCKET, RowLeaf, RowNames};
use crate::report::QueryReport;
use crate::resolve::{resolve, resolve_all};
use crate::rows::{Binder, BoundColumn, RowBranch, RowScope, SlotValue, id_text};
use crate::spelling::suggest;
use crate::sql::syntax::{Expr, ExprKind, From, Name, Select, SelectItem};
use crate::table_name::TableReference;
use crate::value::Value;

/// A data query.
#[derive(Debug, Clone)]
pub(crate) struct DataQuery {
    pub(crate) place: Place,
    pub(crate) table: TableReference,
    /// What the rows are called in buckets, if not by the table's name.
    alias: Option<String>,
    columns: Vec<OutputColumn>,
    branches: Vec<RowBranch<RowLeaf>>,
}

#[derive(Debug, Clone)]
enum OutputColumn {
    Star,
    Named { name: String, value: Expression<RowLeaf> },
}

impl DataQuery {
    /// Checks a query over the bucket parameters `parameters`; `None` if anything is wrong, which is reported. Where
    /// the parameters aren't known, as their queries are at fault, everything else is checked.
    pub(crate) fn new(select: &Select, parameters: Option<&[String]>, query: &mut QueryReport<'_, '_>) -> Option<Self> {
        let (table, alias, names) = read_table(select, query)?;
        let columns = output_columns(select, &names, query);
        let branches = branches(select.filter.as_ref(), Parameters::Bucket, &names, query);
        let branches = branches.and_then(|branches| {
            let resolved: Vec<_> =
                branches.iter().map(|branch| resolve_branch(branch, select, parameters, &names, query)).collect();
            resolved.into_iter().collect::<Option<Vec<_>>>()
        });
        Some(Self { place: query.place(select.at), table, alias, columns: columns?, branches: branches? })
    }

    /// Prepares the query for one table's rows.
    pub(crate) fn bind(&self, prefix: Arc<str>, slots: usize, mut binder: Binder<'_>) -> BoundDataQuery {
        let branches = self.branches.iter().map(|branch| branch.bind(&mut binder)).collect();
        let object_type = self.alias.as_deref().unwrap_or(&binder.schema.table.name).into();
        let fields = self.fields(&mut binder);
        BoundDataQuery { prefix, slots, branches, object_type, fields }
    }

    /// The output's fields in order. `*` gives all columns but those that begin with `_`; of two sources of one field
    /// the later one counts, but `*` replaces nothing that has a value.
    fn fields(&self, binder: &mut Binder<'_>) -> Vec<Field> {
        let mut fields: Vec<Field> = Vec::new();
        for column in &self.columns {
            match column {
                OutputColumn::Named { name, value } => {
                    let value = binder.expression(value);
                    match fields.iter_mut().find(|field| field.name == *name) {
                        Some(field) => *field = Field::new(name, Some(value), None),
                        None => fields.push(Field::new(name, Some(value), None)),
                    }
                }
                OutputColumn::Star => {
                    for (index, column) in binder.schema.columns.iter().enumerate() {
                        if column.name.starts_with('_') {
                            continue;
                        }
                        let source = binder.column(index);
                        match fields.iter_mut().find(|field| field.name == column.name) {
                            Some(field) => field.otherwise = field.otherwise.or(Some(source)),
                            None => fields.push(Field::new(&column.name, None, Some(source))),
                        }
                    }
                }
            }
        }
        if !fields.iter().any(|field| field.is_id) {
            binder.faults.push(Fault {
                file: binder.file.to_owned(),
                line: self.place.line,
                column: self.place.column,
                message: format!("the table {} has no column `id`, so that all its rows are one", binder.schema.table),
                suggestion: Some("select what names a row AS id".to_owned()),
                severity: Severity::Warning,
            });
        }
        fields
    }
}

/// Checks the query of an event definition: it reads a table, and knows neither buckets nor requests.
pub(crate) fn check_event(select: &Select, query: &mut QueryReport<'_, '_>) -> Option<()> {
    let (_, _, names) = read_table(select, query)?;
    let resolved: Vec<_> = select.expressions().map(|expr| resolve(expr, &names, query)).collect();
    resolved.into_iter().collect::<Option<Vec<_>>>().map(|_| ())
}

/// The table that a query reads, its alias, and the names that its expressions may use.
pub(crate) fn read_table(
    select: &Select,
    query: &mut QueryReport<'_, '_>,
) -> Option<(TableReference, Option<String>, RowNames)> {
    let (path, alias) = match &select.from {
        Some(From::Table { path, alias }) => (path, alias),
        Some(From::Call { name, .. }) => {
            let message = format!("{}() can't stand here; data queries read tables", name.text);
            query.error(name.at, message, None);
            return None;
        }
        None => {
            query.error(select.at, "the query reads no table", Some("add FROM and a table".to_owned()));
            return None;
        }
    };
    let table = TableReference::new(path, query)?;
    let alias = alias.as_ref().map(|alias| alias.text.clone());
    let name = alias.clone().unwrap_or_else(|| table.table().to_owned());
    let names = RowNames { table: name, wildcard: table.is_wildcard() };
    Some((table, alias, names))
}

fn output_columns(select: &Select, names: &RowNames, query: &mut QueryReport<'_, '_>) -> Option<Vec<OutputColumn>> {
    let columns: Vec<Option<OutputColumn>> = select
        .columns
        .iter()
        .map(|item| match item {
            SelectItem::Star { qualifier, .. } => {
                star_qualifier(qualifier.as_ref(), names, query).then_some(OutputColumn::Star)
            }
            SelectItem::Expression { expr, alias } => {
                let name = output_name(expr, alias.as_ref(), query);
                let value = resolve(expr, names, query);
                Some(OutputColumn::Named { name: name?, value: value? })
            }
        })
        .collect();
    let has_id = select.columns.iter().any(|item| match item {
        SelectItem::Star { .. } => true,
        SelectItem::Expression { expr, alias } => name_of(expr, alias.as_ref()).is_none_or(|name| name == "id"),
    });
    if !has_id {
        let suggestion = Some("select what names a row AS id".to_owned());
        query.error(select.at, "the query selects no `id`", suggestion);
        return None;
    }
    columns.into_iter().collect()
}

fn star_qualifier(qualifier: Option<&Name>, names: &RowNames, query: &mut QueryReport<'_, '_>) -> bool {
    match qualifier {
        Some(qualifier) if qualifier.text != names.table => {
            let suggestion = format!("it reads `{}`", names.table);
            query.error(qualifier.at, format!("the query doesn't read `{}`", qualifier.text), Some(suggestion));
            false
        }
        _ => true,
    }
}

pub(crate) fn name_of<'e>(expr: &'e Expr, alias: Option<&'e Name>) -> Option<&'e str> {
    match (alias, &expr.kind) {
        (Some(alias), _) => Some(&alias.text),
        (None, ExprKind::Column { name, .. }) => Some(&name.text),
        (None, _) => None,
    }
}

/// What a select item is called in the output.
pub(crate) fn output_name(expr: &Expr, alias: Option<&Name>, query: &mut QueryReport<'_, '_>) -> Option<String> {
    let name = name_of(expr, alias);
    // What can't be read at all needs no name first.
    if name.is_none() && !crate::resolve::is_unknown_call(expr) {
        query.error(expr.at, "an expression needs a name", Some("write AS and a name after it".to_owned()));
    }
    name.map(str::to_owned)
}

fn resolve_branch(
    branch: &Branch,
    select: &Select,
    parameters: Option<&[String]>,
    names: &RowNames,
    query: &mut QueryReport<'_, '_>,
) -> Option<RowBranch<RowLeaf>> {
    let conditions = resolve_all(&branch.row, names, query);
    let mut slots = Vec::new();
    let mut sound = true;
    for found in &branch.matches {
        let ExprKind::Column { name, .. } = &found.parameter.kind else { continue };
        let value = resolve(&found.row, names, query);
        let each = found.kind == crate::filter::MatchKind::InRow;
        let slot = match parameters {
            Some(parameters) => parameters.iter().position(|parameter| *parameter == name.text),
            None => Some(0),
        };
        match (slot, value) {
            (Some(slot), Some(value)) => slots.push(SlotValue { slot, value, each }),
            (Some(_), None) => sound = false,
            (None, _) => {
                let parameters = parameters.unwrap_or_default();
                let suggestion = match parameters {
                    [] => Some("the definition has no parameters; select them in `parameters`".to_owned()),
                    _ => suggest(&name.text, parameters.iter().map(String::as_str))
                        .or(Some(format!("the definition's parameters are {}", parameters.join(", ")))),
                };
                query.error(name.at, format!("there is no bucket parameter `{}`", name.text), suggestion);
                sound = false;
            }
        }
    }
    // What isn't sound may be the very use of a parameter that would be missed below.
    let conditions = conditions.filter(|_| sound)?;
    let parameters = parameters.unwrap_or_default();
    let missing: Vec<String> = (0..parameters.len())
        .filter(|slot| !slots.iter().any(|value| value.slot == *slot))
        .filter_map(|slot| parameters.get(slot).map(|name| format!("{}.{name}", BUCKET[0])))
        .collect();
    if !missing.is_empty() {
        let at = select.filter.as_ref().map_or(select.at, |filter| filter.at);
        query.error(
            at,
            format!("the query must use every bucket parameter; it lacks {}", missing.join(", ")),
            Some(format!("add {} = a column to its WHERE", missing.join(" and "))),
        );
        return None;
    }
    Some(RowBranch { conditions, slots })
}

/// A data query for the rows of one table, at one schema.
#[derive(Debug)]
pub(crate) struct BoundDataQuery {
    /// The bucket's name up to the parameters: `by_user[`.
    prefix: Arc<str>,
    /// How many parameters the bucket has.
    slots: usize,
    branches: Vec<RowBranch<BoundColumn>>,
    object_type: Arc<str>,
    fields: Vec<Field>,
}

/// One field of the output.
#[derive(Debug)]
struct Field {
    name: String,
    is_id: bool,
    /// `"name":`
    key: String,
    seed: u64,
    value: Option<Expression<BoundColumn>>,
    /// The column that counts if there is no value, or if it is NULL.
    otherwise: Option<BoundColumn>,
}

impl Field {
    fn new(name: &str, value: Option<Expression<BoundColumn>>, otherwise: Option<BoundColumn>) -> Self {
        let mut key = String::new();
        json::write_text(&mut key, name);
        key.push(':');
        Self { name: name.to_owned(), is_id: name == "id", seed: xxh3_64(key.as_bytes()), key, value, otherwise }
    }

    fn evaluate<'s>(&'s self, scope: &'s RowScope<'_>) -> Result<Value<'s>, EvaluationError> {
        use crate::expression::Scope;
        match (&self.value, &self.otherwise) {
            (None, Some(column)) => Ok(scope.value(column)),
            (Some(value), None) => value.evaluate(scope),
            (Some(value), Some(column)) => match value.evaluate(scope)? {
                Value::Null => Ok(scope.value(column)),
                value => Ok(value),
            },
            (None, None) => Ok(Value::Null),
        }
    }
}

/// Removes all but the first of equal texts. Arrays can give any number, so they aren't compared two by two.
pub(crate) fn keep_first(texts: &mut Vec<String>) {
    if texts.len() > 1 {
        let mut seen = HashSet::with_capacity(texts.len());
        texts.retain(|text| seen.insert(text.clone()));
    }
}

/// The output of a row, without the bucket it lies in.
pub(crate) struct Output<'o> {
    pub(crate) object_id: &'o mut String,
    pub(crate) data: &'o mut String,
}

impl BoundDataQuery {
    pub(crate) fn object_type(&self) -> &Arc<str> {
        &self.object_type
    }

    /// Appends the names of the buckets that the row lies in, each once.
    pub(crate) fn buckets(
        &self,
        scope: &RowScope<'_>,
        names: &mut Vec<String>,
        mut spare: impl FnMut() -> String,
    ) -> Result<(), EvaluationError> {
        for branch in &self.branches {
            branch.assignments(scope, self.slots, &mut |values| {
                let mut name = spare();
                name.push_str(&self.prefix);
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        name.push(',');
                    }
                    json::write_parameter(&mut name, value);
                }
                name.push(']');
                names.push(name);
            })?;
        }
        keep_first(names);
        Ok(())
    }

    /// Writes the row's id and its fields as a JSON object; the result is a hash of the content.
    ///
    /// The hash tells whether a client has to be sent the row again. So it is a sum over the fields, in which their
    /// order doesn't count, and leaves out those that are NULL: a column that is added and empty, or columns in
    /// another order, change what is written but nothing that a client can read, as a missing field reads as NULL.
    /// Each field's hash is keyed by its name, so that two values that change places change the sum.
    pub(crate) fn write(&self, scope: &RowScope<'_>, out: Output<'_>) -> Result<u64, EvaluationError> {
        let Output { object_id, data } = out;
        let mut sum = 0_u64;
        data.push('{');
        for field in &self.fields {
            let mut value = field.evaluate(scope)?;
            if field.is_id {
                let id = id_text(value)?;
                object_id.clear();
                object_id.push_str(&id);
                value = Value::Text(id);
            }
            if matches!(value, Value::Blob(_)) {
                continue;
            }
            if data.len() > 1 {
                data.push(',');
            }
            data.push_str(&field.key);
            let start = data.len();
            json::write_value(data, &value);
            if !value.is_null() {
                let written = data.as_bytes().get(start..).unwrap_or_default();
                sum = sum.wrapping_add(xxh3_64_with_seed(written, field.seed));
            }
        }
        data.push('}');
        let object = xxh3_64_with_seed(object_id.as_bytes(), xxh3_64(self.object_type.as_bytes()));
        Ok(xxh3_64_with_seed(&sum.to_le_bytes(), object))
    }
}
