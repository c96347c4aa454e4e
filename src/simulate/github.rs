//! How runs live at the simulated GitHub: which word when, for the run, its jobs and their steps.
//! Knows the host's words; the JSON around them is in `bodies` and `news`.

pub mod bodies;
pub mod news;

use pipecast_model::{Status, Timestamp};

use crate::simulate::chance::Chance;
use crate::simulate::life::{JobLife, Life, Marks, Say, StepLife, later};
use crate::simulate::names::{GITHUB_RUNNERS, Gate, JobPlan, Plan};

const QUEUED: Say = Say::word("queued", Status::Queued);
const WAITING: Say = Say::word("waiting", Status::Blocked);
const IN_PROGRESS: Say = Say::word("in_progress", Status::Running);
const SUCCESS: Say = Say::verdict("completed", "success", Status::Success);
const FAILURE: Say = Say::verdict("completed", "failure", Status::Failure);
const CANCELLED: Say = Say::verdict("completed", "cancelled", Status::Cancelled);
const TIMED_OUT: Say = Say::verdict("completed", "timed_out", Status::TimedOut);
const SKIPPED: Say = Say::verdict("completed", "skipped", Status::Skipped);
const NEUTRAL: Say = Say::verdict("completed", "neutral", Status::Neutral);
const STARTUP_FAILURE: Say = Say::verdict("completed", "startup_failure", Status::Error);
const ACTION_REQUIRED: Say = Say::verdict("completed", "action_required", Status::Blocked);

/// One attempt of a run of `plan`, made at `created`; lives go `speed` times as fast as in reality. `ids` hands out job ids.
pub fn live(chance: &mut Chance, plan: &Plan, created: Timestamp, speed: f64, ids: &mut i64) -> Life {
    let mut life = Life {
        created,
        marks: Marks::default(),
        jobs: Vec::new(),
    };
    let pause = |chance: &mut Chance, low: f64, high: f64| chance.between(low, high) / speed;
    match chance.below(100) {
        // The whole run is passed over by a condition.
        0..2 => {
            life.marks.say(created, QUEUED);
            life.marks.say(later(created, pause(chance, 2.0, 6.0)), SKIPPED);
            return life;
        }
        // The workflow file is broken.
        2..4 => {
            life.marks.say(created, QUEUED);
            life.marks.say(later(created, pause(chance, 1.0, 4.0)), STARTUP_FAILURE);
            return life;
        }
        // A first contribution: somebody must approve, and at times nobody does.
        4..6 => {
            life.marks.say(created, ACTION_REQUIRED);
            if chance.happens(0.3) {
                return life;
            }
        }
        // Held back by a rule of concurrency before anything starts.
        6..9 => life.marks.say(created, WAITING),
        _ => life.marks.say(created, QUEUED),
    }
    let begin = match life.marks.at(created) {
        Some(QUEUED) => later(created, pause(chance, 4.0, 20.0)),
        _ => later(created, pause(chance, 30.0, 120.0)),
    };
    life.marks.say(begin, IN_PROGRESS);
    let (end, verdict) = play_jobs(chance, plan, begin, speed, ids, &mut life.jobs);
    let (mut end, mut verdict) = (later(end, pause(chance, 1.0, 4.0)), verdict);
    if chance.happens(0.05) {
        end = stop(&mut life, chance, begin, end);
        verdict = CANCELLED;
    } else if verdict == SUCCESS && chance.happens(0.01) {
        verdict = NEUTRAL;
    }
    life.marks.say(end, verdict);
    life
}

/// Plays the stages one after another and returns when the last job ended, and how the run ends by that.
fn play_jobs(chance: &mut Chance, plan: &Plan, begin: Timestamp, speed: f64, ids: &mut i64, jobs: &mut Vec<JobLife>) -> (Timestamp, Say) {
    let mut ready = begin;
    let mut verdict = SUCCESS;
    for stage in 0..plan.stages.len() {
        let mut stage_end = ready;
        for (index, job) in plan.jobs.iter().enumerate().filter(|(_, job)| job.stage == stage) {
            *ids += 1;
            let created = later(ready, chance.between(0.4, 2.0) / speed);
            let mut life = JobLife {
                id: *ids,
                plan: index,
                runner: chance.below(GITHUB_RUNNERS.len()),
                created,
                marks: Marks::default(),
                steps: Vec::new(),
                replaces: None,
                retries: 0,
            };
            let said = if verdict == SUCCESS {
                play_job(chance, job, &mut life, speed)
            } else {
                SKIPPED
            };
            if said == SKIPPED {
                life.marks.say(created, SKIPPED);
            } else if said != SUCCESS && !job.allow_failure {
                verdict = said;
            }
            stage_end = stage_end.max(life.marks.touched(Timestamp(i64::MAX)).unwrap_or(created));
            jobs.push(life);
        }
        ready = stage_end;
    }
    (ready, verdict)
}

fn play_job(chance: &mut Chance, plan: &JobPlan, job: &mut JobLife, speed: f64) -> Say {
    let mut begin = later(job.created, chance.between(3.0, 25.0) / speed);
    if plan.gate == Gate::Human {
        let approved = later(job.created, chance.between(20.0, 150.0) / speed);
        job.marks.say(job.created, WAITING);
        begin = later(approved, chance.between(3.0, 10.0) / speed);
    } else {
        job.marks.say(job.created, QUEUED);
    }
    job.marks.say(begin, IN_PROGRESS);

    let ends = match chance.below(100) {
        0..7 => FAILURE,
        7..8 => TIMED_OUT,
        _ => SUCCESS,
    };
    let names = plan.steps.len() + 2;
    let breaks_at = if ends == SUCCESS { names } else { 1 + chance.below(plan.steps.len()) };
    let mut at = begin;
    for place in 0..names {
        let share = match place {
            0 => 3.0,
            last if last + 1 == names => 2.0,
            middle if middle > breaks_at => 0.05,
            _ => plan.seconds * chance.between(0.5, 1.6) / plan.steps.len() as f64,
        };
        let end = later(at, share / speed);
        let end_say = match place {
            broken if broken == breaks_at => {
                if ends == TIMED_OUT {
                    CANCELLED
                } else {
                    FAILURE
                }
            }
            passed_over if passed_over > breaks_at && passed_over + 1 < names => SKIPPED,
            _ => SUCCESS,
        };
        job.steps.push(StepLife { begin: at, end, end_say });
        at = end;
    }
    job.marks.say(later(at, 0.3 / speed), ends);
    ends
}

/// Somebody stops the run on its way; what had not ended by then ends now.
fn stop(life: &mut Life, chance: &mut Chance, begin: Timestamp, end: Timestamp) -> Timestamp {
    let stopped = Timestamp(begin.0 + ((end.0 - begin.0) as f64 * chance.between(0.2, 0.9)) as i64);
    life.jobs.retain(|job| job.created < stopped);
    for job in &mut life.jobs {
        let over = job.marks.at(stopped).is_some_and(|say| say.status.is_terminal());
        if over {
            continue;
        }
        job.marks.cut(stopped);
        job.marks.say(later(stopped, 0.2), CANCELLED);
        job.steps.retain(|step| step.begin < stopped);
        if let Some(step) = job.steps.last_mut().filter(|step| step.end > stopped) {
            step.end = stopped;
            step.end_say = CANCELLED;
        }
    }
    later(stopped, 1.0)
}

/// What is said of a step at an instant.
pub fn step_says(step: &StepLife, now: Timestamp) -> Say {
    match now {
        now if now < step.begin => QUEUED,
        now if now < step.end => IN_PROGRESS,
        _ => step.end_say,
    }
}
