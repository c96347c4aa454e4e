//! Measures the embedded queue: `sends RATE SECONDS SYNC_DELAY_MS` (rate 0: 256 senders as fast as they can), beside one
//! consumer that acks everything. Prints latencies and commits; run it under `strace -f -c -e trace=fsync,fdatasync` for syncs.
#![expect(clippy::print_stdout, reason = "it prints its figures")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pipecast_fabric::queue::embedded::{EmbeddedQueue, Options};
use pipecast_fabric::{Queue, Verdict};
use pipecast_model::Lane;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// About a GitHub `workflow_run`.
const BODY: usize = 10_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let mut number = |default| numbers.next().unwrap_or(Ok(default));
    let (rate, seconds, delay) = (number(2_000)?, number(5)?, number(0)?);
    let directory = tempfile::tempdir_in(".")?;
    let queue = EmbeddedQueue::open(Options {
        path: directory.path().join("queue.db"),
        max_messages: 1_000_000,
        max_bytes: 4 << 30,
        max_message_bytes: 25 << 20,
        max_failures: 5,
        retry_base: Duration::from_secs(1),
        retry_cap: Duration::from_secs(60),
        sync_delay: Duration::from_millis(delay),
    })
    .await?;
    let queue = Arc::new(queue);

    let consumer = tokio::spawn({
        let queue = Arc::clone(&queue);
        async move {
            while let Ok(claims) = queue.receive(64).await {
                let verdicts = claims.iter().map(|claim| (claim.id, Verdict::Ack)).collect();
                // The work takes a while, as a commit to the database does.
                tokio::time::sleep(Duration::from_millis(5)).await;
                if queue.settle(verdicts).await.is_err() {
                    return;
                }
            }
        }
    });
    let begun = Instant::now();
    let end = begun + Duration::from_secs(seconds);
    let body = Bytes::from(vec![b'x'; BODY]);
    let mut latencies = Vec::new();
    let mut senders = JoinSet::new();
    if rate == 0 {
        for _ in 0..256 {
            let (queue, body) = (Arc::clone(&queue), body.clone());
            senders.spawn(async move {
                let mut latencies = Vec::new();
                while Instant::now() < end {
                    let sent = Instant::now();
                    if queue.send(Lane::Urgent, body.clone()).await.is_ok() {
                        latencies.push(sent.elapsed());
                    }
                }
                latencies
            });
        }
    } else {
        for number in 0..rate * seconds {
            let due = begun + Duration::from_micros(number * 1_000_000 / rate);
            let (queue, body) = (Arc::clone(&queue), body.clone());
            tokio::time::sleep_until(due).await;
            senders.spawn(async move {
                let sent = Instant::now();
                match queue.send(Lane::Urgent, body).await {
                    Ok(_) => vec![sent.elapsed()],
                    Err(_) => Vec::new(),
                }
            });
        }
    }
    while let Some(done) = senders.join_next().await {
        latencies.extend(done?);
    }
    let elapsed = begun.elapsed();
    let commits = queue.commits();
    queue.close().await;
    consumer.await?;

    latencies.sort_unstable();
    let percentile = |share: f64| latencies.get((latencies.len() as f64 * share) as usize).copied().unwrap_or_default();
    let sends = latencies.len();
    println!(
        "{sends} sends, {:.0} a second, {commits} commits, {:.3} each; p50 {:?} p99 {:?}",
        sends as f64 / elapsed.as_secs_f64(),
        commits as f64 / sends as f64,
        percentile(0.5),
        percentile(0.99),
    );
    Ok(())
}
