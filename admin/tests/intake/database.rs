//! The database and the fold, given the same deliveries, show the same.
//! Knows nothing of single mappings: what both show is written as lines and compared.

use std::time::Duration;

use pipecast_admin::intake::fold::{Fold, ProjectFold};
use pipecast_admin::intake::understand;
use pipecast_model::{Delivery, DeliveryId, Execution, ExecutionFacts, Job, JobFacts, Status, StatusFact, Told};
use pipecast_store::{ExecutionQuery, Options, PipelineQuery, Reader, Sort, Writer};

use crate::lives::{small_github_life, small_gitlab_life};
use crate::payloads::payloads;

/// More than any of these tests makes.
const ALL: i64 = 10_000;

struct Database {
    reader: Reader,
    writer: Writer,
    _folder: tempfile::TempDir,
}

impl Database {
    async fn fresh() -> Database {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            url: format!("sqlite:{}", folder.path().join("pipecast.db").display()),
            read_url: None,
            read_connections: 1,
            acquire_timeout: Duration::from_secs(10),
            first_id: 1,
        };
        pipecast_store::migrate(&options).await.unwrap();
        let (reader, writer) = pipecast_store::open(&options).await.unwrap();
        Database {
            reader,
            writer,
            _folder: folder,
        }
    }

    /// Records deliveries as new ones, whatever their keys and bodies.
    async fn record(&self, deliveries: &[Delivery]) {
        let mut tx = self.writer.begin().await.unwrap();
        for delivery in deliveries {
            let id = DeliveryId::fresh();
            let delivery = Delivery {
                id,
                key: Some(id.to_string()),
                body_sha256: id.to_string(),
                ..delivery.clone()
            };
            tx.note_delivery(&delivery).await.unwrap();
            tx.record_facts(&delivery, &understand(&delivery)).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    async fn shown(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let query = PipelineQuery {
            sort: Sort::Id,
            limit: ALL,
            ..PipelineQuery::default()
        };
        for (_, pipeline) in self.reader.list_pipelines(&query).await.unwrap() {
            let place = format!("{} {} {}", pipeline.project.host, pipeline.project.name, pipeline.name);
            let newest = pipeline.last_execution.map(|newest| (newest.external_id, newest.attempt));
            lines.push(format!("{place}: {:?} by {newest:?}", pipeline.status));
            let query = ExecutionQuery {
                pipeline: Some(pipeline.id),
                limit: ALL,
                ..ExecutionQuery::default()
            };
            for (_, execution) in self.reader.list_executions(&query).await.unwrap() {
                for job in self.reader.list_jobs(execution.id, None, ALL).await.unwrap() {
                    lines.push(format!("{place}: {} {}: {}", execution.external_id, execution.attempt, stored_job(&job)));
                }
                lines.push(format!("{place}: {}", stored_execution(&execution)));
            }
        }
        lines.sort();
        lines
    }
}

fn stored_execution(row: &Execution) -> String {
    format!(
        "{} {} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        row.external_id,
        row.attempt,
        row.status,
        row.raw_status,
        row.raw_conclusion,
        row.finished_at,
        row.number,
        row.title,
        row.branch,
        row.commit_sha,
        row.event,
        row.actor,
        row.url,
        row.queued_at,
        row.started_at
    )
}

fn folded_execution(facts: &ExecutionFacts) -> String {
    let (status, raw_status, raw_conclusion, finished_at) = parts(&facts.status);
    format!(
        "{} {} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        facts.external_id,
        facts.attempt,
        status,
        raw_status,
        raw_conclusion,
        finished_at,
        facts.number.get(),
        facts.title.get(),
        facts.branch.get(),
        facts.commit_sha.get(),
        facts.event.get(),
        facts.actor.get(),
        facts.url.get(),
        facts.queued_at.get(),
        facts.started_at.get()
    )
}

fn stored_job(row: &Job) -> String {
    format!(
        "job {} {:?} {:?} {:?} {:?} {:?} {:?} {} {:?} {:?} {:?} {:?} {:?}",
        row.external_id,
        row.name,
        row.stage,
        row.status,
        row.raw_status,
        row.raw_conclusion,
        row.finished_at,
        row.allow_failure,
        row.runner,
        row.url,
        row.steps,
        row.queued_at,
        row.started_at
    )
}

fn folded_job(facts: &JobFacts) -> String {
    let (status, raw_status, raw_conclusion, finished_at) = parts(&facts.status);
    format!(
        "job {} {:?} {:?} {:?} {:?} {:?} {:?} {} {:?} {:?} {:?} {:?} {:?}",
        facts.external_id,
        facts.name.get(),
        facts.stage.get(),
        status,
        raw_status,
        raw_conclusion,
        finished_at,
        facts.allow_failure.get().copied().unwrap_or(false),
        facts.runner.get(),
        facts.url.get(),
        facts.steps.get().cloned().unwrap_or_default(),
        facts.queued_at.get(),
        facts.started_at.get()
    )
}

type Parts = (Status, Option<String>, Option<String>, Option<pipecast_model::Timestamp>);

fn parts(told: &Told<StatusFact>) -> Parts {
    let fact = told.get().cloned().unwrap_or_default();
    (fact.status, fact.raw_status, fact.raw_conclusion, fact.finished_at)
}

fn folded(fold: &Fold) -> Vec<String> {
    let mut lines = Vec::new();
    for (((host, _), id), project) in &fold.projects {
        let project_name = project.facts.name.get().unwrap_or(id);
        for pipeline in project.pipelines().values() {
            let place = format!("{host} {project_name} {}", pipeline.name);
            lines.push(format!("{place}: {:?} by {:?}", pipeline.status, pipeline.executions.last()));
            for key in &pipeline.executions {
                lines.push(format!("{place}: {}", folded_execution(&project.executions[key])));
                lines.extend(jobs(project, key).map(|job| format!("{place}: {} {}: {}", key.0, key.1, folded_job(job))));
            }
        }
    }
    lines.sort();
    lines
}

fn jobs<'a>(project: &'a ProjectFold, (external_id, attempt): &'a (String, i64)) -> impl Iterator<Item = &'a JobFacts> {
    project.jobs_of(external_id, *attempt)
}

async fn database_and_fold_show_the_same(deliveries: &[Delivery]) {
    let database = Database::fresh().await;
    let mut fold = Fold::default();

    database.record(deliveries).await;
    deliveries.iter().for_each(|delivery| drop(fold.receive(delivery)));

    are_the_same(&database.shown().await, &folded(&fold));
}

/// Says which lines only one of both has, because hundreds are equal.
fn are_the_same(stored: &[String], folded: &[String]) {
    eprintln!("{} lines", stored.len());
    let only_stored: Vec<_> = stored.iter().filter(|line| !folded.contains(line)).collect();
    let only_folded: Vec<_> = folded.iter().filter(|line| !stored.contains(line)).collect();
    assert!(
        only_stored.is_empty() && only_folded.is_empty() && stored.len() == folded.len(),
        "only in the database: {only_stored:#?}\nonly in the fold: {only_folded:#?}"
    );
}

#[tokio::test]
async fn all_real_deliveries_show_in_the_database_as_in_the_fold() {
    let mut deliveries: Vec<Delivery> = payloads().into_iter().map(|payload| payload.delivery).collect();

    database_and_fold_show_the_same(&deliveries).await;
    deliveries.reverse();
    database_and_fold_show_the_same(&deliveries).await;
    let mut each_alone = 0;
    for delivery in &deliveries {
        let facts = understand(delivery);
        if !facts.executions.is_empty() {
            database_and_fold_show_the_same(std::slice::from_ref(delivery)).await;
            each_alone += 1;
        }
    }
    eprintln!("{each_alone} deliveries, each on an empty database");
    assert!(deliveries.is_empty() || each_alone > 60, "only {each_alone} of {} were told", deliveries.len());
}

#[tokio::test]
async fn a_life_in_any_order_shows_in_the_database_as_in_the_fold() {
    for life in [small_github_life(), small_gitlab_life()] {
        for turn in 0..life.deliveries.len() {
            let mut deliveries = life.deliveries.clone();
            deliveries.rotate_left(turn);
            deliveries.extend_from_within(..turn / 2);
            database_and_fold_show_the_same(&deliveries).await;
            deliveries.reverse();
            database_and_fold_show_the_same(&deliveries).await;
        }
    }
}
