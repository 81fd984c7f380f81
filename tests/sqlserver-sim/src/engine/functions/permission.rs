//! Functions of permissions and memberships.

use crate::error::SqlResult;
use crate::storage::{Object, PrincipalId, PrincipalKind, Securable};
use crate::value::Value;
use crate::value::collation::equal;

use super::super::context::has_permission;
use super::super::parse;
use super::super::state::Execution;
use super::Parameter::{Any, Integer, Text};
use super::{Builtin, int, integer_at, sysname, text_at};

pub const FUNCTIONS: &[Builtin] = &[
    Builtin::new("USER", 0..=0, &[], sysname, |execution, _, _, _| current_user(execution)),
    Builtin::new("CURRENT_USER", 0..=0, &[], sysname, |execution, _, _, _| current_user(execution)),
    Builtin::new("SESSION_USER", 0..=0, &[], sysname, |execution, _, _, _| current_user(execution)),
    Builtin::new("USER_NAME", 0..=1, &[Integer], sysname, |execution, values, _, _| {
        let Some(id) = integer_at(values, 0) else { return current_user(execution) };
        let catalog = execution.state.catalog(execution.state.database)?;
        let principal = i32::try_from(id).ok().and_then(|id| catalog.principal(PrincipalId(id)).cloned());
        Ok(principal.map_or(Value::Null, |principal| Value::text(&principal.name)))
    }),
    Builtin::new("USER_ID", 0..=1, &[Text], int, |execution, values, _, _| principal_id(execution, values)),
    Builtin::new("DATABASE_PRINCIPAL_ID", 0..=1, &[Text], int, |execution, values, _, _| {
        principal_id(execution, values)
    }),
    Builtin::new("IS_MEMBER", 1..=1, &[Text], int, |execution, values, _, _| is_member(execution, text_at(values, 0))),
    Builtin::new("IS_ROLEMEMBER", 1..=2, &[Text, Text], int, |execution, values, _, _| {
        let Some(member) = values.get(1).and_then(Value::as_text) else {
            return is_member(execution, text_at(values, 0));
        };
        let catalog = execution.state.catalog(execution.state.database)?;
        let pair = catalog.principal_named(member).zip(catalog.principal_named(text_at(values, 0)));
        Ok(pair.map_or(Value::Null, |(member, role)| flag(catalog.is_member(member.principal_id, role.principal_id))))
    }),
    Builtin::new("IS_SRVROLEMEMBER", 1..=2, &[Text, Text], int, |execution, values, _, _| {
        let role = text_at(values, 0);
        let sysadmin = match values.get(1).and_then(Value::as_text) {
            Some(login) => match execution.state.storage.login_named(login) {
                Some(login) => login.sysadmin,
                None => return Ok(Value::Null),
            },
            None => execution.state.sysadmin,
        };
        let known = [
            "sysadmin",
            "serveradmin",
            "securityadmin",
            "processadmin",
            "setupadmin",
            "bulkadmin",
            "diskadmin",
            "dbcreator",
        ];
        Ok(if equal(role, "public") {
            flag(true)
        } else if known.iter().any(|known| equal(known, role)) {
            // A sysadmin is told to be a member of every fixed role.
            flag(sysadmin)
        } else {
            Value::Null
        })
    }),
    Builtin::new("HAS_DBACCESS", 1..=1, &[Text], int, |execution, values, _, _| {
        let database = execution.state.storage.database_named(text_at(values, 0));
        Ok(database.map_or(Value::Null, |database| flag(execution.state.may_enter(database))))
    }),
    Builtin::new("HAS_PERMS_BY_NAME", 3..=5, &[Any, Any, Text, Any], int, |execution, values, _, _| {
        has_permission_by_name(execution, values)
    })
    .with_nulls(),
    Builtin::new("PERMISSIONS", 0..=2, &[Integer], int, |_, _, _, _| Ok(Value::Int(-1))),
];

fn flag(is: bool) -> Value {
    Value::Int(i32::from(is))
}

