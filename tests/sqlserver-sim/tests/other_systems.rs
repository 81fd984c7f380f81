//! What other systems ask of a server whose changes they follow, in the form in which they ask it.

use std::time::Duration;

use millstream_sqlserver_sim::{Options, Schedule, SqlServerSim};
use tiberius::Row;

use crate::client::{Tiberius, config, connect_with};

const SETUP: &str = "
CREATE DATABASE shop;
ALTER DATABASE shop SET ALLOW_SNAPSHOT_ISOLATION ON;
GO
USE shop;
EXEC sys.sp_cdc_enable_db;
GO
CREATE TABLE dbo.orders (id int NOT NULL PRIMARY KEY, note nvarchar(50) NULL, total decimal(10,2) NOT NULL);
CREATE TABLE dbo.items (id int NOT NULL PRIMARY KEY, order_id int NOT NULL);
EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'orders', @role_name = NULL;
EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'items', @role_name = NULL;
GO
";

/// Each a transaction of its own.
const CHANGES: [&str; 3] = [
    "INSERT INTO dbo.orders VALUES (1, N'first', 10), (2, N'second', 20)",
    "BEGIN TRAN; UPDATE dbo.orders SET note = N'changed' WHERE id = 1; INSERT INTO dbo.items VALUES (1, 1); COMMIT",
    "DELETE FROM dbo.orders WHERE id = 2",
];

async fn shop() -> (SqlServerSim, Tiberius) {
    let sim = SqlServerSim::start(&Options { schedule: Schedule::ByHand, ..Options::default() }).unwrap();
    sim.run_script(SETUP).unwrap();
    sim.control().scan("shop").unwrap();
    for change in CHANGES {
        sim.run_script(&format!("USE shop; {change}")).unwrap();
        // Cleanup takes what ended at one time together.
        sim.control().advance_clock(Duration::from_secs(1));
    }
    sim.control().scan("shop").unwrap();
    let mut config = config(&sim);
    config.database("shop");
    let client = connect_with(config).await.unwrap();
    (sim, client)
}

