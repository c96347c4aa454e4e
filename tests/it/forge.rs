//! The model forge against the intake: whatever order its webhooks come in, what they come to together is its truth.

use std::collections::BTreeMap;
use std::time::Duration;

use pipecast::simulate::chance::Chance;
use pipecast::simulate::forge::{Event, Forge, Options};
use pipecast::simulate::run::ExecutionKey;
use pipecast_admin::intake::fold::Fold;
use pipecast_model::{Delivery, DeliveryId, Reading, Status, Timestamp};

/// A life in which people push for so long, and which goes on until all of it has ended.
fn told(seed: u64, speed: f64, pushing: Duration) -> (Forge, Vec<Event>) {
    let mut forge = Forge::new(Options {
        seed,
        speed,
        ..Options::default()
    });
    let mut events = Vec::new();
    while let Some(event) = forge.next() {
        if event.at > pushing {
            forge.close();
        }
        events.push(event);
    }
    (forge, events)
}

fn delivery(event: &Event) -> Delivery {
    Delivery {
        id: DeliveryId::fresh(),
        host: event.host,
        source: "default".into(),
        event: event.name.into(),
        key: Some(event.id.clone()),
        body_sha256: String::new(),
        received_at: Timestamp(1_795_000_000_000_000),
        headers: Vec::new(),
        replay_of: None,
        secret: None,
        body: event.body.clone(),
    }
}

/// What the deliveries come to: the status of every execution, and of every job.
type Folded = (BTreeMap<ExecutionKey, Status>, BTreeMap<(ExecutionKey, String), Status>);

fn fold<'a>(events: impl IntoIterator<Item = &'a Event>) -> Folded {
    let mut fold = Fold::default();
    for event in events {
        let reading = fold.receive(&delivery(event));
        assert!(matches!(reading, Reading::Told | Reading::Ping), "{} ends as {reading:?}", event.name);
    }
    let mut executions = BTreeMap::new();
    let mut jobs = BTreeMap::new();
    for (((host, _), project), told) in fold.projects {
        let key = |run: &str, attempt| ExecutionKey {
            host,
            project: project.clone(),
            run: run.to_owned(),
            attempt,
        };
        for ((run, attempt), facts) in &told.executions {
            executions.insert(key(run, *attempt), facts.status.get().map_or(Status::Unknown, |fact| fact.status));
        }
        for ((run, attempt, job), facts) in &told.jobs {
            jobs.insert(
                (key(run, *attempt), job.clone()),
                facts.status.get().map_or(Status::Unknown, |fact| fact.status),
            );
        }
    }
    (executions, jobs)
}

fn shuffled<'a>(events: &'a [Event], chance: &mut Chance) -> Vec<&'a Event> {
    // A fifth of them twice.
    let mut all: Vec<&Event> = events.iter().chain(events.iter().step_by(5)).collect();
    for index in (1..all.len()).rev() {
        all.swap(index, chance.below(index + 1));
    }
    all
}

fn assert_is_the_truth(forge: &Forge, (executions, jobs): &Folded) {
    for (key, status) in forge.truth() {
        assert_eq!(executions.get(key), Some(status), "{key}");
    }
    for (key, status) in forge.job_truth() {
        assert_eq!(jobs.get(key), Some(status), "job {} of {}", key.1, key.0);
    }
}

#[test]
fn in_any_order_and_with_repetitions_the_webhooks_come_to_the_truth() {
    for (seed, speed) in [(1, 8.0), (2, 60.0)] {
        let (forge, events) = told(seed, speed, Duration::from_secs(90));
        assert!(forge.truth().len() > 50, "{} executions", forge.truth().len());

        let in_order = fold(&events);
        let shuffled = fold(shuffled(&events, &mut Chance::new(seed)));

        assert_is_the_truth(&forge, &in_order);
        assert_eq!(shuffled, in_order);
    }
}

#[test]
fn at_any_moment_what_has_been_told_comes_to_the_truth_of_that_moment() {
    for seed in 0..8 {
        let mut forge = Forge::new(Options { seed, ..Options::default() });
        let until = 150 * (usize::try_from(seed).expect("small") + 1);
        let events: Vec<Event> = forge.by_ref().take(until).collect();

        let (executions, _) = fold(shuffled(&events, &mut Chance::new(seed)));

        for (key, status) in forge.truth() {
            assert_eq!(executions.get(key), Some(status), "{key} after {until} events of seed {seed}");
        }
    }
}
