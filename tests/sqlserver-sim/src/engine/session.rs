//! One connection: what it is asked, and what it answers.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::error::{SqlError, SqlResult};
use crate::storage::{DatabaseId, Storage};
use crate::value::collation::equal;
use crate::value::{SqlType, Value};

use super::execute::{self, Given};
use super::parse;
use super::state::{Execution, Options, State};

pub use super::state::Peers;

/// A value that a client sends with a request.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// With its `@`; empty where it is given by position.
    pub name: String,
    pub sql_type: SqlType,
    pub value: Value,
    pub output: bool,
    /// In place of a value, a table.
    pub table: Option<Box<TableArgument>>,
}

/// A table-valued parameter.
#[derive(Clone, Debug)]
pub struct TableArgument {
    /// Of the table type.
    pub schema: String,
    pub type_name: String,
    pub columns: Vec<SqlType>,
    /// Values of `columns`; None in a column that takes its default.
    pub rows: Vec<Vec<Option<Value>>>,
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnMetadata {
    pub name: String,
    pub sql_type: SqlType,
    pub nullable: bool,
    pub identity: bool,
    pub computed: bool,
}

/// What ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finished {
    /// A statement of a batch: DONE.
    Statement,
    /// A statement within a procedure: DONEINPROC.
    InProcedure,
    /// A procedure, after its status: DONEPROC.
    Procedure,
}

/// A part of the answer, in order.
#[derive(Clone, Debug)]
pub enum Output {
    /// The columns of a result, which `Rows` follow.
    Columns(Vec<ColumnMetadata>),
    Rows(Vec<Vec<Value>>),
    /// A statement ended; `rows` is what it counted, or None where it counts nothing or NOCOUNT is on.
    Done {
        finished: Finished,
        rows: Option<u64>,
        /// Whether it ended by an error.
        failed: bool,
    },
    Message(SqlError),
    Error(SqlError),
    /// An output parameter of a request.
    ReturnValue {
        name: String,
        sql_type: SqlType,
        value: Value,
    },
    ReturnStatus(i32),
    DatabaseChanged {
        from: String,
        to: String,
    },
    TransactionBegan(u64),
    TransactionCommitted(u64),
    TransactionRolledBack(u64),
}

/// Whether the answer is still wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    Continue,
    /// The client has gone: the request ends as if it were cancelled.
    Stop,
}

/// Where answers go.
pub type OutputSink<'a> = dyn FnMut(Output) -> Flow + 'a;

/// Who connects, and how.
#[derive(Clone, Debug)]
pub struct Login {
    pub name: String,
    pub password: String,
    /// Empty for the login's default database.
    pub database: String,
    pub host: String,
    pub application: String,
    /// Whether requests and answers are encrypted, and not only the login.
    pub encrypted: bool,
}

/// Isolation as a transaction-manager request names it; None leaves it as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Isolation {
    ReadUncommitted,
    ReadCommitted,
    RepeatableRead,
    Serializable,
    Snapshot,
}

/// One connection: its login, its database, its options, its transaction and its temporary tables.
#[derive(Debug)]
pub struct Session {
    state: State,
    /// To be put back by a reset.
    login_database: DatabaseId,
}

impl Session {
    /// Opens a session. Setting `cancelled` ends the running request as an attention does; the caller sets it back.
    ///
    /// # Errors
    /// 18456 where the login or password is wrong, 4060 where the database can't be opened.
    pub fn open(storage: Arc<Storage>, session_id: u32, login: Login, cancelled: Arc<AtomicBool>) -> SqlResult<Self> {
        let state = State::open(storage, session_id, login, cancelled)?;
        Ok(Self { login_database: state.database, state })
    }

    /// Tells the session of the others, whom KILL ends.
    pub fn set_peers(&mut self, peers: Arc<dyn Peers>) {
        self.state.peers = Some(peers);
    }

    /// The name of the current database.
    pub fn database(&self) -> String {
        self.state.database_name(self.state.database).to_string()
    }

