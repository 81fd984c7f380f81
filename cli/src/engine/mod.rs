//! The sources and the sink at work in this process.

mod following;
mod naming;
mod request;
mod stored;
mod waiting;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use millstream_bucket::store::{FjallStore, StoreError};
use millstream_bucket::{BucketReader, BucketSink, DeploymentProgress};
use millstream_core::pipeline::{Handle, Pipeline, PipelineError, PipelineOptions};
use millstream_core::sink::Sink;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep};

use crate::config::{Config, FileText, without_password};
use crate::control::{Answers, Reply, Request, StatusReport};
use crate::deployment::Deployment;
use crate::failure::Failure;

pub(crate) use following::{FollowingService, progress};
pub(crate) use naming::full_name;
use request::CatchUpService;
use stored::StoredService;
pub(crate) use waiting::Waiting;

/// The store's folder within the data folder.
const STORE_FOLDER: &str = "store";
/// For the user that runs millstream alone.
const DATA_MODE: u32 = 0o700;
/// How long a store may be locked by a process that is about to give it up: one that stops, or a short command.
pub(crate) const LOCKED_WAIT: Duration = Duration::from_secs(5);
const DEPLOYMENT_POLL: Duration = Duration::from_millis(20);
const LOCKED_POLL: Duration = Duration::from_millis(100);

/// A source being followed.
#[derive(Clone)]
pub(crate) struct Followed {
    pub(crate) name: String,
    pub(crate) handle: Handle,
}

/// Sources being followed into a sink.
pub(crate) struct Engine {
    /// What it was configured by.
    files: Vec<FileText>,
    sources: Vec<Followed>,
    sink: Arc<BucketSink>,
    pipelines: JoinSet<(String, Result<(), PipelineError>)>,
}

impl Engine {
    /// Begins to follow the configuration's sources into a store.
    pub(crate) async fn start(config: &Config, deployment: Deployment, store: FjallStore) -> Result<Self, Failure> {
        let connectors = config.sources.iter().map(|source| source.connector()).collect::<Result<Vec<_>, _>>()?;
        let files = vec![config.file.clone(), deployment.file().clone()];
        let options = deployment.into_options(config);
        let sink = blocking(move || Ok(BucketSink::with_store(Arc::new(store), options)?)).await?;
        let mut engine = Self { files, sources: Vec::new(), sink, pipelines: JoinSet::new() };
        for (source, connector) in config.sources.iter().zip(connectors) {
            let options =
                PipelineOptions { rows_per_second_max: source.rows_per_second_max, ..PipelineOptions::default() };
            let sink: Arc<dyn Sink> = Arc::<BucketSink>::clone(&engine.sink);
            let (pipeline, handle) = Pipeline::new(source.name.clone(), connector, sink, options);
            let name = source.name.clone();
            engine.pipelines.spawn(async move { (name, pipeline.run().await) });
            engine.sources.push(Followed { name: source.name.clone(), handle });
        }
        Ok(engine)
    }

    pub(crate) fn sources(&self) -> &[Followed] {
        &self.sources
    }

    /// Who answers commands while this works.
    pub(crate) fn service(&self) -> FollowingService {
        FollowingService::new(self.files.clone(), self.sources.clone(), Arc::clone(&self.sink), None)
    }

    /// Who answers commands while this works for one command alone.
    fn service_beside(&self, work: String) -> FollowingService {
        FollowingService::new(self.files.clone(), self.sources.clone(), Arc::clone(&self.sink), Some(work))
    }

    /// Waits until a source isn't followed any more, though nobody asked for that. `None` if there is none left.
    pub(crate) async fn lost_source(&mut self) -> Option<(String, Failure)> {
        let (name, outcome) = match self.pipelines.join_next().await? {
            Ok(ended) => ended,
            Err(error) => {
                let remedy = "this is a fault of millstream: please report it with the log";
                return Some((String::new(), Failure::new(format!("following a source broke off: {error}"), remedy)));
            }
        };
        let failure = match outcome {
            Ok(()) => Failure::new(format!("source {name}: stopped"), "start millstream again"),
            Err(error) => of_pipeline(&error),
        };
        Some((name, failure))
    }

    /// Whether any source is still being followed.
    pub(crate) fn is_following(&self) -> bool {
        !self.pipelines.is_empty()
    }

