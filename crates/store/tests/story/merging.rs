//! Order and repetition change nothing: every order of the same tellings ends in the same rows.

use std::collections::BTreeMap;

use pipecast_model::PipelineVisibility::{Private, Project};
use pipecast_model::{ExecutionFacts, Facts, PipelineId, PipelineKey, PipelineVisibility, Status, Told, Topic, Version};
use pipecast_store::PipelineChange;

use crate::ground::{Engine, Ground, Open, at, delivery, execution, job, pipeline, project, run};

/// Five tellings of one run: a job that knows the pipeline by name only, the run twice, another job, and a second attempt.
fn tellings(project_id: &str) -> [Facts; 5] {
    let named = PipelineKey::Named("CI".into());
    let by_name = |status, second, job_id| Facts {
        project: Some(project(project_id)),
        pipelines: vec![pipeline(named.clone(), "CI")],
        executions: vec![ExecutionFacts {
            external_id: "12".into(),
            attempt: 1,
            ordinal: 12,
            pipeline: Told::new(Version::WEAK, named.clone()),
            branch: Told::new(Version::WEAK, "guess".to_owned()),
            ..ExecutionFacts::default()
        }],
        jobs: vec![job(12, 1, job_id, status, second)],
        ..Facts::default()
    };
    [
        by_name(Status::Running, 4, "j1"),
        run(project_id, execution(12, 1, Status::Running, 3)),
        run(project_id, execution(12, 1, Status::Failure, 9)),
        by_name(Status::Failure, 8, "j1"),
        run(project_id, execution(12, 2, Status::Queued, 20)),
    ]
}

/// What the rows of each project say, without ids, sequences and the clock.
async fn rows(open: &Open) -> BTreeMap<String, Vec<String>> {
    const TELLINGS: [&str; 3] = [
        "SELECT p.external_id || '|' || x.external_id || ' ' || coalesce(x.name, '-') || ' ' || x.status || ' ' || coalesce(x.version, '-') || ' '
            || CAST(x.stamps AS TEXT)
        FROM pipelines x JOIN projects p ON p.id = x.project_id ORDER BY 1",
        "SELECT p.external_id || '|' || x.external_id || ' ' || x.attempt || ' ' || x.ordinal || ' ' || coalesce(x.pipeline_key, '-') || ' '
            || x.status || ' ' || coalesce(x.raw_status, '-') || ' ' || coalesce(x.finished_at, 0) || ' ' || coalesce(x.number, 0) || ' '
            || coalesce(x.branch, '-') || ' ' || x.version || ' ' || CAST(x.stamps AS TEXT) || ' in ' || l.external_id
        FROM executions x JOIN pipelines l ON l.id = x.pipeline_id JOIN projects p ON p.id = x.project_id ORDER BY 1",
        "SELECT p.external_id || '|' || j.external_id || ' ' || coalesce(j.name, '-') || ' ' || j.status || ' ' || j.version || ' '
            || CAST(j.stamps AS TEXT)
        FROM jobs j JOIN executions x ON x.id = j.execution_id JOIN projects p ON p.id = x.project_id ORDER BY 1",
    ];
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for sql in TELLINGS {
        for line in open.ground.look(sql).await {
            let (project, row) = line.split_once('|').unwrap();
            rows.entry(project.to_owned()).or_default().push(row.to_owned());
        }
    }
    rows
}

#[tokio::test]
async fn every_order_of_five_tellings_ends_in_the_same_rows() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let orders = orders(5);
        let mut tx = open.writer.begin().await.unwrap();
        for order in &orders {
            let tellings = tellings(&format!("p{order:?}"));
            for telling in order {
                let delivery = delivery();
                tx.note_delivery(&delivery).await.unwrap();
                tx.record_facts(&delivery, &tellings[*telling]).await.unwrap();
            }
        }
        tx.commit().await.unwrap();

        let rows = rows(&open).await;

        assert_eq!(rows.len(), 120);
        let (_, expected) = rows.first_key_value().unwrap();
        assert_eq!(expected.len(), 4, "one pipeline, two attempts, one job: {expected:#?}");
        assert!(
            expected[1].contains("failure") && expected[1].contains("main") && expected[1].ends_with("in id:7"),
            "{expected:#?}"
        );
        for (order, rows) in &rows {
            assert_eq!(rows, expected, "{engine:?}, in the order {order}");
        }
    }
}

