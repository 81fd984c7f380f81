//! Logins, users, roles and permissions.

use std::sync::Arc;

use crate::engine::relation::Relation;
use crate::storage::{Grant, Login, Permission, Principal, PrincipalId, PrincipalKind, Securable};
use crate::value::{SqlType, Value};

use super::Named;
use super::scope::Scope;
use super::view::{
    BIT, DATETIME, INT, SYSNAME, TINYINT, View, bit, datetime, int, nvarchar, optional_text, text, varbinary,
};

const CODE: SqlType = SqlType::Char(1);

/// A number that is the same for a name wherever it turns up.
fn sid(name: &str) -> Value {
    if name.eq_ignore_ascii_case("sa") || name == "dbo" {
        return Value::binary(&[1]);
    }
    let mut bytes = name.to_lowercase().into_bytes();
    bytes.resize(16, 0);
    Value::binary(&bytes)
}

fn is_role(principal: &Principal) -> bool {
    matches!(principal.kind, PrincipalKind::Role { .. })
}

fn principals_view() -> Arc<dyn Relation> {
    View::of(|scope| scope.catalog().principals().cloned().collect())
        .field("name", SYSNAME, |it, _| text(&it.name))
        .field("principal_id", INT, |it, _| int(it.principal_id.0))
        .field("type", CODE, |it, _| text(if is_role(it) { "R" } else { "S" }))
        .nullable("type_desc", nvarchar(60), |it, _| text(if is_role(it) { "DATABASE_ROLE" } else { "SQL_USER" }))
        .nullable("default_schema_name", SYSNAME, |it, _| match &it.default_schema {
            Some(schema) => text(schema),
            None if is_role(it) => Value::Null,
            None => text("dbo"),
        })
        .field("create_date", DATETIME, |_, scope| datetime(scope.database_created()))
        .field("modify_date", DATETIME, |_, scope| datetime(scope.database_created()))
        .nullable("owning_principal_id", INT, |it, _| if is_role(it) { int(1) } else { Value::Null })
        .nullable("sid", varbinary(85), |it, _| match &it.kind {
            PrincipalKind::User { login } => sid(login.as_deref().unwrap_or(&it.name)),
            PrincipalKind::Role { .. } => Value::Null,
        })
        .field("is_fixed_role", BIT, |it, _| bit(matches!(it.kind, PrincipalKind::Role { fixed: true })))
        .field("authentication_type", INT, |it, _| {
            int(i32::from(matches!(it.kind, PrincipalKind::User { login: Some(_) })))
        })
        .nullable("authentication_type_desc", nvarchar(60), |it, _| {
            text(match it.kind {
                PrincipalKind::User { login: Some(_) } => "INSTANCE",
                _ => "NONE",
            })
        })
        .nulls(SYSNAME, &["default_language_name"])
        .nulls(INT, &["default_language_lcid"])
        .unset(&["allow_encrypted_value_modifications"])
        .build()
}

fn memberships(scope: &Scope<'_>) -> Vec<(PrincipalId, PrincipalId)> {
    let principals = scope.catalog().principals();
    principals
        .flat_map(|member| member.roles.iter().map(|role| (*role, member.principal_id)).collect::<Vec<_>>())
        .collect()
}

fn role_members_view() -> Arc<dyn Relation> {
    View::of(memberships)
        .field("role_principal_id", INT, |(role, _), _| int(role.0))
        .field("member_principal_id", INT, |(_, member), _| int(member.0))
        .build()
}

fn permissions(scope: &Scope<'_>) -> Vec<(Permission, Grant)> {
    scope.catalog().permissions().map(|(permission, grant)| (permission.clone(), grant)).collect()
}

fn class(securable: Securable) -> (u8, &'static str, i32) {
    match securable {
        Securable::Database => (0, "DATABASE", 0),
        Securable::Object(id) => (1, "OBJECT_OR_COLUMN", id.0),
        Securable::Schema(id) => (3, "SCHEMA", id.0),
    }
}

/// The four letters of a permission: the first two of each of its first two words, or what is customary.
fn permission_code(name: &str) -> &'static str {
    match name {
        "SELECT" => "SL",
        "INSERT" => "IN",
        "UPDATE" => "UP",
        "DELETE" => "DL",
        "EXECUTE" => "EX",
        "REFERENCES" => "RF",
        "CONTROL" => "CL",
        "ALTER" => "AL",
        "CONNECT" => "CO",
        "VIEW DEFINITION" => "VW",
        "VIEW DATABASE STATE" => "VWDS",
        "VIEW DATABASE PERFORMANCE STATE" => "VDP",
        "VIEW CHANGE TRACKING" => "VWCT",
        "CREATE TABLE" => "CRTB",
        "CREATE SCHEMA" => "CRSM",
        _ => "",
    }
}

