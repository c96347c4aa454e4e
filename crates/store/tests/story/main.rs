//! The store told as stories, each on SQLite and on PostgreSQL: the same calls, the same ends.
//! Knows the public face of the store, and SQL only to look at rows.
#![expect(clippy::unwrap_used, reason = "tests")]

mod accounts;
mod archive;
mod audit;
mod finding;
mod ground;
mod ledger;
mod logins;
mod merging;
mod migrations;
mod naming;
#[path = "../../../../tests/prove/src/ports.rs"]
#[expect(unreachable_pub, reason = "the same file is a public part of the proofs")]
mod ports;
mod postgres;
mod privacy;
mod purge;
mod replica;
mod retention;
mod sealing;
mod server;
mod sources;
mod tale;
mod walls;
