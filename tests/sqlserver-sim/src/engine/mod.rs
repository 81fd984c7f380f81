//! Parsing and running T-SQL.

mod bind;
pub mod context;
mod evaluate;
mod execute;
mod expression;
mod form;
mod functions;
mod json;
mod module;
mod parse;
pub mod pattern;
mod plan;
pub mod relation;
mod run;
pub mod session;
mod state;
mod statement;
mod system;

#[cfg(test)]
mod tests;
