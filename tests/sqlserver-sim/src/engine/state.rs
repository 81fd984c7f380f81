//! What a session keeps from one request to the next, and what one execution has at hand.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::{SqlError, SqlResult};
use crate::storage::{
    Begin, Catalog, DatabaseId, Object, PrincipalId, Row, Savepoint, SchemaId, Storage, Table, Transaction,
};
use crate::value::collation::folded;
use crate::value::{Moment, SqlType, Value};

use super::context::{self, Context};
use super::session::{ColumnMetadata, Isolation, Login};
use super::statement::{CursorDefinition, InsertBulk, Name};

/// `SET` options.
#[derive(Clone, Debug)]
pub struct Options {
    pub no_count: bool,
    pub xact_abort: bool,
    pub implicit_transactions: bool,
    pub isolation: Isolation,
    /// None waits for ever.
    pub lock_timeout: Option<Duration>,
    /// From -10 to 10; in a deadlock the lowest is the victim.
    pub deadlock_priority: i8,
    /// 1 is Monday; 7, Sunday, is the American default.
    pub date_first: u8,
    /// `SET ROWCOUNT`; 0 for no limit.
    pub row_count: u64,
    /// The table whose identity column takes explicit values.
    pub identity_insert: Option<(DatabaseId, crate::storage::ObjectId)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            no_count: false,
            xact_abort: false,
            implicit_transactions: false,
            isolation: Isolation::ReadCommitted,
            lock_timeout: None,
            deadlock_priority: 0,
            date_first: 7,
            row_count: 0,
            identity_insert: None,
        }
    }
}

/// What a session can do to others.
pub trait Peers: std::fmt::Debug + Send + Sync {
    /// Ends a session and rolls its transaction back. False where there is none.
    fn end(&self, session_id: u32) -> bool;

    /// Ends all sessions in a database but one.
    fn end_others_in(&self, database: &str, session_id: u32);
}

/// Who a session is.
#[derive(Clone, Debug)]
pub struct Identity {
    pub login_name: Arc<str>,
    pub sysadmin: bool,
    pub user: Option<(DatabaseId, PrincipalId)>,
}

/// A cursor: its query, and the rows once it is open.
#[derive(Clone, Debug)]
pub struct Cursor {
    pub definition: CursorDefinition,
    /// The variables as they were when it was declared.
    pub variables: Variables,
    pub open: Option<OpenCursor>,
}

/// An open cursor reads what its query gave when it was opened.
#[derive(Clone, Debug)]
pub struct OpenCursor {
    pub columns: Vec<ColumnMetadata>,
    pub rows: Arc<Vec<Vec<Value>>>,
    /// The row that was fetched last, from 1; 0 before the first, and one more than there are after the last.
    pub at: usize,
}

/// A session.
#[derive(Debug)]
pub struct State {
    pub storage: Arc<Storage>,
    pub session_id: u32,
    pub login: Login,
    pub login_name: Arc<str>,
    pub sysadmin: bool,
    /// The user that `EXECUTE AS USER` made of the session, in the one database where it is one.
    pub user: Option<(DatabaseId, PrincipalId)>,
    /// Who the session was before each `EXECUTE AS` that isn't reverted yet.
    pub impersonations: Vec<Identity>,
    /// The other sessions.
    pub peers: Option<Arc<dyn Peers>>,
    /// Cursors of the session, by name in lower case.
    pub cursors: HashMap<String, Cursor>,
    /// `@@FETCH_STATUS`.
    pub fetch_status: i32,
    /// `@@CURSOR_ROWS`.
    pub cursor_rows: i32,
    /// `sp_set_session_context`: values, and whether they are read-only.
    pub session_context: HashMap<String, (Value, bool)>,
    /// `CONTEXT_INFO()`.
    pub context_info: Value,
    /// The table that rows of a bulk load are for.
    pub bulk: Option<Box<InsertBulk>>,
    pub database: DatabaseId,
    pub options: Options,
    pub cancelled: Arc<AtomicBool>,
    /// The open transaction: the user's, or the statement's own.
    pub transaction: Option<Transaction>,
    /// `@@TRANCOUNT`.
    pub transaction_count: u32,
    /// Only a rollback is possible.
    pub doomed: bool,
    pub savepoints: Vec<(String, Savepoint)>,
    /// TRY blocks around the statement.
    pub tries: u32,
    /// Statements that are within another: those of triggers.
    pub statement_depth: u32,
    /// `@@NESTLEVEL`.
    pub nesting: u32,
    /// `@@ROWCOUNT`.
    pub row_count: i64,
    /// `@@ERROR`.
    pub error_number: i32,
    pub identity_last: Option<i128>,
    /// Temporary tables by their name in lower case, as they are called in tempdb.
    pub temporary: HashMap<String, Arc<str>>,
    pub temporary_last: u32,
    /// Table variables that are to be dropped once the request has ended.
    pub dropped_at_end: Vec<Arc<str>>,
    /// By the clock, at the beginning of the statement.
    pub now: Moment,
    /// The statement that runs, as it is written.
    pub statement: Arc<str>,
    uuids: u64,
    random: u64,
}

