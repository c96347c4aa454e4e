//! What one delivery changes, from its facts to the sequences of the topics that changed by it.
//! Knows nothing of hosts: facts are merged as they are told.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use pipecast_model::{
    Delivery, ExecutionFacts, ExecutionId, Facts, JobFacts, PipelineFacts, PipelineId, PipelineKey, ProjectFacts, ProjectId, Reading, Timestamp, Topic,
};

use crate::Result;
use crate::execution::ExecutionWrite;
use crate::pipeline::{PipelineColumns, parse_key};
use crate::stamps::{News, merge};
use crate::writer::Tx;

/// What has changed so far. Sequences are given when rows are written, once each.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Executions that changed in a way that can be seen, with their new sequence.
    pub(crate) executions: BTreeMap<ExecutionId, i64>,
    /// Those of them whose own row changed, not only their jobs.
    pub(crate) rows: BTreeSet<ExecutionId>,
    /// Pipelines whose newest execution may be another one now, or look different.
    pub(crate) unsettled: BTreeSet<PipelineId>,
    /// Pipelines of which something was told.
    pub(crate) told: BTreeMap<PipelineId, News>,
    /// Pipelines that an execution has left, with the one that it is in now.
    pub(crate) moved: BTreeMap<PipelineId, PipelineId>,
}

impl Tx {
    /// Merges what a noted delivery tells into the database, gives every topic that changed by it its next sequence (once,
    /// with the delivery beside it), marks those topics dirty, and writes the outcome. Returns the topics that changed.
    ///
    /// Facts without a project belong to the source's nameless one; executions without a pipeline to one that is called `CI`.
    pub async fn record_facts(&mut self, delivery: &Delivery, facts: &Facts) -> Result<Vec<Topic>> {
        // `note_delivery` has written `applied` already.
        if facts.reading != Reading::Told {
            self.write_reading(delivery.id, &facts.reading).await?;
        }
        if tells_nothing(facts) {
            return Ok(Vec::new());
        }
        let source = self.source(delivery.host, &delivery.source).await?;
        let nameless = ProjectFacts::default();
        let (project, news) = self.record_project(source, facts.project.as_ref().unwrap_or(&nameless)).await?;
        if self.known.about.get(&delivery.id) != Some(&project) {
            self.write_about(delivery.id, project).await?;
            self.known.about.insert(delivery.id, project);
        }
        let mut changes = Changes::default();
        if news == News::Values {
            // Every pipeline shows its project.
            changes.told = self.pipelines_of(project).await?.into_iter().map(|id| (id, News::Values)).collect();
        }
        self.record_executions(project, facts, &mut changes).await?;
        for told in &facts.pipelines {
            self.record_pipeline(project, told, &mut changes).await?;
        }
        for told in &facts.refs {
            self.record_ref(project, told).await?;
        }
        for told in &facts.changes {
            self.record_change(project, told).await?;
        }
        let changed = self.settle(changes).await?;
        Ok(self.record_topics(Some(delivery.id), changed))
    }

    async fn record_executions(&mut self, project: ProjectId, facts: &Facts, changes: &mut Changes) -> Result<()> {
        let mut jobs: BTreeMap<(&str, i64), Vec<&JobFacts>> = BTreeMap::new();
        for job in &facts.jobs {
            jobs.entry((&job.execution, job.attempt)).or_default().push(job);
        }
        for told in &facts.executions {
            let jobs = jobs.remove(&(told.external_id.as_str(), told.attempt)).unwrap_or_default();
            self.record_execution(project, told, &jobs, changes).await?;
        }
        for ((execution, attempt), jobs) in jobs {
            let bare = ExecutionFacts {
                external_id: execution.to_owned(),
                attempt,
                ..ExecutionFacts::default()
            };
            self.record_execution(project, &bare, &jobs, changes).await?;
        }
        Ok(())
    }

    async fn record_execution(&mut self, project: ProjectId, told: &ExecutionFacts, jobs: &[&JobFacts], changes: &mut Changes) -> Result<()> {
        let before = self.stored_execution(project, &told.external_id, told.attempt).await?;
        let merged = merge(before.as_ref().map(|row| (&row.columns, &row.stamps)), told)?;
        let pipeline = match &before {
            Some(row) if row.columns.pipeline_key == merged.columns.pipeline_key => row.pipeline_id,
            _ => self.resolve_pipeline(project, merged.columns.pipeline()).await?,
        };
        // Known before its executions change, so that it need not be asked for after them.
        self.newest_execution(pipeline).await?;
        let mut write = ExecutionWrite {
            project,
            pipeline,
            external_id: &told.external_id,
            attempt: told.attempt,
            columns: merged.columns,
            stamps: merged.stamps,
            before: before.as_ref(),
            news: merged.news,
        };
        let Some(row) = &before else {
            let (id, seq) = self.write_execution(write).await?;
            self.known.all_jobs.insert(id);
            self.record_jobs(id, jobs).await?;
            changes.count_row(id, seq);
            changes.unsettled.insert(pipeline);
            return Ok(());
        };
        // Jobs first, so that the row is written once, with whatever they change in its sequence.
        let of_jobs = self.record_jobs(row.id, jobs).await?;
        let heard = merged.news.max(of_jobs);
        if heard == News::Nothing {
            return Ok(());
        }
        // Whatever is told of a stale execution shows that it lives.
        let row_changed = merged.news == News::Values || row.stale;
        write.news = if row_changed { News::Values } else { heard };
        let (id, seq) = self.write_execution(write).await?;
        if row_changed {
            changes.count_row(id, seq);
            changes.unsettled.extend([row.pipeline_id, pipeline]);
            if row.pipeline_id != pipeline {
                changes.moved.insert(row.pipeline_id, pipeline);
            }
        } else if heard == News::Values {
            changes.executions.insert(id, seq);
        }
        Ok(())
    }

