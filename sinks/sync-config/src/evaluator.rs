//! Evaluating rows: what the pipeline does for every row of every table.

use std::sync::Arc;

use millstream_core::row::RowRef;
use millstream_core::schema::TableSchema;

use crate::config::SyncConfig;
use crate::data_query::{BoundDataQuery, Output};
use crate::expression::EvaluationError;
use crate::fault::{Fault, Place};
use crate::parameter_query::BoundTableQuery;
use crate::rows::{Binder, RowScope};
use crate::table_name::{SourceScope, TableReference};

/// One row in one bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvaluatedRow {
    /// Which definition, as an index into [`SyncConfig::definitions`].
    pub definition: usize,
    /// The bucket's full name, `by_user["u1"]`.
    pub bucket: String,
    /// What clients call the table.
    pub object_type: Arc<str>,
    /// What names the row among those of its type; empty if the row has no id.
    pub object_id: String,
    /// The row's fields, as the text of a JSON object; keys in the order of the select list.
    pub data: String,
    /// Equal hashes mean that a client holding one row needn't be sent the other. Covers type, id and the fields that
    /// aren't NULL, whatever their order.
    pub content_hash: u64,
}

/// One way that a parameter query finds a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EvaluatedLookup {
    /// Which definition, as an index into [`SyncConfig::definitions`].
    pub definition: usize,
    /// Which of its parameter queries, counted from 0.
    pub query: usize,
    /// What a request must bring, as a JSON array in which 1 and 1.0 are written alike.
    pub lookup: String,
    /// What it then gets: the values of the row for the bucket's parameters, as a JSON array.
    pub output: String,
}

/// A row that has no place in the buckets of a definition because an expression has no value for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EvaluationFault {
    /// Which definition, as an index into [`SyncConfig::definitions`].
    pub definition: usize,
    /// Where its query stands in the config.
    pub place: Place,
    /// What failed.
    pub error: EvaluationError,
}

/// What a row comes to. Reused from row to row, so that memory is.
#[derive(Debug, Clone, Default)]
pub struct Evaluated {
    /// The row in each of its buckets.
    pub rows: Vec<EvaluatedRow>,
    /// The ways that parameter queries find it.
    pub lookups: Vec<EvaluatedLookup>,
    /// The queries that left it out.
    pub faults: Vec<EvaluationFault>,
    /// Texts to be used again.
    spare: Vec<String>,
}

/// More texts than this aren't kept for later rows.
const SPARE_MAX: usize = 64;
/// Nor are longer ones.
const SPARE_BYTES_MAX: usize = 64 << 10;

impl Evaluated {
    /// Removes all results and keeps their memory for the next row.
    pub fn clear(&mut self) {
        for row in self.rows.drain(..) {
            for mut text in [row.bucket, row.object_id, row.data] {
                if self.spare.len() < SPARE_MAX && (1..=SPARE_BYTES_MAX).contains(&text.capacity()) {
                    text.clear();
                    self.spare.push(text);
                }
            }
        }
        self.lookups.clear();
        self.faults.clear();
    }
}

/// Evaluates the rows of one table, at one schema, by all queries that read the table.
#[derive(Debug)]
pub struct TableEvaluator {
    data: Vec<Bound<BoundDataQuery>>,
    lookups: Vec<Bound<BoundTableQuery>>,
    faults: Vec<Fault>,
}

#[derive(Debug)]
struct Bound<Q> {
    definition: usize,
    /// Which of the definition's queries of its kind.
    index: usize,
    place: Place,
    query: Q,
}

impl TableEvaluator {
    pub(crate) fn new(config: &SyncConfig, scope: SourceScope<'_>, schema: &TableSchema) -> Self {
        let mut faults = Vec::new();
        let (mut data, mut lookups) = (Vec::new(), Vec::new());
        let covers = |table: &TableReference| table.pattern(scope).is_some_and(|found| found.matches(&schema.table));
        let mut binder = |table: &TableReference, bind: &mut dyn FnMut(Binder<'_>)| {
            bind(Binder {
                schema,
                suffix: table.suffix(&schema.table),
                precision: config.options.precision,
                file: &config.file,
                faults: &mut faults,
            });
        };
        for (definition, found) in config.definitions.iter().enumerate() {
            let prefix: Arc<str> = format!("{}[", found.name).into();
            for (index, query) in found.data_queries.iter().enumerate().filter(|(_, query)| covers(&query.table)) {
                binder(&query.table, &mut |binder| {
                    let bound = query.bind(Arc::clone(&prefix), found.parameters.len(), binder);
                    data.push(Bound { definition, index, place: query.place, query: bound });
                });
            }
            for (index, query) in found.parameter_queries.iter().enumerate() {
                let Some(table) = query.table().filter(|table| covers(&table.table)) else { continue };
                binder(&table.table, &mut |binder| {
                    lookups.push(Bound { definition, index, place: query.place, query: table.bind(binder) });
                });
            }
        }
        faults.sort_by_key(|fault: &Fault| (fault.line, fault.column));
        Self { data, lookups, faults }
    }

    /// What doesn't fit between the config and the table, as columns that it doesn't have. All are warnings.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Whether no query reads the table.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty() && self.lookups.is_empty()
    }

    /// Evaluates a row, which must have the table's columns; what it comes to replaces what `out` held.
    pub fn evaluate(&self, row: RowRef<'_>, out: &mut Evaluated) {
        out.clear();
        let scope = RowScope { row };
        for bound in &self.data {
            if let Err(error) = evaluate_data(bound, &scope, out) {
                out.faults.push(EvaluationFault { definition: bound.definition, place: bound.place, error });
            }
        }
        for bound in &self.lookups {
            let lookups = &mut out.lookups;
            let result = bound.query.lookups(&scope, &mut |lookup, output| {
                let output = output.to_owned();
                lookups.push(EvaluatedLookup { definition: bound.definition, query: bound.index, lookup, output });
            });
            if let Err(error) = result {
                out.faults.push(EvaluationFault { definition: bound.definition, place: bound.place, error });
            }
        }
    }
}

fn evaluate_data(
    bound: &Bound<BoundDataQuery>,
    scope: &RowScope<'_>,
    out: &mut Evaluated,
) -> Result<(), EvaluationError> {
    let Evaluated { rows, spare, .. } = out;
    let mut names = Vec::new();
    bound.query.buckets(scope, &mut names, || spare.pop().unwrap_or_default())?;
    let Some(last) = names.pop() else { return Ok(()) };
    let mut object_id = spare.pop().unwrap_or_default();
    let mut data = spare.pop().unwrap_or_default();
    let content_hash = bound.query.write(scope, Output { object_id: &mut object_id, data: &mut data })?;
    let definition = bound.definition;
    let object_type = bound.query.object_type();
    for bucket in names {
        let (object_id, data) = (object_id.clone(), data.clone());
        rows.push(EvaluatedRow { definition, bucket, object_type: object_type.clone(), object_id, data, content_hash });
    }
    rows.push(EvaluatedRow {
        definition,
        bucket: last,
        object_type: object_type.clone(),
        object_id,
        data,
        content_hash,
    });
    Ok(())
}