impl State {
    pub fn open(storage: Arc<Storage>, session_id: u32, login: Login, cancelled: Arc<AtomicBool>) -> SqlResult<Self> {
        let refused = || {
            let text = format!("Login failed for user '{}'.", login.name);
            SqlError::new(18456, 14, text)
        };
        let known =
            storage.login_named(&login.name).filter(|known| *known.password == *login.password).ok_or_else(refused)?;
        let wanted =
            if login.database.is_empty() { known.default_database.to_string() } else { login.database.clone() };
        let cannot_open = || {
            let text = format!("Cannot open database \"{wanted}\" requested by the login. The login failed.");
            SqlError::new(4060, 11, text)
        };
        let database = storage.database_named(&wanted).ok_or_else(cannot_open)?;
        let now = storage.clock().now();
        let state = Self {
            session_id,
            login_name: Arc::clone(&known.name),
            sysadmin: known.sysadmin,
            user: None,
            impersonations: Vec::new(),
            peers: None,
            cursors: HashMap::new(),
            fetch_status: 0,
            cursor_rows: 0,
            session_context: HashMap::new(),
            context_info: Value::Null,
            bulk: None,
            database,
            options: Options::default(),
            cancelled,
            transaction: None,
            transaction_count: 0,
            doomed: false,
            savepoints: Vec::new(),
            tries: 0,
            statement_depth: 0,
            nesting: 0,
            row_count: 0,
            error_number: 0,
            identity_last: None,
            temporary: HashMap::new(),
            temporary_last: 0,
            dropped_at_end: Vec::new(),
            now,
            statement: Arc::from(""),
            uuids: 0,
            random: u64::from(session_id),
            storage,
            login,
        };
        if !state.may_enter(database) {
            return Err(SqlError::new(
                4060,
                11,
                format!("Cannot open database \"{wanted}\" requested by the login. The login failed."),
            ));
        }
        Ok(state)
    }

    /// What a temporary table is called in tempdb, where those of all sessions are.
    pub fn temporary_name(&mut self, name: &str) -> Arc<str> {
        self.temporary_last += 1;
        Arc::from(format!("{name}_{:06}{:06}", self.session_id, self.temporary_last))
    }