fn current_user(execution: &mut Execution<'_>) -> SqlResult<Value> {
    let user = execution.state.user(execution.state.database)?;
    let catalog = execution.state.catalog(execution.state.database)?;
    Ok(catalog.principal(user).map_or(Value::Null, |user| Value::text(&user.name)))
}

fn principal_id(execution: &mut Execution<'_>, values: &[Value]) -> SqlResult<Value> {
    let Some(name) = values.first().and_then(Value::as_text) else {
        return Ok(Value::Int(execution.state.user(execution.state.database)?.0));
    };
    let catalog = execution.state.catalog(execution.state.database)?;
    Ok(catalog.principal_named(name).map_or(Value::Null, |principal| Value::Int(principal.principal_id.0)))
}

fn is_member(execution: &mut Execution<'_>, role: &str) -> SqlResult<Value> {
    let database = execution.state.database;
    let catalog = execution.state.catalog(database)?;
    let Some(role) = catalog.principal_named(role).filter(|role| matches!(role.kind, PrincipalKind::Role { .. }))
    else {
        return Ok(Value::Null);
    };
    let user = execution.state.user(database)?;
    // A sysadmin comes in as dbo, who is a member of db_owner alone.
    Ok(flag(catalog.is_member(user, role.principal_id)))
}

fn has_permission_by_name(execution: &mut Execution<'_>, values: &[Value]) -> SqlResult<Value> {
    let (name, class, permission) = (
        text_at(values, 0).to_owned(),
        text_at(values, 1).to_ascii_uppercase(),
        text_at(values, 2).to_ascii_uppercase(),
    );
    let database = execution.state.database;
    if class == "SERVER" || values.get(1).is_none_or(Value::is_null) {
        let granted = execution.state.storage.login_named(&execution.state.login_name);
        let granted = granted.is_some_and(|login| login.permissions.iter().any(|own| **own == *permission));
        return Ok(flag(execution.state.sysadmin || granted));
    }
    let (database, securable) = match class.as_str() {
        "DATABASE" => {
            let database = if name.is_empty() { Some(database) } else { execution.state.storage.database_named(&name) };
            let Some(database) = database else { return Ok(Value::Null) };
            (database, Securable::Database)
        }
        "SCHEMA" => {
            let catalog = execution.state.catalog(database)?;
            let Some(schema) = parse::name(&name).ok().and_then(|name| catalog.schema_named(&name.object).cloned())
            else {
                return Ok(Value::Null);
            };
            (database, Securable::Schema(schema.schema_id))
        }
        "OBJECT" => {
            let Ok(name) = parse::name(&name) else { return Ok(Value::Null) };
            let Ok(database) = execution.state.database_of(&name) else { return Ok(Value::Null) };
            let id = match execution.state.object(database, &name)? {
                Some((_, Object::Table(table))) => table.object_id,
                Some((_, Object::Module(module))) => module.object_id,
                // Views of the catalog may be read by all.
                None => return Ok(name.schema.as_deref().map_or(Value::Null, |schema| flag(equal(schema, "sys")))),
            };
            (database, Securable::Object(id))
        }
        _ => return Ok(Value::Null),
    };
    let catalog = execution.state.catalog(database)?;
    let user = execution.state.user(database)?;
    if permission == "ANY" {
        let any = ["SELECT", "INSERT", "UPDATE", "DELETE", "EXECUTE", "CONNECT"];
        return Ok(flag(any.iter().any(|name| has_permission(&catalog, user, name, securable))));
    }
    // A permission on the database is also had by one that the server's implies.
    let on_server = permission == "VIEW DATABASE STATE"
        && execution
            .state
            .storage
            .login_named(&execution.state.login_name)
            .is_some_and(|login| login.permissions.iter().any(|own| **own == *"VIEW SERVER STATE"));
    let connects = permission == "CONNECT" && execution.state.may_enter(database);
    Ok(flag(on_server || connects || has_permission(&catalog, user, &permission, securable)))
}
