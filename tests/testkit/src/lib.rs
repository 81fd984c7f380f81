//! What the tests of Millstream stand on: the conformance suite that every connector must pass, real
//! database servers that a test starts for itself, a TCP proxy that breaks connections on purpose, and the rule that a
//! test without its server fails or is listed as skipped.
//!
//! Features: `conformance` for the suite, `servers` (the default) for MySQL and MariaDB, `containers` for having servers
//! in containers where `MILLSTREAM_CONTAINERS` is set.
//!
//! ```no_run
//! # async fn example() -> Result<(), millstream_testkit::Error> {
//! use millstream_testkit::{Flavor, Server, ServerOptions};
//!
//! let server = Server::start(Flavor::MySql, ServerOptions::new().set("gtid_mode", "ON")).await?;
//! server.sql("CREATE DATABASE shop; CREATE TABLE shop.item (id INT PRIMARY KEY)").await?;
//! let uri = server.uri("root", "", "shop");
//! # Ok(())
//! # }
//! ```
//!
//! A server is killed and its data removed when its [`Server`] is dropped, and also when the test process dies in
//! whatever way: a small shell process, `servers/supervise.sh`, holds the server and sees its owner go.

#[cfg(feature = "conformance")]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what a case doesn't expect ends it"
)]
pub mod conformance;
mod container;
#[cfg(feature = "servers")]
mod endpoint;
mod error;
#[cfg(feature = "servers")]
mod options;
#[cfg(any(feature = "servers", feature = "containers"))]
mod port;
#[cfg(feature = "servers")]
mod prefix;
#[cfg(feature = "servers")]
mod process;
mod proxy;
#[cfg(any(feature = "servers", feature = "containers"))]
mod run;
#[cfg(feature = "servers")]
mod server;
#[cfg(feature = "servers")]
mod shared;
mod skip;
#[cfg(feature = "servers")]
mod tls;

pub use container::{Container, ContainerRequest, containers_are_wanted, image};
#[cfg(feature = "servers")]
pub use endpoint::Endpoint;
pub use error::Error;
#[cfg(feature = "servers")]
pub use options::ServerOptions;
#[cfg(feature = "servers")]
pub use prefix::{Flavor, Prefix};
pub use proxy::FaultProxy;
#[cfg(feature = "servers")]
pub use server::Server;
#[cfg(feature = "servers")]
pub use shared::{shared, shared_with};
#[cfg(feature = "servers")]
pub use skip::may_run;
pub use skip::{is_unwanted, skip};
