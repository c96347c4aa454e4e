//! What a delivery tells, in our words: the output of intake and the input of the store.
//! Every record merges field by field, so any order and any repetition of deliveries ends in the same record.

use crate::{Outcome, Status, StatusFact, Step, Timestamp, Told, Version};

/// Everything that one delivery tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The project that it speaks of; executions, jobs, refs and changes belong to it.
    pub project: Option<ProjectFacts>,
    /// Pipeline definitions that it names.
    pub pipelines: Vec<PipelineFacts>,
    /// Executions, each at most once.
    pub executions: Vec<ExecutionFacts>,
    /// Jobs, each at most once, and each of an execution that the store knows or that is told here.
    pub jobs: Vec<JobFacts>,
    /// Branches and tags that moved.
    pub refs: Vec<RefFacts>,
    /// Pull and merge requests.
    pub changes: Vec<ChangeFacts>,
    /// What came of reading the delivery.
    pub reading: Reading,
}

/// What comes of reading a delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// It tells something.
    #[default]
    Told,
    /// A greeting that proves the connection.
    Ping,
    /// It speaks of nothing that Pipecast keeps; the word says why (`unknown_event`, `github_actions_check`, `empty`…).
    Ignored(String),
    /// Its body cannot be read; the text says where it breaks.
    Unprocessable(String),
}

impl Reading {
    /// What the ledger says of such a delivery, where it has not been here before.
    pub fn outcome(&self) -> Outcome {
        match self {
            Reading::Told => Outcome::Applied,
            Reading::Ping => Outcome::Ping,
            Reading::Ignored(_) => Outcome::Ignored,
            Reading::Unprocessable(_) => Outcome::Unprocessable,
        }
    }

    /// The reason, where there is one.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Reading::Ignored(why) | Reading::Unprocessable(why) => Some(why),
            Reading::Told | Reading::Ping => None,
        }
    }
}

/// A repository or project.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProjectFacts {
    /// Its id at the host, which survives renames.
    pub external_id: String,
    /// Full name.
    pub name: Told<String>,
    /// Page at the host.
    pub url: Told<String>,
    /// Default branch.
    pub default_branch: Told<String>,
}

impl ProjectFacts {
    /// Both tellings of the same project as one. The caller sees to it that the keys are equal.
    pub fn merge(self, other: Self) -> Self {
        ProjectFacts {
            external_id: self.external_id,
            name: self.name.merge(other.name),
            url: self.url.merge(other.url),
            default_branch: self.default_branch.merge(other.default_branch),
        }
    }
}

/// Which pipeline definition an execution belongs to, as far as a delivery knows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PipelineKey {
    /// Known by name only: good until a delivery tells the id.
    Named(String),
    /// Known by the host's id of the definition.
    Id(String),
}

/// A pipeline definition.
#[derive(Clone, Debug, PartialEq)]
pub struct PipelineFacts {
    /// Which one.
    pub key: PipelineKey,
    /// Its name.
    pub name: Told<String>,
    /// Its page at the host.
    pub url: Told<String>,
}

impl PipelineFacts {
    /// Both tellings of the same pipeline as one. The caller sees to it that the keys are equal.
    pub fn merge(self, other: Self) -> Self {
        PipelineFacts {
            key: self.key,
            name: self.name.merge(other.name),
            url: self.url.merge(other.url),
        }
    }
}

/// One attempt of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExecutionFacts {
    /// Id at the host; attempts of one run share it.
    pub external_id: String,
    /// 1 for the first try.
    pub attempt: i64,
    /// Grows with the host's runs, and is known from the first delivery on: the tie-breaker where `number` is not told.
    pub ordinal: i64,
    /// The definition that was run.
    pub pipeline: Told<PipelineKey>,
    /// Status, the host's words for it, and the end.
    pub status: Told<StatusFact>,
    /// The host's count of runs.
    pub number: Told<i64>,
    /// What it is about.
    pub title: Told<String>,
    /// Branch or tag.
    pub branch: Told<String>,
    /// Commit.
    pub commit_sha: Told<String>,
    /// What set it off.
    pub event: Told<String>,
    /// Who set it off.
    pub actor: Told<String>,
    /// Page at the host.
    pub url: Told<String>,
    /// Accepted by the host.
    pub queued_at: Told<Timestamp>,
    /// Began.
    pub started_at: Told<Timestamp>,
}

