//! Materialize: a snapshot whose LSN it learns by a savepoint, changes by the function, history by LSN.

use crate::client::{config, connect_with};

use super::{Lsns, Statement, follow, hex, shop, statement};

fn settings(lsns: &Lsns) -> Vec<Statement> {
    vec![
        statement("capture", "SELECT is_cdc_enabled FROM sys.databases WHERE database_id = DB_ID();").gives(&["1"]),
        statement(
            "a table's capture",
            "SELECT is_tracked_by_cdc FROM sys.tables tables JOIN sys.schemas schemas \
             ON tables.schema_id = schemas.schema_id WHERE schemas.name = @schema AND tables.name = @table;",
        )
        .with("schema", "dbo")
        .with("table", "orders")
        .gives(&["1"]),
        statement("snapshots", "SELECT snapshot_isolation_state FROM sys.databases WHERE database_id = DB_ID();")
            .gives(&["1"]),
        statement("the last LSN", "SELECT sys.fn_cdc_get_max_lsn();").gives(&[&hex(lsns.max())]),
        statement("an instance's least LSN", "SELECT sys.fn_cdc_get_min_lsn(@instance);")
            .with("instance", "dbo_orders")
            .gives(&[&hex(&lsns.low)]),
        statement("the LSN after one", "SELECT sys.fn_cdc_increment_lsn(@lsn);").with("lsn", lsns.max()).gives_rows(1),
        statement(
            "instances' tables",
            "SELECT c.capture_instance, SCHEMA_NAME(o.schema_id) as schema_name, o.name as obj_name FROM sys.objects o \
             JOIN cdc.change_tables c ON o.object_id = c.source_object_id WHERE c.capture_instance IN (@first, @second);",
        )
        .with("first", "dbo_orders")
        .with("second", "dbo_items")
        .gives_all(&[0, 1, 2], &[&["dbo_orders", "dbo", "orders"], &["dbo_items", "dbo", "items"]]),
        statement(
            "shapes",
            "SELECT s.name as schema_name, t.name as table_name, ch.capture_instance as capture_instance, \
             c.name as col_name, ty.name as col_type, c.is_nullable as col_nullable, c.max_length as col_max_length, \
             c.precision as col_precision, c.scale as col_scale, tc.constraint_name AS col_primary_key_constraint \
             FROM sys.tables t JOIN sys.schemas s ON t.schema_id = s.schema_id JOIN sys.columns c ON t.object_id = c.object_id \
             JOIN sys.types ty ON c.user_type_id = ty.user_type_id \
             JOIN cdc.change_tables ch ON t.object_id = ch.source_object_id \
             LEFT JOIN information_schema.key_column_usage kc ON kc.table_schema = s.name AND kc.table_name = t.name \
             AND kc.column_name = c.name \
             LEFT JOIN information_schema.table_constraints tc ON tc.constraint_catalog = kc.constraint_catalog \
             AND tc.constraint_schema = kc.constraint_schema AND tc.constraint_name = kc.constraint_name \
             AND tc.table_schema = kc.table_schema AND tc.table_name = kc.table_name \
             AND tc.constraint_type = 'PRIMARY KEY' WHERE ch.capture_instance = @instance ORDER BY c.column_id;",
        )
        .with("instance", "dbo_orders")
        .gives_all(
            &[3, 4, 6, 7, 8],
            &[
                &["id", "int", "4", "10", "0"],
                &["note", "nvarchar", "100", "0", "0"],
                &["total", "decimal", "9", "10", "2"],
                &["twice", "decimal", "9", "12", "2"],
            ],
        ),
    ]
}

const POSITION: &str = "SELECT dt.database_transaction_most_recent_savepoint_lsn FROM sys.dm_tran_database_transactions dt \
     JOIN sys.dm_tran_current_transaction ct ON dt.transaction_id = ct.transaction_id WHERE dt.database_id = DB_ID()";

fn snapshot(_: &Lsns) -> Vec<Statement> {
    vec![
        statement("a lock's beginning", "BEGIN TRANSACTION"),
        statement("a lock", "SELECT TOP 1 * FROM dbo.orders WITH (TABLOCK, HOLDLOCK)").gives_rows(1),
        statement("a lock's end", "ROLLBACK TRANSACTION"),
        statement("the level", "SET TRANSACTION ISOLATION LEVEL SNAPSHOT;"),
        statement("a snapshot", "BEGIN TRANSACTION"),
        statement("its version", "SELECT TOP 1 object_id FROM cdc.change_tables").gives_rows(1),
        statement("a savepoint", "SAVE TRANSACTION [here]"),
        statement("its LSN", POSITION).gives_rows(1),
        statement("how many rows", "SELECT COUNT(*) FROM dbo.orders;").gives(&["1"]),
        statement("the rows", "SELECT * FROM dbo.orders;").gives_in(1, &["changed"]),
        statement("the end", "COMMIT TRANSACTION"),
    ]
}

