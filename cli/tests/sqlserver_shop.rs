//! A simulated SQL Server with a captured table, and a folder to follow it from.

use std::time::Duration;

use millstream_sqlserver_sim::{Options, Schedule, SqlServerSim};

use crate::workspace::Workspace;

/// The table is `dbo.t` of database `shop`, and has rows.
pub struct SqlServerShop {
    pub sim: SqlServerSim,
    pub workspace: Workspace,
}

impl SqlServerShop {
    /// `script` makes the table, `settings` are more lines of the source's configuration.
    pub fn new(schedule: Schedule, script: &str, settings: &str) -> Self {
        let options = Options { schedule, ..Options::default() };
        let sim = SqlServerSim::start(&options).unwrap();
        sim.run_script("CREATE DATABASE shop").unwrap();
        let workspace = Workspace::new();
        let config = format!(
            "sources:\n  - name: shop\n    type: sqlserver\n    uri: mssql://sa@localhost:{}/shop\n    \
             password: {}\n    tls:\n      mode: required\n    poll_interval_ms: 50\n{settings}",
            sim.address().port(),
            options.password
        );
        workspace.write("millstream.yaml", &config);
        workspace.write("sync-config.yaml", "bucket_definitions:\n  all:\n    data:\n      - SELECT * FROM t\n");
        let shop = Self { sim, workspace };
        shop.sql("EXEC sys.sp_cdc_enable_db");
        shop.sql(script);
        shop.capture("dbo_t");
        shop
    }

    /// As new, with a job that captures all the time.
    pub fn with_job(script: &str, settings: &str) -> Self {
        Self::new(Schedule::Every(Duration::from_millis(20)), script, settings)
    }

    /// Runs a batch in the database.
    pub fn sql(&self, script: &str) {
        self.sim.run_script(&format!("USE shop;\nGO\n{script}")).unwrap_or_else(|error| panic!("{error}\n{script}"));
    }

    /// Makes a capture instance of the table.
    pub fn capture(&self, instance: &str) {
        self.sql(&format!(
            "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N't', @role_name = NULL, \
             @capture_instance = N'{instance}', @supports_net_changes = 0"
        ));
    }
}
