//! PostgreSQL is away, or dies while transactions are committed.

use std::time::Duration;

use pipecast_prove::process::Process;

use crate::house::{PATIENCE, Project, applied, get, load, on_the_house, shows, status, until};
use crate::socket::Socket;

/// Everything that waited is written and shown by then, after the database is back.
const BOUND: Duration = Duration::from_secs(30);

#[test]
fn while_postgresql_is_down_the_last_state_stays_and_what_is_taken_waits_at_the_broker() {
    on_the_house(async |house| {
        let project = Project::fresh();
        project.run(1, "in_progress", 1).accepted(house, &house.edges[0]).await;
        let pipeline = project.pipeline(house).await;
        let mut sockets = Vec::new();
        for edge in &house.edges {
            let mut socket = Socket::plain(edge.address(), &format!("/ws/pipeline/{pipeline}")).await;
            assert_eq!(socket.json_of("snapshot").await["status"], "running");
            sockets.push(socket);
        }
        let unheard = pipeline + 100_000;

        house.postgres.process.kill().await.unwrap();

        let load = load(house, &project, 2, 50, 50).await;
        assert_eq!(load.refused, 0, "the broker has room");
        let last = project.run(60, "completed", 9);
        assert_eq!(last.accepted(house, &house.edges[1]).await, "broker");
        for edge in &house.edges {
            assert_eq!(status(edge, pipeline).await.1["status"], "running", "the last state stays");
            let mut late = Socket::plain(edge.address(), &format!("/ws/pipeline/{pipeline}")).await;
            assert_eq!(late.json_of("snapshot").await["status"], "running");
            assert_eq!(status(edge, unheard).await.0, 503, "nobody knows whether there is such a thing");
            let Err((503, _)) = Socket::open(edge.address(), &format!("/ws/pipeline/{unheard}"), &[]).await else {
                panic!("a socket on what nobody can read");
            };
            until("the edge says what is wrong and goes on", PATIENCE, || async {
                let report = get(edge.address(), "/health").await.1;
                report["status"] == "degraded" && report["dependencies"]["store"]["state"] == "down"
            })
            .await;
            assert_eq!(get(edge.address(), "/health/ready").await.0, 200);
        }
        for worker in &house.workers {
            until("a worker cannot work", PATIENCE, || async { !worker.is_ready().await }).await;
        }

        house.postgres.process.start().unwrap();
        house.postgres.ready().await.unwrap();

        let keys = [load.acknowledged, vec![last.key]].concat();
        let took = applied(house, &keys, BOUND).await;
        println!("everything that waited was applied {took:?} after the return of PostgreSQL");
        for (edge, socket) in house.edges.iter().zip(&mut sockets) {
            shows(edge, pipeline, "success", BOUND).await;
            while socket.json_of("status_change").await["status"] != "success" {}
        }
    });
}

/// How often a process has said so in its log.
fn said(process: &Process, words: &str) -> usize {
    std::fs::read_to_string(process.log()).unwrap().matches(words).count()
}

#[test]
fn when_postgresql_dies_in_the_middle_of_commits_nothing_is_lost_and_nothing_done_twice() {
    on_the_house(async |house| {
        let project = Project::fresh();
        let before: usize = house.workers.iter().map(|worker| said(worker, "cannot write what deliveries tell")).sum();
        let killing = async {
            for _ in 0..4 {
                tokio::time::sleep(Duration::from_millis(900)).await;
                house.postgres.process.kill().await.unwrap();
                house.postgres.process.start().unwrap();
                house.postgres.ready().await.unwrap();
            }
        };

        let (load, ()) = tokio::join!(load(house, &project, 1, 600, 120), killing);

        assert_eq!(load.refused, 0);
        let took = applied(house, &load.acknowledged, BOUND).await;
        let said: usize = house.workers.iter().map(|worker| said(worker, "cannot write what deliveries tell")).sum();
        assert!(said > before, "no transaction was in hand at any of the deaths");
        println!("four deaths in the middle of 600 deliveries: all applied once, {took:?} after the last");
    });
}
