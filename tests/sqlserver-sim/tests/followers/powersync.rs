//! PowerSync: procedures that tell of instances, the end of the log as a checkpoint, a table of its own.

use super::{Lsns, Statement, follow, hex, statement};

fn configuration(_: &Lsns) -> Vec<Statement> {
    let key = |kind: &str| {
        statement(
            "identity",
            &format!(
                "SELECT col.name AS [name], typ.name AS [type], typ.system_type_id AS type_id, \
                 typ.user_type_id AS user_type_id FROM sys.tables AS tbl \
                 JOIN sys.schemas AS sch ON sch.schema_id = tbl.schema_id \
                 JOIN sys.indexes AS idx ON idx.object_id = tbl.object_id AND idx.{kind} = 1 \
                 JOIN sys.index_columns AS idx_col ON idx_col.object_id = idx.object_id AND idx_col.index_id = idx.index_id \
                 JOIN sys.columns AS col ON col.object_id = idx_col.object_id AND col.column_id = idx_col.column_id \
                 JOIN sys.types AS typ ON typ.user_type_id = col.user_type_id \
                 WHERE sch.name = @schema AND tbl.name = @tableName ORDER BY idx_col.key_ordinal;"
            ),
        )
        .with("schema", "dbo")
        .with("tableName", "orders")
    };
    vec![
        statement(
            "the server",
            "SELECT CAST(SERVERPROPERTY('EngineEdition') AS int) AS engine, \
             CAST(SERVERPROPERTY('Edition') AS nvarchar(128)) AS edition, \
             CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)) AS version",
        )
        .gives(&["3"]),
        statement("capture", "SELECT name AS db_name, is_cdc_enabled FROM sys.databases WHERE name = DB_NAME();")
            .gives_all(&[0, 1], &[&["shop", "1"]]),
        statement(
            "the right to read",
            "SELECT CASE WHEN IS_SRVROLEMEMBER('sysadmin') = 1 OR IS_MEMBER('db_owner') = 1 OR IS_MEMBER('cdc_admin') = 1 \
             OR IS_MEMBER('cdc_reader') = 1 THEN 1 ELSE 0 END AS has_cdc_access;",
        )
        .gives(&["1"]),
        statement(
            "columns",
            "SELECT col.name AS [name], typ.name AS [type], typ.system_type_id AS type_id, typ.user_type_id AS user_type_id \
             FROM sys.columns AS col JOIN sys.tables AS tbl ON tbl.object_id = col.object_id \
             JOIN sys.schemas AS sch ON sch.schema_id = tbl.schema_id JOIN sys.types AS typ ON typ.user_type_id = col.user_type_id \
             WHERE sch.name = @schema AND tbl.name = @tableName ORDER BY col.column_id;",
        )
        .with("schema", "dbo")
        .with("tableName", "orders")
        .gives_all(
            &[0, 1, 2],
            &[&["id", "int", "56"], &["note", "nvarchar", "231"], &["total", "decimal", "106"], &["twice", "decimal", "106"]],
        ),
        key("is_primary_key").gives(&["id"]),
        key("is_unique_constraint").gives_rows(0),
        statement(
            "tables of a pattern",
            "SELECT tbl.name AS [table], sch.name AS [schema], tbl.object_id AS object_id FROM sys.tables tbl \
             JOIN sys.schemas sch ON tbl.schema_id = sch.schema_id WHERE sch.name = @schema AND tbl.name LIKE @tablePattern",
        )
        .with("schema", "dbo")
        .with("tablePattern", "o%")
        .gives(&["orders"]),
        statement("a table's row", "SELECT TOP 1 * FROM [dbo].[orders]").gives_rows(1),
        statement("rows' shape", "SELECT TOP(0) * FROM [dbo].[orders]").gives_rows(0),
        statement("a batch of rows", "SELECT TOP(10000) * FROM [dbo].[orders] ORDER BY [id]").gives_rows(1),
        statement("the batch after it", "SELECT TOP(10000) * FROM [dbo].[orders] WHERE [id] > @lastKey ORDER BY [id]")
            .with("lastKey", 1)
            .gives_rows(0),
        statement("a row", "SELECT * FROM [dbo].[orders] WHERE [id] = @ids").with("ids", 1).gives_rows(1),
    ]
}

