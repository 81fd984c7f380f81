//! Privileges that go and come while the log is followed.

use std::time::{Duration, Instant};

use millstream_core::change::Event;
use millstream_core::error::SourceError;
use millstream_core::schema_change::SchemaChangeKind;
use millstream_core::source::{KeyRange, ReadRequest, ReadScope};
use millstream_mysql::MySqlConfig;
use millstream_testkit::{Flavor, ServerOptions, require_server, shared_with};
use mysql_async::prelude::Queryable;
use tokio::time::sleep;

use super::follow::{Fixture, Follow, shown};

/// A fixture whose source is a user with SELECT on two tables, each by a grant of its own.
async fn bed(flavor: Flavor) -> (Fixture, String) {
    let endpoint = shared_with(flavor, "default", ServerOptions::new()).await.unwrap();
    let mut fixture = Fixture::new(endpoint).await;
    let user = format!("u_{}", fixture.database);
    fixture.endpoint.create_user(&user, "pw", "REPLICATION SLAVE, REPLICATION CLIENT").await.unwrap();
    fixture.sql("CREATE TABLE t (id INT PRIMARY KEY); CREATE TABLE u (id INT PRIMARY KEY)").await;
    fixture.sql(&format!("GRANT SELECT ON t TO {user}; GRANT SELECT ON u TO {user}")).await;
    fixture.source = MySqlConfig::new(fixture.endpoint.uri(&user, "pw", "")).build("test").unwrap();
    (fixture, user)
}

