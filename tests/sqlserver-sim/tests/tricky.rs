//! Where change data capture does what nobody expects: each by T-SQL alone, told by what change tables hold afterwards.

use millstream_sqlserver_sim::{Options, Schedule, SqlServerSim};

use crate::client::{Tiberius, config, connect_with};

/// A server with captured tables, driven by hand, and a session in their database.
struct World {
    sim: SqlServerSim,
    client: Tiberius,
}

impl World {
    /// All tables of `dbo` are captured under their own names.
    async fn new(tables: &str) -> Self {
        let sim = SqlServerSim::start(&Options { schedule: Schedule::ByHand, ..Options::default() }).unwrap();
        sim.run_script("CREATE DATABASE shop; ALTER DATABASE shop SET ALLOW_SNAPSHOT_ISOLATION ON").unwrap();
        sim.run_script(&format!("USE shop; EXEC sys.sp_cdc_enable_db;\nGO\nUSE shop; {tables}")).unwrap();
        let client = connect(&sim).await;
        let mut world = Self { sim, client };
        let names =
            world.ask("SELECT name FROM sys.tables WHERE schema_id = 1 AND is_ms_shipped = 0 ORDER BY name").await;
        for name in names.split('|') {
            world.enable(name, name, "NULL").await;
        }
        world.scan();
        world
    }

    async fn enable(&mut self, table: &str, instance: &str, columns: &str) {
        self.run(&format!(
            "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'{table}', @role_name = NULL, \
             @capture_instance = N'{instance}', @captured_column_list = {columns}, @supports_net_changes = 0"
        ))
        .await;
    }

    fn scan(&self) {
        self.sim.control().scan("shop").unwrap();
    }

    async fn run(&mut self, sql: &str) {
        run(&mut self.client, sql).await;
    }

    async fn fails(&mut self, sql: &str) -> u32 {
        fails(&mut self.client, sql).await
    }

    /// The rows of a query whose columns are texts, by bars; values by commas.
    async fn ask(&mut self, sql: &str) -> String {
        ask(&mut self.client, sql).await
    }

    /// Scans, and gives operations and values of an instance in the order of its change table.
    async fn changes(&mut self, instance: &str, columns: &str) -> String {
        self.scan();
        self.ask(&format!(
            "SELECT CONCAT_WS(',', __$operation, {columns}) FROM cdc.[{instance}_CT] \
             ORDER BY __$start_lsn, __$command_id, __$seqval, __$operation"
        ))
        .await
    }
}

async fn connect(sim: &SqlServerSim) -> Tiberius {
    let mut config = config(sim);
    config.database("shop");
    connect_with(config).await.unwrap()
}

