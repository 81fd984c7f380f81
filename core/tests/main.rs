//! The pipeline against a simulated source and a model sink.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what a test doesn't expect ends it"
)]

mod model_sink;
mod simulated_source;

mod history;
mod promise;
mod refusals;
mod remarks;
