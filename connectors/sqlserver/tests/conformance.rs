//! The conformance suite on a simulated SQL Server, with Millstream making the capture instances.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use millstream_core::source::SourceConnector;
use millstream_sqlserver::{CaptureInstances, SqlServerConfig, Tls, TlsMode};
use millstream_sqlserver_sim::{Options, Schedule, SqlServerSim};
use millstream_testkit::FaultProxy;
use millstream_testkit::conformance::sql::{Dialect, definition, names, statement};
use millstream_testkit::conformance::{Backend, BackendError, Capability, ColumnType, Operation, TypeCase, Value};
use millstream_testkit::conformance_suite;

/// How often the simulated agent captures.
const CAPTURE_INTERVAL: Duration = Duration::from_millis(20);

/// A database on a server of a case's own.
struct Simulated {
    sim: SqlServerSim,
    password: String,
    proxy: FaultProxy,
}

struct TSql;

impl Dialect for TSql {
    fn quoted(&self, name: &str) -> String {
        format!("[{name}]")
    }

    fn column_type(&self, kind: &ColumnType) -> String {
        match kind {
            ColumnType::Integer => "int".to_owned(),
            ColumnType::LongInteger => "bigint".to_owned(),
            ColumnType::Text(chars) => format!("nvarchar({chars})"),
            ColumnType::Native(kind) => kind.clone(),
        }
    }

    fn text(&self, text: &str) -> String {
        format!("N'{text}'")
    }

    fn one_row(&self) -> (&'static str, &'static str) {
        (" TOP (1)", "")
    }

    fn add_column(&self) -> &'static str {
        "ADD"
    }
}

fn sql(operation: &Operation) -> String {
    match operation {
        // Existing rows get the default of a column that may be NULL only if asked to.
        Operation::AddColumn { column, .. } if column.default.is_some() => {
            format!("{} WITH VALUES", statement(&TSql, operation).unwrap())
        }
        Operation::RenameTable { from, to } => format!("EXEC sp_rename N'dbo.{from}', N'{to}'"),
        Operation::SwapTables { left, right } => format!(
            "BEGIN TRAN; EXEC sp_rename N'dbo.{left}', N'swap'; EXEC sp_rename N'dbo.{right}', N'{left}'; \
             EXEC sp_rename N'dbo.swap', N'{right}'; COMMIT"
        ),
        Operation::RetypeColumn { table, column } => {
            format!("ALTER TABLE [{table}] ALTER COLUMN {}", definition(&TSql, column))
        }
        Operation::DropColumn { table, column } => {
            // A default is a constraint that hangs on the column.
            let default = format!(
                "SELECT d.name FROM sys.default_constraints AS d JOIN sys.columns AS c ON c.object_id = \
                 d.parent_object_id AND c.column_id = d.parent_column_id WHERE d.parent_object_id = \
                 OBJECT_ID(N'dbo.{table}') AND c.name = N'{column}'"
            );
            format!("{}; {}", drop_constraint(table, &default), statement(&TSql, operation).unwrap())
        }
        // As an administrator has to: the server refuses it while the table is captured.
        Operation::ChangeKey { table, key } => {
            let old = format!(
                "SELECT name FROM sys.key_constraints WHERE parent_object_id = OBJECT_ID(N'dbo.{table}') AND type = 'PK'"
            );
            format!(
                "EXEC sys.sp_cdc_disable_table @source_schema = N'dbo', @source_name = N'{table}', @capture_instance = \
                 N'all'; {}; ALTER TABLE [{table}] ADD PRIMARY KEY ({})",
                drop_constraint(table, &old),
                names(&TSql, key)
            )
        }
        operation => statement(&TSql, operation).unwrap_or_else(|| panic!("declared as lacking: {operation:?}")),
    }
}

/// Drops the constraint that a query names, if it names one.
fn drop_constraint(table: &str, query: &str) -> String {
    let script = format!(
        "DECLARE @name sysname = ({query}); IF @name IS NOT NULL EXEC(N'ALTER TABLE [{table}] DROP CONSTRAINT [' + \
         @name + N']')"
    );
    format!("EXEC sp_executesql N'{}'", script.replace('\'', "''"))
}

impl Simulated {
    /// Has a new table captured, as whoever makes tables does, and the capture process take notice of it.
    fn capture(&self, table: &str) -> Result<(), BackendError> {
        const INSTANCE_EXISTS: i32 = 22926;
        let enable = format!(
            "USE shop;\nGO\nEXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'{table}', \
             @role_name = NULL, @supports_net_changes = 0"
        );
        match tokio::task::block_in_place(|| self.sim.run_script(&enable)) {
            // Millstream was faster.
            Err(error) if error.number() == INSTANCE_EXISTS => {}
            outcome => outcome?,
        }
        self.scan()
    }

    /// Captures all that is in the log.
    fn scan(&self) -> Result<(), BackendError> {
        const SCAN_GOES_ON: i32 = 22903;
        tokio::task::block_in_place(|| {
            loop {
                match self.sim.control().scan("shop") {
                    Err(error) if error.number() == Some(SCAN_GOES_ON) => std::thread::sleep(CAPTURE_INTERVAL),
                    outcome => return outcome.map(drop).map_err(BackendError::from),
                }
            }
        })
    }

    fn run(&self, script: &str) -> Result<(), BackendError> {
        let script = format!("USE shop;\nGO\n{script}");
        Ok(tokio::task::block_in_place(|| self.sim.run_script(&script))?)
    }
}

#[async_trait]
impl Backend for Simulated {
    const NAME: &'static str = "sqlserver";

