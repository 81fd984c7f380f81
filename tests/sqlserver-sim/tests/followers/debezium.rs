//! Debezium: instances and bounds by its own queries, changes by the function or directly.

use super::{Lsns, Statement, follow, statement};

fn bounds(lsns: &Lsns) -> Vec<Statement> {
    let [first, second, third] = &lsns.commits;
    let hex = super::hex;
    vec![
        statement("the database's name", "SELECT name FROM sys.databases WHERE name = @name")
            .with("name", "SHOP")
            .gives(&["shop"]),
        statement("the last LSN", "SELECT [shop].sys.fn_cdc_get_max_lsn()").gives(&[&hex(third)]),
        statement(
            "the last transaction",
            "SELECT MAX(start_lsn) FROM [shop].cdc.lsn_time_mapping WITH (NOLOCK) WHERE tran_id <> 0x00",
        )
        .gives(&[&hex(third)]),
        statement(
            "the nth transaction from the beginning",
            "SELECT MAX(start_lsn) FROM (SELECT TOP (@n) start_lsn FROM [shop].cdc.lsn_time_mapping \
             WHERE tran_id <> 0x00 ORDER BY start_lsn) as next_lsns",
        )
        .with("n", 2)
        .gives(&[&hex(second)]),
        statement(
            "the nth transaction from the last",
            "SELECT MAX(start_lsn) FROM (SELECT TOP (@n + 1) start_lsn FROM [shop].cdc.lsn_time_mapping \
             WHERE start_lsn >= @last AND tran_id <> 0x00 ORDER BY start_lsn) as next_lsns",
        )
        .with("n", 1)
        .with("last", first)
        .gives(&[&hex(second)]),
        statement("an instance's least LSN", "SELECT [shop].sys.fn_cdc_get_min_lsn('dbo_orders')")
            .gives(&[&hex(&lsns.low)]),
        statement("the LSN after one", "SELECT [shop].sys.fn_cdc_increment_lsn(@lsn)")
            .with("lsn", first)
            .gives(&[&hex(&[&first[..9], &[first[9] + 1]].concat())]),
    ]
}

const INSTANCES: &str = "WITH ordered_change_tables AS (SELECT ROW_NUMBER() OVER (PARTITION BY ct.source_object_id, \
     ct.start_lsn ORDER BY ct.create_date DESC) AS ct_sequence, ct.* FROM [shop].cdc.change_tables AS ct#) \
     SELECT OBJECT_SCHEMA_NAME(source_object_id, DB_ID(@database)), OBJECT_NAME(source_object_id, DB_ID(@database)), \
     capture_instance, object_id, start_lsn FROM ordered_change_tables WHERE ct_sequence = 1 ORDER BY capture_instance";

fn instances(lsns: &Lsns) -> Vec<Statement> {
    let both = [&["dbo", "items", "dbo_items"][..], &["dbo", "orders", "dbo_orders"]];
    vec![
        statement("instances", &INSTANCES.replace('#', "")).with("database", "shop").gives_all(&[0, 1, 2], &both),
        statement("instances up to an LSN", &INSTANCES.replace('#', " WITH (NOLOCK) WHERE ct.start_lsn <= @to"))
            .with("to", lsns.max())
            .with("database", "shop")
            .gives_all(&[0, 1, 2], &both),
        statement(
            "captured columns",
            "SELECT object_id, column_name FROM [shop].cdc.captured_columns ORDER BY object_id, column_id",
        )
        .gives_in(1, &["id", "note", "total", "twice", "id", "order_id"]),
        statement("new instances", "SELECT * FROM [shop].cdc.change_tables WHERE start_lsn BETWEEN @from AND @to")
            .with("from", &lsns.commits[0])
            .with("to", lsns.max())
            .gives_rows(0),
        statement("the right to read", "EXEC [shop].sys.sp_cdc_help_change_data_capture").gives_rows(2),
        statement("the interval of polling", "EXEC [shop].sys.sp_cdc_help_jobs").gives_in(6, &["5", "0"]),
        statement(
            "whether the agent runs",
            "SELECT CASE WHEN dss.[status]=4 THEN 1 ELSE 0 END AS isRunning FROM [shop].sys.dm_server_services dss \
             WHERE dss.[servicename] LIKE N'SQL Server Agent (%';",
        )
        .gives(&["1"]),
        statement(
            "the end of the backlog",
            "SELECT TOP 1 scan_phase, tran_count FROM [shop].sys.dm_cdc_log_scan_sessions WHERE session_id > 0 \
             ORDER BY session_id DESC",
        )
        .gives_all(&[0, 1], &[&["Done", "3"]]),
        // The driver's own way to a table's shape.
        statement("columns", "EXEC [shop].sys.sp_columns_100 N'orders', N'dbo', N'shop', NULL, 3")
            .gives_in(3, &["id", "note", "total", "twice"]),
        statement("keys", "EXEC [shop].sys.sp_pkeys N'orders', N'dbo', N'shop'").gives_in(3, &["id"]),
        statement("indexes", "EXEC [shop].sys.sp_statistics_100 N'orders', N'dbo', N'shop'"),
    ]
}

const FUNCTION: &str = "SELECT *, TODATETIMEOFFSET([shop].sys.fn_cdc_map_lsn_to_time([__$start_lsn]), \
     DATEPART(TZOFFSET, SYSDATETIMEOFFSET())) FROM [shop].cdc.[fn_cdc_get_all_changes_dbo_orders](@from, @to, \
     N'all update old')# order by [__$start_lsn] ASC, [__$seqval] ASC, [__$operation] ASC";

