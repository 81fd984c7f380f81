//! A simulated server whose capture is driven step by step, and a pipeline that follows it into a sink in memory.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use millstream_core::change::{Delivery, Event, RowChange};
use millstream_core::error::SourceError;
use millstream_core::pipeline::{Handle, Pipeline, PipelineError, PipelineOptions, VerifyReport};
use millstream_core::position::Position;
use millstream_core::row::RowRef;
use millstream_core::schema::{TableName, TableSchema};
use millstream_core::schema_change::SchemaChangeKind;
use millstream_core::selection::{Selection, TablePattern};
use millstream_core::sink::Sink;
use millstream_core::source::{Catalog, SourceConnector};
use millstream_core::value::ValueRef;
use millstream_sqlserver::CaptureInstances;
use millstream_sqlserver_sim::{Control, Options, Schedule, ScriptError};
use millstream_testkit::conformance::MemorySink;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::database::Database;

/// How long anything may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long to wait between two scans of the log.
const SCAN_PAUSE: Duration = Duration::from_millis(15);

/// Who makes capture instances.
pub use CaptureInstances::{Auto, Manual};

/// See the module's docs.
pub struct World {
    database: Database,
    capture_instances: CaptureInstances,
    /// Name and password, where it isn't the administrator who follows.
    user: Option<(String, String)>,
    pub sink: Arc<MemorySink>,
    running: Option<(Handle, JoinHandle<Result<(), PipelineError>>)>,
    /// Lines of the history that [`World::news`] has shown.
    shown: usize,
    /// Ops that [`World::cost`] has counted.
    counted: u64,
}

fn selection() -> Selection {
    Selection { patterns: vec![TablePattern { schema: "dbo".into(), table: "t%".into() }] }
}

impl World {
    /// A database that is captured, whose capture job stands still, with what the script makes in it.
    pub fn new(capture_instances: CaptureInstances, script: &str) -> Self {
        let world = Self {
            database: Database::start_with(Options { schedule: Schedule::ByHand, ..Options::default() }),
            capture_instances,
            user: None,
            sink: MemorySink::new(selection(), Box::new(|_, _| Ok(()))),
            running: None,
            shown: 0,
            counted: 0,
        };
        world.sql(script);
        world
    }

    /// A database with tables that are captured.
    pub fn captured(capture_instances: CaptureInstances, script: &str, tables: &[&str]) -> Self {
        let world = Self::new(capture_instances, script);
        world.capture(tables);
        world
    }

    /// A database with tables that are followed.
    pub async fn followed(capture_instances: CaptureInstances, script: &str, tables: &[&str]) -> Self {
        let mut world = Self::captured(capture_instances, script, tables);
        world.follow().await;
        world
    }

    /// Makes an instance for each of these tables, and has the capture process notice them.
    pub fn capture(&self, tables: &[&str]) {
        tables.iter().for_each(|table| self.enable(table, &format!("dbo_{table}")));
        self.scan();
    }

    /// Follows from here on. What that took is no news, and costs nothing.
    pub async fn follow(&mut self) {
        self.start();
        self.settle().await;
        self.news();
        self.cost();
    }

    /// Runs a batch in the database.
    pub fn sql(&self, batch: &str) {
        self.try_sql(batch).unwrap_or_else(|error| panic!("{error}: {batch}"));
    }

    /// Says so unless a condition holds in the database.
    pub fn expect(&self, condition: &str) {
        assert!(self.holds(condition), "it doesn't hold: {condition}");
    }

    /// Whether a condition holds in the database.
    pub fn holds(&self, condition: &str) -> bool {
        match self.try_sql(&format!("IF NOT ({condition}) RAISERROR('it does not hold', 16, 1)")) {
            Ok(()) => true,
            Err(error) if error.to_string().contains("it does not hold") => false,
            Err(error) => panic!("{error}: {condition}"),
        }
    }

