//! What the definitions make of rows, computed on the tasks of the sources.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use millstream_core::change::RowChange;
use millstream_core::error::SinkError;
use millstream_core::row::RowBatch;
use millstream_core::schema::TableSchema;
use millstream_core::selection::{Selection, TablePattern};
use millstream_sync_config::{BucketDefinition, Evaluated, EvaluationFault, SourceScope, SyncConfig, TableEvaluator};
use tracing::warn;

use crate::evaluated::EvaluatedRows;
use crate::key::{DefinitionId, SourceId, TableKey};

/// How many rows are evaluated before other tasks get their turn.
const SLICE_ROWS: usize = 512;

/// How much a slice grows before other tasks get their turn.
const SLICE_BYTES: usize = 1024 * 1024;

/// A source, as the sync config sees it.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) id: SourceId,
    pub(crate) name: String,
    pub(crate) default_schema: String,
    pub(crate) is_default: bool,
}

impl Source {
    pub(crate) fn scope(&self) -> SourceScope<'_> {
        SourceScope { name: &self.name, default_schema: &self.default_schema, is_default: self.is_default }
    }
}

/// A sync config with the numbers of its definitions.
#[derive(Debug)]
pub(crate) struct NumberedConfig {
    pub(crate) config: Arc<SyncConfig>,
    /// By the definition's index; `None` if another config evaluates it.
    pub(crate) definitions: Vec<Option<DefinitionId>>,
}

impl NumberedConfig {
    /// The definitions that this config evaluates.
    fn numbered(&self) -> impl Iterator<Item = &BucketDefinition> {
        let all = self.config.definitions().iter().zip(&self.definitions);
        all.filter(|(_, number)| number.is_some()).map(|(definition, _)| definition)
    }
}

/// What rows are evaluated by: one sync config, or several while the newest is being deployed.
#[derive(Debug)]
pub(crate) struct Evaluation {
    pub(crate) configs: Vec<NumberedConfig>,
}

/// Evaluates rows.
#[derive(Debug)]
pub(crate) struct Evaluator {
    evaluation: RwLock<Arc<Evaluation>>,
    bound: Mutex<HashMap<TableKey, Arc<BoundTable>>>,
}

/// The definitions that read a table, for one shape of it.
#[derive(Debug)]
struct BoundTable {
    schema: Arc<TableSchema>,
    evaluation: Arc<Evaluation>,
    evaluators: Vec<TableEvaluator>,
    /// Each fault is told once.
    told: Mutex<HashSet<(usize, EvaluationFault)>>,
}

impl Evaluator {
    pub(crate) fn new(evaluation: Evaluation) -> Evaluator {
        Evaluator { evaluation: RwLock::new(Arc::new(evaluation)), bound: Mutex::new(HashMap::new()) }
    }

    /// Evaluates by other definitions from now on.
    pub(crate) fn switch(&self, evaluation: Evaluation) {
        *self.evaluation.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(evaluation);
        self.bound().clear();
    }

