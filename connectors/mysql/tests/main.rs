//! The connector against real servers.

mod check;
mod stream;
