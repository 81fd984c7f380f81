//! Columns added, dropped, retyped and renamed.

use millstream_core::selection::{Selection, TablePattern};

use super::world::{Auto, Manual, World};

const ONE_TABLE: &str = "CREATE TABLE dbo.t (id int PRIMARY KEY, a varchar(10)); \
                         INSERT INTO dbo.t VALUES (1, 'a'), (2, 'b')";

#[tokio::test(flavor = "multi_thread")]
async fn column_added_without_a_new_instance() {
    let mut world = World::followed(Manual, ONE_TABLE, &["t"]).await;
    world.sql("ALTER TABLE dbo.t ADD b int NULL");
    world.sql("INSERT INTO dbo.t VALUES (3, 'c', 30); UPDATE dbo.t SET b = 10 WHERE id = 1");
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a='a', id=1)", "(a='b', id=2)", "(a='c', id=3)"]);
    assert_eq!((world.news(), world.cost()), (vec!["t altered keep".to_owned()], 1));
    assert_eq!(world.state("t"), "live");
    let reason = |world: &World| world.handle().status().tables[0].reason.clone();
    world.until_true_unscanned("what is left out is told", |world| reason(world).is_some()).await;
    let told = reason(&world).unwrap();
    assert!(told.contains("doesn't capture b") && told.contains("@capture_instance = N'millstream_dbo_t'"), "{told}");
    world.enable("t", "dbo_t_2");
    world.until_true("b is captured", |world| world.rows("t").iter().any(|row| row.contains("b="))).await;
    world.settle().await;
    world.until_true("nothing is left out", |world| reason(world).is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_millstream_may_not_capture_is_held_with_the_reason() {
    let mut world = World::new(Auto, ONE_TABLE);
    world.follow_as_plain_user("GRANT SELECT ON SCHEMA::dbo TO ms");
    world.capture(&["t"]);
    world.start();
    world.settle().await;
    world.sql("ALTER TABLE dbo.t ADD b int NULL");
    world.until_true("the reason is told", |world| world.state("t").contains("Millstream can't")).await;
    let state = world.state("t");
    assert!(state.contains("doesn't capture b") && state.contains("error 22904"), "{state}");
    assert!(state.contains("Or run, as a member of db_owner: USE [shop]; EXEC sys.sp_cdc_enable_table"), "{state}");
    let selection = Selection { patterns: vec![TablePattern { schema: "dbo".into(), table: "t%".into() }] };
    let problems = world.connector().check(&selection).await.unwrap();
    let of_table = problems.iter().find(|problem| problem.subject == "table dbo.t").unwrap();
    assert!(of_table.remedy.starts_with("USE [shop]; EXEC sys.sp_cdc_enable_table"), "{of_table:?}");
    world.sql("ALTER ROLE db_owner ADD MEMBER ms");
    world.until_true("b is captured", |world| world.state("t") == "live").await;
    world.settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn column_added_and_captured_while_running() {
    let mut world = World::new(Auto, ONE_TABLE);
    world.start();
    world.until_true("an instance is made", |world| world.state("t") == "live").await;
    world.settle().await;
    world.news();
    world.cost();
    world.sql("ALTER TABLE dbo.t ADD b int NULL");
    world.sql("INSERT INTO dbo.t VALUES (3, 'c', 30); UPDATE dbo.t SET b = 10 WHERE id = 1");
    world.until_true("the table goes over", |world| world.rows("t").iter().any(|row| row.contains("b="))).await;
    world.sql("UPDATE dbo.t SET b = 20 WHERE id = 2");
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a='a', b=10, id=1)", "(a='b', b=20, id=2)", "(a='c', b=30, id=3)"]);
    assert_eq!(world.news(), ["t unreadable hold", "t settled reconcile"]);
    assert_eq!(world.cost(), 3, "one a row");
    world
        .until_true("the old instance is dropped", |world| {
            let count = world.try_sql("IF (SELECT COUNT(*) FROM cdc.change_tables) > 1 RAISERROR('two', 16, 1)");
            count.inspect_err(|error| println!("{error}")).is_ok()
        })
        .await;
    world.sql("UPDATE dbo.t SET b = 21 WHERE id = 2");
    world.settle().await;
    assert_eq!(world.rows("t")[1], "(a='b', b=21, id=2)");
    assert_eq!((world.news(), world.cost()), (Vec::new(), 1));
}

/// The columns of an instance are chosen by what has been captured: a statement that hadn't been yet left its column out
/// for good, as if somebody had wanted it so.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_on_its_way_when_another_gets_its_instance() {
    let mut world = World::followed(Auto, ONE_TABLE, &["t"]).await;
    world.sql("ALTER TABLE dbo.t ADD b int NULL");
    world.sql("ALTER TABLE dbo.t ADD c int NULL");
    world.scan_one_transaction();
    let made = "EXISTS (SELECT 1 FROM cdc.change_tables WHERE capture_instance = N'millstream_dbo_t')";
    world.until_true_unscanned("an instance is made", |world| world.holds(made)).await;
    world.sql("UPDATE dbo.t SET b = 10, c = 20 WHERE id = 1");
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a='a', b=10, c=20, id=1)", "(a='b', id=2)"]);
    world.sql("UPDATE dbo.t SET c = 21 WHERE id = 1");
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a='a', b=10, c=21, id=1)", "(a='b', id=2)"]);
}

