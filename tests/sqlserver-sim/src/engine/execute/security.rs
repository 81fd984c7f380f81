//! Logins, users, roles and permissions.

use std::sync::Arc;

use crate::error::{SqlError, SqlResult};
use crate::storage::{Grant, Login, Object, Permission, Principal, PrincipalId, PrincipalKind, Schema, Securable};
use crate::value::Value;

use super::super::state::Execution;
use super::super::statement::{self, Kind, Name, ObjectKind, PermissionAction, SecurableClass, UserOption};
use super::procedure::{Given, argument};
use super::transaction;

fn missing(kind: &str, name: &str) -> SqlError {
    SqlError::new(
        15_151,
        16,
        format!("Cannot find the {kind} '{name}', because it does not exist or you do not have permission."),
    )
}

fn taken(name: &str) -> SqlError {
    SqlError::new(15_023, 16, format!("User, group, or role '{name}' already exists in the current database."))
}

fn check_admin(execution: &Execution<'_>) -> SqlResult<()> {
    if execution.state.sysadmin {
        return Ok(());
    }
    Err(SqlError::new(15_247, 16, "User does not have permission to perform this action."))
}

fn check_owner(execution: &Execution<'_>) -> SqlResult<()> {
    let state = &*execution.state;
    let catalog = state.catalog(state.database)?;
    let user = state.user(state.database)?;
    if user == PrincipalId::DBO || catalog.is_member(user, PrincipalId::DB_OWNER) {
        return Ok(());
    }
    Err(SqlError::new(15_247, 16, "User does not have permission to perform this action."))
}

pub fn define(execution: &mut Execution<'_>, kind: &Kind) -> SqlResult<()> {
    match kind {
        Kind::CreateLogin { name, password, default_database } => {
            check_admin(execution)?;
            let storage = &execution.state.storage;
            if storage.login_named(name).is_some() {
                return Err(SqlError::new(15_025, 16, format!("The server principal '{name}' already exists.")));
            }
            storage.put_login(Login {
                name: Arc::from(name.as_str()),
                password: Arc::from(password.as_str()),
                sysadmin: false,
                default_database: Arc::from(default_database.as_deref().unwrap_or("master")),
                permissions: Vec::new(),
            });
            Ok(())
        }
        Kind::AlterLogin { name, options } => alter_login(execution, name, options),
        Kind::CreateUser { name, login, default_schema } => {
            check_owner(execution)?;
            if let Some(login) = login
                && execution.state.storage.login_named(login).is_none()
            {
                return Err(SqlError::new(
                    15_007,
                    16,
                    format!("'{login}' is not a valid login or you do not have permission."),
                ));
            }
            let kind = PrincipalKind::User { login: login.as_deref().map(Arc::from) };
            create_principal(execution, name, kind, default_schema.as_deref())
        }
        Kind::AlterUser { name, options } => alter_user(execution, name, options),
        Kind::ChangeOwner { class, name, owner } => change_owner(execution, *class, &name.object, owner),
        Kind::CreateRole { name } => {
            check_owner(execution)?;
            create_principal(execution, name, PrincipalKind::Role { fixed: false }, None)
        }
        Kind::AlterRole { role, member, add, server: true } => server_role(execution, role, member, *add),
        Kind::AlterRole { role, member, add, server: false } => database_role(execution, role, member, *add),
        Kind::Permission(permission) => grant(execution, permission),
        _ => Err(SqlError::unsupported("this statement")),
    }
}

fn alter_login(execution: &mut Execution<'_>, name: &str, options: &[String]) -> SqlResult<()> {
    check_admin(execution)?;
    let storage = &execution.state.storage;
    let login = storage.login_named(name).ok_or_else(|| missing("login", name))?;
    let mut login = Login::clone(&login);
    match options {
        [with, option, _, value, ..]
            if with.eq_ignore_ascii_case("WITH") && option.eq_ignore_ascii_case("PASSWORD") =>
        {
            login.password = Arc::from(value.as_str());
        }
        [with, option, _, value, ..]
            if with.eq_ignore_ascii_case("WITH") && option.eq_ignore_ascii_case("DEFAULT_DATABASE") =>
        {
            login.default_database = Arc::from(value.as_str());
        }
        _ => return Err(SqlError::unsupported(format!("ALTER LOGIN … {}", options.join(" ")))),
    }
    storage.put_login(login);
    Ok(())
}

