//! The table that is read, the changes that are streamed, and the programs that do it.

use std::path::Path;

use millstream_testkit::Server;
use mysql_async::prelude::Queryable;
use tempfile::TempDir;

use crate::failure::Failure;
use crate::millstream;
use crate::process::Line;

pub(crate) const ROWS_PER_TRANSACTION: u64 = 40;
const ROWS_PER_INSERT: u64 = 2_000;
const DATABASE: &str = "bench";

pub(crate) const SYNC_CONFIG: &str = "bucket_definitions:\n  all:\n    data:\n      - SELECT * FROM orders\n";

pub(crate) struct Workload<'a> {
    server: &'a Server,
    directory: TempDir,
}

/// Where in the log the changes begin.
pub(crate) struct LogPlace {
    file: String,
    offset: String,
}

impl<'a> Workload<'a> {
    pub(crate) async fn prepare(server: &'a Server) -> Result<Self, Failure> {
        server.sql(&format!("CREATE DATABASE {DATABASE}")).await?;
        let directory = TempDir::new().map_err(Failure::own("making a directory"))?;
        let workload = Self { server, directory };
        let config = format!(
            "sources:\n  - name: bench\n    type: mysql\n    uri: {}\nsync_config: sync-config.yaml\n",
            workload.uri()
        );
        workload.write("millstream.yaml", &config)?;
        workload.write("sync-config.yaml", SYNC_CONFIG)?;
        Ok(workload)
    }

    pub(crate) fn server(&self) -> &Server {
        self.server
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn uri(&self) -> String {
        self.server.uri("root", "", DATABASE)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        std::fs::write(self.directory().join(name), text).map_err(Failure::own(format!("writing {name}")))
    }

    /// A table of seven columns and about 160 bytes a row.
    pub(crate) async fn load(&self, rows: u64) -> Result<(), Failure> {
        let mut connection = self.server.connect().await?;
        connection
            .query_drop(format!(
                "USE {DATABASE}; SET sql_log_bin = 0; DROP TABLE IF EXISTS orders; CREATE TABLE orders (\
                 id BIGINT PRIMARY KEY, customer INT NOT NULL, status VARCHAR(12) NOT NULL, \
                 total DECIMAL(10,2) NOT NULL, placed_at DATETIME NOT NULL, address VARCHAR(80) NOT NULL, note VARCHAR(80))"
            ))
            .await?;
        let mut next = 1;
        while next <= rows {
            let last = rows.min(next + ROWS_PER_INSERT - 1);
            let tuples: Vec<String> = (next..=last).map(tuple).collect();
            connection.query_drop(format!("INSERT INTO orders VALUES {}", tuples.join(","))).await?;
            next = last + 1;
        }
        connection.query_drop("ANALYZE TABLE orders").await?;
        connection.disconnect().await?;
        Ok(())
    }

    /// Updates rows all over the table, in transactions of [`ROWS_PER_TRANSACTION`].
    pub(crate) async fn change(&self, changes: u64) -> Result<LogPlace, Failure> {
        let from = self.log_end().await?;
        let mut connection = self.server.connect().await?;
        let rows = self.server.value(&format!("SELECT MAX(id) FROM {DATABASE}.orders")).await?;
        let rows: u64 = rows.and_then(|rows| rows.parse().ok()).unwrap_or(1);
        connection.query_drop(format!("USE {DATABASE}")).await?;
        for transaction in 0..changes.div_ceil(ROWS_PER_TRANSACTION) {
            // A step that is coprime to the number of rows visits them all, far apart.
            let ids =
                (0..ROWS_PER_TRANSACTION).map(|row| (transaction * ROWS_PER_TRANSACTION + row) * 7_919 % rows + 1);
            let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
            let update = format!(
                "UPDATE orders SET total = total + 1, note = 'changed {transaction}' WHERE id IN ({})",
                ids.join(",")
            );
            connection.query_drop(update).await?;
        }
        connection.disconnect().await?;
        Ok(from)
    }

    /// Gives the table another key, by which its rows lie in another order.
    pub(crate) async fn change_key(&self) -> Result<(), Failure> {
        let statement = format!("ALTER TABLE {DATABASE}.orders DROP PRIMARY KEY, ADD PRIMARY KEY (customer, id)");
        Ok(self.server.sql(&statement).await?)
    }

    async fn log_end(&self) -> Result<LogPlace, Failure> {
        let row = self.server.rows("SHOW BINARY LOG STATUS").await?.into_iter().next().unwrap_or_default();
        let mut columns = row.into_iter().flatten();
        Ok(LogPlace { file: columns.next().unwrap_or_default(), offset: columns.next().unwrap_or_default() })
    }

    fn line(&self, program: std::path::PathBuf, arguments: &[&str]) -> Line {
        Line { program, arguments: arguments.iter().map(Into::into).collect(), directory: self.directory().to_owned() }
    }

    pub(crate) fn mysqldump(&self) -> Result<Line, Failure> {
        let socket = format!("--socket={}", self.server.socket()?.display());
        let arguments = [
            "--no-defaults",
            "--user=root",
            &socket,
            "--single-transaction",
            "--quick",
            "--set-gtid-purged=OFF",
            DATABASE,
            "orders",
        ];
        Ok(self.line(self.server.tool("mysqldump")?, &arguments))
    }

    pub(crate) fn mysqlbinlog(&self, from: &LogPlace) -> Result<Line, Failure> {
        let (socket, start) =
            (format!("--socket={}", self.server.socket()?.display()), format!("--start-position={}", from.offset));
        let arguments = [
            "--no-defaults",
            "--user=root",
            &socket,
            "--read-from-remote-server",
            "--to-last-log",
            "--verify-binlog-checksum",
            &start,
            &from.file,
        ];
        Ok(self.line(self.server.tool("mysqlbinlog")?, &arguments))
    }

    pub(crate) fn millstream(&self, arguments: &[&str]) -> Result<Line, Failure> {
        Ok(self.line(millstream()?, arguments))
    }
}

/// A row's values as SQL that all servers take.
pub(crate) fn tuple(id: u64) -> String {
    format!(
        "({id},{},'{}',{}.{:02},'2026-{:02}-{:02} 10:20:30','{:08} Long Street, Some Town, Some County, {id:010}','left at the door of number {id}')",
        id % 100_000,
        ["new", "paid", "packed", "delivered"].get((id % 4) as usize).unwrap_or(&"new"),
        id % 5_000,
        id % 100,
        id % 12 + 1,
        id % 28 + 1,
        id * 31 % 100_000_000,
    )
}
