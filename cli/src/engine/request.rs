//! A request that needs the sources, without a `millstream run` in progress.

use tokio::sync::Mutex;

use crate::control::{Replies, Reply, Request, Service};
use crate::engine::Engine;
use crate::engine::following::within_reach;
use crate::failure::Failure;

/// Brings the buckets to the sources' positions, answers one request, and stops.
pub(crate) struct CatchUpService {
    engine: Mutex<Option<Engine>>,
}

impl CatchUpService {
    pub(super) fn new(engine: Engine) -> Self {
        Self { engine: Mutex::new(Some(engine)) }
    }
}

impl Service for CatchUpService {
    async fn answer(&self, request: Request, replies: Replies) -> Result<(), Failure> {
        let Some(mut engine) = self.engine.lock().await.take() else {
            return Err(Failure::new("a second request", "this is a fault of millstream: please report it"));
        };
        let service = engine.service();
        let sources = engine.sources().to_vec();
        let work = async {
            if service.is_deploying().await? {
                let note = "the sync config has changed: deploying it, as `millstream run` would";
                replies.send(Reply::Note(note.to_owned())).await?;
            }
            let note = "no `millstream run` is in progress: bringing the buckets up to date first";
            replies.send(Reply::Note(note.to_owned())).await?;
            let catch_up = async {
                for source in &sources {
                    within_reach(&source.handle, source.handle.until_readable()).await?;
                }
                Ok(())
            };
            service.with_progress(&replies, catch_up).await?;
            service.answer(request, replies.clone()).await
        };
        let outcome = tokio::select! {
            outcome = work => outcome,
            Some((_, failure)) = engine.lost_source() => Err(failure),
        };
        drop(service);
        // What ended a pipeline is the reason why a request to it failed.
        engine.stop().await.and(outcome)
    }
}
