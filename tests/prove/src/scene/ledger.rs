//! What the database says in the end, beside what was acknowledged.
//! Knows nothing of how it came to be.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use anyhow::ensure;
use sqlx::PgConnection;
use tokio::time::Instant;

use super::goals::Goals;
use super::load::{Load, key};
use crate::topology::Topology;

/// The ledger of one topology.
#[derive(Debug)]
pub struct Ledger(PgConnection);

/// What became of everything that was acknowledged.
#[derive(Debug)]
pub struct Findings {
    acknowledged: usize,
    lost: usize,
    applied_twice: i64,
    holes: i64,
    runs: usize,
    wrong: usize,
}

impl Ledger {
    /// Reads past everything of ours.
    ///
    /// # Errors
    /// Where the database cannot be reached.
    pub async fn open(topology: &Topology) -> anyhow::Result<Self> {
        Ok(Ledger(topology.postgres.connect().await?))
    }

    /// How many deliveries of these numbers stand in it.
    pub async fn count(&mut self, from: usize, to: usize) -> anyhow::Result<usize> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM deliveries WHERE delivery_key >= $1 AND delivery_key < $2")
            .bind(key(from))
            .bind(key(to))
            .fetch_one(&mut self.0)
            .await?;
        Ok(usize::try_from(count)?)
    }

    /// Waits until all of them do, for as long as `patience`; whether they did.
    pub async fn has_all(&mut self, from: usize, to: usize, patience: Duration) -> anyhow::Result<bool> {
        let deadline = Instant::now() + patience;
        while self.count(from, to).await? < to - from {
            if Instant::now() > deadline {
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(true)
    }

    /// Our ids of the first pipelines, in the order of their numbers at the host, once all of them are there.
    pub async fn pipelines(&mut self, count: usize) -> anyhow::Result<Vec<i64>> {
        let known: HashMap<String, i64> = sqlx::query_as("SELECT external_id, id FROM pipelines")
            .fetch_all(&mut self.0)
            .await?
            .into_iter()
            .collect();
        let ids: Vec<i64> = (1..=count).filter_map(|number| known.get(&format!("id:{number}")).copied()).collect();
        ensure!(ids.len() == count, "{} of {count} pipelines are there", ids.len());
        Ok(ids)
    }

    /// The same, waiting for them.
    pub async fn until_pipelines(&mut self, count: usize, patience: Duration) -> anyhow::Result<Vec<i64>> {
        let deadline = Instant::now() + patience;
        loop {
            match self.pipelines(count).await {
                Err(_) if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(50)).await,
                found => return found,
            }
        }
    }

    /// The sequence of each pipeline.
    pub async fn sequences(&mut self) -> anyhow::Result<HashMap<i64, i64>> {
        let rows: Vec<(i64, i64)> = sqlx::query_as("SELECT id, seq FROM pipelines").fetch_all(&mut self.0).await?;
        Ok(rows.into_iter().collect())
    }

    /// Compares what was acknowledged with what is there.
    pub async fn examine(&mut self, load: &Load) -> anyhow::Result<Findings> {
        let known: HashSet<String> = sqlx::query_scalar("SELECT delivery_key FROM deliveries WHERE delivery_key IS NOT NULL")
            .fetch_all(&mut self.0)
            .await?
            .into_iter()
            .collect();
        let statuses: Vec<(String, String)> = sqlx::query_as("SELECT external_id, status FROM executions").fetch_all(&mut self.0).await?;
        let statuses: BTreeMap<String, String> = statuses.into_iter().collect();
        let acknowledged: Vec<_> = load.book.answers().into_iter().filter(|answered| answered.status == Some(202)).collect();
        let truth = load.truth();
        let wrong = truth
            .iter()
            .filter(|(run, status)| statuses.get(&run.to_string()).is_none_or(|shown| shown != *status));
        Ok(Findings {
            acknowledged: acknowledged.len(),
            lost: acknowledged.iter().filter(|answered| !known.contains(&key(answered.number))).count(),
            applied_twice: self.number(TWICE).await?,
            holes: self.number(HOLES).await?,
            runs: truth.len(),
            wrong: wrong.count(),
        })
    }

    async fn number(&mut self, query: &'static str) -> anyhow::Result<i64> {
        Ok(sqlx::query_scalar(query).fetch_one(&mut self.0).await?)
    }
}

/// Deliveries that gave one topic more than one sequence.
const TWICE: &str = "SELECT count(*) FROM (SELECT 1 FROM topic_changes WHERE delivery_id IS NOT NULL GROUP BY topic, delivery_id HAVING count(*) > 1) AS twice";
/// Topics whose changes are not numbered from 1 without a hole.
const HOLES: &str = "SELECT count(*) FROM (SELECT 1 FROM topic_changes GROUP BY topic HAVING min(seq) <> 1 OR max(seq) <> count(*)) AS holes";

impl Findings {
    /// Nothing is lost, nothing has its effect twice, and every run ended as its host said.
    pub fn check(&self, goals: &mut Goals) {
        goals.check(self.lost == 0 && self.applied_twice == 0 && self.holes == 0 && self.wrong == 0, self);
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Findings {
            acknowledged,
            lost,
            applied_twice,
            holes,
            runs,
            wrong,
        } = self;
        write!(
            f,
            "acknowledged {acknowledged}, lost {lost}, applied twice {applied_twice}, topics with a hole {holes}; runs {runs}, with a wrong state {wrong}"
        )
    }
}