async fn run(client: &mut Tiberius, sql: &str) {
    let outcome = async { client.simple_query(sql).await?.into_results().await };
    outcome.await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

async fn fails(client: &mut Tiberius, sql: &str) -> u32 {
    let outcome = async { client.simple_query(sql).await?.into_results().await };
    outcome.await.expect_err(sql).code().unwrap()
}

async fn ask(client: &mut Tiberius, sql: &str) -> String {
    let outcome = async { client.simple_query(sql).await?.into_first_result().await };
    let rows = outcome.await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let texts: Vec<&str> = rows.iter().map(|row| row.get::<&str, _>(0).unwrap_or("NULL")).collect();
    texts.join("|")
}

const T: &str = "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, v varchar(20) NULL)";

#[tokio::test]
async fn unique_values_that_change_places_are_deferred() {
    let mut world = World::new("CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, place int NOT NULL UNIQUE)").await;
    world.run("INSERT INTO dbo.t VALUES (1, 10), (2, 20), (3, 30)").await;
    world.run("UPDATE dbo.t SET place = CASE place WHEN 10 THEN 20 ELSE 10 END WHERE id < 3").await;
    assert_eq!(world.changes("t", "id, place").await, "2,1,10|2,2,20|2,3,30|1,1,10|1,2,20|2,1,20|2,2,10");
}

#[tokio::test]
async fn a_key_that_moves_is_a_deletion_and_an_insertion_of_one_commit() {
    let mut world = World::new(T).await;
    world.run("INSERT INTO dbo.t VALUES (1, 'a'), (2, 'b')").await;
    world.run("UPDATE dbo.t SET id = 9 WHERE id = 1").await;
    world.run("UPDATE dbo.t SET id = id + 1").await;
    assert_eq!(world.changes("t", "id").await, "2,1|2,2|1,1|2,9|1,2|1,9|2,3|2,10");
    let places = "SELECT CONCAT(COUNT(*), ',', COUNT(DISTINCT __$seqval), ',', COUNT(DISTINCT __$command_id)) \
                  FROM cdc.t_CT GROUP BY __$start_lsn ORDER BY __$start_lsn";
    assert_eq!(world.ask(places).await, "2,2,2|2,1,2|4,4,4");
}

#[tokio::test]
async fn an_update_that_changes_nothing_leaves_nothing_but_case_is_a_change() {
    let mut world = World::new(
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, v varchar(20) NULL, n float, \
                                r AS UPPER(v))",
    )
    .await;
    world.run("INSERT INTO dbo.t (id, v, n) VALUES (1, 'a', 0.5), (2, NULL, NULL)").await;
    world.run("UPDATE dbo.t SET v = v, n = n; UPDATE dbo.t SET id = id; UPDATE dbo.t SET v = 'a' WHERE id = 1").await;
    world.run("UPDATE dbo.t SET v = 'A' WHERE v = 'a'").await;
    world.run("UPDATE dbo.t SET v = 'A ' WHERE v = 'a'").await;
    assert_eq!(world.changes("t", "id, QUOTENAME(v)").await, "2,1,[a]|2,2|3,1,[a]|4,1,[A]|3,1,[A]|4,1,[A ]");
}

#[tokio::test]
async fn a_merge_of_all_actions_is_one_commit_in_which_updates_are_deferred() {
    let mut world = World::new(T).await;
    world.run("INSERT INTO dbo.t VALUES (1, 'a'), (2, 'b'), (3, 'c')").await;
    world
        .run(
            "MERGE dbo.t AS t USING (VALUES (1, 'A2'), (2, 'b'), (4, 'd')) AS s (id, v) ON t.id = s.id \
         WHEN MATCHED AND s.v <> t.v THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.v) \
         WHEN NOT MATCHED BY SOURCE THEN DELETE;",
        )
        .await;
    let changes = world.changes("t", "id, v").await;
    let mut merged: Vec<&str> = changes.strip_prefix("2,1,a|2,2,b|2,3,c|").unwrap().split('|').collect();
    let before = |first: &str, second: &str| {
        let place = |wanted: &str| merged.iter().position(|change| *change == wanted).expect(wanted);
        place(first) < place(second)
    };
    assert!(before("1,1,a", "2,1,A2"), "{changes}");
    merged.sort_unstable();
    assert_eq!(merged, ["1,1,a", "1,3,c", "2,1,A2", "2,4,d"]);
    assert_eq!(world.ask("SELECT CONCAT(COUNT(DISTINCT __$start_lsn), '') FROM cdc.t_CT").await, "2");
}

#[tokio::test]
async fn what_a_trigger_writes_follows_in_the_same_commit() {
    let mut world = World::new(
        "CREATE TABLE dbo.audit (n int IDENTITY PRIMARY KEY, what varchar(20)); \
         CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, v varchar(20) NULL);\nGO\n\
         CREATE TRIGGER dbo.tr ON dbo.t AFTER INSERT AS \
         BEGIN INSERT INTO dbo.audit (what) SELECT CONCAT(id, v) FROM inserted; \
         UPDATE dbo.t SET v = CONCAT(v, '!') WHERE id IN (SELECT id FROM inserted) END",
    )
    .await;
    world.run("INSERT INTO dbo.t VALUES (1, 'a')").await;
    assert_eq!(world.changes("audit", "what").await, "2,1a");
    assert_eq!(world.changes("t", "v").await, "2,a|3,a|4,a!");
    let order = "SELECT CONCAT(name, ',', operation, ',', command) FROM (\
                 SELECT 't' AS name, __$operation AS operation, __$start_lsn AS lsn, __$command_id AS command FROM cdc.t_CT \
                 UNION ALL SELECT 'audit', __$operation, __$start_lsn, __$command_id FROM cdc.audit_CT) AS both_tables \
                 ORDER BY lsn, command, operation";
    assert_eq!(world.ask(order).await, "t,2,1|audit,2,2|t,3,3|t,4,3");
}

