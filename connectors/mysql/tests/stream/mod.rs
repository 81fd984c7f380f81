//! What the stream delivers.

mod follow;
mod rows;
mod schema_changes;
