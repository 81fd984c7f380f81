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
mod statement_format;
mod transactions;

use follow::Fixture;
use millstream_testkit::{Flavor, ServerOptions, shared_with};

/// One database on each kind of server, with the servers' own settings.
async fn servers() -> Vec<Fixture> {
    servers_named("default").await
}

/// The same for statements in statement format. They have servers of their own, as a source whose user doesn't see what
/// they set off reads everything again, whoever's they are.
async fn statement_servers() -> Vec<Fixture> {
    servers_named("statements").await
}

async fn servers_named(name: &str) -> Vec<Fixture> {
    let mysql = shared_with(Flavor::MySql, name, ServerOptions::new()).await.unwrap();
    let mariadb = shared_with(Flavor::MariaDb, name, ServerOptions::new()).await.unwrap();
    vec![Fixture::new(mysql).await, Fixture::new(mariadb).await]
}
