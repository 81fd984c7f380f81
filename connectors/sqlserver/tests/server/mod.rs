//! A SQL Server for tests that mean the same on any: simulated in this process, or in a container where the run asks for
//! containers. Everything but its start and its end goes by what SQL Server offers to an administrator.

mod database;
mod session;

use std::time::Duration;

use millstream_sqlserver_sim::{Options, Schedule, SqlServerSim};
use millstream_testkit::conformance::BackendError;
use millstream_testkit::{Container, ContainerRequest, containers_are_wanted, image};
use tokio::time::{Instant, sleep};

pub(crate) use database::CapturedDatabase;
pub(crate) use session::{Login, Session};

/// How often the simulated agent captures, whatever its jobs say.
const CAPTURE_INTERVAL: Duration = Duration::from_millis(20);
/// Upper and lower case, digits and a symbol, or the server doesn't start.
const PASSWORD: &str = "Conformance-1433";
/// How long a server may take until it lets somebody in: in a new container it makes its system databases first.
const START_PATIENCE: Duration = Duration::from_secs(180);
/// How long a server may take to end by itself.
const STOP_PATIENCE: Duration = Duration::from_secs(60);
/// How often to ask for what takes a while.
const POLL: Duration = Duration::from_millis(20);
const POLL_IN_CONTAINER: Duration = Duration::from_millis(100);

const IMAGE_VARIABLE: &str = "MILLSTREAM_SQLSERVER_IMAGE";
const OFFICIAL_IMAGE: &str = "mcr.microsoft.com/mssql/server:2022-latest";
/// The simulator as an image, where none can be pulled.
const SIMULATOR_IMAGE: &str = "millstream-test/sqlserver";

/// Whether the run's containers are of the simulator, which keeps nothing when its process ends.
pub(crate) fn forgets_at_restart() -> bool {
    containers_are_wanted() && image(IMAGE_VARIABLE, OFFICIAL_IMAGE).starts_with(SIMULATOR_IMAGE)
}

/// A running server.
pub(crate) struct Server {
    place: Place,
    login: Login,
}

enum Place {
    Here(SqlServerSim),
    /// A container that other tests use as well.
    Shared,
    Own(Box<Container>),
}

impl Server {
    /// Starts a server and waits until it answers. `own` is one that nobody else uses, which may be restarted; else it
    /// may be the one that all tests of this run share.
    pub(crate) async fn start(own: bool) -> Result<Self, BackendError> {
        let (place, port) = match (containers_are_wanted(), own) {
            (false, _) => {
                let options = Options {
                    schedule: Schedule::Every(CAPTURE_INTERVAL),
                    password: PASSWORD.to_owned(),
                    ..Options::default()
                };
                let sim = SqlServerSim::start(&options)?;
                let port = sim.address().port();
                (Place::Here(sim), port)
            }
            (true, false) => (Place::Shared, Container::shared("sqlserver", &request()).await?),
            (true, true) => {
                let container = Container::start(&request()).await?;
                let port = container.port();
                (Place::Own(Box::new(container)), port)
            }
        };
        let server = Self { place, login: Login { port, password: PASSWORD.to_owned() } };
        server.until_it_answers("master").await?;
        Ok(server)
    }

    /// Restarts the server, as by a crash if `kill`, and waits until it lets somebody into this database.
    pub(crate) async fn restart(&self, kill: bool, database: &str) -> Result<(), BackendError> {
        match &self.place {
            Place::Here(sim) if kill => tokio::task::block_in_place(|| sim.control().crash())?,
            Place::Here(sim) => {
                sim.control().kill_connections();
            }
            Place::Shared => return Err("the server belongs to others as well".into()),
            Place::Own(container) => {
                container.stop(if kill { Duration::ZERO } else { STOP_PATIENCE }).await?;
                container.start_again().await?;
            }
        }
        self.until_it_answers(database).await
    }

    /// While a server starts it refuses connections, then logins (18456, or that it is being upgraded), then single
    /// databases (4060), in whatever order: whatever it says, it may be ready a moment later.
    async fn until_it_answers(&self, database: &str) -> Result<(), BackendError> {
        let answers =
            || async { Session::open(&self.login, database).await?.run_all(&["SELECT 1"]).await.map(|_| true) };
        let what = format!("the server at port {} lets us into {database}", self.login.port);
        self.until(&what, START_PATIENCE, answers).await
    }

    /// Asks until it is so. An error may be for now only, and is told if it never ends.
    async fn until<F: Future<Output = Result<bool, BackendError>>>(
        &self,
        what: &str,
        patience: Duration,
        is_so: impl Fn() -> F,
    ) -> Result<(), BackendError> {
        let patience_ends = Instant::now() + patience;
        loop {
            let outcome = is_so().await;
            match outcome {
                Ok(true) => return Ok(()),
                Ok(false) if Instant::now() >= patience_ends => {
                    return Err(format!("it isn't so after {patience:?}: {what}").into());
                }
                Err(error) if Instant::now() >= patience_ends => {
                    return Err(format!("it isn't so after {patience:?}: {what}; {error}").into());
                }
                Ok(false) | Err(_) => sleep(self.poll()).await,
            }
        }
    }

    /// How often a server of this kind may be asked.
    fn poll(&self) -> Duration {
        match self.place {
            Place::Here(_) => POLL,
            Place::Shared | Place::Own(_) => POLL_IN_CONTAINER,
        }
    }
}

fn request() -> ContainerRequest {
    ContainerRequest {
        image: image(IMAGE_VARIABLE, OFFICIAL_IMAGE),
        port: 1433,
        environment: vec![
            ("ACCEPT_EULA", "Y".to_owned()),
            ("MSSQL_SA_PASSWORD", PASSWORD.to_owned()),
            // It runs the jobs that capture changes.
            ("MSSQL_AGENT_ENABLED", "true".to_owned()),
        ],
        arguments: Vec::new(),
    }
}
