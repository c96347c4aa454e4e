//! How many deliveries a second the store applies: `cargo run --release -p pipecast-store --example apply_rate [URL] [DELIVERIES]`.
//! Knows nothing of hosts: every delivery tells a job of a run and the run itself, 64 of them in a transaction.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that is read at a terminal")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use pipecast_model::facts::tell_status;
use pipecast_model::{
    Delivery, DeliveryId, ExecutionFacts, Facts, Host, JobFacts, PipelineFacts, PipelineKey, ProjectFacts, Status, Step, Timestamp, Told, Version,
};
use pipecast_store::{Noted, Options};

const PER_TRANSACTION: usize = 64;
const PROJECTS: i64 = 20;
/// A run tells itself three times, and each of its four jobs three times.
const TELLINGS: i64 = 15;

#[tokio::main]
async fn main() {
    let directory = tempfile::tempdir().unwrap();
    let mut arguments = std::env::args().skip(1);
    let url = arguments
        .next()
        .unwrap_or_else(|| format!("sqlite:{}", directory.path().join("pipecast.db").display()));
    let deliveries: i64 = arguments.next().map_or(20_000, |count| count.parse().unwrap());
    let options = Options {
        url,
        read_url: None,
        read_connections: 2,
        acquire_timeout: Duration::from_secs(5),
        first_id: 1,
    };
    pipecast_store::migrate(&options).await.unwrap();
    let (_reader, writer) = pipecast_store::open(&options).await.unwrap();
    let told: Vec<(Delivery, Facts)> = (0..deliveries).map(telling).collect();

    let begun = Instant::now();
    let (mut changed, mut slowest) = (0, Duration::ZERO);
    for batch in told.chunks(PER_TRANSACTION) {
        let batch_begun = Instant::now();
        let mut tx = writer.begin().await.unwrap();
        tx.foresee(&batch.iter().map(|(delivery, facts)| (delivery, facts)).collect::<Vec<_>>())
            .await
            .unwrap();
        for (delivery, facts) in batch {
            assert_eq!(tx.note_delivery(delivery).await.unwrap(), Noted::New);
            changed += tx.record_facts(delivery, facts).await.unwrap().len();
        }
        tx.commit_unsynced().await.unwrap();
        slowest = slowest.max(batch_begun.elapsed());
    }
    let took = begun.elapsed();
    let rate = deliveries as f64 / took.as_secs_f64();
    println!("{deliveries} deliveries in {took:.2?}: {rate:.0} a second, {changed} changes of topics, slowest transaction {slowest:.2?}");
}

fn telling(index: i64) -> (Delivery, Facts) {
    let (run, step) = (index / TELLINGS + 1, index % TELLINGS);
    let status = [Status::Queued, Status::Running, Status::Success][(step / 5) as usize];
    let at = Timestamp(1_700_000_000_000_000 + index * 1_000_000);
    let version = Version::by_rank(1, status, Some(at));
    let plain = Version::at(Some(at));
    let mut facts = Facts {
        project: Some(ProjectFacts {
            external_id: (run % PROJECTS).to_string(),
            name: Told::new(Version::WEAK, format!("acme/rocket-{}", run % PROJECTS)),
            ..ProjectFacts::default()
        }),
        pipelines: vec![PipelineFacts {
            key: PipelineKey::Id("7".into()),
            name: Told::new(Version::WEAK, "CI".to_owned()),
            url: Told::default(),
        }],
        ..Facts::default()
    };
    let mut execution = ExecutionFacts {
        external_id: run.to_string(),
        attempt: 1,
        ordinal: run,
        pipeline: Told::new(Version::WEAK, PipelineKey::Id("7".into())),
        ..ExecutionFacts::default()
    };
    if step % 5 == 0 {
        execution.status = tell_status(version, status, Some(status.word()), None, Some(at));
        execution.number = Told::new(plain, run);
        execution.title = Told::new(plain, "store: merge executions field by field".to_owned());
        execution.branch = Told::new(plain, "main".to_owned());
        execution.commit_sha = Told::new(plain, "e4f30b7b51cf5ba2a7f4a4a1e1ef4a96f2a4e1ac".to_owned());
        execution.url = Told::new(plain, format!("https://example.com/acme/rocket/actions/runs/{run}"));
    } else {
        let steps = (1..=8).map(|number| Step {
            number,
            name: format!("Run step {number}"),
            status,
            started_at: Some(at),
            finished_at: None,
        });
        facts.jobs.push(JobFacts {
            execution: run.to_string(),
            attempt: 1,
            external_id: (run * 10 + step % 5).to_string(),
            name: Told::new(plain, format!("build {}", step % 5)),
            status: tell_status(version, status, Some(status.word()), None, Some(at)),
            steps: Told::new(version, steps.collect::<Vec<_>>()),
            ..JobFacts::default()
        });
    }
    facts.executions.push(execution);
    let id = DeliveryId::fresh();
    let delivery = Delivery {
        id,
        host: Host::Github,
        source: "default".into(),
        event: "workflow_job".into(),
        key: Some(id.to_string()),
        body_sha256: format!("{:064x}", index),
        received_at: Timestamp::now(),
        headers: vec![("x-github-event".into(), "workflow_job".into())],
        replay_of: None,
        secret: None,
        body: Bytes::from(vec![b'x'; 8 * 1024]),
    };
    (delivery, facts)
}
