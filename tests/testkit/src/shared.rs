//! One server for many tests.
//!
//! A test runner may give each test a process of its own (cargo-nextest) or run the tests of one binary as threads
//! (`cargo test`). A shared server serves both: it belongs to the test run, that is to the runner's process in the first
//! case and to the test binary's in the second, and ends with it.

use std::env;
use std::fs::{self, File};
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::process;

use tokio::task::spawn_blocking;

use crate::container::{self, Container};
use crate::endpoint::Endpoint;
use crate::error::{Error, io};
use crate::options::ServerOptions;
use crate::prefix::{Flavor, Prefix, remove_folder};
use crate::process::Owner;
use crate::server::Server;

/// The runner sets it to a name of its run, the same in every test process.
const RUN_VARIABLE: &str = "NEXTEST_RUN_ID";

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
    let (run, owner) = match env::var(RUN_VARIABLE) {
        Ok(run) => (run, parent_id()),
        Err(_) => (process::id().to_string(), process::id()),
    };
    let dir = env::temp_dir().join(format!("millstream-shared-{run}")).join(format!("{flavor}-{name}"));
    let lock_path = dir.with_extension("lock");
    let lock = spawn_blocking(move || {
        if let Some(run_dir) = lock_path.parent() {
            fs::create_dir_all(run_dir).map_err(io("create", run_dir))?;
        }
        let lock = File::create(&lock_path).map_err(io("create", &lock_path))?;
        lock.lock().map_err(io("lock", &lock_path))?;
        Ok::<_, Error>(lock)
    });
    // Held until the server is there; the other tests then find it.
    let _lock = lock.await??;
    if container::are_wanted() {
        return shared_container(flavor, &options, &dir).await;
    }
    let found = dir.clone();
    if let Some(endpoint) = spawn_blocking(move || find(flavor, &found)).await?? {
        return Ok(endpoint);
    }
    let fresh = dir.clone();
    spawn_blocking(move || {
        // What a failed start left.
        remove_folder(&fresh)?;
        fs::create_dir_all(&fresh).map_err(io("create", fresh))
    })
    .await??;
    let server = Server::start_in(flavor, options, dir.clone(), Owner::ProcessId(owner)).await?;
    let ready = port_file(&dir);
    fs::write(&ready, server.port().to_string()).map_err(io("write", ready))?;
    Ok(server.release())
}

/// As above, with a container. It isn't removed with the process that starts it: whoever started the run removes the
/// containers that bear its label.
async fn shared_container(flavor: Flavor, options: &ServerOptions, dir: &Path) -> Result<Endpoint, Error> {
    let ready = port_file(dir);
    if let Some(port) = fs::read_to_string(&ready).ok().and_then(|port| port.trim().parse().ok()) {
        return container::endpoint(flavor, port).await;
    }
    let (container, endpoint) = Container::start(flavor, options).await?;
    container.keep();
    fs::create_dir_all(dir).map_err(io("create", dir))?;
    fs::write(&ready, endpoint.port().to_string()).map_err(io("write", ready))?;
    Ok(endpoint)
}

fn port_file(dir: &Path) -> PathBuf {
    dir.join("port")
}

fn find(flavor: Flavor, dir: &Path) -> Result<Option<Endpoint>, Error> {
    let Ok(port) = fs::read_to_string(port_file(dir)) else { return Ok(None) };
    let Ok(port) = port.trim().parse() else { return Ok(None) };
    let prefix = Prefix::get(flavor)?;
    let (flavor, version) = (prefix.flavor(), prefix.version().to_owned());
    Ok(Some(Endpoint { flavor, version, socket: Some(dir.join("s")), port }))
}
