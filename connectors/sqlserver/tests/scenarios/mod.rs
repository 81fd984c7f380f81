//! What can happen to a captured database, one scenario a test, each ending with a comparison with a fresh read.

mod columns;
mod identity;
mod instances;
mod old_servers;
mod partitions;
mod permissions;
mod rows;
mod server;
mod tables;
mod world;