fn permissions_view() -> Arc<dyn Relation> {
    View::of(permissions)
        .field("class", TINYINT, |(it, _), _| Value::TinyInt(class(it.securable).0))
        .nullable("class_desc", nvarchar(60), |(it, _), _| text(class(it.securable).1))
        .field("major_id", INT, |(it, _), _| int(class(it.securable).2))
        .always("minor_id", INT, int(0))
        .field("grantee_principal_id", INT, |(it, _), _| int(it.grantee.0))
        .always("grantor_principal_id", INT, int(1))
        .field("type", SqlType::Char(4), |(it, _), _| text(&format!("{:4}", permission_code(&it.name))))
        .nullable("permission_name", nvarchar(128), |(it, _), _| text(&it.name))
        .field("state", CODE, |(_, grant), _| text(if *grant == Grant::Granted { "G" } else { "D" }))
        .nullable("state_desc", nvarchar(60), |(_, grant), _| {
            text(if *grant == Grant::Granted { "GRANT" } else { "DENY" })
        })
        .build()
}

/// A login with its number: the first is `sa`, the second and third are roles.
type NumberedLogin = (i32, Arc<Login>);

fn logins(scope: &Scope<'_>) -> Vec<NumberedLogin> {
    let (sa, others): (Vec<_>, Vec<_>) =
        scope.storage().logins().into_iter().partition(|login| login.name.eq_ignore_ascii_case("sa"));
    let first = sa.into_iter().map(|login| (1, login));
    first.chain((257..).zip(others)).collect()
}

fn of_logins(view: View<NumberedLogin>) -> View<NumberedLogin> {
    view.field("name", SYSNAME, |(_, login), _| text(&login.name))
        .field("principal_id", INT, |(id, _), _| int(*id))
        .nullable("sid", varbinary(85), |(_, login), _| sid(&login.name))
        .always("type", CODE, text("S"))
        .always("type_desc", nvarchar(60), text("SQL_LOGIN"))
        .unset(&["is_disabled"])
        .field("create_date", DATETIME, |_, scope| datetime(scope.database_created()))
        .field("modify_date", DATETIME, |_, scope| datetime(scope.database_created()))
        .nullable("default_database_name", SYSNAME, |(_, login), _| text(&login.default_database))
        .always("default_language_name", SYSNAME, text("us_english"))
        .nulls(INT, &["credential_id"])
}

fn server_principals_view() -> Arc<dyn Relation> {
    View::of(logins).with(of_logins).nulls(INT, &["owning_principal_id"]).unset(&["is_fixed_role"]).build()
}

fn sql_logins_view() -> Arc<dyn Relation> {
    View::of(logins)
        .with(of_logins)
        .unset(&["is_policy_checked", "is_expiration_checked"])
        .nulls(varbinary(256), &["password_hash"])
        .build()
}

fn server_permissions(scope: &Scope<'_>) -> Vec<(i32, Arc<str>)> {
    let granted = logins(scope)
        .into_iter()
        .flat_map(|(id, login)| login.permissions.iter().map(|name| (id, Arc::clone(name))).collect::<Vec<_>>());
    granted.collect()
}

fn server_permissions_view() -> Arc<dyn Relation> {
    View::of(server_permissions)
        .always("class", TINYINT, Value::TinyInt(100))
        .always("class_desc", nvarchar(60), text("SERVER"))
        .always("major_id", INT, int(0))
        .always("minor_id", INT, int(0))
        .field("grantee_principal_id", INT, |(id, _), _| int(*id))
        .always("grantor_principal_id", INT, int(1))
        .always("type", SqlType::Char(4), text(""))
        .nullable("permission_name", nvarchar(128), |(_, name), _| text(name))
        .always("state", CODE, text("G"))
        .always("state_desc", nvarchar(60), text("GRANT"))
        .build()
}

/// The role of the server's administrators, 3, has those logins as members.
fn server_role_members_view() -> Arc<dyn Relation> {
    View::of(|scope| logins(scope).into_iter().filter(|(_, login)| login.sysadmin).collect())
        .always("role_principal_id", INT, int(3))
        .field("member_principal_id", INT, |(id, _), _| int(*id))
        .build()
}

fn old_users_view() -> Arc<dyn Relation> {
    View::of(|scope| scope.catalog().principals().cloned().collect())
        .field("uid", SqlType::SmallInt, |it, _| Value::SmallInt(i16::try_from(it.principal_id.0).unwrap_or(i16::MAX)))
        .nullable("name", SYSNAME, |it, _| optional_text(Some(&it.name)))
        .field("issqlrole", INT, |it, _| int(i32::from(is_role(it))))
        .build()
}

pub fn views() -> Vec<Named> {
    vec![
        ("sys", "database_principals", principals_view()),
        ("sys", "database_role_members", role_members_view()),
        ("sys", "database_permissions", permissions_view()),
        ("sys", "server_principals", server_principals_view()),
        ("sys", "sql_logins", sql_logins_view()),
        ("sys", "server_permissions", server_permissions_view()),
        ("sys", "server_role_members", server_role_members_view()),
        ("sys", "sysusers", old_users_view()),
    ]
}
