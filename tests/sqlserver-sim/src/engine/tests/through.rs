//! Rows that are changed through views, common table expressions and subqueries in FROM.

use super::*;

fn with_rows() -> Client {
    let mut client = in_database();
    client.ask("CREATE TABLE t (id int PRIMARY KEY, k varchar(5), n int, twice AS n * 2)");
    client.ask("INSERT INTO t VALUES (1, 'a', 10), (2, 'a', 20), (3, 'b', 30), (4, 'b', 40), (5, 'c', 50)");
    client
}

#[test]
fn duplicates_are_deleted_by_their_number_among_their_like() {
    let mut client = with_rows();
    let numbered = "WITH d AS (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY id DESC) AS rn FROM t)";
    let answer =
        client.answer(&format!("{numbered} DELETE FROM d OUTPUT deleted.id, deleted.twice WHERE rn > 1"), Vec::new());
    assert_eq!(answer.errors, []);
    assert_eq!(answer.results, [vec![vec!["1", "20"], vec!["3", "60"]]]);
    assert_eq!(answer.counts, [2]);
    assert_eq!(client.ask("SELECT id FROM t ORDER BY id"), "2|4|5");
    client.ask("DELETE d FROM (SELECT id, ROW_NUMBER() OVER (ORDER BY id) AS rn FROM t) AS d WHERE d.rn = 2");
    client.ask("WITH d AS (SELECT TOP (1) * FROM t ORDER BY id DESC) DELETE FROM d");
    assert_eq!(client.ask("SELECT id FROM t"), "2");
    assert_eq!(client.fails(&format!("{numbered} DELETE FROM d OUTPUT deleted.rn")), 207);
}

#[test]
fn a_common_table_expression_is_updated_by_its_own_names() {
    let mut client = with_rows();
    client.ask("WITH d (number, letter) AS (SELECT n, k FROM t WHERE id > 2) UPDATE d SET number += 1, letter = UPPER(letter) WHERE letter = 'b'");
    assert_eq!(client.ask("SELECT id, k, n FROM t"), "1,a,10|2,a,20|3,B,31|4,B,41|5,c,50");
    client.ask("WITH d AS (SELECT n, rn = ROW_NUMBER() OVER (ORDER BY id DESC) FROM t) UPDATE d SET n = rn");
    assert_eq!(client.ask("SELECT n FROM t ORDER BY id"), "5|4|3|2|1");
    client.ask("WITH a AS (SELECT id, n FROM t), b AS (SELECT n AS m, id FROM a WHERE id < 3) UPDATE b SET m = 0");
    assert_eq!(client.ask("SELECT n FROM t ORDER BY id"), "0|0|3|2|1");
    client.ask("CREATE TABLE s (id int, new int); INSERT INTO s VALUES (1, 7), (1, 8), (5, 9)");
    client.ask("WITH j AS (SELECT t.n, s.new FROM t JOIN s ON s.id = t.id) UPDATE j SET n = new");
    assert_eq!(client.ask("SELECT n FROM t WHERE id IN (1, 5) ORDER BY id"), "7|9");
    client.ask(
        "WITH d AS (SELECT id, n FROM t) UPDATE x SET n = s.new + x.n FROM d AS x JOIN s ON s.id = x.id WHERE x.id = 5",
    );
    assert_eq!(client.ask("SELECT n FROM t WHERE id = 5"), "18");
}

#[test]
fn a_view_of_one_table_takes_all_statements() {
    let mut client = with_rows();
    client.ask("CREATE VIEW v (number, letter) AS SELECT id, k FROM dbo.t WHERE id > 1");
    client.ask("INSERT INTO v VALUES (6, 'd'); INSERT INTO dbo.v (letter, number) SELECT 'e', 7");
    client.ask("UPDATE dbo.v SET letter = 'z' WHERE number IN (1, 2, 7); UPDATE v SET letter = v.letter + '!' FROM v WHERE number = 7");
    client.ask("DELETE FROM v WHERE number = 3; DELETE x FROM dbo.v AS x WHERE x.number = 4");
    assert_eq!(client.ask("SELECT id, k, n FROM t"), "1,a,10|2,z,20|5,c,50|6,d,NULL|7,z!,NULL");
    assert_eq!(
        client.ask("INSERT INTO v (number) OUTPUT inserted.number, inserted.letter VALUES (8)"),
        "8,NULL",
        "by the view's names"
    );
    client.ask("CREATE VIEW w AS SELECT number FROM v");
    client.ask("DELETE FROM w WHERE number > 5");
    assert_eq!(client.ask("SELECT id FROM t"), "1|2|5");
}

