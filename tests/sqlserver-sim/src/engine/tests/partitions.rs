//! Partitioned tables, and what change data capture makes of them.

use super::*;

fn partitioned() -> Client {
    let mut client = in_database();
    client.ask("CREATE PARTITION FUNCTION pf (int) AS RANGE RIGHT FOR VALUES (10, 20); CREATE PARTITION SCHEME ps AS PARTITION pf ALL TO ([PRIMARY])");
    for name in ["t", "u"] {
        client.ask(&format!("CREATE TABLE {name} (id int NOT NULL PRIMARY KEY, v int) ON ps (id)"));
    }
    client.ask("CREATE TABLE staging (id int NOT NULL PRIMARY KEY, v int)");
    client.ask("INSERT INTO t VALUES (1, 1), (10, 2), (19, 3), (20, 4)");
    client
}

#[test]
fn rows_belong_to_partitions() {
    let mut client = partitioned();
    assert_eq!(client.ask("SELECT id, $PARTITION.pf(id) FROM t ORDER BY id"), "1,1|10,2|19,2|20,3");
    client.ask("TRUNCATE TABLE t WITH (PARTITIONS (2 TO 3))");
    assert_eq!(client.ask("SELECT id FROM t"), "1");
    client.ask("INSERT INTO t VALUES (15, 1); ALTER PARTITION SCHEME ps NEXT USED [PRIMARY]; ALTER PARTITION FUNCTION pf() SPLIT RANGE (15)");
    assert_eq!(client.ask("SELECT $PARTITION.pf(14), $PARTITION.pf(15), $PARTITION.pf(NULL)"), "2,3,1");
    client.ask("ALTER PARTITION FUNCTION pf() MERGE RANGE (10)");
    assert_eq!(client.ask("SELECT $PARTITION.pf(14)"), "1");
    assert_eq!(client.fails("TRUNCATE TABLE t WITH (PARTITIONS (9))"), 7722);
    assert_eq!(client.fails("TRUNCATE TABLE staging WITH (PARTITIONS (1))"), 7729);
    assert_eq!(client.fails("DROP PARTITION FUNCTION pf"), 7706);
    assert_eq!(client.fails("DROP PARTITION SCHEME ps"), 7717);
    assert_eq!(client.fails("CREATE TABLE w (id int, v int PRIMARY KEY) ON ps (id)"), 1908);
    assert_eq!(client.fails("CREATE TABLE w (id bigint) ON ps (id)"), 7726);
    client.ask("DROP TABLE t; DROP TABLE u; DROP PARTITION SCHEME ps; DROP PARTITION FUNCTION pf");
}

#[test]
fn partitions_are_switched() {
    let mut client = partitioned();
    client.ask("ALTER TABLE t SWITCH PARTITION 2 TO staging");
    assert_eq!(client.ask("SELECT id FROM t ORDER BY id"), "1|20");
    assert_eq!(client.ask("SELECT id FROM staging ORDER BY id"), "10|19");
    assert_eq!(client.fails("ALTER TABLE staging SWITCH TO t PARTITION 1"), 4904);
    assert_eq!(client.fails("ALTER TABLE staging SWITCH TO u PARTITION 1"), 4972);
    client.ask("BEGIN TRAN; ALTER TABLE staging SWITCH TO t PARTITION 2; ROLLBACK");
    assert_eq!(client.ask("SELECT COUNT(*), (SELECT COUNT(*) FROM t) FROM staging"), "2,2");
    client.ask("ALTER TABLE staging SWITCH TO t PARTITION 2; ALTER TABLE t SWITCH PARTITION 3 TO u PARTITION 3");
    assert_eq!(
        client.ask("SELECT (SELECT COUNT(*) FROM t), (SELECT COUNT(*) FROM u), (SELECT COUNT(*) FROM staging)"),
        "3,1,0"
    );
    assert_eq!(client.fails("ALTER TABLE t SWITCH TO staging"), 4911);
    assert_eq!(client.fails("ALTER TABLE staging SWITCH PARTITION 1 TO u PARTITION 1"), 7729);
    assert_eq!(client.ask("SELECT id FROM t WHERE id >= 10 ORDER BY id"), "10|19");
}