    /// Runs a batch. With parameters it is that of `sp_executesql`: they are its variables, and those marked as output
    /// come back as return values.
    pub fn batch(&mut self, sql: &str, parameters: Vec<Parameter>, out: &mut OutputSink<'_>) {
        let mut execution = Execution::new(&mut self.state);
        let mut outputs = Vec::new();
        for parameter in parameters {
            if parameter.output {
                outputs.push((parameter.name.clone(), parameter.sql_type));
            }
            if parameter.table.is_some() {
                fail(&mut execution, SqlError::unsupported("a table as a variable of a batch"), out);
                return;
            }
            execution.variables.declare(&parameter.name, parameter.sql_type, parameter.value);
        }
        let outcome = parse::batch(sql).and_then(|statements| {
            execute::check_batch(&mut execution, &statements)?;
            execute::run_all(&mut execution, &statements, out)
        });
        match outcome {
            Ok(_) => {
                for (name, sql_type) in outputs {
                    let slot = execution.variables.find(&name);
                    let value = slot
                        .and_then(|slot| execution.variables.get(slot))
                        .map_or(Value::Null, |held| held.value.clone());
                    out(Output::ReturnValue { name, sql_type, value });
                }
            }
            Err(error) => fail(&mut execution, error, out),
        }
        finish(&mut execution, out);
    }

    /// Runs a procedure as a request names it: its status and its output parameters come after what it gives.
    pub fn procedure(&mut self, name: &str, parameters: Vec<Parameter>, out: &mut OutputSink<'_>) {
        let mut execution = Execution::new(&mut self.state);
        execution.state.now = execution.state.storage.clock().now();
        execution.procedure = Some(Arc::from(name));
        let outcome = parse::name(name).and_then(|name| {
            let mut given = Vec::with_capacity(parameters.len());
            for parameter in &parameters {
                let table = match &parameter.table {
                    Some(table) => Some(execute::filled_table(&mut execution, &parameter.name, table)?),
                    None => None,
                };
                given.push(Given {
                    name: (!parameter.name.is_empty()).then(|| parameter.name.clone()),
                    value: table.is_none().then(|| (parameter.value.clone(), parameter.sql_type)),
                    table,
                });
            }
            execution.procedure = None;
            execution.state.nesting += 1;
            let answer = execute::call_by_name(&mut execution, &name, given, out);
            execution.state.nesting -= 1;
            answer
        });
        let mut failed = false;
        match outcome {
            Ok(answer) => {
                out(Output::ReturnStatus(answer.status));
                for (at, parameter) in parameters.iter().enumerate().filter(|(_, parameter)| parameter.output) {
                    let position = format!("#{at}");
                    let found =
                        answer.outputs.iter().find(|(name, ..)| equal(name, &parameter.name) || *name == position);
                    if let Some((_, sql_type, value)) = found {
                        let (sql_type, value) = (*sql_type, value.clone());
                        out(Output::ReturnValue { name: parameter.name.clone(), sql_type, value });
                    }
                }
            }
            Err(error) => {
                failed = true;
                transaction_after(&mut execution, &error);
                if error.number != SqlError::cancelled().number {
                    // Who stops listening is told no more.
                    let _ = execute::tell(error, out);
                }
            }
        }
        out(Output::Done { finished: Finished::Procedure, rows: None, failed });
        finish(&mut execution, out);
    }

    /// Takes the rows that an `INSERT BULK` has announced.
    pub fn bulk_load(&mut self, types: &[SqlType], rows: Vec<Vec<Value>>, out: &mut OutputSink<'_>) {
        let mut execution = Execution::new(&mut self.state);
        execution.state.now = execution.state.storage.clock().now();
        if let Err(error) = execute::bulk_load(&mut execution, types, rows, out) {
            transaction_after(&mut execution, &error);
            fail(&mut execution, error, out);
        }
        finish(&mut execution, out);
    }