    const LACKS: &'static [(Capability, &'static str)] = &[
        (Capability::Truncate, "the server refuses it while the table is captured"),
        (Capability::RenameColumn, "the server refuses it while the column is captured"),
    ];

    async fn start(_: &[Capability]) -> Result<Self, BackendError> {
        let options = Options { schedule: Schedule::Every(CAPTURE_INTERVAL), ..Options::default() };
        let sim = SqlServerSim::start(&options)?;
        let proxy = FaultProxy::start(sim.address()).await?;
        let simulated = Self { sim, password: options.password, proxy };
        tokio::task::block_in_place(|| simulated.sim.run_script("CREATE DATABASE shop"))?;
        simulated.run("ALTER DATABASE shop SET READ_COMMITTED_SNAPSHOT ON;\nGO\nEXEC sys.sp_cdc_enable_db")?;
        Ok(simulated)
    }

    fn namespace(&self) -> String {
        "dbo".to_owned()
    }

    fn connector(&self) -> Result<Arc<dyn SourceConnector>, BackendError> {
        let uri = format!("mssql://sa:{}@localhost:{}/shop", self.password, self.proxy.port());
        let config = SqlServerConfig {
            tls: Tls { mode: TlsMode::Required, ..Tls::default() },
            poll_interval_ms: 20,
            capture_instances: CaptureInstances::Auto,
            ..SqlServerConfig::new(uri)
        };
        Ok(config.build("conformance")?)
    }

    async fn execute(&self, transaction: &[Operation]) -> Result<(), BackendError> {
        let statements: Vec<String> = transaction.iter().map(sql).collect();
        match (transaction, statements.as_slice()) {
            ([Operation::CreateTable { table, .. }], [one]) => {
                self.run(one)?;
                self.capture(table)
            }
            ([Operation::ChangeKey { table, .. }], [one]) => {
                // In one transaction, as Millstream makes instances as soon as there are none.
                self.run(&format!("BEGIN TRAN; {one}; COMMIT"))?;
                self.capture(table)
            }
            (_, [one]) => self.run(one),
            // A batch of their own each, as a column must be there when a batch that names it is compiled.
            (_, several) => self.run(&format!("BEGIN TRAN;\nGO\n{}\nGO\nCOMMIT", several.join("\nGO\n"))),
        }
    }

    async fn roll_back(&self, transaction: &[Operation]) -> Result<(), BackendError> {
        let statements: Vec<String> = transaction.iter().map(sql).collect();
        self.run(&format!("BEGIN TRAN;\nGO\n{}\nGO\nROLLBACK", statements.join("\nGO\n")))
    }

    fn types(&self) -> Vec<TypeCase> {
        let int = |literal: &'static str| (literal, Value::Int(literal.parse().unwrap()));
        let text = |literal: &'static str, delivered: &str| (literal, Value::text(delivered));
        vec![
            TypeCase::new("bit", [int("0"), int("1")]),
            TypeCase::new("tinyint", [int("0"), int("255")]),
            TypeCase::new("bigint", [int("-9223372036854775808"), int("9223372036854775807")]),
            TypeCase::new("decimal(20,4)", [text("-1234567890123456.5678", "-1234567890123456.5678")]),
            TypeCase::new("money", [text("-922337203685477.5808", "-922337203685477.5808")]),
            TypeCase::new("float", [("0.1", Value::Real(0.1)), ("-1.79E308", Value::Real(-1.79e308))]),
            TypeCase::new("real", [("0.1", Value::Real(0.1))]),
            TypeCase::new("nvarchar(40)", [text("N'Zürich ŧ→🦀'", "Zürich ŧ→🦀"), text("N''", "")]),
            TypeCase::new("varchar(10)", [text("'ab '", "ab ")]),
            TypeCase::new("nchar(4)", [text("N'ab'", "ab  ")]),
            TypeCase::new("varbinary(8)", [("0x00FF", Value::Blob(vec![0, 255]))]),
            TypeCase::new("date", [text("'2024-02-29'", "2024-02-29")]),
            TypeCase::new("time(7)", [text("'23:59:59.9999999'", "23:59:59.9999999")]),
            TypeCase::new("datetime", [text("'2024-02-29T12:34:56.003'", "2024-02-29T12:34:56.003Z")]),
            TypeCase::new("datetime2(7)", [text("'2024-02-29T12:34:56.1234567'", "2024-02-29T12:34:56.1234567Z")]),
        ]
    }

    fn proxy(&self) -> Option<&FaultProxy> {
        Some(&self.proxy)
    }

    /// All that was captured up to now is removed.
    async fn lose_log(&self) -> Result<(), BackendError> {
        self.scan()?;
        self.run(
            "DECLARE @low binary(10) = sys.fn_cdc_get_max_lsn(), @instance sysname; \
             DECLARE @instances TABLE (name sysname); \
             INSERT INTO @instances SELECT capture_instance FROM cdc.change_tables WHERE start_lsn < @low; \
             WHILE EXISTS (SELECT 1 FROM @instances) BEGIN \
                 SET @instance = (SELECT MIN(name) FROM @instances); \
                 EXEC sys.sp_cdc_cleanup_change_table @capture_instance = @instance, @low_water_mark = @low, \
                      @threshold = 5000; \
                 DELETE FROM @instances WHERE name = @instance; \
             END",
        )
    }

    async fn restart_source(&self, kill: bool) -> Result<(), BackendError> {
        let control = self.sim.control();
        if kill {
            tokio::task::block_in_place(|| control.crash())?;
        } else {
            control.kill_connections();
        }
        Ok(())
    }
}

conformance_suite!(Simulated);
