//! At every commit, every live table holds what the source held at that position; checked directly, as the simulated
//! source remembers all its states.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use millstream_core::change::{Event, RowChange};
use millstream_core::pipeline::{Pipeline, PipelineOptions};
use millstream_core::schema::{IdentityKind, TableName, TableSchema};
use millstream_core::schema_change::SchemaChangeKind;

use crate::model_sink::{ModelSink, shared};
use crate::simulated_source::{Connector, SimulatedSource, State, row_event, schema, schema_event};

/// One random life of a source with a keyed and a keyless table.
struct Life {
    source: Arc<SimulatedSource>,
    random: StdRng,
    revision: usize,
}

impl Life {
    fn start(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut state = State::new();
        for (name, kind) in [("keyed", IdentityKind::PrimaryKey), ("keyless", IdentityKind::WholeRow)] {
            let step = random.random_range(1..3);
            let rows = (0..40).step_by(step).map(|id| (id, random.random_range(0..3))).collect();
            let shape = schema(name, kind, 0);
            state.insert(shape.table.clone(), (shape, rows));
        }
        Self { source: Arc::new(SimulatedSource::new(seed, true, state)), random, revision: 0 }
    }

    /// One transaction of one to four statements.
    fn step(&mut self) {
        let mut state = self.source.now();
        let mut events = Vec::new();
        for _ in 0..self.random.random_range(1..=4) {
            let names: Vec<TableName> = state.keys().cloned().collect();
            let name = &names[self.random.random_range(0..names.len())];
            match self.random.random_range(0..100) {
                0..2 => self.alter(&mut state, name, &mut events),
                2 => self.truncate(&mut state, name, &mut events),
                3 => self.replace_silently(&mut state, name, &mut events),
                4 => self.replace(&mut state, name, &mut events),
                _ => self.change_row(&mut state, name, &mut events),
            }
        }
        self.source.commit(state, events);
    }

    fn change_row(&mut self, state: &mut State, name: &TableName, events: &mut Vec<Event>) {
        let (shape, rows) = state.get_mut(name).unwrap();
        let row = (self.random.random_range(0..40), self.random.random_range(0..3));
        if shape.identity.kind == IdentityKind::WholeRow {
            if self.random.random_bool(0.5) || rows.is_empty() {
                rows.push(row);
                events.push(row_event(shape, &[(RowChange::Upsert, row)]));
            } else {
                let gone = rows.swap_remove(self.random.random_range(0..rows.len()));
                events.push(row_event(shape, &[(RowChange::Recheck, gone)]));
            }
            return;
        }
        let before = rows.iter().position(|(id, _)| *id == row.0);
        if let Some(index) = before {
            rows.swap_remove(index);
        }
        if before.is_some() && self.random.random_bool(0.4) {
            events.push(row_event(shape, &[(RowChange::Delete, row)]));
        } else {
            rows.push(row);
            let change = if self.random.random_bool(0.1) { RowChange::Recheck } else { RowChange::Upsert };
            events.push(row_event(shape, &[(change, row)]));
        }
    }

    /// Another shape, and other values in all rows.
    fn alter(&mut self, state: &mut State, name: &TableName, events: &mut Vec<Event>) {
        self.revision += 1;
        let (shape, rows) = state.get_mut(name).unwrap();
        *shape = schema(&name.name, shape.identity.kind, self.revision);
        rows.iter_mut().for_each(|(_, value)| *value = (*value + 1) % 3);
        let kind =
            SchemaChangeKind::Altered { schema: Arc::clone(shape), values_kept: Vec::new(), rows_replaced: false };
        events.push(schema_event(name, kind));
    }

    fn truncate(&mut self, state: &mut State, name: &TableName, events: &mut Vec<Event>) {
        state.get_mut(name).unwrap().1.clear();
        events.push(schema_event(name, SchemaChangeKind::Truncated));
    }

