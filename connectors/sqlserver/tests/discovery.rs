//! Which tables are found, and in which shape.

use millstream_core::schema::{Identity, IdentityKind};

use crate::database::{Database, discovered, selection, table};

const TABLES: &str = "\
CREATE TABLE dbo.plain (id int NOT NULL PRIMARY KEY, name nvarchar(20) NULL, price decimal(9,2) NOT NULL DEFAULT 1.5)
GO
CREATE TABLE dbo.pair (b varchar(5) NOT NULL, note text NULL, a int NOT NULL, PRIMARY KEY (a, b))
GO
CREATE TABLE dbo.bare (x int NULL, y varbinary(max) NULL)
GO
CREATE TABLE dbo.computed (id int NOT NULL PRIMARY KEY, n int NOT NULL, twice AS (n * 2), thrice AS (n * 3) PERSISTED)
GO
CREATE TABLE dbo.uncaptured (id int NOT NULL PRIMARY KEY)";

#[tokio::test]
async fn captured_tables_are_found_with_their_keys() {
    let database = Database::start();
    database.run(TABLES);
    let captured = ["bare", "computed", "pair", "plain"];
    captured.iter().for_each(|table| database.capture(table));
    let source = database.source();
    let found = discovered(source.as_ref(), &captured).await.tables;
    let names: Vec<&str> = found.iter().map(|table| table.table.name.as_str()).collect();
    assert_eq!(names, captured);
    let [bare, computed, pair, plain] = &found[..] else { panic!() };
    assert_eq!(bare.identity, Identity { kind: IdentityKind::WholeRow, columns: vec![0, 1] });
    assert_eq!(pair.identity, Identity { kind: IdentityKind::PrimaryKey, columns: vec![2, 0] });
    let columns: Vec<(&str, &str)> =
        plain.columns.iter().map(|column| (column.name.as_str(), column.source_type.as_str())).collect();
    assert_eq!(columns, [("id", "int"), ("name", "nvarchar(20)"), ("price", "decimal(9,2)")]);
    let names: Vec<&str> = computed.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["id", "n"], "computed columns aren't captured");
    assert!(found.iter().all(|table| table.origin.is_some()));
}

#[tokio::test]
async fn tables_can_be_looked_at_before_anything_is_captured() {
    let database = Database::without_capture();
    database.run(TABLES);
    let source = database.source();
    let found = source.tables(&selection(&["%"])).await.unwrap();
    let names: Vec<&str> = found.iter().map(|table| table.table.name.as_str()).collect();
    assert_eq!(names, ["bare", "computed", "pair", "plain", "uncaptured"]);
    let plain = found.iter().find(|found| found.table == table("plain")).unwrap();
    assert_eq!(plain.identity.kind, IdentityKind::PrimaryKey);
    assert!(plain.columns[2].default.as_deref().is_some_and(|default| default.contains("1.5")), "{plain:?}");
    assert!(source.discover(&selection(&["%"])).await.unwrap().tables.is_empty());
}

#[tokio::test]
async fn only_what_is_selected_is_found() {
    let database = Database::without_capture();
    database
        .run("CREATE TABLE dbo.a_1 (id int)\nGO\nCREATE TABLE dbo.ab1 (id int)\nGO\nCREATE TABLE dbo.[a'1] (id int)");
    let source = database.source();
    let names = async |pattern: &str| {
        let found = source.tables(&selection(&[pattern])).await.unwrap();
        found.iter().map(|table| table.table.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names("a_%").await, ["a_1"]);
    assert_eq!(names("a'1").await, ["a'1"]);
    assert_eq!(names("a%").await, ["a'1", "a_1", "ab1"]);
    assert!(names("nothing").await.is_empty());
}
