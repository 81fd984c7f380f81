//! The SQL Server connector: row changes and schema changes from change data capture, rows by keyset reads.
//!
//! [`SqlServerConfig`] is the only way in: it builds a
//! [`SourceConnector`](millstream_core::source::SourceConnector).

mod address;
mod capture;
mod check;
mod cleanup;
mod config;
mod connect;
mod connector;
mod decode;
mod discover;
mod error;
mod fence;
mod field;
mod keyset;
mod noticed;
mod position;
mod progress;
mod pulse;
mod quote;
mod read;
mod server;
mod stream;

pub use config::{Authentication, CaptureInstances, Cleanup, ServerUri, SqlServerConfig, Tls, TlsMode};
