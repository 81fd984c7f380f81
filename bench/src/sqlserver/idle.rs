//! What it costs to look for changes where there are none.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use millstream_core::schema::TableName;
use millstream_core::selection::{Selection, TablePattern};
use millstream_core::source::{Catalog, SourceConnector};
use millstream_sqlserver::{SqlServerConfig, Tls};

use crate::failure::Failure;

use super::meter::{Exchange, Meter};
use super::server::{SimulatedServer, execute};
use super::{bar, median};

/// Between two polls. A real interval is longer; what a poll costs doesn't depend on it.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// What belongs to one poll follows without a pause, or with a shorter one.
const PAUSE: Duration = Duration::from_millis(60);
/// Polls at the beginning, in which the connector finds out what there is.
const FIRST_POLLS: usize = 10;
/// Questions whose cost is taken.
const QUESTIONS: usize = 30;
/// Polls whose cost is taken: more than there are from one look at the catalog to the next.
const POLLS: usize = 110;
/// If there are no polls for this long, there won't be any.
const POLLS_WITHIN: Duration = Duration::from_secs(60);

/// What most polls, or questions, cost.
struct Cost {
    took: Duration,
    round_trips: u64,
    bytes: u64,
}

impl Cost {
    fn of(exchanges: &[Exchange]) -> Self {
        let of = |value: fn(&Exchange) -> u64| median(exchanges.iter().map(value).collect());
        Self {
            took: median(exchanges.iter().map(Exchange::took).collect()),
            round_trips: of(|exchange| exchange.round_trips),
            bytes: of(|exchange| exchange.bytes),
        }
    }

    /// What the one costs that has the most bytes.
    fn of_largest(exchanges: &[Exchange]) -> Self {
        let largest = exchanges.iter().max_by_key(|exchange| exchange.bytes).copied();
        Self::of(&Vec::from_iter(largest))
    }

    fn print(&self, what: &str, ratios: &str) {
        println!(
            "{what:<34} {:>8.2} ms {:>4} round trip{} {:>9.1} KiB{ratios}",
            self.took.as_secs_f64() * 1e3,
            self.round_trips,
            if self.round_trips == 1 { " " } else { "s" },
            self.bytes as f64 / 1_024.0
        );
    }

    fn ratio(&self, to: &Cost) -> f64 {
        self.took.as_secs_f64() / to.took.as_secs_f64()
    }
}

pub(crate) async fn print(server: &SimulatedServer, instances: u64) -> Result<(), Failure> {
    println!("making {instances} capture instances in a simulated SQL Server");
    prepare(server, "one", 1).await?;
    prepare(server, "many", instances).await?;
    let question = Cost::of(&ask(server, "many").await?);
    let one = Cost::of(&poll(server, "one", 1).await?);
    let polls = poll(server, "many", instances).await?;
    let (many, look) = (Cost::of(&polls), Cost::of_largest(&polls));
    question.print("question   SELECT 1", "");
    one.print("idle poll  1 capture instance", &format!("   {:.1} times a SELECT 1", one.ratio(&question)));
    many.print(
        &format!("idle poll  {instances} capture instances"),
        &format!("   {:.1} times a SELECT 1, {:.1} times 1 instance", many.ratio(&question), many.ratio(&one)),
    );
    look.print("the same   with a look at them", &format!("   {:.1} times a SELECT 1", look.ratio(&question)));
    Ok(())
}

fn table(number: u64) -> String {
    format!("idle_{number}")
}

async fn prepare(server: &SimulatedServer, database: &str, instances: u64) -> Result<(), Failure> {
    let mut connection = server.connect(server.address(), "master").await?;
    execute(&mut connection, &format!("CREATE DATABASE {database}")).await?;
    execute(&mut connection, &format!("USE {database}; EXEC sys.sp_cdc_enable_db")).await?;
    let progress = bar("making instances", "instances", instances);
    for number in 1..=instances {
        let table = table(number);
        let make = format!(
            "CREATE TABLE dbo.{table} (id bigint PRIMARY KEY, note varchar(80)); \
             EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'{table}', @role_name = NULL, \
             @supports_net_changes = 0"
        );
        execute(&mut connection, &make).await?;
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(())
}

/// Asks what is answered at once, as often and with the same pauses as polls have.
async fn ask(server: &SimulatedServer, database: &str) -> Result<Vec<Exchange>, Failure> {
    let meter = Meter::start(server.address(), PAUSE).await?;
    let mut connection = server.connect(meter.address(), database).await?;
    for _ in 0..FIRST_POLLS + QUESTIONS {
        tokio::time::sleep(POLL_INTERVAL).await;
        execute(&mut connection, "SELECT 1").await?;
    }
    Ok(meter.take().split_off(FIRST_POLLS))
}

/// Has the connector follow the database, which lies idle.
async fn poll(server: &SimulatedServer, database: &str, instances: u64) -> Result<Vec<Exchange>, Failure> {
    let meter = Meter::start(server.address(), PAUSE).await?;
    let selection = Selection {
        patterns: (1..=instances).map(|number| TablePattern::exactly(&TableName::new("dbo", table(number)))).collect(),
    };
    let config = |port| SqlServerConfig {
        tls: Tls { ca_certificate: Some(server.authority()), ..Tls::default() },
        poll_interval_ms: POLL_INTERVAL.as_millis() as u64,
        ..SqlServerConfig::new(server.uri(port, database))
    };
    // Beside the meter, as only polls are to pass it.
    let discovery = config(server.address().port()).build("bench")?.discover(&selection).await?;
    if discovery.tables.len() as u64 != instances {
        return Err(Failure::Setup(format!("{} of {instances} instances were found", discovery.tables.len())));
    }
    let source: Arc<dyn SourceConnector> = config(meter.address().port()).build("bench")?;
    let tables = discovery.tables.into_iter().map(|table| (table.table.clone(), Some(table))).collect();
    let mut stream = source.stream(&discovery.position, Catalog { selection, tables }).await?;

    let mut polls = Vec::new();
    let progress = bar("idle polls", "polls", (FIRST_POLLS + POLLS) as u64);
    let polled = async {
        while polls.len() < FIRST_POLLS + POLLS {
            // What it delivers are signs of life.
            if let Ok(Some(delivery)) = tokio::time::timeout(POLL_INTERVAL, stream.next()).await {
                delivery?;
            }
            polls.extend(meter.take());
            progress.set_position(polls.len() as u64);
        }
        Ok::<(), Failure>(())
    };
    let outcome = tokio::time::timeout(POLLS_WITHIN, polled).await;
    progress.finish_and_clear();
    outcome.map_err(|_| Failure::Setup(format!("{} polls within {POLLS_WITHIN:?}", polls.len())))??;
    Ok(polls.split_off(FIRST_POLLS))
}
