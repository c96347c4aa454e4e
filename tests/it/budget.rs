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

/// Rounds in which a machine that stands still for a moment, just before the end, may keep the budget from being used up.
const ROUNDS: usize = 3;

/// In one of `ROUNDS` rounds, with a rest before each, as much passes as there is, give or take `share` of it. More is never forgiven.
/// `of` says of what passed at each edge how many times what there is it was.
async fn is_used_up(edges: &[Process], rest: Duration, time: Duration, share: f64, of: impl Fn(&[u32]) -> Vec<f64>) {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        tokio::time::sleep(rest).await;
        let passed = flood(edges, time).await;
        let times = of(&passed);
        println!("{} processes, {time:?}: {passed:?} passed, {times:.3?} times what there was", edges.len());
        assert!(times.iter().all(|times| *times <= 1.0 + share), "{passed:?}: {times:?}");
        if times.iter().all(|times| *times >= 1.0 - share) {
            return;
        }
        rounds.push(times);
    }
    panic!("{rounds:?}");
}

#[tokio::test]
async fn three_processes_enforce_one_budget_within_five_percent() {
    let redis = RedisServer::start();
    let (edges, time) = (edges(&redis, 3), Duration::from_secs(5));

    let whole = Duration::from_secs(u64::from(BURST / PER_SECOND));
    let of = |passed: &[u32]| vec![f64::from(passed.iter().sum::<u32>()) / budget(time)];
    is_used_up(&edges, whole, time, 0.05, of).await;

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
    let rate = f64::from(PER_SECOND) * time.as_secs_f64();
    let each = |alone: &[u32]| alone.iter().map(|passed| f64::from(*passed) / rate).collect();
    is_used_up(&edges, Duration::ZERO, time, 0.1, each).await;
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
    let all = |together: &[u32]| vec![f64::from(together.iter().sum::<u32>()) / rate];
    is_used_up(&edges, Duration::ZERO, time, 0.1, all).await;
}

impl Process {
    /// Requests that it refused by the budget of an address.
    async fn limited(&self) -> f64 {
        self.until_answered_counters(r#"pipecast_limited_total{kind="address"}"#).await.unwrap_or(0.0)
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
