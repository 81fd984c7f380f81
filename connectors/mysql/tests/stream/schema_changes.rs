//! Schema changes: while the stream is there, and after it was away.

use millstream_testkit::{Flavor, require_server};

use super::follow::Follow;
use super::servers;

/// Statements, each with what it is to show at once.
type Steps<'a> = &'a [(&'a str, &'a [&'a str])];

struct Scenario<'a> {
    /// Before the stream begins.
    setup: &'a str,
    /// One after the other, while it runs.
    steps: Steps<'a>,
    /// All of them at once, before it begins.
    lagging: &'a [&'a str],
}

async fn play(scenario: &Scenario<'_>) {
    for mut fixture in servers().await {
        fixture.select(&["t", "u", "sel%"]);
        let flavor = fixture.endpoint.flavor();
        fixture.sql(scenario.setup).await;
        let (position, catalog) = fixture.here().await;
        let mut follow = fixture.follow_from(&position, catalog.clone()).await;
        for (statement, expected) in scenario.steps {
            fixture.sql(statement).await;
            assert_eq!(follow.lines().await, *expected, "{flavor}, {statement}");
        }
        drop(follow);
        // The same log again, from the beginning, with the catalog of now.
        let mut follow: Follow = fixture.follow_from(&position, catalog).await;
        assert_eq!(follow.lines().await, scenario.lagging, "{flavor}, lagging");
    }
}

macro_rules! scenario {
    ($name:ident, $scenario:expr) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            require_server!(Flavor::MySql);
            require_server!(Flavor::MariaDb);
            play(&$scenario).await;
        }
    };
}

scenario!(
    one_column_is_added,
    Scenario {
        setup: "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)",
        steps: &[
            ("INSERT INTO t VALUES (2)", &["t + 2"]),
            ("ALTER TABLE t ADD COLUMN c INT", &["t altered (id,c)"]),
            ("INSERT INTO t VALUES (3, 4)", &["t + 3,4"]),
        ],
        lagging: &["t + 2", "t altered (id,c)", "t + 3,4"],
    }
);

scenario!(
    columns_come_and_go_and_change_names,
    Scenario {
        setup: "CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT)",
        steps: &[
            ("ALTER TABLE t RENAME COLUMN a TO x, RENAME COLUMN b TO a", &["t altered (id,x,a) and rows"]),
            ("INSERT INTO t VALUES (1, 2, 3)", &["t + 1,2,3"]),
            ("ALTER TABLE t DROP COLUMN x", &["t altered (id,a)"]),
            ("INSERT INTO t VALUES (2, 3)", &["t + 2,3"]),
            ("ALTER TABLE t MODIFY a VARCHAR(10)", &["t altered (id,a)"]),
            ("INSERT INTO t VALUES (3, 'x')", &["t + 3,x"]),
        ],
        lagging: &["t unreadable", "t unreadable", "t settled (id,a)", "t + 3,x"],
    }
);

scenario!(
    a_table_is_created_dropped_and_created_again,
    Scenario {
        setup: "CREATE TABLE t (id INT PRIMARY KEY)",
        steps: &[
            ("CREATE TABLE other (id INT PRIMARY KEY); INSERT INTO other VALUES (1)", &[]),
            ("CREATE TABLE sel1 (id INT PRIMARY KEY, a INT)", &["sel1 created empty (id,a)"]),
            ("INSERT INTO sel1 VALUES (1, 2)", &["sel1 + 1,2"]),
            ("DROP TABLE t, sel1", &["sel1 dropped", "t dropped"]),
            ("DROP TABLE IF EXISTS t", &[]),
            ("CREATE TABLE t LIKE other", &["t created empty (id)"]),
            ("INSERT INTO t VALUES (5)", &["t + 5"]),
            ("CREATE TABLE u AS SELECT id, 7 AS seven FROM t", &["u created empty (id,seven)", "u + 5,7"]),
        ],
        lagging: &[
            "sel1 unreadable",
            "sel1 dropped",
            "t dropped",
            "t created empty (id)",
            "t + 5",
            "u created empty (id,seven)",
            "u + 5,7",
        ],
    }
);

scenario!(
    rows_go_without_row_events,
    Scenario {
        setup: "CREATE TABLE t (id INT PRIMARY KEY, a INT) PARTITION BY RANGE (id) \
                (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20));
                CREATE TABLE u (id INT PRIMARY KEY, a INT)",
        steps: &[
            ("INSERT INTO t VALUES (1, 1), (11, 1)", &["t + 1,1", "t + 11,1"]),
            ("ALTER TABLE t TRUNCATE PARTITION p0", &["t altered (id,a) and rows"]),
            ("ALTER TABLE t EXCHANGE PARTITION p1 WITH TABLE u", &["t altered (id,a) and rows", "u rows replaced",]),
            ("ALTER TABLE t DROP PARTITION p1", &["t altered (id,a) and rows"]),
            ("TRUNCATE TABLE u", &["u truncated"]),
        ],
        lagging: &[
            "t + 1,1",
            "t + 11,1",
            "t altered (id,a) and rows",
            "t altered (id,a) and rows",
            "u rows replaced",
            "t altered (id,a) and rows",
            "u truncated",
        ],
    }
);

