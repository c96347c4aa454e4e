//! Lives of executions as hosts would tell them, from plans that a property test can make and shrink.
//! Knows what the host meant in the end, and nothing of how intake finds out.

use pipecast_model::{Delivery, Status, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::deliveries::{github, gitlab};

/// Deliveries in the order in which the host meant them, and where they lead.
#[derive(Debug, Default)]
pub(crate) struct Life {
    pub(crate) deliveries: Vec<Delivery>,
    /// External id, attempt, final status.
    pub(crate) executions: Vec<(String, i64, Status)>,
    /// External id, final status.
    pub(crate) jobs: Vec<(String, Status)>,
}

/// Seconds on the host's clock.
fn clock(seconds: i64) -> String {
    Timestamp(1_790_000_000_000_000 + seconds * 1_000_000).to_string()
}

const CONCLUSIONS: [(&str, Status); 8] = [
    ("success", Status::Success),
    ("failure", Status::Failure),
    ("startup_failure", Status::Error),
    ("timed_out", Status::TimedOut),
    ("cancelled", Status::Cancelled),
    ("skipped", Status::Skipped),
    ("neutral", Status::Neutral),
    ("brand_new", Status::Finished),
];

/// One attempt of a workflow run.
#[derive(Clone, Debug)]
pub(crate) struct AttemptPlan {
    needs_approval: bool,
    waits: bool,
    conclusion: usize,
    jobs: Vec<JobPlan>,
    gaps: Vec<i64>,
}

#[derive(Clone, Debug)]
struct JobPlan {
    waits: bool,
    conclusion: usize,
}

prop_compose! {
    fn job_plan()(waits: bool, conclusion in 0..CONCLUSIONS.len()) -> JobPlan {
        JobPlan { waits, conclusion }
    }
}

prop_compose! {
    fn attempt_plan()(
        needs_approval: bool,
        waits: bool,
        conclusion in 0..CONCLUSIONS.len(),
        jobs in vec(job_plan(), 0..3),
        gaps in vec(0..3_i64, 6),
    ) -> AttemptPlan {
        AttemptPlan { needs_approval, waits, conclusion, jobs, gaps }
    }
}

/// One or two attempts. Times may tie; actions lie.
pub(crate) fn github_plan() -> impl Strategy<Value = Vec<AttemptPlan>> {
    vec(attempt_plan(), 1..3)
}

pub(crate) fn github_life(plan: &[AttemptPlan]) -> Life {
    let mut life = Life::default();
    let mut now = 0;
    for (attempt, plan) in (1..).zip(plan) {
        let asked = now;
        let mut gaps = plan.gaps.iter().cycle();
        let run = |life: &mut Life, now: i64, status: &str, conclusion: Option<&str>| {
            life.deliveries.push(github(
                "workflow_run",
                json!({"action": "requested", "workflow": {"id": 7, "name": "CI"}, "workflow_run": {
                    "id": 1001, "run_attempt": attempt, "run_number": 12, "workflow_id": 7, "name": "CI", "status": status, "conclusion": conclusion,
                    "head_branch": "main", "created_at": clock(0), "run_started_at": clock(asked), "updated_at": clock(now)}}),
            ));
        };
        run(&mut life, now, "queued", None);
        if plan.needs_approval {
            run(&mut life, now, "completed", Some("action_required"));
            now += gaps.next().unwrap();
            run(&mut life, now, "queued", None);
        }
        if plan.waits {
            now += gaps.next().unwrap();
            run(&mut life, now, "waiting", None);
        }
        now += gaps.next().unwrap();
        run(&mut life, now, "in_progress", None);
        for (index, job) in (0..).zip(&plan.jobs) {
            let id = 500 + 10 * attempt + index;
            let (created, started) = (now, now + gaps.next().unwrap());
            let finished = started + gaps.next().unwrap();
            let (conclusion, meant) = CONCLUSIONS[job.conclusion];
            let tell = |status: &str, conclusion: Option<&str>, started: i64, finished: Option<i64>| {
                github(
                    "workflow_job",
                    json!({"action": "queued", "workflow_job": {
                        "id": id, "run_id": 1001, "run_attempt": attempt, "workflow_name": "CI", "name": "build", "status": status, "conclusion": conclusion,
                        "created_at": clock(created), "started_at": clock(started), "completed_at": finished.map(clock), "steps": []}}),
                )
            };
            life.deliveries.push(tell("queued", None, created, None));
            if job.waits {
                life.deliveries.push(tell("waiting", None, created, None));
                life.deliveries.push(tell("queued", None, created, None));
            }
            life.deliveries.push(tell("in_progress", None, started, None));
            life.deliveries.push(tell("completed", Some(conclusion), started, Some(finished)));
            life.jobs.push((id.to_string(), meant));
            now = finished;
        }
        now += gaps.next().unwrap();
        let (conclusion, meant) = CONCLUSIONS[plan.conclusion];
        run(&mut life, now, "completed", Some(conclusion));
        life.executions.push(("1001".to_owned(), attempt, meant));
        now += 1;
    }
    life
}

/// One pipeline: how many jobs, what stands between them, and how often it is retried.
#[derive(Clone, Debug)]
pub(crate) struct PipelinePlan {
    waits_for_resource: bool,
    jobs: usize,
    manual_gates: bool,
    delayed: bool,
    retries: usize,
    ending: usize,
    gaps: Vec<i64>,
}

const ENDINGS: [(&str, Status); 3] = [("success", Status::Success), ("failed", Status::Failure), ("canceled", Status::Cancelled)];

prop_compose! {
    pub(crate) fn gitlab_plan()(
        waits_for_resource: bool,
        jobs in 1..3_usize,
        manual_gates: bool,
        delayed: bool,
        retries in 0..3_usize,
        ending in 0..ENDINGS.len(),
        gaps in vec(0..4_i64, 7),
    ) -> PipelinePlan {
        PipelinePlan { waits_for_resource, jobs, manual_gates, delayed, retries, ending, gaps }
    }
}

struct Build {
    id: i64,
    status: &'static str,
    created: i64,
    started: Option<i64>,
    finished: Option<i64>,
}

/// A pipeline at GitLab, with the clock that its deliveries go by.
struct Pipeline<'a> {
    now: i64,
    gaps: std::iter::Cycle<std::slice::Iter<'a, i64>>,
    finished: Option<i64>,
    builds: Vec<Build>,
    life: Life,
}

