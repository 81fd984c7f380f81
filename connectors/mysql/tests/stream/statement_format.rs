//! What statements in statement format set off: by views, triggers, functions, procedures and events.

use std::time::Duration;

use millstream_mysql::MySqlConfig;
use millstream_testkit::{Flavor, Server, ServerOptions, require_server};
use tokio::time::sleep;

use super::follow::{Fixture, Follow, shown};
use super::{servers_named, statement_servers};

const TABLES: &str = "CREATE TABLE a (id INT); CREATE TABLE b (id INT); CREATE TABLE c (id INT);
    CREATE TABLE rest (id INT); CREATE TABLE `Log` (id INT); CREATE TABLE sums (id INT, n INT);
    CREATE TABLE parent (id INT PRIMARY KEY);
    CREATE TABLE child (id INT, FOREIGN KEY (id) REFERENCES parent (id) ON DELETE CASCADE);";

const OBJECTS: &str = "CREATE TRIGGER t1 AFTER INSERT ON b FOR EACH ROW INSERT INTO a VALUES (NEW.id);
    CREATE TRIGGER t2 AFTER UPDATE ON c FOR EACH ROW CALL noted(NEW.id);
    CREATE TRIGGER t3 AFTER INSERT ON c FOR EACH ROW DELETE FROM parent WHERE id = NEW.id;
    CREATE TRIGGER t5 AFTER DELETE ON child FOR EACH ROW INSERT INTO a VALUES (OLD.id);
    CREATE PROCEDURE noted(x INT) INSERT INTO `Log` VALUES (x);
    CREATE FUNCTION counted(x INT) RETURNS INT DETERMINISTIC BEGIN INSERT INTO b VALUES (x); RETURN x; END;
    CREATE FUNCTION total() RETURNS INT READS SQL DATA RETURN (SELECT COUNT(*) FROM rest);
    CREATE VIEW counting AS SELECT counted(id) AS id FROM rest;
    CREATE VIEW plain AS SELECT id FROM a;";

/// Makes all of them and selects some.
async fn prepare(fixture: &mut Fixture, selected: &[&str]) {
    fixture.select(selected);
    fixture.sql(TABLES).await;
    fixture.sql(OBJECTS).await;
}

/// Which tables are read again on account of a statement in statement format.
async fn replaced(fixture: &Fixture, follow: &mut Follow, statement: &str) -> Vec<String> {
    fixture.sql(&format!("SET SESSION binlog_format = STATEMENT; {statement}")).await;
    tables(follow.lines().await)
}

