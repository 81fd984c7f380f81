//! The thread of a connection: its session, and what it makes of each request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::sync::mpsc;

use crate::engine::session::{self, Flow, Output, Session};
use crate::error::SqlError;
use crate::tds::bulk_load::BulkLoad;
use crate::tds::login::{Credentials, Login, Version};
use crate::tds::packet::{
    Closed, Message, PACKET_BYTES_DEFAULT, PACKET_BYTES_MAX, PACKET_BYTES_MIN, PacketWriter, Reset,
};
use crate::tds::reader::ProtocolError;
use crate::tds::request::{self, Call, Procedure, Request, Transaction};
use crate::tds::token::{self, Environment};

use super::connection::Incoming;
use super::connections::Place;
use super::prepared::Prepared;
use super::response::{Response, Style};
use super::{Host, VERSION};

/// A connection's thread.
pub struct Worker {
    host: Arc<Host>,
    /// Held until the session is gone, and its transaction rolled back.
    place: Place,
    cancelled: Arc<AtomicBool>,
    /// Whether all that is said is encrypted.
    encrypted: bool,
    from_client: mpsc::Receiver<Incoming>,
    packets: PacketWriter,
}

/// Whether a session goes on after a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    Request,
    End,
}

impl Worker {
    pub fn new(
        host: Arc<Host>,
        place: Place,
        cancelled: Arc<AtomicBool>,
        encrypted: bool,
        from_client: mpsc::Receiver<Incoming>,
        to_client: mpsc::Sender<Vec<u8>>,
    ) -> Self {
        Self {
            host,
            place,
            cancelled,
            encrypted,
            from_client,
            packets: PacketWriter::new(to_client, PACKET_BYTES_DEFAULT),
        }
    }

    /// Logs in and runs requests until the client has gone.
    pub fn run(mut self, login: Login) {
        let compress = login.version != Version::Tds73A;
        let style = Style { server: self.host.server_name.clone(), compress };
        let Ok(Some(mut session)) = self.log_in(login, &style) else { return };
        let mut prepared = Prepared::default();
        while let Some(incoming) = self.from_client.blocking_recv() {
            let next = match incoming {
                Incoming::Attention => {
                    self.cancelled.store(false, Ordering::Release);
                    token::attention_acknowledged(self.packets.payload());
                    self.packets.finish().map(|()| Next::Request)
                }
                Incoming::Request(message) => {
                    thread::sleep(self.host.connections.latency());
                    let mut response = Response::new(&mut self.packets, &style);
                    answer(&message, &mut session, &mut prepared, &mut response);
                    self.host.connections.set_database(self.place.session_id(), session.database());
                    let next = if response.is_fatal() { Next::End } else { Next::Request };
                    let ended = if self.cancelled.load(Ordering::Acquire) {
                        // The attention is next, unless the client has gone. Some clients look for its
                        // acknowledgement in the response that it cut short, and not beyond.
                        let Some(Incoming::Attention) = self.from_client.blocking_recv() else { return };
                        self.cancelled.store(false, Ordering::Release);
                        response.finish_cancelled()
                    } else {
                        response.finish()
                    };
                    ended.map(|()| next)
                }
            };
            if next != Ok(Next::Request) {
                return;
            }
        }
    }

    /// Opens the session and says so, or says why not.
    fn log_in(&mut self, login: Login, style: &Style) -> Result<Option<Session>, Closed> {
        let version = login.version;
        let packet_bytes = match usize::try_from(login.packet_bytes) {
            Ok(0) | Err(_) => PACKET_BYTES_DEFAULT,
            Ok(wish) => wish.clamp(PACKET_BYTES_MIN, PACKET_BYTES_MAX),
        };
        match self.open(login) {
            Ok(session) => {
                let mut response = Response::new(&mut self.packets, style);
                greet(&session.database(), version, packet_bytes, &mut response);
                response.finish()?;
                self.packets.set_packet_bytes(packet_bytes);
                self.host.connections.set_database(self.place.session_id(), session.database());
                Ok(Some(session))
            }
            Err(error) => {
                let mut response = Response::new(&mut self.packets, style);
                response.put(Output::Error(error));
                response.put(Output::Done { finished: session::Finished::Statement, rows: None, failed: true });
                response.finish()?;
                Ok(None)
            }
        }
    }

