//! Settings of the server and the session, cursors, jumps, and who one is.

use super::*;

#[test]
fn trace_flag_8207_and_the_size_of_replicated_texts_take_effect() {
    let storage = storage();
    let mut client = Client::new(&storage);
    client.ask("DBCC TRACEON(8207, -1)");
    assert!(storage.capture().in_place_singletons());
    assert_eq!(client.ask("DBCC TRACESTATUS(8207) WITH NO_INFOMSGS"), "8207,1,1,0");
    client.ask("DBCC TRACEOFF(8207, -1)");
    assert!(!storage.capture().in_place_singletons());
    assert_eq!(client.fails("DBCC TRACEON(8207)"), 40_517);
    assert_eq!(client.fails("DBCC TRACEON(1222, -1)"), 40_517);

    client.ask("EXEC sp_configure 'max text repl size', 100");
    assert_eq!(storage.capture().lob_bytes_max(), Some(65_536));
    assert_eq!(client.ask("EXEC sp_configure 'max text repl size'"), "max text repl size (B),-1,2147483647,100,65536");
    client.ask("RECONFIGURE");
    assert_eq!(storage.capture().lob_bytes_max(), Some(100));
    client.ask("EXEC sys.sp_configure N'max text repl size (B)', N'-1'; RECONFIGURE WITH OVERRIDE");
    assert_eq!(storage.capture().lob_bytes_max(), None);
    assert!(client.ask("EXEC sp_configure").contains("max text repl size (B),-1,2147483647,-1,-1"));
    assert_eq!(client.fails("EXEC sp_configure 'max text repl size', -2"), 15_129);
    assert_eq!(client.fails("EXEC sp_configure 'cost threshold for parallelism', 5"), 40_517);
    client.ask("EXEC sp_configure 'show advanced options', 1; RECONFIGURE");
}

#[test]
fn identities_are_reseeded() {
    let mut client = in_database();
    client.ask("CREATE TABLE t (id int IDENTITY(1, 1) PRIMARY KEY, v int)");
    client.ask("DBCC CHECKIDENT ('t', RESEED, 100); INSERT INTO t (v) VALUES (1)");
    assert_eq!(client.ask("SELECT id FROM t"), "100");
    client.ask("DBCC CHECKIDENT ('dbo.t', RESEED, 7); INSERT INTO t (v) VALUES (2)");
    assert_eq!(client.ask("SELECT MIN(id) FROM t"), "8");
    let answer = client.answer("DBCC CHECKIDENT ('t', NORESEED)", Vec::new());
    assert_eq!(
        answer.messages[0],
        "Checking identity information: current identity value '8', current column value '100'."
    );
    client.ask("DBCC CHECKIDENT ('t'); INSERT INTO t (v) VALUES (3)");
    assert_eq!(client.ask("SELECT MAX(id) FROM t"), "101");
    assert_eq!(client.fails("DBCC CHECKIDENT ('nope')"), 2501);
}

#[test]
fn what_has_no_effect_is_refused_or_has_none_to_have() {
    let mut client = in_database();
    assert!(client.ask("SET NOCOUNT ON; DBCC USEROPTIONS").contains("nocount,SET|xact"[..10].trim_end_matches('|')));
    for sql in [
        "CHECKPOINT",
        "DBCC FREEPROCCACHE",
        "SET ARITHABORT ON",
        "SET TEXTSIZE 2147483647",
        "SET ANSI_WARNINGS ON; SET DATEFORMAT mdy; SET LANGUAGE us_english; SET STATISTICS IO OFF",
        "ALTER DATABASE SCOPED CONFIGURATION SET MAXDOP = 4; SELECT 1",
        "UPDATE STATISTICS dbo.t",
    ] {
        client.ask(sql);
    }
    for sql in [
        "DBCC SHRINKDATABASE (d)",
        "SET ANSI_WARNINGS OFF",
        "SET DATEFORMAT dmy",
        "SET STATISTICS TIME ON",
        "BEGIN DISTRIBUTED TRANSACTION",
        "SELECT 'a' COLLATE Latin1_General_BIN2",
        "CREATE DATABASE e COLLATE Latin1_General_CS_AS",
        "CREATE TABLE t (id int PRIMARY KEY WITH (IGNORE_DUP_KEY = ON))",
        "GRANT SELECT TO public WITH GRANT OPTION",
    ] {
        assert_eq!(client.fails(sql), 40_517, "{sql}");
    }
    assert_eq!(client.fails("SET NONSENSE ON"), 195);
    assert_eq!(client.fails("GRANT NONSENSE TO public"), 102);
}

