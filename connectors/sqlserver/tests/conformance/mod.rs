//! The conformance suite, with Millstream making the capture instances.

mod sql;

use std::sync::Arc;

use async_trait::async_trait;
use millstream_core::source::SourceConnector;
use millstream_sqlserver::{CaptureInstances, SqlServerConfig};
use millstream_testkit::FaultProxy;
use millstream_testkit::conformance::{Backend, BackendError, Capability, Operation, TypeCase, Value};

use crate::server::{CapturedDatabase, forgets_at_restart};
use sql::sql;

/// On a simulated SQL Server, or one in a container.
mod sqlserver {
    use millstream_testkit::conformance_suite;

    use super::SqlServer;

    conformance_suite!(SqlServer);
}

/// A database of a case's own.
struct SqlServer {
    database: CapturedDatabase,
    proxy: FaultProxy,
}

const LACKS: [(Capability, &str); 3] = [
    (Capability::Truncate, "the server refuses it while the table is captured"),
    (Capability::RenameColumn, "the server refuses it while the column is captured"),
    (Capability::RenamesInLog, "change data capture has no word of a table's name"),
];
const SIMULATOR_IMAGE_LACKS: [(Capability, &str); 4] = [
    LACKS[0],
    LACKS[1],
    LACKS[2],
    (Capability::RestartSource, "the simulated server in a container keeps nothing when it ends"),
];

#[async_trait]
impl Backend for SqlServer {
    const NAME: &'static str = "sqlserver";

    fn lacks() -> &'static [(Capability, &'static str)] {
        if forgets_at_restart() { &SIMULATOR_IMAGE_LACKS } else { &LACKS }
    }

    async fn start(needs: &[Capability]) -> Result<Self, BackendError> {
        let database = CapturedDatabase::start(needs.contains(&Capability::RestartSource)).await?;
        let proxy = FaultProxy::start(([127, 0, 0, 1], database.port()).into()).await?;
        Ok(Self { database, proxy })
    }

    fn namespace(&self) -> String {
        "dbo".to_owned()
    }

    fn connector(&self) -> Result<Arc<dyn SourceConnector>, BackendError> {
        let config =
            SqlServerConfig { capture_instances: CaptureInstances::Auto, ..self.database.config(self.proxy.port()) };
        Ok(config.build("conformance")?)
    }

    async fn execute(&self, transaction: &[Operation]) -> Result<(), BackendError> {
        let statements: Vec<String> = transaction.iter().map(sql).collect();
        match (transaction, statements.as_slice()) {
            ([Operation::CreateTable { table, .. }], [one]) => {
                self.database.run(one).await?;
                self.database.capture(table).await
            }
            ([Operation::ChangeKey { table, .. }], several) => {
                // In one transaction, as Millstream makes instances as soon as there are none.
                self.database.transact(several, true).await?;
                self.database.capture(table).await
            }
            (_, [one]) => self.database.run(one).await,
            (_, several) => self.database.transact(several, true).await,
        }
    }

    async fn roll_back(&self, transaction: &[Operation]) -> Result<(), BackendError> {
        let statements: Vec<String> = transaction.iter().map(sql).collect();
        self.database.transact(&statements, false).await
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

    async fn lose_log(&self) -> Result<(), BackendError> {
        self.database.forget_changes().await
    }

    async fn restart_source(&self, kill: bool) -> Result<(), BackendError> {
        self.database.restart_server(kill).await
    }
}
