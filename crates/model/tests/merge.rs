//! Merge is associative, commutative and idempotent, so that any order and any repetition of deliveries ends the same.
//! Knows nothing of hosts: versions and values are arbitrary, and tie often.

use std::fmt::Debug;

use pipecast_model::{
    ChangeFacts, ExecutionFacts, JobFacts, PipelineFacts, PipelineKey, ProjectFacts, RefFacts, Status, StatusFact, Step, Timestamp, Told, Version,
};
use proptest::prelude::*;

/// What a record's fields are drawn from: one number for each field, which names a version and a value.
///
/// A strategy for each field would be the usual way; with dozens of fields it takes minutes where this takes seconds.
struct Draw(std::vec::IntoIter<u16>);

impl Draw {
    /// A telling at one of a few versions, so that ties are common, of one of the values or of nothing.
    fn told<T: Ord + Clone>(&mut self, values: &[T]) -> Told<T> {
        let at = |micros| Some(Timestamp(micros));
        let versions = [
            Version::WEAK,
            Version::at(None),
            Version::at(at(-1)),
            Version::at(at(2)),
            Version::by_rank(1, Status::Running, at(1)),
            Version::by_rank(1, Status::Success, at(0)),
            Version::by_rank(2, Status::Queued, None),
            Version::by_time(at(1), Status::Running),
            Version::by_time(at(1), Status::Failure),
            Version::by_time(at(2), Status::Queued),
        ];
        let drawn = usize::from(self.number());
        let value = values.get(drawn / versions.len() % (values.len() + 1));
        Told::new(versions[drawn % versions.len()], value.cloned())
    }

    fn text(&mut self) -> Told<String> {
        self.told(&["a".to_owned(), "b".to_owned(), "c".to_owned()])
    }

    fn instant(&mut self) -> Told<Timestamp> {
        self.told(&[Timestamp(0), Timestamp(1), Timestamp(2)])
    }

    fn status(&mut self) -> Told<StatusFact> {
        let facts: Vec<StatusFact> = Status::ALL
            .into_iter()
            .flat_map(|status| [(status, None), (status, Some("x")), (status, Some("y"))])
            .map(|(status, word)| StatusFact {
                status,
                raw_status: word.map(str::to_owned),
                raw_conclusion: None,
                finished_at: status.is_terminal().then_some(Timestamp(1)),
            })
            .collect();
        self.told(&facts)
    }

    fn number(&mut self) -> u16 {
        self.0.next().expect("a number for each field")
    }
}

/// Numbers for three records of at most fifteen fields.
fn three() -> impl Strategy<Value = [Vec<u16>; 3]> {
    let one = || proptest::collection::vec(any::<u16>(), 15);
    [one(), one(), one()]
}

fn execution(draw: &mut Draw) -> ExecutionFacts {
    ExecutionFacts {
        external_id: "1001".to_owned(),
        attempt: 1,
        ordinal: i64::from(draw.number() % 3),
        pipeline: draw.told(&[
            PipelineKey::Named("CI".to_owned()),
            PipelineKey::Id("7".to_owned()),
            PipelineKey::Id("8".to_owned()),
        ]),
        status: draw.status(),
        number: draw.told(&[1, 2, 3]),
        title: draw.text(),
        branch: draw.text(),
        commit_sha: draw.text(),
        event: draw.text(),
        actor: draw.text(),
        url: draw.text(),
        queued_at: draw.instant(),
        started_at: draw.instant(),
    }
}

fn job(draw: &mut Draw) -> JobFacts {
    let step = |status| Step {
        number: 1,
        name: "step".to_owned(),
        status,
        started_at: None,
        finished_at: None,
    };
    JobFacts {
        execution: "1001".to_owned(),
        attempt: 1,
        external_id: "501".to_owned(),
        name: draw.text(),
        stage: draw.text(),
        status: draw.status(),
        allow_failure: draw.told(&[false, true]),
        runner: draw.text(),
        url: draw.text(),
        steps: draw.told(&[vec![], vec![step(Status::Running)], vec![step(Status::Success), step(Status::Queued)]]),
        queued_at: draw.instant(),
        started_at: draw.instant(),
    }
}

fn project(draw: &mut Draw) -> ProjectFacts {
    ProjectFacts {
        external_id: "35".to_owned(),
        name: draw.text(),
        url: draw.text(),
        default_branch: draw.text(),
    }
}

fn pipeline(draw: &mut Draw) -> PipelineFacts {
    PipelineFacts {
        key: PipelineKey::Id("7".to_owned()),
        name: draw.text(),
        url: draw.text(),
    }
}

fn reference(draw: &mut Draw) -> RefFacts {
    RefFacts {
        name: "refs/heads/main".to_owned(),
        commit_sha: draw.told(&[None, Some("c0ffee".to_owned()), Some("beef".to_owned())]),
    }
}

fn change(draw: &mut Draw) -> ChangeFacts {
    ChangeFacts {
        number: 4,
        title: draw.text(),
        state: draw.text(),
        branch: draw.text(),
        commit_sha: draw.text(),
        url: draw.text(),
    }
}

fn keeps_the_laws<T: Clone + PartialEq + Debug>(make: fn(&mut Draw) -> T, merge: fn(T, T) -> T, numbers: &[Vec<u16>; 3]) -> Result<(), TestCaseError> {
    let [a, b, c] = numbers.each_ref().map(|numbers| make(&mut Draw(numbers.clone().into_iter())));
    prop_assert_eq!(merge(a.clone(), a.clone()), a.clone(), "idempotent");
    prop_assert_eq!(merge(a.clone(), b.clone()), merge(b.clone(), a.clone()), "commutative");
    prop_assert_eq!(merge(merge(a.clone(), b.clone()), c.clone()), merge(a, merge(b, c)), "associative");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tellings_of_an_execution_merge_in_any_order(numbers in three()) {
        keeps_the_laws(execution, ExecutionFacts::merge, &numbers)?;
    }

    #[test]
    fn tellings_of_a_job_merge_in_any_order(numbers in three()) {
        keeps_the_laws(job, JobFacts::merge, &numbers)?;
    }

    #[test]
    fn tellings_of_all_else_merge_in_any_order(numbers in three()) {
        keeps_the_laws(project, ProjectFacts::merge, &numbers)?;
        keeps_the_laws(pipeline, PipelineFacts::merge, &numbers)?;
        keeps_the_laws(reference, RefFacts::merge, &numbers)?;
        keeps_the_laws(change, ChangeFacts::merge, &numbers)?;
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
