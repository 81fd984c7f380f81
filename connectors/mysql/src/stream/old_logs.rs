//! Logs of servers that the tests don't start: MySQL 5.7 and 8, and what those keep of older ones. The bytes are put
//! together by the formats' description.

use super::event::kind;
use super::script::{Outcome, Script, query, rows, table_map};
use crate::ddl::NameCase;
use crate::version::{Flavor, Version};

const MYSQL_5_7: Version = Version::new(Flavor::MySql, 5, 7, 44);
const SID: [u8; 16] = [0x3e, 0x11, 0xfa, 0x47, 0x71, 0xca, 0x11, 0xe1, 0x9e, 0x33, 0xc8, 0x0a, 0xa9, 0x42, 0x95, 0x62];
const LONG: u8 = 3;

fn script() -> Script {
    Script::new(MYSQL_5_7, NameCase::Sensitive)
}

/// A log with one table `t (id INT, n INT)`.
fn with_table() -> Script {
    script().table("t", &[("id", "int(11)"), ("n", "int(11)")])
}

fn map() -> Vec<u8> {
    table_map("d", "t", &[LONG, LONG], &[])
}

fn insert(id: u8) -> Vec<u8> {
    rows(2, &[&[3]], &[0, id, 0, 0, 0, 7, 0, 0, 0])
}

/// A GTID event's flags, server and number, and what later servers add.
fn gtid(number: u8, rest: &[u8]) -> Vec<u8> {
    let mut body = vec![0];
    body.extend_from_slice(&SID);
    body.extend_from_slice(&[number, 0, 0, 0, 0, 0, 0, 0]);
    body.extend_from_slice(rest);
    body
}

/// Since 5.7: the kind of clock, and two of its readings.
const LOGICAL_CLOCK: [u8; 17] = [2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];

#[track_caller]
fn whole(outcome: &Outcome) {
    assert!(outcome.error.is_transient(), "the log's end, not {}", outcome.error);
}

#[tokio::test]
async fn rows_events_of_the_first_version_are_read() {
    let update = rows(2, &[&[3], &[3]], &[0, 1, 0, 0, 0, 7, 0, 0, 0, 2, 1, 0, 0, 0]);
    let delete = rows(2, &[&[1]], &[0, 1, 0, 0, 0]);
    let outcome = with_table()
        .query("BEGIN")
        .event(kind::TABLE_MAP, &map())
        .event(kind::WRITE_ROWS_V1, &insert(1))
        .event(kind::WRITE_ROWS_V1 + 1, &update)
        .event(kind::DELETE_ROWS_V1, &delete)
        .event(kind::XID, &[1, 0, 0, 0, 0, 0, 0, 0])
        .play()
        .await;
    whole(&outcome);
    assert_eq!(outcome.lines, ["d.t Upsert 1,7", "d.t Upsert 1,NULL", "d.t Delete 1,NULL"]);
}

#[tokio::test]
async fn transactions_begin_as_each_version_writes_it() {
    let immediate = [&LOGICAL_CLOCK[..], &[0, 0x10, 0xa5, 0xd4, 0xe8, 0, 0], &[60], &[0x9c, 0x3a, 1, 0]].concat();
    let beginnings = [
        ("5.5", None),
        ("5.6", Some((kind::GTID, gtid(1, &[])))),
        ("5.7", Some((kind::GTID, gtid(1, &LOGICAL_CLOCK)))),
        ("5.7 without GTIDs", Some((kind::ANONYMOUS_GTID, gtid(0, &LOGICAL_CLOCK)))),
        ("8.0", Some((kind::GTID, gtid(1, &immediate)))),
        ("8.0 without GTIDs", Some((kind::ANONYMOUS_GTID, gtid(0, &immediate)))),
    ];
    for (version, beginning) in beginnings {
        let mut script = with_table().event(kind::PREVIOUS_GTIDS, &[0; 8]);
        if let Some((kind, body)) = beginning {
            script = script.event(kind, &body);
        }
        let outcome = script
            .query("BEGIN")
            .event(kind::ROWS_QUERY, b"\x12INSERT INTO t ...")
            .event(kind::TABLE_MAP, &map())
            .event(kind::WRITE_ROWS_V1, &insert(1))
            .event(kind::XID, &[1, 0, 0, 0, 0, 0, 0, 0])
            .play()
            .await;
        whole(&outcome);
        assert_eq!(outcome.lines, ["d.t Upsert 1,7"], "{version}");
    }
}

