//! Estuary: change tables whose greatest LSN has moved, instances that it makes itself, cleanup of what it has.

use super::{Lsns, Statement, follow, hex, statement};

fn setting_up(_: &Lsns) -> Vec<Statement> {
    vec![
        statement("edition", "SELECT SERVERPROPERTY('EngineEdition');").gives_rows(1),
        statement("version", "SELECT SERVERPROPERTY('productversion');").gives_rows(1),
        statement("capture", "SELECT name, is_cdc_enabled FROM sys.databases WHERE name = db_name()")
            .gives_all(&[0, 1], &[&["shop", "1"]]),
        statement("a capture that is there", "EXEC sys.sp_cdc_enable_db;"),
        statement("the right to clean up", "SELECT IS_ROLEMEMBER('db_owner');").gives(&["1"]),
        statement(
            "a replica or not",
            "SELECT CASE WHEN EXISTS (SELECT 1 FROM sys.dm_hadr_database_replica_states \
             WHERE is_local = 1 AND is_primary_replica = 0) THEN 1 ELSE 0 END AS is_replica;",
        )
        .gives(&["0"]),
        statement(
            "the table of watermarks",
            "IF OBJECT_ID('dbo.flow_watermarks', 'U') IS NULL \
             CREATE TABLE dbo.flow_watermarks (slot INTEGER PRIMARY KEY, watermark TEXT)",
        ),
        statement(
            "a watermark",
            "BEGIN TRANSACTION; \
             UPDATE dbo.flow_watermarks SET watermark = @mark WHERE slot = @slot; \
             IF @@ROWCOUNT = 0 INSERT INTO dbo.flow_watermarks (slot, watermark) VALUES (@slot, @mark); \
             COMMIT TRANSACTION;",
        )
        .with("mark", "existence-check")
        .with("slot", 1),
        statement(
            "its capture",
            "EXEC sys.sp_cdc_enable_table @source_schema = @schema, @source_name = @table, @role_name = @user, \
             @capture_instance = @instance;",
        )
        .with("schema", "dbo")
        .with("table", "flow_watermarks")
        .with("user", "flow_capture")
        .with("instance", "dbo_flow_watermarks_1234ABCD_1700000000"),
        statement("rows estimated", "SELECT SUM(p.rows) FROM sys.partitions p JOIN sys.tables t ON p.object_id = t.object_id \
             JOIN sys.schemas s ON t.schema_id = s.schema_id WHERE s.name = @schema AND t.name = @table AND p.index_id IN (0, 1)")
            .with("schema", "dbo")
            .with("table", "orders")
            .gives(&["1"]),
    ]
}

const OF_TABLES: &str =
    "((table_schema = @schema AND table_name = @first) OR (table_schema = @schema AND table_name = @second))";

fn discovered(what: &'static str, sql: &str) -> Statement {
    statement(what, &sql.replace("{tables}", OF_TABLES))
        .with("schema", "dbo")
        .with("first", "items")
        .with("second", "orders")
}