#[tokio::test]
async fn told_twice_in_other_transactions_ends_in_the_same_rows_and_no_new_sequence() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        for telling in tellings("rocket") {
            open.tell(telling).await;
        }
        let once = rows(&open).await;

        for telling in tellings("rocket") {
            assert_eq!(open.tell(telling).await, []);
        }

        assert_eq!(rows(&open).await, once);
    }
}

#[tokio::test]
async fn an_execution_that_moves_leaves_no_empty_pipeline_behind() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let by_name = Told::new(Version::WEAK, PipelineKey::Named("build.yml".into()));
        let mut guess = run("rocket", execution(12, 1, Status::Queued, 0));
        guess.executions[0].pipeline = by_name.clone();
        guess.pipelines.clear();
        let first = open.tell(guess).await;
        let old = first.into_iter().find(|topic| matches!(topic, Topic::Pipeline(_))).unwrap();

        let topics = open.tell(run("rocket", execution(12, 1, Status::Running, 1))).await;

        assert_eq!(open.ground.look("SELECT external_id FROM pipelines").await, ["id:7"]);
        assert!(topics.contains(&old), "whoever watches it is to be told");
        let gone = open.reader.list_states(&[old]).await.unwrap().remove(0);
        assert_eq!((gone.seq, gone.status, gone.data.get()), (2, Status::Unknown, "null"));
    }
}

#[tokio::test]
async fn executions_that_knew_a_name_only_follow_it_to_the_pipeline_that_has_it() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        for number in [10, 11] {
            let mut guess = run("rocket", execution(number, 1, Status::Success, number));
            guess.executions[0].pipeline = Told::new(Version::WEAK, PipelineKey::Named("CI".into()));
            guess.pipelines.clear();
            open.tell(guess).await;
        }

        let topics = open.tell(run("rocket", execution(12, 1, Status::Running, 12))).await;

        assert_eq!(open.ground.look("SELECT external_id FROM pipelines").await, ["id:7"]);
        assert_eq!(topics.len(), 5, "the pipeline, the one that is gone, and three executions: {topics:?}");
        let twice = "(SELECT topic FROM topic_changes GROUP BY topic, delivery_id HAVING count(*) > 1) AS twice";
        assert_eq!(open.ground.count(twice).await, 0, "a delivery gives a topic one sequence");
    }
}

/// What operators see of every pipeline: key, name, who sees it, whether it is archived, and the name that it is found by.
async fn kept(open: &Open) -> Vec<String> {
    const SQL: &str = "
        SELECT external_id || ' ' || coalesce(given_name, '-') || ' ' || visibility || ' '
            || CASE WHEN archived_at IS NULL THEN 'shown' ELSE 'archived' END || ' ' || name_folded
        FROM pipelines
        ORDER BY external_id";
    open.ground.look(SQL).await
}

/// An operator gives a pipeline a name, archives it, and says who sees it.
async fn say(open: &Open, key: &str, name: &str, visibility: PipelineVisibility) {
    let id = open
        .ground
        .look(&format!("SELECT CAST(id AS TEXT) FROM pipelines WHERE external_id = '{key}'"))
        .await;
    let change = PipelineChange {
        given_name: Some(name.to_owned()),
        visibility,
        archived_at: Some(at(1)),
    };
    let mut tx = open.writer.begin().await.unwrap();
    tx.change_pipeline(PipelineId(id[0].parse().unwrap()), 1, &change).await.unwrap().unwrap();
    tx.commit().await.unwrap();
}

/// An execution that knows its pipeline by this name only.
fn by_name(number: i64, name: &str) -> Facts {
    let mut guess = run("rocket", execution(number, 1, Status::Success, number));
    guess.executions[0].pipeline = Told::new(Version::WEAK, PipelineKey::Named(name.into()));
    guess.pipelines.clear();
    guess
}

