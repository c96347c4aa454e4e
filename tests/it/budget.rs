//! One budget for several processes on one Redis, and what each of them does while it is away.

use std::time::{Duration, Instant};

use pipecast::simulate::line::Line;

use crate::binary::Process;
use crate::redis::RedisServer;

/// Far below what a development build answers on a busy machine, so that there is always too much.
const PER_SECOND: u32 = 50;
const BURST: u32 = 50;

/// Edges that count this machine, each with a database of its own: only their limits are shared.
fn edges(redis: &RedisServer, count: usize) -> Vec<Process> {
    let (url, rate, burst) = (redis.url(), PER_SECOND.to_string(), BURST.to_string());
    let settings = [
        ("PIPECAST_FABRIC__REDIS_URL", url.as_str()),
        ("PIPECAST_LIMITS__COUNT_LOOPBACK", "true"),
        ("PIPECAST_LIMITS__ADDRESS_PER_SECOND", &rate),
        ("PIPECAST_LIMITS__ADDRESS_BURST", &burst),
        ("PIPECAST_SERVER__WORKERS", "1"),
    ];
    (0..count).map(|_| Process::start(&settings)).collect()
}

/// How many of the requests that two connections to each edge send, one after the other, are answered 200; all others have to be 429.
async fn flood(edges: &[Process], time: Duration) -> Vec<u32> {
    let asking = edges.iter().flat_map(|edge| [edge, edge]).map(|edge| {
        let mut line = Line::new(edge.address, Duration::from_secs(5));
        let request = format!("GET /api/v1/pipelines/1/status/realtime HTTP/1.1\r\nHost: {}\r\n\r\n", edge.address);
        async move {
            let (mut passed, mut refused, begun) = (0, 0, Instant::now());
            while begun.elapsed() < time {
                match line.send(request.as_bytes()).await.expect("an answer").status {
                    200 => passed += 1,
                    429 => refused += 1,
                    other => panic!("{other}"),
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert!(refused > 0, "it was never too much");
            passed
        }
    });
    let passed = futures_util::future::join_all(asking).await;
    passed.chunks(2).map(|of_an_edge| of_an_edge.iter().sum()).collect()
}

fn budget(time: Duration) -> f64 {
    f64::from(BURST) + f64::from(PER_SECOND) * time.as_secs_f64()
}

#[tokio::test]
async fn three_processes_enforce_one_budget_within_five_percent() {
    let redis = RedisServer::start();
    let (edges, time) = (edges(&redis, 3), Duration::from_secs(5));

    let passed = flood(&edges, time).await;

    let all: u32 = passed.iter().sum();
    let off = (f64::from(all) / budget(time) - 1.0) * 100.0;
    println!("3 processes, {PER_SECOND} a second and {BURST} at once, 5 s: {passed:?} passed, {off:+.1} % off one budget");
    assert!(off.abs() <= 5.0, "{passed:?}: {off}");
    for edge in &edges {
        assert!(edge.limited().await > 0.0);
    }
}

#[tokio::test]
async fn without_redis_each_process_has_a_budget_of_its_own_says_so_once_and_shares_again_by_itself() {
    let mut redis = RedisServer::start();
    let (edges, time) = (edges(&redis, 2), Duration::from_secs(3));
    flood(&edges, Duration::from_secs(1)).await;
    for edge in &edges {
        assert_eq!(edge.is_shared().await, Some(1.0));
    }

    redis.kill();
    // Until each has noticed, and the burst of its own is used up.
    flood(&edges, Duration::from_secs(2)).await;
    let alone = flood(&edges, time).await;

    let rate = f64::from(PER_SECOND) * time.as_secs_f64();
    for passed in &alone {
        assert!((f64::from(*passed) / rate - 1.0).abs() < 0.1, "{alone:?}");
    }
    for edge in &edges {
        assert_eq!(edge.is_shared().await, Some(0.0));
        assert_eq!(edge.said("every process has every rate limit to itself"), 1);
    }

    redis.again();
    for edge in &edges {
        edge.until_shared().await;
        edge.until_said("every rate limit is one budget for all processes").await;
    }
    flood(&edges, Duration::from_secs(1)).await;
    let together: u32 = flood(&edges, time).await.iter().sum();
    assert!((f64::from(together) / rate - 1.0).abs() < 0.1, "{together}");
}

impl Process {
    /// Requests that it refused by a limit.
    async fn limited(&self) -> f64 {
        self.until_answered_counters("pipecast_limited_total").await.unwrap_or(0.0)
    }

    async fn is_shared(&self) -> Option<f64> {
        self.until_answered_counters("pipecast_quotas_shared").await
    }

    async fn until_shared(&self) {
        let begun = Instant::now();
        while self.is_shared().await != Some(1.0) {
            assert!(begun.elapsed() < Duration::from_secs(10), "it never shares again");
        }
    }

    /// The log is read by a thread of its own, which may come to it a little later than the metrics tell.
    async fn until_said(&self, text: &str) {
        let begun = Instant::now();
        while self.said(text) == 0 {
            assert!(begun.elapsed() < Duration::from_secs(10), "it never says: {text}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(self.said(text), 1);
    }

    /// What `/metrics` says; whoever has used up the budget has to wait for an answer from there too.
    async fn until_answered_counters(&self, name: &str) -> Option<f64> {
        let begun = Instant::now();
        loop {
            let answer = self.get("/metrics").await;
            if answer.status == 200 {
                let text = String::from_utf8(answer.body).unwrap();
                let line = text.lines().find(|line| line.starts_with(name))?;
                return line.rsplit(' ').next()?.parse().ok();
            }
            assert!(answer.status == 429 && begun.elapsed() < Duration::from_secs(10), "{}", answer.status);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
