//! A sink that keeps sync buckets equal to what their definitions say of the source.

pub mod store;
