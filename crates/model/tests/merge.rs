//! Merge is associative, commutative and idempotent, so that any order and any repetition of deliveries ends the same.
//! Knows nothing of hosts: versions and values are arbitrary, and tie often.

#![expect(clippy::unwrap_used, reason = "tests")]

use pipecast_model::{
    ChangeFacts, ExecutionFacts, JobFacts, PipelineFacts, PipelineKey, ProjectFacts, RefFacts, Status, StatusFact, Step, Timestamp, Told, Version,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// Few versions, so that ties are common; all kinds among them.
fn version() -> impl Strategy<Value = Version> {
    let instant = || proptest::option::of((-1..3_i64).prop_map(Timestamp));
    prop_oneof![
        Just(Version::WEAK),
        instant().prop_map(Version::at),
        (1..3_i64, any_status(), instant()).prop_map(|(attempt, status, newest)| Version::by_rank(attempt, status, newest)),
        (instant(), any_status()).prop_map(|(newest, status)| Version::by_time(newest, status)),
    ]
}

fn any_status() -> impl Strategy<Value = Status> {
    proptest::sample::select(&Status::ALL[..])
}

fn told<T: Ord + std::fmt::Debug + Clone>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Told<T>> {
    (version(), proptest::option::of(value)).prop_map(|(version, value)| Told::new(version, value))
}

fn text() -> impl Strategy<Value = Told<String>> {
    told(proptest::sample::select(&["a", "b", "c"][..]).prop_map(str::to_owned))
}

fn instant() -> impl Strategy<Value = Told<Timestamp>> {
    told((0..3_i64).prop_map(Timestamp))
}

fn status() -> impl Strategy<Value = Told<StatusFact>> {
    let words = || proptest::option::of(proptest::sample::select(&["x", "y"][..]).prop_map(str::to_owned));
    told((any_status(), words(), words()).prop_map(|(status, raw_status, raw_conclusion)| StatusFact {
        status,
        raw_status,
        raw_conclusion,
        finished_at: status.is_terminal().then_some(Timestamp(1)),
    }))
}

fn pipeline_key() -> impl Strategy<Value = PipelineKey> {
    prop_oneof![
        Just(PipelineKey::Named("CI".into())),
        Just(PipelineKey::Id("7".into())),
        Just(PipelineKey::Id("8".into()))
    ]
}

prop_compose! {
    fn execution()(
        ordinal in 0..3_i64,
        pipeline in told(pipeline_key()),
        status in status(),
        number in told(0..3_i64),
        texts in vec(text(), 6),
        instants in vec(instant(), 2),
    ) -> ExecutionFacts {
        let [title, branch, commit_sha, event, actor, url] = texts.try_into().unwrap();
        let [queued_at, started_at] = instants.try_into().unwrap();
        ExecutionFacts {
            external_id: "1001".into(), attempt: 1, ordinal, pipeline, status, number, title, branch, commit_sha, event, actor, url, queued_at, started_at,
        }
    }
}

prop_compose! {
    fn step()(number in 1..3_i64, status in any_status()) -> Step {
        Step { number, name: "step".into(), status, started_at: None, finished_at: None }
    }
}

prop_compose! {
    fn job()(
        status in status(),
        allow_failure in told(any::<bool>()),
        steps in told(vec(step(), 0..3)),
        texts in vec(text(), 4),
        instants in vec(instant(), 2),
    ) -> JobFacts {
        let [name, stage, runner, url] = texts.try_into().unwrap();
        let [queued_at, started_at] = instants.try_into().unwrap();
        JobFacts {
            execution: "1001".into(), attempt: 1, external_id: "501".into(), name, stage, status, allow_failure, runner, url, steps, queued_at, started_at,
        }
    }
}

prop_compose! {
    fn project()(name in text(), url in text(), default_branch in text()) -> ProjectFacts {
        ProjectFacts { external_id: "35".into(), name, url, default_branch }
    }
}

prop_compose! {
    fn pipeline()(name in text(), url in text()) -> PipelineFacts {
        PipelineFacts { key: PipelineKey::Id("7".into()), name, url }
    }
}

prop_compose! {
    fn reference()(commit_sha in told(proptest::option::of(Just("c0ffee".to_owned())))) -> RefFacts {
        RefFacts { name: "refs/heads/main".into(), commit_sha }
    }
}

prop_compose! {
    fn change()(title in text(), state in text(), branch in text(), commit_sha in text(), url in text()) -> ChangeFacts {
        ChangeFacts { number: 4, title, state, branch, commit_sha, url }
    }
}

fn keeps_the_laws<T: Clone + PartialEq + std::fmt::Debug>(merge: fn(T, T) -> T, [a, b, c]: [T; 3]) -> Result<(), TestCaseError> {
    prop_assert_eq!(merge(a.clone(), a.clone()), a.clone(), "idempotent");
    prop_assert_eq!(merge(a.clone(), b.clone()), merge(b.clone(), a.clone()), "commutative");
    prop_assert_eq!(merge(merge(a.clone(), b.clone()), c.clone()), merge(a, merge(b, c)), "associative");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tellings_of_an_execution_merge_in_any_order(three in [execution(), execution(), execution()]) {
        keeps_the_laws(ExecutionFacts::merge, three)?;
    }

    #[test]
    fn tellings_of_a_job_merge_in_any_order(three in [job(), job(), job()]) {
        keeps_the_laws(JobFacts::merge, three)?;
    }

    #[test]
    fn tellings_of_all_else_merge_in_any_order(
        projects in [project(), project(), project()],
        pipelines in [pipeline(), pipeline(), pipeline()],
        refs in [reference(), reference(), reference()],
        changes in [change(), change(), change()],
    ) {
        keeps_the_laws(ProjectFacts::merge, projects)?;
        keeps_the_laws(PipelineFacts::merge, pipelines)?;
        keeps_the_laws(RefFacts::merge, refs)?;
        keeps_the_laws(ChangeFacts::merge, changes)?;
    }
}

#[test]
fn the_greater_version_wins_and_the_smaller_fills_what_it_left_out() {
    let at = |second: i64| Version::at(Some(Timestamp(second)));
    let early = ExecutionFacts {
        branch: Told::new(at(1), "main".to_owned()),
        title: Told::new(at(1), "early".to_owned()),
        ..ExecutionFacts::default()
    };
    let late = ExecutionFacts {
        title: Told::new(at(2), "late".to_owned()),
        ..ExecutionFacts::default()
    };

    let merged = late.merge(early);

    assert_eq!(
        (merged.title.get().map(String::as_str), merged.branch.get().map(String::as_str)),
        (Some("late"), Some("main"))
    );
}
