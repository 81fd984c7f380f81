//! What statements define: tables, modules, principals, partitions.

use std::sync::Arc;

use sqlparser::ast::{Expr, Query};

use super::{Name, Statement, TypeName, Written};

/// The columns and constraints of a new table or table variable.
#[derive(Clone, Debug, Default)]
pub struct TableShape {
    pub columns: Vec<ColumnDefinition>,
    pub constraints: Vec<ConstraintDefinition>,
    pub indexes: Vec<CreateIndex>,
    /// `PERIOD FOR SYSTEM_TIME`: the columns of its begin and end.
    pub period: Option<(String, String)>,
}

/// `SYSTEM_VERSIONING = ON`, and the table of past rows if it is named.
#[derive(Clone, Debug, Default)]
pub struct Versioning {
    pub history: Option<Name>,
}

#[derive(Clone, Debug)]
pub struct CreateTable {
    pub name: Name,
    pub shape: TableShape,
    pub on: Option<OnScheme>,
    pub versioning: Option<Versioning>,
}

#[derive(Clone, Debug)]
pub struct ColumnDefinition {
    pub name: String,
    /// None for a computed column.
    pub data_type: Option<TypeName>,
    pub computed: Option<Written>,
    pub persisted: bool,
    pub nullable: Option<bool>,
    pub identity: Option<(i64, i64)>,
    pub default: Option<(Option<String>, Written)>,
    pub with_values: bool,
    pub collation: Option<String>,
    /// `GENERATED ALWAYS AS ROW START` is true, `ROW END` false.
    pub row_start: Option<bool>,
    pub hidden: bool,
    /// `COLUMN_SET FOR ALL_SPARSE_COLUMNS`.
    pub column_set: bool,
    /// PRIMARY KEY, UNIQUE, CHECK and REFERENCES written with the column.
    pub constraints: Vec<ConstraintDefinition>,
}

