//! One connection: a task reads its requests, a thread runs them, and another task writes the answers.
//!
//! The engine is synchronous, and waits for locks, so it has a thread. What it answers passes through a short queue to
//! the socket, so a result of any size takes little memory; the thread waits while the client is behind. Requests pass
//! through a queue in their order, attentions with them: an attention raises the flag that ends what runs at once, and is
//! acknowledged at the end of the response that it cut short, which puts the flag back. A client sends nothing between an attention and its
//! acknowledgement, so the flag can't hit a later request.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Notify, mpsc};

use crate::tds::login::Login;
use crate::tds::packet::{self, Kind, Message};

use super::Host;
use super::worker::Worker;

/// The longest request, a value of `max` length within it.
const REQUEST_BYTES_MAX: usize = 256 << 20;
/// Answers between the engine and the socket, each a few packets.
const ANSWERS_MAX: usize = 4;
/// Enough for statements with a thousand unions in one another.
pub const STACK_BYTES: usize = 256 << 20;

/// What a client sends.
#[derive(Debug)]
pub enum Incoming {
    Request(Message),
    Attention,
}

/// Ends what the engine runs when the connection's task ends, for whatever reason it does.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Serves a client that has sent its login, until it goes, or is sent away.
pub async fn serve<S>(stream: S, login: Login, encrypted: bool, host: Arc<Host>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let cancelled = Arc::new(AtomicBool::new(false));
    let (reader, writer) = tokio::io::split(stream);
    let (to_engine, from_client) = mpsc::channel(1);
    let (to_client, from_engine) = mpsc::channel(ANSWERS_MAX);
    let end = Arc::new(Notify::new());
    let place = host.connections.enter(cancelled.clone(), end.clone());
    let worker = Worker::new(host, place, cancelled.clone(), encrypted, from_client, to_client);
    thread::Builder::new()
        .name("sqlserver-sim session".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || worker.run(login))?;

    let cancel = CancelOnDrop(cancelled);
    // The one that ends first ends the other: a client that has gone reads no answers, and a session that the server
    // has ended takes no requests.
    tokio::select! {
        done = read(reader, &cancel, to_engine) => done,
        done = write(writer, from_engine) => done,
        () = end.notified() => Ok(()),
    }
}

async fn read<S>(mut reader: ReadHalf<S>, cancel: &CancelOnDrop, to_engine: mpsc::Sender<Incoming>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite,
{
    loop {
        let incoming = match packet::read_message(&mut reader, REQUEST_BYTES_MAX).await {
            Ok(None) => return Ok(()),
            Ok(Some(Message { kind: Kind::Attention, .. })) => {
                cancel.0.store(true, Ordering::Release);
                Incoming::Attention
            }
            Ok(Some(message)) => Incoming::Request(message),
            Err(error) => return Err(io::Error::other(error)),
        };
        if to_engine.send(incoming).await.is_err() {
            // The session is over; the rest of its answer is being written.
            std::future::pending::<()>().await;
        }
    }
}

async fn write<S>(mut writer: WriteHalf<S>, mut from_engine: mpsc::Receiver<Vec<u8>>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite,
{
    while let Some(bytes) = from_engine.recv().await {
        writer.write_all(&bytes).await?;
        if from_engine.is_empty() {
            writer.flush().await?;
        }
    }
    writer.shutdown().await
}
