//! From the commit at the source to the checkpoint that shows it, on an idle server.

use std::time::{Duration, Instant};

use millstream_bucket::{BucketSink, BucketSinkOptions, DeployedConfig, SourceOptions};
use millstream_core::pipeline::{Pipeline, PipelineOptions};
use millstream_core::sink::Sink;
use millstream_mysql::MySqlConfig;
use millstream_sync_config::SyncConfig;
use mysql_async::prelude::Queryable;

use crate::failure::Failure;
use crate::workload::{SYNC_CONFIG, Workload};

const SOURCE: &str = "bench";
/// Between two commits, so that each finds everything idle.
const PAUSE: Duration = Duration::from_millis(10);
/// A checkpoint that takes longer than this counts as lost.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) async fn print(workload: &Workload<'_>, commits: u32) -> Result<(), Failure> {
    workload.load(1_000).await?;
    let config: MySqlConfig = serde_saphyr::from_str(&format!("uri: {}", workload.uri()))
        .map_err(|error| Failure::Setup(error.to_string()))?;
    let connector = config.build(SOURCE)?;
    let sync_config = SyncConfig::parse(SYNC_CONFIG, "sync-config.yaml")
        .map_err(|faults| Failure::Setup(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
    let options = BucketSinkOptions {
        sync_config: DeployedConfig::new(sync_config, "sync-config.yaml", SYNC_CONFIG),
        sources: vec![SourceOptions { name: SOURCE.to_owned(), default_schema: "bench".to_owned() }],
    };
    let sink = BucketSink::open(&workload.directory().join("latency-data"), options)?;
    let (pipeline, handle) = Pipeline::new(SOURCE, connector, sink.clone(), PipelineOptions::default());
    let running = tokio::spawn(pipeline.run());
    handle.until_current().await.map_err(|error| Failure::Setup(error.to_string()))?;

    let mut taken = measure(workload, &sink, commits).await?;
    handle.stop();
    running
        .await
        .map_err(|error| Failure::Setup(error.to_string()))?
        .map_err(|error| Failure::Setup(error.to_string()))?;
    sink.close().await?;

    taken.sort_unstable();
    let at = |fraction: f64| {
        let index = (taken.len() as f64 * fraction) as usize;
        taken.get(index.min(taken.len().saturating_sub(1))).map_or(0.0, |took| took.as_secs_f64() * 1e3)
    };
    println!(
        "{:<10} commit to checkpoint: median {:.1} ms, 99th percentile {:.1} ms of 50 ms",
        "latency",
        at(0.5),
        at(0.99)
    );
    Ok(())
}

async fn measure(workload: &Workload<'_>, sink: &BucketSink, commits: u32) -> Result<Vec<Duration>, Failure> {
    let mut checkpoints = sink.checkpoints();
    let mut connection = workload.server().connect().await?;
    connection.query_drop("USE bench").await?;
    let mut taken = Vec::new();
    for commit in 0..commits {
        tokio::time::sleep(PAUSE).await;
        let before = checkpoints.borrow_and_update().as_ref().map(|checkpoint| checkpoint.op_id);
        connection
            .query_drop(format!("UPDATE orders SET customer = -{commit} - 1 WHERE id = {}", commit % 1_000 + 1))
            .await?;
        let committed = Instant::now();
        let shown = checkpoints.wait_for(|checkpoint| checkpoint.as_ref().map(|checkpoint| checkpoint.op_id) > before);
        match tokio::time::timeout(CHECKPOINT_TIMEOUT, shown).await {
            Ok(Ok(_)) => taken.push(committed.elapsed()),
            Ok(Err(_)) => return Err(Failure::Setup("the sink has stopped".to_owned())),
            Err(_) => {
                return Err(Failure::Setup(format!(
                    "commit {commit} isn't in a checkpoint after {CHECKPOINT_TIMEOUT:?}"
                )));
            }
        }
    }
    Ok(taken)
}