    fn open(&self, login: Login) -> Result<Session, SqlError> {
        let (user, password) = match login.credentials {
            Credentials::Password { user, password } => (user, password),
            Credentials::Token(token) if self.host.access_token.as_ref() == Some(&token) => {
                ("sa".to_owned(), self.host.password.clone())
            }
            Credentials::Token(_) => {
                return Err(SqlError::new(18_456, 14, "Login failed for user '<token-identified principal>'."));
            }
            Credentials::Integrated => {
                let message = "Login failed. The login is from an untrusted domain and cannot be used with Integrated \
                           authentication.";
                return Err(SqlError::new(18_452, 14, message));
            }
        };
        let login = session::Login {
            name: user,
            password,
            database: login.database,
            host: login.host,
            application: login.application,
            encrypted: self.encrypted,
        };
        self.host.open(self.place.session_id(), login, self.cancelled.clone())
    }
}

fn greet(database: &str, version: Version, packet_bytes: usize, response: &mut Response<'_>) {
    let database_message = SqlError::new(5701, 0, format!("Changed database context to '{database}'."));
    let language_message = SqlError::new(5703, 0, "Changed language setting to us_english.");
    response.change(Environment::Database { from: "master", to: database });
    response.put(Output::Message(database_message.with_state(2)));
    response.change(Environment::Collation);
    response.change(Environment::Language);
    response.put(Output::Message(language_message));
    response.accept_login(version, VERSION);
    response.change(Environment::PacketBytes { from: PACKET_BYTES_DEFAULT, to: packet_bytes });
}

fn answer(message: &Message, session: &mut Session, prepared: &mut Prepared, response: &mut Response<'_>) {
    if message.reset != Reset::No {
        reset(session, prepared, response);
    }
    match request::read(message) {
        Ok(Request::Batch(sql)) => session.batch(&sql, Vec::new(), &mut |output| response.put(output)),
        Ok(Request::Calls(calls)) => {
            for call in calls {
                response.begin_call();
                run_call(call, session, prepared, response);
                response.end_call();
            }
        }
        Ok(Request::BulkLoad(rows)) => {
            let BulkLoad { types, rows } = rows;
            session.bulk_load(&types, rows, &mut |output| response.put(output));
        }
        Ok(Request::Transaction(transaction)) => run_transaction(transaction, session, response),
        Err(error) => {
            response.put(Output::Error(refusal(&error)));
        }
    }
}

fn reset(session: &mut Session, prepared: &mut Prepared, response: &mut Response<'_>) {
    prepared.clear();
    session.reset(&mut |output| match output {
        // What the reset changes is told by the one notice that there was one.
        Output::Done { .. } => Flow::Continue,
        other => response.put(other),
    });
    response.change(Environment::Reset);
}

fn run_call(call: Call, session: &mut Session, prepared: &mut Prepared, response: &mut Response<'_>) {
    let Call { procedure, parameters } = call;
    match procedure {
        Procedure::Prepare => prepared.prepare(&parameters, response),
        Procedure::PrepareExecute => prepared.prepare_and_execute(session, &parameters, response),
        Procedure::Execute => prepared.execute(session, &parameters, response),
        Procedure::Unprepare => prepared.unprepare(&parameters, response),
        Procedure::Named(name) if name.eq_ignore_ascii_case("sp_reset_connection") => {
            reset(session, prepared, response);
        }
        Procedure::ExecuteSql => session.procedure("sp_executesql", parameters, &mut |output| response.put(output)),
        Procedure::Cursor(name) => session.procedure(name, parameters, &mut |output| response.put(output)),
        Procedure::Named(name) => session.procedure(&name, parameters, &mut |output| response.put(output)),
    }
}

fn run_transaction(transaction: Transaction, session: &mut Session, response: &mut Response<'_>) {
    let mut put = |output| response.put(output);
    let then = match transaction {
        Transaction::Begin { name, isolation } => {
            session.begin(&name, isolation, &mut put);
            None
        }
        Transaction::Commit { then } => {
            session.commit(&mut put);
            then
        }
        Transaction::Rollback { savepoint, then } => {
            session.rollback(&savepoint, &mut put);
            then
        }
        Transaction::Save { savepoint } => {
            session.save(&savepoint, &mut put);
            None
        }
    };
    if let Some(then) = then {
        run_transaction(*then, session, response);
    }
}

/// What a client hears of a request that can't be understood. Its end is known, so the session goes on.
fn refusal(error: &ProtocolError) -> SqlError {
    match error {
        ProtocolError::Unsupported(what) => SqlError::unsupported(what),
        error => SqlError::new(
            8009,
            16,
            format!("The incoming tabular data stream (TDS) protocol stream is incorrect: {error}."),
        ),
    }
}
