//! A model forge: repositories at two hosts, people who push, and pipelines that live; told as an endless row of webhooks.
//! Deterministic from its seed. Knows nothing of signatures, repetition or sending.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use pipecast_model::{Host, Status, Timestamp};

use crate::simulate::chance::Chance;
use crate::simulate::life::{About, later};
use crate::simulate::run::{Change, Commit, ExecutionKey, Run};
use crate::simulate::world::{self, Repository};
use crate::simulate::{github, gitlab};

mod push;
mod start;
mod truth;

use truth::Truth;

/// What kind of simulation.
#[derive(Clone, Debug)]
pub struct Options {
    /// The same seed and start tell the same life, byte for byte.
    pub seed: u64,
    /// When the simulated life begins. Ids and counts of runs grow with it, so that a later simulation does not repeat them.
    pub start: Timestamp,
    /// How many repositories, half at each host.
    pub repositories: usize,
    /// How many times as fast as in reality queues and jobs go.
    pub speed: f64,
    /// How often somebody pushes, over all repositories, a second.
    pub pushes_per_second: f64,
    /// Whether to remember how every execution and job ended; it grows without end, so an endless simulation must not.
    pub memory: Memory,
}

/// Whether the forge remembers what it told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Everything, for comparing afterwards.
    All,
    /// Only what is still at work.
    None,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            seed: 1,
            start: Timestamp(1_795_000_000_000_000),
            repositories: 14,
            speed: 8.0,
            pushes_per_second: 0.3,
            memory: Memory::All,
        }
    }
}

/// One webhook.
#[derive(Clone, Debug)]
pub struct Event {
    /// When, since the start of the simulation.
    pub at: Duration,
    /// By whom.
    pub host: Host,
    /// The host's word for it: the value of `X-GitHub-Event` or `X-Gitlab-Event`.
    pub name: &'static str,
    /// The host's id of this delivery, stable when it is sent again.
    pub id: String,
    /// The JSON.
    pub body: Bytes,
    /// What it is about, where it is about a run.
    pub execution: Option<ExecutionKey>,
}

/// The model. Iterate over it; without [`Forge::close`] it never ends.
#[derive(Debug)]
pub struct Forge {
    options: Options,
    chance: Chance,
    ids: Chance,
    now: Timestamp,
    open: bool,
    repositories: Vec<Repository>,
    moods: Vec<Mood>,
    runs: HashMap<u64, Run>,
    cues: BinaryHeap<Reverse<(Timestamp, u64, Cue)>>,
    cue_count: u64,
    ready: VecDeque<Event>,
    counters: Counters,
    truth: Truth,
}

/// Where a repository stands.
#[derive(Debug, Default)]
struct Mood {
    tip: String,
    changes: Vec<Change>,
    tips: HashMap<String, String>,
    change_count: i64,
    run_counts: Vec<i64>,
    pushes: u64,
}

/// Ids of the hosts that grow with every run.
#[derive(Debug)]
struct Counters {
    run: u64,
    github_run: i64,
    github_job: i64,
    gitlab_pipeline: i64,
    gitlab_job: i64,
    other: i64,
}

/// Something that is about to happen.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cue {
    Greet(usize),
    Push(usize),
    Clock(usize),
    Tell(u64, About),
    Rerun(Box<Again>),
    Verdict(Box<ThirdParty>),
}

/// A run that somebody starts again.
#[derive(Debug)]
struct Again(Run);

/// The answer of a third party to a push.
#[derive(Debug)]
struct ThirdParty {
    repository: usize,
    commit: Commit,
    branch: String,
    id: i64,
    suite: bool,
    good: bool,
}

/// These never decide the order: the number of a cue before them is unique.
macro_rules! unordered {
    ($($name:ty),*) => {$(
        impl PartialEq for $name { fn eq(&self, _: &Self) -> bool { true } }
        impl Eq for $name {}
        impl PartialOrd for $name { fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> { Some(self.cmp(other)) } }
        impl Ord for $name { fn cmp(&self, _: &Self) -> std::cmp::Ordering { std::cmp::Ordering::Equal } }
    )*};
}
unordered!(Again, ThirdParty);

impl Forge {
    /// A forge at the beginning of its life.
    pub fn new(options: Options) -> Self {
        let chance = Chance::new(options.seed);
        // Since the first day of 2026: ids look like real ones and grow by far more a second than runs are made. Counts of runs
        // grow once in 40 s since September: a little faster than one repository at the usual pace.
        let seconds = (options.start.0 / 1_000_000 - 1_767_225_600).max(0);
        let repositories = world::repositories(options.repositories.max(1));
        let mut forge = Forge {
            ids: chance.apart(options.start.0.unsigned_abs()),
            now: options.start,
            open: true,
            moods: Vec::new(),
            runs: HashMap::new(),
            cues: BinaryHeap::new(),
            cue_count: 0,
            ready: VecDeque::new(),
            counters: Counters {
                run: 0,
                github_run: 10_000_000_000 + seconds * 1_000,
                github_job: 30_000_000_000 + seconds * 4_000,
                gitlab_pipeline: 1_000_000 + seconds * 50,
                gitlab_job: 5_000_000 + seconds * 400,
                other: 60_000_000_000 + seconds * 1_000,
            },
            truth: Truth::default(),
            chance,
            repositories,
            options,
        };
        forge.set_the_scene(seconds);
        forge
    }

