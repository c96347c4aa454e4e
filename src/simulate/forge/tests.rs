//! How the forge lives: the same life for the same seed, and every life ends.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use super::*;

fn closed_after(options: Options, pushes_until: Duration) -> (Forge, Vec<Event>) {
    let mut forge = Forge::new(options);
    let mut events = Vec::new();
    while let Some(event) = forge.next() {
        if event.at > pushes_until {
            forge.close();
        }
        events.push(event);
    }
    (forge, events)
}

fn five_minutes(seed: u64) -> (Forge, Vec<Event>) {
    closed_after(Options { seed, ..Options::default() }, Duration::from_secs(300))
}

#[test]
fn the_same_seed_tells_the_same_life() {
    let first: Vec<Event> = Forge::new(Options::default()).take(2_000).collect();
    let again: Vec<Event> = Forge::new(Options::default()).take(2_000).collect();
    let other: Vec<Event> = Forge::new(Options { seed: 2, ..Options::default() }).take(2_000).collect();

    assert!(
        first
            .iter()
            .zip(&again)
            .all(|(one, two)| one.id == two.id && one.body == two.body && one.at == two.at)
    );
    assert!(first.iter().zip(&other).any(|(one, two)| one.body != two.body));
}

#[test]
fn every_body_is_json_of_a_likely_size_and_every_id_is_its_own() {
    let (_, events) = five_minutes(7);

    for event in &events {
        let body: serde_json::Value = serde_json::from_slice(&event.body).unwrap();
        assert!(body["repository"].is_object() || body["project"].is_object(), "{}", event.name);
        assert!((1_000..20_000).contains(&event.body.len()), "{} has {} bytes", event.name, event.body.len());
    }
    let ids: BTreeSet<&str> = events.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids.len(), events.len());
}

#[test]
fn events_come_in_the_order_of_their_times() {
    let (_, events) = five_minutes(3);

    assert!(events.is_sorted_by_key(|event| event.at));
}

#[test]
fn the_truth_is_what_was_told_last() {
    let (forge, events) = five_minutes(11);
    let mut told = BTreeMap::new();
    for event in &events {
        let body: serde_json::Value = serde_json::from_slice(&event.body).unwrap();
        let word = match event.name {
            "workflow_run" => body["workflow_run"]["conclusion"]
                .as_str()
                .or(body["workflow_run"]["status"].as_str())
                .map(str::to_owned),
            "Pipeline Hook" => body["object_attributes"]["status"].as_str().map(str::to_owned),
            _ => None,
        };
        if let (Some(word), Some(key)) = (word, event.execution.clone()) {
            told.insert(key, word);
        }
    }

    let runs: Vec<_> = forge.truth().iter().filter(|(key, _)| !key.run.starts_with("deployment:")).collect();
    assert_eq!(told.len(), runs.len());
    for (key, status) in runs {
        let ours = match told[key].as_str() {
            "failed" => "failure",
            "canceled" => "cancelled",
            "startup_failure" => "error",
            "action_required" | "manual" => "blocked",
            same => same,
        };
        assert_eq!(ours, status.word(), "{key}");
    }
}

#[test]
fn within_an_hour_everything_happens_that_may() {
    let (forge, events) = closed_after(Options::default(), Duration::from_secs(3_600));
    let ends: BTreeSet<Status> = forge.truth().values().copied().collect();
    let names: BTreeSet<&str> = events.iter().map(|event| event.name).collect();

    for status in [
        Status::Success,
        Status::Failure,
        Status::Cancelled,
        Status::TimedOut,
        Status::Skipped,
        Status::Error,
        Status::Blocked,
        Status::Neutral,
    ] {
        assert!(ends.contains(&status), "no execution ended as {}", status.word());
    }
    assert!(!ends.contains(&Status::Running), "a closed forge leaves nothing running");
    assert!(forge.truth().keys().any(|key| key.host == Host::Github && key.attempt > 1));
    assert_eq!(
        names.into_iter().collect::<Vec<_>>(),
        [
            "Deployment Hook",
            "Job Hook",
            "Merge Request Hook",
            "Pipeline Hook",
            "Push Hook",
            "check_suite",
            "deployment_status",
            "ping",
            "pull_request",
            "push",
            "status",
            "workflow_job",
            "workflow_run"
        ]
    );
}

#[test]
fn a_retried_pipeline_of_gitlab_goes_on_under_its_old_id() {
    let (_, events) = five_minutes(5);
    let mut words: BTreeMap<ExecutionKey, Vec<String>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.name == "Pipeline Hook") {
        let body: serde_json::Value = serde_json::from_slice(&event.body).unwrap();
        words
            .entry(event.execution.clone().unwrap())
            .or_default()
            .push(body["object_attributes"]["status"].as_str().unwrap().to_owned());
    }

    let reopened = words
        .values()
        .any(|words| words.windows(2).any(|pair| pair[0] == "failed" && pair[1] == "running"));
    assert!(reopened, "{words:?}");
}

#[test]
fn a_newcomer_sees_twenty_pipelines_of_both_hosts_move_within_a_minute() {
    let minute: Vec<Event> = Forge::new(Options::default()).take_while(|event| event.at < Duration::from_secs(60)).collect();
    let mut pipelines = BTreeSet::new();
    for event in &minute {
        let body: serde_json::Value = serde_json::from_slice(&event.body).unwrap();
        match event.name {
            "workflow_run" => pipelines.insert(body["workflow_run"]["workflow_id"].as_i64().unwrap()),
            "Pipeline Hook" => pipelines.insert(body["project"]["id"].as_i64().unwrap()),
            _ => false,
        };
    }

    assert!((20..=32).contains(&pipelines.len()), "{} pipelines", pipelines.len());
    assert!((300..1_500).contains(&minute.len()), "{} events in a minute", minute.len());
}