#[test]
fn a_switch_of_a_captured_table_leaves_no_changes() {
    let mut client = partitioned();
    client.ask("EXEC sys.sp_cdc_enable_db; EXEC sys.sp_cdc_enable_table @source_schema = 'dbo', @source_name = 't', @role_name = NULL");
    client.ask("ALTER TABLE t SWITCH PARTITION 2 TO staging");
    client.ask("INSERT INTO t VALUES (11, 1); EXEC sys.sp_cdc_scan");
    assert_eq!(client.ask("SELECT id, __$operation FROM cdc.dbo_t_CT"), "11,2");
    assert_eq!(client.fails("TRUNCATE TABLE t WITH (PARTITIONS (1))"), 4711);
    client.ask("EXEC sys.sp_cdc_disable_table 'dbo', 't', 'all'; EXEC sys.sp_cdc_enable_table @source_schema = 'dbo', @source_name = 't', @role_name = NULL, @allow_partition_switch = 0");
    assert_eq!(client.fails("ALTER TABLE t SWITCH PARTITION 1 TO u PARTITION 1"), 22_843);
    assert_eq!(client.fails("ALTER TABLE staging SWITCH TO t PARTITION 2"), 22_842);
}

/// The numbers of a table's partitions, with the rows of each.
fn numbers(client: &mut Client, table: &str) -> Vec<(String, String)> {
    let sql = format!(
        "SELECT partition_id, rows FROM sys.partitions WHERE object_id = OBJECT_ID('{table}') ORDER BY partition_number"
    );
    let rows = client.ask(&sql);
    let pair = |row: &str| row.split_once(',').map(|(id, rows)| (id.to_owned(), rows.to_owned()));
    rows.split('|').filter_map(pair).collect()
}

#[test]
fn the_number_of_a_partition_goes_with_its_rows() {
    let mut client = partitioned();
    client.ask("CREATE TABLE a (id int NOT NULL PRIMARY KEY, v int)");
    let (t, staging, a) = (numbers(&mut client, "t"), numbers(&mut client, "staging"), numbers(&mut client, "a"));
    client.ask("ALTER TABLE t SWITCH PARTITION 1 TO staging; ALTER TABLE t SWITCH PARTITION 2 TO a");
    assert_eq!(numbers(&mut client, "staging"), t[..1]);
    assert_eq!(numbers(&mut client, "a"), t[1..2]);
    assert_eq!(numbers(&mut client, "t"), [&staging[..], &a, &t[2..]].concat());
    client.ask("BEGIN TRAN; ALTER TABLE a SWITCH TO t PARTITION 2; ROLLBACK");
    assert_eq!(numbers(&mut client, "a"), t[1..2]);
    client.ask("ALTER TABLE a SWITCH TO t PARTITION 2; ALTER TABLE staging SWITCH TO t PARTITION 1");
    assert_eq!(numbers(&mut client, "t"), t);
}

#[test]
fn a_boundary_makes_or_ends_the_partition_that_it_belongs_to() {
    let mut client = partitioned();
    let before = numbers(&mut client, "t");
    let id = |partitions: &[(String, String)], at: usize| partitions[at].0.clone();
    client.ask("ALTER PARTITION SCHEME ps NEXT USED [PRIMARY]; ALTER PARTITION FUNCTION pf() SPLIT RANGE (15)");
    let split = numbers(&mut client, "t");
    assert_eq!(split.iter().map(|(_, rows)| rows.as_str()).collect::<Vec<_>>(), ["1", "1", "1", "1"]);
    assert_eq!([0, 1, 3].map(|at| id(&split, at)), [0, 1, 2].map(|at| id(&before, at)));
    assert!(before.iter().all(|(own, _)| *own != split[2].0));
    client.ask("BEGIN TRAN; ALTER PARTITION FUNCTION pf() MERGE RANGE (20); ROLLBACK");
    assert_eq!(numbers(&mut client, "t"), split);
    client.ask("ALTER PARTITION FUNCTION pf() MERGE RANGE (10)");
    assert_eq!(numbers(&mut client, "t"), [(id(&split, 0), "2".to_owned()), split[2].clone(), split[3].clone()]);
}