    /// A future that waits until everything committed at the sources before this call is in the buckets and
    /// checkpointed, every table is live, or held until somebody changes something, and a changed sync config is deployed,
    /// but for what waits for tables that are held.
    pub(crate) fn until_current(&self) -> impl Future<Output = Result<(), Failure>> + use<> {
        let (sources, sink) = (self.sources.clone(), Arc::clone(&self.sink));
        async move {
            loop {
                let before = deployment(&sink).await?;
                is_current(&sources, &sink).await?;
                // Readers see the buckets of a changed sync config from one of the next checkpoints on; only then are
                // its tables the only ones that the sources are followed for.
                let mut progress = deployment(&sink).await?;
                while progress.is_under_way {
                    sleep(DEPLOYMENT_POLL).await;
                    progress = deployment(&sink).await?;
                }
                if progress == before {
                    return Ok(());
                }
            }
        }
    }

    /// Stops following and stores what has been read. After an error nothing is lost: what isn't stored is read again.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        for source in &self.sources {
            source.handle.stop();
        }
        let mut first_failure = None;
        while let Some(ended) = self.pipelines.join_next().await {
            if let Ok((_, Err(error))) = ended {
                first_failure.get_or_insert(of_pipeline(&error));
            }
        }
        let closed = self.sink.close().await.map_err(Failure::from);
        // Dropping the sink waits for its thread.
        let sink = self.sink;
        blocking(move || {
            drop(sink);
            Ok(())
        })
        .await?;
        match first_failure {
            Some(failure) => Err(failure),
            None => closed,
        }
    }
}

/// Waits until what is committed at the sources now is checkpointed.
async fn is_current(sources: &[Followed], sink: &BucketSink) -> Result<(), Failure> {
    for outcome in join_all(sources.iter().map(|source| source.handle.until_current())).await {
        outcome.map_err(|error| Failure::new(error.to_string(), "start millstream again"))?;
    }
    let durable: Vec<_> =
        sources.iter().map(|source| (source.name.clone(), sink.durable(&source.name).borrow().clone())).collect();
    let mut checkpoints = sink.checkpoints();
    let contains_all = |checkpoint: &Option<millstream_bucket::Checkpoint>| {
        checkpoint.as_ref().is_some_and(|checkpoint| {
            durable.iter().all(|(name, position)| checkpoint.positions.get(name) >= position.as_ref())
        })
    };
    match checkpoints.wait_for(contains_all).await {
        Ok(_) => Ok(()),
        Err(_) => Err(Failure::new("the buckets can't be stored any more", "see the log for why")),
    }
}

async fn deployment(sink: &Arc<BucketSink>) -> Result<DeploymentProgress, Failure> {
    let sink = Arc::clone(sink);
    blocking(move || Ok(sink.reader()?.deployment()?)).await
}

fn of_pipeline(error: &PipelineError) -> Failure {
    let diagnosis = match error {
        PipelineError::Source { name, .. } | PipelineError::Value { name, .. } => {
            format!("source {name}: {}", error.diagnosis())
        }
        PipelineError::Sink(_) => error.diagnosis(),
    };
    Failure::new(without_password(&diagnosis), error.remedy())
}

/// The store in a data folder.
fn store_folder(data: &Path) -> PathBuf {
    data.join(STORE_FOLDER)
}

/// Whether a store has been created, or begun to be.
pub(crate) fn has_store(config: &Config) -> bool {
    store_folder(&config.data).exists()
}

/// Opens the store, and creates it if need be; `None` if another process holds it.
async fn try_open_store(data: &Path) -> Result<Option<FjallStore>, Failure> {
    let data = data.to_owned();
    blocking(move || {
        if let Err(error) = DirBuilder::new().recursive(true).mode(DATA_MODE).create(&data) {
            return Err(uncreatable(&data, &error));
        }
        match FjallStore::open(&store_folder(&data)) {
            Ok(store) => Ok(Some(store)),
            Err(StoreError::Held { .. }) => Ok(None),
            Err(error) => Err(Failure::new(error.diagnosis(), error.remedy())),
        }
    })
    .await
}

/// Whether the store can be opened, or made where there is none; nothing is left behind.
pub(crate) async fn try_data(config: &Config) -> Result<(), Failure> {
    if has_store(config) {
        return try_open_store(&config.data).await.map(drop);
    }
    let data = config.data.clone();
    blocking(move || {
        let existing = data.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
        let probe = existing.join(format!(".millstream-check-{}", std::process::id()));
        let tried = DirBuilder::new().mode(DATA_MODE).create(&probe).and_then(|()| std::fs::remove_dir(&probe));
        tried.map_err(|error| uncreatable(&data, &error))
    })
    .await
}

fn uncreatable(data: &Path, error: &std::io::Error) -> Failure {
    let remedy = "set `data` in the configuration to a folder that this user may write to, and where no file is";
    Failure::io(format!("create the folder {}", data.display()), error, remedy)
}

