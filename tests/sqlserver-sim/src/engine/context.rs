//! What a relation, function or procedure may know of the session that asks.

use crate::value::Moment;

/// The session, as the catalog and change data capture see it.
pub struct Context<'a> {
    /// By the server's clock, in UTC.
    pub now: Moment,
    /// The current database.
    pub database: &'a str,
    pub login: &'a str,
    /// The database user of the login.
    pub user: &'a str,
}
