//! Questions to a source that go on by themselves.
//!
//! The pipeline is one task that now waits for its questions' answers and now for something else, the opening of a
//! stream for instance. A question that it merely held would stand still meanwhile, with a connection in its hands that
//! the other may be waiting for: neither would ever go on.

use crate::error::SourceError;

/// Runs a question as a task of its own, which ends by itself if nobody waits for the answer any more.
pub(super) async fn detached<T: Send + 'static>(
    question: impl Future<Output = Result<T, SourceError>> + Send + 'static,
) -> Result<T, SourceError> {
    match tokio::spawn(question).await {
        Ok(answer) => answer,
        Err(error) => Err(SourceError::transient("ask the source", error)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use futures::FutureExt;
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn a_question_gives_back_what_it_holds_though_nobody_looks_at_it() {
        let connections = Arc::new(Semaphore::new(1));
        let question = {
            let connections = Arc::clone(&connections);
            async move {
                let held = connections.acquire_owned().await.map_err(|e| SourceError::transient("wait", e))?;
                tokio::time::sleep(Duration::from_millis(10)).await;
                drop(held);
                Ok(())
            }
        };
        let mut asked = Box::pin(detached(question));
        assert!(asked.as_mut().now_or_never().is_none(), "it takes a while");
        tokio::task::yield_now().await;
        let held = tokio::time::timeout(Duration::from_secs(5), connections.acquire()).await;
        assert!(held.is_ok(), "somebody else gets the connection");
    }
}
