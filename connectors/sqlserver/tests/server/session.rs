//! T-SQL of a test's own, over the wire, as `sa`.

use std::time::Duration;

use millstream_testkit::conformance::BackendError;
use tiberius::{AuthMethod, Client, Config, EncryptionLevel, Row};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

/// How long one batch may take; making a capture instance takes a second on a server that has nothing else to do.
const BATCH_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a server may take to let somebody in.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(15);
/// How much of a failed batch its error shows.
const BATCH_SHOWN_CHARS: usize = 300;

/// Where to log in.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) port: u16,
    pub(crate) password: String,
}

/// One connection to one database.
pub(crate) struct Session(Client<Compat<TcpStream>>);

impl Session {
    pub(crate) async fn open(login: &Login, database: &str) -> Result<Self, BackendError> {
        let mut config = Config::new();
        config.host("127.0.0.1");
        config.port(login.port);
        config.database(database);
        config.authentication(AuthMethod::sql_server("sa", &login.password));
        config.encryption(EncryptionLevel::Required);
        config.trust_cert();
        let opened = timeout(LOGIN_TIMEOUT, async {
            let tcp = TcpStream::connect(config.get_addr()).await?;
            tcp.set_nodelay(true)?;
            Ok::<_, BackendError>(Box::pin(Client::connect(config, tcp.compat_write())).await?)
        });
        Ok(Self(opened.await??))
    }

    /// Runs batches one after the other; the rows are those of the last. After an error the session is of no more use:
    /// an open transaction is taken back with it.
    pub(crate) async fn run_all(&mut self, batches: &[&str]) -> Result<Vec<Row>, BackendError> {
        let mut rows = Vec::new();
        for batch in batches {
            rows = self.rows(batch).await?;
        }
        Ok(rows)
    }

    async fn rows(&mut self, batch: &str) -> Result<Vec<Row>, BackendError> {
        let shown = || batch.chars().take(BATCH_SHOWN_CHARS).collect::<String>();
        let answered = async { self.0.simple_query(batch).await?.into_results().await };
        let results =
            timeout(BATCH_TIMEOUT, answered).await.map_err(|_| format!("no answer in time to: {}", shown()))?;
        let results = results.map_err(|error| Refused { is_deadlock: error.is_deadlock(), error, batch: shown() })?;
        Ok(results.into_iter().flatten().collect())
    }
}

/// A batch that the server refused.
#[derive(Debug, thiserror::Error)]
#[error("{error}, in: {batch}")]
pub(crate) struct Refused {
    /// The server chose it as the victim of a deadlock: it took everything back and says to try again.
    pub(crate) is_deadlock: bool,
    error: tiberius::error::Error,
    batch: String,
}
