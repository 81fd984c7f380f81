//! What every case plays on: a source, somebody who changes it, and a process that follows it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::timeout;

use millstream_core::selection::Selection;
use millstream_core::source::SourceConnector;

use crate::skip::{is_unwanted, not_applicable};

use super::backend::{Backend, Capability, lacks};
use super::history::History;
use super::replica::{Replica, selection};
use super::writer::Writer;

/// How long a case may take. The oracle sets its own time and has this on top.
const CASE_TIMEOUT: Duration = Duration::from_secs(240);

/// A source, a writer and a replica. Opaque to a connector's crate.
pub struct Scene<B> {
    pub(super) backend: Arc<B>,
    pub(super) writer: Writer<B>,
    pub(super) replica: Replica<B>,
    pub(super) seed: u64,
    /// Whether tables got other names since the replica was current.
    pub(super) is_renamed: bool,
}

impl<B: Backend> Scene<B> {
    async fn begin(needs: &[Capability], seed: u64) -> Self {
        let backend = Arc::new(B::start(needs).await.expect("the back-end starts"));
        Self::on(backend, seed)
    }

    /// On a back-end whose namespace is empty.
    pub(super) fn on(backend: Arc<B>, seed: u64) -> Self {
        let history = Arc::new(History::new(lacks::<B>(Capability::Transactions).is_none()));
        let writer = Writer::new(Arc::clone(&backend), Arc::clone(&history), seed);
        let replica = Replica::new(Arc::clone(&backend), history);
        Self { backend, writer, replica, seed, is_renamed: false }
    }

    pub(super) fn selection(&self) -> Selection {
        selection(&self.backend.namespace())
    }

    /// A connector without a pipeline, as a new process would make it.
    pub(super) fn connector(&self) -> Arc<dyn SourceConnector> {
        self.backend.connector().expect("the back-end makes a connector")
    }
}

pub(super) fn has<B: Backend>(capability: Capability) -> bool {
    lacks::<B>(capability).is_none()
}

/// A case in progress.
pub type Playing = Pin<Box<dyn Future<Output = ()>>>;

/// The seed of the environment, or one of the process's own.
pub(super) fn seed() -> u64 {
    number("MILLSTREAM_ORACLE_SEED").unwrap_or_else(|| u64::from(std::process::id()) * 1_000_003 % 1_000_000_000)
}

pub(super) fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is a whole number")))
}

/// Plays a case, unless the source lacks what it needs.
pub fn run<B: Backend>(needs: &[Capability], case: impl FnOnce(Scene<B>) -> Playing) {
    if is_unwanted(B::NAME) {
        return;
    }
    for need in needs {
        if let Some(reason) = lacks::<B>(*need) {
            not_applicable(&format!("{} has no {need}: {reason}", B::NAME));
            return;
        }
    }
    let seed = seed();
    println!("seed {seed} (replay: MILLSTREAM_ORACLE_SEED={seed})");
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime starts");
    let extra = Duration::from_secs(number("MILLSTREAM_ORACLE_SECONDS").unwrap_or(0));
    runtime.block_on(async {
        let scene = Scene::<B>::begin(needs, seed).await;
        timeout(CASE_TIMEOUT + extra, case(scene)).await.expect("the case ends in time");
    });
}