#[tokio::test]
async fn dates_and_times_of_before_5_6_are_read() {
    const TYPES: [u8; 6] = [LONG, 7, 10, 11, 12, 13];
    let columns = [
        ("id", "int(11)"),
        ("ts", "timestamp /* 5.5 binary format */"),
        ("da", "date"),
        ("ti", "time /* 5.5 binary format */"),
        ("dt", "datetime /* 5.5 binary format */"),
        ("ye", "year(4)"),
    ];
    let date = (2024_u32 << 9 | 2 << 5 | 29).to_le_bytes();
    let time = (-8_385_959_i32).to_le_bytes();
    let row = |id: u8, date: &[u8], time: &[u8], moment: u64, year: u8| {
        let stamp = if id == 1 { 1_700_000_000_u32 } else { 0 };
        [&[0, id, 0, 0, 0], &stamp.to_le_bytes()[..], date, time, &moment.to_le_bytes(), &[year]].concat()
    };
    let first = row(1, &date[..3], &time[..3], 20_240_229_235_959, 124);
    let second = row(2, &[0; 3], &[0; 3], 0, 0);
    let outcome = script()
        .table("t", &columns)
        .query("BEGIN")
        .event(kind::TABLE_MAP, &table_map("d", "t", &TYPES, &[]))
        .event(kind::WRITE_ROWS_V1, &rows(6, &[&[0x3f]], &[first, second].concat()))
        .query("COMMIT")
        .play()
        .await;
    whole(&outcome);
    let expected = [
        "d.t Upsert 1,2023-11-14T22:13:20.000Z,2024-02-29,-838:59:59,2024-02-29T23:59:59.000Z,2024",
        "d.t Upsert 2,0000-00-00T00:00:00.000Z,0000-00-00,00:00:00,0000-00-00T00:00:00.000Z,0",
    ];
    assert_eq!(outcome.lines, expected);
}

#[tokio::test]
async fn decimals_chars_and_labels_have_kept_their_form_since_5_0() {
    // DECIMAL(5,2), CHAR(10) and VARCHAR(300) of latin1, ENUM and SET.
    let types = [LONG, 246, 254, 15, 254, 254];
    let metadata = [5, 2, 254, 10, 44, 1, 247, 1, 248, 1];
    let columns = [
        ("id", "int(11)"),
        ("de", "decimal(5,2)"),
        ("ch", "char(10)"),
        ("vc", "varchar(300)"),
        ("en", "enum('a','b')"),
        ("se", "set('x','y')"),
    ];
    let row = [&[0, 1, 0, 0, 0][..], &[0x7f, 0x84, 0xcd], &[2, b'a', 0xe9], &[1, 0, b'v'], &[2], &[3]].concat();
    let outcome = script()
        .table("t", &columns)
        .query("BEGIN")
        .event(kind::TABLE_MAP, &table_map("d", "t", &types, &metadata))
        .event(kind::WRITE_ROWS_V1, &rows(6, &[&[0x3f]], &row))
        .query("COMMIT")
        .play()
        .await;
    whole(&outcome);
    assert_eq!(outcome.lines, ["d.t Upsert 1,-123.50,aé,v,b,[\"x\",\"y\"]"]);
}

#[tokio::test]
async fn a_column_that_no_version_since_5_0_makes_holds_its_table_alone() {
    for old_type in [0, 253] {
        let outcome = with_table()
            .table("u", &[("id", "int(11)"), ("n", "decimal(5,2)")])
            .query("BEGIN")
            .event(kind::TABLE_MAP, &table_map("d", "u", &[LONG, old_type], &[]))
            .event(kind::WRITE_ROWS_V1, &rows(2, &[&[3]], &[0, 1, 0, 0, 0, b'1']))
            .event(kind::TABLE_MAP, &map())
            .event(kind::WRITE_ROWS_V1, &insert(1))
            .query("COMMIT")
            .play()
            .await;
        whole(&outcome);
        let [held, row] = &outcome.lines[..] else { panic!("{outcome:?}") };
        assert!(held.starts_with("d.u unreadable") && held.contains(&format!("column type {old_type}")), "{held}");
        assert!(held.contains("ALTER TABLE `d`.`u` FORCE"), "{held}");
        assert_eq!(row, "d.t Upsert 1,7");
    }
}

