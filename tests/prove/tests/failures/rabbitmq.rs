//! RabbitMQ dies, or takes nothing because of an alarm: deliveries are safe in the spools of the edges and follow.

use std::time::{Duration, Instant};

use pipecast_prove::topology::Topology;

use crate::house::{Load, PATIENCE, Project, applied, get, load, on_the_house, shows, until};

/// Longest answer while the broker goes away.
const SLOWEST: Duration = Duration::from_secs(3);

/// Two hundred deliveries while `fault` lasts, then whatever ends it; how long the outage was.
async fn spooled(house: &Topology, project: &Project, begin: impl AsyncFnOnce(), end: impl AsyncFnOnce()) -> (Load, Duration) {
    project.run(1, "in_progress", 1).accepted(house, &house.edges[0]).await;
    let pipeline = project.pipeline(house).await;
    shows(&house.edges[1], pipeline, "running", PATIENCE).await;
    begin().await;
    let begun = Instant::now();

    let mut load = load(house, project, 2, 200, 100).await;
    let last = project.run(2, "completed", 9);
    assert_eq!(last.accepted(house, &house.edges[0]).await, "spool");
    load.acknowledged.push(last.key);
    for edge in &house.edges {
        until("the edge says what is wrong and goes on", PATIENCE, || async {
            let report = get(edge.address(), "/health").await.1;
            report["status"] == "degraded" && report["dependencies"]["queue"]["state"] == "down"
        })
        .await;
        assert_eq!(get(edge.address(), "/health/ready").await.0, 200);
    }

    assert_eq!(load.refused, 0);
    let slowest = load.waits.iter().max().unwrap();
    assert!(*slowest < SLOWEST, "{slowest:?}");
    let mut later = load.waits[20..].to_vec();
    later.sort();
    let median = later[later.len() / 2];
    assert!(
        median < Duration::from_millis(30),
        "half of them waited {median:?} for what was known to be away"
    );
    println!("slowest answer {slowest:?}, half of the later ones within {median:?}");
    end().await;
    (load, begun.elapsed())
}

/// Within twice the outage, or ten seconds where that is longer.
async fn follow(house: &Topology, load: &Load, outage: Duration) {
    let bound = (2 * outage).max(Duration::from_secs(10));
    let took = applied(house, &load.acknowledged, bound).await;
    println!("after an outage of {outage:?} everything was applied within {took:?}");
    for edge in &house.edges {
        until("the edge is whole again", PATIENCE, || async {
            get(edge.address(), "/health").await.1["status"] == "ok"
        })
        .await;
    }
}

#[test]
fn while_rabbitmq_is_dead_deliveries_are_spooled_and_follow_within_twice_the_outage() {
    on_the_house(async |house| {
        let broker = &house.rabbitmq.process;
        let begin = async || broker.kill().await.unwrap();
        let end = async || {
            broker.start().unwrap();
            broker.ready().await.unwrap();
        };

        let (load, outage) = spooled(house, &Project::fresh(), begin, end).await;

        follow(house, &load, outage).await;
    });
}

#[test]
fn while_an_alarm_blocks_rabbitmq_deliveries_are_spooled_and_follow_within_twice_the_outage() {
    on_the_house(async |house| {
        let begin = async || house.rabbitmq.raise_alarm().await.unwrap();
        let end = async || house.rabbitmq.clear_alarm().await.unwrap();

        let (load, outage) = spooled(house, &Project::fresh(), begin, end).await;

        follow(house, &load, outage).await;
    });
}
