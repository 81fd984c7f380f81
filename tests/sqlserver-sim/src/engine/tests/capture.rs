//! The statements of programs that follow change data capture.

use crate::value::Length;

use super::*;

fn captured() -> Client {
    captured_in(&storage())
}

fn captured_in(storage: &Arc<Storage>) -> Client {
    let mut client = Client::new(storage);
    client.ask(
        "CREATE DATABASE d; USE d; EXEC sys.sp_cdc_enable_db; \
         CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, v nvarchar(20), n decimal(10, 2)); \
         EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N't', @role_name = NULL, @supports_net_changes = 1; \
         INSERT INTO t VALUES (1, N'a', 1), (2, N'b', 2)",
    );
    client.ask("EXEC sys.sp_cdc_scan @maxtrans = 500, @maxscans = 10, @continuous = 0");
    client.ask("UPDATE t SET v = N'c' WHERE id = 1; DELETE t WHERE id = 2; EXEC sys.sp_cdc_scan");
    client
}

#[test]
fn changes_are_read_by_function_and_directly() {
    let mut client = captured();
    assert_eq!(
        client.ask(
            "DECLARE @from binary(10) = sys.fn_cdc_get_min_lsn('dbo_t'), @to binary(10) = sys.fn_cdc_get_max_lsn(); \
             SELECT [__$operation], id, v FROM cdc.[fn_cdc_get_all_changes_dbo_t](@from, @to, N'all update old') \
             ORDER BY [__$start_lsn] ASC, [__$seqval] ASC, [__$operation] ASC"
        ),
        "2,1,a|2,2,b|3,1,a|4,1,c|1,2,b"
    );
    assert_eq!(
        client
            .ask(
                "SELECT TOP (10) c.[__$operation], c.id, m.tran_end_time FROM cdc.dbo_t_CT c WITH (NOLOCK) \
             LEFT JOIN cdc.lsn_time_mapping m ON m.start_lsn = c.[__$start_lsn] WHERE c.[__$start_lsn] >= 0x00 \
             ORDER BY c.[__$start_lsn], c.[__$command_id], c.[__$seqval], c.[__$operation]"
            )
            .split('|')
            .count(),
        5
    );
    assert_eq!(client.fails("SELECT * FROM cdc.fn_cdc_get_all_changes_dbo_t(0x01, 0x02, N'all')"), 313);
    assert_eq!(client.fails("SELECT * FROM cdc.fn_cdc_get_all_changes_nope(0x01, 0x02, N'all')"), 208);
}

#[test]
fn the_state_of_capture_is_read() {
    let mut client = captured();
    assert_eq!(client.ask("SELECT is_cdc_enabled FROM sys.databases WHERE name = DB_NAME()"), "1");
    assert_eq!(client.ask("SELECT s.name, t.name, t.is_tracked_by_cdc FROM sys.tables t INNER JOIN sys.schemas s ON t.schema_id = s.schema_id WHERE t.is_tracked_by_cdc = 1"), "dbo,t,1");
    assert_eq!(
        client.ask(
            "WITH ordered_change_tables AS (SELECT ROW_NUMBER() OVER (PARTITION BY ct.source_object_id, ct.start_lsn ORDER BY ct.create_date DESC) AS ct_sequence, ct.* \
             FROM [d].cdc.[change_tables] AS ct) SELECT OBJECT_SCHEMA_NAME(source_object_id, DB_ID(N'd')), OBJECT_NAME(source_object_id, DB_ID(N'd')), capture_instance, \
             (SELECT cc.column_name AS n FROM [d].cdc.[captured_columns] cc WHERE cc.object_id = oct.object_id AND cc.column_ordinal = 1) \
             FROM ordered_change_tables oct WHERE ct_sequence = 1"
        ),
        "dbo,t,dbo_t,id"
    );
    assert_eq!(
        client.ask(
            "SELECT CASE WHEN sys.fn_cdc_increment_lsn(@@x) IS NULL THEN 1 END"
                .replace("@@x", "0x00000000000000000001")
                .as_str()
        ),
        "NULL"
    );
    assert_eq!(
        client
            .ask("SELECT CASE WHEN MAX([__$start_lsn]) = sys.fn_cdc_get_max_lsn() THEN 1 ELSE 0 END FROM cdc.dbo_t_CT"),
        "1"
    );
    assert_eq!(client.ask("SELECT COUNT(*) FROM cdc.lsn_time_mapping WHERE tran_id <> 0x00"), "3");
    assert_eq!(client.ask("SELECT sys.fn_cdc_map_lsn_to_time(sys.fn_cdc_get_max_lsn())").len(), 19);
    client.ask("EXEC sys.sp_cdc_help_change_data_capture; EXEC sys.sp_cdc_help_jobs");
    assert_eq!(client.fails("TRUNCATE TABLE t"), 4711);
    assert_eq!(client.fails("EXEC sp_rename 't.v', 'w', 'COLUMN'"), 4928);
}

#[test]
fn definitions_are_ordered_among_changes() {
    let mut client = captured();
    client.ask("ALTER TABLE dbo.t ADD extra int NULL; INSERT INTO t VALUES (5, N'e', 5, 6); EXEC sys.sp_cdc_scan");
    assert_eq!(
        client.ask("SELECT h.ddl_command, h.required_column_update, CASE WHEN h.ddl_lsn < sys.fn_cdc_get_max_lsn() THEN 1 ELSE 0 END FROM cdc.ddl_history h"),
        "ALTER TABLE dbo.t ADD extra int NULL,0,1"
    );
    client.ask("EXEC sys.sp_cdc_enable_table @source_schema = 'dbo', @source_name = 't', @role_name = NULL, @capture_instance = 'dbo_t_2'; EXEC sys.sp_cdc_scan");
    assert_eq!(client.ask("SELECT COUNT(*) FROM cdc.change_tables WHERE start_lsn IS NOT NULL"), "2");
    assert_eq!(client.fails("EXEC sys.sp_cdc_enable_table @source_schema = 'dbo', @source_name = 't', @role_name = NULL, @capture_instance = 'x'"), 22962);
}

