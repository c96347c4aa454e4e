//! Real deliveries through the front door, each into an empty service: what it says is what the service then shows.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use pipecast_admin::intake::fold::Fold;
use pipecast_model::{Delivery, DeliveryId, Host, Timestamp};
use serde_json::Value;

use crate::app::{TestApp, github, gitlab};
use crate::webhooks::real_files;

/// Statuses of executions and of jobs, how often each.
type Shown = (BTreeMap<String, usize>, BTreeMap<String, usize>);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_real_delivery_alone_shows_what_it_says() {
    let files = real_files();
    let telling: Vec<_> = files.into_iter().map(Arc::new).filter(|file| said(file) != Shown::default()).collect();
    println!("{} real deliveries speak of an execution", telling.len());

    let mut checked = stream::iter(telling)
        .map(|file| {
            tokio::spawn(async move {
                let app = TestApp::start().await;
                deliver(&app, &file).await;
                app.until_done().await;
                assert_eq!(shown(&app).await, said(&file), "{} {}", file.0, file.1);
            })
        })
        .buffer_unordered(4);
    while let Some(check) = checked.next().await {
        check.unwrap();
    }
}

#[test]
fn no_real_delivery_has_a_letter_in_a_line_that_is_left_out() {
    fn texts(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::String(text) => found.push(text.clone()),
            Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
            Value::Object(members) => members.values().for_each(|member| texts(member, found)),
            _ => {}
        }
    }
    let is_left_out = |letter: char| (letter.is_control() && letter != '\t') || matches!(letter, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    let mut found = Vec::new();
    for (.., body) in real_files() {
        texts(&serde_json::from_slice(&body).unwrap_or_default(), &mut found);
    }

    let odd: Vec<_> = found.iter().filter(|text| text.lines().any(|line| line.contains(is_left_out))).collect();

    println!("{} texts of real deliveries", found.len());
    assert!(odd.is_empty(), "{odd:?}");
}

async fn deliver(app: &TestApp, (host, event, body): &(String, String, Vec<u8>)) {
    let request = if host == "gitlab" {
        gitlab(event, body.clone())
    } else {
        github(event, body.clone())
    };
    assert_eq!(app.send(request).await.status, 202, "{host} {event}");
}

/// What the model of the merge makes of it.
fn said((host, event, body): &(String, String, Vec<u8>)) -> Shown {
    let mut fold = Fold::default();
    fold.receive(&Delivery {
        id: DeliveryId::fresh(),
        host: if host == "gitlab" { Host::Gitlab } else { Host::Github },
        source: "default".into(),
        event: event.clone(),
        key: None,
        body_sha256: String::new(),
        received_at: Timestamp::now(),
        headers: Vec::new(),
        replay_of: None,
        secret: None,
        body: Bytes::from(body.clone()),
    });
    let (mut executions, mut jobs) = Shown::default();
    for project in fold.projects.values() {
        for execution in project.executions.values() {
            let status = execution.status.get().map(|fact| fact.status).unwrap_or_default();
            *executions.entry(status.word().to_owned()).or_default() += 1;
        }
        for job in project.jobs.values() {
            let status = job.status.get().map(|fact| fact.status).unwrap_or_default();
            *jobs.entry(status.word().to_owned()).or_default() += 1;
        }
    }
    (executions, jobs)
}

/// What the API shows.
async fn shown(app: &TestApp) -> Shown {
    let (mut executions, mut jobs) = Shown::default();
    for pipeline in items(app, "/api/v1/pipelines?limit=200").await {
        for execution in items(app, &format!("/api/v1/pipelines/{}/executions?limit=200", pipeline["id"])).await {
            *executions.entry(word(&execution)).or_default() += 1;
            for job in items(app, &format!("/api/v1/executions/{}/jobs?limit=200", execution["id"])).await {
                *jobs.entry(word(&job)).or_default() += 1;
            }
        }
    }
    (executions, jobs)
}

async fn items(app: &TestApp, path: &str) -> Vec<Value> {
    app.get(path).await["items"].as_array().unwrap().clone()
}

fn word(value: &Value) -> String {
    value["status"].as_str().unwrap().to_owned()
}