/// The history knows a column by the name that it was added under.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_renamed_right_after_it_was_added() {
    let mut world = World::followed(Auto, ONE_TABLE, &["t"]).await;
    world.sql("ALTER TABLE dbo.t ADD c int NOT NULL DEFAULT 5");
    world.sql("EXEC sp_rename 'dbo.t.c', 'd', 'COLUMN'");
    world.until_true("d is captured", |world| world.rows("t").iter().all(|row| row.contains("d=5"))).await;
    world.settle().await;
    // A new column takes the place and the name of an old one.
    world.sql("ALTER TABLE dbo.t ADD a_new varchar(20)");
    world.sql("UPDATE dbo.t SET a_new = a + '!'");
    world.sql("ALTER TABLE dbo.t DROP COLUMN a");
    world.sql("EXEC sp_rename 'dbo.t.a_new', 'a', 'COLUMN'");
    world.until_true("a is captured", |world| world.rows("t").iter().all(|row| row.contains("a='"))).await;
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a='a!', d=5, id=1)", "(a='b!', d=5, id=2)"]);
    world.sql("UPDATE dbo.t SET a = 'z' WHERE id = 2");
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a='a!', d=5, id=1)", "(a='z', d=5, id=2)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_left_out_on_purpose_stays_out_whatever_names_it() {
    let mut world = World::new(
        Auto,
        "CREATE TABLE dbo.t (id int PRIMARY KEY, a varchar(10), secret varchar(9)); \
                                      INSERT INTO dbo.t VALUES (1, 'a', 'TOP')",
    );
    world.enable_columns("t", "narrow", "id,a");
    world.follow().await;
    assert_eq!(world.rows("t"), ["(a='a', id=1)"]);
    world.sql("ALTER TABLE dbo.t ADD n int NULL CONSTRAINT ck CHECK (secret <> N'')");
    world.sql("UPDATE dbo.t SET n = 1");
    world.until_true("n is captured", |world| world.rows("t") == ["(a='a', id=1, n=1)"]).await;
    world.settle().await;
    // Somebody makes the instance anew.
    world.disable("t", "narrow");
    let own = "EXISTS (SELECT 1 FROM cdc.change_tables WHERE capture_instance = N'millstream_dbo_t')";
    if world.holds(own) {
        world.disable("t", "millstream_dbo_t");
    }
    world.until_true("t is held", |world| world.state("t").starts_with("held")).await;
    world.until_true("it is captured again", |world| world.state("t") == "live").await;
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a='a', id=1, n=1)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_changed_in_the_gap_get_their_values() {
    let mut world = World::followed(Manual, ONE_TABLE, &["t"]).await;
    world.sql("ALTER TABLE dbo.t ADD b int NULL");
    world.sql("UPDATE dbo.t SET b = 10 WHERE id = 1");
    world.sql("INSERT INTO dbo.t VALUES (3, 'c', 30)");
    world.settle().await;
    assert_eq!((world.news(), world.cost()), (vec!["t altered keep".to_owned()], 1));
    world.enable("t", "dbo_t_2");
    world.sql("INSERT INTO dbo.t VALUES (4, 'd', 40)");
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a='a', b=10, id=1)", "(a='b', id=2)", "(a='c', b=30, id=3)", "(a='d', b=40, id=4)"]);
    assert_eq!(world.news(), ["t altered keep", "t rows replaced reconcile"]);
    assert_eq!(world.cost(), 3, "two rows of the gap, and the new one");
}