fn changes(lsns: &Lsns) -> Vec<Statement> {
    let read = "SELECT * FROM cdc.fn_cdc_get_all_changes_dbo_orders(@from, @to, N'all update old') \
                ORDER BY __$start_lsn ASC;";
    let history = "SELECT ddl_command, ddl_lsn FROM cdc.ddl_history WHERE object_id = (SELECT object_id \
                   FROM cdc.change_tables WHERE capture_instance = @instance) AND ddl_lsn >= @from AND \
                   ddl_lsn <= sys.fn_cdc_get_max_lsn() ORDER BY ddl_lsn;";
    let next = [&lsns.max()[..9], &[lsns.max()[9] + 1]].concat();
    vec![
        statement("changes", read)
            .with("from", &lsns.low)
            .with("to", lsns.max())
            .gives_in(2, &["2", "2", "3", "4", "1"]),
        statement("changes that aren't there yet", read).with("from", &next).with("to", &next).fails(313),
        statement("a change of the table", "ALTER TABLE dbo.orders ALTER COLUMN note nvarchar(60) NULL"),
        statement("a scan", "EXEC sys.sp_cdc_scan"),
        statement("history", history)
            .with("instance", "dbo_orders")
            .with("from", &next)
            .gives(&["ALTER TABLE dbo.orders ALTER COLUMN note nvarchar(60) NULL"]),
    ]
}

fn cleanup(lsns: &Lsns) -> Vec<Statement> {
    let between = [&lsns.commits[1][..9], &[lsns.commits[1][9] + 1]].concat();
    let clean = "DECLARE @mz_cleanup_status_bit BIT; SET @mz_cleanup_status_bit = 0; \
                 EXEC sys.sp_cdc_cleanup_change_table @capture_instance = @instance, @low_water_mark = @mark, \
                 @threshold = @deletes, @fCleanupFailed = @mz_cleanup_status_bit OUTPUT; SELECT @mz_cleanup_status_bit;";
    let cleaned = |mark: &Vec<u8>| {
        statement("cleanup", clean).with("instance", "dbo_orders").with("mark", mark).with("deletes", 2)
    };
    vec![
        statement("a mark that is there", "SELECT MAX(start_lsn) FROM cdc.lsn_time_mapping WHERE start_lsn <= @mark")
            .with("mark", &between)
            .gives(&[&hex(&lsns.commits[1])]),
        cleaned(&lsns.commits[1]).gives(&["0"]),
        statement("what is left", "SELECT COUNT(*) FROM cdc.dbo_orders_CT").gives(&["3"]),
        cleaned(&lsns.commits[0]).fails(22957),
        cleaned(&between).fails(22964),
    ]
}

#[test]
fn materialize_checks_settings_and_shapes() {
    follow(settings);
}

#[test]
fn materialize_takes_snapshots() {
    follow(snapshot);
}

#[test]
fn materialize_reads_changes_and_history() {
    follow(changes);
}

#[test]
fn materialize_cleans_up() {
    follow(cleanup);
}

/// One connection holds the table while another takes a version of it; what comes then is a change.
#[tokio::test]
async fn materialize_hands_over_from_snapshot_to_changes_without_a_gap() {
    let sim = shop();
    let connect = || async {
        let mut config = config(&sim);
        config.database("shop");
        connect_with(config).await.unwrap()
    };
    let (mut locks, mut reads) = (connect().await, connect().await);
    let ask = async |client: &mut crate::client::Tiberius, sql: &str| {
        let results = client.simple_query(sql).await.unwrap().into_results().await;
        results.unwrap_or_else(|error| panic!("{sql}: {error}")).into_iter().flatten().collect::<Vec<_>>()
    };
    ask(&mut locks, "BEGIN TRANSACTION").await;
    ask(&mut locks, "SELECT TOP 1 * FROM dbo.orders WITH (TABLOCK, HOLDLOCK)").await;
    // A writer has to wait for the lock.
    let mut writes = connect().await;
    let refused = writes.execute("SET LOCK_TIMEOUT 0; DELETE dbo.orders", &[]).await;
    assert_eq!(refused.unwrap_err().code(), Some(1222));

    ask(&mut reads, "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRANSACTION").await;
    ask(&mut reads, "SELECT TOP 1 object_id FROM cdc.change_tables").await;
    ask(&mut reads, "SAVE TRANSACTION here").await;
    let at = ask(&mut reads, POSITION).await[0].get::<tiberius::numeric::Numeric, _>(0).unwrap().value();
    ask(&mut locks, "ROLLBACK TRANSACTION").await;
    ask(&mut writes, "INSERT INTO dbo.orders VALUES (3, NULL, 30)").await;
    assert_eq!(ask(&mut reads, "SELECT id FROM dbo.orders").await.len(), 1, "the version is from before");
    ask(&mut reads, "COMMIT TRANSACTION").await;

    sim.control().scan("shop").unwrap();
    let changed = ask(&mut reads, "SELECT __$start_lsn FROM cdc.dbo_orders_CT ORDER BY __$start_lsn").await;
    // The decimal form: file, block in ten digits, slot in five.
    let decimal = |lsn: &[u8]| {
        let part =
            |range: std::ops::Range<usize>| lsn[range].iter().fold(0_i128, |sum, byte| sum << 8 | i128::from(*byte));
        part(0..4) * 1_000_000_000_000_000 + part(4..8) * 100_000 + part(8..10)
    };
    let commits: Vec<i128> = changed.iter().map(|row| decimal(row.get::<&[u8], _>(0).unwrap())).collect();
    let (last, before) = commits.split_last().unwrap();
    assert!(before.iter().all(|commit| *commit < at) && at < *last, "{commits:?} {at}");
}