fn alter_user(execution: &mut Execution<'_>, name: &str, options: &[UserOption]) -> SqlResult<()> {
    check_owner(execution)?;
    let database = execution.state.database;
    for option in options {
        if let UserOption::Login(login) = option
            && execution.state.storage.login_named(login).is_none()
        {
            let text = format!("'{login}' is not a valid login or you do not have permission.");
            return Err(SqlError::new(15_007, 16, text));
        }
    }
    transaction::atomic(execution, |execution| {
        execution.state.transaction().edit_catalog(database, |catalog| {
            let found = catalog.principal_named(name).ok_or_else(|| missing("user", name))?;
            let mut user = Principal::clone(found);
            for option in options {
                match option {
                    UserOption::Name(to) if catalog.principal_named(to).is_some() => return Err(taken(to)),
                    UserOption::Name(to) => user.name = Arc::from(to.as_str()),
                    UserOption::DefaultSchema(schema) => user.default_schema = schema.as_deref().map(Arc::from),
                    UserOption::Login(login) => {
                        user.kind = PrincipalKind::User { login: Some(Arc::from(login.as_str())) };
                    }
                }
            }
            catalog.put_principal(user);
            Ok(())
        })
    })
}

/// `ALTER AUTHORIZATION`. A database whose owner was gone has one again.
fn change_owner(execution: &mut Execution<'_>, class: SecurableClass, name: &str, owner: &str) -> SqlResult<()> {
    if class == SecurableClass::Database {
        check_admin(execution)?;
        let storage = &execution.state.storage;
        let database = storage.database_named(name).ok_or_else(|| missing("database", name))?;
        let login = storage.login_named(owner).ok_or_else(|| missing("principal", owner))?;
        if !login.name.eq_ignore_ascii_case("sa") {
            return Err(SqlError::unsupported("databases that belong to another login than sa"));
        }
        storage.capture().with(database, |capture| capture.owner_missing = false);
        return Ok(());
    }
    check_owner(execution)?;
    let database = execution.state.database;
    transaction::atomic(execution, |execution| {
        execution.state.transaction().edit_catalog(database, |catalog| {
            let principal = catalog.principal_named(owner).ok_or_else(|| missing("principal", owner))?;
            let owner = principal.principal_id;
            let schema = catalog.schema_named(name).ok_or_else(|| missing("schema", name))?;
            let schema = Schema { owner, ..Schema::clone(schema) };
            catalog.put_schema(schema);
            Ok(())
        })
    })
}

/// Permissions that can be granted, of which those that nothing here asks for are kept and shown all the same.
fn check_permission_name(name: &str) -> SqlResult<()> {
    const FIRST_WORDS: &[&str] = &[
        "ADMINISTER",
        "ALTER",
        "AUTHENTICATE",
        "BACKUP",
        "CHECKPOINT",
        "CONNECT",
        "CONTROL",
        "CREATE",
        "DELETE",
        "EXECUTE",
        "IMPERSONATE",
        "INSERT",
        "KILL",
        "RECEIVE",
        "REFERENCES",
        "SELECT",
        "SEND",
        "SHOWPLAN",
        "SHUTDOWN",
        "SUBSCRIBE",
        "TAKE",
        "UNMASK",
        "UNSAFE",
        "UPDATE",
        "VIEW",
    ];
    let first = name.split(' ').next().unwrap_or_default();
    if FIRST_WORDS.contains(&first) {
        return Ok(());
    }
    if first == "ALL" {
        return Err(SqlError::unsupported("GRANT ALL"));
    }
    Err(SqlError::syntax_near(name))
}

fn create_principal(
    execution: &mut Execution<'_>,
    name: &str,
    kind: PrincipalKind,
    default_schema: Option<&str>,
) -> SqlResult<()> {
    let database = execution.state.database;
    transaction::atomic(execution, |execution| {
        execution.state.transaction().edit_catalog(database, |catalog| {
            if catalog.principal_named(name).is_some() {
                return Err(taken(name));
            }
            let principal_id = catalog.next_principal_id();
            let default_schema = default_schema.map(Arc::from);
            catalog.put_principal(Principal {
                principal_id,
                name: Arc::from(name),
                kind,
                roles: Vec::new(),
                default_schema,
            });
            Ok(())
        })
    })
}

fn server_role(execution: &mut Execution<'_>, role: &str, member: &str, add: bool) -> SqlResult<()> {
    check_admin(execution)?;
    if !role.eq_ignore_ascii_case("sysadmin") {
        return Err(SqlError::unsupported(format!("the server role {role}")));
    }
    let storage = &execution.state.storage;
    let login = storage.login_named(member).ok_or_else(|| missing("login", member))?;
    storage.put_login(Login { sysadmin: add, ..Login::clone(&login) });
    Ok(())
}