#[test]
fn cursors_go_through_rows() {
    let mut client = in_database();
    client.ask("CREATE TABLE t (id int PRIMARY KEY, v varchar(5)); INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')");
    assert_eq!(
        client.ask(
            "DECLARE @id int, @v varchar(5), @all varchar(50) = ''
             DECLARE c CURSOR LOCAL FAST_FORWARD FOR SELECT id, v FROM t WHERE id > 1 ORDER BY id
             OPEN c
             FETCH NEXT FROM c INTO @id, @v
             WHILE @@FETCH_STATUS = 0
             BEGIN
                 SET @all += @v + CAST(@id AS varchar)
                 DELETE FROM t WHERE id = @id
                 FETCH NEXT FROM c INTO @id, @v
             END
             CLOSE c
             DEALLOCATE c
             SELECT @all, @@FETCH_STATUS"
        ),
        "b2c3,-1"
    );
    client.ask("INSERT INTO t VALUES (2, 'x'), (3, 'y'); DECLARE g SCROLL CURSOR FOR SELECT v FROM t ORDER BY id FOR READ ONLY; OPEN g");
    let fetched = |client: &mut Client, how: &str| client.ask(&format!("FETCH {how} FROM g"));
    assert_eq!(fetched(&mut client, "LAST"), "y");
    assert_eq!(fetched(&mut client, "PRIOR"), "x");
    assert_eq!(fetched(&mut client, "ABSOLUTE -3"), "a");
    assert_eq!(fetched(&mut client, "RELATIVE 2"), "y");
    assert_eq!(fetched(&mut client, "NEXT"), "");
    assert_eq!(client.ask("SELECT @@FETCH_STATUS, @@CURSOR_ROWS, CURSOR_STATUS('global', 'g')"), "-1,3,1");
    client.ask("CLOSE g; DEALLOCATE g");
    assert_eq!(client.fails("OPEN g"), 16_916);
    assert_eq!(client.fails("DECLARE c CURSOR LOCAL FOR SELECT 1 AS a; FETCH NEXT FROM c"), 16_917);
    assert_eq!(client.fails("DECLARE c CURSOR LOCAL FOR SELECT 1 AS a; OPEN c; FETCH PRIOR FROM c"), 16_911);
    assert_eq!(
        client.fails("DECLARE @a int, @b int; DECLARE c CURSOR LOCAL FOR SELECT 1 AS a; OPEN c; FETCH c INTO @a, @b"),
        16_924
    );
    assert_eq!(client.fails("DECLARE c CURSOR DYNAMIC FOR SELECT 1 AS a"), 40_517);
    assert_eq!(
        client.ask("DECLARE @n int = 5, @got int; DECLARE @c CURSOR; SET @c = CURSOR FOR SELECT @n + 1; SET @n = 9; OPEN @c; FETCH @c INTO @got; SELECT @got"),
        "6"
    );
}

#[test]
fn jumps_go_to_labels() {
    let mut client = client();
    assert_eq!(client.ask("DECLARE @i int = 0 again: SET @i += 1 IF @i < 5 GOTO again SELECT @i"), "5");
    assert_eq!(
        client.ask(
            "DECLARE @i int = 0; WHILE 1 = 1 BEGIN SET @i += 1; IF @i = 3 GOTO done; END; SET @i = 99; done: SELECT @i"
        ),
        "3"
    );
    assert_eq!(client.fails("GOTO nowhere"), 133);
    assert_eq!(client.fails("a: SELECT 1; a: SELECT 2"), 132);
    assert_eq!(client.fails("GOTO inside; IF 1 = 1 BEGIN inside: SELECT 1 END"), 40_517);
}