    /// Transaction-manager requests. The answer is a `TransactionBegan`, `TransactionCommitted` or
    /// `TransactionRolledBack`, or an error.
    pub fn begin(&mut self, name: &str, isolation: Option<Isolation>, out: &mut OutputSink<'_>) {
        // Transactions have names for people alone.
        let _ = name;
        let set = isolation.map_or(Ok(()), |isolation| self.state.set_isolation(isolation));
        let outcome = set.and_then(|()| execute::begin(&mut self.state, out));
        told(outcome, out);
    }

    pub fn commit(&mut self, out: &mut OutputSink<'_>) {
        let outcome = execute::commit(&mut self.state, out);
        told(outcome, out);
    }

    /// Rolls back the whole transaction, or to the savepoint where a name is given.
    pub fn rollback(&mut self, savepoint: &str, out: &mut OutputSink<'_>) {
        let name = (!savepoint.is_empty()).then_some(savepoint);
        let outcome = execute::rollback(&mut self.state, name, out);
        told(outcome, out);
    }

    pub fn save(&mut self, savepoint: &str, out: &mut OutputSink<'_>) {
        let outcome = execute::save(&mut self.state, savepoint);
        told(outcome, out);
    }

    /// What `sp_reset_connection` and the reset bit of a packet do: rolls back, drops temporary tables, and puts options
    /// and database back to what they were after the login.
    pub fn reset(&mut self, out: &mut OutputSink<'_>) {
        execute::abandon(&mut self.state);
        execute::revert_to(&mut self.state, 0);
        self.state.cursors.clear();
        self.state.session_context.clear();
        self.state.context_info = Value::Null;
        self.state.bulk = None;
        self.state.options = Options::default();
        let mut execution = Execution::new(&mut self.state);
        let keys: Vec<String> = execution.state.temporary.keys().cloned().collect();
        if let Err(error) = execute::drop_temporary(&mut execution, &keys) {
            out(Output::Error(error));
        }
        self.state.database = self.login_database;
        self.state.identity_last = None;
        self.state.row_count = 0;
        self.state.error_number = 0;
    }
}

/// A session that ends takes its temporary tables with it; its transaction rolls back by itself.
impl Drop for Session {
    fn drop(&mut self) {
        execute::abandon(&mut self.state);
        self.state.cancelled.store(false, std::sync::atomic::Ordering::Relaxed);
        let mut execution = Execution::new(&mut self.state);
        let keys: Vec<String> = execution.state.temporary.keys().cloned().collect();
        // Nobody is left to hear of a failure, which leaves a table that nobody can name.
        let _ = execute::drop_temporary(&mut execution, &keys);
    }
}

fn told(outcome: SqlResult<()>, out: &mut OutputSink<'_>) {
    if let Err(error) = outcome {
        out(Output::Error(error));
    }
}

fn transaction_after(execution: &mut Execution<'_>, error: &SqlError) {
    execution.state.error_number = error.number;
    execute::after_error(execution.state, error);
}

/// Tells of the error that ended a request. Cancellation is told by the answer to the attention.
fn fail(execution: &mut Execution<'_>, error: SqlError, out: &mut OutputSink<'_>) {
    execution.state.error_number = error.number;
    if error.number == SqlError::cancelled().number {
        return;
    }
    let _ = execute::report(execution, error, out);
}

/// Leaves the session as the next request shall find it.
fn finish(execution: &mut Execution<'_>, out: &mut OutputSink<'_>) {
    let state = &mut *execution.state;
    state.statement_depth = 0;
    state.tries = 0;
    state.nesting = 0;
    if state.transaction_count == 0 {
        state.transaction = None;
    }
    // A batch can't leave behind a transaction that can't be committed.
    if state.doomed {
        execute::abandon(state);
        let text = "Uncommittable transaction is detected at the end of the batch. The transaction is rolled back.";
        out(Output::Error(SqlError::new(3998, 16, text)));
    }
    for own in std::mem::take(&mut execution.state.dropped_at_end) {
        if let Err(error) = execute::drop_in_tempdb(execution, &own) {
            out(Output::Error(error));
        }
    }
}
