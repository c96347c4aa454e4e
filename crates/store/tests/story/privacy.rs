//! Private pipelines: what a condition on somebody's sight leaves out, in lists, single readings and counts.

use pipecast_model::PipelineVisibility::{self, Private};
use pipecast_model::{ExecutionId, JobId, PipelineId, PipelineKey, ProjectId, Status, Told, Version, Visibility};
use pipecast_store::{KeptPipelineQuery, KeptProjectQuery, PipelineChange, PipelineQuery, ProjectChange, Sight, Sort};

use crate::ground::{Engine, Ground, Open, execution, job, run};

/// Two projects with the pipelines 1 and 2, and 3 and 4; of each project the second one is private, and the first project is internal.
async fn scene(engine: Engine) -> Open {
    let open = Ground::lay(engine).await.open().await;
    for project in ["one", "two"] {
        for number in [1, 2] {
            let mut facts = run(project, execution(number, 1, Status::Queued, number));
            let key = PipelineKey::Named(format!("pipeline {number}"));
            facts.executions[0].pipeline = Told::new(Version::WEAK, key);
            facts.pipelines.clear();
            facts.jobs = vec![job(number, 1, &format!("{project} {number}"), Status::Queued, number)];
            open.tell(facts).await;
        }
    }
    for id in [2, 4] {
        say(&open, id, Private).await;
    }
    let mut tx = open.writer.begin().await.unwrap();
    let internal = ProjectChange {
        visibility: Visibility::Internal,
        archived_at: None,
    };
    tx.change_project(ProjectId(1), 1, &internal).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    open
}

async fn say(open: &Open, id: i64, visibility: PipelineVisibility) {
    let change = PipelineChange {
        given_name: None,
        visibility,
        archived_at: None,
    };
    let mut tx = open.writer.begin().await.unwrap();
    let edition = tx.kept_pipeline(PipelineId(id)).await.unwrap().unwrap().edition;
    tx.change_pipeline(PipelineId(id), edition, &change).await.unwrap().unwrap();
    tx.commit().await.unwrap();
}

fn projects(of: &[i64], internal: bool) -> Sight {
    Sight::Projects {
        of: of.iter().map(|id| ProjectId(*id)).collect(),
        internal,
    }
}

/// Every sight with the pipelines that it shows.
fn sights() -> [(Sight, &'static [i64]); 6] {
    [
        (Sight::All, &[1, 2, 3, 4]),
        (Sight::NOTHING, &[]),
        (projects(&[], true), &[1]),
        (projects(&[1], true), &[1, 2]),
        (projects(&[2], true), &[1, 3, 4]),
        (projects(&[2], false), &[3, 4]),
    ]
}

#[tokio::test]
async fn lists_and_single_readings_show_what_is_private_to_members_alone() {
    for engine in Engine::BOTH {
        let open = scene(engine).await;
        for (sight, seen) in sights() {
            let query = PipelineQuery {
                sight: sight.clone(),
                sort: Sort::Id,
                limit: 9,
                ..PipelineQuery::default()
            };
            let listed = open.reader.list_pipelines(&query).await.unwrap();
            let listed: Vec<i64> = listed.into_iter().map(|(_, pipeline)| pipeline.id.0).collect();
            assert_eq!(listed, seen, "{engine:?} {sight:?}");

            let query = KeptPipelineQuery {
                sight: sight.clone(),
                limit: 9,
                ..KeptPipelineQuery::default()
            };
            let kept = open.reader.list_kept_pipelines(&query).await.unwrap();
            assert_eq!(kept.into_iter().map(|pipeline| pipeline.id.0).collect::<Vec<_>>(), seen);
            for id in 1..=4 {
                let found = open.reader.find_kept_pipeline(PipelineId(id), &sight).await.unwrap();
                assert_eq!(found.is_some(), seen.contains(&id), "{engine:?} {sight:?} {id}");
            }
            let private = KeptPipelineQuery {
                visibility: Some(Private),
                ..query
            };
            let private = open.reader.list_kept_pipelines(&private).await.unwrap();
            assert!(private.iter().all(|pipeline| pipeline.visibility == Private && seen.contains(&pipeline.id.0)));
            assert_eq!(private.len(), seen.iter().filter(|id| **id % 2 == 0).count());
        }
    }
}

#[tokio::test]
async fn a_project_counts_the_pipelines_that_are_seen() {
    for engine in Engine::BOTH {
        let open = scene(engine).await;
        for (sight, seen) in sights() {
            let query = KeptProjectQuery {
                sight: sight.clone(),
                limit: 9,
                ..KeptProjectQuery::default()
            };
            let listed = open.reader.list_kept_projects(&query).await.unwrap();
            let counts: Vec<(i64, i64)> = listed.iter().map(|project| (project.id.0, project.pipelines)).collect();
            let count = |of: [i64; 2]| i64::try_from(of.iter().filter(|id| seen.contains(id)).count()).unwrap();
            let wanted: Vec<(i64, i64)> = [(1, count([1, 2])), (2, count([3, 4]))].into_iter().filter(|(_, count)| *count > 0).collect();
            assert_eq!(counts, wanted, "{engine:?} {sight:?}");
            for (id, count) in wanted {
                let one = open.reader.find_kept_project(ProjectId(id), &sight).await.unwrap().unwrap();
                assert_eq!(one.pipelines, count);
            }
        }
    }
}

#[tokio::test]
async fn an_internal_project_is_known_with_all_that_is_private_in_it() {
    for engine in Engine::BOTH {
        let open = scene(engine).await;
        let internal = async || open.reader.list_internal_projects().await.unwrap();

        assert_eq!(
            internal().await,
            [(ProjectId(1), Some(PipelineId(2)))],
            "{engine:?}: what is private elsewhere does not matter"
        );
        say(&open, 1, Private).await;
        assert_eq!(internal().await, [1, 2].map(|id| (ProjectId(1), Some(PipelineId(id)))));
        for id in [1, 2] {
            say(&open, id, PipelineVisibility::Project).await;
        }
        assert_eq!(internal().await, [(ProjectId(1), None)]);

        assert_eq!(open.reader.pipeline_of_execution(ExecutionId(2)).await.unwrap(), Some(PipelineId(2)));
        assert_eq!(open.reader.pipeline_of_job(JobId(2)).await.unwrap(), Some(PipelineId(2)));
        assert_eq!(open.reader.pipeline_of_job(JobId(99)).await.unwrap(), None);
    }
}

#[tokio::test]
async fn the_database_takes_no_other_word_for_who_sees_a_pipeline() {
    for engine in Engine::BOTH {
        let open = scene(engine).await;

        assert_eq!(open.ground.count("pipelines WHERE visibility = 'private'").await, 2, "{engine:?}");
        assert!(!open.ground.takes("UPDATE pipelines SET visibility = 'internal'").await, "{engine:?}");
        assert!(open.ground.takes("UPDATE pipelines SET visibility = 'private'").await, "{engine:?}");
    }
}
