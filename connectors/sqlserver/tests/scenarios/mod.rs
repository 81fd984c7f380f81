//! What can happen to a captured database, one scenario a test, each ending with a comparison with a fresh read.

mod columns;
mod instances;
mod rows;
mod server;
mod tables;
mod world;
