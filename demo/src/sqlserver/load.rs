//! Changes of rows, all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use millstream_sqlserver_sim::{ScriptError, SqlServerSim};

use super::shop::{DATABASE, PRODUCTS};
use crate::Outcome;

/// Between two transactions.
const PAUSE: Duration = Duration::from_millis(5);
/// How many rows a transaction changes.
const ROWS: u64 = 4;

/// A busy shop. Dropping it ends the load.
pub(crate) struct Load {
    server: Arc<SqlServerSim>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<(), ScriptError>>>,
}

#[derive(Default)]
struct Shared {
    ended: AtomicBool,
    changes: AtomicU64,
}

impl Load {
    pub(crate) fn start(server: SqlServerSim) -> Self {
        let (server, shared) = (Arc::new(server), Arc::<Shared>::default());
        let thread = thread::spawn({
            let (server, shared) = (Arc::clone(&server), Arc::clone(&shared));
            move || shop(&server, &shared)
        });
        Self { server, shared, thread: Some(thread) }
    }

    pub(crate) fn server(&self) -> &SqlServerSim {
        &self.server
    }

    /// How many rows were changed so far.
    pub(crate) fn changes(&self) -> u64 {
        self.shared.changes.load(Ordering::Relaxed)
    }

    /// Ends it; gives the server and how many rows were changed.
    pub(crate) fn stop(mut self) -> Outcome<(Arc<SqlServerSim>, u64)> {
        self.shared.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().map_err(|_| "the load broke off")??;
        }
        Ok((Arc::clone(&self.server), self.changes()))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
    }
}

/// Orders come in and prices change, until it is ended.
fn shop(server: &SqlServerSim, shared: &Shared) -> Result<(), ScriptError> {
    let mut number = 0_u64;
    while !shared.ended.load(Ordering::Relaxed) {
        number += 1;
        let (order, product) = (1_000_000 + number, 1 + number * 31 % u64::from(PRODUCTS));
        server.run_script(&format!(
            "USE {DATABASE};
             GO
             BEGIN TRANSACTION;
             INSERT INTO orders (id, product_id, quantity) VALUES ({order}, {product}, 1), ({order}000, {product}, 2);
             UPDATE products SET price = price + 0.01 WHERE id = {product};
             DELETE FROM orders WHERE id = {order}000;
             COMMIT"
        ))?;
        shared.changes.fetch_add(ROWS, Ordering::Relaxed);
        thread::sleep(PAUSE);
    }
    Ok(())
}
