//! A sink that keeps sync buckets equal to what their definitions say of the source.
//!
//! ```text
//! accept ──▶ evaluate rows ──▶ queue ──▶ writer: compare with the rows' state, write ops, commit ──▶ store ──▶ readers
//!            (caller's task)  (bounded)  (one thread)
//! ```
//!
//! [`BucketSink`] is the sink, [`BucketReader`] what readers see of it, [`store`] where it is kept.
#![warn(missing_docs)]

mod bucket;
mod definitions;
mod deployment;
mod evaluated;
mod evaluation;
mod former_keys;
mod key;
pub mod kill;
mod load;
mod loader;
mod meaning;
mod meta;
mod op;
mod queue;
mod reader;
mod record;
mod rollout;
mod row_key;
mod row_state;
mod sink;
pub mod store;
mod writer;

pub use self::bucket::Counters;
pub use self::deployment::DeployedConfig;
pub use self::meta::Checkpoint;
pub use self::reader::{
    BucketChange, BucketOp, BucketReader, BucketSummary, DeploymentProgress, LiveRow, StoredSource, StoredTable,
    WaitingDefinition,
};
pub use self::sink::{BucketSink, BucketSinkOptions, SourceOptions, Tuning};