fn checkpoints(_: &Lsns) -> Vec<Statement> {
    let tracked = || {
        statement(
            "whether it is captured",
            "SELECT 1 FROM cdc.change_tables ct JOIN sys.tables AS tbl ON tbl.object_id = ct.source_object_id \
             JOIN sys.schemas AS sch ON sch.schema_id = tbl.schema_id WHERE sch.name = @schema AND tbl.name = @tableName",
        )
        .with("schema", "dbo")
        .with("tableName", "_powersync_checkpoints")
    };
    let merge = || {
        statement(
            "a checkpoint",
            "MERGE [dbo].[_powersync_checkpoints] AS target USING (SELECT 1 AS id) AS source ON target.id = source.id \
             WHEN MATCHED THEN UPDATE SET last_updated = GETDATE() \
             WHEN NOT MATCHED THEN INSERT (last_updated) VALUES (GETDATE());",
        )
    };
    vec![
        statement(
            "its table",
            "SELECT * FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = @schema AND TABLE_NAME = @tableName;",
        )
        .with("schema", "dbo")
        .with("tableName", "_powersync_checkpoints")
        .gives_rows(0),
        statement(
            "making it",
            "CREATE TABLE [dbo].[_powersync_checkpoints] (id INT IDENTITY PRIMARY KEY, \
             last_updated DATETIME NOT NULL DEFAULT (GETDATE()))",
        ),
        tracked().gives_rows(0),
        statement(
            "capturing it",
            "EXEC sys.sp_cdc_enable_table @source_schema = @schema, @source_name = @table, @role_name = @role, \
             @supports_net_changes = @net",
        )
        .with("schema", "dbo")
        .with("table", "_powersync_checkpoints")
        .with("role", "NULL")
        .with("net", 1),
        tracked().gives_rows(1),
        merge(),
        merge(),
        statement("the end of the log", "SELECT log_end_lsn FROM sys.dm_db_log_stats(DB_ID()) AS log_end_lsn")
            .gives_rows(1),
        statement("a scan", "EXEC sys.sp_cdc_scan"),
        // The second MERGE changes nothing where the clock stands still.
        statement("the checkpoint's rows", "SELECT __$operation FROM cdc.dbo__powersync_checkpoints_CT").gives(&["2"]),
    ]
}

fn changes(lsns: &Lsns) -> Vec<Statement> {
    let read = "SELECT * FROM [cdc].[fn_cdc_get_all_changes_dbo_orders](@from_lsn, @to_lsn, 'all update old') \
                ORDER BY __$start_lsn, __$seqval";
    let below = [&lsns.low[..9], &[0]].concat();
    vec![
        statement("the last LSN", "SELECT sys.fn_cdc_get_max_lsn() AS max_lsn;").gives(&[&hex(lsns.max())]),
        statement("an instance's least LSN", "SELECT sys.fn_cdc_get_min_lsn(@captureInstance) AS min_lsn")
            .with("captureInstance", "dbo_orders")
            .gives(&[&hex(&lsns.low)]),
        statement("the LSN after one", "SELECT sys.fn_cdc_increment_lsn(@lsn) AS incremented_lsn")
            .with("lsn", &lsns.low)
            .gives_rows(1),
        statement(
            "the transactions of a poll",
            "SELECT TOP (2) start_lsn FROM cdc.lsn_time_mapping WHERE start_lsn >= @startLSN ORDER BY start_lsn ASC",
        )
        .with("startLSN", &lsns.commits[0])
        .gives(&[&hex(&lsns.commits[0]), &hex(&lsns.commits[1])]),
        statement("changes", read)
            .with("from_lsn", &lsns.low)
            .with("to_lsn", lsns.max())
            .gives_all(&[2, 4], &[&["2", "1"], &["2", "2"], &["3", "1"], &["4", "1"], &["1", "2"]]),
        statement("changes from before", read).with("from_lsn", &below).with("to_lsn", lsns.max()).fails(313),
        statement("a table by its number", "SELECT 1 FROM sys.tables WHERE object_id = @tableId")
            .with("tableId", 1)
            .gives_rows(0),
    ]
}

fn schema_changes(_: &Lsns) -> Vec<Statement> {
    let help = || statement("instances", "EXEC sys.sp_cdc_help_change_data_capture");
    vec![
        help().gives_all(&[0, 1, 2], &[&["dbo", "orders", "dbo_orders"], &["dbo", "items", "dbo_items"]]),
        statement(
            "instances of a table",
            "EXEC sys.sp_cdc_help_change_data_capture @source_schema = @schema, @source_name = @table",
        )
        .with("schema", "dbo")
        .with("table", "orders")
        .gives_in(2, &["dbo_orders"]),
        statement("a change of the table", "ALTER TABLE dbo.orders DROP COLUMN twice"),
        statement("a new name", "EXEC sp_rename 'dbo.items', 'parts'"),
        statement("a scan", "EXEC sys.sp_cdc_scan"),
        statement("pending changes", "EXEC sys.sp_cdc_get_ddl_history @capture_instance = @instance")
            .with("instance", "dbo_orders")
            .gives_all(&[1, 2, 3, 4], &[&["orders", "dbo_orders", "0", "ALTER TABLE dbo.orders DROP COLUMN twice"]]),
        help().gives_in(1, &["orders", "parts"]),
        statement("a table's end", "DROP TABLE dbo.orders"),
        help().gives_in(1, &["parts"]),
    ]
}

#[test]
fn powersync_checks_the_configuration_and_reads_tables() {
    follow(configuration);
}

#[test]
fn powersync_writes_checkpoints() {
    follow(checkpoints);
}

#[test]
fn powersync_polls() {
    follow(changes);
}

#[test]
fn powersync_notices_schema_changes() {
    follow(schema_changes);
}