scenario!(
    names_change_hands,
    Scenario {
        setup: "CREATE TABLE t (id INT PRIMARY KEY, t INT); CREATE TABLE u (id INT PRIMARY KEY, u INT);
                CREATE TABLE away (id INT PRIMARY KEY, away INT)",
        steps: &[
            ("RENAME TABLE t TO tmp, u TO t, tmp TO u", &["t replaced (id,u)", "u replaced (id,t)"]),
            ("INSERT INTO t VALUES (1, 2)", &["t + 1,2"]),
            ("RENAME TABLE t TO gone, away TO t", &["t replaced (id,away)"]),
            ("RENAME TABLE t TO sel2", &["t dropped", "sel2 created (id,away)"]),
            ("INSERT INTO sel2 VALUES (1, 2)", &["sel2 + 1,2"]),
            ("ALTER TABLE sel2 RENAME TO t, ADD COLUMN more INT", &["sel2 dropped", "t created (id,away,more)"]),
            ("ALTER TABLE t RENAME TO hidden", &["t dropped"]),
        ],
        lagging: &[
            "t unreadable",
            "u replaced (id,t)",
            "t unreadable",
            "t dropped",
            "sel2 unreadable",
            "sel2 dropped",
            "t unreadable",
            "t dropped",
        ],
    }
);

scenario!(
    an_online_schema_change_swaps_tables,
    Scenario {
        setup: "CREATE TABLE t (id INT PRIMARY KEY, a INT); INSERT INTO t VALUES (1, 1)",
        steps: &[
            (
                "CREATE TABLE _t_gho LIKE t; ALTER TABLE _t_gho ADD COLUMN b INT; INSERT INTO _t_gho VALUES (1, 1, NULL)",
                &[]
            ),
            ("INSERT INTO t VALUES (2, 2); INSERT INTO _t_gho VALUES (2, 2, NULL)", &["t + 2,2"]),
            ("RENAME TABLE t TO _t_del, _t_gho TO t", &["t replaced (id,a,b)"]),
            ("INSERT INTO t VALUES (3, 3, 3); DROP TABLE _t_del", &["t + 3,3,3"]),
        ],
        lagging: &["t + 2,2", "t replaced (id,a,b)", "t + 3,3,3"],
    }
);

// A table that is written anew has its stored columns computed by the session that does it.
scenario!(
    stored_columns_that_another_session_computes_otherwise,
    Scenario {
        setup: "CREATE TABLE t (id INT PRIMARY KEY, q VARCHAR(30) AS (id / 7) STORED);
                CREATE TABLE u (id INT PRIMARY KEY, q INT AS (id + 7) STORED)",
        steps: &[
            ("ALTER TABLE t COMMENT 'x'", &["t altered (id,q) and rows"]),
            ("ALTER TABLE u COMMENT 'x'", &["u altered (id,q)"]),
            ("OPTIMIZE TABLE u, t", &["t altered (id,q) and rows"]),
            ("ALTER TABLE t ADD c INT", &["t altered (id,q,c) and rows"]),
        ],
        lagging: &[
            "t altered (id,q) and rows",
            "u altered (id,q)",
            "t altered (id,q) and rows",
            "t altered (id,q,c) and rows",
        ],
    }
);

scenario!(
    statements_that_keep_the_shape,
    Scenario {
        setup: "CREATE TABLE t (id INT PRIMARY KEY, a INT)",
        steps: &[
            ("CREATE INDEX i ON t (a)", &["t altered (id,a)"]),
            ("ALTER TABLE t COMMENT 'x'", &["t altered (id,a)"]),
            ("ANALYZE TABLE t", &[]),
            ("CREATE TABLE IF NOT EXISTS t (id INT PRIMARY KEY)", &[]),
            ("CREATE TEMPORARY TABLE u (x INT); DROP TEMPORARY TABLE u", &[]),
            ("CREATE VIEW sel_view AS SELECT * FROM t", &[]),
            ("INSERT INTO t VALUES (1, 1)", &["t + 1,1"]),
        ],
        lagging: &["t altered (id,a)", "t altered (id,a)", "t + 1,1"],
    }
);