#[tokio::test(flavor = "multi_thread")]
async fn column_dropped_without_a_new_instance() {
    let mut world = World::followed(Manual, ONE_TABLE, &["t"]).await;
    world.sql("ALTER TABLE dbo.t DROP COLUMN a");
    world.sql("INSERT INTO dbo.t VALUES (3)");
    world.settle().await;
    assert_eq!(world.rows("t"), ["(id=1)", "(id=2)", "(id=3)"]);
    assert_eq!((world.news(), world.cost()), (vec!["t altered reconcile".to_owned()], 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn column_dropped_with_a_new_instance() {
    let mut world = World::followed(Manual, ONE_TABLE, &["t"]).await;
    world.sql("ALTER TABLE dbo.t DROP COLUMN a");
    world.enable("t", "dbo_t_2");
    world.sql("INSERT INTO dbo.t VALUES (3)");
    world.settle().await;
    assert_eq!(world.news(), ["t altered reconcile", "t altered keep"]);
    assert_eq!(world.cost(), 3);
    world.disable("t", "dbo_t");
    world.sql("INSERT INTO dbo.t VALUES (4)");
    world.settle().await;
    assert_eq!(world.rows("t"), ["(id=1)", "(id=2)", "(id=3)", "(id=4)"]);
    assert_eq!((world.news(), world.cost()), (Vec::new(), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn column_dropped_and_added_again() {
    let mut world = World::followed(Auto, ONE_TABLE, &["t"]).await;
    world.sql("ALTER TABLE dbo.t DROP COLUMN a");
    world.sql("ALTER TABLE dbo.t ADD a varchar(10) NULL");
    world.sql("UPDATE dbo.t SET a = 'x' WHERE id = 1");
    world.until_true("the table goes over", |world| world.rows("t").contains(&"(a='x', id=1)".to_owned())).await;
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a='x', id=1)", "(id=2)"]);
    assert!(world.cost() <= 3, "both rows without the column, one with it again");
}

#[tokio::test(flavor = "multi_thread")]
async fn type_widened() {
    let mut world = World::followed(Manual, ONE_TABLE, &["t"]).await;
    world.sql("UPDATE dbo.t SET a = 'before' WHERE id = 1");
    world.sql("ALTER TABLE dbo.t ALTER COLUMN a varchar(20)");
    world.sql("UPDATE dbo.t SET a = 'twelve chars' WHERE id = 2");
    world.settle().await;
    world.expect("EXISTS (SELECT 1 FROM cdc.ddl_history WHERE required_column_update = 1)");
    assert_eq!(world.rows("t"), ["(a='before', id=1)", "(a='twelve chars', id=2)"]);
    assert_eq!((world.news(), world.cost()), (vec!["t altered keep".to_owned()], 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn type_changed_so_that_values_read_otherwise() {
    let mut world = World::new(Manual, "CREATE TABLE dbo.t (id int PRIMARY KEY, a int)");
    world.enable("t", "dbo_t");
    world.sql("INSERT INTO dbo.t VALUES (1, 10), (2, 20)");
    world.scan();
    world.follow().await;
    world.sql("UPDATE dbo.t SET a = 11 WHERE id = 1");
    world.sql("ALTER TABLE dbo.t ALTER COLUMN a varchar(10)");
    world.sql("INSERT INTO dbo.t VALUES (3, 'text')");
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a='11', id=1)", "(a='20', id=2)", "(a='text', id=3)"]);
    assert_eq!((world.news(), world.cost()), (vec!["t altered reconcile".to_owned()], 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_nullability_changed() {
    let mut world = World::followed(Manual, ONE_TABLE, &["t"]).await;
    world.sql("ALTER TABLE dbo.t ALTER COLUMN a varchar(10) NOT NULL");
    world.sql("INSERT INTO dbo.t VALUES (3, 'c')");
    world.settle().await;
    assert_eq!(world.rows("t").len(), 3);
    assert_eq!((world.news(), world.cost()), (vec!["t altered keep".to_owned()], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn column_rename_is_refused() {
    let mut world = World::followed(Manual, ONE_TABLE, &["t"]).await;
    let error = world.try_sql("EXEC sp_rename 'dbo.t.a', 'z', 'COLUMN'").unwrap_err();
    assert_eq!(error.number(), 4928, "{error}");
    world.sql("INSERT INTO dbo.t VALUES (3, 'c')");
    world.settle().await;
    assert_eq!((world.rows("t").len(), world.news(), world.cost()), (3, Vec::new(), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_ahead_of_the_reader_waits_for_its_place() {
    let world = World::new(Manual, ONE_TABLE);
    world.capture(&["t"]);
    let connector = world.connector();
    let (from, catalog) = world.here(&connector).await;
    world.sql("UPDATE dbo.t SET a = 'x' WHERE id = 1");
    world.sql("ALTER TABLE dbo.t DROP COLUMN a");
    world.sql("INSERT INTO dbo.t VALUES (3)");
    world.scan();
    let lines = world.lines_until(&connector, &from, catalog, "t + 3").await;
    assert_eq!(lines, ["t + 1,x", "t altered (id)", "t + 3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn column_added_while_stopped() {
    let mut world = World::followed(Auto, ONE_TABLE, &["t"]).await;
    world.kill().await;
    world.sql("INSERT INTO dbo.t VALUES (3, 'c')");
    world.sql("ALTER TABLE dbo.t ADD b int NOT NULL DEFAULT 7");
    world.sql("UPDATE dbo.t SET b = 10 WHERE id = 1");
    world.scan();
    world.start();
    world.until_true("the table goes over", |world| world.rows("t").iter().any(|row| row.contains("b="))).await;
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a='a', b=10, id=1)", "(a='b', b=7, id=2)", "(a='c', b=7, id=3)"]);
    assert!(world.cost() <= 4, "one a row, and row 3 as it was before");
}

/// The table isn't found at first, as it waits for an instance that captures the column. Whoever waits for all to be
/// current waits for it, too, although nothing is in the log but what was there before.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_added_before_the_first_start() {
    let mut world = World::new(Auto, ONE_TABLE);
    world.enable("t", "dbo_t");
    world.sql("ALTER TABLE dbo.t ADD b int NULL");
    world.sql("UPDATE dbo.t SET b = 7");
    world.scan();
    world.start();
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a='a', b=7, id=1)", "(a='b', b=7, id=2)"]);
    assert_eq!(world.state("t"), "live");
}