#[test]
fn what_shows_no_single_row_of_one_table_is_refused() {
    let mut client = with_rows();
    client.ask("CREATE TABLE s (id int)");
    for (statement, number) in [
        ("WITH d AS (SELECT k, COUNT(*) AS c FROM t GROUP BY k) DELETE FROM d", 4403),
        ("WITH d AS (SELECT DISTINCT k FROM t) UPDATE d SET k = 'x'", 4403),
        ("WITH d AS (SELECT t.id FROM t JOIN s ON s.id = t.id) DELETE FROM d", 4405),
        ("WITH d AS (SELECT t.k, s.id FROM t JOIN s ON s.id = t.id) UPDATE d SET k = 'x', id = 1", 4405),
        ("WITH d AS (SELECT id FROM t UNION ALL SELECT id FROM s) DELETE FROM d", 4405),
        ("WITH d AS (SELECT n + 1 AS m FROM t) UPDATE d SET m = 1", 4406),
        ("WITH d AS (SELECT n FROM t) UPDATE d SET nothing = 1", 207),
        ("WITH d AS (SELECT twice FROM t) UPDATE d SET twice = 1", 271),
    ] {
        assert_eq!(client.fails(statement), number, "{statement}");
    }
    client.ask("CREATE VIEW v AS SELECT id, n * 2 AS m FROM t");
    assert_eq!(client.fails("INSERT INTO v VALUES (9, 1)"), 4406);
    client.ask("INSERT INTO v (id) VALUES (9)");
}

#[test]
fn who_may_change_a_view_needs_no_right_to_its_table() {
    let storage = storage();
    let mut admin = Client::new(&storage);
    admin.ask("CREATE DATABASE d; USE d; CREATE TABLE t (id int); INSERT INTO t VALUES (1)");
    admin.ask("CREATE VIEW v AS SELECT id FROM t");
    admin.ask("CREATE LOGIN r WITH PASSWORD = 'pw'; CREATE USER r FOR LOGIN r; GRANT SELECT, UPDATE ON v TO r");
    let mut reader = Client::login(&storage, "r", "pw");
    reader.ask("USE d; UPDATE v SET id = 2");
    assert_eq!(reader.fails("DELETE FROM v"), 229);
    assert_eq!(reader.fails("UPDATE t SET id = 3"), 229);
    assert_eq!(admin.ask("SELECT id FROM t"), "2");
}

/// What another has changed since the query ran is looked at again, once it can't change any more.
#[test]
fn rows_are_those_that_the_query_finds_once_they_are_locked() {
    let storage = storage();
    let mut first = Client::new(&storage);
    first.ask(
        "CREATE DATABASE d; USE d; CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1), (2, 2)",
    );
    first.ask("ALTER DATABASE d SET READ_COMMITTED_SNAPSHOT ON; BEGIN TRAN; UPDATE t SET n = 5 WHERE id = 1");
    let mut second = Client::new(&storage);
    let changed = std::thread::spawn(move || {
        second.ask("USE d; WITH d AS (SELECT n FROM t WHERE n < 4) UPDATE d SET n = n + 10; SELECT @@ROWCOUNT")
    });
    std::thread::sleep(Duration::from_millis(100));
    first.ask("COMMIT");
    assert_eq!(changed.join().unwrap(), "1");
    assert_eq!(first.ask("SELECT n FROM t ORDER BY id"), "5|12");
}

#[test]
fn what_is_changed_so_is_captured_as_changes_of_the_table() {
    let mut client = with_rows();
    client.ask("EXEC sys.sp_cdc_enable_db");
    client.ask("EXEC sys.sp_cdc_enable_table @source_schema = 'dbo', @source_name = 't', @role_name = NULL");
    client.ask("CREATE VIEW v AS SELECT id, n AS m FROM t");
    client.ask(
        "WITH d AS (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY id) AS rn FROM t) DELETE FROM d WHERE rn > 1",
    );
    client.ask("UPDATE v SET m = 31 WHERE id = 3; INSERT INTO v VALUES (6, 60)");
    client.ask("EXEC sys.sp_cdc_scan");
    assert_eq!(
        client.ask("SELECT __$operation, id, n FROM cdc.dbo_t_CT ORDER BY __$start_lsn, __$command_id, __$operation"),
        "1,2,20|1,4,40|3,3,30|4,3,31|2,6,60"
    );
}
