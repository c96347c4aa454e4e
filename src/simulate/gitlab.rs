//! How pipelines live at the simulated GitLab: stages, gates, cancellations, and retries that open the same pipeline again.
//! Knows the host's words; the JSON around them is in `bodies`.

pub mod bodies;

use pipecast_model::{Status, Timestamp};

use crate::simulate::chance::Chance;
use crate::simulate::life::{JobLife, Life, Marks, Say, later};
use crate::simulate::names::{GITLAB_RUNNERS, Gate, Plan};

const CREATED: Say = Say::word("created", Status::Queued);
const PENDING: Say = Say::word("pending", Status::Queued);
const WAITING: Say = Say::word("waiting_for_resource", Status::Waiting);
const SCHEDULED: Say = Say::word("scheduled", Status::Waiting);
const MANUAL: Say = Say::word("manual", Status::Blocked);
const RUNNING: Say = Say::word("running", Status::Running);
const CANCELING: Say = Say::word("canceling", Status::Finalizing);
const SUCCESS: Say = Say::word("success", Status::Success);
const FAILED: Say = Say::word("failed", Status::Failure);
const CANCELED: Say = Say::word("canceled", Status::Cancelled);
const SKIPPED: Say = Say::word("skipped", Status::Skipped);
/// The host says `failed` and names the reason; see [`failure_reason`].
const TIMED_OUT: Say = Say::verdict("failed", "job_execution_timeout", Status::TimedOut);

/// The host writes times in whole seconds, so two moments that must not be mixed up lie further apart than that.
const A_SECOND: f64 = 1.1;

/// The life of a pipeline of `plan`, made at `created`; lives go `speed` times as fast as in reality. `ids` hands out job ids.
pub fn live(chance: &mut Chance, plan: &Plan, created: Timestamp, speed: f64, ids: &mut i64) -> Life {
    let mut life = Life {
        created,
        marks: Marks::default(),
        jobs: Vec::new(),
    };
    if chance.happens(0.02) {
        life.marks.say(created, SKIPPED);
        return life;
    }
    let first = *ids + 1;
    life.jobs = (first..)
        .zip(0..plan.jobs.len())
        .map(|(id, index)| new_job(chance, id, index, created))
        .collect();
    *ids += plan.jobs.len() as i64;

    let stage = Stage { chance, plan, speed, ids };
    stage.play(&mut life);
    life
}

/// Why a build failed, in the host's words; nothing for one that did not.
pub fn failure_reason(say: Say) -> Option<&'static str> {
    match say {
        FAILED => Some("script_failure"),
        TIMED_OUT => TIMED_OUT.verdict,
        _ => None,
    }
}

fn new_job(chance: &mut Chance, id: i64, plan: usize, created: Timestamp) -> JobLife {
    let mut marks = Marks::default();
    marks.say(created, CREATED);
    JobLife {
        id,
        plan,
        runner: chance.below(GITLAB_RUNNERS.len()),
        created,
        marks,
        steps: Vec::new(),
        replaces: None,
        retries: 0,
    }
}

/// Where a pipeline's life is played out, stage by stage.
struct Stage<'a> {
    chance: &'a mut Chance,
    plan: &'a Plan,
    speed: f64,
    ids: &'a mut i64,
}

