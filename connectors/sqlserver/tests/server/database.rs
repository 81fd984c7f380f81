//! A database of a test's own, whose changes are captured.
//!
//! Nothing here knows how soon something happens. A server takes its time to capture, to start a job and to end one, and
//! two that make databases or capture instances at once may get in each other's way: so each step is one that can be
//! tried again, and is asked for until it is done.

use std::iter;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use millstream_core::source::SourceConnector;
use millstream_sqlserver::{SqlServerConfig, Tls, TlsMode};
use millstream_testkit::conformance::BackendError;
use tiberius::Row;
use tokio::sync::Mutex;

use super::session::{Login, Refused, Session};
use super::{Place, Server};

/// How long a step may take: an agent takes a job up, or lets it go, within some seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long captured changes may take before the job is started anew: one that the agent started before the database
/// was there fails, and is tried again by itself after a minute only.
const CAPTURE_PATIENCE: Duration = Duration::from_secs(20);
const JOB_STARTS_MAX: u32 = 6;
const DEADLOCKS_MAX: u32 = 5;
/// The shortest pause between two scans of the log, in seconds, that is one: the server takes 0 as well, and its job
/// then keeps a processor busy.
const POLLING_SECONDS: u32 = 1;
/// A table whose changes tell how far the log has been captured. The suite doesn't select it.
const MARKER: &str = "marker";

/// See the module's docs. It is dropped at the server when this is.
pub(crate) struct CapturedDatabase {
    server: Server,
    name: String,
    /// The session of the last batch, unless it failed.
    session: Mutex<Option<Session>>,
}

impl CapturedDatabase {
    /// Makes a database, on a server of its own if it is to be restarted.
    pub(crate) async fn start(own_server: bool) -> Result<Self, BackendError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let server = Server::start(own_server).await?;
        let name = format!("shop_{}_{}", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let create = format!("IF DB_ID(N'{name}') IS NULL CREATE DATABASE [{name}]");
        let set = format!("ALTER DATABASE [{name}] SET READ_COMMITTED_SNAPSHOT ON WITH ROLLBACK IMMEDIATE");
        let login = &server.login;
        for batch in [create, set] {
            // Error 1807 while another is being made.
            server.until("a database is made", PATIENCE, || run_in(login, "master", &batch)).await?;
        }
        let database = Self { server, name, session: Mutex::new(None) };
        database.set_up_capture().await?;
        Ok(database)
    }

    async fn set_up_capture(&self) -> Result<(), BackendError> {
        let agent_runs = "SELECT COUNT(*) FROM sys.dm_server_services WHERE servicename LIKE N'SQL Server Agent%' AND \
                          status_desc <> N'Running'";
        self.until("the agent runs", || async { Ok(self.number(agent_runs).await? == Some(0)) }).await?;
        let enable = "IF NOT EXISTS (SELECT 1 FROM sys.databases WHERE database_id = DB_ID() AND is_cdc_enabled = 1) \
                      EXEC sys.sp_cdc_enable_db";
        self.until("changes are captured", || self.done(enable)).await?;
        self.run(&format!("CREATE TABLE dbo.{MARKER} (id int NOT NULL PRIMARY KEY, number int NOT NULL)")).await?;
        self.run(&format!("INSERT INTO dbo.{MARKER} VALUES (1, 0)")).await?;
        // The first table to be captured gets the database its job.
        self.capture(MARKER).await?;
        let faster = format!("EXEC sys.sp_cdc_change_job @job_type = N'capture', @pollinginterval = {POLLING_SECONDS}");
        self.run(&faster).await?;
        // A job reads its settings when it starts. Each order is refused until the agent has carried out the one before.
        for order in [STOP_JOB, START_JOB] {
            self.until("the capture job starts anew", || self.done(order)).await?;
        }
        self.until_captured().await
    }

