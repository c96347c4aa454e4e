//! Bodies gone wrong: whatever arrives, intake answers with facts that the store can take, or says why not.
//! Knows nothing of what the facts should be.

use std::collections::BTreeSet;

use pipecast_admin::intake::fold::Fold;
use pipecast_admin::intake::understand;
use pipecast_model::{Delivery, Host, Reading};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::deliveries::raw;
use crate::lives::{small_github_life, small_gitlab_life};
use crate::payloads::payloads;

const GITHUB_EVENTS: [&str; 13] = [
    "workflow_run",
    "workflow_job",
    "check_run",
    "check_suite",
    "status",
    "deployment",
    "deployment_status",
    "push",
    "pull_request",
    "repository",
    "ping",
    "",
    "unheard_of",
];
const GITLAB_EVENTS: [&str; 8] = [
    "Pipeline Hook",
    "Job Hook",
    "Deployment Hook",
    "Push Hook",
    "Tag Push Hook",
    "Merge Request Hook",
    "System Hook",
    "",
];

/// Values that no host should send.
fn oddities() -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(i64::MIN),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(-1.5e300),
        json!(""),
        json!("\u{0}"),
        json!("ü".repeat(2_000)),
        json!("completed"),
        json!("-9223372036854775808"),
        json!("+262142-12-31T23:59:59Z"),
        json!("0000-01-01T00:00:00Z"),
        json!([]),
        json!({}),
        json!([[{"id": 1}], null, 7]),
    ]
}

fn nodes(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(nodes).sum(),
        Value::Object(fields) => fields.values().map(nodes).sum(),
        _ => 0,
    }
}

/// The node at a place, counted from the root.
fn node(value: &mut Value, place: usize) -> &mut Value {
    if place == 0 {
        return value;
    }
    let mut place = place - 1;
    let children: Vec<&mut Value> = match value {
        Value::Array(items) => items.iter_mut().collect(),
        Value::Object(fields) => fields.values_mut().collect(),
        _ => unreachable!("a leaf has no places below it"),
    };
    for child in children {
        let size = nodes(child);
        if place < size {
            return node(child, place);
        }
        place -= size;
    }
    unreachable!("the place lies in the value")
}

/// Bodies to spoil: real ones where the folder is there, and our own.
fn bodies() -> Vec<Delivery> {
    let lives = [small_github_life(), small_gitlab_life()];
    let real = payloads().into_iter().map(|payload| payload.delivery);
    real.chain(lives.into_iter().flat_map(|life| life.deliveries)).collect()
}

/// Facts keep the promises that their documentation makes to the store.
fn is_fit_for_the_store(delivery: &Delivery) {
    let facts = understand(delivery);
    assert_eq!(facts, understand(delivery), "the same delivery tells the same");
    let tells_something = !(facts.executions.is_empty() && facts.jobs.is_empty() && facts.refs.is_empty() && facts.changes.is_empty());
    assert!(!tells_something || (facts.project.is_some() && facts.reading == Reading::Told));
    let executions: BTreeSet<_> = facts.executions.iter().map(|execution| (&execution.external_id, execution.attempt)).collect();
    assert_eq!(executions.len(), facts.executions.len(), "each execution at most once");
    let jobs: BTreeSet<_> = facts.jobs.iter().map(|job| (&job.execution, job.attempt, &job.external_id)).collect();
    assert_eq!(jobs.len(), facts.jobs.len(), "each job at most once");
    assert!(facts.jobs.iter().all(|job| executions.contains(&(&job.execution, job.attempt))));
    assert!(
        facts
            .executions
            .iter()
            .all(|execution| execution.pipeline.get().is_some() && execution.attempt >= 1)
    );
    let text = format!("{facts:?}");
    assert!(!text.contains("\\0"), "no database takes NUL");
    let mut fold = Fold::default();
    fold.tell((delivery.host, delivery.source.clone()), facts.clone());
    let once = fold.clone();
    fold.tell((delivery.host, delivery.source.clone()), facts);
    assert_eq!(fold, once, "twice is once");
}

#[test]
fn no_change_of_a_body_brings_intake_down() {
    let bodies = bodies();
    let oddities = oddities();
    let changes = vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..6);
    let plan = (any::<prop::sample::Index>(), changes, any::<bool>(), any::<prop::sample::Index>());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 4_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });

    runner
        .run(&plan, |(which, changes, swap_header, header)| {
            let original = which.get(&bodies);
            let mut body: Value = serde_json::from_slice(&original.body).unwrap();
            for (place, oddity) in changes {
                let place = place.index(nodes(&body));
                *node(&mut body, place) = oddity.get(&oddities).clone();
            }
            let event = match (swap_header, original.host) {
                (false, _) => original.event.clone(),
                (true, Host::Github) => (GITHUB_EVENTS[header.index(GITHUB_EVENTS.len())]).to_owned(),
                (true, Host::Gitlab) => (GITLAB_EVENTS[header.index(GITLAB_EVENTS.len())]).to_owned(),
            };
            is_fit_for_the_store(&raw(original.host, &event, body.to_string()));
            Ok(())
        })
        .unwrap();
}

#[test]
fn no_bytes_bring_intake_down() {
    let bodies = bodies();
    let plan = (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        vec(any::<u8>(), 0..64),
        any::<prop::sample::Index>(),
    );
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 4_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });

    runner
        .run(&plan, |(which, cut, flips, noise, header)| {
            let original = which.get(&bodies);
            let mut bytes = original.body.to_vec();
            for (place, byte) in flips {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            is_fit_for_the_store(&raw(original.host, &original.event, bytes.clone()));
            bytes.truncate(cut.index(bytes.len()));
            is_fit_for_the_store(&raw(original.host, &original.event, bytes));
            is_fit_for_the_store(&raw(Host::Github, GITHUB_EVENTS[header.index(GITHUB_EVENTS.len())], noise.clone()));
            is_fit_for_the_store(&raw(
                Host::Github,
                GITHUB_EVENTS[header.index(GITHUB_EVENTS.len())],
                [b"payload=", &noise[..]].concat(),
            ));
            is_fit_for_the_store(&raw(Host::Gitlab, GITLAB_EVENTS[header.index(GITLAB_EVENTS.len())], noise));
            Ok(())
        })
        .unwrap();
}
