//! Who is connected, so that a test can cut them off or make them wait.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::engine::session::Peers;

/// Sessions of users begin here; those before are the server's own.
const SESSION_FIRST: u32 = 51;
/// How long a session that was cut off may take to notice.
const END_TIME_MAX: Duration = Duration::from_secs(30);

/// The open connections.
#[derive(Debug, Default)]
pub struct Connections {
    open: Mutex<Open>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Open {
    connections: BTreeMap<u32, Connection>,
    /// How long each request waits before it runs.
    latency: Duration,
}

#[derive(Debug)]
struct Connection {
    cancelled: Arc<AtomicBool>,
    /// Told, it closes the socket.
    end: Arc<Notify>,
    /// The one that it is in, as far as it has told.
    database: String,
}

/// A connection's place; given up when it is dropped.
#[derive(Debug)]
pub struct Place {
    connections: Arc<Connections>,
    session_id: u32,
}

impl Place {
    pub fn session_id(&self) -> u32 {
        self.session_id
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.lock().connections.remove(&self.session_id);
        self.connections.ended.notify_all();
    }
}

impl Connections {
    /// Gives a connection the least number that is free. `cancelled` ends what its session runs, `end`, told,
    /// closes its socket.
    pub fn enter(self: &Arc<Self>, cancelled: Arc<AtomicBool>, end: Arc<Notify>) -> Place {
        let mut open = self.lock();
        let taken = |id: &u32| open.connections.contains_key(id);
        let session_id = (SESSION_FIRST..).find(|id| !taken(id)).unwrap_or(u32::MAX);
        open.connections.insert(session_id, Connection { cancelled, end, database: String::new() });
        Place { connections: Arc::clone(self), session_id }
    }

    pub fn count(&self) -> usize {
        self.lock().connections.len()
    }

    /// Cuts a connection off, as `KILL` does, and waits until its transaction is rolled back. False where there is none.
    pub fn kill(&self, session_id: u32) -> bool {
        let open = self.lock();
        let Some(connection) = open.connections.get(&session_id) else { return false };
        cut(connection);
        self.wait(open, |open| open.connections.contains_key(&session_id));
        true
    }

    /// Cuts all connections off, and waits until their transactions are rolled back. Gives their number.
    pub fn kill_all(&self) -> usize {
        let open = self.lock();
        let doomed: Vec<u32> = open.connections.keys().copied().collect();
        open.connections.values().for_each(cut);
        self.wait(open, |open| doomed.iter().any(|id| open.connections.contains_key(id)));
        doomed.len()
    }

    pub fn latency(&self) -> Duration {
        self.lock().latency
    }

    /// Lets each request wait so long before it runs.
    pub fn set_latency(&self, latency: Duration) {
        self.lock().latency = latency;
    }

    /// Notes which database a connection is in.
    pub fn set_database(&self, session_id: u32, database: String) {
        if let Some(connection) = self.lock().connections.get_mut(&session_id) {
            connection.database = database;
        }
    }

    fn wait(&self, open: MutexGuard<'_, Open>, still: impl Fn(&Open) -> bool) {
        drop(self.ended.wait_timeout_while(open, END_TIME_MAX, |open| still(open)));
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peers for Connections {
    fn end(&self, session_id: u32) -> bool {
        self.kill(session_id)
    }

    fn end_others_in(&self, database: &str, session_id: u32) {
        let open = self.lock();
        let inside = |(id, connection): (&u32, &Connection)| {
            (*id != session_id && connection.database.eq_ignore_ascii_case(database)).then_some(*id)
        };
        let doomed: Vec<u32> = open.connections.iter().filter_map(inside).collect();
        doomed.iter().filter_map(|id| open.connections.get(id)).for_each(cut);
        self.wait(open, |open| doomed.iter().any(|id| open.connections.contains_key(id)));
    }
}

fn cut(connection: &Connection) {
    connection.cancelled.store(true, Ordering::Release);
    connection.end.notify_one();
}