fn discovery(_: &Lsns) -> Vec<Statement> {
    vec![
        statement(
            "tables",
            "SELECT table_schema, table_name FROM information_schema.tables \
             WHERE table_schema != 'information_schema' AND table_schema != 'performance_schema' \
             AND table_schema != 'sys' AND table_schema != 'cdc' AND table_name != 'systranschemas';",
        )
        .gives_all(&[0, 1], &[&["dbo", "orders"], &["dbo", "items"]]),
        statement(
            "captured tables",
            "SELECT DISTINCT IST.TABLE_SCHEMA, IST.TABLE_NAME FROM cdc.change_tables ct \
             JOIN sys.tables tbl ON ct.source_object_id = tbl.object_id \
             JOIN sys.schemas sch ON tbl.schema_id = sch.schema_id \
             JOIN INFORMATION_SCHEMA.TABLES IST ON IST.TABLE_SCHEMA = sch.name AND IST.TABLE_NAME = tbl.name \
             WHERE IST.TABLE_SCHEMA NOT IN ('INFORMATION_SCHEMA', 'PERFORMANCE_SCHEMA', 'SYS', 'CDC') \
             AND IST.TABLE_NAME != 'SYSTRANSCHEMAS';",
        )
        .gives_rows(2),
        discovered("kinds of tables", "SELECT table_schema, table_name, table_type FROM information_schema.tables WHERE {tables};")
            .gives_in(2, &["BASE TABLE", "BASE TABLE"]),
        discovered(
            "columns",
            "SELECT table_schema, table_name, ordinal_position, column_name, is_nullable, data_type, collation_name, \
             character_maximum_length FROM information_schema.columns WHERE {tables} \
             ORDER BY table_schema, table_name, ordinal_position;",
        )
        .gives_all(
            &[1, 2, 3, 5, 7],
            &[
                &["items", "1", "id", "int", "NULL"],
                &["items", "2", "order_id", "int", "NULL"],
                &["orders", "1", "id", "int", "NULL"],
                &["orders", "2", "note", "nvarchar", "50"],
                &["orders", "3", "total", "decimal", "NULL"],
                &["orders", "4", "twice", "decimal", "NULL"],
            ],
        ),
        statement(
            "keys",
            "SELECT kcu.table_schema, kcu.table_name, kcu.column_name, kcu.ordinal_position \
             FROM information_schema.key_column_usage kcu JOIN information_schema.table_constraints tcs \
             ON tcs.constraint_catalog = kcu.constraint_catalog AND tcs.constraint_schema = kcu.constraint_schema \
             AND tcs.constraint_name = kcu.constraint_name AND tcs.table_catalog = kcu.table_catalog \
             AND tcs.table_schema = kcu.table_schema AND tcs.table_name = kcu.table_name \
             WHERE tcs.constraint_type = 'PRIMARY KEY' AND kcu.table_schema = @schema \
             ORDER BY kcu.table_schema, kcu.table_name, kcu.ordinal_position;",
        )
        .with("schema", "dbo")
        .gives_all(&[1, 2, 3], &[&["items", "id", "1"], &["orders", "id", "1"]]),
        statement(
            "unique indexes",
            "SELECT sch.name, tbl.name, COALESCE(idx.name, 'null'), COL_NAME(ic.object_id,ic.column_id), ic.key_ordinal \
             FROM sys.indexes idx JOIN sys.tables tbl ON tbl.object_id = idx.object_id \
             JOIN sys.schemas sch ON sch.schema_id = tbl.schema_id \
             JOIN sys.index_columns ic ON ic.index_id = idx.index_id AND ic.object_id = tbl.object_id \
             WHERE ic.key_ordinal != 0 AND idx.is_unique = 1 AND sch.name NOT IN ('cdc') AND tbl.name <> 'systranschemas' \
             ORDER BY sch.name, tbl.name, idx.name, ic.key_ordinal;",
        )
        .gives_all(&[1, 3, 4], &[&["items", "id", "1"], &["orders", "id", "1"]]),
        statement(
            "computed columns",
            "SELECT sch.name, tbl.name, col.name FROM sys.columns col JOIN sys.tables tbl ON tbl.object_id = col.object_id \
             JOIN sys.schemas sch ON sch.schema_id = tbl.schema_id WHERE col.is_computed = 1 AND sch.name = @schema;",
        )
        .with("schema", "dbo")
        .gives_in(2, &["twice"]),
        statement("a first chunk", "SELECT TOP 50000 * FROM [dbo].[orders] ORDER BY [id];").gives(&["1"]),
        statement("a chunk", "SELECT TOP 50000 * FROM [dbo].[orders] WHERE ([id] > @after) ORDER BY [id];")
            .with("after", 1)
            .gives_rows(0),
    ]
}

fn changes(lsns: &Lsns) -> Vec<Statement> {
    let (from, to) = (&lsns.low, lsns.max());
    vec![
        statement("the upper bound", "SELECT MAX(start_lsn) FROM cdc.lsn_time_mapping;").gives(&[&hex(to)]),
        statement(
            "instances",
            "SELECT ct.capture_instance, sch.name, tbl.name, ct.start_lsn, ct.create_date, ct.role_name \
             FROM cdc.change_tables AS ct JOIN sys.tables AS tbl ON ct.source_object_id = tbl.object_id \
             JOIN sys.schemas AS sch ON tbl.schema_id = sch.schema_id;",
        )
        .gives_all(&[0, 1, 2, 5], &[&["dbo_orders", "dbo", "orders", "NULL"], &["dbo_items", "dbo", "items", "NULL"]]),
        statement(
            "instances that have moved",
            "SELECT 0 AS idx, MAX(__$start_lsn) AS lsn FROM [cdc].[dbo_orders_CT] UNION ALL \
             SELECT 1 AS idx, MAX(__$start_lsn) AS lsn FROM [cdc].[dbo_items_CT]",
        )
        .gives_all(&[0, 1], &[&["0", &hex(to)], &["1", &hex(&lsns.commits[1])]]),
        statement("changes", "SELECT * FROM cdc.fn_cdc_get_all_changes_dbo_orders(@from, @to, N'all');")
            .with("from", from)
            .with("to", to)
            .gives_in(2, &["2", "2", "4", "1"]),
        statement("changes of nothing new", "SELECT * FROM cdc.fn_cdc_get_all_changes_dbo_items(@from, @to, N'all');")
            .with("from", to)
            .with("to", to)
            .gives_rows(0),
        statement(
            "the capture job",
            "SELECT job_id, database_id, maxtrans, maxscans, continuous, pollinginterval FROM msdb.dbo.cdc_jobs \
             WHERE database_id = DB_ID()",
        )
        .gives_in(2, &["500", "0"]),
        statement(
            "a fence",
            "SELECT TOP 1 session_id, start_time, end_time, scan_phase, error_count, tran_count, start_lsn, \
             empty_scan_count FROM sys.dm_cdc_log_scan_sessions WHERE session_id > 0 ORDER BY session_id DESC",
        )
        .gives_all(&[3, 4, 5, 7], &[&["Done", "0", "3", "0"]]),
    ]
}

