//! Parsing and running T-SQL.

pub mod context;
pub mod relation;
pub mod session;
