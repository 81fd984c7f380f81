//! Servers that keep names in lower case.

use millstream_testkit::{Flavor, ServerOptions, require_server, shared_with};

use super::follow::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn names_are_the_servers_whatever_statements_write() {
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        require_server!(flavor);
        let options = ServerOptions::new().set("lower_case_table_names", "1");
        let server = shared_with(flavor, "lower-case", options).await.unwrap();
        let fixture = Fixture::new(server).await;
        let upper = fixture.database.to_uppercase();
        fixture.sql("CREATE TABLE Orders (id INT PRIMARY KEY); CREATE TABLE Items (id INT PRIMARY KEY)").await;
        let mut follow = fixture.follow().await;
        let steps: [(&str, &[&str]); 9] = [
            ("INSERT INTO ORDERS VALUES (1)", &["orders + 1"]),
            ("ALTER TABLE OrderS ADD COLUMN C INT", &["orders altered (id,C)"]),
            ("INSERT INTO orders VALUES (2, 3)", &["orders + 2,3"]),
            ("TRUNCATE ITEMS", &["items truncated"]),
            ("CREATE TABLE New_One (Id INT PRIMARY KEY)", &["new_one created empty (Id)"]),
            (
                "RENAME TABLE Orders TO Old, NEW_ONE TO ORDERS",
                &["old created (id,C)", "orders replaced (Id)", "new_one dropped"],
            ),
            ("INSERT INTO Orders VALUES (7)", &["orders + 7"]),
            ("DROP TABLE `Orders`, `ITEMS`", &["items dropped", "orders dropped"]),
            ("INSERT INTO oLd VALUES (4, 5)", &["old + 4,5"]),
        ];
        for (statement, expected) in steps {
            fixture.sql(statement).await;
            let mut lines = follow.lines().await;
            let mut expected = expected.to_vec();
            lines.sort_unstable();
            expected.sort_unstable();
            assert_eq!(lines, expected, "{flavor}, {statement}");
        }
        fixture.sql(&format!("SET SESSION binlog_format = STATEMENT; INSERT INTO {upper}.OLD VALUES (5, 6)")).await;
        assert_eq!(follow.lines().await, ["old rows replaced"], "{flavor}");
    }
}
