//! The life of one run as a timeline; what a host tells of it is this timeline seen at an instant.
//! Knows nothing of JSON or of which host it is.

use pipecast_model::{Status, Timestamp};

/// What a host says of a run, job or step, and what that means in our words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Say {
    /// The host's word for the phase, or for the whole status where it has only one.
    pub word: &'static str,
    /// The host's word for the verdict.
    pub verdict: Option<&'static str>,
    /// Its meaning.
    pub status: Status,
}

impl Say {
    /// A word without a verdict.
    pub const fn word(word: &'static str, status: Status) -> Self {
        Say { word, verdict: None, status }
    }

    /// A word with a verdict.
    pub const fn verdict(word: &'static str, verdict: &'static str, status: Status) -> Self {
        Say {
            word,
            verdict: Some(verdict),
            status,
        }
    }
}

/// From when on something is said.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// The instant.
    pub at: Timestamp,
    /// What is said from then on.
    pub say: Say,
}

/// What was said over time, in order.
#[derive(Clone, Debug, Default)]
pub struct Marks(Vec<Mark>);

impl Marks {
    /// Says something from `at` on. Times must not fall.
    pub fn say(&mut self, at: Timestamp, say: Say) {
        debug_assert!(self.0.last().is_none_or(|last| last.at < at), "marks at {at} out of order");
        self.0.push(Mark { at, say });
    }

    /// What is said at an instant; nothing before the first mark.
    pub fn at(&self, now: Timestamp) -> Option<Say> {
        self.0.iter().rev().find(|mark| mark.at <= now).map(|mark| mark.say)
    }

    /// When the status was first taken up until `now`.
    pub fn first(&self, status: Status, now: Timestamp) -> Option<Timestamp> {
        self.0.iter().find(|mark| mark.at <= now && mark.say.status == status).map(|mark| mark.at)
    }

    /// When it last ended until `now`, whether or not it was opened again since.
    pub fn last_end(&self, now: Timestamp) -> Option<Timestamp> {
        self.0
            .iter()
            .rev()
            .find(|mark| mark.at <= now && mark.say.status.is_terminal())
            .map(|mark| mark.at)
    }

    /// The last change until `now`.
    pub fn touched(&self, now: Timestamp) -> Option<Timestamp> {
        self.0.iter().rev().find(|mark| mark.at <= now).map(|mark| mark.at)
    }

    /// Every mark, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Mark> {
        self.0.iter()
    }

    /// Takes back whatever would be said from `at` on.
    pub fn cut(&mut self, at: Timestamp) {
        self.0.retain(|mark| mark.at < at);
    }

    /// Whether nothing is ever said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One step of a job.
#[derive(Clone, Debug)]
pub struct StepLife {
    /// When it begins.
    pub begin: Timestamp,
    /// When it is over.
    pub end: Timestamp,
    /// How it ends.
    pub end_say: Say,
}

/// One job of a run.
#[derive(Clone, Debug)]
pub struct JobLife {
    /// Id at the host.
    pub id: i64,
    /// Which job of the definition.
    pub plan: usize,
    /// Which machine.
    pub runner: usize,
    /// When the host made it.
    pub created: Timestamp,
    /// What is said of it.
    pub marks: Marks,
    /// Its steps; none where the host has no steps.
    pub steps: Vec<StepLife>,
    /// The job of the same run that it takes the place of.
    pub replaces: Option<usize>,
    /// How often it was tried before.
    pub retries: i64,
}

/// One attempt of one run.
#[derive(Clone, Debug)]
pub struct Life {
    /// When the host made it.
    pub created: Timestamp,
    /// What is said of the run.
    pub marks: Marks,
    /// Its jobs.
    pub jobs: Vec<JobLife>,
}

/// What a telling is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// The run.
    Run,
    /// One of its jobs.
    Job(usize),
    /// The deployment that a job makes.
    Deployment(usize),
}

/// Seconds later; times in a life are never equal, so that the order of tellings is the order of times.
pub fn later(at: Timestamp, seconds: f64) -> Timestamp {
    Timestamp(at.0 + ((seconds * 1e6) as i64).max(1))
}
