//! The pipeline against a simulated source and a model sink.

mod model_sink;
mod simulated_source;

mod promise;
