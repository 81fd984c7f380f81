//! The end of the source's log as it was last asked for, and how far what is durable lies behind it.

use std::sync::Arc;
use std::time::Instant;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

use crate::change::Commit;
use crate::error::SourceError;
use crate::position::Position;
use crate::source::SourceConnector;
use crate::table::now_ms;

use super::detached::detached;

/// What came of asking for the head.
pub(super) struct HeadAsked {
    asked_at: Instant,
    answer: Result<(Position, Option<u64>), SourceError>,
}

/// What is known of the head.
#[derive(Default)]
pub(super) struct Head {
    pub(super) asked: FuturesUnordered<BoxFuture<'static, HeadAsked>>,
    position: Option<Position>,
    behind_bytes: Option<u64>,
    /// When the head was last asked for of which everything is durable: whatever isn't was committed later.
    caught_up_at: Option<Instant>,
    /// How often in a row asking has failed.
    failures: u32,
}

impl Head {
    /// Asks for the head, unless somebody waits for an answer already.
    pub(super) fn ask(&mut self, connector: &Arc<dyn SourceConnector>, durable: Option<Position>) {
        if !self.asked.is_empty() {
            return;
        }
        let (connector, asked_at) = (Arc::clone(connector), Instant::now());
        let answer = detached(async move {
            let head = connector.head().await?;
            let behind_bytes = match durable {
                Some(durable) if durable < head => connector.bytes_between(&durable, &head).await.ok().flatten(),
                Some(_) => Some(0),
                None => None,
            };
            Ok((head, behind_bytes))
        });
        self.asked.push(Box::pin(async move { HeadAsked { asked_at, answer: answer.await } }));
    }

    /// Takes in an answer. An error changes nothing of what was known.
    pub(super) fn take(&mut self, asked: HeadAsked, durable: Option<&Position>) -> Result<(), SourceError> {
        self.failures = if asked.answer.is_err() { self.failures.saturating_add(1) } else { 0 };
        let (position, behind_bytes) = asked.answer?;
        if durable.is_some_and(|durable| *durable >= position) {
            self.caught_up_at = Some(asked.asked_at);
        }
        self.position = Some(position);
        self.behind_bytes = behind_bytes;
        Ok(())
    }

    /// Whether the last question failed as the one before it did: it is asked twice a second.
    pub(super) fn fails_again(&self) -> bool {
        self.failures > 1
    }

    pub(super) fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    pub(super) fn behind_bytes(&self) -> Option<u64> {
        self.behind_bytes
    }

    /// For how long something committed has been waiting to become durable, if that is known.
    pub(super) fn behind_ms(&self, durable: Option<&Position>, accepted: Option<&Commit>) -> Option<u64> {
        match (durable, &self.position) {
            (Some(durable), Some(head)) if durable >= head => Some(0),
            (Some(_), Some(_)) => self.waiting_ms(accepted),
            _ => None,
        }
    }

    /// The oldest commit that isn't durable came after the last one that is, and after the last moment at which all were.
    fn waiting_ms(&self, accepted: Option<&Commit>) -> Option<u64> {
        let committed_at_ms = accepted.map(|commit| commit.committed_at_ms).filter(|at| *at > 0);
        let since_commit = committed_at_ms.map(|at| u64::try_from(now_ms().saturating_sub(at)).unwrap_or(0));
        let since_caught_up = self.caught_up_at.map(|at| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX));
        since_commit.into_iter().chain(since_caught_up).min()
    }
}
