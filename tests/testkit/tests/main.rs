//! The test kit against the real servers.

mod server;