    /// An identifier that this server gives once.
    pub fn next_uuid(&mut self) -> [u8; 16] {
        self.uuids += 1;
        let at = self.now.total_ticks().unsigned_abs();
        let mut mix = at ^ (u128::from(self.session_id) << 100) ^ (u128::from(self.uuids) << 64);
        // Any odd constant spreads the counter over all bits without making two alike.
        mix = mix.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835).rotate_left(61) ^ u128::from(self.uuids);
        let mut id = mix.to_be_bytes();
        let [_, _, _, _, _, _, seventh, _, ninth, ..] = &mut id;
        *seventh = (*seventh & 0x0f) | 0x40;
        *ninth = (*ninth & 0x3f) | 0x80;
        id
    }

    /// From 0 to 1; the same after the same seed.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub fn next_random(&mut self, seed: Option<i64>) -> f64 {
        if let Some(seed) = seed {
            self.random = seed.unsigned_abs();
        }
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether the login has a user in a database. Guests may enter the system databases alone.
    pub fn may_enter(&self, database: DatabaseId) -> bool {
        if let Some((own, _)) = self.user
            && own != database
        {
            return database <= DatabaseId::MSDB;
        }
        database <= DatabaseId::MSDB
            || self.sysadmin
            || self.storage.catalog(database).is_ok_and(|catalog| catalog.user_of_login(&self.login_name).is_some())
    }

    pub fn check_cancelled(&self) -> SqlResult<()> {
        if self.cancelled.load(Ordering::Relaxed) { Err(SqlError::cancelled()) } else { Ok(()) }
    }

    /// The transaction in which the statement runs, begun if there is none.
    pub fn transaction(&mut self) -> &mut Transaction {
        let begin = || Begin {
            isolation: self.options.isolation,
            session_id: self.session_id,
            cancelled: Arc::clone(&self.cancelled),
            lock_timeout: self.options.lock_timeout,
            deadlock_priority: self.options.deadlock_priority,
            of_capture: false,
        };
        self.transaction.get_or_insert_with(|| self.storage.begin(begin()))
    }

    /// # Errors
    /// 3951 where an open transaction would become one of SNAPSHOT.
    pub fn set_isolation(&mut self, isolation: Isolation) -> SqlResult<()> {
        if let Some(transaction) = &mut self.transaction {
            if isolation == Isolation::Snapshot
                && transaction.isolation() != Isolation::Snapshot
                && self.transaction_count > 0
            {
                let text = "Transaction failed because this statement cannot set snapshot isolation in a transaction that did not start in it.";
                return Err(SqlError::new(3951, 16, text));
            }
            transaction.set_isolation(isolation);
        }
        self.options.isolation = isolation;
        Ok(())
    }

    /// A database's catalog as the session sees it.
    pub fn catalog(&self, database: DatabaseId) -> SqlResult<Arc<Catalog>> {
        match &self.transaction {
            Some(transaction) => transaction.catalog(database),
            None => self.storage.catalog(database),
        }
    }

    /// The database that a name is of.
    ///
    /// # Errors
    /// 911 where there is none, 916 where the login may not enter it.
    pub fn database_of(&self, name: &Name) -> SqlResult<DatabaseId> {
        let Some(written) = &name.database else { return Ok(self.database) };
        let database = self.storage.database_named(written).ok_or_else(|| SqlError::no_database(written))?;
        if self.may_enter(database) {
            return Ok(database);
        }
        let text = format!(
            "The server principal \"{}\" is not able to access the database \"{written}\" under the current security context.",
            self.login_name
        );
        Err(SqlError::new(916, 14, text))
    }

    /// A table or module by name: of the schema that it gives, or of the user's own and then of dbo.
    pub fn object(&self, database: DatabaseId, name: &Name) -> SqlResult<Option<(SchemaId, Object)>> {
        let catalog = self.catalog(database)?;
        let own = catalog.principal(self.user(database)?).and_then(|user| user.default_schema.clone());
        let schemas = match &name.schema {
            Some(schema) => vec![schema.clone()],
            None => own.map(|own| own.to_string()).into_iter().chain(["dbo".to_owned()]).collect(),
        };
        for schema in schemas {
            let Some(schema) = catalog.schema_named(&schema) else { continue };
            if let Some(object) = catalog.object_named(schema.schema_id, &name.object) {
                return Ok(Some((schema.schema_id, object)));
            }
        }
        Ok(None)
    }

    pub fn user(&self, database: DatabaseId) -> SqlResult<PrincipalId> {
        match self.user {
            Some((own, user)) if own == database => return Ok(user),
            Some(_) => return Ok(PrincipalId::GUEST),
            None => {}
        }
        Ok(context::user_of(&*self.catalog(database)?, &self.login_name, self.sysadmin))
    }

    pub fn database_name(&self, database: DatabaseId) -> Arc<str> {
        self.storage.database(database).map_or_else(|| Arc::from(""), |database| database.name)
    }

    /// The session as the server's own functions see it.
    pub fn context(&mut self, database: DatabaseId) -> Context<'_> {
        let _ = self.transaction();
        let begin = Begin {
            isolation: self.options.isolation,
            session_id: self.session_id,
            cancelled: Arc::clone(&self.cancelled),
            lock_timeout: self.options.lock_timeout,
            deadlock_priority: self.options.deadlock_priority,
            of_capture: false,
        };
        let storage = &self.storage;
        Context {
            storage,
            transaction: self.transaction.get_or_insert_with(|| storage.begin(begin)),
            database,
            session_id: self.session_id,
            login: &self.login_name,
            client: Some(&self.login),
            user: self.user.map(|(own, user)| if own == database { user } else { PrincipalId::GUEST }),
            sysadmin: self.sysadmin,
            now: self.now,
            transaction_count: self.transaction_count,
        }
    }
}