    /// Merges what is told of a pipeline into the one that executions have led to; facts alone create none.
    async fn record_pipeline(&mut self, project: ProjectId, told: &PipelineFacts, changes: &mut Changes) -> Result<()> {
        let Some(id) = self.pipeline_of(project, &told.key).await? else {
            return Ok(());
        };
        let learned = self.tell_pipeline(id, told, changes).await?;
        let Some(name) = learned else { return Ok(()) };
        // Its name is known now: executions that knew only the name have been waiting for it in a pipeline of their own.
        let Some(waiting) = self.pipeline_by_name_alone(project, &name).await?.filter(|waiting| *waiting != id) else {
            return Ok(());
        };
        let facts = self.stored_pipeline(waiting).await?.facts()?;
        self.tell_pipeline(id, &facts, changes).await?;
        self.flush().await?;
        if self.inherit_pipeline(waiting, id).await? {
            changes.told.insert(id, News::Values);
        }
        for execution in self.executions_of(waiting).await? {
            self.move_execution(execution, id).await?;
            // What this delivery has counted already keeps that sequence.
            if let Entry::Vacant(uncounted) = changes.executions.entry(execution) {
                uncounted.insert(self.count_execution(execution).await?);
            }
            changes.rows.insert(execution);
        }
        changes.unsettled.extend([waiting, id]);
        Ok(())
    }

    /// Merges facts into a pipeline's row, and returns its name where that is new and the pipeline is known by its id.
    async fn tell_pipeline(&mut self, id: PipelineId, told: &PipelineFacts, changes: &mut Changes) -> Result<Option<String>> {
        let mut row = self.stored_pipeline(id).await?;
        let merged = merge::<PipelineColumns>(Some((&row.columns, &row.stamps)), told)?;
        if merged.news == News::Nothing {
            return Ok(None);
        }
        let renamed = merged.columns.name != row.columns.name;
        let by_id = matches!(parse_key(&row.external_id), PipelineKey::Id(_));
        row.columns = merged.columns;
        row.stamps = merged.stamps;
        let name = row.columns.name.clone().filter(|_| renamed && by_id);
        if renamed {
            // Which pipeline a name means may have changed.
            self.known.pipelines.clear();
        }
        self.keep_pipeline(row);
        if renamed {
            // From now on whoever looks for its name must find it.
            self.write_pipelines().await?;
        }
        let news = changes.told.entry(id).or_insert(merged.news);
        *news = merged.news.max(*news);
        Ok(name)
    }

    /// Gives every pipeline that changed its next sequence and the status of its newest execution, and takes away those that are
    /// empty now. Returns every topic that changed with its sequence.
    pub(crate) async fn settle(&mut self, changes: Changes) -> Result<Vec<(Topic, i64)>> {
        let Changes {
            executions,
            rows,
            unsettled,
            mut told,
            moved,
        } = changes;
        for (from, to) in moved {
            // What was said of a pipeline whose last execution has moved goes with that.
            if self.newest_execution(from).await?.is_none() {
                self.flush().await?;
                if self.inherit_pipeline(from, to).await? {
                    told.insert(to, News::Values);
                }
            }
        }
        let mut changed: Vec<(Topic, i64)> = executions.iter().map(|(id, seq)| (Topic::Execution(*id), *seq)).collect();
        let candidates: BTreeSet<PipelineId> = unsettled.iter().copied().chain(told.keys().copied()).collect();
        for id in candidates {
            let mut row = self.stored_pipeline(id).await?;
            let mut seen = told.get(&id) == Some(&News::Values);
            row.previous_status = None;
            if unsettled.contains(&id) {
                let Some(newest) = self.newest_execution(id).await? else {
                    self.delete_pipeline(id).await?;
                    // Whoever watches it is to be told that it is gone.
                    changed.push((Topic::Pipeline(id), row.seq + 1));
                    continue;
                };
                seen |= row.last_execution_id != Some(newest.id) || rows.contains(&newest.id);
                if row.last_execution_id.is_some() && row.status != newest.status {
                    row.previous_status = Some(row.status);
                }
                row.last_execution_id = Some(newest.id);
                row.status = newest.status;
            }
            if seen {
                row.seq += 1;
                row.updated_at = Timestamp::now();
                changed.push((Topic::Pipeline(id), row.seq));
                self.keep_pipeline(row);
            }
        }
        Ok(changed)
    }
}

impl Changes {
    /// Counts an execution whose own row changed.
    pub(crate) fn count_row(&mut self, id: ExecutionId, seq: i64) {
        self.executions.insert(id, seq);
        self.rows.insert(id);
    }
}

/// Whether there is nothing in it but what came of reading it.
pub(crate) fn tells_nothing(facts: &Facts) -> bool {
    facts.project.is_none() && facts.executions.is_empty() && facts.jobs.is_empty() && facts.refs.is_empty() && facts.changes.is_empty()
}