impl Pipeline<'_> {
    fn pass(&mut self, at_least: i64) {
        self.now += at_least + self.gaps.next().unwrap();
    }

    fn make(&mut self, id: i64) {
        self.builds.push(Build {
            id,
            status: "created",
            created: self.now,
            started: None,
            finished: None,
        });
        self.tell_job(self.builds.len() - 1);
    }

    fn tell(&mut self, status: &str) {
        let builds: Vec<Value> = self
            .builds
            .iter()
            .map(|build| {
                json!({"id": build.id, "name": "job", "stage": "test", "status": build.status, "failure_reason": "script_failure", "allow_failure": false,
                    "created_at": clock(build.created), "started_at": build.started.map(clock), "finished_at": build.finished.map(clock)})
            })
            .collect();
        self.life.deliveries.push(gitlab(
            "Pipeline Hook",
            json!({"object_kind": "pipeline", "builds": builds, "object_attributes": {"id": 31, "iid": 3, "status": status, "ref": "main", "source": "push",
                "created_at": clock(0), "finished_at": self.finished.map(clock)}}),
        ));
    }

    fn tell_job(&mut self, index: usize) {
        let build = &self.builds[index];
        self.life.deliveries.push(gitlab(
            "Job Hook",
            json!({"object_kind": "build", "build_id": build.id, "build_name": "job", "build_stage": "test", "build_status": build.status, "pipeline_id": 31,
                "build_failure_reason": "script_failure", "build_allow_failure": false, "project_id": 53, "ref": "main",
                "build_created_at": clock(build.created), "build_started_at": build.started.map(clock), "build_finished_at": build.finished.map(clock)}),
        ));
    }

    /// A job runs and ends; it takes a second at least, which is as fine as GitLab's clock is.
    fn work(&mut self, index: usize, ending: &'static str) {
        self.builds[index].started = Some(self.now);
        self.builds[index].status = "running";
        self.tell_job(index);
        self.tell("running");
        self.pass(1);
        self.builds[index].finished = Some(self.now);
        self.builds[index].status = ending;
        self.tell_job(index);
    }

    fn end(&mut self, status: &str) {
        self.finished = Some(self.now);
        self.tell(status);
    }
}

