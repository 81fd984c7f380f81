//! Reading tables beside the running stream.

use std::time::Duration;

use millstream_core::schema::TableName;

use crate::conformance::{Backend, Scene};

const RELOADS: usize = 4;

pub async fn the_first_read_runs_beside_changes<B: Backend>(mut scene: Scene<B>) {
    for table in ["t1", "t2"] {
        scene.writer.create_keyed(table).await;
        scene.writer.insert(table, 900).await;
    }
    // Chunks of 20 rows, so that the changes fall among them.
    scene.replica.options.chunk_rows_max = 20;
    scene.replica.options.rows_per_second_max = Some(1_000);
    scene.replica.start();
    tokio::join!(scene.writer.change_often(&["t1", "t2"], 120), scene.replica.until_current());
    scene.replica.settle().await;
    scene.replica.verify().await;
}

async fn read_again_under_load<B: Backend>(mut scene: Scene<B>) {
    scene.replica.options.chunk_rows_max = 15;
    scene.replica.start();
    scene.replica.settle().await;
    let handle = scene.replica.handle().clone();
    let table = TableName::new(scene.backend.namespace(), "t");
    let reloads = async {
        for _ in 0..RELOADS {
            handle.reload(table.clone()).await.expect("the table can be read again");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::join!(scene.writer.change_often(&["t"], 100), reloads);
    scene.replica.settle().await;
    scene.replica.verify().await;
}

pub async fn a_table_is_read_again_under_load<B: Backend>(mut scene: Scene<B>) {
    scene.writer.create_keyed("t").await;
    scene.writer.insert("t", 300).await;
    read_again_under_load(scene).await;
}

pub async fn tables_without_a_key_are_read_again_under_load<B: Backend>(mut scene: Scene<B>) {
    scene.writer.create_keyless("t").await;
    scene.writer.insert("t", 100).await;
    read_again_under_load(scene).await;
}

pub async fn equal_rows_are_not_written_again<B: Backend>(mut scene: Scene<B>) {
    scene.writer.create_keyed("t").await;
    scene.writer.insert("t", 100).await;
    scene.replica.start();
    scene.replica.settle().await;
    scene.writer.change_often(&["t"], 20).await;
    scene.replica.settle().await;
    let ops_before = scene.replica.sink.ops_written();
    let table = TableName::new(scene.backend.namespace(), "t");
    let summary = scene.replica.handle().reload(table).await.expect("the table can be read again");
    assert_eq!(summary.differences_total, 0, "{summary:?}");
    assert_eq!(scene.replica.sink.ops_written(), ops_before, "equal rows were written again");
}
