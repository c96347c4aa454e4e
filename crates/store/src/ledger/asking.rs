//! What is asked of the ledger, as one question or as one about each project that is seen.
//! Knows nothing of what is found.

use pipecast_model::{DeliveryId, Host, Outcome, ProjectId, Timestamp};
use sqlx::{Database, Encode, QueryBuilder, Type};

use crate::{Direction, Sight};

/// Which deliveries.
#[derive(Clone, Debug, Default)]
pub struct DeliveryQuery {
    /// Only what whoever asks may see; what is about no project is for those who see everything.
    pub sight: Sight,
    /// Only of this host.
    pub host: Option<Host>,
    /// Only of the source with this key.
    pub source: Option<String>,
    /// Only of this event, in the host's word.
    pub event: Option<String>,
    /// Only about this project.
    pub project: Option<ProjectId>,
    /// Only with this outcome.
    pub outcome: Option<Outcome>,
    /// Only replays of this one.
    pub replay_of: Option<DeliveryId>,
    /// Not received before.
    pub since: Option<Timestamp>,
    /// Not received at or after.
    pub until: Option<Timestamp>,
    /// Which way, by when they were received.
    pub direction: Direction,
    /// Go on after this row: when it was received, and its id.
    pub after: Option<(Timestamp, DeliveryId)>,
    /// At most this many.
    pub limit: i64,
}

/// Most projects that are asked about one by one: each costs a page of rows, 0.7 ms or less with a million in the ledger.
const MOST_PARTS: usize = 25;

/// The list that a query asks for, as `select` begins it and with `also` as one more condition.
pub(super) fn ask<DB: Database>(query: &DeliveryQuery, select: &'static str, also: &'static str, sql: &mut QueryBuilder<DB>)
where
    i64: for<'q> Encode<'q, DB> + Type<DB>,
    String: for<'q> Encode<'q, DB> + Type<DB>,
    &'static str: for<'q> Encode<'q, DB> + Type<DB>,
    ProjectId: for<'q> Encode<'q, DB> + Type<DB>,
    DeliveryId: for<'q> Encode<'q, DB> + Type<DB>,
    Timestamp: for<'q> Encode<'q, DB> + Type<DB>,
{
    let parts = query.parts();
    let down = query.direction.suffix();
    if parts.len() > 1 {
        sql.push("SELECT * FROM (");
    }
    for (at, part) in parts.iter().enumerate() {
        if parts.len() > 1 {
            sql.push(if at == 0 { "SELECT * FROM (" } else { " UNION ALL SELECT * FROM (" });
        }
        sql.push(select);
        part.limit_to(sql);
        sql.push(also);
        sql.push(format!(" ORDER BY d.received_at{down}, d.id{down} LIMIT ")).push_bind(query.limit);
        if parts.len() > 1 {
            sql.push(") part");
        }
    }
    if parts.len() > 1 {
        sql.push(format!(") found ORDER BY received_at{down}, id{down} LIMIT ")).push_bind(query.limit);
    }
}

impl DeliveryQuery {
    /// The same question as one about each project that is seen, where those are few. Each is answered from the index that has its order, and a
    /// project of which nothing has come costs one look. Asked as one, the ledger would be read by age until enough is found that is seen: all of
    /// it, where that is nothing.
    pub(super) fn parts(&self) -> Vec<DeliveryQuery> {
        let Sight::Projects { of, internal: false } = &self.sight else {
            return vec![self.clone()];
        };
        if of.len() > MOST_PARTS {
            return vec![self.clone()];
        }
        let wanted = of.iter().filter(|project| self.project.is_none_or(|only| only == **project));
        wanted
            .map(|project| DeliveryQuery {
                sight: Sight::All,
                project: Some(*project),
                ..self.clone()
            })
            .collect()
    }

    pub(super) fn limit_to<DB: Database>(&self, sql: &mut QueryBuilder<DB>)
    where
        String: for<'q> Encode<'q, DB> + Type<DB>,
        &'static str: for<'q> Encode<'q, DB> + Type<DB>,
        ProjectId: for<'q> Encode<'q, DB> + Type<DB>,
        DeliveryId: for<'q> Encode<'q, DB> + Type<DB>,
        Timestamp: for<'q> Encode<'q, DB> + Type<DB>,
    {
        if self.sight != Sight::All {
            sql.push(" AND EXISTS (SELECT 1 FROM projects j WHERE j.id = d.project_id");
            self.sight.limit_to_projects(sql, "j");
            sql.push(")");
        }
        if let Some(host) = self.host {
            sql.push(" AND d.host = ").push_bind(host.word());
        }
        if let Some(source) = &self.source {
            sql.push(" AND d.source = ").push_bind(source.clone());
        }
        if let Some(event) = &self.event {
            sql.push(" AND d.event = ").push_bind(event.clone());
        }
        if let Some(project) = self.project {
            sql.push(" AND d.project_id = ").push_bind(project);
        }
        if let Some(outcome) = self.outcome {
            sql.push(" AND d.outcome = ").push_bind(outcome.word());
            if outcome != Outcome::Applied {
                sql.push(" AND d.outcome <> 'applied'");
            }
        }
        if let Some(replay_of) = self.replay_of {
            sql.push(" AND d.replay_of = ").push_bind(replay_of);
        }
        if let Some(since) = self.since {
            sql.push(" AND d.received_at >= ").push_bind(since);
        }
        if let Some(until) = self.until {
            sql.push(" AND d.received_at < ").push_bind(until);
        }
        if let Some((received_at, id)) = self.after {
            sql.push(format!(" AND (d.received_at, d.id) {} (", self.direction.sign()))
                .push_bind(received_at);
            sql.push(", ").push_bind(id).push(")");
        }
    }
}
