//! What statements of the log do to tables, read from their tokens alone.
//!
//! The reader is total: every text, whatever its bytes, has an answer. It needn't understand a statement to say which
//! tables it may concern, and when in doubt it names too many; a table named in vain costs a comparison of schemas or
//! a re-read, one forgotten costs the promise. It says nothing about columns: what a table looks like afterwards is
//! found out otherwise.

mod alter;
mod body;
mod columns;
#[cfg(test)]
mod corpus;
mod create;
mod cursor;
mod dispatch;
mod lexer;
mod moves;
mod names;
#[cfg(test)]
mod on_servers;
mod statement;
mod transaction;
#[cfg(test)]
mod values_on_servers;

pub(crate) use body::Body;
pub(crate) use columns::values_kept;
pub(crate) use lexer::{Lexer, SqlMode, Token};
pub(crate) use names::NameCase;
pub(crate) use statement::{Dml, Statement, Suspects, Transaction, Xid};

use crate::version::Version;

/// How a statement was read by the server. All of it comes with the statement's event, save what is the server's own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    /// The session's default database; empty if it had none.
    pub(crate) database: &'a str,
    /// The session's SQL mode.
    pub(crate) mode: SqlMode,
    /// The id of the collation that the client's text was in (`character_set_client`); `None` for UTF-8.
    pub(crate) client_collation: Option<u16>,
    /// Whether the event is flagged as depending on its session (`LOG_EVENT_THREAD_SPECIFIC_F`). Then a name may be
    /// that of a temporary table, with a table of everybody's behind it.
    pub(crate) thread_specific: bool,
    /// The server's version: it decides which version comments count.
    pub(crate) version: Version,
    /// The server's `lower_case_table_names`.
    pub(crate) names: NameCase,
}

/// A statement as the history keeps it where its text would hold values of rows: see
/// [`Lexer::without_values`](lexer::Lexer::without_values).
pub(crate) fn without_values(statement: &[u8], context: &Context<'_>) -> String {
    let text = names::decode(statement, context.client_collation);
    lexer::Lexer::without_values(&text, context.mode, context.version)
}

/// Reads one statement.
pub(crate) fn read(statement: &[u8], context: &Context<'_>) -> Statement {
    let text = names::decode(statement, context.client_collation);
    dispatch::read(&text, context)
}

/// Reads the body of a view, trigger, function or procedure. The context is the one that it was made in.
pub(crate) fn read_body(text: &str, context: &Context<'_>) -> Body {
    body::read(text, context)
}