impl Stage<'_> {
    fn pause(&mut self, low: f64, high: f64) -> f64 {
        (self.chance.between(low, high) / self.speed).max(0.05)
    }

    /// At least a second, however fast lives go.
    fn long_pause(&mut self, low: f64, high: f64) -> f64 {
        self.pause(low, high).max(A_SECOND)
    }

    fn play(mut self, life: &mut Life) {
        life.marks.say(life.created, if self.chance.happens(0.1) { WAITING } else { PENDING });
        let begin = later(life.created, self.long_pause(4.0, 25.0));
        life.marks.say(begin, RUNNING);
        let (mut end, mut broken) = self.play_stages(life, 0, begin);
        // Somebody presses retry: the failed jobs get successors with new ids, and the same pipeline goes on.
        for _ in 0..2 {
            let Some(stage) = broken.filter(|_| self.chance.happens(0.45)) else { break };
            let retried = later(end, self.long_pause(20.0, 120.0).max(2.0 * A_SECOND));
            self.retry(life, stage, retried);
            life.marks.say(later(retried, 0.1), RUNNING);
            (end, broken) = self.play_stages(life, stage, later(retried, 0.2));
        }
        if self.chance.happens(0.05) {
            self.cancel(life, begin, end);
        }
    }

    /// Plays the jobs that have not ended, from `stage` on. Returns the end and the stage that broke; the end is the far future
    /// for a pipeline that nobody lets go on.
    fn play_stages(&mut self, life: &mut Life, from: usize, begin: Timestamp) -> (Timestamp, Option<usize>) {
        let mut ready = begin;
        for stage in from..self.plan.stages.len() {
            match self.play_stage(life, stage, ready) {
                StageEnd::Good(end) => ready = end,
                StageEnd::Stuck => return (ready, None),
                StageEnd::Broken(end) => {
                    let skipped = later(end, 0.1);
                    for job in life.jobs.iter_mut().filter(|job| self.plan.jobs[job.plan].stage > stage) {
                        job.marks.say(skipped, SKIPPED);
                    }
                    let over = later(skipped, 0.1);
                    life.marks.say(over, FAILED);
                    return (over, Some(stage));
                }
            }
        }
        let over = later(ready, 0.2);
        life.marks.say(over, SUCCESS);
        (over, None)
    }

    fn play_stage(&mut self, life: &mut Life, stage: usize, ready: Timestamp) -> StageEnd {
        let mut end = ready;
        let mut good = true;
        for index in 0..life.jobs.len() {
            let plan = &self.plan.jobs[life.jobs[index].plan];
            let open = life.jobs[index].marks.at(Timestamp(i64::MAX)) == Some(CREATED);
            if plan.stage != stage || !open {
                continue;
            }
            let mut at = later(ready, 0.1);
            // A job that is tried again goes on at once: whoever pressed retry has opened its gate.
            if plan.gate != Gate::Open && life.jobs[index].replaces.is_none() {
                // The run goes on from here only when the gate opens, so nothing else of it moves at this time.
                let (held, hours) = if plan.gate == Gate::Human { (MANUAL, 90.0) } else { (SCHEDULED, 60.0) };
                life.jobs[index].marks.say(at, held);
                life.marks.say(later(at, 0.05), held);
                if held == MANUAL && self.chance.happens(0.15) {
                    return StageEnd::Stuck;
                }
                at = later(at, self.long_pause(20.0, hours));
                life.marks.say(later(at, 0.05), RUNNING);
            }
            let said = self.play_job(&mut life.jobs[index], at, plan.seconds);
            end = end.max(said.0);
            good &= said.1 == SUCCESS || plan.allow_failure;
        }
        if good { StageEnd::Good(end) } else { StageEnd::Broken(end) }
    }

    fn play_job(&mut self, job: &mut JobLife, at: Timestamp, seconds: f64) -> (Timestamp, Say) {
        let pending = later(at, 0.1);
        let begin = later(pending, self.pause(2.0, 15.0));
        let end = later(begin, self.long_pause(seconds * 0.5, seconds * 1.5));
        let said = match self.chance.below(100) {
            0..7 => FAILED,
            7..8 => TIMED_OUT,
            _ => SUCCESS,
        };
        job.marks.say(pending, PENDING);
        job.marks.say(begin, RUNNING);
        job.marks.say(end, said);
        (end, said)
    }

    fn retry(&mut self, life: &mut Life, stage: usize, at: Timestamp) {
        for index in 0..life.jobs.len() {
            let plan = self.plan.jobs[life.jobs[index].plan].stage;
            let replaced = life.jobs.iter().any(|job| job.replaces == Some(index));
            match life.jobs[index].marks.at(Timestamp(i64::MAX)) {
                Some(FAILED | TIMED_OUT) if plan == stage && !replaced => {
                    *self.ids += 1;
                    let mut successor = new_job(self.chance, *self.ids, life.jobs[index].plan, at);
                    successor.replaces = Some(index);
                    successor.retries = life.jobs[index].retries + 1;
                    life.jobs.push(successor);
                }
                Some(SKIPPED) if plan > stage => life.jobs[index].marks.say(at, CREATED),
                _ => {}
            }
        }
    }

    fn cancel(&mut self, life: &mut Life, begin: Timestamp, end: Timestamp) {
        let asked = later(begin, ((end.0 - begin.0) as f64 / 1e6 * self.chance.between(0.3, 0.8)).max(A_SECOND));
        let over = later(asked, self.long_pause(4.0, 15.0));
        life.jobs.retain(|job| job.created < asked);
        for job in &mut life.jobs {
            job.marks.cut(asked);
            if job.marks.at(asked).is_none_or(|say| !say.status.is_terminal()) {
                job.marks.say(over, CANCELED);
            }
        }
        life.marks.cut(asked);
        // A pipeline that is over already cannot be stopped.
        if life.marks.at(asked).is_some_and(|say| say.status.is_terminal()) {
            return;
        }
        life.marks.say(asked, CANCELING);
        life.marks.say(later(over, 0.1), CANCELED);
    }
}

enum StageEnd {
    Good(Timestamp),
    Broken(Timestamp),
    Stuck,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::names::GITLAB_PLANS;

    #[test]
    fn a_job_that_is_tried_again_waits_at_no_gate() {
        let (mut chance, mut ids) = (Chance::new(1), 0);
        let mut retried = 0;
        for plan in GITLAB_PLANS.iter().filter(|plan| plan.jobs.iter().any(|job| job.gate != Gate::Open)) {
            for _ in 0..2_000 {
                let life = live(&mut chance, plan, Timestamp(0), 8.0, &mut ids);
                for job in life.jobs.iter().filter(|job| job.replaces.is_some() && plan.jobs[job.plan].gate != Gate::Open) {
                    retried += 1;
                    // Said within the second in which the pipeline went on, it could not be told from what was before.
                    assert!(job.marks.iter().all(|mark| mark.say != MANUAL && mark.say != SCHEDULED));
                }
            }
        }
        assert!(retried > 20, "{retried}");
    }
}
