//! Tables whose shape isn't known at some place, and how it becomes known again.

use millstream_core::schema::TableName;
use millstream_testkit::{Flavor, require_server};

use super::follow::Fixture;
use super::servers;

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_left_out_until_the_place_of_the_reading_where_that_is_far() {
    require_server!(Flavor::MySql);
    require_server!(Flavor::MariaDb);
    for fixture in servers().await {
        let fixture = Fixture::with(fixture.endpoint, |config| config.lookahead_bytes_max = 10_000).await;
        fixture.sql("CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(500)); CREATE TABLE u (id INT PRIMARY KEY)").await;
        let (position, catalog) = fixture.here().await;
        let insert =
            |id: u32| format!("INSERT INTO t VALUES ({id}, REPEAT('x', 400), 0); INSERT INTO u VALUES ({id});");
        let inserts: String = (0..100).map(insert).collect();
        fixture.sql(&format!("INSERT INTO t VALUES (900, 'before'); ALTER TABLE t ADD COLUMN b INT; {inserts}")).await;
        let mut follow = fixture.follow_from(&position, catalog).await;
        let mut lines = follow.lines().await;
        fixture.sql("INSERT INTO t VALUES (901, 'after', 1)").await;
        lines.extend(follow.lines().await);
        lines.retain(|line| !line.starts_with("u +"));
        assert_eq!(lines, ["t + 900,before", "t unreadable", "t settled (id,a,b)", "t + 901,after,1"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_the_log_doesnt_show_is_seen_in_the_rows() {
    require_server!(Flavor::MySql);
    require_server!(Flavor::MariaDb);
    for fixture in servers().await {
        fixture.sql("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let mut follow = fixture.follow().await;
        fixture.sql("SET sql_log_bin = 0; ALTER TABLE t ADD COLUMN a INT; CREATE TABLE u (id INT PRIMARY KEY)").await;
        fixture.sql("INSERT INTO t VALUES (1, 2); INSERT INTO u VALUES (3)").await;
        assert_eq!(follow.lines().await, ["t settled (id,a)", "t + 1,2", "u created (id)", "u + 3"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_without_a_known_shape_are_settled_at_the_beginning() {
    require_server!(Flavor::MySql);
    require_server!(Flavor::MariaDb);
    for fixture in servers().await {
        fixture.sql("CREATE TABLE t (id INT PRIMARY KEY); CREATE TABLE v (id INT PRIMARY KEY)").await;
        let (position, mut catalog) = fixture.here().await;
        fixture.sql("INSERT INTO t VALUES (1); ALTER TABLE v ADD COLUMN a INT; INSERT INTO v VALUES (1, 2)").await;
        let name = |table: &str| TableName::new(&fixture.database, table);
        catalog.tables = vec![(name("t"), None), (name("gone"), None), (name("v"), None)];
        let mut follow = fixture.follow_from(&position, catalog).await;
        assert_eq!(follow.lines().await, ["t settled (id)", "gone dropped", "t + 1", "v settled (id,a)", "v + 1,2"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_isnt_understood_is_settled_by_the_catalog() {
    require_server!(Flavor::MariaDb);
    for fixture in servers().await {
        if fixture.endpoint.flavor() == Flavor::MySql {
            continue;
        }
        fixture.sql("CREATE TABLE t (id INT PRIMARY KEY, a INT)").await;
        let mut follow = fixture.follow().await;
        fixture.sql("CREATE OR REPLACE TABLE t (id INT PRIMARY KEY, b INT); INSERT INTO t VALUES (1, 2)").await;
        assert_eq!(follow.lines().await, ["t dropped", "t created empty (id,b)", "t + 1,2"]);
        fixture.sql("ALTER TABLE t ADD SYSTEM VERSIONING; UPDATE t SET b = 3").await;
        assert_eq!(follow.lines().await.last().unwrap(), "t + 1,3");
    }
}
