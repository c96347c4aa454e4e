//! What people do: push, open and merge requests; and what third parties answer to a push.

use pipecast_model::{Host, Timestamp};

use crate::simulate::forge::{Cue, Forge, ThirdParty};
use crate::simulate::github::news::NO_COMMIT;
use crate::simulate::life::later;
use crate::simulate::names::{BRANCHES, PEOPLE, TITLES, Trigger};
use crate::simulate::run::{Change, Commit};
use crate::simulate::{github, gitlab};

/// Open requests of one repository at once; the oldest is merged before another is opened.
const MOST_CHANGES: usize = 4;

impl Forge {
    /// Somebody pushes to `index`, and everything follows that a push sets off.
    pub(super) fn push(&mut self, index: usize) {
        let mean = self.repositories.len() as f64 / self.options.pushes_per_second;
        let next = later(self.now, self.chance.memoryless(mean).max(0.001));
        self.cue(next, Cue::Push(index));

        self.moods[index].pushes += 1;
        // The first push of each repository goes to its default branch, so that everything it has runs once.
        if self.moods[index].pushes == 1 || self.chance.happens(0.4) {
            self.push_to_default(index);
        } else {
            self.push_to_change(index);
        }
    }

    /// A scheduled run, and the time of the next one.
    pub(super) fn run_the_clock(&mut self, index: usize) {
        let mean = 4.0 * self.repositories.len() as f64 / self.options.pushes_per_second;
        let next = later(self.now, self.chance.memoryless(mean).max(0.001));
        self.cue(next, Cue::Clock(index));

        let branch = self.repositories[index].default_branch.to_owned();
        let tip = self.moods[index].tip.clone();
        let commit = self.commit(tip.clone(), tip);
        self.start_all(index, &branch, &commit, None, |trigger| trigger == Trigger::Schedule, "schedule");
    }

    fn push_to_default(&mut self, index: usize) {
        let branch = self.repositories[index].default_branch.to_owned();
        let before = self.moods[index].tip.clone();
        let sha = self.chance.sha();
        let commit = self.commit(sha.clone(), before);
        self.moods[index].tip = sha;
        if !self.moods[index].changes.is_empty() && self.chance.happens(0.5) {
            let change = self.moods[index].changes.remove(0);
            self.moods[index].tips.remove(&change.branch);
            self.tell_change(index, &change, &commit, ["closed", "merge"]);
        }
        self.tell_push(index, &branch, &commit);
        self.start_all(index, &branch, &commit, None, |trigger| trigger != Trigger::Schedule, "push");
    }

    fn push_to_change(&mut self, index: usize) {
        let known = self.moods[index].changes.len();
        let fresh = known == 0 || (known < MOST_CHANGES && self.chance.happens(0.4));
        let change = if fresh {
            self.open_change(index)
        } else {
            self.chance.pick(&self.moods[index].changes)
        };
        let before = self.moods[index].tips.get(&change.branch).cloned().unwrap_or_else(|| NO_COMMIT.to_owned());
        let sha = self.chance.sha();
        let commit = self.commit(sha.clone(), before);
        self.moods[index].tips.insert(change.branch.clone(), sha);

        self.tell_push(index, &change.branch, &commit);
        let action = if fresh { ["opened", "open"] } else { ["synchronize", "update"] };
        self.tell_change(index, &change, &commit, action);
        let event = match self.repositories[index].host {
            Host::Github => "pull_request",
            Host::Gitlab => "merge_request_event",
        };
        let branch = change.branch.clone();
        self.start_all(index, &branch, &commit, Some(&change), |trigger| trigger == Trigger::Change, event);
    }

    fn open_change(&mut self, index: usize) -> Change {
        let number = self.moods[index].change_count + 1;
        self.moods[index].change_count = number;
        let change = Change {
            number,
            title: self.chance.pick(TITLES),
            branch: format!("{}-{number}", self.chance.pick(BRANCHES)),
            author: self.chance.below(PEOPLE.len()),
            opened: self.now,
        };
        self.moods[index].changes.push(change.clone());
        change
    }

    fn commit(&mut self, sha: String, before: String) -> Commit {
        Commit {
            sha,
            before,
            title: self.chance.pick(TITLES),
            author: self.chance.below(PEOPLE.len()),
            at: Timestamp(self.now.0 - 20_000_000),
        }
    }

    fn tell_push(&mut self, index: usize, branch: &str, commit: &Commit) {
        let repository = &self.repositories[index];
        match repository.host {
            Host::Github => {
                let body = github::news::push(repository, branch, commit);
                self.send(Host::Github, "push", body, None);
                if self.chance.happens(0.15) {
                    self.ask_third_party(index, branch, commit);
                }
            }
            Host::Gitlab => {
                let body = gitlab::bodies::push(repository, branch, commit);
                self.send(Host::Gitlab, "Push Hook", body, None);
            }
        }
    }

    fn tell_change(&mut self, index: usize, change: &Change, head: &Commit, [github, gitlab]: [&str; 2]) {
        let repository = &self.repositories[index];
        let (name, body) = match repository.host {
            Host::Github => ("pull_request", github::news::pull_request(repository, github, change, head, self.now)),
            Host::Gitlab => ("Merge Request Hook", gitlab::bodies::merge_request(repository, gitlab, change, head, self.now)),
        };
        let host = repository.host;
        self.send(host, name, body, None);
    }

    fn ask_third_party(&mut self, index: usize, branch: &str, commit: &Commit) {
        self.counters.other += 1;
        let answer = ThirdParty {
            repository: index,
            commit: commit.clone(),
            branch: branch.to_owned(),
            id: self.counters.other,
            suite: self.chance.happens(0.5),
            good: self.chance.happens(0.85),
        };
        let repository = &self.repositories[index];
        let (name, body) = match answer.suite {
            true => ("check_suite", github::news::check_suite(repository, commit, branch, answer.id, None, self.now)),
            false => ("status", github::news::status(repository, commit, branch, answer.id, "pending", self.now)),
        };
        self.send(Host::Github, name, body, None);
        let at = later(self.now, self.chance.between(30.0, 200.0) / self.options.speed);
        self.cue(at, Cue::Verdict(Box::new(answer)));
    }

    pub(super) fn answer(&mut self, answer: &ThirdParty) {
        let repository = &self.repositories[answer.repository];
        let verdict = if answer.good { "success" } else { "failure" };
        let ThirdParty { commit, branch, id, .. } = answer;
        let (name, body) = match answer.suite {
            true => (
                "check_suite",
                github::news::check_suite(repository, commit, branch, *id, Some(verdict), self.now),
            ),
            false => ("status", github::news::status(repository, commit, branch, *id, verdict, self.now)),
        };
        self.send(Host::Github, name, body, None);
    }
}
