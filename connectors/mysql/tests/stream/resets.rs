//! Logs that start over: `RESET BINARY LOGS`, which tells nobody who follows them.

use std::time::Duration;

use millstream_core::error::SourceError;
use millstream_core::position::Position;
use millstream_core::source::Catalog;
use millstream_testkit::{Flavor, Server, ServerOptions, require_server};
use tokio::time::sleep;

use super::follow::{Fixture, Follow};

/// A table that has been followed for a while, in a file of the log that was begun more than a second ago, as files
/// are told apart by the second in which they were begun.
async fn bed(flavor: Flavor) -> (Server, Fixture) {
    let server = Server::start(flavor, ServerOptions::new().gtid(flavor)).await.unwrap();
    let fixture = Fixture::new(server.endpoint()).await;
    fixture.sql("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, c VARCHAR(4000))").await;
    sleep(Duration::from_millis(1_100)).await;
    (server, fixture)
}

fn reset(flavor: Flavor) -> &'static str {
    match flavor {
        Flavor::MySql => "RESET BINARY LOGS AND GTIDS",
        Flavor::MariaDb => "RESET MASTER",
    }
}

/// So many transactions of about 2 kB.
async fn write(fixture: &Fixture, transactions: usize) {
    fixture.sql(&"INSERT INTO t (c) VALUES (REPEAT('x', 2000));".repeat(transactions)).await;
}

async fn loss(follow: &mut Follow) -> SourceError {
    loop {
        if let Err(error) = follow.next().await {
            return error;
        }
    }
}