    pub fn try_sql(&self, batch: &str) -> Result<(), ScriptError> {
        let script = format!("USE shop\nGO\n{batch}");
        tokio::task::block_in_place(|| self.database.sim().run_script(&script))
    }

    /// Makes a capture instance.
    pub fn enable(&self, table: &str, instance: &str) {
        self.sql(&format!(
            "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'{table}', @role_name = NULL, \
             @capture_instance = N'{instance}', @supports_net_changes = 0"
        ));
    }

    /// Makes a capture instance of some columns.
    pub fn enable_columns(&self, table: &str, instance: &str, columns: &str) {
        self.sql(&format!(
            "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'{table}', @role_name = NULL, \
             @capture_instance = N'{instance}', @supports_net_changes = 0, @captured_column_list = N'{columns}'"
        ));
    }

    /// Drops a capture instance.
    pub fn disable(&self, table: &str, instance: &str) {
        self.sql(&format!(
            "EXEC sys.sp_cdc_disable_table @source_schema = N'dbo', @source_name = N'{table}', @capture_instance = \
             N'{instance}'"
        ));
    }

    /// The server's strings.
    pub fn control(&self) -> &Control {
        self.database.sim().control()
    }

    /// Captures all that is in the log.
    pub fn scan(&self) {
        tokio::task::block_in_place(|| self.control().scan("shop")).expect("the log is scanned");
    }

    /// Captures the next transaction in the log, and no more.
    pub fn scan_one_transaction(&self) {
        self.sql("EXEC sys.sp_cdc_scan @maxtrans = 1, @maxscans = 1");
    }

    /// Removes changes of an instance up to the newest that was captured.
    pub fn clean_up(&self, instance: &str) {
        self.clean_up_to_one_place(&[instance]);
    }

    /// Of several instances; what is captured grows meanwhile.
    pub fn clean_up_to_one_place(&self, instances: &[&str]) {
        let mut batch = "DECLARE @low binary(10) = sys.fn_cdc_get_max_lsn();".to_owned();
        for instance in instances {
            batch.push_str(&format!(
                " EXEC sys.sp_cdc_cleanup_change_table @capture_instance = N'{instance}', @low_water_mark = @low, \
                 @threshold = 5000;"
            ));
        }
        self.sql(&batch);
    }

    pub fn connector(&self) -> Arc<dyn SourceConnector> {
        let mut config = match &self.user {
            Some((user, password)) => self.database.config_as(user, password),
            None => self.database.config(),
        };
        config.capture_instances = self.capture_instances;
        config.build("scenario").unwrap()
    }

    /// From the next start on a plain user follows, who may read the tables' changes and what else is granted.
    pub fn follow_as_plain_user(&mut self, grants: &str) {
        let (user, password) = ("ms", "Secret-123");
        self.sql(&format!(
            "CREATE LOGIN {user} WITH PASSWORD = N'{password}'; CREATE USER {user} FOR LOGIN {user}; GRANT SELECT ON \
             SCHEMA::cdc TO {user}; GRANT VIEW DATABASE STATE TO {user}; {grants}"
        ));
        self.user = Some((user.to_owned(), password.to_owned()));
    }

    /// From the next start on, Millstream makes and drops capture instances itself.
    pub fn allow_instances(&mut self) {
        self.capture_instances = Auto;
    }

    /// Starts to follow.
    pub fn start(&mut self) {
        assert!(self.running.is_none(), "it runs already");
        let options = PipelineOptions { chunk_rows_max: 500, ..PipelineOptions::default() };
        let sink = Arc::clone(&self.sink) as Arc<dyn Sink>;
        let (pipeline, handle) = Pipeline::new("scenario", self.connector(), sink, options);
        self.running = Some((handle, tokio::spawn(pipeline.run())));
    }