#[tokio::test]
async fn what_is_rolled_back_in_part_is_not_there_in_part() {
    let mut world = World::new("CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, v int NOT NULL CHECK (v < 10))").await;
    world
        .run(
            "BEGIN TRANSACTION; INSERT INTO dbo.t VALUES (1, 1); SAVE TRANSACTION here; INSERT INTO dbo.t VALUES (2, 2); \
             UPDATE dbo.t SET v = 9; ROLLBACK TRANSACTION here; INSERT INTO dbo.t VALUES (3, 3); COMMIT",
        )
        .await;
    // A statement that fails at its second row leaves nothing of its first; the transaction goes on.
    world
        .run(
            "BEGIN TRANSACTION; BEGIN TRY INSERT INTO dbo.t VALUES (4, 4), (5, 50) END TRY BEGIN CATCH PRINT 'no' END CATCH; \
             BEGIN TRY INSERT INTO dbo.t VALUES (6, 6), (1, 1) END TRY BEGIN CATCH PRINT 'no' END CATCH; \
             UPDATE dbo.t SET v = 4 WHERE id = 3; COMMIT",
        )
        .await;
    world.run("BEGIN TRANSACTION; DELETE dbo.t; ROLLBACK").await;
    assert_eq!(world.changes("t", "id, v").await, "2,1,1|2,3,3|3,3,3|4,3,4");
    let commits = "SELECT CONCAT(COUNT(*), '') FROM cdc.lsn_time_mapping WHERE tran_id <> 0x00";
    assert_eq!(world.ask(commits).await, "2");
}

#[tokio::test]
async fn two_instances_capture_each_its_own_columns_from_its_own_start() {
    let mut world = World::new("CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, a int, b int)").await;
    world.run("INSERT INTO dbo.t VALUES (1, 1, 1)").await;
    world.enable("t", "narrow", "N'id, b'").await;
    world.run("UPDATE dbo.t SET a = 2; UPDATE dbo.t SET b = 2; UPDATE dbo.t SET a = a, b = 3").await;
    assert_eq!(world.changes("t", "a, b").await, "2,1,1|3,1,1|4,2,1|3,2,1|4,2,2|3,2,2|4,2,3");
    assert_eq!(world.changes("narrow", "b").await, "3,1|4,2|3,2|4,3", "nothing of what it doesn't capture");
    let masks =
        "SELECT CONVERT(varchar(9), __$update_mask, 1) FROM cdc.t_CT WHERE __$operation = 4 ORDER BY __$start_lsn";
    assert_eq!(world.ask(masks).await, "0x02|0x04|0x04");
    let commits = "SELECT CONCAT(COUNT(*), '') FROM cdc.narrow_CT n JOIN cdc.t_CT t ON n.__$start_lsn = t.__$start_lsn \
                   AND n.__$seqval = t.__$seqval AND n.__$operation = t.__$operation";
    assert_eq!(world.ask(commits).await, "4", "at the same places");
}

#[tokio::test]
async fn a_renamed_table_is_captured_on_and_another_of_its_old_name_is_not() {
    let mut world = World::new(T).await;
    world.run("INSERT INTO dbo.t VALUES (1, 'a'); EXEC sp_rename 'dbo.t', 'old'").await;
    world.run("CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, v varchar(20) NULL)").await;
    world.run("INSERT INTO dbo.t VALUES (7, 'no'); INSERT INTO dbo.old VALUES (2, 'b')").await;
    assert_eq!(world.changes("t", "id").await, "2,1|2,2");
    let source = "SELECT OBJECT_NAME(source_object_id) FROM cdc.change_tables";
    assert_eq!(world.ask(source).await, "old");
    assert_eq!(world.fails("EXEC sp_rename 'dbo.old.v', 'w', 'COLUMN'").await, 4928);
    world.enable("t", "second", "NULL").await;
    world.run("INSERT INTO dbo.t VALUES (8, 'yes')").await;
    assert_eq!(world.changes("second", "id").await, "2,8");
}