    fn evaluation(&self) -> Arc<Evaluation> {
        Arc::clone(&self.evaluation.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The tables that any of the definitions read.
    pub(crate) fn selection(&self, source: &Source) -> Selection {
        let evaluation = self.evaluation();
        let definitions = evaluation.configs.iter().flat_map(NumberedConfig::numbered);
        let mut patterns: Vec<TablePattern> =
            definitions.flat_map(|definition| definition.patterns(source.scope())).collect();
        patterns.sort_unstable();
        patterns.dedup();
        Selection { patterns }
    }

    /// Evaluates rows of a table. `changes` tells what happened to each; without it all exist.
    pub(crate) async fn evaluate(
        &self,
        source: &Source,
        table: TableKey,
        schema: &Arc<TableSchema>,
        rows: &RowBatch,
        changes: Option<&[RowChange]>,
    ) -> Result<Vec<EvaluatedRows>, SinkError> {
        let bound = self.bind(source, table, schema);
        let mut slices = Vec::new();
        // A row comes to about as much as its values take here. Who wants only a part of it leaves some of the room unused.
        let first_rows = rows.len().min(SLICE_ROWS);
        let row_bytes = rows.size_bytes().checked_div(rows.len()).unwrap_or_default();
        let room_bytes = (row_bytes * first_rows).min(SLICE_BYTES);
        let mut slice = EvaluatedRows::with_room(Arc::clone(schema), first_rows, room_bytes);
        let mut evaluated = Evaluated::default();
        let mut key = Vec::new();
        for (index, row) in rows.rows().enumerate() {
            let is_deleted = match changes.map(|changes| changes.get(index)) {
                None | Some(Some(RowChange::Upsert)) => false,
                Some(Some(RowChange::Delete)) => true,
                Some(Some(RowChange::Recheck) | None) => return Err(not_a_change()),
            };
            schema.row_key(row, &mut key);
            if !is_deleted {
                bound.evaluate(row, &mut evaluated, &mut slice);
            }
            slice.end_row(&key, is_deleted);
            if slice.len() >= SLICE_ROWS || slice.size_bytes() >= SLICE_BYTES {
                slices.push(std::mem::replace(&mut slice, EvaluatedRows::new(Arc::clone(schema))));
                tokio::task::yield_now().await;
            }
        }
        if slice.len() > 0 {
            slices.push(slice);
        }
        Ok(slices)
    }

    fn bind(&self, source: &Source, table: TableKey, schema: &Arc<TableSchema>) -> Arc<BoundTable> {
        let evaluation = self.evaluation();
        if let Some(bound) = self.bound().get(&table)
            && Arc::ptr_eq(&bound.evaluation, &evaluation)
            && (Arc::ptr_eq(&bound.schema, schema) || bound.schema == *schema)
        {
            return Arc::clone(bound);
        }
        let evaluators: Vec<TableEvaluator> =
            evaluation.configs.iter().map(|numbered| numbered.config.bind(source.scope(), schema)).collect();
        for fault in evaluators.iter().flat_map(TableEvaluator::faults) {
            warn!(source = %source.name, table = %schema.table, "{fault}");
        }
        let schema = Arc::clone(schema);
        let bound = Arc::new(BoundTable { schema, evaluation, evaluators, told: Mutex::default() });
        self.bound().insert(table, Arc::clone(&bound));
        bound
    }

    fn bound(&self) -> MutexGuard<'_, HashMap<TableKey, Arc<BoundTable>>> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BoundTable {
    /// Adds what a row comes to, by all configs, to the row that is being built.
    fn evaluate(&self, row: millstream_core::row::RowRef<'_>, evaluated: &mut Evaluated, out: &mut EvaluatedRows) {
        for (index, (numbered, evaluator)) in self.evaluation.configs.iter().zip(&self.evaluators).enumerate() {
            let number = |definition: usize| numbered.definitions.get(definition).copied().flatten();
            evaluator.evaluate(row, evaluated);
            for output in &evaluated.rows {
                if let Some(definition) = number(output.definition) {
                    out.push_output(definition, output);
                }
            }
            for lookup in &evaluated.lookups {
                if let Some(definition) = number(lookup.definition) {
                    out.push_lookup(definition, lookup);
                }
            }
            for fault in &evaluated.faults {
                if number(fault.definition).is_some() {
                    self.tell(index, fault);
                }
            }
        }
    }

    fn tell(&self, config: usize, fault: &EvaluationFault) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.insert((config, *fault)) {
            warn!(
                table = %self.schema.table, line = fault.place.line, column = fault.place.column,
                "a query of the sync config leaves out rows for which it has no value: {}", fault.error
            );
        }
    }
}

fn not_a_change() -> SinkError {
    SinkError::new(
        "The pipeline handed the bucket sink a row without saying what it is now",
        "This is a defect: please report it",
    )
}
