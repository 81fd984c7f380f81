//! `millstream run`: reads the tables, then follows their changes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use console::style;
use futures::future::{Either, join, pending};
use millstream_core::source::{Problem, Severity};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::arguments::Run;
use crate::config::Config;
use crate::control::ControlSocket;
use crate::deployment::{Deployment, PATTERN_SUBJECT};
use crate::engine::{self, Engine, Waiting};
use crate::failure::{Failure, INTERRUPTED};
use crate::log;
use crate::output::Bars;

/// How often progress bars move.
const BARS_INTERVAL: Duration = Duration::from_millis(200);

pub(super) async fn execute(arguments: &Run, config_file: &Path) -> Result<(), Failure> {
    // First of all, so that a signal is never lost, whoever started this.
    let mut signals = Signals::listen()?;
    let config = Config::load(config_file)?;
    let deployment = Deployment::load(&config)?;
    let mut bars = Bars::new();
    log::start(arguments.log_format, bars.terminal());

    let engine = tokio::select! {
        engine = prepare(&config, deployment) => engine?,
        () = signals.next() => {
            info!("stopped before anything was read");
            return Ok(());
        }
    };
    let socket = ControlSocket::bind(&config.data)?;
    let stop_serving = CancellationToken::new();
    let serving = tokio::spawn(socket.serve(Arc::new(engine.service()), stop_serving.clone()));
    let names: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
    info!(sources = names.join(", "), data = %config.data.display(), "following");

    let (engine, outcome) = follow(engine, arguments.until_current, &mut signals, &mut bars).await;
    stop_serving.cancel();
    // Commands in progress were told by the token; a panic among them is theirs alone.
    let _served = serving.await;
    bars.clear();
    let stopped = tokio::select! {
        stopped = engine.stop() => stopped,
        () = signals.next() => {
            warn!("stopped at once; what wasn't stored yet is read again next time");
            std::process::exit(i32::from(INTERRUPTED));
        }
    };
    info!("stopped");
    // What ended a pipeline is the reason why waiting for it failed.
    stopped.and(outcome)
}

/// Everything up to following: the store, sources that are ready, the pipelines.
async fn prepare(config: &Config, deployment: Deployment) -> Result<Engine, Failure> {
    let store = if engine::has_store(config) {
        let (store, new_sources) = engine::new_sources(config, engine::open_store(config).await?).await?;
        refuse_unready(config, &deployment, &new_sources).await?;
        store
    } else {
        // Every source is new. One waits for the disk and the other for the network, so they go on side by side.
        let names: Vec<String> = config.sources.iter().map(|source| source.name.clone()).collect();
        let (store, ready) = join(engine::open_store(config), refuse_unready(config, &deployment, &names)).await;
        let store = store?;
        ready?;
        store
    };
    Engine::start(config, deployment, store).await
}

/// Follows the sources until there is a reason to stop.
async fn follow(
    mut engine: Engine,
    until_current: bool,
    signals: &mut Signals,
    bars: &mut Bars,
) -> (Engine, Result<(), Failure>) {
    let current = if until_current { Either::Left(engine.until_current()) } else { Either::Right(pending()) };
    tokio::pin!(current);
    let mut ticker = interval(BARS_INTERVAL);
    let mut waiting = Waiting::new();
    let mut first_lost = None;
    let outcome = loop {
        tokio::select! {
            () = signals.next() => {
                info!("stopping; again to stop at once");
                break first_lost.map_or(Ok(()), Err);
            }
            outcome = &mut current => {
                report_held(&engine);
                break outcome;
            }
            Some((source, failure)) = engine.lost_source() => {
                // The others go on: one source's trouble stays its own. Waiting for all would wait for ever, though.
                if until_current || !engine.is_following() {
                    break Err(failure);
                }
                error!(%source, "{failure}");
                first_lost.get_or_insert(failure);
            }
            _ = ticker.tick() => {
                bars.show(&engine::progress(engine.sources()));
                if until_current && let Some(news) = waiting.news(engine.sources()) {
                    info!("{news}");
                }
            }
        }
    };
    (engine, outcome)
}

/// A table that is held is current in the sense of the command, and yet something should be done about it.
fn report_held(engine: &Engine) {
    for source in engine.sources() {
        for table in source.handle.status().tables.iter().filter(|table| table.state == "held") {
            warn!(source = %source.name, table = %table.table, reason = table.reason.as_deref(), "held");
        }
    }
}

/// A source that was never followed must be ready: whoever starts it for the first time wants to know. One that was
/// may be away for a while; the pipeline waits for it.
async fn refuse_unready(config: &Config, deployment: &Deployment, new_sources: &[String]) -> Result<(), Failure> {
    for source in config.sources.iter().filter(|source| new_sources.contains(&source.name)) {
        let problems = source.connector()?.check(&deployment.selection(source)).await?;
        let (errors, warnings): (Vec<_>, Vec<_>) =
            problems.into_iter().partition(|problem| problem.severity == Severity::Error);
        for problem in warnings {
            warn!(source = %source.name, remedy = problem.remedy, "{}: {}", subject(&problem), problem.found);
        }
        let Some((last, others)) = errors.split_last() else { continue };
        let mut text = format!("source {} isn't ready", style(&source.name).bold());
        for problem in others {
            text.push_str(&format!("\n{}: {}\n  fix: {}", subject(problem), problem.found, problem.remedy));
        }
        text.push_str(&format!("\n{}: {}", subject(last), last.found));
        return Err(Failure::new(text, last.remedy.clone()));
    }
    Ok(())
}

/// What a problem is about, as the sync config has it: a table, or tables with a wildcard.
fn subject(problem: &Problem) -> String {
    match problem.subject.strip_prefix(PATTERN_SUBJECT) {
        Some(tables) if tables.ends_with('%') => format!("tables {tables}"),
        Some(table) => format!("table {table}"),
        None => problem.subject.clone(),
    }
}

/// Ctrl-C and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::io("listen for signals", &error, "see the limits on this process"))
        };
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
