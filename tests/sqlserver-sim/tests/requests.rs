//! Batches, calls, transactions and cancellations through tiberius.

use std::time::{Duration, Instant};

use futures::TryStreamExt;
use tiberius::{IsolationLevel, Query, QueryItem};

use crate::client::{Tiberius, connect, start};

#[tokio::test]
async fn several_results_come_in_order() {
    let sim = start();
    let mut client = connect(&sim).await;
    let results = client.simple_query("SELECT 1 AS a; SELECT 2 AS b, 3 AS c; SELECT 4 WHERE 1 = 0").await.unwrap();
    let results = results.into_results().await.unwrap();
    let numbers: Vec<Vec<i32>> =
        results.iter().map(|rows| rows.iter().map(|row| row.get(0).unwrap()).collect()).collect();
    assert_eq!(numbers, [vec![1], vec![2], vec![]]);
}

#[tokio::test]
async fn counts_of_rows_are_told() {
    let sim = start();
    let mut client = connect(&sim).await;
    client.simple_query("CREATE TABLE t (id int)").await.unwrap().into_results().await.unwrap();
    let done = client.execute("INSERT INTO t VALUES (1), (2), (3); DELETE FROM t WHERE id < @P1", &[&3]).await.unwrap();
    assert_eq!(done.rows_affected(), [3, 2]);
}

#[tokio::test]
async fn errors_keep_number_state_and_line_and_the_session_goes_on() {
    let sim = start();
    let mut client = connect(&sim).await;
    let failed = match client.simple_query("PRINT 'a'\nRAISERROR('no %s', 16, 7, 'way')").await {
        Ok(results) => results.into_results().await.err(),
        Err(error) => Some(error),
    };
    let Some(tiberius::error::Error::Server(error)) = failed else { panic!("{failed:?}") };
    assert_eq!((error.code(), error.state(), error.class(), error.line()), (50_000, 7, 16, 2));
    assert_eq!((error.message(), error.server()), ("no way", "SQLSERVER-SIM"));
    let row = client.simple_query("SELECT 1").await.unwrap().into_row().await.unwrap().unwrap();
    assert_eq!(row.get::<i32, _>(0), Some(1));
}

#[tokio::test]
async fn a_result_of_many_packets_streams() {
    let sim = start();
    let mut client = connect(&sim).await;
    let sql = "WITH n AS (SELECT v FROM (VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)) AS d(v)) \
               SELECT a.v * 10000 + b.v * 1000 + c.v * 100 + d.v * 10 + e.v AS id, REPLICATE(N'ü', 20) AS text \
               FROM n a CROSS JOIN n b CROSS JOIN n c CROSS JOIN n d CROSS JOIN n e";
    let mut stream = client.simple_query(sql).await.unwrap();
    let mut seen = vec![false; 100_000];
    while let Some(item) = stream.try_next().await.unwrap() {
        if let QueryItem::Row(row) = item {
            assert_eq!(row.get::<&str, _>(1), Some("ü".repeat(20).as_str()));
            seen[usize::try_from(row.get::<i32, _>(0).unwrap()).unwrap()] = true;
        }
    }
    assert!(seen.into_iter().all(|seen| seen));
}

#[tokio::test]
async fn parameters_have_types() {
    let sim = start();
    let mut client = connect(&sim).await;
    let mut query = Query::new("SELECT @P1 + 1, @P2, @P3, @P4");
    query.bind(41_i32);
    query.bind("größe");
    query.bind(vec![1_u8, 2, 3]);
    query.bind(Option::<i64>::None);
    let row = query.query(&mut client).await.unwrap().into_row().await.unwrap().unwrap();
    assert_eq!(row.get::<i32, _>(0), Some(42));
    assert_eq!(row.get::<&str, _>(1), Some("größe"));
    assert_eq!(row.get::<&[u8], _>(2), Some(&[1, 2, 3][..]));
    assert_eq!(row.get::<i64, _>(3), None);
}

async fn count(client: &mut Tiberius) -> i32 {
    let row = client.simple_query("SELECT COUNT(*) FROM t").await.unwrap().into_row().await.unwrap().unwrap();
    row.get(0).unwrap()
}