    fn replace_silently(&mut self, state: &mut State, name: &TableName, events: &mut Vec<Event>) {
        let (shape, rows) = state.get_mut(name).unwrap();
        rows.retain(|(id, _)| id % 2 == 0);
        let kind = match self.random.random_bool(0.5) {
            true => SchemaChangeKind::RowsReplaced { cause: "foreign key".into() },
            false => {
                SchemaChangeKind::Altered { schema: Arc::clone(shape), values_kept: Vec::new(), rows_replaced: true }
            }
        };
        events.push(schema_event(name, kind));
    }

    /// The name goes away and comes back with another table behind it.
    fn replace(&mut self, state: &mut State, name: &TableName, events: &mut Vec<Event>) {
        let (shape, rows) = state.get_mut(name).unwrap();
        let shape: Arc<TableSchema> = Arc::clone(shape);
        *rows = (0..20).map(|id| (id * 2, 7)).collect();
        if self.random.random_bool(0.5) {
            events.push(schema_event(name, SchemaChangeKind::Dropped));
            events.push(schema_event(name, SchemaChangeKind::Created { schema: shape, empty: false }));
        } else {
            events.push(schema_event(name, SchemaChangeKind::Replaced { schema: shape }));
        }
    }
}

fn as_sets(state: &State, name: &TableName) -> BTreeSet<(i64, i64)> {
    state.get(name).map(|(_, rows)| rows.iter().copied().collect()).unwrap_or_default()
}

async fn keeps_the_promise(seed: u64) {
    let mut life = Life::start(seed);
    let source = Arc::clone(&life.source);
    let sink = Arc::new(ModelSink::new(Box::new(move |position, live| {
        let truth = source.state_at(position);
        for (name, rows) in live {
            assert_eq!(*rows, as_sets(&truth, name), "seed {seed}: {name} at {position}");
        }
    })));
    for round in 0..4 {
        let connector = Arc::new(Connector(Arc::clone(&life.source)));
        let options = PipelineOptions { chunk_rows_max: 5, ..PipelineOptions::default() };
        let (pipeline, handle) = Pipeline::new("simulated", connector, shared(&sink), options);
        let running = tokio::spawn(pipeline.run());
        for _ in 0..60 {
            life.step();
            let pause = life.random.random_range(0..15);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        if round == 2 {
            life.source.purge();
        }
        if round < 3 {
            running.abort();
            let end = running.await;
            assert!(end.is_err_and(|error| error.is_cancelled()), "seed {seed}: the pipeline ended by itself");
            sink.crash(life.random.random_bool(0.5));
            continue;
        }
        tokio::time::timeout(Duration::from_secs(600), handle.until_current()).await.expect("becomes current").unwrap();
        let report = handle.verify(None).await.unwrap();
        assert!(report.is_equal(), "seed {seed}: {report:?}");
        assert_eq!(report.tables.len(), 2, "seed {seed}");
        let truth = life.source.now();
        for (name, rows) in sink.visible() {
            assert_eq!(rows, as_sets(&truth, &name), "seed {seed}: {name} at the end");
        }
        let ops_before = sink.ops_written();
        handle.reload(TableName::new("shop", "keyed")).await.unwrap();
        assert_eq!(sink.ops_written(), ops_before, "seed {seed}: a re-read of equal rows wrote ops");
        handle.stop();
        running.await.unwrap().unwrap();
    }
}

/// Replay one with `MILLSTREAM_SEED=n`, try more with `MILLSTREAM_SEEDS=count`.
#[tokio::test(start_paused = true)]
async fn live_tables_hold_what_the_source_held_at_every_commit() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a whole number"));
    let first = number("MILLSTREAM_SEED");
    let count = number("MILLSTREAM_SEEDS").unwrap_or(if first.is_some() { 1 } else { 150 });
    let first = first.unwrap_or(0);
    for seed in first..first + count {
        println!("seed {seed}");
        keeps_the_promise(seed).await;
    }
}
