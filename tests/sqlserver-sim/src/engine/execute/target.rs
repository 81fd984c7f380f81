//! The table that a statement changes.

use std::sync::Arc;

use crate::error::{SqlError, SqlResult};
use crate::storage::{DatabaseId, Ddl, ModuleKind, Object, PrincipalId, SchemaId, Securable, Table};
use crate::value::collation::folded;

use super::super::context::has_permission;
use super::super::state::{Execution, State};
use super::super::statement::Name;

#[derive(Clone, Debug)]
pub struct Target {
    pub database: DatabaseId,
    pub table: Arc<Table>,
    /// A table variable, whose rows no rollback takes back.
    pub variable: bool,
}

impl Target {
    /// The name of the column that has its values at a place of a row.
    pub fn column_at(&self, slot: usize) -> Option<&str> {
        self.table.columns.iter().find(|column| column.slot() == Some(slot)).map(|column| &*column.name)
    }

    /// `database.schema.table`, as messages name it.
    pub fn full_name(&self, state: &State) -> String {
        let schema = self.schema_name(state);
        format!("{}.{schema}.{}", state.database_name(self.database), self.table.name)
    }

    /// `schema.table`.
    pub fn short_name(&self, state: &State) -> String {
        format!("{}.{}", self.schema_name(state), self.table.name)
    }

    fn schema_name(&self, state: &State) -> Arc<str> {
        let catalog = state.catalog(self.database).ok();
        let schema = catalog.and_then(|catalog| catalog.schema(self.table.schema_id).cloned());
        schema.map_or_else(|| Arc::from("dbo"), |schema| Arc::clone(&schema.name))
    }
}

/// The error for writing to a table-valued parameter.
pub fn read_only(parameter: &str) -> SqlError {
    let text = format!("The table-valued parameter \"{parameter}\" is READONLY and cannot be modified.");
    SqlError::new(10_700, 16, text)
}

/// The table of a name: stored, temporary or a variable.
///
/// # Errors
/// 208 where there is none, 1087 for a variable, 4405 for what isn't a table.
pub fn find(execution: &Execution<'_>, name: &Name) -> SqlResult<Target> {
    let state = &*execution.state;
    let own = if name.object.starts_with('@') {
        if execution.variables.read_only.contains(&folded(&name.object)) {
            return Err(read_only(&name.object));
        }
        let own = execution.variables.tables.get(&folded(&name.object));
        Some(own.ok_or_else(|| {
            SqlError::new(1087, 15, format!("Must declare the table variable \"{}\".", name.object)).with_state(2)
        })?)
    } else if name.is_temporary() {
        Some(state.temporary.get(&folded(&name.object)).ok_or_else(|| SqlError::invalid_object(&name.object))?)
    } else {
        None
    };
    if let Some(own) = own {
        let catalog = state.catalog(DatabaseId::TEMPDB)?;
        let table =
            catalog.table_named(SchemaId::DBO, own).cloned().ok_or_else(|| SqlError::invalid_object(&name.object))?;
        return Ok(Target { database: DatabaseId::TEMPDB, table, variable: name.object.starts_with('@') });
    }
    let database = state.database_of(name)?;
    match state.object(database, name)? {
        Some((_, Object::Table(table))) => Ok(Target { database, table, variable: false }),
        Some((_, Object::Module(module))) if module.kind == ModuleKind::Synonym => {
            find(execution, &super::super::parse::name(&module.definition)?)
        }
        Some((_, Object::Module(_))) => {
            Err(SqlError::unsupported(format!("changes of rows through '{name}', which isn't a table")))
        }
        None => Err(SqlError::invalid_object(&name.to_string())),
    }
}

/// # Errors
/// 229 where the session may not.
pub fn check_permission(execution: &Execution<'_>, target: &Target, permission: &str) -> SqlResult<()> {
    let state = &*execution.state;
    let catalog = state.catalog(target.database)?;
    let user = state.user(target.database)?;
    // What a procedure or trigger does, its owner may.
    if user == PrincipalId::DBO
        || target.database == DatabaseId::TEMPDB
        || execution.procedure.is_some()
        || has_permission(&catalog, user, permission, Securable::Object(target.table.object_id))
    {
        return Ok(());
    }
    let schema = target.schema_name(state);
    Err(SqlError::permission_denied(permission, &target.table.name, &state.database_name(target.database), &schema))
}

/// # Errors
/// 262 or 1088 where the session may not define things in a database.
pub fn check_definer(state: &State, database: DatabaseId) -> SqlResult<()> {
    if database == DatabaseId::TEMPDB || is_definer(state, database)? {
        return Ok(());
    }
    let text = format!("CREATE TABLE permission denied in database '{}'.", state.database_name(database));
    Err(SqlError::new(262, 14, text))
}

pub fn is_definer(state: &State, database: DatabaseId) -> SqlResult<bool> {
    let catalog = state.catalog(database)?;
    let user = state.user(database)?;
    Ok(has_permission(&catalog, user, "ALTER", Securable::Database))
}

/// The statement as the log's record of a definition keeps it.
pub fn ddl<'a>(state: &State, database: DatabaseId, text: &'a str) -> SqlResult<Ddl<'a>> {
    let catalog = state.catalog(database)?;
    let user = state.user(database)?;
    let by_owner = user == PrincipalId::DBO
        || catalog.is_member(user, PrincipalId::DB_OWNER)
        || catalog.is_member(user, PrincipalId::DB_DDLADMIN);
    Ok(Ddl { command: text, by_owner })
}
