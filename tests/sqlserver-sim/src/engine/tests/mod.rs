//! The engine through [`Session`], without a wire.

mod capture;
mod catalog;
mod compilation;
mod data;
mod definitions;
mod dependents;
mod filters;
mod forms;
mod modules;
mod partitions;
mod queries;
mod server;
mod through;
mod transactions;

use std::sync::Arc;
use std::time::Duration;

use crate::storage::{Clock, Edition, Storage, StorageOptions, never_cancelled};
use crate::value::{SqlType, Value, format};

use super::session::{Flow, Login, Output, Parameter, Session};

pub fn storage() -> Arc<Storage> {
    Storage::new(StorageOptions {
        clock: Clock::manual(Duration::from_secs(1_700_000_000)),
        edition: Edition::Developer,
        server_name: "sim".to_owned(),
        sa_password: "secret".to_owned(),
    })
}

pub struct Client {
    pub session: Session,
}

/// What a batch gave: the rows of each result as texts, the numbers of errors, the counts.
#[derive(Debug, Default)]
pub struct Answer {
    pub results: Vec<Vec<Vec<String>>>,
    pub types: Vec<Vec<SqlType>>,
    pub names: Vec<Vec<String>>,
    pub errors: Vec<(i32, String)>,
    pub messages: Vec<String>,
    pub counts: Vec<u64>,
    pub values: Vec<(String, String)>,
}

impl Client {
    pub fn new(storage: &Arc<Storage>) -> Self {
        Self::login(storage, "sa", "secret")
    }

    pub fn login(storage: &Arc<Storage>, name: &str, password: &str) -> Self {
        let login = Login {
            name: name.to_owned(),
            password: password.to_owned(),
            database: String::new(),
            host: "h".to_owned(),
            application: "a".to_owned(),
            encrypted: false,
        };
        // Every session holds the storage, so that no two that are open have one number.
        let number = u32::try_from(Arc::strong_count(storage)).unwrap() + 50;
        let session = Session::open(Arc::clone(storage), number, login, never_cancelled()).unwrap();
        Self { session }
    }

    pub fn answer(&mut self, sql: &str, parameters: Vec<Parameter>) -> Answer {
        let mut answer = Answer::default();
        self.session.batch(sql, parameters, &mut |output| {
            match output {
                Output::Columns(columns) => {
                    answer.types.push(columns.iter().map(|column| column.sql_type).collect());
                    answer.names.push(columns.into_iter().map(|column| column.name).collect());
                    answer.results.push(Vec::new());
                }
                Output::Rows(rows) => {
                    let types = answer.types.last().unwrap().clone();
                    let shown =
                        rows.iter().map(|row| row.iter().zip(&types).map(|(value, of)| show(value, *of)).collect());
                    answer.results.last_mut().unwrap().extend(shown);
                }
                Output::Error(error) => answer.errors.push((error.number, error.message)),
                Output::Message(message) => answer.messages.push(message.message),
                Output::Done { rows: Some(rows), .. } => answer.counts.push(rows),
                Output::ReturnValue { name, sql_type, value } => answer.values.push((name, show(&value, sql_type))),
                _ => {}
            }
            Flow::Continue
        });
        answer
    }

    /// Runs a batch that must succeed; gives its last result, values by commas, rows by bars.
    pub fn ask(&mut self, sql: &str) -> String {
        let answer = self.answer(sql, Vec::new());
        assert!(answer.errors.is_empty(), "{sql}: {:?}", answer.errors);
        let rows = answer.results.last().cloned().unwrap_or_default();
        rows.iter().map(|row| row.join(",")).collect::<Vec<_>>().join("|")
    }

    /// Runs a batch that must fail; gives the first error's number.
    pub fn fails(&mut self, sql: &str) -> i32 {
        let answer = self.answer(sql, Vec::new());
        answer.errors.first().unwrap_or_else(|| panic!("{sql} succeeded: {:?}", answer.results)).0
    }

    /// Runs a batch; gives the numbers of all its errors.
    pub fn errors(&mut self, sql: &str) -> Vec<i32> {
        self.answer(sql, Vec::new()).errors.into_iter().map(|(number, _)| number).collect()
    }
}

fn show(value: &Value, sql_type: SqlType) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Binary(bytes) => format!("0x{}", format::hex(bytes)),
        other => {
            let sql_type = if sql_type == SqlType::Variant { other.natural_type() } else { sql_type };
            format::text(other, sql_type, None).unwrap()
        }
    }
}

/// A client in a database of its own.
pub fn in_database() -> Client {
    let mut client = client();
    client.ask("CREATE DATABASE d; USE d");
    client
}

pub fn client() -> Client {
    Client::new(&storage())
}
