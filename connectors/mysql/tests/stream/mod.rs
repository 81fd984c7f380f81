//! What the stream delivers.

mod follow;
mod rows;
