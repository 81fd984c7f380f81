//! A connection seen from outside: how many questions pass, how many bytes, and how long they take.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use crate::failure::Failure;

const BUFFER_BYTES: usize = 64 * 1_024;

/// Questions and answers without a longer pause between them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exchange {
    began: Instant,
    ended: Instant,
    pub(super) round_trips: u64,
    /// To the server and from it, as encrypted.
    pub(super) bytes: u64,
}

impl Exchange {
    pub(super) fn took(&self) -> Duration {
        self.ended - self.began
    }
}

/// Forwards a port of its own to the server, and takes notes.
pub(super) struct Meter {
    address: SocketAddr,
    notes: Arc<Mutex<Notes>>,
    listener: AbortHandle,
}

struct Notes {
    /// What follows such a pause belongs to the next exchange.
    pause: Duration,
    last: Option<(Instant, From)>,
    exchanges: Vec<Exchange>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Client,
    Server,
}

impl Meter {
    pub(super) async fn start(server: SocketAddr, pause: Duration) -> Result<Self, Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(Failure::own("listening"))?;
        let address = listener.local_addr().map_err(Failure::own("listening"))?;
        let notes = Arc::new(Mutex::new(Notes { pause, last: None, exchanges: Vec::new() }));
        let listener = tokio::spawn(accept(listener, server, Arc::clone(&notes))).abort_handle();
        Ok(Self { address, notes, listener })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was exchanged since the last call. The newest may not be over, and isn't counted.
    pub(super) fn take(&self) -> Vec<Exchange> {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let last = notes.exchanges.pop();
        let taken = std::mem::take(&mut notes.exchanges);
        notes.exchanges.extend(last);
        taken
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Notes {
    fn pass(&mut self, from: From, bytes: usize) {
        let now = Instant::now();
        let last = self.last.replace((now, from));
        let asks = from == From::Client && last.is_none_or(|(_, before)| before == From::Server);
        if asks && last.is_none_or(|(at, _)| now - at >= self.pause) {
            self.exchanges.push(Exchange { began: now, ended: now, round_trips: 0, bytes: 0 });
        }
        if let Some(exchange) = self.exchanges.last_mut() {
            exchange.ended = now;
            exchange.round_trips += u64::from(asks);
            exchange.bytes += bytes as u64;
        }
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, notes: Arc<Mutex<Notes>>) {
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = TcpStream::connect(server).await else { continue };
        if client.set_nodelay(true).and(server.set_nodelay(true)).is_err() {
            continue;
        }
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::spawn(forward(from_client, to_server, From::Client, Arc::clone(&notes)));
        tokio::spawn(forward(from_server, to_client, From::Server, Arc::clone(&notes)));
    }
}

/// Until one of the two has had enough.
async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, side: From, notes: Arc<Mutex<Notes>>) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
        notes.lock().unwrap_or_else(PoisonError::into_inner).pass(side, bytes);
        let Some(part) = buffer.get(..bytes) else { return };
        if to.write_all(part).await.is_err() {
            return;
        }
    }
}
