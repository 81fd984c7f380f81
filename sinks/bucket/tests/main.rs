//! The tests of the bucket sink through its public face.

mod client;
mod deployment;
mod model;
mod passes;
mod store;
mod stream;
mod world;
