//! A worker dies at work, or stands still and goes on later.

use std::time::{Duration, Instant};

use crate::house::{Project, applied, load, on_the_house};

#[test]
fn workers_that_are_killed_at_work_cost_seconds_and_nothing_else() {
    const BOUND: Duration = Duration::from_secs(15);
    on_the_house(async |house| {
        let project = Project::fresh();
        let killing = async {
            for number in 0..6 {
                tokio::time::sleep(Duration::from_millis(500)).await;
                let worker = &house.workers[number % 2];
                worker.kill().await.unwrap();
                worker.start().unwrap();
            }
            Instant::now()
        };

        let (load, last) = tokio::join!(load(house, &project, 1, 400, 100), killing);

        assert_eq!(load.refused, 0, "senders see nothing of it");
        applied(house, &load.acknowledged, BOUND.saturating_sub(last.elapsed())).await;
        println!("six kills of workers: all applied {:?} after the last", last.elapsed());
    });
}

#[test]
fn a_worker_that_stands_still_loses_its_claims_to_the_other_and_does_no_harm_when_it_goes_on() {
    /// The broker misses the heartbeats of the worker by then, and hands out anew.
    const BOUND: Duration = Duration::from_secs(30);
    on_the_house(async |house| {
        let project = Project::fresh();
        let pausing = async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            house.workers[0].pause();
            Instant::now()
        };

        let (before, paused) = tokio::join!(load(house, &project, 1, 300, 150), pausing);
        let took = applied(house, &before.acknowledged, BOUND).await;
        println!(
            "a worker that stands still: all applied {:?} after, {took:?} after the last delivery",
            paused.elapsed()
        );
        house.workers[0].resume();
        let after = load(house, &project, 1_001, 100, 100).await;

        assert_eq!(before.refused + after.refused, 0);
        house.workers[0].ready().await.unwrap();
        applied(house, &after.acknowledged, Duration::from_secs(15)).await;
        let all = [before.acknowledged, after.acknowledged].concat();
        applied(house, &all, Duration::from_secs(1)).await;
    });
}
