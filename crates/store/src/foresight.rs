//! What a batch of deliveries will read, read together before the first of them: a statement for many in place of one for each.
//! Knows nothing of what is done with it; whatever is not foreseen is read in its turn.

use std::collections::BTreeSet;

use pipecast_model::{Delivery, Facts};

use crate::Result;
use crate::known::{AttemptKey, JobKey};
use crate::recording::tells_nothing;
use crate::writer::Tx;

impl Tx {
    /// Makes a batch ready: locks its projects (see `hold_projects`), writes the ledger's rows of what is new, and reads the executions and jobs
    /// that it speaks of. It changes nothing of what `note_delivery` and `record_facts` do for each of them afterwards, only how often
    /// they ask. On PostgreSQL most of the time of a delivery is the way there and back.
    ///
    /// # Errors
    /// `Unavailable`, `Refused`.
    pub async fn foresee(&mut self, batch: &[(&Delivery, &Facts)]) -> Result<()> {
        self.hold_projects(batch).await?;
        for (delivery, facts) in batch {
            if let Some(project) = self.held_project(delivery, facts).filter(|_| !tells_nothing(facts)) {
                self.known.about.insert(delivery.id, project);
            }
        }
        if batch.len() < 2 {
            return Ok(());
        }
        let deliveries: Vec<&Delivery> = batch.iter().map(|(delivery, _)| *delivery).collect();
        self.note_together(&deliveries).await?;
        let mut executions: BTreeSet<AttemptKey> = BTreeSet::new();
        for (delivery, facts) in batch {
            if let Some(project) = self.held_project(delivery, facts) {
                executions.extend(facts.executions.iter().map(|told| (project, told.external_id.clone(), told.attempt)));
                executions.extend(facts.jobs.iter().map(|told| (project, told.execution.clone(), told.attempt)));
            }
        }
        self.know_executions(&executions).await?;
        let mut jobs: BTreeSet<JobKey> = BTreeSet::new();
        for (delivery, facts) in batch {
            let Some(project) = self.held_project(delivery, facts) else { continue };
            for told in &facts.jobs {
                // Of an execution that is new every job is new.
                if let Some(row) = self.known.executions.get(&(project, told.execution.clone(), told.attempt)) {
                    jobs.insert((row.id, told.external_id.clone()));
                }
            }
        }
        self.know_single_jobs(&jobs).await
    }
}
