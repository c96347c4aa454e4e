//! How runs come to be: by a push, by the clock, and because somebody starts one again.

use pipecast_model::{Host, Status, Timestamp};

use crate::simulate::forge::{Again, Cue, Forge};
use crate::simulate::life::{About, Life, later};
use crate::simulate::names::{PEOPLE, Trigger};
use crate::simulate::run::{Change, Commit, Run};
use crate::simulate::{github, gitlab};

/// Attempts that a run has at most.
const MOST_ATTEMPTS: i64 = 3;

impl Forge {
    /// Starts every definition of a repository whose trigger fits.
    pub(super) fn start_all(
        &mut self,
        index: usize,
        branch: &str,
        commit: &Commit,
        change: Option<&Change>,
        fits: impl Fn(Trigger) -> bool,
        event: &'static str,
    ) {
        for definition in 0..self.repositories[index].definitions.len() {
            if !fits(self.repositories[index].definitions[definition].plan.trigger) {
                continue;
            }
            let created = later(self.now, self.chance.between(0.2, 1.5));
            let id = match self.repositories[index].host {
                Host::Github => &mut self.counters.github_run,
                Host::Gitlab => &mut self.counters.gitlab_pipeline,
            };
            *id += 1;
            let id = *id;
            let number = &mut self.moods[index].run_counts[definition];
            *number += 1;
            let number = *number;
            let life = self.live(index, definition, created);
            self.begin(Run {
                repository: index,
                definition,
                id,
                number,
                attempt: 1,
                first_created: created,
                branch: branch.to_owned(),
                commit: commit.clone(),
                actor: commit.author,
                event,
                change: change.cloned(),
                life,
                cues: 0,
            });
        }
    }

    /// Somebody starts a run of GitHub again: same run, next attempt, jobs with new ids.
    pub(super) fn start_again(&mut self, run: Run) {
        let life = self.live(run.repository, run.definition, self.now);
        let actor = self.chance.below(PEOPLE.len());
        self.begin(Run {
            attempt: run.attempt + 1,
            actor,
            life,
            cues: 0,
            ..run
        });
    }

    /// A run is over: somebody may want it again. GitLab's retries are part of a pipeline's own life.
    pub(super) fn think_again(&mut self, run: Run) {
        let ended = run.life.marks.at(self.now).map(|said| said.status);
        let unlucky = matches!(ended, Some(Status::Failure | Status::TimedOut | Status::Cancelled));
        let github = self.repositories[run.repository].host == Host::Github;
        if self.open && unlucky && github && run.attempt < MOST_ATTEMPTS && self.chance.happens(0.4) {
            let at = later(self.now, self.chance.between(15.0, 120.0) / self.options.speed);
            self.cue(at, Cue::Rerun(Box::new(Again(run))));
        }
    }

    fn live(&mut self, index: usize, definition: usize, created: Timestamp) -> Life {
        let repository = &self.repositories[index];
        let plan = repository.definitions[definition].plan;
        match repository.host {
            Host::Github => github::live(&mut self.chance, plan, created, self.options.speed, &mut self.counters.github_job),
            Host::Gitlab => gitlab::live(&mut self.chance, plan, created, self.options.speed, &mut self.counters.gitlab_job),
        }
    }

    /// Puts down when what of the run will be told.
    fn begin(&mut self, mut run: Run) {
        let plan = self.repositories[run.repository].definitions[run.definition].plan;
        self.counters.run += 1;
        let number = self.counters.run;
        let mut tellings: Vec<(Timestamp, About)> = run.life.marks.iter().map(|mark| (mark.at, About::Run)).collect();
        for (index, job) in run.life.jobs.iter().enumerate() {
            tellings.extend(job.marks.iter().map(|mark| (mark.at, About::Job(index))));
            if plan.jobs[job.plan].environment.is_some() && job.marks.first(Status::Running, Timestamp(i64::MAX)).is_some() {
                let told = job
                    .marks
                    .iter()
                    .filter(|mark| mark.say.status == Status::Running || mark.say.status.is_terminal());
                tellings.extend(told.map(|mark| (later(mark.at, 0.03), About::Deployment(index))));
            }
            // While a job runs, its steps are told again at every other turn.
            if let (Some(began), Some(ended)) = (job.marks.first(Status::Running, Timestamp(i64::MAX)), job.marks.last_end(Timestamp(i64::MAX))) {
                let turns = job.steps.iter().skip(1).step_by(2).map(|step| step.begin);
                tellings.extend(turns.filter(|at| *at > began && *at < ended).map(|at| (at, About::Job(index))));
            }
        }
        tellings.sort_by_key(|(at, about)| (*at, *about));
        run.cues = tellings.len();
        for (at, about) in tellings {
            self.cue(at, Cue::Tell(number, about));
        }
        self.runs.insert(number, run);
    }
}