fn database_role(execution: &mut Execution<'_>, role: &str, member: &str, add: bool) -> SqlResult<()> {
    check_owner(execution)?;
    let database = execution.state.database;
    transaction::atomic(execution, |execution| {
        execution.state.transaction().edit_catalog(database, |catalog| {
            let role =
                catalog.principal_named(role).map(|role| role.principal_id).ok_or_else(|| missing("role", role))?;
            let member = catalog.principal_named(member).ok_or_else(|| missing("user", member))?;
            let mut member = Principal::clone(member);
            member.roles.retain(|own| *own != role);
            if add {
                member.roles.push(role);
            }
            catalog.put_principal(member);
            Ok(())
        })
    })
}

/// The old procedures for members of roles.
pub fn role_member(execution: &mut Execution<'_>, procedure: &str, given: &[Given]) -> SqlResult<()> {
    let text =
        |name: &str, at: usize| argument(given, name, at).and_then(Value::as_text).unwrap_or_default().to_owned();
    match procedure {
        "sp_addrolemember" => database_role(execution, &text("@rolename", 0), &text("@membername", 1), true),
        "sp_droprolemember" => database_role(execution, &text("@rolename", 0), &text("@membername", 1), false),
        _ => server_role(execution, &text("@rolename", 1), &text("@loginame", 0), true),
    }
}

pub fn drop_principals(
    execution: &mut Execution<'_>,
    kind: ObjectKind,
    names: &[Name],
    if_exists: bool,
) -> SqlResult<()> {
    for name in names {
        if kind == ObjectKind::Login {
            check_admin(execution)?;
            if !execution.state.storage.remove_login(&name.object) && !if_exists {
                return Err(missing("login", &name.object));
            }
            continue;
        }
        check_owner(execution)?;
        let database = execution.state.database;
        transaction::atomic(execution, |execution| {
            execution.state.transaction().edit_catalog(database, |catalog| {
                match catalog.principal_named(&name.object).map(|principal| principal.principal_id) {
                    Some(id) if catalog.schemas().any(|schema| schema.owner == id) => {
                        let text = "The database principal owns a schema in the database, and cannot be dropped.";
                        Err(SqlError::new(15_138, 16, text))
                    }
                    Some(id) => {
                        catalog.remove_principal(id);
                        Ok(())
                    }
                    None if if_exists => Ok(()),
                    None => Err(missing(kind.noun(), &name.object)),
                }
            })
        })?;
    }
    Ok(())
}

fn grant(execution: &mut Execution<'_>, permission: &statement::Permission) -> SqlResult<()> {
    for name in &permission.permissions {
        check_permission_name(name)?;
    }
    if permission.class == SecurableClass::Server {
        return grant_on_server(execution, permission);
    }
    check_owner(execution)?;
    let database = execution.state.database;
    let securable = match (permission.class, &permission.securable) {
        (SecurableClass::Schema, Some(name)) => {
            let catalog = execution.state.catalog(database)?;
            Securable::Schema(
                catalog
                    .schema_named(&name.object)
                    .map(|schema| schema.schema_id)
                    .ok_or_else(|| missing("schema", &name.object))?,
            )
        }
        (SecurableClass::Object, Some(name)) => match execution.state.object(database, name)? {
            Some((_, Object::Table(table))) => Securable::Object(table.object_id),
            Some((_, Object::Module(module))) => Securable::Object(module.object_id),
            // Views of the catalog may be read by all as it is.
            None if name.schema.as_deref().is_some_and(|schema| schema.eq_ignore_ascii_case("sys")) => return Ok(()),
            None => return Err(missing("object", &name.to_string())),
        },
        _ => Securable::Database,
    };
    transaction::atomic(execution, |execution| {
        execution.state.transaction().edit_catalog(database, |catalog| {
            for grantee in &permission.grantees {
                let grantee = catalog
                    .principal_named(grantee)
                    .map(|principal| principal.principal_id)
                    .ok_or_else(|| missing("user", grantee))?;
                for name in &permission.permissions {
                    let key = Permission { grantee, securable, name: Arc::from(name.as_str()) };
                    match permission.action {
                        PermissionAction::Grant => catalog.put_permission(key, Grant::Granted),
                        PermissionAction::Deny => catalog.put_permission(key, Grant::Denied),
                        PermissionAction::Revoke => catalog.remove_permission(&key),
                    }
                }
            }
            Ok(())
        })
    })
}

fn grant_on_server(execution: &mut Execution<'_>, permission: &statement::Permission) -> SqlResult<()> {
    check_admin(execution)?;
    for grantee in &permission.grantees {
        let storage = &execution.state.storage;
        let login = storage.login_named(grantee).ok_or_else(|| missing("login", grantee))?;
        let mut login = Login::clone(&login);
        for name in &permission.permissions {
            login.permissions.retain(|own| **own != **name);
            if permission.action == PermissionAction::Grant {
                login.permissions.push(Arc::from(name.as_str()));
            }
        }
        storage.put_login(login);
    }
    Ok(())
}
