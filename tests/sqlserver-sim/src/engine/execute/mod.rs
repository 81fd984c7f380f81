//! Runs statements.

mod alter;
mod assignment;
mod bulk;
mod compilation;
mod configuration;
mod constraint;
mod control;
mod cursor;
mod data;
mod database;
mod dbcc;
mod dynamic;
mod filling;
mod impersonation;
mod index_filter;
mod insert;
mod merge;
mod module;
mod option;
mod output;
mod partition;
mod procedure;
mod property;
mod reference;
mod rename;
mod row;
mod security;
mod sequence;
mod signature;
mod table;
mod target;
mod through;
mod transaction;
mod versioning;

use crate::error::{SqlError, SqlResult};
use crate::value::Value;

use super::bind::Binder;
use super::evaluate::Scope;
use super::plan::{Body, Query};
use super::run;
use super::session::{ColumnMetadata, Finished, Flow, Output, OutputSink};
use super::state::Execution;
use super::statement::{Kind, Statement};

pub use bulk::load as bulk_load;
pub use compilation::check_batch;
pub use control::{declare_table, drop_table_variable};
pub use impersonation::{original as original_login, revert_to};
pub use insert::filled_table;
pub use procedure::{Given, call_by_name};
pub use sequence::{next as next_in_sequence, type_of as sequence_type};
pub use table::{described, drop_in_tempdb, drop_temporary};
pub use transaction::{abandon, after_error, begin, commit, rollback, save};
pub use versioning::as_of as rows_as_of;

/// How a run of statements goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    Continue,
    Break,
    /// `CONTINUE` of a loop.
    Again,
    Return(i32),
    /// To a label, which stands in a block around.
    Goto(String),
}

/// Rows of a result that are handed on at a time.
const OUTPUT_ROWS: usize = 256;

/// Runs statements one after the other. An error ends only its statement, unless it is one that ends the batch, or a TRY
/// block is around it.
///
/// # Errors
/// The error that ended them, which nobody has told the client yet.
pub fn run_all(execution: &mut Execution<'_>, statements: &[Statement], out: &mut OutputSink<'_>) -> SqlResult<Next> {
    let mut at = 0;
    while let Some(statement) = statements.get(at) {
        at += 1;
        match one(execution, statement, out) {
            Ok(Next::Continue) => {}
            Ok(Next::Goto(label)) => match statements.iter().position(|statement| is_label(statement, &label)) {
                Some(place) => at = place,
                None => return Ok(Next::Goto(label)),
            },
            Ok(next) => return Ok(next),
            Err(error) => {
                if execution.state.tries > 0 || ends_batch(execution, &error) {
                    return Err(error);
                }
                report(execution, error, out)?;
            }
        }
    }
    Ok(Next::Continue)
}

fn is_label(statement: &Statement, wanted: &str) -> bool {
    matches!(&statement.kind, Kind::Label(label) if crate::value::collation::equal(label, wanted))
}

/// Errors after which nothing more of the batch runs.
fn ends_batch(execution: &Execution<'_>, error: &SqlError) -> bool {
    const NUMBERS: &[i32] = &[
        102, 105, 137, 156, 207, 208, 209, 241, 242, 245, 248, 244, 1205, 1222, 2812, 3609, 3617, 3998, 4104, 8114,
        8120, 8169, 40_517, 217, 1087,
    ];
    execution.state.options.xact_abort || error.is_fatal() || NUMBERS.contains(&error.number)
}

/// Tells the client of an error.
pub fn report(execution: &mut Execution<'_>, error: SqlError, out: &mut OutputSink<'_>) -> SqlResult<()> {
    let finished = finished(execution);
    tell(error, out)?;
    send(out, Output::Done { finished, rows: None, failed: true })
}

/// An error, and what is told before it.
pub fn tell(mut error: SqlError, out: &mut OutputSink<'_>) -> SqlResult<()> {
    for preceding in std::mem::take(&mut error.preceding) {
        send(out, Output::Error(preceding))?;
    }
    send(out, Output::Error(error))
}

pub fn finished(execution: &Execution<'_>) -> Finished {
    if execution.procedure.is_some() || execution.state.nesting > 0 {
        Finished::InProcedure
    } else {
        Finished::Statement
    }
}

/// Hands a part of the answer on.
///
/// # Errors
/// The mark of cancellation, where nobody wants it any more.
pub fn send(out: &mut OutputSink<'_>, output: Output) -> SqlResult<()> {
    if out(output) == Flow::Stop { Err(SqlError::cancelled()) } else { Ok(()) }
}

/// Tells how many rows a statement counted.
fn done(execution: &mut Execution<'_>, rows: Option<u64>, out: &mut OutputSink<'_>) -> SqlResult<()> {
    if let Some(rows) = rows {
        execution.state.row_count = i64::try_from(rows).unwrap_or(i64::MAX);
    }
    let finished = finished(execution);
    let shown = rows.filter(|_| !execution.state.options.no_count);
    send(out, Output::Done { finished, rows: shown, failed: false })
}

