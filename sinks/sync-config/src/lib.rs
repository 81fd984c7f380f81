//! PowerSync's sync config, editions 1 and 2: which rows clients get, in which buckets, and in what shape.
//!
//! [`SyncConfig::parse`] reads the file and reports everything that is wrong with it at once; a [`Draft`] tells beyond
//! that what doesn't fit between the tables and whatever is sound. For each table,
//! [`SyncConfig::bind`] then gives a [`TableEvaluator`], which turns a source row into its rows in buckets and into
//! the lookups by which parameter queries find it. [`BucketDefinition::buckets_for`] tells the buckets of a client.
#![warn(missing_docs)]

mod config;
mod data_query;
mod definition;
mod document;
mod draft;
mod evaluator;
mod expression;
mod fault;
mod filter;
mod function;
mod json;
mod json_path;
mod keys;
mod lines;
mod names;
mod number;
mod options;
mod parameter_query;
mod report;
mod request;
mod resolve;
mod rows;
mod scalar;
mod spelling;
mod sql;
mod table_name;
mod timestamp;
mod value;
pub mod yaml;

pub use config::{EventDefinition, SyncConfig};
pub use definition::BucketDefinition;
pub use draft::Draft;
pub use evaluator::{Evaluated, EvaluatedLookup, EvaluatedRow, EvaluationFault, TableEvaluator};
pub use expression::EvaluationError;
pub use fault::{Fault, Place, Severity};
pub use request::{BucketName, Request, RequestFault};
pub use table_name::SourceScope;
