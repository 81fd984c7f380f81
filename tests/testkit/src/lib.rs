//! What the tests of Millstream stand on: real database servers that a test starts for itself, a TCP proxy that
//! breaks connections on purpose, and the rule that a test without its server fails or is listed as skipped.
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

mod endpoint;
mod error;
mod options;
mod prefix;
mod process;
mod proxy;
mod server;
mod shared;
mod skip;
mod tls;

pub use endpoint::Endpoint;
pub use error::Error;
pub use options::ServerOptions;
pub use prefix::{Flavor, Prefix};
pub use proxy::FaultProxy;
pub use server::Server;
pub use shared::{shared, shared_with};
pub use skip::{may_run, skip};