/// What is discovered after a loss comes after everything before, and can be followed.
async fn goes_on(fixture: &Fixture, lost: &Position) {
    let (again, catalog) = fixture.here().await;
    assert!(again > *lost, "{again} after {lost}");
    let mut follow = fixture.follow_from(&again, catalog).await;
    fixture.sql("INSERT INTO t (id, c) VALUES (1000, 'after')").await;
    assert_eq!(follow.lines().await, ["t + 1000,after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_noticed_while_the_log_is_followed() {
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        require_server!(flavor);
        let (_server, fixture) = bed(flavor).await;
        let mut follow = fixture.follow().await;
        write(&fixture, 5).await;
        follow.lines().await;
        // The server's next messages are heartbeats of a log that isn't there any more.
        fixture.sql(reset(flavor)).await;
        let error = match fixture.source.head().await {
            Err(error) => error,
            Ok(head) => panic!("{flavor}: {head} although the stream is at {}", follow.position),
        };
        assert!(matches!(error, SourceError::PositionLost { .. }), "{flavor}: {error}");
        let error = loss(&mut follow).await;
        // A server that ends the connection at once may have been faster.
        assert!(matches!(error, SourceError::PositionLost { .. }) || error.is_transient(), "{flavor}: {error}");
        goes_on(&fixture, &follow.position).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_noticed_when_the_new_log_is_longer() {
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        require_server!(flavor);
        for rotations in [0, 1, 3] {
            let (_server, fixture) = bed(flavor).await;
            let mut follow = fixture.follow().await;
            write(&fixture, 5).await;
            follow.lines().await;
            let (position, catalog) = (follow.position.clone(), fixture.here().await.1);
            fixture.sql(reset(flavor)).await;
            write(&fixture, 20).await;
            for _ in 0..rotations {
                fixture.sql("FLUSH BINARY LOGS").await;
                write(&fixture, 20).await;
            }
            let error = loss_in_the_end(&fixture, &mut follow, catalog).await;
            assert!(matches!(error, SourceError::PositionLost { .. }), "{flavor} {rotations}: {error}");
            goes_on(&fixture, &position).await;
        }
    }
}

/// Follows as the core does: after a transient error from the last commit.
async fn loss_in_the_end(fixture: &Fixture, follow: &mut Follow, catalog: Catalog) -> SourceError {
    let mut error = loss(follow).await;
    while error.is_transient() {
        error = match fixture.source.stream(&follow.position, catalog.clone()).await {
            Err(error) => error,
            Ok(stream) => loss(&mut Follow::new(stream, follow.position.clone(), fixture.source.clone())).await,
        };
    }
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_noticed_after_a_stop() {
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        require_server!(flavor);
        // The new log's files may have the old names and be longer, and its transactions the old numbers and be more.
        for (files_before, files_after) in [(1, 1), (3, 1), (1, 3)] {
            let (_server, fixture) = bed(flavor).await;
            for _ in 1..files_before {
                fixture.sql("FLUSH BINARY LOGS").await;
            }
            sleep(Duration::from_millis(1_100)).await;
            let mut follow = fixture.follow().await;
            write(&fixture, 5).await;
            follow.lines().await;
            let (position, catalog) = (follow.position.clone(), fixture.here().await.1);
            drop(follow);
            fixture.sql(reset(flavor)).await;
            write(&fixture, 20).await;
            for _ in 1..files_after {
                fixture.sql("FLUSH BINARY LOGS").await;
                write(&fixture, 20).await;
            }
            // As another process sees it.
            let mut fixture = fixture;
            fixture.source = millstream_mysql::MySqlConfig::new(fixture.endpoint.uri("root", "", &fixture.database))
                .build("test")
                .unwrap();
            fixture.source.acknowledge(&position).await.unwrap();
            let error = match fixture.source.stream(&position, catalog).await {
                Err(error) => error,
                Ok(stream) => loss(&mut Follow::new(stream, position.clone(), fixture.source.clone())).await,
            };
            let case = format!("{flavor}, {files_before} before, {files_after} after");
            assert!(matches!(error, SourceError::PositionLost { .. }), "{case}: {error}");
            goes_on(&fixture, &position).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_of_a_process_that_goes_on_come_after_those_of_the_former() {
    require_server!(Flavor::MySql);
    let endpoint = millstream_testkit::shared(Flavor::MySql).await.unwrap();
    let fixture = Fixture::new(endpoint).await;
    let (here, _) = fixture.here().await;
    // As a failover before the stop would have left it.
    let later = here.token().replace(" gtid=", " epoch=3 gtid=");
    let later = if later.contains(" epoch=3") { later } else { format!("{later} epoch=3") };
    let stopped_at = Position::new(here.order() | 3 << 112, later);
    let next = Fixture::new(fixture.endpoint.clone()).await;
    next.source.acknowledge(&stopped_at).await.unwrap();
    let (discovered, _) = next.here().await;
    assert!(discovered >= stopped_at, "{discovered} before {stopped_at}");
    assert!(next.source.head().await.unwrap() >= stopped_at);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_noticed_when_the_new_log_has_the_same_length() {
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        require_server!(flavor);
        let (_server, fixture) = bed(flavor).await;
        fixture.sql(reset(flavor)).await;
        write(&fixture, 1).await;
        sleep(Duration::from_millis(1_100)).await;
        let (position, catalog) = fixture.here().await;
        let mut follow = fixture.follow_from(&position, catalog.clone()).await;
        follow.next().await.unwrap();
        fixture.sql(reset(flavor)).await;
        write(&fixture, 1).await;
        assert!(fixture.source.head().await.is_err(), "{flavor}");
        let error = loss_in_the_end(&fixture, &mut follow, catalog).await;
        assert!(matches!(error, SourceError::PositionLost { .. }), "{flavor}: {error}");
        goes_on(&fixture, &follow.position).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_kind_of_reset_costs_no_more_than_a_connection() {
    require_server!(Flavor::MySql);
    let (_server, fixture) = bed(Flavor::MySql).await;
    let (position, catalog) = fixture.here().await;
    let mut follow = fixture.follow_from(&position, catalog.clone()).await;
    fixture.sql("RESET REPLICA ALL; INSERT INTO t (c) VALUES ('x')").await;
    assert!(fixture.source.head().await.unwrap_err().is_transient());
    assert!(loss(&mut follow).await.is_transient());
    let mut again = fixture.follow_from(&follow.position, catalog).await;
    fixture.source.head().await.unwrap();
    assert!(again.lines().await.iter().all(|line| line == "t + 1,x"));
}
