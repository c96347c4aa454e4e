//! One tale that calls every public function, told on both engines with the same end.

use pipecast_model::{
    ChangeFacts, DeliveryId, ExecutionId, Facts, Host, JobId, Outcome, PipelineId, PipelineKey, Reading, RefFacts, Refusal, Status, Step, Timestamp, Told,
    Topic, Version,
};
use pipecast_store::{ExecutionQuery, Noted, PipelineQuery, Sort};
use serde_json::{Value, json};

use crate::ground::{Engine, Ground, at, delivery, execution, job, pipeline, project, run};

const FIRST: i64 = 1000;

#[tokio::test]
async fn a_run_is_told_from_queued_to_success_on_sqlite() {
    tell(Engine::Sqlite).await;
}

#[tokio::test]
async fn a_run_is_told_from_queued_to_success_on_postgres() {
    tell(Engine::Postgres).await;
}

async fn tell(engine: Engine) {
    let mut ground = Ground::lay(engine).await;
    ground.options.first_id = FIRST;
    let open = ground.open().await;
    let (reader, writer) = (&open.reader, &open.writer);
    reader.ping().await.unwrap();
    assert_eq!(reader.epoch().unwrap().0.len(), 8);

    // A run is queued: its pipeline and itself appear, with the ids that we said ours start at.
    let queued = delivery();
    let mut facts = run("rocket", execution(12, 1, Status::Queued, 0));
    facts.executions[0].queued_at = Told::new(Version::WEAK, at(0));
    let (noted, topics) = open.deliver(&queued, &facts).await;
    let (pipeline_id, execution_id) = (PipelineId(FIRST), ExecutionId(FIRST));
    assert_eq!(noted, Noted::New);
    assert_eq!(topics, [Topic::Pipeline(pipeline_id), Topic::Execution(execution_id)]);
    assert_eq!(
        reader.list_dirty(10).await.unwrap(),
        [Topic::Execution(execution_id), Topic::Pipeline(pipeline_id)]
    );

    // It runs, with a job: one new sequence for each topic, although row and job changed.
    let mut facts = run("rocket", execution(12, 1, Status::Running, 5));
    facts.executions[0].started_at = Told::new(Version::WEAK, at(5));
    let mut build = job(12, 1, "j1", Status::Running, 5);
    build.allow_failure = Told::new(Version::WEAK, true);
    build.steps = Told::new(Version::WEAK, vec![step(1, Status::Running)]);
    facts.jobs = vec![build, job(12, 1, "j2", Status::Queued, 5)];
    assert_eq!(open.tell(facts).await.len(), 2);
    let running = reader.find_execution(execution_id).await.unwrap().unwrap();
    assert_eq!(
        (running.status, running.seq, running.queue_ms, running.duration_ms),
        (Status::Running, 2, Some(5000), None)
    );
    assert_eq!(
        (running.external_id.as_str(), running.number, running.branch.as_deref()),
        ("12", Some(12), Some("main"))
    );
    let jobs = reader.list_jobs(execution_id, None, 10).await.unwrap();
    assert_eq!(jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [JobId(FIRST), JobId(FIRST + 1)]);
    assert_eq!((jobs[0].allow_failure, jobs[0].steps.clone()), (true, vec![step(1, Status::Running)]));
    assert_eq!(reader.list_jobs(execution_id, Some(JobId(FIRST)), 10).await.unwrap(), jobs[1..]);
    assert_eq!(reader.find_job(JobId(FIRST)).await.unwrap(), Some(jobs[0].clone()));
    assert_eq!(reader.find_job(JobId(1)).await.unwrap(), None);

    // A job alone changes the execution's topic and leaves the pipeline's.
    let mut facts = Facts {
        project: Some(project("rocket")),
        ..Facts::default()
    };
    facts.jobs = vec![job(12, 1, "j1", Status::Success, 9)];
    assert_eq!(open.tell(facts).await, [Topic::Execution(execution_id)]);

    // Success: both topics, with what they were before.
    open.tell(run("rocket", execution(12, 1, Status::Success, 15))).await;
    let states = reader
        .list_states(&[Topic::Execution(execution_id), Topic::Pipeline(pipeline_id), Topic::Pipeline(PipelineId(1))])
        .await
        .unwrap();
    assert_eq!(
        states.iter().map(|state| state.topic).collect::<Vec<_>>(),
        [Topic::Pipeline(pipeline_id), Topic::Execution(execution_id)]
    );
    for (state, seq) in states.iter().zip([3, 4]) {
        assert_eq!(
            (state.status, state.previous_status, state.seq),
            (Status::Success, Some(Status::Running), seq),
            "{}",
            state.topic
        );
        assert_eq!(Some(&state.epoch), reader.epoch());
    }
    let asked = [Topic::Execution(execution_id), Topic::Pipeline(pipeline_id), Topic::Pipeline(PipelineId(1))];
    assert_eq!(
        reader.list_seqs(&asked).await.unwrap(),
        [(Topic::Pipeline(pipeline_id), 3), (Topic::Execution(execution_id), 4)]
    );
    assert_eq!(reader.list_newest_seqs(10).await.unwrap(), [(pipeline_id, 3)]);
    let of_pipeline: Value = serde_json::from_str(states[0].data.get()).unwrap();
    let shown = reader.find_pipeline(pipeline_id).await.unwrap().unwrap();
    assert_eq!(of_pipeline, serde_json::to_value(&shown).unwrap());
    assert_eq!(
        (shown.name.as_str(), shown.project.name.as_str(), shown.project.host),
        ("CI", "acme/rocket", Host::Github)
    );
    let of_execution: Value = serde_json::from_str(states[1].data.get()).unwrap();
    assert_eq!(
        (
            &of_execution["duration_ms"],
            &of_execution["jobs"][0]["status"],
            &of_execution["jobs"][1]["name"]
        ),
        (&json!(10_000), &json!("success"), &json!("job j2"))
    );

    // The same once more is a duplicate; told by another delivery it is no news.
    let (noted, topics) = open.deliver(&queued, &Facts::default()).await;
    assert_eq!((noted, topics.len()), (Noted::Duplicate(queued.id), 0));
    assert_eq!(open.tell(run("rocket", execution(12, 1, Status::Success, 15))).await, []);

    // The next run is newer whenever it is told; an older one never becomes the newest.
    open.tell(run("rocket", execution(13, 1, Status::Failure, 60))).await;
    open.tell(run("rocket", execution(11, 1, Status::Running, 90))).await;
    open.tell(run("rocket", execution(13, 2, Status::Queued, 95))).await;
    let shown = reader.find_pipeline(pipeline_id).await.unwrap().unwrap();
    let newest = shown.last_execution.unwrap();
    assert_eq!((shown.status, newest.number, newest.attempt, shown.seq), (Status::Queued, Some(13), 2, 5));

    // Lists: filters, order and pages.
    let other = Facts {
        project: Some(project("Ümlaut_50%")),
        pipelines: vec![pipeline(PipelineKey::Named("Deploy".into()), "Deploy")],
        executions: vec![{
            let mut facts = execution(1, 1, Status::Running, 100);
            facts.pipeline = Told::new(Version::WEAK, PipelineKey::Named("Deploy".into()));
            facts
        }],
        ..Facts::default()
    };
    open.tell(other).await;
    let names = async |query: PipelineQuery| -> Vec<String> {
        let page = reader.list_pipelines(&PipelineQuery { limit: 10, ..query }).await.unwrap();
        page.into_iter().map(|(_, pipeline)| pipeline.name).collect()
    };
    let all = PipelineQuery::default;
    assert_eq!(names(all()).await, ["Deploy", "CI"]);
    assert_eq!(names(PipelineQuery { sort: Sort::Id, ..all() }).await, ["CI", "Deploy"]);
    assert_eq!(
        names(PipelineQuery {
            host: Some(Host::Gitlab),
            ..all()
        })
        .await
        .len(),
        0
    );
    assert_eq!(
        names(PipelineQuery {
            statuses: vec![Status::Queued, Status::Failure],
            ..all()
        })
        .await,
        ["CI"]
    );
    assert_eq!(
        names(PipelineQuery {
            text: Some("ÜMLAUT_".into()),
            ..all()
        })
        .await,
        ["Deploy"]
    );
    assert_eq!(
        names(PipelineQuery {
            text: Some("50%".into()),
            ..all()
        })
        .await,
        ["Deploy"]
    );
    assert_eq!(
        names(PipelineQuery {
            text: Some("_rocket".into()),
            ..all()
        })
        .await
        .len(),
        0
    );
    assert_eq!(
        names(PipelineQuery {
            text: Some("cI".into()),
            ..all()
        })
        .await,
        ["CI"]
    );
    let first = reader.list_pipelines(&PipelineQuery { limit: 1, ..all() }).await.unwrap();
    let after = Some((first[0].0, first[0].1.id));
    assert_eq!(names(PipelineQuery { after, ..all() }).await, ["CI"]);
    let after = Some((Timestamp(0), pipeline_id));
    assert_eq!(
        names(PipelineQuery {
            sort: Sort::Id,
            after,
            ..all()
        })
        .await,
        ["Deploy"]
    );
    let newest = reader.list_newest_seqs(10).await.unwrap();
    assert_eq!(newest.len(), 2);
    assert_eq!(reader.list_newest_seqs(1).await.unwrap(), newest[..1]);

    let mut pages = Vec::new();
    let mut query = ExecutionQuery {
        pipeline: Some(pipeline_id),
        limit: 3,
        ..ExecutionQuery::default()
    };
    loop {
        let page = reader.list_executions(&query).await.unwrap();
        let Some((ordinal, last)) = page.last() else { break };
        query.after = Some((last.number.unwrap_or(0), *ordinal, last.attempt, last.id));
        pages.extend(page.into_iter().map(|(_, execution)| (execution.number.unwrap(), execution.attempt)));
    }
    assert_eq!(pages, [(13, 2), (13, 1), (12, 1), (11, 1)]);
    let failed = ExecutionQuery {
        statuses: vec![Status::Failure],
        branch: Some("main".into()),
        limit: 9,
        ..ExecutionQuery::default()
    };
    assert_eq!(reader.list_executions(&failed).await.unwrap().len(), 1);
    let elsewhere = ExecutionQuery {
        branch: Some("dev".into()),
        limit: 9,
        ..ExecutionQuery::default()
    };
    assert_eq!(reader.list_executions(&elsewhere).await.unwrap().len(), 0);

    // The ledger shows what came and how it ended.
    let mut greeting = delivery();
    greeting.event = "ping".into();
    open.deliver(
        &greeting,
        &Facts {
            reading: Reading::Ignored("greeting".into()),
            ..Facts::default()
        },
    )
    .await;
    let record = reader.find_delivery(greeting.id).await.unwrap().unwrap();
    assert_eq!(
        (record.delivery, record.outcome, record.detail.as_deref(), record.repeats),
        (greeting, Outcome::Ignored, Some("greeting"), 0)
    );
    assert_eq!(reader.find_delivery(queued.id).await.unwrap().unwrap().outcome, Outcome::Applied);
    let refusal = Refusal {
        id: DeliveryId::fresh(),
        host: Host::Gitlab,
        source: "unknown".into(),
        event: None,
        reason: "bad_signature".into(),
        received_at: at(0),
    };
    let mut tx = writer.begin().await.unwrap();
    tx.note_refusal(&refusal).await.unwrap();
    tx.note_refusal(&refusal).await.unwrap();
    tx.commit().await.unwrap();
    let record = reader.find_delivery(refusal.id).await.unwrap().unwrap();
    assert_eq!(
        (record.outcome, record.detail.as_deref(), record.delivery.body.len()),
        (Outcome::Refused, Some("bad_signature"), 0)
    );
    assert_eq!(reader.find_delivery(DeliveryId::fresh()).await.unwrap().map(|record| record.outcome), None);

    // Branches and pull requests are merged like everything else.
    let newer = |second| Version::at(Some(at(second)));
    for (second, commit) in [(2, None), (1, Some("abc".to_owned()))] {
        open.tell(Facts {
            project: Some(project("rocket")),
            refs: vec![RefFacts {
                name: "refs/heads/main".into(),
                commit_sha: Told::new(newer(second), Some(commit)),
            }],
            changes: vec![ChangeFacts {
                number: 4,
                title: Told::new(newer(second), format!("told at {second}")),
                ..ChangeFacts::default()
            }],
            ..Facts::default()
        })
        .await;
    }
    assert_eq!(open.ground.look("SELECT coalesce(commit_sha, 'deleted') FROM refs").await, ["deleted"]);
    assert_eq!(open.ground.look("SELECT title FROM changes").await, ["told at 2"]);
}

fn step(number: i64, status: Status) -> Step {
    Step {
        number,
        name: format!("step {number}"),
        status,
        started_at: Some(at(number)),
        finished_at: None,
    }
}
