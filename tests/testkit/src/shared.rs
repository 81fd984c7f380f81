//! One MySQL or MariaDB for many tests. It belongs to the test run, and ends with it.

use std::fs;
use std::path::Path;

use tokio::task::spawn_blocking;

use crate::container::{Container, containers_are_wanted};
use crate::endpoint::Endpoint;
use crate::error::{Error, io};
use crate::options::ServerOptions;
use crate::prefix::{Flavor, Prefix, remove_folder};
use crate::process::Owner;
use crate::run::{self, Held};
use crate::server::{self, Server};

/// The server of this kind, with default options, that all tests of this run share; the first that asks starts it.
///
/// Tests run at the same time: each makes a database of its own with
/// [`create_database`](Endpoint::create_database), changes no global setting, and must expect other tests' events in
/// the binlog. A test that needs the server to itself uses [`Server::start`].
pub async fn shared(flavor: Flavor) -> Result<Endpoint, Error> {
    shared_with(flavor, "default", ServerOptions::new()).await
}

/// As [`shared()`], with options. Tests that give the same name get the same server, so they must give the same options.
pub async fn shared_with(flavor: Flavor, name: &str, options: ServerOptions) -> Result<Endpoint, Error> {
    let name = format!("{flavor}-{name}");
    if containers_are_wanted() {
        let port = Container::shared(&name, &options.container(flavor)).await?;
        return server::in_container(flavor, port).await;
    }
    let held = Held::take(&name).await?;
    if let Some(port) = held.port() {
        let dir = held.dir.clone();
        return spawn_blocking(move || found(flavor, port, &dir)).await?;
    }
    let fresh = held.dir.clone();
    spawn_blocking(move || {
        // What a failed start left.
        remove_folder(&fresh)?;
        fs::create_dir_all(&fresh).map_err(io("create", fresh))
    })
    .await??;
    let server = Server::start_in(flavor, options, held.dir.clone(), Owner::ProcessId(run::owner())).await?;
    held.note_port(server.port())?;
    Ok(server.release())
}

fn found(flavor: Flavor, port: u16, dir: &Path) -> Result<Endpoint, Error> {
    let prefix = Prefix::get(flavor)?;
    let (flavor, version) = (prefix.flavor(), prefix.version().to_owned());
    Ok(Endpoint { flavor, version, socket: Some(dir.join("s")), port })
}