    /// Has a table of the schema `dbo` captured, as whoever makes tables does, and waits until the capture process has
    /// taken notice of it. Millstream may be at the same.
    pub(crate) async fn capture(&self, table: &str) -> Result<(), BackendError> {
        // A table that once had the name may have left an instance of it.
        let enable = format!(
            "DECLARE @table int = OBJECT_ID(N'dbo.[{table}]'), @instance sysname = N'dbo_{table}'; \
             IF NOT EXISTS (SELECT 1 FROM cdc.change_tables WHERE source_object_id = @table) BEGIN \
                 IF EXISTS (SELECT 1 FROM cdc.change_tables WHERE capture_instance = @instance) \
                     SET @instance = @instance + N'_of_' + CAST(@table AS nvarchar(20)); \
                 EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'{table}', @role_name = NULL, \
                      @capture_instance = @instance, @supports_net_changes = 0; \
             END"
        );
        let has_begun = format!(
            "SELECT COUNT(*) FROM cdc.change_tables WHERE source_object_id = OBJECT_ID(N'dbo.[{table}]') AND start_lsn \
             IS NOT NULL"
        );
        let is_captured = || async {
            if self.number(&has_begun).await? > Some(0) {
                return Ok(true);
            }
            self.run(&enable).await.map(|()| false)
        };
        self.until(&format!("{table} is captured"), is_captured).await
    }

    /// Waits until everything that is committed has been captured: the log is captured in the order of commits, so a
    /// change of the marker that has been shows it. Starts the job anew if nothing comes.
    pub(crate) async fn until_captured(&self) -> Result<(), BackendError> {
        let change = format!("UPDATE dbo.{MARKER} SET number = number + 1; SELECT number FROM dbo.{MARKER}");
        let number = self.number(&change).await?.ok_or("the marker has no row")?;
        let captured = format!("SELECT COUNT(*) FROM cdc.dbo_{MARKER}_CT WHERE number >= {number}");
        let mut starts = 0;
        loop {
            let is_captured = || async { Ok(self.number(&captured).await? > Some(0)) };
            let outcome = self.server.until("all is captured", CAPTURE_PATIENCE, is_captured).await;
            if outcome.is_ok() || starts == JOB_STARTS_MAX {
                return outcome;
            }
            starts += 1;
            // A job that doesn't run can't be stopped, and one that runs not be started.
            for order in [STOP_JOB, START_JOB] {
                if let Err(error) = self.run(order).await {
                    println!("nothing was captured for {CAPTURE_PATIENCE:?}, and {error}");
                }
            }
        }
    }

    /// Removes all that was captured up to now.
    pub(crate) async fn forget_changes(&self) -> Result<(), BackendError> {
        self.until_captured().await?;
        let clean_up = "DECLARE @low binary(10) = sys.fn_cdc_get_max_lsn(), @instance sysname; \
             DECLARE @instances TABLE (name sysname); \
             INSERT INTO @instances SELECT capture_instance FROM cdc.change_tables WHERE start_lsn < @low; \
             WHILE EXISTS (SELECT 1 FROM @instances) BEGIN \
                 SET @instance = (SELECT MIN(name) FROM @instances); \
                 EXEC sys.sp_cdc_cleanup_change_table @capture_instance = @instance, @low_water_mark = @low, \
                      @threshold = 5000; \
                 DELETE FROM @instances WHERE name = @instance; \
             END";
        // Cleanup and capture may block each other.
        self.until("changes are removed", || self.done(clean_up)).await
    }

    /// Restarts the server; the log is captured again by the time this returns.
    pub(crate) async fn restart_server(&self, kill: bool) -> Result<(), BackendError> {
        *self.session.lock().await = None;
        self.server.restart(kill, &self.name).await?;
        self.until_captured().await
    }