#[tokio::test]
async fn transactions_in_sql_commit_and_roll_back() {
    let sim = start();
    let mut client = connect(&sim).await;
    client.simple_query("CREATE TABLE t (id int)").await.unwrap().into_results().await.unwrap();
    for (end, rows) in [("ROLLBACK", 0), ("COMMIT", 1)] {
        client.simple_query("BEGIN TRANSACTION").await.unwrap().into_results().await.unwrap();
        client.execute("INSERT INTO t VALUES (@P1)", &[&1]).await.unwrap();
        client.simple_query(end).await.unwrap().into_results().await.unwrap();
        assert_eq!(count(&mut client).await, rows, "{end}");
    }
}

#[tokio::test]
async fn transactions_by_request_commit_and_roll_back() {
    let sim = start();
    let mut client = connect(&sim).await;
    client.simple_query("CREATE TABLE t (id int)").await.unwrap().into_results().await.unwrap();
    client.begin_transaction().await.unwrap();
    client.execute("INSERT INTO t VALUES (1)", &[]).await.unwrap();
    client.rollback_transaction().await.unwrap();
    assert_eq!(count(&mut client).await, 0);

    client.begin_transaction_with_isolation(IsolationLevel::Serializable).await.unwrap();
    client.execute("INSERT INTO t VALUES (1)", &[]).await.unwrap();
    client.simple_query("SAVE TRANSACTION here").await.unwrap().into_results().await.unwrap();
    client.execute("INSERT INTO t VALUES (2)", &[]).await.unwrap();
    client.simple_query("ROLLBACK TRANSACTION here").await.unwrap().into_results().await.unwrap();
    client.commit_transaction().await.unwrap();
    assert_eq!(count(&mut client).await, 1);
}

#[tokio::test]
async fn an_attention_ends_what_runs_and_is_acknowledged() {
    let sim = start();
    let mut client = connect(&sim).await;
    let begun = Instant::now();
    {
        let waits = client.simple_query("WAITFOR DELAY '00:01:00'; SELECT 1");
        let waited = tokio::time::timeout(Duration::from_millis(300), async { waits.await?.into_results().await });
        assert!(waited.await.is_err());
    }
    client.cancel_query().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20));
    let row = client.simple_query("SELECT 7").await.unwrap().into_row().await.unwrap().unwrap();
    assert_eq!(row.get::<i32, _>(0), Some(7));
}

#[tokio::test]
async fn an_attention_stops_a_result_that_nobody_reads() {
    let sim = start();
    let mut client = connect(&sim).await;
    let digits = "(VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9))";
    let sources: Vec<String> = (0..7).map(|n| format!("{digits} AS t{n}(v)")).collect();
    let sql = format!("SELECT t0.v, REPLICATE('x', 1000) FROM {}", sources.join(" CROSS JOIN "));
    {
        let mut stream = client.simple_query(sql).await.unwrap();
        assert!(stream.try_next().await.unwrap().is_some());
    }
    client.cancel_query().await.unwrap();
    let row = client.simple_query("SELECT 7").await.unwrap().into_row().await.unwrap().unwrap();
    assert_eq!(row.get::<i32, _>(0), Some(7));
}

#[tokio::test]
async fn a_client_that_goes_leaves_nothing_behind() {
    let sim = start();
    let mut stays = connect(&sim).await;
    stays.simple_query("CREATE TABLE t (id int)").await.unwrap().into_results().await.unwrap();
    let mut goes = connect(&sim).await;
    goes.simple_query("BEGIN TRAN; INSERT INTO t VALUES (1)").await.unwrap().into_results().await.unwrap();
    drop(goes);
    // Waits for the lock of the one that went.
    let row = tokio::time::timeout(Duration::from_secs(20), async {
        stays.simple_query("SELECT COUNT(*) FROM t").await.unwrap().into_row().await.unwrap().unwrap()
    });
    assert_eq!(row.await.unwrap().get::<i32, _>(0), Some(0));
}
