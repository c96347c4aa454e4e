//! Every row of the database as values that both engines have: what a backup reads, and what a restore or a move writes.
//! Knows nothing of files, nor of what any row means.
//!
//! A [`Snapshot`] reads the whole database as it is at one moment, while others go on writing. A [`Load`] fills an empty one in one
//! transaction: first the schema that the rows were written under, then the rows, then the migrations since. So what is old comes to
//! this build's schema on the same way as a database that was in use.

mod load;
mod shape;
mod snapshot;
mod value;

pub use load::{Load, Over};
pub use shape::{Column, Table};
pub use snapshot::Snapshot;
pub use value::{Kind, Value};

/// The newest migration that this build knows: what it can restore was written under that schema or an older one.
pub fn newest_schema() -> i64 {
    crate::migrate::known()
}

/// Every table with its rows, parents before children. One that a migration drops stays here, for the archives that have it.
const TABLES: [&str; 29] = [
    META,
    "sources",
    "source_secrets",
    "projects",
    "pipelines",
    "executions",
    "jobs",
    "refs",
    "changes",
    "deliveries",
    "delivery_bodies",
    "topic_changes",
    "dirty_topics",
    "idempotent_answers",
    "users",
    "memberships",
    "sessions",
    "refresh_tokens",
    "api_tokens",
    "signing_keys",
    "setup",
    "login_failures",
    "totp",
    "recovery_codes",
    "audit",
    "audit_head",
    "settings",
    "retention_policies",
    "notification_targets",
];

/// What the database knows of itself; it is there as soon as there is a schema.
const META: &str = "meta";

/// Tables that have rows in an empty database too.
const FROM_THE_START: [&str; 2] = [META, "audit_head"];

/// Keys of `meta` that are not taken along: a restored database is another one, on another machine.
const OF_THE_PLACE: [&str; 2] = ["epoch", "boot"];