#[tokio::test]
async fn statements_in_statement_format_come_with_their_context() {
    // SQL mode, catalog, character sets: the order in which servers write them.
    let variables =
        [&[0, 0, 0, 0, 0, 1, 0, 0, 0x20, 0, 0, 0, 0, 0, 6, 3][..], b"std", &[4, 33, 0, 33, 0, 8, 0]].concat();
    let load = {
        // As a statement, with the file, the place of its name in the text, and what becomes of duplicates.
        let plain = query("LOAD DATA INFILE 'f' INTO TABLE t", &variables);
        let (head, rest) = plain.split_at(13);
        [head, &[1, 0, 0, 0, 17, 0, 0, 0, 20, 0, 0, 0, 0], rest].concat()
    };
    let outcome = with_table()
        .query("BEGIN")
        .event(kind::INTVAR, &[2, 5, 0, 0, 0, 0, 0, 0, 0])
        .event(kind::RAND, &[0; 16])
        .event(kind::USER_VAR, b"\x01\0\0\0a\0\x00\x21\0\0\0\x01\0\0\0x")
        .event(kind::QUERY, &query("INSERT INTO t VALUES (NULL, RAND() + @a + 'secret')", &variables))
        .query("COMMIT")
        .event(kind::BEGIN_LOAD_QUERY, b"\x01\0\0\0rows")
        .event(kind::APPEND_BLOCK, b"\x01\0\0\0rows")
        .event(kind::EXECUTE_LOAD_QUERY, &load)
        .event(kind::DELETE_FILE, &[1, 0, 0, 0])
        .play()
        .await;
    whole(&outcome);
    let cause = "(a statement in statement format changed rows)";
    let expected = [
        format!("d.t rows replaced {cause} by INSERT INTO t VALUES (NULL, RAND() + @a + ?)"),
        format!("d.t rows replaced {cause} by LOAD DATA INFILE ? INTO TABLE t"),
    ];
    assert_eq!(outcome.lines, expected);
}

#[tokio::test]
async fn an_incident_has_every_table_read_again_and_ends_what_it_stands_for() {
    let message = b"\x01\0\x0cdisk trouble";
    let cause = "(the server lost events of its log: disk trouble)";
    // By itself; in place of a transaction's events; within a transaction.
    let scripts = [
        with_table().event(kind::INCIDENT, message),
        with_table().event(kind::GTID, &gtid(1, &LOGICAL_CLOCK)).event(kind::INCIDENT, message),
        with_table()
            .event(kind::GTID, &gtid(1, &LOGICAL_CLOCK))
            .query("BEGIN")
            .event(kind::INCIDENT, message)
            .query("COMMIT"),
    ];
    for script in scripts {
        let outcome = script
            .table("u", &[("id", "int(11)")])
            .event(kind::GTID, &gtid(2, &LOGICAL_CLOCK))
            .query("BEGIN")
            .event(kind::TABLE_MAP, &map())
            .event(kind::WRITE_ROWS_V1, &insert(1))
            .event(kind::XID, &[1, 0, 0, 0, 0, 0, 0, 0])
            .play()
            .await;
        whole(&outcome);
        let expected =
            [format!("d.t rows replaced {cause}"), format!("d.u rows replaced {cause}"), "d.t Upsert 1,7".to_owned()];
        assert_eq!(outcome.lines, expected);
    }
}

#[tokio::test]
async fn an_incident_without_a_word_counts_as_well() {
    let outcome = with_table().event(kind::INCIDENT, &[]).play().await;
    whole(&outcome);
    assert_eq!(outcome.lines, ["d.t rows replaced (the server lost events of its log)"]);
}

#[tokio::test]
async fn events_of_unknown_kinds_end_it_unless_they_may_be_left_out() {
    const IGNORABLE: u16 = 0x80;
    let outcome = with_table().flagged(99, IGNORABLE, &[1]).play().await;
    whole(&outcome);
    // Rows of the first 5.1 servers, a LOAD DATA of 4.x.
    for kind in [20, 21, 22, 6, 8, 10, 12, 99] {
        let outcome = with_table().event(kind, &[0; 20]).play().await;
        let said = outcome.error.to_string();
        assert!(!outcome.error.is_transient() && said.contains(&format!("kind {kind}")), "{said}");
        assert!(said.contains("binlog.000001:") && said.contains("version"), "what, where, remedy: {said}");
    }
}

#[tokio::test]
async fn names_are_compared_in_lower_case_where_the_server_does_so() {
    for names in [NameCase::Lower, NameCase::Insensitive] {
        let outcome = Script::new(MYSQL_5_7, names)
            .table("orders", &[("id", "int(11)"), ("n", "int(11)")])
            .query("TRUNCATE TABLE Orders")
            .query("BEGIN")
            // A server of the second kind has names in lower case here, but who knows.
            .event(kind::TABLE_MAP, &table_map("D", "Orders", &[LONG, LONG], &[]))
            .event(kind::WRITE_ROWS_V1, &insert(1))
            .query("COMMIT")
            .query("DROP TABLE `D`.ORDERS")
            .play()
            .await;
        whole(&outcome);
        let expected = [
            "d.orders truncated by TRUNCATE TABLE Orders",
            "d.orders Upsert 1,7",
            "d.orders dropped by DROP TABLE `D`.ORDERS",
        ];
        assert_eq!(outcome.lines, expected, "{names:?}");
    }
}

#[tokio::test]
async fn every_position_says_when_its_file_was_begun() {
    let rotate = [&4_u64.to_le_bytes()[..], b"binlog.000002"].concat();
    let outcome = with_table().query("DROP TABLE t").event(kind::ROTATE, &rotate).play().await;
    whole(&outcome);
    assert!(outcome.position.starts_with("binlog.000001:") && outcome.position.contains("begun=1700000000"));
}
