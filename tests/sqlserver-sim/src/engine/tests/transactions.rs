use super::*;

fn filled() -> (Arc<Storage>, Client) {
    let storage = storage();
    let mut client = Client::new(&storage);
    client.ask("CREATE DATABASE d; ALTER DATABASE d SET ALLOW_SNAPSHOT_ISOLATION ON; USE d; CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1)");
    (storage, client)
}

#[test]
fn transactions_commit_roll_back_and_go_back_to_savepoints() {
    let (_, mut client) = filled();
    client.ask("BEGIN TRAN; INSERT INTO t VALUES (2, 2); ROLLBACK");
    assert_eq!(client.ask("SELECT COUNT(*), @@TRANCOUNT FROM t"), "1,0");
    client.ask(
        "BEGIN TRAN; INSERT INTO t VALUES (2, 2); SAVE TRAN s; INSERT INTO t VALUES (3, 3); ROLLBACK TRAN s; COMMIT",
    );
    assert_eq!(client.ask("SELECT id FROM t"), "1|2");
    assert_eq!(client.ask("BEGIN TRAN; BEGIN TRAN; COMMIT; SELECT @@TRANCOUNT; ROLLBACK"), "1");
    assert_eq!(client.fails("COMMIT"), 3902);
    assert_eq!(client.fails("ROLLBACK"), 3903);
    client.ask("BEGIN TRAN; CREATE TABLE x (id int); ROLLBACK");
    assert_eq!(client.ask("SELECT OBJECT_ID('x')"), "NULL");
}

#[test]
fn an_error_ends_its_statement_or_more() {
    let (_, mut client) = filled();
    let answer = client.answer("INSERT INTO t VALUES (1, 1); INSERT INTO t VALUES (5, 5)", Vec::new());
    assert_eq!(answer.errors.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2627]);
    assert_eq!(client.ask("SELECT COUNT(*) FROM t"), "2");
    client.answer("SET XACT_ABORT ON; BEGIN TRAN; INSERT INTO t VALUES (6, 6); INSERT INTO t VALUES (1, 1); INSERT INTO t VALUES (7, 7)", Vec::new());
    assert_eq!(client.ask("SELECT COUNT(*), @@TRANCOUNT FROM t"), "2,0");
}

#[test]
fn errors_are_caught_and_thrown() {
    let (_, mut client) = filled();
    assert_eq!(
        client.ask("BEGIN TRY INSERT INTO t VALUES (1, 1) END TRY BEGIN CATCH SELECT ERROR_NUMBER(), ERROR_SEVERITY(), XACT_STATE() END CATCH"),
        "2627,14,0"
    );
    assert_eq!(client.fails("BEGIN TRY SELECT 1 / 0 END TRY BEGIN CATCH THROW END CATCH"), 8134);
    assert_eq!(client.fails("THROW 50001, 'mine', 1"), 50001);
    let answer = client.answer("RAISERROR('a %s %d', 16, 2, 'x', 5); PRINT 'after'", Vec::new());
    assert_eq!((answer.errors, answer.messages), (vec![(50_000, "a x 5".to_owned())], vec!["after".to_owned()]));
    assert_eq!(
        client.ask("BEGIN TRY EXEC('SELECT * FROM nope') END TRY BEGIN CATCH SELECT ERROR_NUMBER() END CATCH"),
        "208"
    );
    assert_eq!(
        client.ask(
            "DECLARE @i int = 0; WHILE 1 = 1 BEGIN SET @i += 1; IF @i = 3 CONTINUE; IF @i > 5 BREAK END; SELECT @i"
        ),
        "6"
    );
}

#[test]
fn readers_wait_see_versions_or_time_out() {
    let (storage, mut writer) = filled();
    let mut reader = Client::new(&storage);
    reader.ask("USE d");
    writer.ask("BEGIN TRAN; UPDATE t SET v = 2");
    assert_eq!(reader.fails("SET LOCK_TIMEOUT 50; SELECT v FROM t"), 1222);
    assert_eq!(reader.ask("SELECT v FROM t WITH (NOLOCK)"), "2");
    assert_eq!(reader.ask("SELECT v FROM t WITH (READPAST)"), "");
    assert_eq!(reader.ask("SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRAN; SELECT v FROM t"), "1");
    writer.ask("COMMIT");
    assert_eq!(reader.ask("SELECT v FROM t"), "1");
    assert_eq!(reader.fails("UPDATE t SET v = 9"), 3960);
    assert_eq!(reader.ask("SELECT v, @@TRANCOUNT FROM t"), "2,0");
}

#[test]
fn table_variables_keep_their_rows() {
    let (_, mut client) = filled();
    assert_eq!(client.ask("DECLARE @t TABLE (id int PRIMARY KEY, v int DEFAULT 4); BEGIN TRAN; INSERT INTO @t (id) VALUES (1), (2); ROLLBACK; UPDATE @t SET v = 5 WHERE id = 2; SELECT id, v FROM @t ORDER BY id"), "1,4|2,5");
    assert_eq!(client.fails("SELECT * FROM @t"), 1087);
}

#[test]
fn rows_that_are_read_to_be_changed_stay_locked() {
    let (storage, mut first) = filled();
    first.ask("INSERT INTO t VALUES (2, 2), (3, 3)");
    let mut second = Client::new(&storage);
    second.ask("USE d; SET LOCK_TIMEOUT 50");
    for hint in ["UPDLOCK", "XLOCK", "ROWLOCK, UPDLOCK", "UPDLOCK, HOLDLOCK"] {
        first.ask(&format!("BEGIN TRAN; SELECT v FROM t WITH ({hint}) WHERE id = 1"));
        assert_eq!(second.fails("SELECT v FROM t WITH (UPDLOCK) WHERE id = 1"), 1222, "{hint}");
        assert_eq!(second.fails("UPDATE t SET v = 9 WHERE id = 1"), 1222, "{hint}");
        first.ask("COMMIT");
        second.ask("UPDATE t SET v = 1 WHERE id = 1");
    }
    first.ask("BEGIN TRAN; SELECT v FROM t WITH (UPDLOCK) WHERE id = 1");
    assert_eq!(second.ask("SELECT v FROM t WHERE id = 1"), "1");
    second.ask("UPDATE t SET v = 2 WHERE id = 2");
    first.ask("ROLLBACK");
}

#[test]
fn workers_of_a_queue_pass_over_what_others_took() {
    let (storage, mut first) = filled();
    first.ask("INSERT INTO t VALUES (2, 2), (3, 3)");
    let mut second = Client::new(&storage);
    second.ask("USE d; SET LOCK_TIMEOUT 50");
    let take = "SELECT TOP 1 id FROM t WITH (UPDLOCK, READPAST) ORDER BY id";
    first.ask("BEGIN TRAN");
    assert_eq!(first.ask(take), "1");
    second.ask("BEGIN TRAN");
    assert_eq!(second.ask(take), "2");
    first.ask("DELETE t WHERE id = 1; COMMIT");
    second.ask("ROLLBACK");
    let remove = "DELETE TOP (1) FROM t WITH (ROWLOCK, READPAST) OUTPUT deleted.id";
    first.ask("BEGIN TRAN");
    assert_eq!(first.ask(remove), "2");
    assert_eq!(second.ask(remove), "3");
    first.ask("ROLLBACK");
    assert_eq!(second.ask("SELECT id FROM t"), "2");
}
