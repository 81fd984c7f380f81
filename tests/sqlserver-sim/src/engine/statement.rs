//! Statements as they are written. Queries and expressions inside are sqlparser's; names aren't looked up yet.

use std::fmt;
use std::sync::Arc;

use sqlparser::ast::{Expr, Query};

use crate::value::arithmetic::Operator;

/// A name of up to three parts.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Name {
    pub database: Option<String>,
    pub schema: Option<String>,
    pub object: String,
}

impl Name {
    pub fn is_temporary(&self) -> bool {
        self.object.starts_with('#')
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(database) = &self.database {
            write!(f, "{database}.")?;
        }
        match (&self.schema, &self.database) {
            (Some(schema), _) => write!(f, "{schema}.")?,
            (None, Some(_)) => f.write_str(".")?,
            (None, None) => {}
        }
        f.write_str(&self.object)
    }
}

/// A type as it is written: `decimal(10, 2)`, `dbo.phone`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TypeName {
    pub name: Name,
    pub arguments: Vec<String>,
}

/// An expression and its text, which the catalog shows.
#[derive(Clone, PartialEq, Debug)]
pub struct Written {
    pub expression: Expr,
    pub text: String,
}

#[derive(Clone, Debug)]
pub struct Statement {
    pub kind: Kind,
    /// In the batch, from 1.
    pub line: u32,
    /// As it stands in the batch.
    pub text: Arc<str>,
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a batch has few statements, and each is made once")]
pub enum Kind {
    // Data.
    Select(Box<Query>),
    Insert(Box<Insert>),
    Update(Box<Update>),
    Delete(Box<Delete>),
    Merge(Box<Merge>),
    Truncate {
        table: Name,
        /// Numbers of partitions, each a first and a last; none for the whole table.
        partitions: Vec<(Expr, Expr)>,
    },
    /// `INSERT BULK`: the rows come in a message of their own.
    InsertBulk(Box<InsertBulk>),
    // Control.
    Declare(Vec<Declaration>),
    SetVariable {
        name: String,
        operator: Option<Operator>,
        value: Expr,
    },
    SetOption(Vec<String>),
    If {
        condition: Expr,
        then: Box<Statement>,
        otherwise: Option<Box<Statement>>,
    },
    While {
        condition: Expr,
        body: Box<Statement>,
    },
    Block(Vec<Statement>),
    TryCatch {
        body: Vec<Statement>,
        handler: Vec<Statement>,
    },
    Break,
    Continue,
    Return(Option<Expr>),
    Print(Expr),
    RaiseError {
        arguments: Vec<Expr>,
        options: Vec<String>,
    },
    Throw(Option<[Expr; 3]>),
    Label(String),
    Goto(String),
    // Cursors.
    DeclareCursor {
        name: CursorName,
        definition: CursorDefinition,
    },
    OpenCursor(CursorName),
    CloseCursor(CursorName),
    DeallocateCursor(CursorName),
    FetchCursor {
        fetch: Fetch,
        name: CursorName,
        into: Vec<String>,
    },
    Execute(Execute),
    ExecuteText(Expr),
    WaitFor {
        delay: bool,
        time: Expr,
    },
    // Transactions.
    Begin,
    Commit,
    Rollback {
        name: Option<String>,
    },
    Save {
        name: String,
    },
    // Definitions.
    Use(String),
    CreateTable(Box<CreateTable>),
    AlterTable {
        name: Name,
        actions: Vec<AlterAction>,
    },
    CreateIndex(Box<CreateIndex>),
    DropIndex {
        index: String,
        table: Name,
        if_exists: bool,
    },
    AlterIndex {
        index: Option<String>,
        table: Name,
        action: String,
    },
    Drop {
        kind: ObjectKind,
        names: Vec<Name>,
        if_exists: bool,
    },
    CreateModule(Box<Module>),
    CreateSchema {
        name: String,
        owner: Option<String>,
    },
    TransferSchema {
        schema: String,
        object: Name,
    },
    CreateDatabase {
        name: String,
    },
    DropDatabase {
        names: Vec<String>,
        if_exists: bool,
    },
    AlterDatabase {
        name: Option<String>,
        options: Vec<String>,
    },
    CreateType {
        name: Name,
        base: TypeName,
        nullable: bool,
    },
    CreateTableType {
        name: Name,
        definition: Arc<str>,
    },
    CreateSynonym {
        name: Name,
        target: String,
    },
    CreateSequence {
        name: Name,
        definition: SequenceDefinition,
    },
    AlterSequence {
        name: Name,
        definition: SequenceDefinition,
    },
    Partition(PartitionStatement),
    // Permissions.
    CreateLogin {
        name: String,
        password: String,
        default_database: Option<String>,
    },
    AlterLogin {
        name: String,
        options: Vec<String>,
    },
    CreateUser {
        name: String,
        login: Option<String>,
        default_schema: Option<String>,
    },
    AlterUser {
        name: String,
        options: Vec<UserOption>,
    },
    ChangeOwner {
        class: SecurableClass,
        name: Name,
        owner: String,
    },
    ExecuteAs(ExecuteAs),
    Revert,
    CreateRole {
        name: String,
    },
    AlterRole {
        role: String,
        member: String,
        add: bool,
        server: bool,
    },
    Permission(Permission),
    Kill(Expr),
    Dbcc {
        command: String,
        arguments: Vec<Expr>,
        options: Vec<String>,
    },
    Reconfigure,
    /// Statements that change nothing that anyone could see: CHECKPOINT, and those about statistics, of which there are
    /// none.
    Nothing,
}

#[derive(Clone, Debug)]
pub struct Declaration {
    pub name: String,
    pub kind: DeclarationKind,
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a batch has few declarations, and each is made once")]
pub enum DeclarationKind {
    Scalar {
        data_type: TypeName,
        value: Option<Expr>,
    },
    Table(TableShape),
    /// A variable for a cursor, which SET gives it.
    Cursor,
}

/// A cursor as statements name it.
#[derive(Clone, Debug)]
pub struct CursorName {
    pub name: String,
    /// In a declaration: not LOCAL. Elsewhere: only the session's are meant.
    pub global: bool,
}

#[derive(Clone, Debug)]
pub struct CursorDefinition {
    pub query: Box<Query>,
    /// Whether it goes backward, too.
    pub scroll: bool,
}

#[derive(Clone, Debug)]
pub enum Fetch {
    Next,
    Prior,
    First,
    Last,
    Absolute(Expr),
    Relative(Expr),
}

/// Whom a session or module takes itself for.
#[derive(Clone, Debug)]
pub enum ExecuteAs {
    Caller,
    Owner,
    User(Expr),
    Login(Expr),
}

#[derive(Clone, Debug)]
pub enum UserOption {
    Name(String),
    DefaultSchema(Option<String>),
    Login(String),
}

/// `INSERT BULK t (a int, b nvarchar(10)) WITH (KEEP_NULLS)`.
#[derive(Clone, Debug)]
pub struct InsertBulk {
    pub table: Name,
    pub columns: Vec<String>,
    pub check_constraints: bool,
    pub fire_triggers: bool,
    pub keep_nulls: bool,
}

/// Statements on partition functions and schemes.
#[derive(Clone, Debug)]
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

/// Where a table lies.
#[derive(Clone, Debug)]
pub struct OnScheme {
    pub scheme: String,
    pub column: String,
}

#[derive(Clone, Debug)]
pub struct Execute {
    /// Takes the procedure's status.
    pub status: Option<String>,
    pub procedure: ProcedureName,
    pub arguments: Vec<Argument>,
}

#[derive(Clone, Debug)]
pub enum ProcedureName {
    Written(Name),
    Variable(String),
}

#[derive(Clone, Debug)]
pub struct Argument {
    pub name: Option<String>,
    /// None for `DEFAULT`.
    pub value: Option<Expr>,
    pub output: bool,
}

/// What `OUTPUT` gives, and where to.
#[derive(Clone, Debug)]
pub struct OutputClause {
    /// A query of nothing but the list.
    pub list: Box<Query>,
    pub into: Option<(Name, Vec<String>)>,
}

#[derive(Clone, Debug)]
pub struct Insert {
    pub target: Name,
    /// `TOP (n)`: how many of the source's rows.
    pub top: Option<Expr>,
    pub columns: Option<Vec<String>>,
    pub output: Option<OutputClause>,
    pub source: InsertSource,
}

#[derive(Clone, Debug)]
pub enum InsertSource {
    DefaultValues,
    /// None stands for `DEFAULT`.
    Values(Vec<Vec<Option<Expr>>>),
    Query(Box<Query>),
    Execute(Box<Statement>),
}

#[derive(Clone, Debug)]
pub struct Assignment {
    /// The column, or None where only a variable is set.
    pub column: Option<String>,
    pub variable: Option<String>,
    /// None stands for `DEFAULT`.
    pub value: Option<Expr>,
    pub operator: Option<Operator>,
}

#[derive(Clone, Debug)]
pub struct Update {
    pub target: Name,
    pub assignments: Vec<Assignment>,
    pub output: Option<OutputClause>,
    /// `SELECT [TOP] * FROM … WHERE …`, over the target alone where the statement has no FROM.
    pub rows: Box<Query>,
}

#[derive(Clone, Debug)]
pub struct Delete {
    pub target: Name,
    pub output: Option<OutputClause>,
    /// As in [`Update`].
    pub rows: Box<Query>,
}

#[derive(Clone, Debug)]
pub struct Merge {
    pub target: Name,
    pub alias: Option<String>,
    /// `SELECT * FROM source`.
    pub source: Box<Query>,
    pub condition: Expr,
    pub clauses: Vec<MergeClause>,
    pub output: Option<OutputClause>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MergeMatch {
    Matched,
    NotMatchedByTarget,
    NotMatchedBySource,
}

#[derive(Clone, Debug)]
pub struct MergeClause {
    pub when: MergeMatch,
    pub condition: Option<Expr>,
    pub action: MergeAction,
}

#[derive(Clone, Debug)]
pub enum MergeAction {
    Update(Vec<Assignment>),
    Delete,
    Insert { columns: Option<Vec<String>>, values: Option<Vec<Option<Expr>>> },
}

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
#[expect(clippy::large_enum_variant, reason = "a statement has few of them, and each is made once")]
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
