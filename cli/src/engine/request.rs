//! A request that needs the sources, without a `millstream run` in progress.

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::join_all;
use millstream_core::table::now_ms;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::control::{ControlSocket, Replies, Reply, Request, Service};
use crate::engine::Engine;
use crate::engine::following::{FollowingService, within_reach};
use crate::failure::Failure;
use crate::output::iso;

/// Brings the buckets to the sources' positions, answers one request, and stops.
pub(crate) struct CatchUpService {
    engine: Mutex<Option<Engine>>,
    data: PathBuf,
}

impl CatchUpService {
    pub(super) fn new(engine: Engine, data: PathBuf) -> Self {
        Self { engine: Mutex::new(Some(engine)), data }
    }
}

impl Service for CatchUpService {
    async fn answer(&self, request: Request, replies: Replies) -> Result<(), Failure> {
        let Some(mut engine) = self.engine.lock().await.take() else {
            return Err(Failure::new("a second request", "this is a fault of millstream: please report it"));
        };
        // This may take hours, in which other commands find the store locked.
        let beside = Arc::new(engine.service_beside(described(&request)));
        let outcome = match ControlSocket::bind(&self.data) {
            Ok(socket) => {
                let stop_serving = CancellationToken::new();
                let serving = tokio::spawn(socket.serve(beside, stop_serving.clone()));
                let outcome = work(&mut engine, request, replies).await;
                stop_serving.cancel();
                // Commands in progress were told by the token; a panic among them is theirs alone.
                let _served = serving.await;
                outcome
            }
            Err(failure) => {
                drop(beside);
                Err(failure)
            }
        };
        match (engine.stop().await, outcome) {
            // An answer stands. It says what ended a source, and what could not be stored is read again.
            (Err(failure), Ok(())) => {
                tracing::warn!(%failure, "stopped with an error after the answer");
                Ok(())
            }
            // What ended a pipeline is the reason why a request to it failed.
            (stopped, outcome) => stopped.and(outcome),
        }
    }
}

/// Answers as long as any source is followed.
async fn work(engine: &mut Engine, request: Request, replies: Replies) -> Result<(), Failure> {
    let service = engine.service();
    let work = catch_up_and_answer(&service, engine.sources().to_vec(), request, replies);
    tokio::pin!(work);
    loop {
        tokio::select! {
            outcome = &mut work => return outcome,
            // The others go on, and the answer says which is missing. What ended the last one is the reason why a
            // request to it failed.
            Some((_, failure)) = engine.lost_source() => {
                if !engine.is_following() {
                    return Err(failure);
                }
            }
        }
    }
}

async fn catch_up_and_answer(
    service: &FollowingService,
    sources: Vec<super::Followed>,
    request: Request,
    replies: Replies,
) -> Result<(), Failure> {
    if service.is_deploying().await? {
        let note = "the sync config has changed: deploying it, as `millstream run` would";
        replies.send(Reply::Note(note.to_owned())).await?;
    }
    let note = "no `millstream run` is in progress: bringing the buckets up to date first";
    replies.send(Reply::Note(note.to_owned())).await?;
    let catch_up = async {
        // A source that can't be reached is told by the answer, which asks it as well.
        join_all(sources.iter().map(|source| within_reach(&source.handle, source.handle.until_readable(None)))).await;
        Ok(())
    };
    service.with_progress(&replies, catch_up).await?;
    service.answer(request, replies.clone()).await
}

/// The command that asks so, for others who want to know.
fn described(request: &Request) -> String {
    let command = match request {
        Request::Reload { .. } => "reload",
        _ => "verify",
    };
    format!("`millstream {command}`, begun at {},", iso(now_ms()))
}