fn instances(lsns: &Lsns) -> Vec<Statement> {
    let history = "SELECT sch.name, tbl.name, hist.required_column_update, hist.ddl_command, hist.ddl_lsn, hist.ddl_time \
         FROM cdc.ddl_history AS hist JOIN sys.tables AS tbl ON hist.source_object_id = tbl.object_id \
         JOIN sys.schemas AS sch ON tbl.schema_id = sch.schema_id ORDER BY hist.ddl_lsn;";
    vec![
        statement("no history", history).gives_rows(0),
        statement("a change of the table", "ALTER TABLE dbo.orders ADD extra int NULL"),
        statement("a scan", "EXEC sys.sp_cdc_scan @maxtrans = 500, @maxscans = 1, @continuous = 0"),
        statement("history", history)
            .gives_all(&[1, 2, 3], &[&["orders", "0", "ALTER TABLE dbo.orders ADD extra int NULL"]]),
        statement(
            "a new instance",
            "EXEC sys.sp_cdc_enable_table @source_schema = @schema, @source_name = @table, @capture_instance = @instance, \
             @role_name = @role;",
        )
        .with("schema", "dbo")
        .with("table", "orders")
        .with("instance", "dbo_orders_F00DCAFE_1700000000")
        .with("role", "flow_capture"),
        statement("another scan", "EXEC sys.sp_cdc_scan @maxtrans = 500, @maxscans = 1, @continuous = 0"),
        statement(
            "both",
            "SELECT capture_instance, CASE WHEN start_lsn > @max THEN 1 ELSE 0 END FROM cdc.change_tables \
             WHERE source_object_id = OBJECT_ID('dbo.orders') ORDER BY create_date, capture_instance",
        )
        .with("max", lsns.max())
        .gives_all(&[0, 1], &[&["dbo_orders", "0"], &["dbo_orders_F00DCAFE_1700000000", "1"]]),
        statement(
            "a third",
            "EXEC sys.sp_cdc_enable_table @source_schema = 'dbo', @source_name = 'orders', @capture_instance = 'third', \
             @role_name = NULL",
        )
        .fails(22962),
        statement(
            "the old one's end",
            "EXEC sys.sp_cdc_disable_table @source_schema = @schema, @source_name = @table, @capture_instance = @instance;",
        )
        .with("schema", "dbo")
        .with("table", "orders")
        .with("instance", "dbo_orders"),
        statement("no history of the new one", history).gives_rows(0),
    ]
}

fn cleanup(lsns: &Lsns) -> Vec<Statement> {
    let clean = |below: &[u8]| {
        format!(
            "EXEC sys.sp_cdc_cleanup_change_table @capture_instance = @instance, @low_water_mark = 0x{}; ",
            hex(below)
        )
    };
    let unknown = [&lsns.commits[1][..9], &[lsns.commits[1][9] + 1]].concat();
    vec![
        statement("cleanup", &clean(&lsns.commits[1])).with("instance", "dbo_orders"),
        statement(
            "what is left",
            "SELECT __$operation FROM cdc.dbo_orders_CT ORDER BY __$start_lsn, __$operation DESC",
        )
        .gives(&["4", "3", "1"]),
        statement("the low end", "SELECT sys.fn_cdc_get_min_lsn('dbo_orders')").gives(&[&hex(&lsns.commits[1])]),
        statement("a mark that isn't a commit", &clean(&unknown)).with("instance", "dbo_orders").fails(22964),
        statement("a mark below the interval", &clean(&lsns.commits[0])).with("instance", "dbo_orders").fails(22957),
        statement("changes that are gone", "SELECT * FROM cdc.fn_cdc_get_all_changes_dbo_orders(@from, @to, N'all');")
            .with("from", &lsns.low)
            .with("to", lsns.max())
            .fails(313),
    ]
}

#[test]
fn estuary_sets_up() {
    follow(setting_up);
}

#[test]
fn estuary_discovers_and_backfills() {
    follow(discovery);
}

#[test]
fn estuary_reads_changes() {
    follow(changes);
}

#[test]
fn estuary_makes_and_drops_instances() {
    follow(instances);
}

#[test]
fn estuary_cleans_up() {
    follow(cleanup);
}
