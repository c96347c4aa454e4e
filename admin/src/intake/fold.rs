//! The oracle: what many deliveries come to together, merged in memory as naively as can be.
//! Knows nothing of the database; tests hold both against each other, and any order of deliveries against any other.

use std::collections::BTreeMap;

use pipecast_model::{ChangeFacts, Delivery, ExecutionFacts, Facts, Host, JobFacts, PipelineFacts, PipelineKey, ProjectFacts, Reading, RefFacts, Status};

use super::understand;

/// Where a project is known by its id: the host and the source.
pub type Place = (Host, String);

/// Everything told so far, by place and by the project's id there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fold {
    /// Projects with all that belongs to them.
    pub projects: BTreeMap<(Place, String), ProjectFold>,
}

/// Everything told of one project.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProjectFold {
    /// The project itself.
    pub facts: ProjectFacts,
    /// Its pipelines as they were named; [`ProjectFold::pipelines`] says which of them are one.
    pub named: BTreeMap<PipelineKey, PipelineFacts>,
    /// Its executions by the host's id and attempt.
    pub executions: BTreeMap<(String, i64), ExecutionFacts>,
    /// Their jobs by execution, attempt and the host's id.
    pub jobs: BTreeMap<(String, i64, String), JobFacts>,
    /// Its branches and tags by name.
    pub refs: BTreeMap<String, RefFacts>,
    /// Its changes by number.
    pub changes: BTreeMap<i64, ChangeFacts>,
}

/// A pipeline as it shows, with the keys of its executions from the oldest to the newest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PipelineFold {
    /// Its name.
    pub name: String,
    /// Ids and attempts of its executions; the last one is its status.
    pub executions: Vec<(String, i64)>,
    /// The status of the newest execution; unknown without one.
    pub status: Status,
}

impl Fold {
    /// Understands a delivery, adds what it tells, and says what came of reading it.
    pub fn receive(&mut self, delivery: &Delivery) -> Reading {
        let facts = understand(delivery);
        let reading = facts.reading.clone();
        self.tell((delivery.host, delivery.source.clone()), facts);
        reading
    }

    /// Adds facts told at a place.
    pub fn tell(&mut self, place: Place, facts: Facts) {
        let Facts {
            project,
            pipelines,
            executions,
            jobs,
            refs,
            changes,
            reading: _,
        } = facts;
        let Some(project) = project else { return };
        let fold = self.projects.entry((place, project.external_id.clone())).or_insert_with(|| ProjectFold {
            facts: ProjectFacts {
                external_id: project.external_id.clone(),
                ..ProjectFacts::default()
            },
            ..ProjectFold::default()
        });
        fold.facts = std::mem::take(&mut fold.facts).merge(project);
        for pipeline in pipelines {
            add(&mut fold.named, pipeline.key.clone(), pipeline, PipelineFacts::merge);
        }
        for execution in executions {
            add(
                &mut fold.executions,
                (execution.external_id.clone(), execution.attempt),
                execution,
                ExecutionFacts::merge,
            );
        }
        for job in jobs {
            add(
                &mut fold.jobs,
                (job.execution.clone(), job.attempt, job.external_id.clone()),
                job,
                JobFacts::merge,
            );
        }
        for reference in refs {
            add(&mut fold.refs, reference.name.clone(), reference, RefFacts::merge);
        }
        for change in changes {
            add(&mut fold.changes, change.number, change, ChangeFacts::merge);
        }
    }
}

impl ProjectFold {
    /// The pipeline that a key stands for. A name stands for the pipeline of that name whose id is known, the one with the
    /// smallest id where several bear it; until there is one, it stands for itself.
    pub fn resolve(&self, key: &PipelineKey) -> PipelineKey {
        let PipelineKey::Named(name) = key else { return key.clone() };
        let namesake = self
            .named
            .values()
            .find(|known| matches!(known.key, PipelineKey::Id(_)) && known.name.get() == Some(name));
        namesake.map_or_else(|| key.clone(), |known| known.key.clone())
    }

    /// The pipelines as they show, each under one key: those that an execution is in.
    pub fn pipelines(&self) -> BTreeMap<PipelineKey, PipelineFold> {
        let mut executions: Vec<_> = self.executions.values().collect();
        executions.sort_by_key(|execution| (execution.number.get().copied().unwrap_or(0), execution.ordinal, execution.attempt));
        let mut pipelines: BTreeMap<PipelineKey, PipelineFold> = BTreeMap::new();
        for execution in executions {
            let Some(key) = execution.pipeline.get().map(|key| self.resolve(key)) else {
                continue;
            };
            let name = self.name(&key).to_owned();
            let pipeline = pipelines.entry(key).or_default();
            pipeline.name = name;
            pipeline.executions.push((execution.external_id.clone(), execution.attempt));
            pipeline.status = status_of(execution);
        }
        pipelines
    }

    /// What a pipeline is called: by its name, or by its key while nobody has told one.
    fn name<'a>(&'a self, key: &'a PipelineKey) -> &'a str {
        let (PipelineKey::Named(in_key) | PipelineKey::Id(in_key)) = key;
        self.named.get(key).and_then(|facts| facts.name.get()).unwrap_or(in_key)
    }

    /// The status of an execution; unknown while only its jobs have spoken, or where it is not known at all.
    pub fn status(&self, external_id: &str, attempt: i64) -> Status {
        self.executions.get(&(external_id.to_owned(), attempt)).map(status_of).unwrap_or_default()
    }

    /// The jobs of an execution.
    pub fn jobs_of(&self, external_id: &str, attempt: i64) -> impl Iterator<Item = &JobFacts> {
        self.jobs.values().filter(move |job| job.execution == external_id && job.attempt == attempt)
    }
}

fn status_of(execution: &ExecutionFacts) -> Status {
    execution.status.get().map(|told| told.status).unwrap_or_default()
}

fn add<K: Ord, T: Clone>(map: &mut BTreeMap<K, T>, key: K, told: T, merge: fn(T, T) -> T) {
    match map.entry(key) {
        std::collections::btree_map::Entry::Vacant(slot) => {
            slot.insert(told);
        }
        std::collections::btree_map::Entry::Occupied(mut slot) => {
            let known = slot.get().clone();
            slot.insert(merge(known, told));
        }
    }
}
