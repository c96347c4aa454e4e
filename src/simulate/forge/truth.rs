//! What a forge told last of everything, in our words and by a table of its own: the oracle of whoever listened.
//! Knows nothing of how the listener came to its opinion.

use std::collections::BTreeMap;

use pipecast_model::{Host, Status, Timestamp};

use crate::simulate::life::{About, JobLife};
use crate::simulate::run::{ExecutionKey, Run};
use crate::simulate::{github, gitlab};

/// What was told last.
#[derive(Debug, Default)]
pub(super) struct Truth {
    /// Of every execution, deployments included.
    pub(super) executions: BTreeMap<ExecutionKey, Status>,
    /// Of every job, by its execution and its id at the host.
    pub(super) jobs: BTreeMap<(ExecutionKey, String), Status>,
}

impl Truth {
    /// Takes note of what is told of a run at `now`.
    pub(super) fn remember(&mut self, run: &Run, about: About, key: &ExecutionKey, now: Timestamp) {
        match about {
            About::Run => {
                let said = run.life.marks.at(now);
                self.executions.extend(said.map(|said| (key.clone(), said.status)));
            }
            About::Job(job) => {
                let job = &run.life.jobs[job];
                let said = job.marks.at(now);
                self.jobs.extend(said.map(|said| ((key.clone(), job.id.to_string()), said.status)));
            }
            About::Deployment(job) => {
                let job = &run.life.jobs[job];
                let said = job.marks.at(now);
                self.executions.extend(said.map(|said| deployment(key, job, said.status)));
            }
        }
    }
}

fn deployment(run: &ExecutionKey, job: &JobLife, said: Status) -> (ExecutionKey, Status) {
    let (id, status) = match (run.host, said) {
        // A deployment is a success or a failure, however its job ended; only GitLab knows cancelled ones too.
        (Host::Github, Status::Failure | Status::TimedOut | Status::Cancelled | Status::Skipped) => (github::bodies::deployment_id(job), Status::Failure),
        (Host::Github, said) => (github::bodies::deployment_id(job), said),
        (Host::Gitlab, Status::TimedOut) => (gitlab::bodies::deployment_id(job), Status::Failure),
        (Host::Gitlab, said) => (gitlab::bodies::deployment_id(job), said),
    };
    let key = ExecutionKey {
        run: format!("deployment:{id}"),
        attempt: 1,
        ..run.clone()
    };
    (key, status)
}