/// Runs the body of a function, which gives no result: its first error ends it.
///
/// # Errors
/// 444 where it gives one all the same; its statements'.
pub fn run_function(execution: &mut Execution<'_>, body: &[Statement]) -> SqlResult<()> {
    let mut gave = false;
    let (now, row_count) = (execution.state.now, execution.state.row_count);
    execution.state.tries += 1;
    let outcome = run_all(execution, body, &mut |output| {
        gave |= matches!(output, Output::Columns(_));
        Flow::Continue
    });
    execution.state.tries -= 1;
    // The statement that calls it goes on as if nothing had run.
    (execution.state.now, execution.state.row_count) = (now, row_count);
    outcome?;
    if gave {
        Err(SqlError::new(444, 16, "Select statements included within a function cannot return data to a client."))
    } else {
        Ok(())
    }
}

fn one(execution: &mut Execution<'_>, statement: &Statement, out: &mut OutputSink<'_>) -> SqlResult<Next> {
    execution.state.check_cancelled()?;
    execution.state.now = execution.state.storage.clock().now();
    if execution.state.statement_depth == 0 {
        execution.state.statement = std::sync::Arc::clone(&statement.text);
    }
    let outcome = kind(execution, statement, out);
    match &outcome {
        Ok(_) => {
            if !matches!(
                statement.kind,
                Kind::If { .. } | Kind::While { .. } | Kind::Block(_) | Kind::TryCatch { .. } | Kind::Execute(_)
            ) {
                execution.state.error_number = 0;
            }
        }
        Err(error) => {
            execution.state.error_number = error.number;
            transaction::after_error(execution.state, error);
        }
    }
    outcome.map_err(|error| {
        let error = error.at_line(statement.line);
        match &execution.procedure {
            Some(procedure) => error.in_procedure(procedure),
            None => error,
        }
    })
}

fn kind(execution: &mut Execution<'_>, statement: &Statement, out: &mut OutputSink<'_>) -> SqlResult<Next> {
    match &statement.kind {
        Kind::Select(query) => select(execution, query, out)?,
        Kind::Insert(insert) => insert::insert(execution, insert, out)?,
        Kind::Update(update) => data::update(execution, update, out)?,
        Kind::Delete(delete) => data::delete(execution, delete, out)?,
        Kind::Merge(merge) => merge::merge(execution, merge, out)?,
        Kind::Truncate { table, partitions } => {
            table::truncate(execution, table, partitions)?;
            done(execution, None, out)?;
        }
        Kind::InsertBulk(bulk) => bulk::begin(execution, bulk, out)?,
        Kind::Dbcc { command, arguments, options } => dbcc::dbcc(execution, command, arguments, options, out)?,
        Kind::DeclareCursor { .. }
        | Kind::OpenCursor(_)
        | Kind::CloseCursor(_)
        | Kind::DeallocateCursor(_)
        | Kind::FetchCursor { .. } => cursor::statement(execution, &statement.kind, out)?,
        Kind::Begin | Kind::Commit | Kind::Rollback { .. } | Kind::Save { .. } => {
            transaction::statement(execution, &statement.kind, out)?
        }
        Kind::Use(name) => database::use_database(execution, name, out)?,
        Kind::SetOption(words) => option::set(execution, words)?,
        Kind::Execute(execute) => procedure::execute(execution, execute, out)?,
        Kind::ExecuteText(text) => dynamic::execute_text(execution, text, out)?,
        Kind::If { .. }
        | Kind::While { .. }
        | Kind::Block(_)
        | Kind::TryCatch { .. }
        | Kind::Break
        | Kind::Continue
        | Kind::Return(_)
        | Kind::Declare(_)
        | Kind::SetVariable { .. }
        | Kind::Print(_)
        | Kind::RaiseError { .. }
        | Kind::Throw(_)
        | Kind::Label(_)
        | Kind::Goto(_)
        | Kind::WaitFor { .. } => return control::control(execution, &statement.kind, out),
        Kind::Nothing => {}
        definition => {
            define(execution, definition, &statement.text, out)?;
            done(execution, None, out)?;
        }
    }
    Ok(Next::Continue)
}

