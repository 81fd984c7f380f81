//! From the engine's answers to the tokens of a response.

use crate::engine::session::{ColumnMetadata, Finished, Flow, Output};
use crate::error::SqlError;
use crate::tds::encode::Mismatch;
use crate::tds::login::Version;
use crate::tds::packet::{Closed, PacketWriter};
use crate::tds::token::{self, Done, DoneToken, Environment, Place};
use crate::value::{SqlType, Value};

/// What a response tells beside what the engine answers.
#[derive(Clone, Debug)]
pub struct Style {
    /// The server's name, which is part of every message.
    pub server: String,
    /// Whether the client knows rows whose NULLs are bits before them.
    pub compress: bool,
}

/// A response as it is written.
pub struct Response<'a> {
    packets: &'a mut PacketWriter,
    style: &'a Style,
    columns: Vec<ColumnMetadata>,
    /// The last end of a statement, kept back until it is known whether more follows it.
    held: Option<DoneToken>,
    /// Whether a result was begun since the last end of a statement.
    selected: bool,
    /// Handles that the protocol's own procedures give back, before the end of the call.
    handle: Option<i32>,
    return_values: u16,
    status_sent: bool,
    /// Whether an error was told since the last end of a statement.
    failing: bool,
    fatal: bool,
    flow: Flow,
}

impl<'a> Response<'a> {
    pub fn new(packets: &'a mut PacketWriter, style: &'a Style) -> Self {
        Self {
            packets,
            style,
            columns: Vec::new(),
            held: None,
            selected: false,
            handle: None,
            return_values: 0,
            status_sent: false,
            failing: false,
            fatal: false,
            flow: Flow::Continue,
        }
    }

    /// Whether an error has ended the session.
    pub fn is_fatal(&self) -> bool {
        self.fatal
    }

    /// Begins the answer to a call.
    pub fn begin_call(&mut self) {
        self.status_sent = false;
        self.return_values = 0;
    }

    /// The call gives back this handle at its end.
    pub fn give_handle(&mut self, handle: i32) {
        self.handle = Some(handle);
    }

    /// Ends the answer to a call, if the engine hasn't.
    pub fn end_call(&mut self) {
        if self.held.is_some_and(|held| held.done == Done::Procedure) {
            return;
        }
        let failed = self.held.is_some_and(|held| held.failed);
        if !self.status_sent {
            self.put(Output::ReturnStatus(i32::from(failed)));
        }
        self.put(Output::Done { finished: Finished::Procedure, rows: None, failed });
    }

    /// Takes a part of the engine's answer.
    pub fn put(&mut self, output: Output) -> Flow {
        if self.flow == Flow::Continue && self.write(output) == Err(Closed) {
            self.flow = Flow::Stop;
        }
        self.flow
    }

    pub fn change(&mut self, change: Environment<'_>) {
        self.release(Place::More);
        token::environment(change, self.packets.payload());
    }

    pub fn accept_login(&mut self, version: Version, server: (u8, u8, u16)) {
        token::login_accepted(version, server, self.packets.payload());
    }

    fn write(&mut self, output: Output) -> Result<(), Closed> {
        self.release(Place::More);
        match output {
            Output::Columns(columns) => {
                token::columns(&columns, self.packets.payload());
                self.columns = columns;
                self.selected = true;
            }
            Output::Rows(rows) => return self.rows(&rows),
            Output::Done { finished, rows, failed } => self.done(finished, rows, failed),
            Output::Message(message) | Output::Error(message) => {
                self.failing |= !message.is_information();
                self.fatal |= message.is_fatal();
                token::message(&message, &self.style.server, self.packets.payload());
            }
            Output::ReturnValue { name, sql_type, value } => self.return_value(&name, sql_type, &value),
            Output::ReturnStatus(status) => {
                self.status_sent = true;
                token::return_status(status, self.packets.payload());
            }
            Output::DatabaseChanged { from, to } => {
                token::environment(Environment::Database { from: &from, to: &to }, self.packets.payload());
            }
            Output::TransactionBegan(id) => self.change(Environment::TransactionBegan(id)),
            Output::TransactionCommitted(id) => self.change(Environment::TransactionCommitted(id)),
            Output::TransactionRolledBack(id) => self.change(Environment::TransactionRolledBack(id)),
        }
        self.packets.advance()
    }

    fn rows(&mut self, rows: &[Vec<Value>]) -> Result<(), Closed> {
        for row in rows {
            let payload = self.packets.payload();
            let start = payload.len();
            if let Err(mismatch) = token::row(row, &self.columns, self.style.compress, payload) {
                payload.truncate(start);
                self.mistake(&mismatch);
                return self.packets.flush().and(Err(Closed));
            }
            self.packets.advance()?;
        }
        Ok(())
    }

    /// The engine gave something that can't be sent. The session ends, as its state can't be trusted.
    fn mistake(&mut self, mismatch: &Mismatch) {
        self.fatal = true;
        let error = SqlError::new(3624, 20, format!("sqlserver-sim made a mistake: {mismatch}."));
        token::message(&error, &self.style.server, self.packets.payload());
    }

    fn return_value(&mut self, name: &str, sql_type: SqlType, value: &Value) {
        let payload = self.packets.payload();
        let start = payload.len();
        let written = token::return_value(self.return_values, name, sql_type, value, payload);
        self.return_values += 1;
        if let Err(mismatch) = written {
            payload.truncate(start);
            self.mistake(&mismatch);
        }
    }

    fn done(&mut self, finished: Finished, rows: Option<u64>, failed: bool) {
        let selected = std::mem::take(&mut self.selected);
        let failed = std::mem::take(&mut self.failing) || failed;
        let done = match finished {
            Finished::Statement => Done::Statement,
            Finished::InProcedure => Done::InProcedure,
            Finished::Procedure => Done::Procedure,
        };
        if let Some(handle) = self.handle.filter(|_| done == Done::Procedure) {
            self.handle = None;
            self.return_value("", SqlType::Int, &Value::Int(handle));
        }
        self.held = Some(DoneToken { done, rows, failed, selected });
    }

    fn release(&mut self, place: Place) {
        if let Some(held) = self.held.take() {
            token::done(held, place, self.packets.payload());
        }
    }

    /// Ends the response of a request that was cancelled, with the acknowledgement of it.
    pub fn finish_cancelled(mut self) -> Result<(), Closed> {
        self.release(Place::More);
        token::attention_acknowledged(self.packets.payload());
        self.packets.finish()
    }

    /// Ends the response. A batch that had nothing to say ends, too.
    pub fn finish(mut self) -> Result<(), Closed> {
        if self.failing || self.held.is_none() {
            self.done(Finished::Statement, None, false);
        }
        self.release(Place::Last);
        self.packets.finish()
    }
}