    /// The port at which the server listens on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.server.login.port
    }

    /// A source that follows the database, by way of this port.
    pub(crate) fn config(&self, port: u16) -> SqlServerConfig {
        let Login { password, .. } = &self.server.login;
        let poll = u64::try_from(self.server.poll().as_millis()).unwrap_or(u64::MAX);
        SqlServerConfig {
            tls: Tls { mode: TlsMode::Required, ..Tls::default() },
            poll_interval_ms: poll,
            ..SqlServerConfig::new(format!("mssql://sa:{password}@127.0.0.1:{port}/{}", self.name))
        }
    }

    pub(crate) fn source(&self) -> Result<Arc<dyn SourceConnector>, BackendError> {
        Ok(self.config(self.port()).build("shop")?)
    }

    /// Runs these batches as one transaction, and takes it back in the end unless it is to be committed.
    pub(crate) async fn transact(&self, batches: &[String], commit: bool) -> Result<(), BackendError> {
        let end = if commit { "COMMIT" } else { "ROLLBACK" };
        let batches = batches.iter().map(String::as_str);
        let whole: Vec<&str> = iter::once("BEGIN TRAN").chain(batches).chain([end]).collect();
        self.run_all(&whole).await.map(drop)
    }

    /// Runs one batch.
    pub(crate) async fn run(&self, batch: &str) -> Result<(), BackendError> {
        self.run_all(&[batch]).await.map(drop)
    }

    /// As [`run`](Self::run), as a step that is tried until it is done.
    async fn done(&self, batch: &str) -> Result<bool, BackendError> {
        self.run(batch).await.map(|()| true)
    }

    /// The first column of the first row that a batch answers, which is an `int`.
    async fn number(&self, batch: &str) -> Result<Option<i32>, BackendError> {
        let rows = self.run_all(&[batch]).await?;
        Ok(rows.first().map(|row| row.try_get(0)).transpose()?.flatten())
    }

    /// Runs batches one after the other in one session, all of them again if the server chose it as the victim of a
    /// deadlock and took everything back. The rows are those of the last.
    async fn run_all(&self, batches: &[&str]) -> Result<Vec<Row>, BackendError> {
        let mut kept = self.session.lock().await;
        let mut deadlocks = 0;
        loop {
            let mut session = match kept.take() {
                Some(session) => session,
                None => Session::open(&self.server.login, &self.name).await?,
            };
            match session.run_all(batches).await {
                Ok(rows) => {
                    *kept = Some(session);
                    return Ok(rows);
                }
                Err(error) if is_deadlock(&error) && deadlocks < DEADLOCKS_MAX => deadlocks += 1,
                Err(error) => return Err(error),
            }
        }
    }

    async fn until<F: Future<Output = Result<bool, BackendError>>>(
        &self,
        what: &str,
        is_so: impl Fn() -> F,
    ) -> Result<(), BackendError> {
        self.server.until(what, PATIENCE, is_so).await
    }
}

const STOP_JOB: &str = "EXEC sys.sp_cdc_stop_job @job_type = N'capture'";
const START_JOB: &str = "EXEC sys.sp_cdc_start_job @job_type = N'capture'";

async fn run_in(login: &Login, database: &str, batch: &str) -> Result<bool, BackendError> {
    Session::open(login, database).await?.run_all(&[batch]).await.map(|_| true)
}

fn is_deadlock(error: &BackendError) -> bool {
    error.downcast_ref::<Refused>().is_some_and(|refused| refused.is_deadlock)
}

impl Drop for CapturedDatabase {
    /// An agent runs so many jobs at once and no more, so the database goes from a server that stays.
    fn drop(&mut self) {
        if !matches!(self.server.place, Place::Shared) {
            return;
        }
        let (server, name) = (&self.server, &self.name);
        let outcome = thread::scope(|scope| scope.spawn(|| drop_database(server, name)).join());
        if let Ok(Err(error)) = outcome {
            eprintln!("the database {name} stays behind: {error}");
        }
    }
}

/// On a thread without a runtime.
fn drop_database(server: &Server, name: &str) -> Result<(), BackendError> {
    let drop = format!(
        "IF DB_ID(N'{name}') IS NOT NULL BEGIN ALTER DATABASE [{name}] SET SINGLE_USER WITH ROLLBACK IMMEDIATE; DROP \
         DATABASE [{name}]; END"
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let login = &server.login;
        // Whoever comes first to a database for one user is in it: let it not be the job.
        if let Err(error) = run_in(login, name, STOP_JOB).await {
            println!("the capture job wasn't stopped: {error}");
        }
        server.until("the database is dropped", PATIENCE, || run_in(login, "master", &drop)).await
    })
}