#[test]
fn pages_of_a_change_table_are_asked_for_by_key() {
    let mut client = captured();
    let lsn = |text: &str| Value::binary(&crate::value::literal::bytes(text.trim_start_matches("0x")).unwrap());
    let first = client.ask("SELECT MIN([__$start_lsn]) FROM cdc.dbo_t_CT");
    let binary = SqlType::VarBinary(Length::Limited(8000));
    let parameter =
        |name: &str, sql_type, value| Parameter { name: name.to_owned(), sql_type, value, output: false, table: None };
    let answer = client.answer(
        "SELECT TOP (@n) id, [__$operation] FROM cdc.[dbo_t_CT] WHERE [__$start_lsn] > @l OR ([__$start_lsn] = @l AND ([__$command_id] > @c OR ([__$command_id] = @c AND [__$operation] > @o))) \
         ORDER BY [__$start_lsn], [__$command_id], [__$seqval], [__$operation]",
        vec![
            parameter("@n", SqlType::BigInt, Value::BigInt(2)),
            parameter("@l", binary, lsn(&first)),
            parameter("@c", SqlType::Int, Value::Int(1)),
            parameter("@o", SqlType::Int, Value::Int(2)),
        ],
    );
    assert_eq!(answer.errors, []);
    assert_eq!(answer.results[0].len(), 2);
}

/// It had the columns of before, and no statement to tell of the new one.
#[test]
fn an_instance_has_the_columns_that_the_table_has_once_it_is_locked() {
    let storage = storage();
    let mut first = Client::new(&storage);
    first.ask("CREATE DATABASE d; USE d; EXEC sys.sp_cdc_enable_db; CREATE TABLE t (id int PRIMARY KEY)");
    first.ask("BEGIN TRAN; ALTER TABLE t ADD a int");
    let mut second = Client::new(&storage);
    let enabled = std::thread::spawn(move || {
        second
            .ask("USE d; EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N't', @role_name = NULL");
    });
    std::thread::sleep(Duration::from_millis(200));
    first.ask("COMMIT");
    enabled.join().unwrap();
    assert_eq!(first.ask("SELECT column_name FROM cdc.captured_columns ORDER BY column_ordinal"), "id|a");
}

#[test]
fn numbers_that_rows_get_in_a_new_column_are_no_changes() {
    let mut client = captured();
    client.ask("INSERT INTO t VALUES (5, N'e', 5); EXEC sys.sp_cdc_scan");
    let count = "SELECT COUNT(*) FROM cdc.dbo_t_CT";
    let before = client.ask(count);
    client.ask("ALTER TABLE t ADD _row_id bigint IDENTITY NOT NULL, version rowversion; EXEC sys.sp_cdc_scan");
    assert_eq!(client.ask(count), before);
    assert_eq!(client.ask("SELECT id, _row_id FROM t ORDER BY id"), "1,1|5,2");
    assert_eq!(client.ask("SELECT COUNT(*) FROM cdc.ddl_history"), "1");
    client.ask("EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N't', @role_name = NULL, @capture_instance = N'second'");
    client.ask("INSERT INTO t (id, v) VALUES (6, N'f'); UPDATE t SET v = N'g' WHERE id = 5; EXEC sys.sp_cdc_scan");
    assert_eq!(client.ask("SELECT __$operation, id, _row_id FROM cdc.second_CT"), "2,6,3|3,5,2|4,5,2");
}

#[test]
fn the_agent_starts_and_stops_the_jobs_by_name() {
    let storage = storage();
    let mut client = captured_in(&storage);
    let database = storage.database_named("d").unwrap();
    let runs = || storage.capture().with(database, |capture| capture.capture.is_some());
    assert!(runs());
    let answer = client.answer("EXEC msdb.dbo.sp_stop_job N'cdc.d_capture'", Vec::new());
    assert_eq!(
        (answer.errors, answer.messages),
        (vec![], vec!["Job 'cdc.d_capture' stopped successfully.".to_owned()])
    );
    assert!(!runs());
    assert_eq!(client.fails("EXEC msdb.dbo.sp_stop_job @job_name = 'cdc.d_capture'"), 22_022);
    client.ask("DECLARE @id uniqueidentifier = (SELECT job_id FROM msdb.dbo.cdc_jobs WHERE job_type = 'capture'); EXEC msdb.dbo.sp_start_job @job_id = @id");
    assert!(runs());
    client.ask("USE msdb; EXEC sp_start_job 'cdc.d_cleanup'");
    for (sql, number) in [
        ("EXEC msdb.dbo.sp_start_job 'CDC.D_CAPTURE'", 22_022),
        ("EXEC msdb.dbo.sp_start_job 'nope'", 14_262),
        ("EXEC msdb.dbo.sp_start_job", 14_294),
        ("USE d; EXEC sp_start_job 'cdc.d_capture'", 2812),
        ("DISABLE TRIGGER tr_MScdc_ddl_event ON DATABASE", 40_517),
    ] {
        assert_eq!(client.fails(sql), number, "{sql}");
    }
    client.ask("CREATE LOGIN l WITH PASSWORD = 'Secret-1'; CREATE USER l FOR LOGIN l; EXECUTE AS LOGIN = 'l'");
    assert_eq!(client.fails("EXEC msdb.dbo.sp_stop_job 'cdc.d_capture'"), 14_262);
}
