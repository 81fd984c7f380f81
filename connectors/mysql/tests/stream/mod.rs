//! What the stream delivers.

mod access;
mod cascades;
mod census;
mod chunks;
mod doubt;
mod faults;
mod follow;
mod incidents;
mod names;
mod resets;
mod rows;
mod schema_changes;
mod transactions;

use follow::Fixture;
use millstream_testkit::{Flavor, ServerOptions, shared_with};

/// One database on each kind of server, with the servers' own settings.
async fn servers() -> Vec<Fixture> {
    let mysql = shared_with(Flavor::MySql, "default", ServerOptions::new()).await.unwrap();
    let mariadb = shared_with(Flavor::MariaDb, "default", ServerOptions::new()).await.unwrap();
    vec![Fixture::new(mysql).await, Fixture::new(mariadb).await]
}