    /// Nobody pushes or restarts anything any more: what is at work ends, and then the iterator does.
    pub fn close(&mut self) {
        self.open = false;
    }

    /// What has last been told of every execution, in our words. A deployment is an execution of its own, whose run is called
    /// `deployment:` and its id; what third parties say is left out.
    pub fn truth(&self) -> &BTreeMap<ExecutionKey, Status> {
        &self.truth.executions
    }

    /// What has last been told of every job, by execution and the job's id at its host.
    pub fn job_truth(&self) -> &BTreeMap<(ExecutionKey, String), Status> {
        &self.truth.jobs
    }

    fn set_the_scene(&mut self, seconds: i64) {
        let count = self.repositories.len();
        // The first push everywhere comes within the time of one push each, but not later than 40 s.
        let span = (count as f64 / self.options.pushes_per_second).min(40.0);
        for index in 0..count {
            let repository = &self.repositories[index];
            let definitions = repository.definitions.len();
            let scheduled = repository
                .definitions
                .iter()
                .any(|definition| definition.plan.trigger == crate::simulate::names::Trigger::Schedule);
            self.moods.push(Mood {
                tip: self.chance.sha(),
                change_count: 100 + seconds / 3_600,
                run_counts: vec![(seconds - 20_995_200).max(0) / 40; definitions],
                ..Mood::default()
            });
            if repository.host == Host::Github {
                self.cue(later(self.now, 0.01 * index as f64), Cue::Greet(index));
            }
            let first = span * (index as f64 + self.chance.share()) / count as f64;
            self.cue(later(self.now, first), Cue::Push(index));
            if scheduled {
                let at = later(self.now, self.chance.between(0.3, 1.0) * span);
                self.cue(at, Cue::Clock(index));
            }
        }
    }

    fn cue(&mut self, at: Timestamp, cue: Cue) {
        self.cue_count += 1;
        self.cues.push(Reverse((at, self.cue_count, cue)));
    }

    fn happen(&mut self, cue: Cue) {
        match cue {
            Cue::Greet(repository) => {
                let body = github::news::ping(&self.repositories[repository], self.now);
                self.send(Host::Github, "ping", body, None);
            }
            Cue::Push(repository) if self.open => self.push(repository),
            Cue::Clock(repository) if self.open => self.run_the_clock(repository),
            Cue::Rerun(again) if self.open => self.start_again(again.0),
            Cue::Verdict(answer) => self.answer(&answer),
            Cue::Tell(run, about) => self.tell(run, about),
            Cue::Push(_) | Cue::Clock(_) | Cue::Rerun(_) => {}
        }
    }

    fn tell(&mut self, number: u64, about: About) {
        let Some(run) = self.runs.get_mut(&number) else { return };
        run.cues -= 1;
        let over = run.cues == 0;
        let run = &self.runs[&number];
        let repository = &self.repositories[run.repository];
        let now = self.now;
        let key = key_of(repository, run);
        let (name, body) = match (repository.host, about) {
            (Host::Github, About::Run) => ("workflow_run", github::bodies::workflow_run(repository, run, now)),
            (Host::Github, About::Job(job)) => ("workflow_job", github::bodies::workflow_job(repository, run, job, now)),
            (Host::Github, About::Deployment(job)) => ("deployment_status", github::bodies::deployment_status(repository, run, job, now)),
            (Host::Gitlab, About::Run) => ("Pipeline Hook", gitlab::bodies::pipeline(repository, run, now)),
            (Host::Gitlab, About::Job(job)) => ("Job Hook", gitlab::bodies::job(repository, run, job, now)),
            (Host::Gitlab, About::Deployment(job)) => ("Deployment Hook", gitlab::bodies::deployment(repository, run, job, now)),
        };
        let host = repository.host;
        if self.options.memory == Memory::All {
            self.truth.remember(run, about, &key, now);
        }
        self.send(host, name, body, Some(key));
        if over && let Some(run) = self.runs.remove(&number) {
            self.think_again(run);
        }
    }

    fn send(&mut self, host: Host, name: &'static str, body: Bytes, execution: Option<ExecutionKey>) {
        let since = self.now.0 - self.options.start.0;
        self.ready.push_back(Event {
            at: Duration::from_micros(since.unsigned_abs()),
            host,
            name,
            id: self.ids.uuid(),
            body,
            execution,
        });
    }
}

impl Iterator for Forge {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        while self.ready.is_empty() {
            let Reverse((at, _, cue)) = self.cues.pop()?;
            self.now = at;
            self.happen(cue);
        }
        self.ready.pop_front()
    }
}

fn key_of(repository: &Repository, run: &Run) -> ExecutionKey {
    ExecutionKey {
        host: repository.host,
        project: repository.id.to_string(),
        run: run.id.to_string(),
        attempt: run.attempt,
    }
}

#[cfg(test)]
mod tests;