async fn rows(client: &mut Tiberius, sql: &str, parameters: &[&dyn tiberius::ToSql]) -> Vec<Row> {
    let stream = client.query(sql, parameters).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    stream.into_first_result().await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

async fn lsn(client: &mut Tiberius, sql: &str, parameters: &[&dyn tiberius::ToSql]) -> Vec<u8> {
    rows(client, sql, parameters).await[0].get::<&[u8], _>(0).unwrap_or_else(|| panic!("{sql} is NULL")).to_vec()
}

fn operations(rows: &[Row]) -> Vec<i32> {
    rows.iter().map(|row| row.get::<i32, _>("__$operation").unwrap()).collect()
}

#[tokio::test]
async fn debezium() {
    let (_sim, mut client) = shop().await;
    let max = lsn(
        &mut client,
        "SELECT MAX(start_lsn) FROM [shop].cdc.lsn_time_mapping WITH (NOLOCK) WHERE tran_id <> 0x00",
        &[],
    )
    .await;
    let first = lsn(
        &mut client,
        "SELECT MAX(start_lsn) FROM (SELECT TOP (@P1 + 0) start_lsn FROM [shop].cdc.lsn_time_mapping \
         WHERE tran_id <> 0x00 ORDER BY start_lsn) AS next_lsns",
        &[&1],
    )
    .await;
    let next = lsn(
        &mut client,
        "SELECT MAX(start_lsn) FROM (SELECT TOP (@P1 + 1) start_lsn FROM [shop].cdc.lsn_time_mapping \
         WHERE start_lsn >= @P2 AND tran_id <> 0x00 ORDER BY start_lsn) AS next_lsns",
        &[&1, &first],
    )
    .await;
    assert!(first < next && next < max);
    let after = lsn(&mut client, "SELECT [shop].sys.fn_cdc_increment_lsn(@P1)", &[&first]).await;
    assert_eq!(after[..9], first[..9]);
    assert_eq!(after[9], first[9] + 1);

    let instances = rows(
        &mut client,
        "WITH ordered_change_tables AS (SELECT ROW_NUMBER() OVER (PARTITION BY ct.source_object_id, ct.start_lsn \
         ORDER BY ct.create_date DESC) AS ct_sequence, ct.* FROM [shop].cdc.change_tables AS ct WITH (NOLOCK) \
         WHERE ct.start_lsn <= @P1) \
         SELECT OBJECT_SCHEMA_NAME(source_object_id, DB_ID(@P2)), OBJECT_NAME(source_object_id, DB_ID(@P2)), \
         capture_instance, object_id, start_lsn FROM ordered_change_tables WHERE ct_sequence = 1",
        &[&max, &"shop"],
    )
    .await;
    let mut named: Vec<_> =
        instances.iter().map(|row| (row.get::<&str, _>(0), row.get::<&str, _>(1), row.get::<&str, _>(2))).collect();
    named.sort_unstable();
    assert_eq!(
        named,
        [(Some("dbo"), Some("items"), Some("dbo_items")), (Some("dbo"), Some("orders"), Some("dbo_orders"))]
    );
    let columns = rows(
        &mut client,
        "SELECT object_id, column_name FROM [shop].cdc.captured_columns ORDER BY object_id, column_id",
        &[],
    )
    .await;
    assert_eq!(columns.len(), 5);

    let min = lsn(&mut client, "SELECT [shop].sys.fn_cdc_get_min_lsn(N'dbo_orders')", &[]).await;
    let changes = rows(
        &mut client,
        "SELECT *, TODATETIMEOFFSET([shop].sys.fn_cdc_map_lsn_to_time([__$start_lsn]), \
         DATEPART(TZOFFSET, SYSDATETIMEOFFSET())) FROM [shop].cdc.[fn_cdc_get_all_changes_dbo_orders](@P1, @P2, \
         N'all update old') ORDER BY [__$start_lsn] ASC, [__$seqval] ASC, [__$operation] ASC",
        &[&min, &max],
    )
    .await;
    assert_eq!(operations(&changes), [2, 2, 3, 4, 1]);
    let direct = rows(
        &mut client,
        "SELECT TOP 10000 c.[__$start_lsn], c.[__$seqval], c.[__$operation], c.[__$update_mask], c.[id], c.[note], \
         m.tran_end_time FROM [shop].cdc.[dbo_orders_CT] AS c LEFT JOIN [shop].cdc.lsn_time_mapping AS m \
         ON m.start_lsn = c.[__$start_lsn] WHERE c.[__$start_lsn] >= @P1 AND c.[__$start_lsn] <= @P2 \
         ORDER BY c.[__$start_lsn], c.[__$command_id], c.[__$seqval], c.[__$operation]",
        &[&min, &max],
    )
    .await;
    assert_eq!(operations(&direct), [2, 2, 3, 4, 1]);

    let agent = rows(
        &mut client,
        "SELECT CASE WHEN dss.[status] = 4 THEN 1 ELSE 0 END AS isRunning FROM [shop].sys.dm_server_services dss \
         WHERE dss.[servicename] LIKE N'SQL Server Agent (%'",
        &[],
    )
    .await;
    assert_eq!(agent.len(), 1);
    let locked = rows(&mut client, "SELECT * FROM [shop].[dbo].[orders] WITH (TABLOCKX) WHERE 0 = 1", &[]).await;
    assert!(locked.is_empty());
}

#[tokio::test]
async fn estuary() {
    let (_sim, mut client) = shop().await;
    let max = lsn(&mut client, "SELECT MAX(start_lsn) FROM cdc.lsn_time_mapping", &[]).await;
    let busy = rows(
        &mut client,
        "SELECT 'dbo_orders' AS name, MAX(__$start_lsn) AS lsn FROM [cdc].[dbo_orders_CT] \
         UNION ALL SELECT 'dbo_items' AS name, MAX(__$start_lsn) AS lsn FROM [cdc].[dbo_items_CT]",
        &[],
    )
    .await;
    assert_eq!(busy.len(), 2);
    let min = lsn(&mut client, "SELECT sys.fn_cdc_get_min_lsn(@P1)", &[&"dbo_items"]).await;
    let changes =
        rows(&mut client, "SELECT * FROM cdc.fn_cdc_get_all_changes_dbo_items(@P1, @P2, N'all')", &[&min, &max]).await;
    assert_eq!(operations(&changes), [2]);
    let discovered = rows(
        &mut client,
        "SELECT IC.TABLE_SCHEMA, IC.TABLE_NAME, IC.COLUMN_NAME, IC.ORDINAL_POSITION, IC.IS_NULLABLE, IC.DATA_TYPE, \
         IC.CHARACTER_MAXIMUM_LENGTH, IC.COLLATION_NAME FROM INFORMATION_SCHEMA.COLUMNS AS IC \
         JOIN INFORMATION_SCHEMA.TABLES AS IT ON IT.TABLE_SCHEMA = IC.TABLE_SCHEMA AND IT.TABLE_NAME = IC.TABLE_NAME \
         WHERE IC.TABLE_SCHEMA = 'dbo' AND IC.TABLE_NAME <> 'systranschemas' ORDER BY IC.TABLE_NAME, IC.ORDINAL_POSITION",
        &[],
    )
    .await;
    let names: Vec<_> = discovered.iter().filter_map(|row| row.get::<&str, _>("COLUMN_NAME")).collect();
    assert_eq!(names, ["id", "order_id", "id", "note", "total"]);
    let keys = rows(
        &mut client,
        "SELECT KCU.TABLE_SCHEMA, KCU.TABLE_NAME, KCU.COLUMN_NAME, KCU.ORDINAL_POSITION \
         FROM INFORMATION_SCHEMA.KEY_COLUMN_USAGE KCU JOIN INFORMATION_SCHEMA.TABLE_CONSTRAINTS TCS \
         ON TCS.CONSTRAINT_NAME = KCU.CONSTRAINT_NAME AND TCS.CONSTRAINT_CATALOG = KCU.CONSTRAINT_CATALOG \
         AND TCS.CONSTRAINT_SCHEMA = KCU.CONSTRAINT_SCHEMA AND TCS.TABLE_NAME = KCU.TABLE_NAME \
         WHERE TCS.CONSTRAINT_TYPE = 'PRIMARY KEY' ORDER BY KCU.TABLE_SCHEMA, KCU.TABLE_NAME, KCU.ORDINAL_POSITION",
        &[],
    )
    .await;
    assert_eq!(keys.iter().filter(|row| row.get::<&str, _>(0) == Some("dbo")).count(), 2);
    rows(
        &mut client,
        "SELECT TOP 1 session_id, start_time, end_time, scan_phase, error_count, tran_count, start_lsn, \
         empty_scan_count FROM sys.dm_cdc_log_scan_sessions WHERE session_id > 0 ORDER BY session_id DESC",
        &[],
    )
    .await;
    let jobs = rows(&mut client, "EXEC sys.sp_cdc_help_jobs", &[]).await;
    assert_eq!(jobs.len(), 2);
    let history = rows(
        &mut client,
        "SELECT ct.capture_instance, ct.create_date, ct.start_lsn, (SELECT COUNT(*) FROM cdc.ddl_history h \
         WHERE h.object_id = ct.object_id) AS alterations FROM cdc.change_tables ct",
        &[],
    )
    .await;
    assert_eq!(history.len(), 2);
    client
        .execute(
            "DECLARE @mark binary(10) = @P2; \
             EXEC sys.sp_cdc_cleanup_change_table @capture_instance = @P1, @low_water_mark = @mark",
            &[&"dbo_orders", &max],
        )
        .await
        .unwrap();
    let left = rows(&mut client, "SELECT COUNT(*) FROM cdc.dbo_orders_CT", &[]).await;
    assert_eq!(left[0].get::<i32, _>(0), Some(1));
}

#[tokio::test]
async fn materialize() {
    let (sim, mut client) = shop().await;
    let settings = rows(
        &mut client,
        "SELECT is_cdc_enabled, snapshot_isolation_state FROM sys.databases WHERE database_id = DB_ID()",
        &[],
    )
    .await;
    assert_eq!((settings[0].get::<bool, _>(0), settings[0].get::<u8, _>(1)), (Some(true), Some(1)));
    let tables = rows(
        &mut client,
        "SELECT s.name AS schema_name, t.name AS table_name, ch.capture_instance, ch.create_date, c.name AS col_name, \
         c.is_nullable, typ.name AS col_type, c.max_length, c.precision, c.scale, c.is_computed, \
         tc.constraint_name FROM sys.tables t JOIN sys.schemas s ON t.schema_id = s.schema_id \
         JOIN sys.columns c ON t.object_id = c.object_id JOIN sys.types typ ON c.user_type_id = typ.user_type_id \
         JOIN cdc.change_tables ch ON t.object_id = ch.source_object_id \
         LEFT JOIN information_schema.key_column_usage kc ON kc.table_schema = s.name AND kc.table_name = t.name \
         AND kc.column_name = c.name \
         LEFT JOIN information_schema.table_constraints tc ON tc.constraint_catalog = kc.constraint_catalog \
         AND tc.constraint_schema = kc.constraint_schema AND tc.constraint_name = kc.constraint_name \
         AND tc.table_name = kc.table_name WHERE t.name = 'orders' ORDER BY c.column_id",
        &[],
    )
    .await;
    let types: Vec<_> = tables.iter().filter_map(|row| row.get::<&str, _>("col_type")).collect();
    assert_eq!(types, ["int", "nvarchar", "decimal"]);

    // One connection holds the table while another takes a version of it.
    let mut lock_config = config(&sim);
    lock_config.database("shop");
    let mut locker = connect_with(lock_config).await.unwrap();
    locker.simple_query("BEGIN TRANSACTION").await.unwrap().into_results().await.unwrap();
    rows(&mut locker, "SELECT TOP 1 * FROM dbo.orders WITH (TABLOCK, HOLDLOCK)", &[]).await;
    client
        .simple_query("SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRANSACTION")
        .await
        .unwrap()
        .into_results()
        .await
        .unwrap();
    rows(&mut client, "SELECT TOP 1 object_id FROM cdc.change_tables", &[]).await;
    client.simple_query("SAVE TRANSACTION here").await.unwrap().into_results().await.unwrap();
    let at = rows(
        &mut client,
        "SELECT dt.database_transaction_most_recent_savepoint_lsn FROM sys.dm_tran_database_transactions dt \
         JOIN sys.dm_tran_current_transaction ct ON dt.transaction_id = ct.transaction_id \
         WHERE dt.database_id = DB_ID()",
        &[],
    )
    .await;
    assert_eq!(at.len(), 1);
    assert!(at[0].get::<tiberius::numeric::Numeric, _>(0).is_some_and(|lsn| lsn.value() > 0));
    locker.simple_query("ROLLBACK TRANSACTION").await.unwrap().into_results().await.unwrap();
    sim.run_script("USE shop; INSERT INTO dbo.orders VALUES (3, NULL, 30)").unwrap();
    assert_eq!(rows(&mut client, "SELECT id FROM dbo.orders", &[]).await.len(), 1, "the version is from before");
    client.simple_query("COMMIT TRANSACTION").await.unwrap().into_results().await.unwrap();

    let max = lsn(&mut client, "SELECT sys.fn_cdc_get_max_lsn()", &[]).await;
    let min = lsn(&mut client, "SELECT sys.fn_cdc_get_min_lsn(@P1)", &[&"dbo_orders"]).await;
    let changes = rows(
        &mut client,
        "SELECT * FROM cdc.[fn_cdc_get_all_changes_dbo_orders](@P1, @P2, N'all update old')",
        &[&min, &max],
    )
    .await;
    assert_eq!(changes.len(), 5);
    sim.run_script("USE shop; ALTER TABLE dbo.orders ADD extra int NULL").unwrap();
    sim.control().scan("shop").unwrap();
    let history = rows(
        &mut client,
        "SELECT d.ddl_lsn, d.ddl_command, ct.capture_instance FROM cdc.ddl_history d JOIN cdc.change_tables ct \
         ON ct.object_id = d.object_id WHERE d.ddl_lsn >= @P1 ORDER BY d.ddl_lsn",
        &[&max],
    )
    .await;
    assert_eq!(history.len(), 1);
    assert!(history[0].get::<&str, _>(1).unwrap().contains("ADD extra int NULL"));
}

#[tokio::test]
async fn powersync() {
    let (_sim, mut client) = shop().await;
    let server = rows(
        &mut client,
        "SELECT CAST(SERVERPROPERTY('EngineEdition') AS int) AS edition, \
         CAST(PARSENAME(CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)), 4) AS int) AS major",
        &[],
    )
    .await;
    assert_eq!((server[0].get::<i32, _>(0), server[0].get::<i32, _>(1)), (Some(3), Some(16)));
    let enabled = rows(&mut client, "SELECT is_cdc_enabled FROM sys.databases WHERE name = DB_NAME()", &[]).await;
    assert_eq!(enabled[0].get::<bool, _>(0), Some(true));
    let rights = rows(
        &mut client,
        "SELECT IS_SRVROLEMEMBER('sysadmin') AS a, IS_MEMBER('db_owner') AS b, \
         HAS_PERMS_BY_NAME(NULL, 'DATABASE', 'VIEW DATABASE STATE') AS c",
        &[],
    )
    .await;
    assert_eq!(rights[0].get::<i32, _>("a"), Some(1));
    let tracked = rows(
        &mut client,
        "SELECT sch.name AS [schema], tbl.name AS [table], tbl.object_id, ct.capture_instance, ct.start_lsn \
         FROM sys.tables tbl INNER JOIN sys.schemas sch ON tbl.schema_id = sch.schema_id \
         LEFT JOIN cdc.change_tables ct ON ct.source_object_id = tbl.object_id \
         WHERE tbl.is_tracked_by_cdc = 1 AND sch.name = @P1 AND tbl.name LIKE @P2 ORDER BY tbl.name",
        &[&"dbo", &"%"],
    )
    .await;
    assert_eq!(tracked.len(), 2);
    let key = rows(
        &mut client,
        "SELECT col.name, typ.name AS type FROM sys.indexes idx \
         JOIN sys.index_columns ic ON ic.object_id = idx.object_id AND ic.index_id = idx.index_id \
         JOIN sys.columns col ON col.object_id = ic.object_id AND col.column_id = ic.column_id \
         JOIN sys.types typ ON typ.user_type_id = col.user_type_id \
         WHERE idx.is_primary_key = 1 AND idx.object_id = OBJECT_ID(@P1) ORDER BY ic.key_ordinal",
        &[&"dbo.orders"],
    )
    .await;
    assert_eq!(key[0].get::<&str, _>(0), Some("id"));
    let instances = rows(&mut client, "EXEC sys.sp_cdc_help_change_data_capture", &[]).await;
    assert_eq!(instances.len(), 2);

    client
        .simple_query(
            "IF NOT EXISTS (SELECT 1 FROM sys.tables WHERE name = '_powersync_checkpoints') BEGIN \
             CREATE TABLE dbo._powersync_checkpoints (id int IDENTITY PRIMARY KEY, last_updated datetime NOT NULL \
             DEFAULT (GETDATE())) END",
        )
        .await
        .unwrap()
        .into_results()
        .await
        .unwrap();
    client
        .simple_query(
            "MERGE dbo._powersync_checkpoints AS target USING (SELECT 1 AS id) AS source ON target.id = source.id \
             WHEN MATCHED THEN UPDATE SET last_updated = GETDATE() \
             WHEN NOT MATCHED THEN INSERT (last_updated) VALUES (GETDATE());",
        )
        .await
        .unwrap()
        .into_results()
        .await
        .unwrap();
    assert_eq!(rows(&mut client, "SELECT * FROM dbo._powersync_checkpoints", &[]).await.len(), 1);
    let below = "SELECT * FROM cdc.fn_cdc_get_all_changes_dbo_orders(0x00000000000000000001, \
                 sys.fn_cdc_get_max_lsn(), 'all update old')";
    // The columns may come before the error does.
    let refused = match client.query(below, &[]).await {
        Ok(stream) => stream.into_results().await.err(),
        Err(error) => Some(error),
    };
    let Some(error) = refused else { panic!("an LSN below the least was taken") };
    assert_eq!(error.code(), Some(313));
}