#[tokio::test]
async fn large_values_that_stay_are_not_told_before() {
    let mut world = World::new(
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int, large varchar(max), old text, bytes varbinary(max))",
    )
    .await;
    world.run("INSERT INTO dbo.t VALUES (1, 1, 'l', 'o', 0x01)").await;
    world.run("UPDATE dbo.t SET n = 2; UPDATE dbo.t SET large = 'm'; UPDATE dbo.t SET old = 'p'; DELETE dbo.t").await;
    let columns =
        "n, ISNULL(large, '-'), ISNULL(CAST(old AS varchar(9)), '-'), ISNULL(CONVERT(varchar(9), bytes, 1), '-')";
    assert_eq!(
        world.changes("t", columns).await,
        "2,1,l,o,0x01|3,1,-,-,-|4,2,l,o,0x01|3,2,l,-,-|4,2,m,o,0x01|3,2,-,-,-|4,2,m,p,0x01|1,2,m,-,0x01"
    );
}

#[tokio::test]
async fn capture_that_is_disabled_waits_for_its_readers_and_leaves_others_alone() {
    let mut world = World::new(T).await;
    world.enable("t", "second", "NULL").await;
    world.run("INSERT INTO dbo.t VALUES (1, 'a')").await;
    world.scan();
    let mut reader = connect(&world.sim).await;
    run(&mut reader, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; BEGIN TRANSACTION").await;
    let read = "SELECT CONCAT(COUNT(*), '') FROM cdc.fn_cdc_get_all_changes_t(sys.fn_cdc_get_min_lsn('t'), \
                sys.fn_cdc_get_max_lsn(), N'all')";
    let direct = "SELECT CONCAT(COUNT(*), '') FROM cdc.t_CT";
    assert_eq!(ask(&mut reader, direct).await, "1");
    let disable = "EXEC sys.sp_cdc_disable_table N'dbo', N't', N't'";
    let refused = world.fails(&format!("SET LOCK_TIMEOUT 100; {disable}")).await;
    assert_eq!(refused, 22_833, "the wrapper of 1222");
    assert_eq!(ask(&mut reader, read).await, "1", "nothing has changed");
    run(&mut reader, "COMMIT").await;
    world.run(disable).await;
    assert_eq!(fails(&mut reader, read).await, 208);
    assert_eq!(world.changes("second", "id").await, "2,1");
    assert_eq!(world.ask("SELECT CONCAT(is_tracked_by_cdc, '') FROM sys.tables WHERE name = 't'").await, "1");
}

#[tokio::test]
async fn a_table_that_is_dropped_while_somebody_reads_its_changes_is_pending() {
    let mut world = World::new(T).await;
    world.run("INSERT INTO dbo.t VALUES (1, 'a')").await;
    world.scan();
    let mut reader = connect(&world.sim).await;
    run(&mut reader, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; BEGIN TRANSACTION").await;
    let direct = "SELECT CONCAT(COUNT(*), '') FROM cdc.t_CT";
    assert_eq!(ask(&mut reader, direct).await, "1");
    world.run("SET LOCK_TIMEOUT 60000; DROP TABLE dbo.t").await;
    let pending = "SELECT CONCAT(has_drop_pending, ISNULL(OBJECT_NAME(source_object_id), '-')) FROM cdc.change_tables";
    assert_eq!(world.ask(pending).await, "1-");
    world.scan();
    assert_eq!(ask(&mut reader, direct).await, "1", "as long as it is read");
    run(&mut reader, "COMMIT").await;
    world.scan();
    assert_eq!(world.ask(pending).await, "");
    assert_eq!(world.fails(direct).await, 208);
}

#[tokio::test]
async fn enabling_leaves_its_trigger_user_and_schema_and_disabling_takes_them() {
    let mut world = World::new(T).await;
    let left = "SELECT CONCAT((SELECT COUNT(*) FROM sys.triggers WHERE parent_class = 0 AND is_ms_shipped = 1 \
                AND name = 'tr_MScdc_ddl_event'), (SELECT COUNT(*) FROM sys.schemas WHERE name = 'cdc'), \
                (SELECT COUNT(*) FROM sys.database_principals WHERE name = 'cdc'), OBJECT_ID('dbo.systranschemas') / \
                OBJECT_ID('dbo.systranschemas'), (SELECT COUNT(*) FROM msdb.dbo.cdc_jobs))";
    assert_eq!(world.ask(left).await, "11112");
    world.run("EXEC sys.sp_cdc_disable_db").await;
    assert_eq!(world.ask(left).await, "0000");
    assert_eq!(world.ask("SELECT CONCAT(is_cdc_enabled, '') FROM sys.databases WHERE name = 'shop'").await, "0");
}

/// Names and order of the columns of each table of the catalog.
#[tokio::test]
async fn the_tables_of_the_catalog_have_their_columns() {
    let mut world = World::new(T).await;
    for (table, columns) in [
        (
            "cdc.change_tables",
            "object_id,version,source_object_id,capture_instance,start_lsn,end_lsn,supports_net_changes,\
             has_drop_pending,role_name,index_name,filegroup_name,create_date,partition_switch",
        ),
        (
            "cdc.captured_columns",
            "object_id,column_name,column_id,column_type,column_ordinal,is_computed,masking_function",
        ),
        ("cdc.index_columns", "object_id,column_name,index_ordinal,column_id"),
        ("cdc.ddl_history", "source_object_id,object_id,required_column_update,ddl_command,ddl_lsn,ddl_time"),
        ("cdc.lsn_time_mapping", "start_lsn,tran_begin_time,tran_end_time,tran_id,tran_begin_lsn"),
        ("cdc.t_CT", "__$start_lsn,__$end_lsn,__$seqval,__$operation,__$update_mask,id,v,__$command_id"),
    ] {
        let sql = format!(
            "SELECT STRING_AGG(name, ',') WITHIN GROUP (ORDER BY column_id) FROM sys.columns \
             WHERE object_id = OBJECT_ID('{table}')"
        );
        assert_eq!(world.ask(&sql).await, columns, "{table}");
    }
}

#[tokio::test]
async fn rows_and_a_change_of_shape_in_one_transaction_keep_their_order() {
    let mut world = World::new(T).await;
    world
        .run(
            "BEGIN TRANSACTION; INSERT INTO dbo.t VALUES (1, 'a'); ALTER TABLE dbo.t ADD extra int NOT NULL DEFAULT 5; \
             EXEC('UPDATE dbo.t SET extra = 6; INSERT INTO dbo.t VALUES (2, ''b'', 7)'); COMMIT",
        )
        .await;
    // The update touches only what the instance doesn't have.
    assert_eq!(world.changes("t", "id, v").await, "2,1,a|2,2,b");
    let history = "SELECT CONCAT(CASE WHEN ddl_lsn = (SELECT MAX(__$start_lsn) FROM cdc.t_CT) THEN 'same commit' END, ',', \
                   required_column_update) FROM cdc.ddl_history";
    assert_eq!(world.ask(history).await, "same commit,0");
    // What is rolled back isn't in the history, and an instance that is isn't there.
    world.run("BEGIN TRANSACTION; ALTER TABLE dbo.t ADD more int; ROLLBACK").await;
    world
        .run("BEGIN TRANSACTION; EXEC sys.sp_cdc_enable_table N'dbo', N't', N'gone', @role_name = NULL; ROLLBACK")
        .await;
    world.scan();
    assert_eq!(world.ask("SELECT CONCAT(COUNT(*), '') FROM cdc.ddl_history").await, "1");
    assert_eq!(world.ask("SELECT capture_instance FROM cdc.change_tables").await, "t");
}

#[tokio::test]
async fn partitions_that_are_switched_are_not_captured_and_may_be_kept_from_it() {
    let columns = "(id int NOT NULL PRIMARY KEY, v varchar(20) NULL)";
    let mut world = World::new(&format!(
        "CREATE PARTITION FUNCTION halves (int) AS RANGE LEFT FOR VALUES (100); \
         CREATE PARTITION SCHEME places AS PARTITION halves ALL TO ([PRIMARY]); \
         CREATE TABLE dbo.t {columns} ON places (id); CREATE TABLE dbo.staging {columns}"
    ))
    .await;
    world.run("INSERT INTO dbo.t VALUES (1, 'a'), (200, 'b')").await;
    let (out, back) =
        ("ALTER TABLE dbo.t SWITCH PARTITION 1 TO dbo.staging", "ALTER TABLE dbo.staging SWITCH TO dbo.t PARTITION 1");
    world.run(out).await;
    assert_eq!(world.changes("t", "id").await, "2,1|2,200");
    assert_eq!(world.changes("staging", "id").await, "");
    assert_eq!(world.ask("SELECT v FROM dbo.staging UNION ALL SELECT v FROM dbo.t").await, "a|b");
    let strict = "@source_schema = N'dbo', @role_name = NULL, @allow_partition_switch = 0, @capture_instance";
    world.run(&format!("EXEC sys.sp_cdc_enable_table @source_name = N't', {strict} = N'strict'")).await;
    world
        .run(&format!("EXEC sys.sp_cdc_enable_table @source_name = N'staging', {strict} = N'without partitions'"))
        .await;
    let allowed = "SELECT CONCAT(capture_instance, partition_switch) FROM cdc.change_tables ORDER BY 1";
    assert_eq!(world.ask(allowed).await, "staging1|strict0|t1|without partitions1");
    assert_eq!(world.fails(back).await, 22_842, "the destination forbids it");
    world.run("DELETE dbo.staging").await;
    assert_eq!(world.fails(out).await, 22_843, "the source forbids it");
}

#[tokio::test]
async fn column_sets_and_disabled_indexes_are_in_the_way() {
    let mut world = World::new(T).await;
    world
        .run(
            "CREATE TABLE dbo.s (id int NOT NULL PRIMARY KEY, a int SPARSE NULL, \
               cs xml COLUMN_SET FOR ALL_SPARSE_COLUMNS)",
        )
        .await;
    let enable = "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @role_name = NULL, @source_name";
    assert_eq!(world.fails(&format!("{enable} = N's'")).await, 22_854);
    assert_eq!(world.fails("ALTER TABLE dbo.t ADD cs xml COLUMN_SET FOR ALL_SPARSE_COLUMNS").await, 22_854);
    world.run("CREATE TABLE dbo.k (id int NOT NULL, n int NOT NULL); CREATE UNIQUE INDEX by_id ON dbo.k (id)").await;
    world.run("ALTER INDEX by_id ON dbo.k DISABLE").await;
    assert_eq!(world.fails(&format!("{enable} = N'k', @index_name = N'by_id'")).await, 22_980);
    world.run("ALTER INDEX by_id ON dbo.k REBUILD").await;
    world.run(&format!("{enable} = N'k', @index_name = N'by_id'")).await;
    assert_eq!(world.fails("DROP INDEX by_id ON dbo.k").await, 22_983);
    assert_eq!(world.fails("ALTER INDEX by_id ON dbo.k DISABLE").await, 22_983);
}

#[tokio::test]
async fn cascades_are_captured_and_truncation_is_refused() {
    let mut world = World::new(
        "CREATE TABLE dbo.a (id int NOT NULL PRIMARY KEY); \
         CREATE TABLE dbo.b (id int NOT NULL PRIMARY KEY, a int REFERENCES dbo.a ON DELETE CASCADE ON UPDATE CASCADE)",
    )
    .await;
    world.run("INSERT INTO dbo.a VALUES (1), (2); INSERT INTO dbo.b VALUES (1, 1), (2, 1), (3, 2)").await;
    world.run("DELETE dbo.a WHERE id = 1; UPDATE dbo.a SET id = 5").await;
    assert_eq!(world.changes("b", "id, a").await, "2,1,1|2,2,1|2,3,2|1,1,1|1,2,1|3,3,2|4,3,5");
    let commits = "SELECT CONCAT(COUNT(DISTINCT b.__$start_lsn), '') FROM cdc.b_CT b JOIN cdc.a_CT a \
                   ON a.__$start_lsn = b.__$start_lsn";
    assert_eq!(world.ask(commits).await, "2", "each in the commit of its cause");
    assert_eq!(world.fails("TRUNCATE TABLE dbo.b").await, 4711);
}
