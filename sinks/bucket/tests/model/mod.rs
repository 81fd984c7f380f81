//! A random test of everything at once: a simulated source with its log, a pipeline that keeps the contract, clients
//! that download at any time, restarts, crashes and deployments; and after every few steps the question whether what
//! readers see is what the source had at that position.
//!
//! `MILLSTREAM_SEED=7 cargo nextest run -p millstream-bucket model` runs one seed; the writer's thread takes its own time,
//! so a seed gives the same steps, but not the same interleaving. `MILLSTREAM_SEEDS=1000` runs that many.

mod holds;
mod outcome;
mod passes;
mod pipeline;
mod source;

use pipeline::Pipeline;

const SEEDS: u64 = 12;
const STEPS: usize = 400;

#[tokio::test]
async fn what_readers_see_is_what_the_source_had() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("MILLSTREAM_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = rand::random::<u32>().into();
            first..first + number("MILLSTREAM_SEEDS").unwrap_or(SEEDS)
        }
    };
    for seed in seeds {
        println!("MILLSTREAM_SEED={seed}");
        let mut pipeline = Pipeline::new(seed).await;
        for _ in 0..STEPS {
            pipeline.step().await;
        }
        pipeline.settle().await;
    }
}