#[test]
fn a_session_is_somebody_else_until_it_reverts() {
    let storage = storage();
    let mut admin = Client::new(&storage);
    admin.ask("CREATE DATABASE d; USE d; CREATE TABLE t (id int); CREATE TABLE s (id int); CREATE USER reader WITHOUT LOGIN; GRANT SELECT ON t TO reader");
    admin.ask("EXECUTE AS USER = 'reader'");
    assert_eq!(admin.ask("SELECT USER_NAME(), IS_SRVROLEMEMBER('sysadmin'), ORIGINAL_LOGIN()"), "reader,0,sa");
    assert_eq!(admin.ask("SELECT COUNT(*) FROM t"), "0");
    assert_eq!(admin.fails("SELECT * FROM s"), 229);
    assert_eq!(admin.fails("CREATE TABLE x (id int)"), 262);
    assert_eq!(admin.fails("EXEC sys.sp_cdc_enable_db"), 22_902);
    assert_eq!(admin.fails("EXECUTE AS USER = 'dbo'"), 15_517);
    admin.ask("REVERT");
    assert_eq!(admin.ask("SELECT USER_NAME(), COUNT(*) FROM s"), "dbo,0");
    admin.ask("EXEC('EXECUTE AS USER = ''reader''')");
    assert_eq!(admin.ask("SELECT USER_NAME()"), "dbo");
    admin.ask("CREATE PROCEDURE who WITH EXECUTE AS 'reader' AS SELECT USER_NAME()");
    assert_eq!(admin.ask("EXEC who; "), "reader");
    assert_eq!(admin.fails("EXECUTE AS USER = 'nobody'"), 15_517);
    admin.ask("CREATE LOGIN l WITH PASSWORD = 'p', CHECK_POLICY = OFF; CREATE USER l FOR LOGIN l WITH DEFAULT_SCHEMA = dbo; EXECUTE AS LOGIN = 'l'");
    assert_eq!(admin.ask("SELECT SUSER_SNAME(), USER_NAME()"), "l,l");
    admin.ask("REVERT; REVERT");
}

#[test]
fn an_owner_that_was_gone_is_named_again() {
    let storage = storage();
    let mut client = Client::new(&storage);
    client.ask("CREATE DATABASE d; USE d");
    let database = storage.database_named("d").unwrap();
    storage.capture().with(database, |capture| capture.owner_missing = true);
    assert_eq!(client.fails("EXEC sys.sp_cdc_enable_db"), 22_830);
    client.ask("ALTER AUTHORIZATION ON DATABASE::d TO sa; EXEC sys.sp_cdc_enable_db");
}

#[test]
fn the_session_keeps_its_context() {
    let mut client = client();
    client.ask("EXEC sp_set_session_context 'tenant', 5; EXEC sp_set_session_context 'fixed', 'x', 1");
    assert_eq!(client.ask("SELECT SESSION_CONTEXT(N'tenant'), SESSION_CONTEXT(N'none')"), "5,NULL");
    assert_eq!(client.fails("EXEC sp_set_session_context 'fixed', 'y'"), 15_664);
    client.ask("SET CONTEXT_INFO 0x0102");
    assert_eq!(client.ask("SELECT SUBSTRING(CONTEXT_INFO(), 1, 3)"), "0x010200");
}

#[test]
fn readers_see_versions_in_new_databases_of_azure() {
    let storage = Storage::new(StorageOptions {
        clock: Clock::manual(Duration::from_secs(1_700_000_000)),
        edition: Edition::AzureSqlDatabase,
        server_name: "sim".to_owned(),
        sa_password: "secret".to_owned(),
    });
    let mut client = Client::new(&storage);
    client.ask("CREATE DATABASE d");
    let asked = "SELECT is_read_committed_snapshot_on, snapshot_isolation_state FROM sys.databases WHERE name = 'd'";
    assert_eq!(client.ask(asked), "1,1");
}
