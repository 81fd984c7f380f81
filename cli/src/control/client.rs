//! The asking side: part of every other command.

use std::io;
use std::path::Path;
use std::sync::Arc;

use futures::{SinkExt, StreamExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_util::codec::{Framed, LinesCodec, LinesCodecError};

use crate::control::address::Address;
use crate::control::{REPLIES_QUEUED_MAX, Replies, Reply, Request, Service};
use crate::failure::Failure;

/// A row's JSON, escaped, and its surroundings: more than any database's row gives.
const REPLY_BYTES_MAX: usize = 1024 * 1024 * 1024;

const TRY_AGAIN: &str = "see its log for why, and try again";

/// The replies to one request.
pub(crate) enum Answers {
    /// From a `millstream run`, the first of which has arrived already.
    Remote { first: Option<Reply>, rest: Box<Framed<UnixStream, LinesCodec>> },
    /// From this process.
    Local(mpsc::Receiver<Result<Reply, Failure>>),
}

/// Asks the `millstream run` on this data folder; `None` if there is none that listens, or if it stops or is killed
/// before it has begun to answer.
pub(crate) async fn connect(folder: &Path, request: &Request) -> Result<Option<Answers>, Failure> {
    let trouble = |error: io::Error| {
        if error.kind() == io::ErrorKind::NotADirectory {
            let remedy = "set `data` in the configuration to a folder, or move the file away";
            return Failure::new(format!("{} isn't a folder", folder.display()), remedy);
        }
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
        Err(error) if is_nobody(error.kind()) => return Ok(None),
        Err(error) => return Err(trouble(error)),
    };
    let mut lines = Framed::new(stream, LinesCodec::new_with_max_length(REPLY_BYTES_MAX));
    let text = serde_json::to_string(request).map_err(|error| trouble(error.into()))?;
    if lines.send(text).await.is_err() {
        return Ok(None);
    }
    match lines.next().await {
        None | Some(Err(LinesCodecError::Io(_))) => Ok(None),
        Some(Err(error @ LinesCodecError::MaxLineLengthExceeded)) => Err(broken_off(&error)),
        Some(Ok(line)) => Ok(Some(Answers::Remote { first: Some(understood(&line)?), rest: Box::new(lines) })),
    }
}

/// Nobody listens (any more): the socket isn't there, or its process was killed, maybe at this very moment.
fn is_nobody(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotFound};
    matches!(kind, NotFound | ConnectionRefused | ConnectionReset | BrokenPipe)
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
            Answers::Remote { first, rest } => match first.take() {
                Some(reply) => reply,
                None => remote(rest).await?,
            },
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
    match lines.next().await {
        Some(Ok(line)) => understood(&line),
        Some(Err(error)) => Err(broken_off(&error)),
        None => Err(Failure::new("the running millstream stopped before it had answered", TRY_AGAIN)),
    }
}

fn understood(line: &str) -> Result<Reply, Failure> {
    serde_json::from_str(line).map_err(|error| {
        Failure::new(
            format!("the running millstream answered something else than this version expects: {error}"),
            "use the same version of millstream for the command and for `run`",
        )
    })
}

fn broken_off(error: &LinesCodecError) -> Failure {
    Failure::new(format!("the running millstream's answer broke off: {error}"), TRY_AGAIN)
}
