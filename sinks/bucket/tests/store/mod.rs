//! The store on disk: equal to its twin in memory, and whole after whatever happens to it.

mod crash;
mod directory;
mod fixture;
mod full_disk;
mod ledger;
mod model;
