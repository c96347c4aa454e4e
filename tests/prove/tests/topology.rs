//! The topology itself: it comes up as it is deployed, everything in it can be broken and healed, and nothing of it is left behind.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use pipecast::simulate::line::Line;
use pipecast_prove::process::Process;
use pipecast_prove::topology::{Plan, Server, Topology};

async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn answers(process: &Process, path: &str) -> bool {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", process.address());
    let mut line = Line::new(process.address(), Duration::from_secs(2));
    line.send(request.as_bytes()).await.is_ok_and(|answer| answer.status == 200)
}

fn is_there(id: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_up_can_be_broken_and_leaves_nothing_behind() {
    let topology = Topology::start(Plan {
        standby: true,
        ..Plan::default()
    })
    .await
    .unwrap();
    assert!(answers(&topology.proxy, "/api/v1/pipelines").await);
    // Three servers and the standby for each of five, and nginx before each edge and the admin.
    assert_eq!(topology.ways.len(), 5 * 4 + 3);

    // Ours: killed, it comes back where it was; paused, it says nothing.
    let edge = &topology.edges[0];
    edge.kill().await.unwrap();
    assert!(!edge.is_ready().await);
    assert!(answers(&topology.proxy, "/health/live").await, "there is another edge");
    edge.start().unwrap();
    edge.ready().await.unwrap();
    edge.pause();
    assert!(!edge.is_ready().await);
    edge.resume();
    edge.ready().await.unwrap();
    topology.workers[0].restart().await.unwrap();

    // A worker that is cut off from what it needs is not ready, and is again.
    let worker = &topology.workers[1];
    for server in [Server::Postgres, Server::RabbitMq] {
        topology.gates(Some("worker-2"), Some(server)).for_each(|gate| gate.cut());
        until("it is cut off", || async { !worker.is_ready().await }).await;
        topology.gates(Some("worker-2"), Some(server)).for_each(|gate| gate.open());
        worker.ready().await.unwrap();
    }

    // The servers.
    topology.postgres.order("CREATE TABLE mark (x INTEGER)").await.unwrap();
    topology.postgres.process.kill().await.unwrap();
    until("it is missed", || async { !worker.is_ready().await }).await;
    topology.postgres.process.start().unwrap();
    topology.postgres.ready().await.unwrap();
    topology.postgres.order("DROP TABLE mark").await.unwrap();
    topology.postgres.process.pause();
    until("it is missed", || async { !worker.is_ready().await }).await;
    topology.postgres.process.resume();
    topology.postgres.terminate_backends().await.unwrap();
    topology.standby.as_ref().unwrap().pause_replay().await.unwrap();
    topology.standby.as_ref().unwrap().resume_replay().await.unwrap();
    topology.redis.flush().await.unwrap();
    topology.redis.process.terminate().await.unwrap();
    topology.redis.start_empty().unwrap();
    topology.rabbitmq.raise_alarm().await.unwrap();
    topology.rabbitmq.clear_alarm().await.unwrap();
    topology.rabbitmq.process.kill().await.unwrap();
    topology.rabbitmq.process.start().unwrap();
    topology.proxy.restart().await.unwrap();
    topology.ready().await.unwrap();

    let (folder, ids) = (topology.folder.clone(), topology.processes().filter_map(Process::id).collect::<Vec<_>>());
    assert_eq!(ids.len(), 10);
    assert!(ids.iter().all(|id| is_there(*id)));
    topology.edges[1].pause();
    drop(topology);
    assert!(!ids.iter().any(|id| is_there(*id)), "something still runs");
    assert!(!folder.exists());
}
