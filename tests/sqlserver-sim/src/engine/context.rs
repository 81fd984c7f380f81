//! What a relation, function or procedure of the server may know of the session that asks, and do in its name.

use std::sync::Arc;

use crate::error::SqlResult;
use crate::storage::{Catalog, DatabaseId, Grant, Permission, PrincipalId, Securable, Storage, Transaction};
use crate::value::Moment;

use super::session::Login;

/// The session that asks.
#[derive(Debug)]
pub struct Context<'a> {
    pub storage: &'a Arc<Storage>,
    /// The statement's transaction, in which everything is read and written.
    pub transaction: &'a mut Transaction,
    /// The current database, or the one that the name in the statement gave.
    pub database: DatabaseId,
    pub session_id: u32,
    pub login: &'a Arc<str>,
    /// What the client said of itself.
    pub client: Option<&'a Login>,
    /// The user in the database, where it isn't the login's own.
    pub user: Option<PrincipalId>,
    pub sysadmin: bool,
    /// By the server's clock, in UTC, at the beginning of the statement.
    pub now: Moment,
    /// `@@TRANCOUNT`.
    pub transaction_count: u32,
}

impl Context<'_> {
    /// The catalog of the current database as the session sees it.
    ///
    /// # Errors
    /// 911 where the database is gone.
    pub fn catalog(&self) -> SqlResult<Arc<Catalog>> {
        self.transaction.catalog(self.database)
    }

    /// The database user that the session is.
    ///
    /// # Errors
    /// 911 where the database is gone.
    pub fn user(&self) -> SqlResult<PrincipalId> {
        match self.user {
            Some(user) => Ok(user),
            None => Ok(user_of(&*self.catalog()?, self.login, self.sysadmin)),
        }
    }

    /// Whether the session has a permission on something: as owner, by a fixed role, or by a grant that no denial
    /// takes back.
    ///
    /// # Errors
    /// 911 where the database is gone.
    pub fn has_permission(&self, name: &str, securable: Securable) -> SqlResult<bool> {
        let catalog = self.catalog()?;
        let user = self.user()?;
        Ok(has_permission(&catalog, user, name, securable))
    }
}

/// The user that a login is in a database: dbo for a sysadmin, its own, or guest.
pub fn user_of(catalog: &Catalog, login: &str, sysadmin: bool) -> PrincipalId {
    if sysadmin {
        return PrincipalId::DBO;
    }
    catalog.user_of_login(login).map_or(PrincipalId::GUEST, |user| user.principal_id)
}

/// Whether a user has a permission. What is granted on the database or schema holds for what is in it; `CONTROL`
/// implies everything, and a denial anywhere on the way wins.
pub fn has_permission(catalog: &Catalog, user: PrincipalId, name: &str, securable: Securable) -> bool {
    let roles = catalog.with_roles(user);
    if user == PrincipalId::DBO || roles.contains(&PrincipalId::DB_OWNER) {
        return true;
    }
    let denied_by_role = match name {
        "SELECT" => roles.contains(&PrincipalId(16392)),
        "INSERT" | "UPDATE" | "DELETE" => roles.contains(&PrincipalId(16393)),
        _ => false,
    };
    let mut granted = match name {
        "SELECT" => roles.contains(&PrincipalId::DB_DATAREADER),
        "INSERT" | "UPDATE" | "DELETE" => roles.contains(&PrincipalId::DB_DATAWRITER),
        "ALTER" | "CREATE TABLE" | "CREATE VIEW" | "CREATE PROCEDURE" => roles.contains(&PrincipalId::DB_DDLADMIN),
        _ => false,
    };
    let mut denied = denied_by_role;
    for within in enclosing(catalog, securable) {
        for role in &roles {
            for implied_by in [name, "CONTROL"] {
                let permission = Permission { grantee: *role, securable: within, name: Arc::from(implied_by) };
                match catalog.permission(&permission) {
                    Some(Grant::Granted) => granted = true,
                    Some(Grant::Denied) => denied = true,
                    None => {}
                }
            }
        }
    }
    granted && !denied
}

/// The securable and what it lies in.
fn enclosing(catalog: &Catalog, securable: Securable) -> Vec<Securable> {
    match securable {
        Securable::Database => vec![Securable::Database],
        Securable::Schema(_) => vec![securable, Securable::Database],
        Securable::Object(object) => {
            let schema = match catalog.object(object) {
                Some(crate::storage::Object::Table(table)) => Some(table.schema_id),
                Some(crate::storage::Object::Module(module)) => Some(module.schema_id),
                None => None,
            };
            let mut all = vec![securable];
            all.extend(schema.map(Securable::Schema));
            all.push(Securable::Database);
            all
        }
    }
}
