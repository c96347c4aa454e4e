//! Silence: open executions of which nothing has been heard for too long.
//! Knows nothing of why; it never gives an outcome.

use pipecast_model::{ExecutionId, Host, PipelineId, ProjectId, Timestamp, Topic};

use crate::Result;
use crate::engine::on;
use crate::error::Attempt;
use crate::recording::Changes;
use crate::writer::Tx;

impl Tx {
    /// Marks open executions of which nothing has been heard since `before` as stale, at most `limit`. Returns the topics that changed.
    pub async fn mark_stale(&mut self, before: Timestamp, limit: i64) -> Result<Vec<Topic>> {
        const SILENT: &str = "
            SELECT s.host, s.key, p.external_id, e.project_id, e.id
            FROM executions e
            JOIN projects p ON p.id = e.project_id
            JOIN sources s ON s.id = p.source_id
            WHERE stale = FALSE AND status IN ('unknown', 'queued', 'waiting', 'blocked', 'running', 'finalizing') AND heard_at < $1
            ORDER BY heard_at
            LIMIT $2";
        const MARK: &str = "
            UPDATE executions
            SET (stale, seq, previous_status, updated_at) = (TRUE, seq + 1, NULL, $3)
            WHERE id = $1
                AND stale = FALSE AND status IN ('unknown', 'queued', 'waiting', 'blocked', 'running', 'finalizing') AND heard_at < $2
            RETURNING seq, pipeline_id";
        let mut silent: Vec<(Host, String, String, ProjectId, ExecutionId)> =
            on!(&mut self.on, |db| sqlx::query_as(SILENT).bind(before).bind(limit).fetch_all(&mut **db).await).attempted("list silent executions")?;
        // Projects are locked in the same order as by `hold_projects`.
        silent.sort_unstable();
        let mut changes = Changes::default();
        let mut held = None;
        for (_, _, _, project, id) in silent {
            if held != Some(project) {
                self.hold_project(project).await?;
                held = Some(project);
            }
            // It may have been told something before the project was ours.
            let marked: Option<(i64, PipelineId)> = on!(&mut self.on, |db| sqlx::query_as(MARK)
                .bind(id)
                .bind(before)
                .bind(Timestamp::now())
                .fetch_optional(&mut **db)
                .await)
            .attempted("mark a silent execution")?;
            if let Some((seq, pipeline)) = marked {
                changes.count_row(id, seq);
                changes.unsettled.insert(pipeline);
            }
        }
        let changed = self.settle(changes).await?;
        Ok(self.record_topics(None, changed))
    }
}
