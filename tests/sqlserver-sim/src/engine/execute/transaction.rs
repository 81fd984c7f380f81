//! Transactions: those of the user, and those that a statement has for itself.

use crate::error::{SqlError, SqlResult};

use super::super::session::{Flow, Output, OutputSink};
use super::super::state::{Execution, State};
use super::super::statement::Kind;
use super::{done, send};

/// Runs a statement whole or not at all: in the open transaction, or in one of its own.
pub fn atomic<T>(execution: &mut Execution<'_>, run: impl FnOnce(&mut Execution<'_>) -> SqlResult<T>) -> SqlResult<T> {
    let outermost = execution.state.statement_depth == 0;
    if outermost && execution.state.options.implicit_transactions && execution.state.transaction_count == 0 {
        execution.state.transaction_count = 1;
    }
    let transaction = execution.state.transaction();
    if outermost {
        transaction.begin_statement();
    }
    let savepoint = transaction.savepoint();
    execution.state.statement_depth += 1;
    let outcome = run(execution);
    execution.state.statement_depth -= 1;
    let state = &mut *execution.state;
    match outcome {
        Ok(value) => {
            if outermost {
                end_statement(state)?;
            }
            Ok(value)
        }
        Err(error) => {
            // A trigger may have rolled everything back.
            if let Some(transaction) = &mut state.transaction {
                transaction.rollback_to(&savepoint);
            }
            if outermost {
                if let Some(transaction) = &mut state.transaction {
                    transaction.end_statement();
                }
                if state.transaction_count == 0 {
                    state.transaction = None;
                }
            }
            Err(error)
        }
    }
}

fn end_statement(state: &mut State) -> SqlResult<()> {
    if let Some(transaction) = &mut state.transaction {
        transaction.end_statement();
    }
    if state.transaction_count == 0
        && let Some(transaction) = state.transaction.take()
    {
        transaction.commit()?;
    }
    Ok(())
}

/// What an error does to the open transaction.
pub fn after_error(state: &mut State, error: &SqlError) {
    if state.statement_depth > 0 {
        return;
    }
    let victim = matches!(error.number, 1205 | 3960);
    if victim || (state.options.xact_abort && state.tries == 0 && error.severity > 10) {
        abandon(state);
    } else if state.transaction_count > 0
        && state.tries > 0
        && (state.options.xact_abort || matches!(error.number, 241 | 242 | 245 | 248 | 8114))
    {
        state.doomed = true;
    }
}

/// Rolls back whatever is open.
pub fn abandon(state: &mut State) {
    state.transaction = None;
    state.transaction_count = 0;
    state.doomed = false;
    state.savepoints.clear();
}

pub fn statement(execution: &mut Execution<'_>, kind: &Kind, out: &mut OutputSink<'_>) -> SqlResult<()> {
    let state = &mut *execution.state;
    match kind {
        Kind::Begin => begin(state, out)?,
        Kind::Commit => commit(state, out)?,
        Kind::Rollback { name: None } => rollback(state, None, out)?,
        Kind::Rollback { name: Some(name) } => rollback(state, Some(name), out)?,
        Kind::Save { name } => save(state, name)?,
        _ => {}
    }
    done(execution, None, out)
}

/// Begins a transaction, or counts one more.
pub fn begin(state: &mut State, out: &mut OutputSink<'_>) -> SqlResult<()> {
    let id = state.transaction().id();
    state.transaction_count += 1;
    if state.transaction_count == 1 {
        send(out, Output::TransactionBegan(id))?;
    }
    Ok(())
}

pub fn commit(state: &mut State, out: &mut OutputSink<'_>) -> SqlResult<()> {
    match state.transaction_count {
        0 => Err(SqlError::new(3902, 16, "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.")),
        1 => {
            if state.doomed {
                return Err(SqlError::new(
                    3930,
                    16,
                    "The current transaction cannot be committed and cannot support operations that write to the log file. Roll back the transaction.",
                ));
            }
            state.transaction_count = 0;
            state.savepoints.clear();
            if let Some(transaction) = state.transaction.take() {
                let id = transaction.id();
                transaction.commit()?;
                send(out, Output::TransactionCommitted(id))?;
            }
            Ok(())
        }
        _ => {
            state.transaction_count -= 1;
            Ok(())
        }
    }
}

/// Rolls back to a savepoint, or everything.
pub fn rollback(state: &mut State, name: Option<&str>, out: &mut OutputSink<'_>) -> SqlResult<()> {
    if state.transaction_count == 0 && state.statement_depth == 0 {
        return Err(SqlError::new(
            3903,
            16,
            "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.",
        ));
    }
    if let Some(name) = name
        && let Some(at) = state.savepoints.iter().rposition(|(own, _)| own == name)
    {
        if state.doomed {
            return Err(SqlError::new(
                3931,
                16,
                "The current transaction cannot be committed and cannot be rolled back to a savepoint. Roll back the entire transaction.",
            ));
        }
        state.savepoints.truncate(at + 1);
        if let (Some((_, savepoint)), Some(transaction)) = (state.savepoints.last(), &mut state.transaction) {
            transaction.rollback_to(savepoint);
        }
        return Ok(());
    }
    let id = state.transaction.as_ref().map(crate::storage::Transaction::id);
    abandon(state);
    if let Some(id) = id
        && out(Output::TransactionRolledBack(id)) == Flow::Stop
    {
        return Err(SqlError::cancelled());
    }
    Ok(())
}

pub fn save(state: &mut State, name: &str) -> SqlResult<()> {
    if state.transaction_count == 0 {
        return Err(SqlError::new(628, 16, "Cannot issue SAVE TRANSACTION when there is no active transaction."));
    }
    let database = state.database;
    let transaction = state.transaction();
    transaction.log_savepoint(database)?;
    let savepoint = transaction.savepoint();
    state.savepoints.push((name.to_owned(), savepoint));
    Ok(())
}
