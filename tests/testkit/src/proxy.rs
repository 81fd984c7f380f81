//! A TCP proxy that breaks connections on purpose.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::error::{Error, io};

const CONNECTIONS_MAX: usize = 256;
const BUFFER_BYTES: usize = 16 * 1024;
/// A throttled connection moves in steps of this length, so that its rate is even.
const THROTTLE_STEP: Duration = Duration::from_millis(20);
const STEPS_PER_SECOND: u64 = 50;
const NO_CUT: i64 = i64::MAX;

/// Forwards a port of its own on 127.0.0.1 to a server, and misbehaves when told to. Dropping it closes everything.
///
/// The faults concern both directions, except [`cut_after`](Self::cut_after), which counts what the server sends.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    target: Mutex<SocketAddr>,
    faults: watch::Sender<Faults>,
    /// How many more bytes of the server pass before all connections are cut.
    bytes_until_cut: AtomicI64,
    bytes_from_server: AtomicU64,
    open: AtomicUsize,
    accepted: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    stalled: bool,
    refusing: bool,
    bytes_per_second: Option<u64>,
    /// Connections that began under an older number are to end.
    cuts: u64,
}

impl FaultProxy {
    /// Starts a proxy to this address, as [`Endpoint::address`](crate::Endpoint::address) gives it. It belongs to the
    /// runtime it is started in.
    pub async fn start(target: SocketAddr) -> Result<Self, Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(io("listen on", "127.0.0.1"))?;
        let address = listener.local_addr().map_err(io("listen on", "127.0.0.1"))?;
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            faults: watch::Sender::new(Faults::default()),
            bytes_until_cut: AtomicI64::new(NO_CUT),
            bytes_from_server: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
        });
        let listener = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Ok(Self { address, shared, listener })
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port of [`address`](Self::address).
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Forwards new connections to another server from now on, as a failover does.
    pub fn set_target(&self, target: SocketAddr) {
        *self.shared.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// Cuts every open connection now. New ones are accepted.
    pub fn cut_all(&self) {
        self.shared.cut();
    }

    /// Cuts every connection once the server has sent this many more bytes, over all connections together. The last
    /// byte before the cut is still delivered. Later connections are not concerned.
    pub fn cut_after(&self, bytes: u32) {
        self.shared.bytes_until_cut.store(i64::from(bytes), Ordering::SeqCst);
    }

    /// Forwards nothing more until [`resume`](Self::resume), and keeps the connections open: a peer that has hung.
    pub fn stall(&self) {
        self.shared.faults.send_modify(|faults| faults.stalled = true);
    }

    /// Ends [`stall`](Self::stall); what was held back is delivered.
    pub fn resume(&self) {
        self.shared.faults.send_modify(|faults| faults.stalled = false);
    }

    /// Lets each connection pass at most this many bytes a second in each direction; `None` ends it.
    pub fn throttle(&self, bytes_per_second: Option<u64>) {
        self.shared.faults.send_modify(|faults| faults.bytes_per_second = bytes_per_second);
    }

    /// While on, closes new connections as soon as they are made. Open ones are not concerned.
    pub fn refuse(&self, on: bool) {
        self.shared.faults.send_modify(|faults| faults.refusing = on);
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// How many connections were made in all, the refused ones included.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// How many bytes of the server were passed on in all.
    pub fn bytes_from_server(&self) -> u64 {
        self.shared.bytes_from_server.load(Ordering::SeqCst)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.listener.abort();
        self.shared.cut();
    }
}

impl Shared {
    fn cut(&self) {
        self.faults.send_modify(|faults| faults.cuts += 1);
    }

    fn target(&self) -> SocketAddr {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many of these bytes of the server may pass before a cut, and whether the cut is due.
    fn take_until_cut(&self, bytes: usize) -> (usize, bool) {
        if self.bytes_until_cut.load(Ordering::SeqCst) == NO_CUT {
            return (bytes, false);
        }
        let wanted = i64::try_from(bytes).unwrap_or(NO_CUT);
        let before = self.bytes_until_cut.fetch_sub(wanted, Ordering::SeqCst);
        if before > wanted {
            return (bytes, false);
        }
        self.bytes_until_cut.store(NO_CUT, Ordering::SeqCst);
        (usize::try_from(before.max(0)).unwrap_or(0), true)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // Waiting for a place before accepting bounds the connections; the rest wait in the kernel's queue.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        // An error concerns one connection attempt, which its maker sees fail.
        let Ok((client, _)) = listener.accept().await else { continue };
        shared.accepted.fetch_add(1, Ordering::SeqCst);
        if shared.faults.borrow().refusing {
            continue;
        }
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            shared.open.fetch_add(1, Ordering::SeqCst);
            forward(client, &shared).await;
            shared.open.fetch_sub(1, Ordering::SeqCst);
            drop(place);
        });
    }
}

async fn forward(client: TcpStream, shared: &Shared) {
    let mut faults = shared.faults.subscribe();
    let cuts = faults.borrow_and_update().cuts;
    let Ok(server) = TcpStream::connect(shared.target()).await else { return };
    for stream in [&client, &server] {
        // A socket that is closing may refuse; then there is nothing to delay either.
        let _set = stream.set_nodelay(true);
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let upward = pump(from_client, to_server, shared, Direction::ToServer);
    let downward = pump(from_server, to_client, shared, Direction::ToClient);
    // A protocol in which one side half-closes would need both to end; MySQL's has none.
    tokio::select! {
        () = upward => {}
        () = downward => {}
        _ = faults.wait_for(|faults| faults.cuts != cuts) => {}
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared, direction: Direction) {
    let mut faults = shared.faults.subscribe();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let limit = match faults.borrow_and_update().bytes_per_second {
            Some(rate) => usize::try_from((rate / STEPS_PER_SECOND).max(1)).unwrap_or(BUFFER_BYTES).min(BUFFER_BYTES),
            None => BUFFER_BYTES,
        };
        let Some(space) = buffer.get_mut(..limit) else { return };
        let Ok(count @ 1..) = from.read(space).await else { return };
        // Looked at after the read: a stall begins with what has not been delivered yet.
        if faults.wait_for(|faults| !faults.stalled).await.is_err() {
            return;
        }
        let (count, cut) = match direction {
            Direction::ToServer => (count, false),
            Direction::ToClient => shared.take_until_cut(count),
        };
        let Some(bytes) = buffer.get(..count) else { return };
        if to.write_all(bytes).await.is_err() {
            return;
        }
        if direction == Direction::ToClient {
            shared.bytes_from_server.fetch_add(count as u64, Ordering::SeqCst);
        }
        if cut {
            shared.cut();
            return;
        }
        if faults.borrow().bytes_per_second.is_some() {
            sleep(THROTTLE_STEP).await;
        }
    }
}
