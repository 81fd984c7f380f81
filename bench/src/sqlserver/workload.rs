//! The tables that are changed, and the changes.

use std::time::Duration;

use crate::failure::Failure;
use crate::process::Line;
use crate::workload::{ROWS_PER_TRANSACTION, tuple};

use super::bar;
use super::server::{Connection, SimulatedServer, execute};

pub(super) const DATABASE: &str = "bench";
/// Each transaction changes rows in all of them.
pub(super) const TABLES: u64 = 4;
/// A statement takes no more.
const ROWS_PER_INSERT: u64 = 1_000;
/// How often it is asked whether everything has been captured.
const CAPTURED_INTERVAL: Duration = Duration::from_millis(100);
/// The capture process does in a moment what was committed; if it takes this long it has stopped.
const CAPTURED_WITHIN: Duration = Duration::from_secs(300);

/// The columns of the table that MySQL's figures are of.
pub(super) const COLUMNS: [&str; 7] = ["id", "customer", "status", "total", "placed_at", "address", "note"];

pub(super) struct Workload<'a> {
    server: &'a SimulatedServer,
    connection: Connection,
    rows_per_table: u64,
}

pub(super) fn table(number: u64) -> String {
    format!("orders_{number}")
}

impl<'a> Workload<'a> {
    /// Tables of seven columns and about 160 bytes a row, `rows` in all, captured from here on.
    pub(super) async fn prepare(server: &'a SimulatedServer, rows: u64) -> Result<Self, Failure> {
        let mut connection = server.connect(server.address(), "master").await?;
        execute(&mut connection, &format!("CREATE DATABASE {DATABASE}")).await?;
        execute(&mut connection, &format!("USE {DATABASE}; EXEC sys.sp_cdc_enable_db")).await?;
        let mut workload = Self { server, connection, rows_per_table: rows.div_ceil(TABLES) };
        let progress = bar("loading tables", "rows", workload.rows_per_table * TABLES);
        for number in 1..=TABLES {
            workload.load(number, &progress).await?;
        }
        progress.finish_and_clear();
        workload.configure()?;
        Ok(workload)
    }

    async fn load(&mut self, number: u64, progress: &indicatif::ProgressBar) -> Result<(), Failure> {
        let table = table(number);
        execute(
            &mut self.connection,
            &format!(
                "CREATE TABLE dbo.{table} (id bigint PRIMARY KEY, customer int NOT NULL, status varchar(12) NOT NULL, \
                 total decimal(10,2) NOT NULL, placed_at datetime2(0) NOT NULL, address varchar(80) NOT NULL, \
                 note varchar(80))"
            ),
        )
        .await?;
        let mut next = 1;
        while next <= self.rows_per_table {
            let last = self.rows_per_table.min(next + ROWS_PER_INSERT - 1);
            let tuples: Vec<String> = (next..=last).map(tuple).collect();
            execute(&mut self.connection, &format!("INSERT INTO dbo.{table} VALUES {}", tuples.join(","))).await?;
            progress.inc(last + 1 - next);
            next = last + 1;
        }
        let capture = format!(
            "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'{table}', @role_name = NULL, \
             @supports_net_changes = 0"
        );
        execute(&mut self.connection, &capture).await
    }

    fn configure(&self) -> Result<(), Failure> {
        let uri = self.server.uri(self.server.address().port(), DATABASE);
        let authority = self.server.authority();
        let config = format!(
            "sources:\n  - name: bench\n    type: sqlserver\n    uri: {uri}\n    tls:\n      ca_certificate: {}\n    \
             poll_interval_ms: 100\nsync_config: sync-config.yaml\n",
            authority.display()
        );
        self.write("millstream.yaml", &config)?;
        let queries: Vec<String> =
            (1..=TABLES).map(|number| format!("      - SELECT * FROM {}\n", table(number))).collect();
        self.write("sync-config.yaml", &format!("bucket_definitions:\n  all:\n    data:\n{}", queries.concat()))
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        std::fs::write(self.server.directory().join(name), text).map_err(Failure::own(format!("writing {name}")))
    }

    /// Updates rows all over the tables, in transactions of [`ROWS_PER_TRANSACTION`], and waits until they are captured.
    /// Gives the number of rows in the change tables: each update is two, the row before it and after.
    pub(super) async fn change(&mut self, changes: u64) -> Result<u64, Failure> {
        let transactions = changes.div_ceil(ROWS_PER_TRANSACTION);
        let progress = bar("changing rows", "rows", transactions * ROWS_PER_TRANSACTION);
        for transaction in 0..transactions {
            let sql = self.transaction(transaction);
            execute(&mut self.connection, &sql).await?;
            progress.inc(ROWS_PER_TRANSACTION);
        }
        progress.finish_and_clear();
        let rows = 2 * transactions * (ROWS_PER_TRANSACTION / TABLES) * TABLES;
        self.await_captured(rows).await?;
        Ok(rows)
    }

    /// One update after the other, some rows in each table.
    fn transaction(&self, number: u64) -> String {
        let rows = ROWS_PER_TRANSACTION / TABLES;
        let mut sql = "BEGIN TRANSACTION;".to_owned();
        for table in (1..=TABLES).map(table) {
            for row in 0..rows {
                // A step that is coprime to the number of rows visits them all, far apart.
                let id = (number * rows + row) * 7_919 % self.rows_per_table + 1;
                sql +=
                    &format!(" UPDATE dbo.{table} SET total = total + 1, note = 'changed {number}' WHERE id = {id};");
            }
        }
        sql + " COMMIT"
    }

    async fn await_captured(&mut self, rows: u64) -> Result<(), Failure> {
        let counts: Vec<String> =
            (1..=TABLES).map(|number| format!("(SELECT COUNT(*) FROM cdc.dbo_{}_CT)", table(number))).collect();
        let count = format!("SELECT {}", counts.join(" + "));
        let progress = bar("capturing", "rows", rows);
        let captured = async {
            loop {
                let row = self.connection.simple_query(count.as_str()).await?.into_row().await?;
                let found = row.and_then(|row| row.get::<i32, _>(0)).unwrap_or_default();
                progress.set_position(u64::try_from(found).unwrap_or_default());
                if progress.position() >= rows {
                    return Ok::<(), Failure>(());
                }
                tokio::time::sleep(CAPTURED_INTERVAL).await;
            }
        };
        let outcome = tokio::time::timeout(CAPTURED_WITHIN, captured).await;
        progress.finish_and_clear();
        outcome.map_err(|_| Failure::Setup(format!("{rows} rows aren't captured after {CAPTURED_WITHIN:?}")))?
    }

    pub(super) fn millstream(&self, arguments: &[&str]) -> Result<Line, Failure> {
        Ok(Line {
            program: crate::millstream()?,
            arguments: arguments.iter().map(Into::into).collect(),
            directory: self.server.directory().to_owned(),
        })
    }
}
