//! The connector against real servers.

mod stream;
