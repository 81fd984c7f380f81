//! The SQL of queries: a subset of Postgres' SELECT, read token by token.
//!
//! The tokens are sqlparser's; the grammar is our own, for three reasons. PowerSync's `IN` takes an expression, not a
//! list (`bucket.id IN tags`), which sqlparser's parser refuses. Everything that sqlparser accepts and the config
//! language doesn't have would need refusing by hand, clause by clause. And every node must know where it stands, as
//! faults point at the place.

pub(crate) mod parser;
pub(crate) mod syntax;
mod token;