async fn until(follow: &mut Follow, wanted: &str) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(40);
    let mut lines = Vec::new();
    while !lines.iter().any(|line| line == wanted) {
        assert!(Instant::now() < deadline, "{wanted} isn't among {lines:?}");
        follow.next().await.unwrap().events.iter().for_each(|event| lines.extend(shown(event)));
    }
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_may_not_be_read_any_more_is_held_alone_until_it_may() {
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        require_server!(flavor);
        let (fixture, user) = bed(flavor).await;
        let mut follow = fixture.follow().await;
        fixture.sql(&format!("REVOKE SELECT ON t FROM {user}")).await;
        // By the shape that is known, rows go on.
        fixture.sql("INSERT INTO t VALUES (1)").await;
        until(&mut follow, "t + 1").await;
        fixture.sql("ALTER TABLE t ADD COLUMN c INT; INSERT INTO t VALUES (2, 2); INSERT INTO u VALUES (2)").await;
        let mut remedy = None;
        while remedy.is_none() {
            for event in follow.next().await.unwrap().events {
                if let Event::Schema(change) = event {
                    let SchemaChangeKind::Unreadable { remedy: Some(said), .. } = change.kind else {
                        panic!("{change:?}")
                    };
                    remedy = Some(said);
                }
            }
        }
        let remedy = remedy.unwrap();
        let grant = remedy.split_inclusive(';').next().unwrap();
        assert_eq!(grant, format!("GRANT SELECT ON `{}`.`t` TO '{user}'@'%';", fixture.database));
        fixture.sql("INSERT INTO t VALUES (3, 3); INSERT INTO u VALUES (3)").await;
        let lines = until(&mut follow, "u + 3").await;
        assert!(lines.iter().all(|line| line.starts_with("u +")), "{lines:?}");
        fixture.sql(grant).await;
        until(&mut follow, "t settled (id,c)").await;
        fixture.sql("INSERT INTO t VALUES (4, 4)").await;
        until(&mut follow, "t + 4,4").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_may_not_be_read_is_told_from_a_dropped_one() {
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        require_server!(flavor);
        let (fixture, user) = bed(flavor).await;
        let (position, catalog) = fixture.here().await;
        fixture.sql(&format!("REVOKE SELECT ON t FROM {user}; ALTER TABLE t ADD COLUMN c INT; DROP TABLE u")).await;
        let mut follow = fixture.follow_from(&position, catalog).await;
        let lines = until(&mut follow, "u dropped").await;
        assert_eq!(lines, ["t unreadable", "u dropped"], "{flavor}");
        // Dropped while it is hidden.
        fixture.sql("DROP TABLE t").await;
        assert_eq!(until(&mut follow, "t dropped").await, ["t dropped"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_may_not_be_read_is_no_dropped_column() {
    require_server!(Flavor::MySql);
    let (fixture, user) = bed(Flavor::MySql).await;
    let mut follow = fixture.follow().await;
    let grants = format!("REVOKE SELECT ON t FROM {user}; GRANT SELECT (id) ON t TO {user}");
    fixture.sql(&format!("{grants}; ALTER TABLE t ADD COLUMN c INT, ADD COLUMN d INT")).await;
    assert_eq!(until(&mut follow, "t unreadable").await, ["t unreadable"]);
    fixture.sql(&format!("GRANT SELECT ON t TO {user}")).await;
    until(&mut follow, "t settled (id,c,d)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_isnt_allowed_says_what_allows_it() {
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        require_server!(flavor);
        let (fixture, user) = bed(flavor).await;
        let (_, catalog) = fixture.here().await;
        let (name, schema) = catalog.tables.into_iter().find(|(name, _)| name.name == "t").unwrap();
        fixture.sql(&format!("REVOKE SELECT ON t FROM {user}")).await;
        let request =
            ReadRequest { table: schema.unwrap(), scope: ReadScope::Range(KeyRange::default()), limit_rows: 10 };
        match fixture.source.read(request).await {
            Err(SourceError::Definite { remedy, .. }) => {
                let grant = format!("GRANT SELECT ON `{}`.`{}` TO '{user}'@'%';", name.schema, name.name);
                assert!(remedy.starts_with(&grant), "{remedy}");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// On an idle server, which sends a heartbeat every five seconds. The best of a few, as the machine may be busy.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_noticed_within_seconds() {
    const SOON: Duration = Duration::from_millis(3_500);
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        require_server!(flavor);
        let (fixture, user) = bed(flavor).await;
        let mut follow = fixture.follow().await;
        let mut best = Duration::MAX;
        for attempt in 0..4 {
            let change = format!("REVOKE SELECT ON t FROM {user}; ALTER TABLE t ADD COLUMN c{attempt} INT");
            fixture.sql(&change).await;
            until(&mut follow, "t unreadable").await;
            // Longer than the first pauses take.
            sleep(Duration::from_secs(3)).await;
            let granted = Instant::now();
            fixture.sql(&format!("GRANT SELECT ON t TO {user}")).await;
            let columns: String = (0..=attempt).map(|number| format!(",c{number}")).collect();
            until(&mut follow, &format!("t settled (id{columns})")).await;
            best = best.min(granted.elapsed());
            if best < SOON {
                break;
            }
        }
        assert!(best < SOON, "{flavor}: {best:?}");
    }
}

/// As a restored dump does: the stream waited for the lock, and began again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_somebody_keeps_locked_waits_alone() {
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        require_server!(flavor);
        let mut fixture = Fixture::new(shared_with(flavor, "default", ServerOptions::new()).await.unwrap()).await;
        fixture.select(&["t", "u"]);
        fixture.sql("CREATE TABLE t (id INT PRIMARY KEY); CREATE TABLE u (id INT PRIMARY KEY)").await;
        let (position, catalog) = fixture.here().await;
        let mut other = fixture.endpoint.connect().await.unwrap();
        let table = format!("`{}`.t", fixture.database);
        for statement in [
            format!("DROP TABLE {table}"),
            format!("CREATE TABLE {table} (id INT PRIMARY KEY, a INT)"),
            format!("LOCK TABLES {table} WRITE"),
            format!("INSERT INTO {table} VALUES (1, 1)"),
        ] {
            other.query_drop(statement).await.unwrap();
        }
        fixture.sql("INSERT INTO u VALUES (7)").await;
        let begun = Instant::now();
        let mut follow = fixture.follow_from(&position, catalog).await;
        let lines = until(&mut follow, "u + 7").await;
        assert!(begun.elapsed() < Duration::from_secs(15), "{flavor}: after {:?}", begun.elapsed());
        assert!(lines.contains(&"t unreadable".to_owned()), "{flavor}: {lines:?}");
        other.query_drop("UNLOCK TABLES").await.unwrap();
        until(&mut follow, "t settled (id,a)").await;
        fixture.sql("INSERT INTO t VALUES (2, 2)").await;
        until(&mut follow, "t + 2,2").await;
    }
}
