//! Statements that a client has prepared, and that it runs by their handles.

use std::collections::HashMap;

use crate::engine::session::{Finished, Output, Parameter, Session};
use crate::error::SqlError;
use crate::value::{Length, SqlType, Value};

use super::response::Response;

/// No client has more at a time; it is told so rather than that memory fills.
const STATEMENTS_MAX: usize = 65_536;

/// A statement with the declarations of its parameters.
#[derive(Clone, Debug)]
struct Statement {
    sql: Value,
    declarations: Value,
}

/// The prepared statements of a session.
#[derive(Debug, Default)]
pub struct Prepared {
    statements: HashMap<i32, Statement>,
    last_handle: i32,
}

impl Prepared {
    /// `sp_prepare @handle OUTPUT, @params, @stmt`.
    pub fn prepare(&mut self, parameters: &[Parameter], response: &mut Response<'_>) {
        if let Some((handle, _)) = self.keep(parameters, response) {
            response.give_handle(handle);
            response.put(Output::ReturnStatus(0));
        }
    }

    /// `sp_prepexec @handle OUTPUT, @params, @stmt, values...`.
    pub fn prepare_and_execute(
        &mut self,
        session: &mut Session,
        parameters: &[Parameter],
        response: &mut Response<'_>,
    ) {
        if let Some((handle, statement)) = self.keep(parameters, response) {
            response.give_handle(handle);
            run(session, statement, parameters.get(3..).unwrap_or_default(), response);
        }
    }

    /// `sp_execute @handle, values...`.
    pub fn execute(&self, session: &mut Session, parameters: &[Parameter], response: &mut Response<'_>) {
        let handle = handle(parameters);
        match handle.and_then(|handle| self.statements.get(&handle)) {
            Some(statement) => {
                run(session, statement.clone(), parameters.get(1..).unwrap_or_default(), response);
            }
            None => refuse(unknown(handle), response),
        }
    }

    /// `sp_unprepare @handle`.
    pub fn unprepare(&mut self, parameters: &[Parameter], response: &mut Response<'_>) {
        let handle = handle(parameters);
        match handle.and_then(|handle| self.statements.remove(&handle)) {
            Some(_) => {
                response.put(Output::ReturnStatus(0));
            }
            None => refuse(unknown(handle), response),
        }
    }

    pub fn clear(&mut self) {
        self.statements.clear();
    }

    fn keep(&mut self, parameters: &[Parameter], response: &mut Response<'_>) -> Option<(i32, Statement)> {
        let (Some(declarations), Some(sql)) = (parameters.get(1), parameters.get(2)) else {
            refuse(SqlError::new(8144, 16, "sp_prepare needs a handle, declarations and a statement."), response);
            return None;
        };
        if self.statements.len() >= STATEMENTS_MAX {
            refuse(SqlError::new(8672, 16, format!("More than {STATEMENTS_MAX} prepared statements.")), response);
            return None;
        }
        let statement = Statement { sql: sql.value.clone(), declarations: declarations.value.clone() };
        // A statement that is prepared again under its old handle takes that one's place.
        if let Some(old) = handle(parameters) {
            self.statements.remove(&old);
        }
        self.last_handle = self.last_handle.checked_add(1).unwrap_or(1);
        self.statements.insert(self.last_handle, statement.clone());
        Some((self.last_handle, statement))
    }
}

fn run(session: &mut Session, statement: Statement, values: &[Parameter], response: &mut Response<'_>) {
    let text = |value| Parameter {
        name: String::new(),
        sql_type: SqlType::NVarChar(Length::Max),
        value,
        output: false,
        table: None,
    };
    let mut parameters = vec![text(statement.sql)];
    // Without declarations there are no parameters, and an empty list of them would be a statement of its own.
    if !statement.declarations.is_null() {
        parameters.push(text(statement.declarations));
        parameters.extend_from_slice(values);
    }
    session.procedure("sp_executesql", parameters, &mut |output| response.put(output));
}

fn handle(parameters: &[Parameter]) -> Option<i32> {
    parameters.first().and_then(|handle| handle.value.as_integer()).and_then(|handle| i32::try_from(handle).ok())
}

fn unknown(handle: Option<i32>) -> SqlError {
    let handle = handle.unwrap_or_default();
    SqlError::new(8179, 16, format!("Could not find prepared statement with handle {handle}.")).with_state(2)
}

fn refuse(error: SqlError, response: &mut Response<'_>) {
    response.put(Output::Error(error));
    response.put(Output::Done { finished: Finished::Procedure, rows: None, failed: true });
}
