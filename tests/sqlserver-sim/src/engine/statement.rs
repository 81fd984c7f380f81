//! Statements as they are written. Queries and expressions inside are sqlparser's; names aren't looked up yet.

mod definition;

use std::fmt;
use std::sync::Arc;

use sqlparser::ast::{Expr, Query};

use crate::value::arithmetic::Operator;

pub use definition::{
    AlterAction, ColumnDefinition, ConstraintDefinition, ConstraintKind, CreateIndex, CreateManner, CreateTable,
    ExecuteAs, ForeignKeyAction, KeyColumn, Module, ModuleKind, ModuleParameter, ObjectKind, OnScheme,
    PartitionStatement, Permission, PermissionAction, SecurableClass, SequenceDefinition, TableShape, TriggerEvents,
    UserOption, Versioning,
};

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

/// `INSERT BULK t (a int, b nvarchar(10)) WITH (KEEP_NULLS)`.
#[derive(Clone, Debug)]
pub struct InsertBulk {
    pub table: Name,
    pub columns: Vec<String>,
    pub check_constraints: bool,
    pub fire_triggers: bool,
    pub keep_nulls: bool,
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
