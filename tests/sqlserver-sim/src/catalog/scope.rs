//! What of the server the rows of a view are about: the session's database as its transaction sees it.

use std::sync::Arc;

use crate::engine::context::Context;
use crate::error::SqlResult;
use crate::storage::{Catalog, DatabaseId, Module, ObjectId, PrincipalId, SchemaId, Securable, Storage, Table};
use crate::value::Moment;

pub struct Scope<'a> {
    context: &'a Context<'a>,
    catalog: Arc<Catalog>,
    /// Sees every object, as owner of the database.
    owner: bool,
    database_name: Arc<str>,
    database_created: Moment,
}

impl<'a> Scope<'a> {
    pub fn of(context: &'a Context<'a>) -> SqlResult<Self> {
        let catalog = context.catalog()?;
        let user = context.user()?;
        let owner = user == PrincipalId::DBO || catalog.is_member(user, PrincipalId::DB_OWNER);
        let (database_name, database_created) = match context.storage.database(context.database) {
            Some(database) => (database.name, database.created),
            None => (Arc::from(""), Moment { days: 0, ticks: 0 }),
        };
        Ok(Self { context, catalog, owner, database_name, database_created })
    }

    pub fn context(&self) -> &Context<'a> {
        self.context
    }

    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    pub fn storage(&self) -> &Arc<Storage> {
        self.context.storage
    }

    pub fn database(&self) -> DatabaseId {
        self.context.database
    }

    pub fn database_name(&self) -> &str {
        &self.database_name
    }

    pub fn database_created(&self) -> Moment {
        self.database_created
    }

    /// Tables that the session may see: it has some permission on them.
    pub fn tables(&self) -> Vec<Arc<Table>> {
        self.catalog.tables().filter(|table| self.sees(table.object_id)).cloned().collect()
    }

    /// Views, procedures, functions that the session may see.
    pub fn modules(&self) -> Vec<Arc<Module>> {
        self.catalog.modules().filter(|module| self.sees(module.object_id)).cloned().collect()
    }

    /// Any permission on an object shows that it is there.
    fn sees(&self, object: ObjectId) -> bool {
        const PERMISSIONS: [&str; 8] =
            ["SELECT", "INSERT", "UPDATE", "DELETE", "EXECUTE", "REFERENCES", "ALTER", "VIEW DEFINITION"];
        let granted = |name: &str| self.context.has_permission(name, Securable::Object(object)).unwrap_or(false);
        self.owner || PERMISSIONS.iter().any(|name| granted(name))
    }

    pub fn schema_name(&self, schema: SchemaId) -> &str {
        self.catalog.schema(schema).map_or("", |schema| &schema.name)
    }

    pub fn row_count(&self, table: ObjectId) -> u64 {
        self.storage().row_count(self.database(), table)
    }

    /// Rows of each of the table's partitions.
    pub fn partition_rows(&self, table: ObjectId) -> Vec<u64> {
        self.storage().partition_rows(self.database(), table)
    }

    /// The last value that the table's identity column was given.
    pub fn identity_last(&self, table: ObjectId) -> Option<i128> {
        self.context.transaction.identity_last(self.database(), table).ok().flatten()
    }
}