fn changes(lsns: &Lsns) -> Vec<Statement> {
    let (from, to) = (&lsns.low, lsns.max());
    let below = [&from[..9], &[0]].concat();
    vec![
        statement("changes by the function", &FUNCTION.replace('#', "")).with("from", from).with("to", to).gives_all(
            &[2, 4, 5, 7],
            &[
                &["2", "1", "first", "NULL"],
                &["2", "2", "second", "NULL"],
                &["3", "1", "first", "NULL"],
                &["4", "1", "changed", "NULL"],
                &["1", "2", "second", "NULL"],
            ],
        ),
        statement("changes without some operations", &FUNCTION.replace('#', " WHERE __$operation NOT IN (3,4)"))
            .with("from", from)
            .with("to", to)
            .gives_in(2, &["2", "2", "1"]),
        statement("changes from below the least LSN", &FUNCTION.replace('#', ""))
            .with("from", &below)
            .with("to", to)
            .fails(313),
        statement(
            "changes from the table",
            "SELECT c.[__$start_lsn], c.[__$seqval], c.[__$operation], c.[__$update_mask], c.[id], c.[note], \
             TODATETIMEOFFSET(m.tran_end_time, DATEPART(TZOFFSET, SYSDATETIMEOFFSET())) \
             FROM [shop].cdc.[dbo_orders_CT] AS c LEFT JOIN [shop].cdc.lsn_time_mapping AS m \
             ON m.start_lsn = c.[__$start_lsn] WHERE c.[__$start_lsn] >= @from AND c.[__$start_lsn] <= @to \
             ORDER BY c.[__$start_lsn] ASC, c.[__$command_id] ASC, c.[__$seqval] ASC, c.[__$operation] ASC",
        )
        .with("from", from)
        .with("to", to)
        .gives_all(&[2, 4], &[&["2", "1"], &["2", "2"], &["3", "1"], &["4", "1"], &["1", "2"]]),
        statement("a chunk of the table, by key", &chunk())
            .with("from", from)
            .with("to", to)
            .with("at", &lsns.commits[0])
            .with("command", 1)
            .with("seqval", &vec![0; 10])
            .with("operation", 2)
            .with("n", 3)
            .gives_all(&[3, 4], &[&["2", "1"], &["2", "2"], &["3", "1"]]),
    ]
}

/// What follows a row of the change table: a branch for each part of the key that may be greater, so that each is a range
/// of the index.
fn chunk() -> String {
    let equal = |column: &str, to: &str| format!("[cdc_data].[{column}] = @{to}");
    let key =
        [("__$start_lsn", "at"), ("__$command_id", "command"), ("__$seqval", "seqval"), ("__$operation", "operation")];
    let branch = |parts: usize| {
        let (same, (column, value)) = (&key[..parts - 1], key[parts - 1]);
        let mut terms: Vec<String> = same.iter().map(|(column, value)| equal(column, value)).collect();
        terms.push(format!("[cdc_data].[{column}] > @{value}"));
        format!(
            "SELECT [cdc_data].[__$start_lsn], [cdc_data].[__$command_id], [cdc_data].[__$seqval], \
             [cdc_data].[__$operation], [cdc_data].[id], [cdc_data].[note] FROM [shop].cdc.[dbo_orders_CT] AS [cdc_data] \
             WHERE [cdc_data].[__$start_lsn] >= @from AND [cdc_data].[__$start_lsn] <= @to AND {}",
            terms.join(" AND ")
        )
    };
    let branches: Vec<String> = (1..=4).rev().map(branch).collect();
    format!(
        "SELECT TOP (@n) * FROM ({}) AS changes ORDER BY [__$start_lsn] ASC, [__$command_id] ASC, [__$seqval] ASC, \
         [__$operation] ASC",
        branches.join(" UNION ALL ")
    )
}

fn snapshot(_: &Lsns) -> Vec<Statement> {
    let mut statements = vec![
        statement("the tables", "EXEC [shop].sys.sp_tables N'%', N'%', N'shop', N'''TABLE'''"),
        statement("a table's lock", "SELECT * FROM [shop].[dbo].[orders] WITH (TABLOCKX) WHERE 1 = 0").gives_rows(0),
        statement("a lock by name alone", "SELECT * FROM [orders] WITH (TABLOCKX)").gives_rows(1),
        statement(
            "a chunk of rows",
            "SELECT TOP 10 * FROM [shop].[dbo].[orders] WHERE [id] > @after ORDER BY [id] OPTION(RECOMPILE)",
        )
        .with("after", 0)
        .gives(&["1"]),
        statement(
            "a signal",
            "CREATE TABLE dbo.signals (id varchar(64) PRIMARY KEY, type varchar(32), data varchar(2048))",
        ),
        statement("a window's beginning", "INSERT INTO [shop].[dbo].[signals] VALUES (@id, @type, @data)")
            .with("id", "1-open")
            .with("type", "snapshot-window-open")
            .with("data", "{}"),
    ];
    for level in ["READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ", "SNAPSHOT"] {
        statements.extend([
            statement("an isolation level", &format!("SET TRANSACTION ISOLATION LEVEL {level}; BEGIN TRANSACTION")),
            statement("rows", "SELECT [id], [note], [total], [twice] FROM [shop].[dbo].[orders]")
                .gives_all(&[0, 1], &[&["1", "changed"]]),
            statement("its end", "IF @@TRANCOUNT > 0 COMMIT TRAN"),
        ]);
    }
    statements
}

#[test]
fn debezium_finds_its_bounds() {
    follow(bounds);
}

#[test]
fn debezium_finds_its_instances() {
    follow(instances);
}

#[test]
fn debezium_reads_changes_by_function_and_directly() {
    follow(changes);
}

#[test]
fn debezium_takes_snapshots() {
    follow(snapshot);
}