/// The variables of a batch or procedure.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    names: HashMap<String, usize>,
    slots: Vec<Variable>,
    /// Table variables by name, as they are called in tempdb.
    pub tables: HashMap<String, Arc<str>>,
    /// Those of `tables` that are parameters, which can't be written to.
    pub read_only: HashSet<String>,
}

#[derive(Clone, Debug)]
pub struct Variable {
    pub sql_type: SqlType,
    pub value: Value,
}

impl Variables {
    pub fn find(&self, name: &str) -> Option<usize> {
        self.names.get(&folded(name)).copied()
    }

    /// False where the name is taken.
    pub fn declare(&mut self, name: &str, sql_type: SqlType, value: Value) -> bool {
        let slot = self.slots.len();
        if self.names.contains_key(&folded(name)) {
            return false;
        }
        self.names.insert(folded(name), slot);
        self.slots.push(Variable { sql_type, value });
        true
    }

    /// Declares a variable that hides another of the same name until [`Self::restore_names`].
    pub fn shadow(&mut self, name: &str, sql_type: SqlType, value: Value) {
        self.names.insert(folded(name), self.slots.len());
        self.slots.push(Variable { sql_type, value });
    }

    /// Gives names back the meaning that they had. What was declared since keeps its place, as plans refer to it.
    pub fn restore_names(&mut self, before: &Self) {
        self.names.clone_from(&before.names);
    }

    pub fn get(&self, slot: usize) -> Option<&Variable> {
        self.slots.get(slot)
    }

    pub fn set(&mut self, slot: usize, value: Value) {
        if let Some(variable) = self.slots.get_mut(slot) {
            variable.value = value;
        }
    }
}

/// The rows of a trigger's statement.
#[derive(Clone, Debug)]
pub struct TriggerRows {
    pub database: DatabaseId,
    pub table: Arc<Table>,
    pub inserted: Arc<Vec<Row>>,
    pub deleted: Arc<Vec<Row>>,
    /// The columns that the statement set, in lower case.
    pub updated: Vec<String>,
}

/// One batch or procedure that runs.
#[derive(Debug)]
pub struct Execution<'s> {
    pub state: &'s mut State,
    pub variables: Variables,
    /// Rows of recursive common table expressions.
    pub working: Vec<Arc<Vec<Row>>>,
    /// The error that a CATCH block handles.
    pub caught: Option<SqlError>,
    pub trigger: Option<Arc<TriggerRows>>,
    /// The procedure or trigger, or nothing in a batch.
    pub procedure: Option<Arc<str>>,
    /// `SCOPE_IDENTITY()`.
    pub scope_identity: Option<i128>,
    /// Cursors of the batch or procedure, by name in lower case.
    pub cursors: HashMap<String, Cursor>,
    /// The variables that may hold one.
    pub cursor_variables: HashSet<String>,
    /// Within a function, which writes to its own table variables alone.
    pub function: bool,
    /// In a function: the type of what it returns, and that once it is known.
    pub returns: Option<SqlType>,
    pub returned: Option<Value>,
    /// Views and functions within one another, while names are resolved.
    pub view_depth: u32,
}

impl<'s> Execution<'s> {
    pub fn new(state: &'s mut State) -> Self {
        Self {
            state,
            variables: Variables::default(),
            working: Vec::new(),
            caught: None,
            trigger: None,
            procedure: None,
            scope_identity: None,
            cursors: HashMap::new(),
            cursor_variables: HashSet::new(),
            function: false,
            returns: None,
            returned: None,
            view_depth: 0,
        }
    }
}
