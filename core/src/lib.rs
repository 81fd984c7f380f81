//! The vocabulary of Millstream and the pipeline that runs it.
//!
//! A [`SourceConnector`](source::SourceConnector) delivers row changes and schema changes of one database in commit
//! order; a [`Sink`](sink::Sink) keeps something equal to it. Between them the [`pipeline`] decides what each schema
//! change requires and repairs, by [`reconcile`], whatever the stream alone can't tell.
//!
//! This crate knows no database and no storage engine.
#![warn(missing_docs)]

pub mod calendar;
pub mod change;
pub mod error;
pub mod open_scan;
pub mod outbox;
pub mod pipeline;
pub mod position;
pub mod reconcile;
pub mod row;
pub mod schema;
pub mod schema_change;
pub mod selection;
pub mod sink;
pub mod source;
pub mod table;
pub mod value;
