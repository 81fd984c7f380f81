//! The listening side: part of whatever follows the sources.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::codec::{Framed, LinesCodec};
use tokio_util::sync::CancellationToken;

use crate::control::address::Address;
use crate::control::{REPLIES_QUEUED_MAX, Replies, Reply, Request, Service};
use crate::failure::Failure;

/// A request names a few tables at most.
const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// How long a client may take to say what it wants.
const REQUEST_WAIT: Duration = Duration::from_secs(10);
/// How many commands are answered at once; more wait for their turn.
const CONNECTIONS_MAX: usize = 16;
/// For the user that runs millstream alone.
const SOCKET_MODE: u32 = 0o600;

/// A socket that listens. Dropping it removes its file.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    listener: UnixListener,
    file: std::path::PathBuf,
}

impl ControlSocket {
    /// Begins to listen in a data folder. Only the holder of the store's lock may call this: a socket that a killed
    /// process left behind is replaced without asking.
    pub(crate) fn bind(folder: &Path) -> Result<Self, Failure> {
        let bound = || -> io::Result<Self> {
            // Made under another name and given its mode before anybody can find it.
            let new_name = "control.sock.new";
            let new = Address::of(folder, new_name)?;
            match fs::remove_file(new.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let listener = UnixListener::bind(new.path())?;
            fs::set_permissions(new.path(), Permissions::from_mode(SOCKET_MODE))?;
            let address = Address::of_socket(folder)?;
            fs::rename(new.path(), address.path())?;
            let file = folder.join(address.path().file_name().unwrap_or_default());
            Ok(Self { listener, file })
        };
        bound().map_err(|error| {
            let what = format!("listen for commands in {}", folder.display());
            Failure::io(what, &error, "put `data` into a folder on a local disk that this user may write to")
        })
    }

    /// Answers commands until `stop` is cancelled.
    pub(crate) async fn serve<S: Service>(self, service: Arc<S>, stop: CancellationToken) {
        let turns = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (service, stop, turns) = (Arc::clone(&service), stop.clone(), Arc::clone(&turns));
                    tokio::spawn(async move {
                        let Ok(_turn) = turns.acquire().await else { return };
                        tokio::select! {
                            () = stop.cancelled() => {}
                            outcome = converse(stream, &*service) => {
                                // The client has its own message, or has gone.
                                if let Err(error) = outcome {
                                    tracing::debug!(%error, "a command ended before it was answered");
                                }
                            }
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a command couldn't connect");
                    // Out of file handles, most likely: they come back when others are done.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // A file that stays behind does no harm: the next one replaces it.
        let _removed = fs::remove_file(&self.file);
    }
}

async fn converse<S: Service>(stream: UnixStream, service: &S) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut lines = Framed::new(stream, LinesCodec::new_with_max_length(REQUEST_BYTES_MAX));
    let line = match timeout(REQUEST_WAIT, lines.next()).await? {
        Some(line) => line,
        None => return Ok(()),
    };
    let request: Request = match line
        .map_err(|error| error.to_string())
        .and_then(|line| serde_json::from_str(&line).map_err(|error| error.to_string()))
    {
        Ok(request) => request,
        Err(error) => {
            let failed = Reply::Failed {
                diagnosis: format!("the running millstream doesn't understand this command: {error}"),
                remedy: Some("use the same version of millstream for the command and for `run`".into()),
            };
            return Ok(lines.send(serde_json::to_string(&failed)?).await?);
        }
    };
    let (sender, mut replies) = mpsc::channel(REPLIES_QUEUED_MAX);
    let work = service.answer(request, Replies(sender));
    tokio::pin!(work);
    let mut outcome = None;
    loop {
        tokio::select! {
            ended = &mut work, if outcome.is_none() => outcome = Some(ended),
            reply = replies.recv() => match reply {
                Some(reply) => lines.feed(serde_json::to_string(&reply)?).await?,
                None => break,
            },
        }
        if replies.is_empty() {
            SinkExt::<String>::flush(&mut lines).await?;
        }
    }
    let last = match outcome {
        Some(Err(failure)) => failed(&failure),
        // All senders are gone: either it has ended well, or it has just now.
        Some(Ok(())) => Reply::End,
        None => match work.await {
            Ok(()) => Reply::End,
            Err(failure) => failed(&failure),
        },
    };
    Ok(lines.send(serde_json::to_string(&last)?).await?)
}

fn failed(failure: &Failure) -> Reply {
    match failure {
        Failure::Trouble { diagnosis, remedy } => {
            Reply::Failed { diagnosis: diagnosis.clone(), remedy: remedy.clone() }
        }
        other => Reply::Failed { diagnosis: other.to_string(), remedy: None },
    }
}