impl ExecutionFacts {
    /// Both tellings of the same execution as one. The caller sees to it that the keys are equal.
    pub fn merge(self, other: Self) -> Self {
        ExecutionFacts {
            external_id: self.external_id,
            attempt: self.attempt,
            ordinal: self.ordinal.max(other.ordinal),
            pipeline: self.pipeline.merge(other.pipeline),
            status: self.status.merge(other.status),
            number: self.number.merge(other.number),
            title: self.title.merge(other.title),
            branch: self.branch.merge(other.branch),
            commit_sha: self.commit_sha.merge(other.commit_sha),
            event: self.event.merge(other.event),
            actor: self.actor.merge(other.actor),
            url: self.url.merge(other.url),
            queued_at: self.queued_at.merge(other.queued_at),
            started_at: self.started_at.merge(other.started_at),
        }
    }
}

/// One job of an execution.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobFacts {
    /// The execution's id at the host.
    pub execution: String,
    /// The execution's attempt.
    pub attempt: i64,
    /// The job's id at the host; a retried job has a new one.
    pub external_id: String,
    /// Name.
    pub name: Told<String>,
    /// Group.
    pub stage: Told<String>,
    /// Status, the host's words for it, and the end.
    pub status: Told<StatusFact>,
    /// Whether its failure leaves the execution good.
    pub allow_failure: Told<bool>,
    /// Machine or agent.
    pub runner: Told<String>,
    /// Page at the host.
    pub url: Told<String>,
    /// Steps, taken whole.
    pub steps: Told<Vec<Step>>,
    /// Accepted.
    pub queued_at: Told<Timestamp>,
    /// Began.
    pub started_at: Told<Timestamp>,
}

impl JobFacts {
    /// Both tellings of the same job as one. The caller sees to it that the keys are equal.
    pub fn merge(self, other: Self) -> Self {
        JobFacts {
            execution: self.execution,
            attempt: self.attempt,
            external_id: self.external_id,
            name: self.name.merge(other.name),
            stage: self.stage.merge(other.stage),
            status: self.status.merge(other.status),
            allow_failure: self.allow_failure.merge(other.allow_failure),
            runner: self.runner.merge(other.runner),
            url: self.url.merge(other.url),
            steps: self.steps.merge(other.steps),
            queued_at: self.queued_at.merge(other.queued_at),
            started_at: self.started_at.merge(other.started_at),
        }
    }
}

/// A branch or tag, and where it points.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RefFacts {
    /// `refs/heads/main`, `refs/tags/v1`.
    pub name: String,
    /// The commit it points to; `None` inside once it has been deleted.
    pub commit_sha: Told<Option<String>>,
}

impl RefFacts {
    /// Both tellings of the same branch or tag as one. The caller sees to it that the keys are equal.
    pub fn merge(self, other: Self) -> Self {
        RefFacts {
            name: self.name,
            commit_sha: self.commit_sha.merge(other.commit_sha),
        }
    }
}

/// A pull or merge request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChangeFacts {
    /// Its number in the project.
    pub number: i64,
    /// Title.
    pub title: Told<String>,
    /// `open`, `merged`, `closed`.
    pub state: Told<String>,
    /// The branch that is proposed.
    pub branch: Told<String>,
    /// Its newest commit.
    pub commit_sha: Told<String>,
    /// Page at the host.
    pub url: Told<String>,
}

impl ChangeFacts {
    /// Both tellings of the same pull or merge request as one. The caller sees to it that the keys are equal.
    pub fn merge(self, other: Self) -> Self {
        ChangeFacts {
            number: self.number,
            title: self.title.merge(other.title),
            state: self.state.merge(other.state),
            branch: self.branch.merge(other.branch),
            commit_sha: self.commit_sha.merge(other.commit_sha),
            url: self.url.merge(other.url),
        }
    }
}

/// The fact of a status at a version: the commonest telling.
pub fn tell_status(
    version: Version,
    status: Status,
    raw_status: Option<&str>,
    raw_conclusion: Option<&str>,
    finished_at: Option<Timestamp>,
) -> Told<StatusFact> {
    Told::new(
        version,
        StatusFact {
            status,
            raw_status: raw_status.map(str::to_owned),
            raw_conclusion: raw_conclusion.map(str::to_owned),
            finished_at: finished_at.filter(|_| status.is_terminal()),
        },
    )
}
