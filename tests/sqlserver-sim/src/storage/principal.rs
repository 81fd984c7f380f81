//! Who may do what in a database.

use std::sync::Arc;

use super::catalog::{ObjectId, SchemaId};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PrincipalId(pub i32);

impl PrincipalId {
    pub const PUBLIC: Self = Self(0);
    pub const DBO: Self = Self(1);
    pub const GUEST: Self = Self(2);
    pub const DB_OWNER: Self = Self(16384);
    pub const DB_DDLADMIN: Self = Self(16387);
    pub const DB_DATAREADER: Self = Self(16390);
    pub const DB_DATAWRITER: Self = Self(16391);
}

#[derive(Clone, Debug)]
pub struct Principal {
    pub principal_id: PrincipalId,
    pub name: Arc<str>,
    pub kind: PrincipalKind,
    /// The roles that it is a member of, directly.
    pub roles: Vec<PrincipalId>,
    pub default_schema: Option<Arc<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrincipalKind {
    /// With the login that comes in as it; None for users without login.
    User {
        login: Option<Arc<str>>,
    },
    Role {
        fixed: bool,
    },
}

/// What a grant is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Securable {
    Database,
    Schema(SchemaId),
    Object(ObjectId),
}

/// One granted or denied permission: to whom, on what, which, in capitals as T-SQL names it (`SELECT`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Permission {
    pub grantee: PrincipalId,
    pub securable: Securable,
    pub name: Arc<str>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Grant {
    Granted,
    Denied,
}

/// A login of the server.
#[derive(Clone, Debug)]
pub struct Login {
    pub name: Arc<str>,
    pub password: Arc<str>,
    pub sysadmin: bool,
    pub default_database: Arc<str>,
    /// Permissions of the server, such as `VIEW SERVER STATE`, in capitals.
    pub permissions: Vec<Arc<str>>,
}