fn define(
    execution: &mut Execution<'_>,
    kind: &Kind,
    text: &std::sync::Arc<str>,
    out: &mut OutputSink<'_>,
) -> SqlResult<()> {
    match kind {
        Kind::CreateDatabase { .. } | Kind::DropDatabase { .. } | Kind::AlterDatabase { .. } => {
            database::define(execution, kind)
        }
        Kind::CreateLogin { .. }
        | Kind::AlterLogin { .. }
        | Kind::CreateUser { .. }
        | Kind::AlterUser { .. }
        | Kind::ChangeOwner { .. }
        | Kind::CreateRole { .. }
        | Kind::AlterRole { .. }
        | Kind::Permission(_) => security::define(execution, kind),
        Kind::CreateTable(create) => table::create(execution, create),
        Kind::AlterTable { name, actions } => alter::alter(execution, name, actions, text),
        Kind::CreateIndex(index) => alter::create_index(execution, index, text),
        Kind::DropIndex { index, table, if_exists } => alter::drop_index(execution, index, table, *if_exists, text),
        Kind::AlterIndex { index, table, action } => {
            alter::alter_index(execution, index.as_deref(), table, action, text)
        }
        Kind::CreateModule(module) => module::create(execution, module),
        Kind::CreateSchema { .. }
        | Kind::TransferSchema { .. }
        | Kind::CreateType { .. }
        | Kind::CreateTableType { .. }
        | Kind::CreateSynonym { .. }
        | Kind::Drop { .. } => module::define(execution, kind, text),
        Kind::CreateSequence { name, definition } => sequence::create(execution, name, definition),
        Kind::AlterSequence { name, definition } => sequence::alter(execution, name, definition),
        Kind::Partition(statement) => partition::statement(execution, statement),
        Kind::ExecuteAs(who) => impersonation::begin(execution, who),
        Kind::Revert => {
            impersonation::revert(execution.state);
            Ok(())
        }
        Kind::Reconfigure => configuration::reconfigure(execution),
        Kind::Kill(session) => dbcc::kill(execution, session),
        _ => {
            let _ = out;
            Err(SqlError::unsupported("this statement"))
        }
    }
}

/// Metadata of a query's columns, as clients get it.
pub fn metadata(query: &Query) -> Vec<ColumnMetadata> {
    let column = |column: &super::plan::OutputColumn| ColumnMetadata {
        name: column.name.clone(),
        sql_type: column.sql_type,
        nullable: column.nullable,
        identity: column.identity,
        computed: column.computed,
    };
    query.columns.iter().map(column).collect()
}

fn select(execution: &mut Execution<'_>, query: &sqlparser::ast::Query, out: &mut OutputSink<'_>) -> SqlResult<()> {
    if let Some(into) = into_of(query)? {
        return table::select_into(execution, query, &into, out);
    }
    let rows = transaction::atomic(execution, |execution| {
        let plan = Binder::new(execution).query(query)?;
        if let Body::Select(select) = &plan.body
            && select.assignments.is_some()
        {
            let mut rows = 0_u64;
            run::query(execution, &plan, None, &mut |_, _| {
                rows += 1;
                Ok(Flow::Continue)
            })?;
            return Ok(rows);
        }
        give(execution, &plan, out)
    })?;
    done(execution, Some(rows), out)
}

/// Runs a query and hands its rows on; gives their number.
fn give(execution: &mut Execution<'_>, plan: &Query, out: &mut OutputSink<'_>) -> SqlResult<u64> {
    send(out, Output::Columns(metadata(plan)))?;
    let limit = execution.state.options.row_count;
    let mut batch: Vec<Vec<Value>> = Vec::with_capacity(OUTPUT_ROWS);
    let mut rows = 0_u64;
    run::query(execution, plan, None, &mut |_, row| {
        rows += 1;
        batch.push(row);
        if batch.len() >= OUTPUT_ROWS {
            send(out, Output::Rows(std::mem::replace(&mut batch, Vec::with_capacity(OUTPUT_ROWS))))?;
        }
        Ok(if limit > 0 && rows >= limit { Flow::Stop } else { Flow::Continue })
    })?;
    if !batch.is_empty() {
        send(out, Output::Rows(batch))?;
    }
    Ok(rows)
}

/// The table of `SELECT … INTO`.
fn into_of(query: &sqlparser::ast::Query) -> SqlResult<Option<super::statement::Name>> {
    let mut body = query.body.as_ref();
    while let sqlparser::ast::SetExpr::SetOperation { left, .. } = body {
        body = left;
    }
    let sqlparser::ast::SetExpr::Select(select) = body else { return Ok(None) };
    let Some(into) = &select.into else { return Ok(None) };
    let [target] = into.targets.as_slice() else { return Err(SqlError::syntax_near("INTO")) };
    let parts = match target {
        sqlparser::ast::Expr::Identifier(name) => vec![name.value.clone()],
        sqlparser::ast::Expr::CompoundIdentifier(parts) => parts.iter().map(|part| part.value.clone()).collect(),
        _ => return Err(SqlError::syntax_near("INTO")),
    };
    let mut parts = parts.into_iter().rev();
    let object = parts.next().unwrap_or_default();
    Ok(Some(super::statement::Name { object, schema: parts.next(), database: parts.next() }))
}

/// The value of an expression that stands by itself in a statement.
fn value_of(
    execution: &mut Execution<'_>,
    expression: &sqlparser::ast::Expr,
) -> SqlResult<(Value, crate::value::SqlType)> {
    transaction::atomic(execution, |execution| {
        let bound = Binder::new(execution).scalar(expression)?;
        Ok((bound.evaluate(execution, &Scope::EMPTY)?, bound.sql_type))
    })
}
