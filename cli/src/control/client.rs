//! The asking side: part of every other command.

use std::io;
use std::path::Path;
use std::sync::Arc;

use futures::{SinkExt, StreamExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_util::codec::{Framed, LinesCodec};

use crate::control::address::Address;
use crate::control::{REPLIES_QUEUED_MAX, Replies, Reply, Request, Service};
use crate::failure::Failure;

/// A row's JSON, escaped, and its surroundings: more than any database's row gives.
const REPLY_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// The replies to one request.
pub(crate) enum Answers {
    /// From a `millstream run`.
    Remote(Box<Framed<UnixStream, LinesCodec>>),
    /// From this process.
    Local(mpsc::Receiver<Result<Reply, Failure>>),
}

/// Asks the `millstream run` on this data folder; `None` if there is none that listens.
pub(crate) async fn connect(folder: &Path, request: &Request) -> Result<Option<Answers>, Failure> {
    let trouble = |error: io::Error| {
        let what = format!("talk to the running millstream through {}", folder.display());
        Failure::io(what, &error, "run the command as the user that runs millstream")
    };
    let address = match Address::of_socket(folder) {
        Ok(address) => address,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(trouble(error)),
    };
    let stream = match UnixStream::connect(address.path()).await {
        Ok(stream) => stream,
        // Nobody listens: the folder or the socket isn't there, or its process was killed.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(trouble(error)),
    };
    let mut lines = Framed::new(stream, LinesCodec::new_with_max_length(REPLY_BYTES_MAX));
    let text = serde_json::to_string(request).map_err(|error| trouble(error.into()))?;
    lines.send(text).await.map_err(|error| trouble(io::Error::other(error)))?;
    Ok(Some(Answers::Remote(Box::new(lines))))
}

impl Answers {
    /// Lets a service in this process answer.
    pub(crate) fn local<S: Service>(service: Arc<S>, request: Request) -> Self {
        let (sender, mut replies) = mpsc::channel(REPLIES_QUEUED_MAX);
        let (answers, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            let forward = async {
                while let Some(reply) = replies.recv().await {
                    if answers.send(Ok(reply)).await.is_err() {
                        // The reader has enough; so has the service, at its next reply.
                        replies.close();
                    }
                }
            };
            let (outcome, ()) = tokio::join!(service.answer(request, Replies(sender)), forward);
            let last = outcome.map(|()| Reply::End);
            // A reader that has gone needs no end.
            let _told = answers.send(last).await;
        });
        Answers::Local(receiver)
    }

    /// The next reply; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Reply>, Failure> {
        let reply = match self {
            Answers::Remote(lines) => remote(lines).await?,
            Answers::Local(receiver) => receiver.recv().await.unwrap_or(Ok(Reply::End))?,
        };
        match reply {
            Reply::End => Ok(None),
            Reply::Failed { diagnosis, remedy } => Err(Failure::Trouble { diagnosis, remedy }),
            reply => Ok(Some(reply)),
        }
    }
}

async fn remote(lines: &mut Framed<UnixStream, LinesCodec>) -> Result<Reply, Failure> {
    const REMEDY: &str = "see its log for why, and try again";
    match lines.next().await {
        Some(Ok(line)) => serde_json::from_str(&line).map_err(|error| {
            Failure::new(
                format!("the running millstream answered something else than this version expects: {error}"),
                "use the same version of millstream for the command and for `run`",
            )
        }),
        Some(Err(error)) => Err(Failure::new(format!("the running millstream's answer broke off: {error}"), REMEDY)),
        None => Err(Failure::new("the running millstream stopped before it had answered", REMEDY)),
    }
}
