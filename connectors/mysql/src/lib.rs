//! The MySQL and MariaDB connector: row changes and schema changes from the binlog, rows by keyset reads.
//!
//! [`MySqlConfig`] is the only way in: it builds a
//! [`SourceConnector`](millstream_core::source::SourceConnector).

mod access;
mod check;
mod config;
mod connect;
mod connector;
mod ddl;
pub(crate) mod decode;
mod discover;
mod error;
mod fence;
mod gtid;
mod log;
mod position;
mod progress;
pub(crate) mod read;
mod stored_objects;
mod stream;
mod version;
mod virtual_columns;
mod wire;

pub use config::{MySqlConfig, ServerUri, Tls, TlsMode};
