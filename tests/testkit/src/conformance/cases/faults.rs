//! The outside world: connections that are cut, hang or are refused; servers that restart; logs that are gone.

use std::time::Duration;

use rand::Rng;

use crate::FaultProxy;
use crate::conformance::{Backend, Input, Operation, Scene};

fn proxy<B: Backend>(backend: &B) -> &FaultProxy {
    backend.proxy().expect("a back-end without a proxy lists CutConnections in lacks()")
}

async fn begin<B: Backend>(scene: &mut Scene<B>) {
    scene.writer.create_keyed("t1").await;
    scene.writer.create_keyed("t2").await;
    scene.writer.insert("t1", 200).await;
    scene.replica.start();
    scene.replica.settle().await;
}

async fn end<B: Backend>(scene: &mut Scene<B>) {
    scene.writer.change_often(&["t1", "t2"], 3).await;
    scene.replica.settle().await;
    scene.replica.verify().await;
}

/// Cuts during the stream, and during the first read of a table.
pub async fn cut_connections_lose_nothing<B: Backend>(mut scene: Scene<B>) {
    begin(&mut scene).await;
    let accepted_before = proxy(scene.backend.as_ref()).accepted();
    for round in 0..6 {
        scene.writer.change_often(&["t1", "t2"], 4).await;
        if round % 2 == 0 {
            proxy(scene.backend.as_ref()).cut_all();
        } else {
            proxy(scene.backend.as_ref()).cut_after(scene.writer.random.random_range(1..4_000));
            scene.writer.insert("t1", 100).await;
        }
        tokio::time::sleep(Duration::from_millis(scene.writer.random.random_range(0..150))).await;
    }
    end(&mut scene).await;
    assert!(proxy(scene.backend.as_ref()).accepted() > accepted_before, "the connector doesn't use the proxy");
}

pub async fn a_cut_inside_a_transaction_loses_nothing<B: Backend>(mut scene: Scene<B>) {
    begin(&mut scene).await;
    for round in 0..3 {
        let statement = |number: i64| {
            let ids = (0..200).map(|index| 10_000 + round * 10_000 + number * 200 + index);
            let row =
                |id| vec![Input::Integer(id), Input::Integer(1), Input::Null, Input::text("of a large transaction")];
            Operation::Insert { table: "t1".to_owned(), rows: ids.map(row).collect() }
        };
        let statements: Vec<Operation> = (0..20).map(statement).collect();
        // About 40 bytes a row: somewhere inside.
        let bytes = scene.writer.random.random_range(10_000..150_000);
        proxy(scene.backend.as_ref()).cut_after(bytes);
        scene.writer.execute(statements).await;
        scene.replica.settle().await;
    }
    end(&mut scene).await;
}

pub async fn a_peer_that_hangs_for_a_while_loses_nothing<B: Backend>(mut scene: Scene<B>) {
    begin(&mut scene).await;
    proxy(scene.backend.as_ref()).stall();
    scene.writer.change_often(&["t1", "t2"], 10).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    proxy(scene.backend.as_ref()).resume();
    end(&mut scene).await;
}

pub async fn refused_connections_are_tried_again<B: Backend>(mut scene: Scene<B>) {
    begin(&mut scene).await;
    proxy(scene.backend.as_ref()).refuse(true);
    proxy(scene.backend.as_ref()).cut_all();
    scene.writer.change_often(&["t1", "t2"], 10).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let status = format!("{:?}", scene.replica.handle().status().connection);
    proxy(scene.backend.as_ref()).refuse(false);
    end(&mut scene).await;
    assert!(status.contains("Retrying"), "with all connections refused the status was {status}");
}

pub async fn a_source_that_restarts_loses_nothing<B: Backend>(mut scene: Scene<B>) {
    begin(&mut scene).await;
    for kill in [false, true] {
        scene.writer.change_often(&["t1", "t2"], 5).await;
        scene.backend.restart_source(kill).await.expect("the source restarts");
        scene.writer.change_often(&["t1", "t2"], 5).await;
        scene.replica.settle().await;
    }
    end(&mut scene).await;
}

pub async fn a_lost_log_costs_a_re_read<B: Backend>(mut scene: Scene<B>) {
    begin(&mut scene).await;
    scene.replica.stop().await;
    scene.writer.change_often(&["t1", "t2"], 20).await;
    scene.writer.execute_one(Operation::DropTable { table: "t2".to_owned() }).await;
    scene.writer.create_keyed("t3").await;
    scene.writer.insert("t3", 5).await;
    let before = scene.writer.states();
    scene.backend.lose_log().await.expect("the source forgets its log");
    let ops_before = scene.replica.sink.ops_written();
    scene.replica.start();
    scene.replica.settle().await;
    // Clients keep their data and receive the differences.
    let ops = scene.replica.sink.ops_written() - ops_before;
    let rows = before.last().map_or(0, |state| state.values().map(|content| content.rows().count()).sum());
    assert!((ops as usize) < rows, "{ops} ops for {rows} rows: everything was written again");
    scene.writer.change_often(&["t1", "t3"], 3).await;
    scene.replica.settle().await;
}