    /// Dies at whatever await it is.
    pub async fn kill(&mut self) {
        let Some((handle, running)) = self.running.take() else { return };
        running.abort();
        let end = running.await;
        // Not before: a pipeline whose handle is gone stops by itself.
        drop(handle);
        assert!(end.as_ref().is_err_and(|error| error.is_cancelled()), "it ended by itself: {end:?}");
        self.sink.crash(false);
    }

    pub fn handle(&self) -> &Handle {
        &self.running.as_ref().expect("it runs").0
    }

    /// Scans again and again until everything is durable and all tables are settled, and compares with a fresh read.
    pub async fn settle(&mut self) {
        let current = self
            .until("all is current", |world| {
                let handle = world.handle().clone();
                async move { handle.until_current().await }
            })
            .await;
        self.expect_running(current.is_ok()).await;
        let report = self.compare().await;
        assert!(report.is_equal() || self.is_any_held(), "{report:#?}");
        assert!(report.tables.iter().all(|table| table.differences_total == 0), "{report:#?}");
    }

    async fn expect_running(&mut self, runs: bool) {
        if !runs && let Some((_, running)) = self.running.take() {
            panic!("it ended by itself: {:?}", running.await);
        }
    }

    /// Compares with a fresh read, changing nothing.
    pub async fn compare(&mut self) -> VerifyReport {
        self.until("all is compared", |world| {
            let handle = world.handle().clone();
            async move { handle.verify(None).await.expect("it runs") }
        })
        .await
    }

    fn is_any_held(&self) -> bool {
        self.sink.records().iter().any(|record| record.state.word() == "held")
    }

    /// Scans while something else is waited for.
    async fn until<T, F: Future<Output = T>>(&self, what: &str, wait: impl FnOnce(&Self) -> F) -> T {
        let waiting = wait(self);
        let scanning = async {
            loop {
                // A test may have made scans impossible.
                let _ = tokio::task::block_in_place(|| self.control().scan("shop"));
                tokio::time::sleep(SCAN_PAUSE).await;
            }
        };
        let outcome = timeout(PATIENCE, async {
            tokio::select! { outcome = waiting => outcome, () = scanning => unreachable!() }
        });
        match outcome.await {
            Ok(outcome) => outcome,
            Err(_) => panic!("not until {what}: {:#?}", self.running.as_ref().map(|(handle, _)| handle.status())),
        }
    }

    /// Who makes capture instances now.
    pub fn capture_instances(&self) -> CaptureInstances {
        self.capture_instances
    }

