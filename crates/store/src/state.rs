//! States: what a topic's announcement says, made of the rows as they are now.
//! Knows nothing of what was announced before.

use std::collections::{HashMap, HashSet};

use pipecast_model::{Announcement, Epoch, Execution, ExecutionId, Job, Pipeline, PipelineId, Status, Timestamp, Topic};
use serde::Serialize;

use crate::execution::executions_by_id;
use crate::job::jobs_of;
use crate::pipeline::view::{PipelineView, pipelines_by_id, with_newest};
use crate::topic::last_changes;
use crate::{Reader, Result};

/// Topics of one query.
const TOPICS: usize = 500;

/// An execution as its frames show it: whole, with its jobs.
#[derive(Serialize)]
struct ExecutionState {
    #[serde(flatten)]
    execution: Execution,
    jobs: Vec<Job>,
}

/// What stands around the data of an announcement.
struct Envelope {
    status: Status,
    previous_status: Option<Status>,
    timestamp: Timestamp,
    seq: i64,
}

impl Envelope {
    fn around(self, topic: Topic, epoch: &Epoch, data: &impl Serialize) -> Announcement {
        Announcement {
            v: Announcement::VERSION,
            topic,
            status: self.status,
            previous_status: self.previous_status,
            timestamp: self.timestamp,
            epoch: epoch.clone(),
            seq: self.seq,
            data: serde_json::value::to_raw_value(data).expect("it has only text, numbers and lists in it"),
        }
    }
}

impl Reader {
    /// The current states of topics, as they are announced; a topic that never was is left out. A pipeline that has been merged
    /// into another is `unknown` with null for data. Monitor is never asked for.
    ///
    /// An execution carries its first 500 jobs by id.
    pub async fn list_states(&self, topics: &[Topic]) -> Result<Vec<Announcement>> {
        let epoch = self.recognise().await?;
        let mut states = Vec::with_capacity(topics.len());
        for topics in topics.chunks(TOPICS) {
            let pipelines: Vec<PipelineId> = topics
                .iter()
                .filter_map(|topic| if let Topic::Pipeline(id) = topic { Some(*id) } else { None })
                .collect();
            let executions: Vec<ExecutionId> = topics
                .iter()
                .filter_map(|topic| if let Topic::Execution(id) = topic { Some(*id) } else { None })
                .collect();
            let mut views = pipelines_by_id(&self.on, &pipelines).await?;
            let changed = last_changes(&self.on, &missing(&pipelines, &views)).await?;
            // A commit may have come between the two queries: only a row that is missing after its change is really gone.
            let looked_again: Vec<PipelineId> = changed.iter().map(|(id, ..)| *id).collect();
            views.extend(pipelines_by_id(&self.on, &looked_again).await?);
            let gone = missing(&looked_again, &views);
            for (id, seq, timestamp) in changed.into_iter().filter(|(id, ..)| gone.contains(id)) {
                let envelope = Envelope {
                    status: Status::Unknown,
                    previous_status: None,
                    timestamp,
                    seq,
                };
                states.push(envelope.around(Topic::Pipeline(id), epoch, &()));
            }
            states.extend(self.pipeline_states(views).await?);
            states.extend(self.execution_states(&executions).await?);
        }
        Ok(states)
    }

    async fn pipeline_states(&self, views: Vec<PipelineView>) -> Result<Vec<Announcement>> {
        let envelopes: Vec<Envelope> = views.iter().map(envelope).collect();
        let pipelines: Vec<Pipeline> = with_newest(&self.on, views).await?;
        let epoch = self.recognise().await?;
        let states = envelopes.into_iter().zip(&pipelines);
        Ok(states
            .map(|(envelope, pipeline)| envelope.around(Topic::Pipeline(pipeline.id), epoch, pipeline))
            .collect())
    }

    async fn execution_states(&self, ids: &[ExecutionId]) -> Result<Vec<Announcement>> {
        let rows = executions_by_id(&self.on, ids).await?;
        let mut jobs: HashMap<ExecutionId, Vec<Job>> = HashMap::new();
        for row in jobs_of(&self.on, ids).await? {
            jobs.entry(row.execution_id).or_default().push(row.into());
        }
        let epoch = self.recognise().await?;
        let states = rows.into_iter().map(|row| {
            let envelope = Envelope {
                status: row.columns.status.status,
                previous_status: row.previous_status,
                timestamp: row.updated_at,
                seq: row.seq,
            };
            let jobs = jobs.remove(&row.id).unwrap_or_default();
            let topic = Topic::Execution(row.id);
            envelope.around(topic, epoch, &ExecutionState { execution: row.into(), jobs })
        });
        Ok(states.collect())
    }
}

fn missing(wanted: &[PipelineId], views: &[PipelineView]) -> Vec<PipelineId> {
    let there: HashSet<PipelineId> = views.iter().map(|view| view.id).collect();
    wanted.iter().copied().filter(|id| !there.contains(id)).collect()
}

fn envelope(view: &PipelineView) -> Envelope {
    Envelope {
        status: view.status,
        previous_status: view.previous_status,
        timestamp: view.updated_at,
        seq: view.seq,
    }
}
