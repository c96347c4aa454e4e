//! Quotas that several processes share over Redis: one budget, while the server is there, dies, stands still and comes back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pipecast_fabric::quota::shared::Sharing;
use pipecast_fabric::redis::Redis;
use pipecast_fabric::{Quota, Quotas, Spender};
use pipecast_model::UserId;
use tokio_util::sync::CancellationToken;

use crate::server::Server;
use crate::soon;

const ADA: Spender = Spender::User(UserId(1));

/// The quotas of a process, shared until it is dropped.
struct Node {
    quotas: Arc<Quotas>,
    ending: CancellationToken,
}

impl Node {
    fn on(redis: &Redis) -> Node {
        let (quotas, ending) = (Arc::new(Quotas::new(10_000)), CancellationToken::new());
        tokio::spawn(Sharing::new(Arc::clone(&quotas), redis).run(ending.clone()));
        Node { quotas, ending }
    }

    fn take(&self, quota: Quota) -> bool {
        self.quotas.take(ADA, quota, Instant::now()).is_ok()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.ending.cancel();
    }
}

/// As many as each of them lets through in at least this time, asked about 5,000 times a second, and how long it was until nothing was left.
/// At the end they take what a machine that stood still has left over, one after the other, so that each has heard of the others.
async fn flood(nodes: &[Node], quota: Quota, time: Duration) -> (Vec<u32>, Duration) {
    let (mut taken, begun) = (vec![0; nodes.len()], Instant::now());
    while begun.elapsed() < time {
        for (node, taken) in nodes.iter().zip(&mut taken) {
            *taken += u32::from(node.take(quota));
        }
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    for (node, taken) in nodes.iter().zip(&mut taken) {
        tokio::time::sleep(Duration::from_millis(30)).await;
        while node.take(quota) {
            *taken += 1;
        }
    }
    (taken, begun.elapsed())
}

/// How far what was taken is from one budget with its whole burst, in hundredths.
fn off(taken: &[u32], quota: Quota, time: Duration) -> f64 {
    let budget = f64::from(quota.burst) + f64::from(quota.per_second) * time.as_secs_f64();
    let all: u32 = taken.iter().sum();
    (f64::from(all) / budget - 1.0) * 100.0
}

/// The same where the burst is used up and only the rate is left.
fn off_rate(taken: u32, quota: Quota, time: Duration) -> f64 {
    off(&[taken], Quota { burst: 0, ..quota }, time)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_processes_have_one_budget_within_five_percent() {
    let server = Server::start().await;
    let nodes: Vec<Node> = (0..5).map(|_| Node::on(&server.redis())).collect();
    let (quota, time) = (Quota { per_second: 200, burst: 100 }, Duration::from_secs(4));

    let (taken, time) = flood(&nodes, quota, time).await;

    let off = off(&taken, quota, time);
    println!("5 processes, 200 a second and 100 at once, {time:?}: {taken:?}, {off:+.1} % off one budget");
    assert!(off.abs() <= 5.0, "{taken:?}: {off}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_alone_has_the_whole_budget() {
    let server = Server::start().await;
    let nodes: Vec<Node> = (0..5).map(|_| Node::on(&server.redis())).collect();
    let (quota, time) = (Quota { per_second: 200, burst: 100 }, Duration::from_secs(2));

    let (taken, time) = flood(&nodes[..1], quota, time).await;

    assert!(off(&taken, quota, time).abs() <= 5.0, "{taken:?}");
}

#[tokio::test]
async fn what_is_paid_for_is_gone_from_the_server() {
    let server = Server::start().await;
    let node = Node::on(&server.redis());
    let quota = Quota { per_second: 10, burst: 3 };

    assert!(node.take(quota));

    let has_key = async || server.type_in(&["EXISTS", "pipecast:quota:user:1"]).await.contains('1');
    soon("it is told", async { while !has_key().await {} }).await;
    soon("it is forgotten", async { while has_key().await {} }).await;
    server.type_in(&["SET", "pipecast:quota:user:1", "nonsense"]).await;
    assert!(node.take(quota), "what somebody else wrote there is in nobody's way");
    soon("it is written over", async {
        while server.type_in(&["GET", "pipecast:quota:user:1"]).await == "nonsense" {}
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_server_each_has_a_budget_of_its_own_and_with_it_they_have_one_again() {
    let mut server = Server::start().await;
    let nodes: Vec<Node> = (0..3).map(|_| Node::on(&server.redis())).collect();
    let (quota, time) = (Quota { per_second: 200, burst: 100 }, Duration::from_secs(2));
    flood(&nodes, quota, Duration::from_millis(300)).await;

    server.kill();
    flood(&nodes, quota, Duration::from_millis(1_500)).await;
    let (alone, lasted) = flood(&nodes, quota, time).await;

    for taken in &alone {
        assert!(off_rate(*taken, quota, lasted).abs() <= 10.0, "{alone:?} in {lasted:?}");
    }

    server.again().await;
    flood(&nodes, quota, Duration::from_secs(2)).await;
    let (together, lasted) = flood(&nodes, quota, time).await;

    assert!(off_rate(together.iter().sum(), quota, lasted).abs() <= 5.0, "{together:?} in {lasted:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_holds_nobody_up() {
    let server = Server::start().await;
    let nodes = [Node::on(&server.redis())];
    let quota = Quota {
        per_second: 1_000,
        burst: 1_000,
    };
    flood(&nodes, quota, Duration::from_millis(200)).await;

    server.pause();
    let begun = Instant::now();
    for _ in 0..1_000 {
        nodes[0].take(quota);
    }
    let took = begun.elapsed();
    server.resume();

    assert!(took < Duration::from_millis(200), "{took:?}");
}