    /// Waits until something holds, and nobody scans the log.
    pub async fn until_true_unscanned(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let patience_ends = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < patience_ends, "never: {what}; {:#?}", self.sink.history());
            tokio::time::sleep(SCAN_PAUSE).await;
        }
    }

    /// Scans until something holds.
    pub async fn until_true(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..2_000 {
            if holds(self) {
                return;
            }
            let _ = tokio::task::block_in_place(|| self.control().scan("shop"));
            tokio::time::sleep(SCAN_PAUSE).await;
        }
        panic!("never: {what}; {:#?}; {:#?}", self.sink.history(), self.handle().status());
    }

    /// The rows of a table in the sink, one line each: `(a=1, id=1)`.
    pub fn rows(&self, table: &str) -> Vec<String> {
        let tables = self.sink.tables();
        let rows = tables.get(&TableName::new("dbo", table)).cloned().unwrap_or_default();
        rows.iter().map(ToString::to_string).collect()
    }

    pub fn tables(&self) -> BTreeSet<String> {
        self.sink.tables().keys().map(|name| name.name.clone()).collect()
    }

    /// What is said of a table: its state, and why it is held.
    pub fn state(&self, table: &str) -> String {
        let name = TableName::new("dbo", table);
        let record = self.sink.records().into_iter().find(|record| record.name == name);
        match record.map(|record| record.state) {
            None => "gone".to_owned(),
            Some(millstream_core::table::TableState::Held { reason, remedy }) => format!("held: {reason}. {remedy}"),
            Some(state) => state.word().to_owned(),
        }
    }

    /// The lines of the history since the last call: `t altered keep`.
    pub fn news(&mut self) -> Vec<String> {
        let history = self.sink.history();
        let news = history
            .iter()
            .skip(self.shown)
            .map(|entry| format!("{} {} {}", entry.table.name, entry.change, entry.effect));
        let news = news.collect();
        self.shown = history.len();
        news
    }

    /// The ops written since the last call: rows that clients have to download, or to remove.
    pub fn cost(&mut self) -> u64 {
        let written = self.sink.ops_written();
        written - std::mem::replace(&mut self.counted, written)
    }

    /// What is true now, as a place to follow from without a pipeline.
    pub async fn here(&self, connector: &Arc<dyn SourceConnector>) -> (Position, Catalog) {
        let (connector, selection_here) = (Arc::clone(connector), selection());
        let found = async move { connector.discover(&selection_here).await.unwrap() };
        let discovery = self.until("the tables are found", |_| found).await;
        let tables = discovery.tables.into_iter().map(|schema| (schema.table.clone(), Some(schema))).collect();
        (discovery.position, Catalog { selection: selection(), tables })
    }

    /// The stream from a place on, one line an event, until a line comes that ends with this.
    pub async fn lines_until(
        &self,
        connector: &Arc<dyn SourceConnector>,
        from: &Position,
        catalog: Catalog,
        last: &str,
    ) -> Vec<String> {
        let mut stream = connector.stream(from, catalog).await.unwrap();
        let mut lines = Vec::new();
        let patience_ends = Instant::now() + PATIENCE;
        loop {
            let delivery: Result<Delivery, SourceError> =
                timeout_at(patience_ends, stream.next()).await.unwrap_or_else(|_| panic!("only {lines:#?}")).unwrap();
            let delivery = delivery.unwrap();
            delivery.events.iter().for_each(|event| lines.extend(shown(event)));
            if delivery.commit.is_some() && lines.last().is_some_and(|line| line.ends_with(last)) {
                return lines;
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some((_, running)) = self.running.take() {
            running.abort();
        }
    }
}

/// An event as text: `t + 1,a` for a row that exists, `t - 1` for one that is gone, `t ? 1` for one to look up.
pub fn shown(event: &Event) -> Vec<String> {
    match event {
        Event::Rows(changes) => {
            let name = &changes.schema.table.name;
            let row = |(row, change): (RowRef<'_>, &RowChange)| {
                let identity = &changes.schema.identity.columns;
                let values: Vec<String> = match change {
                    RowChange::Upsert => row.iter().map(value).collect(),
                    _ => identity.iter().map(|index| value(row.get(*index).unwrap())).collect(),
                };
                let sign = match change {
                    RowChange::Upsert => "+",
                    RowChange::Delete => "-",
                    RowChange::Recheck => "?",
                };
                format!("{name} {sign} {}", values.join(","))
            };
            changes.rows.rows().zip(&changes.changes).map(row).collect()
        }
        Event::Schema(change) => {
            let detail = match &change.kind {
                SchemaChangeKind::Created { schema, .. }
                | SchemaChangeKind::Replaced { schema }
                | SchemaChangeKind::Altered { schema, .. }
                | SchemaChangeKind::Settled { schema } => format!(" {}", columns(schema)),
                _ => String::new(),
            };
            vec![format!("{} {}{detail}", change.table.name, change.kind.word())]
        }
    }
}

fn columns(schema: &TableSchema) -> String {
    let columns: Vec<&str> = schema.columns.iter().map(|column| column.name.as_str()).collect();
    format!("({})", columns.join(","))
}

fn value(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".into(),
        ValueRef::Int(value) => value.to_string(),
        ValueRef::Real(value) => value.to_string(),
        ValueRef::Text(text) => text.into(),
        ValueRef::Blob(bytes) => format!("{bytes:02x?}"),
    }
}