#[derive(Clone, Debug)]
pub struct ConstraintDefinition {
    pub name: Option<String>,
    pub kind: ConstraintKind,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyColumn {
    pub name: String,
    pub descending: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ForeignKeyAction {
    #[default]
    NoAction,
    Cascade,
    SetNull,
    SetDefault,
}

#[derive(Clone, Debug)]
pub enum ConstraintKind {
    PrimaryKey {
        clustered: Option<bool>,
        columns: Vec<KeyColumn>,
    },
    Unique {
        clustered: Option<bool>,
        columns: Vec<KeyColumn>,
    },
    ForeignKey {
        columns: Vec<String>,
        table: Name,
        referenced: Vec<String>,
        on_delete: ForeignKeyAction,
        on_update: ForeignKeyAction,
    },
    Check(Written),
    Default {
        column: String,
        value: Written,
    },
}

#[derive(Clone, Debug)]
pub enum AlterAction {
    AddColumn(ColumnDefinition),
    AddConstraint(ConstraintDefinition),
    DropColumn {
        name: String,
        if_exists: bool,
    },
    DropConstraint {
        name: String,
        if_exists: bool,
    },
    AlterColumn {
        name: String,
        data_type: TypeName,
        nullable: Option<bool>,
        collation: Option<String>,
    },
    EnableConstraints {
        enable: bool,
        /// All where there is none.
        names: Vec<String>,
        /// `WITH CHECK`: rows that are there are looked at.
        check_rows: bool,
    },
    EnableTriggers {
        enable: bool,
        names: Vec<String>,
    },
    Switch {
        target: Name,
        partition: Option<Expr>,
        target_partition: Option<Expr>,
    },
    /// None for `OFF`.
    SystemVersioning(Option<Versioning>),
    AddPeriod,
    DropPeriod,
    /// REBUILD, and SET LOCK_ESCALATION, which nobody sees.
    Nothing,
}

#[derive(Clone, Debug)]
pub struct CreateIndex {
    pub name: String,
    pub table: Name,
    pub unique: bool,
    pub clustered: bool,
    pub columns: Vec<KeyColumn>,
    pub included: Vec<String>,
    pub filter: Option<Written>,
    pub columnstore: bool,
    /// `DROP_EXISTING = ON`: it takes the place of the index of its name.
    pub drop_existing: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ObjectKind {
    Table,
    View,
    Procedure,
    Function,
    Trigger,
    Schema,
    Type,
    Synonym,
    Sequence,
    Login,
    User,
    Role,
}

impl ObjectKind {
    pub fn noun(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::View => "view",
            Self::Procedure => "procedure",
            Self::Function => "function",
            Self::Trigger => "trigger",
            Self::Schema => "schema",
            Self::Type => "type",
            Self::Synonym => "synonym",
            Self::Sequence => "sequence object",
            Self::Login => "login",
            Self::User => "user",
            Self::Role => "role",
        }
    }
}

/// What CREATE does where the object is there already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CreateManner {
    Create,
    Alter,
    CreateOrAlter,
}

/// A view, procedure, function or trigger. Its body is read again from the text at each use.
#[derive(Clone, Debug)]
pub struct Module {
    pub manner: CreateManner,
    pub name: Name,
    pub kind: ModuleKind,
    pub execute_as: ExecuteAs,
    /// The whole statement.
    pub definition: Arc<str>,
}

#[derive(Clone, Debug)]
pub enum ModuleKind {
    View { columns: Vec<String>, query: Box<Query> },
    Procedure { parameters: Vec<ModuleParameter>, body: Arc<[Statement]> },
    InlineFunction { parameters: Vec<ModuleParameter>, query: Box<Query> },
    TableFunction { parameters: Vec<ModuleParameter>, variable: String, shape: TableShape, body: Arc<[Statement]> },
    ScalarFunction { parameters: Vec<ModuleParameter>, returns: TypeName, body: Arc<[Statement]> },
    Trigger { table: Name, events: TriggerEvents, instead: bool, body: Arc<[Statement]> },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TriggerEvents {
    pub insert: bool,
    pub update: bool,
    pub delete: bool,
}

impl TriggerEvents {
    pub const INSERT: Self = Self { insert: true, update: false, delete: false };
    pub const UPDATE: Self = Self { insert: false, update: true, delete: false };
    pub const DELETE: Self = Self { insert: false, update: false, delete: true };
}

#[derive(Clone, Debug)]
pub struct ModuleParameter {
    pub name: String,
    pub data_type: TypeName,
    pub default: Option<Expr>,
    pub output: bool,
    /// A table, which can't be written to.
    pub read_only: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PermissionAction {
    Grant,
    Deny,
    Revoke,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SecurableClass {
    Database,
    Schema,
    Object,
    Server,
}

#[derive(Clone, Debug)]
pub struct Permission {
    pub action: PermissionAction,
    pub permissions: Vec<String>,
    pub class: SecurableClass,
    pub securable: Option<Name>,
    pub grantees: Vec<String>,
}

#[derive(Clone, Debug)]
pub enum UserOption {
    Name(String),
    DefaultSchema(Option<String>),
    Login(String),
}

/// Statements on partition functions and schemes.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "each is made once")]
pub enum PartitionStatement {
    CreateFunction {
        name: String,
        data_type: TypeName,
        right: bool,
        boundaries: Vec<Expr>,
    },
    CreateScheme {
        name: String,
        function: String,
        places: usize,
        all: bool,
    },
    /// A new boundary, or one less.
    AlterFunction {
        name: String,
        split: bool,
        boundary: Option<Expr>,
    },
    AlterScheme {
        name: String,
    },
    DropFunction {
        name: String,
    },
    DropScheme {
        name: String,
    },
}

/// Where a table lies.
#[derive(Clone, Debug)]
pub struct OnScheme {
    pub scheme: String,
    pub column: String,
}

/// What is said of a sequence; None where nothing is.
#[derive(Clone, Debug, Default)]
pub struct SequenceDefinition {
    pub data_type: Option<TypeName>,
    pub start: Option<i64>,
    pub restart: bool,
    pub increment: Option<i64>,
    pub minimum: Option<i64>,
    pub maximum: Option<i64>,
    pub cycle: Option<bool>,
}

/// Whom a session or module takes itself for.
#[derive(Clone, Debug)]
pub enum ExecuteAs {
    Caller,
    Owner,
    User(Expr),
    Login(Expr),
}
