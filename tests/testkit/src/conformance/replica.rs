//! The core's pipeline on the connector under test, feeding a sink in memory.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;

use millstream_core::pipeline::{Handle, Pipeline, PipelineError, PipelineOptions, VerifyReport};
use millstream_core::schema::TableName;
use millstream_core::selection::{Selection, TablePattern};
use millstream_core::sink::Sink;

use super::backend::Backend;
use super::history::History;
use super::memory_sink::{Checkpoint, MemorySink, Observer};
use super::model::difference;

/// How long anything may take before it counts as hanging.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// Selected tables begin with this.
pub(super) const SELECTED: &str = "t";

/// What the suite selects: a wildcard, so that tables come and go.
pub(super) fn selection(namespace: &str) -> Selection {
    Selection { patterns: vec![TablePattern { schema: namespace.to_owned(), table: format!("{SELECTED}%") }] }
}

/// A process that follows the source: it can be started, stopped and killed; its sink outlives it.
pub(super) struct Replica<B> {
    backend: Arc<B>,
    history: Arc<History>,
    pub(super) sink: Arc<MemorySink>,
    pub(super) options: PipelineOptions,
    running: Option<(Handle, JoinHandle<Result<(), PipelineError>>)>,
}

impl<B: Backend> Replica<B> {
    pub(super) fn new(backend: Arc<B>, history: Arc<History>) -> Self {
        let sink = MemorySink::new(selection(&backend.namespace()), observer(&history));
        // Small chunks, so that a table of the suite is read in many.
        let options = PipelineOptions { chunk_rows_max: 40, ..PipelineOptions::default() };
        Self { backend, history, sink, options, running: None }
    }

    /// As new, with what another held.
    pub(super) async fn resume_at(&mut self, checkpoint: Checkpoint) {
        self.kill(false).await;
        self.sink =
            MemorySink::from_checkpoint(selection(&self.backend.namespace()), observer(&self.history), checkpoint);
        self.history.go_back_to(self.sink.position().as_ref());
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub(super) fn start(&mut self) {
        assert!(self.running.is_none(), "it runs already");
        let connector = self.backend.connector().expect("the back-end makes a connector");
        let sink = Arc::clone(&self.sink) as Arc<dyn Sink>;
        let (pipeline, handle) = Pipeline::new("conformance", connector, sink, self.options.clone());
        self.running = Some((handle, tokio::spawn(pipeline.run())));
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.running.as_ref().expect("it runs").0
    }

    /// Stops cleanly.
    pub(super) async fn stop(&mut self) {
        let Some((handle, running)) = self.running.take() else { return };
        handle.stop();
        let end = timeout(PATIENCE, running).await.expect("it stops when asked");
        end.expect("it doesn't panic").expect("it ends without an error");
        // Commits that were accepted and not yet durable are as lost as by a kill: the sink isn't closed here.
        self.go_back(false);
    }

    /// Drops everything at whatever await it is; see [`MemorySink::crash`].
    pub(super) async fn kill(&mut self, keep_uncommitted: bool) {
        if let Some((_, running)) = self.running.take() {
            running.abort();
            let end = running.await;
            assert!(end.is_err_and(|error| error.is_cancelled()), "the pipeline ended by itself before it was killed");
        }
        self.go_back(keep_uncommitted);
    }

    fn go_back(&self, keep_uncommitted: bool) {
        self.sink.crash(keep_uncommitted);
        self.history.go_back_to(self.sink.position().as_ref());
    }

    /// Waits until everything that was committed at the source is durable and all tables are settled.
    pub(super) async fn until_current(&mut self) {
        let outcome = timeout(PATIENCE, self.handle().until_current()).await;
        let trouble = match outcome {
            Ok(Ok(())) => return,
            Ok(Err(_)) => {
                let (_, running) = self.running.take().expect("it ran");
                match running.await {
                    Ok(Ok(())) => "the pipeline stopped by itself".to_owned(),
                    Ok(Err(error)) => format!("the pipeline ended: {error}"),
                    Err(error) => format!("the pipeline ended: {error}"),
                }
            }
            Err(_) => format!("not current after {PATIENCE:?}; the status is {:#?}", self.handle().status()),
        };
        panic!("{trouble}");
    }

    /// Waits until it is current, and compares what the sink holds with what the source holds.
    pub(super) async fn settle(&mut self) {
        self.until_current().await;
        self.compare();
    }

    fn compare(&self) {
        let expected = self.history.now();
        let found = self.sink.tables();
        let namespace = self.backend.namespace();
        let mut faults = Vec::new();
        for (name, content) in &expected {
            match found.get(&TableName::new(&namespace, name)) {
                Some(rows) => faults.extend(difference(content, rows).map(|text| format!("{name}: {text}"))),
                None => faults.push(format!("{name} isn't there")),
            }
        }
        let unexpected = found.keys().filter(|table| table.schema != namespace || !expected.contains_key(&table.name));
        faults.extend(unexpected.map(|table| format!("{table} is there and shouldn't be")));
        for record in self.sink.records() {
            if record.state.word() != "live" {
                faults.push(format!("{} is {:?}", record.name, record.state));
            }
        }
        assert!(faults.is_empty(), "the sink isn't equal to the source: {}", faults.join("\n"));
    }

    /// What the connector itself reads again, compared with the sink.
    pub(super) async fn verify(&mut self) -> VerifyReport {
        let report = timeout(PATIENCE, self.handle().verify(None)).await.expect("verify ends");
        let report = report.expect("the pipeline runs");
        assert!(report.is_equal(), "a fresh read differs: {report:#?}");
        report
    }
}

impl<B> Drop for Replica<B> {
    fn drop(&mut self) {
        if let Some((_, running)) = self.running.take() {
            running.abort();
        }
    }
}

fn observer(history: &Arc<History>) -> Observer {
    let history = Arc::clone(history);
    Box::new(move |position, live| history.observe(position, live))
}