pub(crate) fn gitlab_life(plan: &PipelinePlan) -> Life {
    let mut pipeline = Pipeline {
        now: 0,
        gaps: plan.gaps.iter().cycle(),
        finished: None,
        builds: Vec::new(),
        life: Life::default(),
    };
    let jobs = plan.jobs;
    (0..jobs).for_each(|index| pipeline.make(380 + index as i64));
    pipeline.tell("created");
    if plan.waits_for_resource {
        pipeline.tell("waiting_for_resource");
    }
    pipeline.tell("pending");
    pipeline.pass(0);
    let (ending, mut meant) = ENDINGS[plan.ending];
    let mut ending_of_job = ending;
    for index in 0..jobs {
        let last = index + 1 == jobs;
        // A pipeline that is retried has failed before.
        ending_of_job = if !last {
            "success"
        } else if plan.retries > 0 {
            "failed"
        } else {
            ending
        };
        pipeline.work(index, ending_of_job);
        if !last && plan.manual_gates {
            pipeline.builds[index + 1].status = "manual";
            pipeline.tell_job(index + 1);
            pipeline.tell("manual");
            pipeline.pass(0);
        } else if !last && plan.delayed {
            pipeline.tell("scheduled");
            pipeline.pass(0);
        }
    }
    pipeline.end(ending_of_job);
    for retry in 1..=plan.retries {
        pipeline.pass(1);
        // The failed job leaves the list, a new one of the same name takes its place.
        let failed = pipeline.builds.pop().unwrap();
        pipeline.life.jobs.push((failed.id.to_string(), Status::Failure));
        pipeline.make(380 + 100 * retry as i64);
        pipeline.tell("running");
        pipeline.pass(0);
        let ending = if retry == plan.retries { ending } else { "failed" };
        pipeline.work(jobs - 1, ending);
        pipeline.end(ending);
    }
    if plan.retries == 0 && ending_of_job == "canceled" {
        meant = Status::Cancelled;
    }
    let mut life = pipeline.life;
    life.executions.push(("31".to_owned(), 1, meant));
    for build in pipeline.builds {
        let meant = ENDINGS.iter().find(|(word, _)| *word == build.status).unwrap().1;
        life.jobs.push((build.id.to_string(), meant));
    }
    life
}

/// Attempt 1 with a job, and attempt 2 after it: few enough deliveries for every order.
pub(crate) fn small_github_life() -> Life {
    let job = JobPlan { waits: false, conclusion: 1 };
    let attempt = |conclusion, jobs| AttemptPlan {
        needs_approval: false,
        waits: false,
        conclusion,
        jobs,
        gaps: vec![0, 1],
    };
    github_life(&[attempt(1, vec![job]), attempt(0, vec![])])
}

/// Running, manual, running, failed, running again and good in the end, without Job Hooks.
pub(crate) fn small_gitlab_life() -> Life {
    let plan = PipelinePlan {
        waits_for_resource: false,
        jobs: 2,
        manual_gates: true,
        delayed: false,
        retries: 1,
        ending: 0,
        gaps: vec![0, 1, 2],
    };
    let mut life = gitlab_life(&plan);
    life.deliveries.retain(|delivery| delivery.event == "Pipeline Hook");
    life
}