/// Opens the store for `millstream run`. Waits for a process that is about to give it up.
pub(crate) async fn open_store(config: &Config) -> Result<FjallStore, Failure> {
    let deadline = Instant::now() + LOCKED_WAIT;
    loop {
        if let Some(store) = try_open_store(&config.data).await? {
            return Ok(store);
        }
        let data = config.data.display();
        if let Some(mut answers) = crate::control::connect(&config.data, &Request::Status).await? {
            return Err(match answers.next().await? {
                Some(Reply::Status(StatusReport { at_work: Some(work), .. })) => busy(&work),
                _ => Failure::new(
                    format!("another `millstream run` works on {data}"),
                    "stop it first, or give each its own configuration and `data` folder",
                ),
            });
        }
        if Instant::now() > deadline {
            return Err(held(config));
        }
        sleep(LOCKED_POLL).await;
    }
}

/// Which sources have never been followed into a store.
pub(crate) async fn new_sources(config: &Config, store: FjallStore) -> Result<(FjallStore, Vec<String>), Failure> {
    let names: Vec<String> = config.sources.iter().map(|source| source.name.clone()).collect();
    blocking(move || {
        let store = Arc::new(store);
        let known = BucketReader::of_store(Arc::<FjallStore>::clone(&store) as _)?.sources()?;
        let is_known = |name: &String| known.iter().any(|source| source.name == *name && source.position.is_some());
        let new = names.into_iter().filter(|name| !is_known(name)).collect();
        let store = Arc::into_inner(store).ok_or_else(|| {
            Failure::new("the store is still being read", "this is a fault of millstream: please report it")
        })?;
        Ok((store, new))
    })
    .await
}

/// There is nothing yet that could be compared or read again.
fn unfilled(config: &Config, what: &str) -> Failure {
    Failure::new(
        format!("{what} is stored in {} yet", config.data.display()),
        "fill the buckets first: `millstream run --until-current`",
    )
}

/// Another command works on the store for itself.
fn busy(work: &str) -> Failure {
    Failure::new(
        format!("{work} is at work"),
        "wait until it has ended, then try again; `millstream status` shows how far it is",
    )
}

/// Somebody has the store and says nothing: a short command that takes long, or one that only just begins.
fn held(config: &Config) -> Failure {
    Failure::new(
        format!("another process holds the store in {} and doesn't answer commands", config.data.display()),
        format!(
            "try again in a while; if it goes on, see which it is by `cat {}`",
            store_folder(&config.data).join("lock").display()
        ),
    )
}

/// Answers a request without a running `millstream run`; `None` if another process holds the store.
pub(crate) async fn answer_alone(config: &Config, request: &Request) -> Result<Option<Answers>, Failure> {
    match request {
        Request::Verify { .. } | Request::Reload { .. } => {
            if !has_store(config) {
                return Err(unfilled(config, "nothing"));
            }
            let deployment = Deployment::load(config)?;
            let Some(store) = try_open_store(&config.data).await? else { return Ok(None) };
            // Whether a source is ready to be followed for the first time is for `run` to say.
            let (store, new) = new_sources(config, store).await?;
            if let Some(first) = new.first() {
                return Err(unfilled(config, &format!("nothing of source {first}")));
            }
            let engine = Engine::start(config, deployment, store).await?;
            Ok(Some(Answers::local(Arc::new(CatchUpService::new(engine, config.data.clone())), request.clone())))
        }
        Request::Status
        | Request::Schema
        | Request::History
        | Request::Buckets
        | Request::Rows { .. }
        | Request::Ops { .. } => {
            let Some(service) = StoredService::open(config).await? else { return Ok(None) };
            Ok(Some(Answers::local(Arc::new(service), request.clone())))
        }
    }
}

/// Asks until somebody answers, or nobody does for too long.
pub(crate) async fn ask(config: &Config, request: &Request) -> Result<Answers, Failure> {
    let deadline = Instant::now() + LOCKED_WAIT;
    loop {
        if let Some(answers) = crate::control::connect(&config.data, request).await? {
            return Ok(answers);
        }
        if let Some(answers) = answer_alone(config, request).await? {
            return Ok(answers);
        }
        if Instant::now() > deadline {
            return Err(held(config));
        }
        sleep(LOCKED_POLL).await;
    }
}

/// Does work that blocks where it may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    match spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => {
            let remedy = "this is a fault of millstream: please report it with the log";
            Err(Failure::new(format!("a step of the work broke off: {error}"), remedy))
        }
    }
}