#[tokio::test]
async fn what_an_operator_said_of_a_pipeline_survives_that_it_becomes_part_of_another() {
    for engine in Engine::BOTH {
        // Its name turns out to be that of the pipeline with an id; or its only execution does.
        for (name, number) in [("CI", 12), ("build.yml", 10)] {
            let open = Ground::lay(engine).await.open().await;
            open.tell(by_name(10, name)).await;
            say(&open, &format!("name:{name}"), "Nightly", Private).await;
            assert_eq!(kept(&open).await, [format!("name:{name} Nightly private archived nightly")]);

            let topics = open.tell(run("rocket", execution(number, 1, Status::Running, 12))).await;

            assert_eq!(kept(&open).await, ["id:7 Nightly private archived nightly"], "{engine:?} {name}");
            let [gone, there] = [1, 2].map(|id| Topic::Pipeline(PipelineId(id)));
            assert!(topics.contains(&gone) && topics.contains(&there), "whoever watches is to be told: {topics:?}");
            open.tell(run("rocket", execution(number, 1, Status::Success, 20))).await;
            assert_eq!(kept(&open).await, ["id:7 Nightly private archived nightly"]);
        }
    }
}

#[tokio::test]
async fn what_an_operator_said_of_both_pipelines_stays_as_it_was_said_of_the_one_that_stays_but_private_it_becomes() {
    for (engine, visibility) in Engine::BOTH.into_iter().flat_map(|engine| [(engine, Project), (engine, Private)]) {
        let open = Ground::lay(engine).await.open().await;
        let mut nameless = run("rocket", execution(12, 1, Status::Running, 12));
        nameless.pipelines.clear();
        open.tell(nameless).await;
        open.tell(by_name(10, "CI")).await;
        say(&open, "id:7", "Release", Project).await;
        say(&open, "name:CI", "Nightly", visibility).await;

        open.tell(run("rocket", execution(12, 1, Status::Success, 20))).await;

        assert_eq!(
            kept(&open).await,
            [format!("id:7 Release {} archived release", visibility.word())],
            "{engine:?}"
        );
    }
}

#[tokio::test]
async fn a_job_without_its_execution_makes_a_bare_one_that_is_filled_later() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;

        open.tell(Facts {
            project: Some(project("rocket")),
            jobs: vec![job(12, 1, "j1", Status::Running, 1)],
            ..Facts::default()
        })
        .await;
        let bare = open
            .ground
            .look("SELECT x.status || ' ' || p.external_id FROM executions x JOIN pipelines p ON p.id = x.pipeline_id")
            .await;
        open.tell(run("rocket", execution(12, 1, Status::Queued, 0))).await;

        assert_eq!(bare, ["unknown name:CI"]);
        let filled = open
            .ground
            .look("SELECT x.status || ' ' || p.external_id FROM executions x JOIN pipelines p ON p.id = x.pipeline_id")
            .await;
        assert_eq!(filled, ["queued id:7"]);
        assert_eq!(open.ground.count("jobs").await, 1);
    }
}

#[tokio::test]
async fn facts_without_a_project_and_a_renamed_project_are_understood() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let mut homeless = run("", execution(1, 1, Status::Queued, 0));
        homeless.project = None;
        open.tell(homeless).await;
        open.tell(run("rocket", execution(1, 1, Status::Queued, 0))).await;

        let mut renamed = project("rocket");
        renamed.name = Told::new(Version::at(Some(at(5))), "acme/comet".to_owned());
        let topics = open
            .tell(Facts {
                project: Some(renamed),
                ..Facts::default()
            })
            .await;

        let [Topic::Pipeline(id)] = topics[..] else {
            panic!("only its pipeline shows it: {topics:?}")
        };
        assert_eq!(open.reader.find_pipeline(id).await.unwrap().unwrap().project.name, "acme/comet");
    }
}

/// Every order of `n` things.
fn orders(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(n - 1).into_iter();
    shorter
        .flat_map(|order| (0..n).map(move |place| [&order[..place], &[n - 1], &order[place..]].concat()))
        .collect()
}
