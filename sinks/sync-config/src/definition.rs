//! Bucket definitions.

use std::sync::Arc;

use millstream_core::selection::TablePattern;
use xxhash_rust::xxh3::xxh3_64;

use crate::data_query::DataQuery;
use crate::json;
use crate::parameter_query::ParameterQuery;
use crate::request::{BucketName, Request, RequestFault};
use crate::table_name::{SourceScope, TableReference};
use crate::value::Value;

/// The priority of a definition that names none: the lowest.
pub(crate) const DEFAULT_PRIORITY: u8 = 3;

/// A family of buckets: who gets which, and what is in them.
#[derive(Debug, Clone)]
pub struct BucketDefinition {
    pub(crate) name: Arc<str>,
    pub(crate) priority: u8,
    /// The parameters' names, in the order in which they stand in a bucket's name.
    pub(crate) parameters: Vec<String>,
    pub(crate) parameter_queries: Vec<ParameterQuery>,
    pub(crate) data_queries: Vec<DataQuery>,
    pub(crate) fingerprint: u64,
}

impl BucketDefinition {
    /// Its name: what stands before the bracket in the names of its buckets.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// 0 to 3; clients get buckets with a lower one first.
    pub fn priority(&self) -> u8 {
        self.priority
    }

    /// The names of the bucket parameters, in the order in which their values stand in a bucket's name.
    pub fn parameters(&self) -> &[String] {
        &self.parameters
    }

    /// A hash of the name, the queries and the options that change their results. Definitions with equal fingerprints
    /// give equal buckets, rows and lookups for equal tables; layout, comments and other definitions don't count. The
    /// same in every process and on every machine.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The tables of a source that the definition reads.
    pub fn patterns(&self, scope: SourceScope<'_>) -> Vec<TablePattern> {
        let mut patterns: Vec<TablePattern> = self.tables().filter_map(|table| table.pattern(scope)).collect();
        patterns.sort_unstable();
        patterns.dedup();
        patterns
    }

    pub(crate) fn tables(&self) -> impl Iterator<Item = &TableReference> {
        let of_parameters = self.parameter_queries.iter().filter_map(|query| query.table().map(|table| &table.table));
        of_parameters.chain(self.data_queries.iter().map(|query| &query.table))
    }

    /// The buckets of this definition that a request may read, each once.
    ///
    /// `look_up(query, lookup)` gives the outputs of all rows that are filed under a lookup of a parameter query; both
    /// are as [`EvaluatedLookup`](crate::EvaluatedLookup) has them.
    ///
    /// # Errors
    /// If the request lacks what a query needs, as an array on the right side of IN.
    pub fn buckets_for(
        &self,
        request: &Request,
        look_up: &mut dyn FnMut(usize, &str) -> Vec<String>,
    ) -> Result<Vec<BucketName>, RequestFault> {
        let mut buckets: Vec<BucketName> = Vec::new();
        for (index, query) in self.parameter_queries.iter().enumerate() {
            let priority = query.priority.unwrap_or(self.priority);
            let mut add = |values: Vec<Value<'static>>| {
                let name = self.bucket_name(&query.names, &values);
                match buckets.iter_mut().find(|bucket| bucket.name == name) {
                    Some(bucket) => bucket.priority = bucket.priority.min(priority),
                    None => buckets.push(BucketName { name, priority }),
                }
            };
            query
                .parameters(request, &mut |lookup| look_up(index, lookup), &mut add)
                .map_err(|error| RequestFault { definition: self.name.to_string(), query: index + 1, error })?;
        }
        Ok(buckets)
    }

    /// The name of the bucket for `values`, which stand in the order of `names`.
    fn bucket_name(&self, names: &[String], values: &[Value<'_>]) -> String {
        let in_order = self.parameters.iter().filter_map(|parameter| {
            let index = names.iter().position(|name| name == parameter)?;
            values.get(index)
        });
        format!("{}{}", self.name, json::parameter_array(in_order))
    }
}

/// What the evaluation gives for a definition. Raise it when a release changes that: every definition's fingerprint
/// changes with it, so that stores read their rows again instead of keeping what the older release made of them.
const EVALUATION: &str = "evaluation 2";

/// The hash behind [`BucketDefinition::fingerprint`].
pub(crate) fn fingerprint<'t>(texts: impl IntoIterator<Item = &'t str>) -> u64 {
    let mut content = Vec::new();
    for text in std::iter::once(EVALUATION).chain(texts) {
        content.extend_from_slice(&(text.len() as u64).to_le_bytes());
        content.extend_from_slice(text.as_bytes());
    }
    xxh3_64(&content)
}