fn tables(lines: Vec<String>) -> Vec<String> {
    let table = |line: &String| line.strip_suffix(" rows replaced").unwrap_or(line).to_owned();
    let mut tables: Vec<String> = lines.iter().map(table).collect();
    tables.sort();
    tables.dedup();
    tables
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_followed_to_every_table_that_it_wrote_to() {
    require_server!(Flavor::MySql);
    require_server!(Flavor::MariaDb);
    for mut fixture in statement_servers().await {
        prepare(&mut fixture, &["a", "b", "rest", "child", "Log"]).await;
        fixture.sql("INSERT INTO rest VALUES (1)").await;
        let mut follow = fixture.follow().await;
        let flavor = fixture.endpoint.flavor();
        for (statement, expected) in [
            ("INSERT INTO a VALUES (1)", &["a"][..]),
            ("INSERT INTO rest SELECT id FROM a", &["rest"]),
            ("INSERT INTO b VALUES (1)", &["a", "b"]),
            // The function's row sets off a trigger.
            ("INSERT INTO sums VALUES (COUNTED(2), 0)", &["a", "b"]),
            ("INSERT INTO sums SELECT id, 0 FROM counting", &["a", "b"]),
            ("UPDATE sums SET n = 1 WHERE counted(3) = 3", &["a", "b"]),
            ("DELETE FROM sums WHERE counted(id) = -1", &["a", "b"]),
            // Triggers count whatever kind of change they are for.
            ("INSERT INTO c VALUES (1)", &["Log", "a", "child"]),
            ("INSERT INTO parent VALUES (1)", &[]),
            // Newer servers run triggers of the rows that foreign keys delete.
            ("DELETE FROM parent", &["a", "child"]),
            ("UPDATE c SET id = 2", &["Log", "a", "child"]),
            ("INSERT INTO plain VALUES (5)", &["a"]),
            ("DELETE FROM plain WHERE id = 5", &["a"]),
            ("CREATE TEMPORARY TABLE d (id INT); INSERT INTO d VALUES (1)", &[]),
            // What only reads is left alone.
            ("REPLACE INTO sums SELECT total(), COUNT(*) FROM b, child", &[]),
        ] {
            assert_eq!(replaced(&fixture, &mut follow, statement).await, expected, "{flavor}: {statement}");
        }
        // What comes and goes meanwhile counts as well.
        fixture.sql("CREATE TRIGGER t4 AFTER INSERT ON sums FOR EACH ROW INSERT INTO rest VALUES (1)").await;
        let statement = "INSERT INTO sums VALUES (1, 1)";
        assert_eq!(replaced(&fixture, &mut follow, statement).await, ["rest"], "{flavor}");
        fixture.sql("DROP TRIGGER t4").await;
        assert_eq!(replaced(&fixture, &mut follow, statement).await, [""; 0], "{flavor}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_took_part_and_is_gone_when_the_log_is_read_counts_where_it_went() {
    require_server!(Flavor::MySql);
    require_server!(Flavor::MariaDb);
    for mut fixture in statement_servers().await {
        prepare(&mut fixture, &["a", "b", "rest"]).await;
        let elsewhere = fixture.endpoint.create_database("elsewhere").await.unwrap();
        fixture.sql(&format!("CREATE VIEW {elsewhere}.v AS SELECT 1")).await;
        let (position, catalog) = fixture.here().await;
        let insert = "SET SESSION binlog_format = STATEMENT; INSERT INTO b VALUES (1)";
        fixture.sql(&format!("{insert}; DROP VIEW {elsewhere}.v; DROP TRIGGER t1")).await;
        let mut late = fixture.follow_from(&position, catalog).await;
        let expected = ["b rows replaced", "a rows replaced", "b rows replaced", "rest rows replaced"];
        assert_eq!(late.lines().await, expected, "{}", fixture.endpoint.flavor());
        // What goes later was in the answer.
        fixture.sql(insert).await;
        assert_eq!(late.lines().await, ["b rows replaced"], "{}", fixture.endpoint.flavor());
        fixture.sql("DROP VIEW plain").await;
        assert_eq!(late.lines().await, [""; 0], "{}", fixture.endpoint.flavor());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_took_part_counts_where_it_went_after_a_restart_too() {
    require_server!(Flavor::MySql);
    require_server!(Flavor::MariaDb);
    for mut fixture in statement_servers().await {
        prepare(&mut fixture, &["a", "b", "large"]).await;
        fixture.sql("CREATE TABLE large (id INT PRIMARY KEY, body LONGTEXT)").await;
        let flavor = fixture.endpoint.flavor();
        let (position, catalog) = fixture.here().await;
        fixture.sql("SET SESSION binlog_format = STATEMENT; INSERT INTO b VALUES (1)").await;
        fixture.sql("SET SESSION binlog_format = ROW; INSERT INTO large VALUES (1, REPEAT('x', 2000000))").await;
        fixture.sql("DROP TRIGGER t1").await;
        // The large row ends a delivery, and there it is stopped.
        let mut late = fixture.follow_from(&position, catalog.clone()).await;
        let first = late.next().await.unwrap();
        assert!(first.events.iter().flat_map(shown).any(|line| line == "b rows replaced"), "{flavor}");
        let mut resumed = fixture.follow_from(&late.position, catalog.clone()).await;
        let mut told = resumed.lines().await;
        told.sort();
        let expected = ["a rows replaced", "b rows replaced", "large rows replaced"];
        assert_eq!(told, expected, "{flavor}: from {}", late.position);
        // Where nothing was relied on, nothing is hidden.
        fixture.sql("DROP TRIGGER t2").await;
        let mut follow = fixture.follow_from(&resumed.position, catalog).await;
        assert_eq!(follow.lines().await, [""; 0], "{flavor}: from {}", resumed.position);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_user_cant_see_may_have_written_to_every_table() {
    require_server!(Flavor::MySql);
    require_server!(Flavor::MariaDb);
    // Whose server has other statements meanwhile can't tell whose they are, either.
    for mut fixture in servers_named("unseen").await {
        prepare(&mut fixture, &["a", "b", "rest"]).await;
        let user = format!("u_{}", fixture.database);
        fixture.endpoint.create_user(&user, "pw", "REPLICATION SLAVE, REPLICATION CLIENT").await.unwrap();
        fixture.sql(&format!("GRANT SELECT, TRIGGER, SHOW VIEW ON {}.* TO {user}", fixture.database)).await;
        fixture.source = MySqlConfig::new(fixture.endpoint.uri(&user, "pw", "")).build("test").unwrap();
        let statement = "INSERT INTO sums VALUES (1, 1)";
        let mut follow = fixture.follow().await;
        let flavor = fixture.endpoint.flavor();
        assert_eq!(replaced(&fixture, &mut follow, statement).await, ["a", "b", "rest"], "{flavor}");
        let routines = match flavor {
            Flavor::MySql => format!("GRANT SHOW_ROUTINE ON *.* TO {user}"),
            Flavor::MariaDb => format!("GRANT SELECT ON mysql.proc TO {user}"),
        };
        fixture.sql(&format!("GRANT TRIGGER, SHOW VIEW ON *.* TO {user}; {routines}")).await;
        let mut follow = fixture.follow().await;
        assert_eq!(replaced(&fixture, &mut follow, statement).await, [""; 0], "{flavor}");
        let statement = "INSERT INTO sums VALUES (counted(1), 1)";
        assert_eq!(replaced(&fixture, &mut follow, statement).await, ["a", "b"], "{flavor}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_events_statements_and_calls_of_functions_are_in_the_log_by_themselves() {
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        require_server!(flavor);
        let options = ServerOptions::new().set("binlog_format", "STATEMENT").set("event_scheduler", "ON");
        let server = Server::start(flavor, options).await.unwrap();
        let mut fixture = Fixture::new(server.endpoint()).await;
        prepare(&mut fixture, &["a", "b", "rest"]).await;
        let mut follow = fixture.follow().await;
        fixture.sql("CREATE EVENT e ON SCHEDULE AT CURRENT_TIMESTAMP DO INSERT INTO b VALUES (9)").await;
        let count = format!("SELECT COUNT(*) FROM {}.a", fixture.database);
        while server.value(&count).await.unwrap().as_deref() != Some("1") {
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(tables(follow.lines().await), ["a", "b"], "{flavor}");
        // Of a function that is called by itself it isn't asked what it does.
        fixture.sql("SELECT counted(4)").await;
        assert_eq!(tables(follow.lines().await), ["a", "b", "rest"], "{flavor}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalog_isnt_asked_about_each_statement() {
    const STATEMENTS: usize = 60;
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        require_server!(flavor);
        let server = Server::start(flavor, ServerOptions::new()).await.unwrap();
        let mut fixture = Fixture::new(server.endpoint()).await;
        prepare(&mut fixture, &["a"]).await;
        let mut follow = fixture.follow().await;
        let connections = async || {
            let rows = server.rows("SHOW GLOBAL STATUS LIKE 'Connections'").await.unwrap();
            rows[0][1].as_ref().unwrap().parse::<usize>().unwrap()
        };
        let before = connections().await;
        let inserts = "INSERT INTO sums VALUES (1, 1); DELETE FROM sums;".repeat(STATEMENTS / 2);
        assert_eq!(replaced(&fixture, &mut follow, &inserts).await, [""; 0], "{flavor}");
        let made = connections().await - before;
        assert!(made < STATEMENTS / 4, "{flavor}: {made} connections for {STATEMENTS} statements");
    }
}
