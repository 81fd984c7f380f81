//! The SQL Server connector: row changes and schema changes from change data capture, rows by keyset reads.
//!
//! [`SqlServerConfig`] is the only way in: it builds a
//! [`SourceConnector`](millstream_core::source::SourceConnector).

mod address;
mod config;
mod connect;
mod decode;
mod discover;
mod error;
mod fence;
mod position;
mod progress;
mod quote;
mod server;

pub use config::{Authentication, CaptureInstances, Cleanup, ServerUri, SqlServerConfig, Tls, TlsMode};
