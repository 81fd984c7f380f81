//! What stands in the body of a view, trigger, function or procedure.

use super::Context;
use super::cursor::Cursor;
use super::statement::Suspects;

/// Words without which no body changes rows by itself.
const WRITING: &[&str] = &["INSERT", "REPLACE", "UPDATE", "DELETE", "LOAD"];

/// A body, as far as its tokens tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Body {
    /// Every table that it may name, and everything that it may call.
    pub(crate) named: Suspects,
    /// Whether it may change rows of what it names.
    pub(crate) writes: bool,
}

impl Body {
    /// One that can't be read.
    pub(crate) const UNREADABLE: Self = Self { named: Suspects::Everything, writes: true };
}

/// Reads one.
pub(super) fn read(text: &str, context: &Context<'_>) -> Body {
    let cursor = Cursor::new(text, context);
    if !cursor.clone().reads_whole() {
        return Body::UNREADABLE;
    }
    let mut writes = false;
    let mut ahead = cursor.clone();
    while let Some(token) = ahead.bump() {
        if token.is("EXECUTE") {
            // What that is, is made up while it runs.
            return Body::UNREADABLE;
        }
        writes |= token.is_any(WRITING);
    }
    Body { named: cursor.suspects(), writes }
}
