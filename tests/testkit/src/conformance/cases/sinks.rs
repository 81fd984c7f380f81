//! Sinks that take their time: the connector waits, and neither forgets nor hoards.

use std::time::Duration;

use crate::conformance::{Backend, Pace, Scene};

async fn paced<B: Backend>(mut scene: Scene<B>, pace: Pace, transactions: usize) {
    scene.writer.create_keyed("t1").await;
    scene.writer.create_keyed("t2").await;
    scene.writer.insert("t1", 100).await;
    scene.replica.start();
    scene.replica.settle().await;
    scene.replica.sink.set_pace(pace);
    scene.writer.change_often(&["t1", "t2"], transactions).await;
    scene.replica.settle().await;
    scene.replica.sink.set_pace(Pace::default());
    scene.replica.verify().await;
}

pub async fn a_slow_sink_loses_nothing<B: Backend>(scene: Scene<B>) {
    let pace = Pace { accept: Duration::from_millis(40), durable: Duration::from_millis(200) };
    paced(scene, pace, 60).await;
}

pub async fn a_sink_that_stalls_loses_nothing<B: Backend>(scene: Scene<B>) {
    let pace = Pace { accept: Duration::from_secs(4), durable: Duration::ZERO };
    paced(scene, pace, 4).await;
}
