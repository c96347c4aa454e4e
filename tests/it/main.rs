//! Tests of the whole, in one binary: each starts the real service on a port of its own and talks to it as its clients do.
#![expect(clippy::unwrap_used, unreachable_pub, clippy::print_stdout, reason = "tests")]

mod access;
mod accounts;
mod administration;
mod api;
mod app;
mod archive;
mod audit;
mod binary;
#[path = "../../crates/fabric/tests/contract/broker.rs"]
#[expect(dead_code, reason = "the tests of the queue do more to it")]
mod broker;
mod budget;
mod clock;
mod command;
mod config;
mod confirmation;
mod conventions;
mod cors;
mod dead_letters;
mod disk;
mod door;
mod drill;
mod examples;
mod factors;
mod first_steps;
mod foreign;
mod forge;
mod giving;
mod headers;
mod health;
mod http;
mod keys;
mod leaks;
mod ledger;
mod lifetimes;
mod limits;
mod lines;
mod live;
mod live_rights;
mod logins;
mod matrix;
mod nul;
mod once;
mod openapi;
mod operator;
mod outage;
mod oversize;
mod ownership;
mod panics;
mod passwords;
mod payloads;
mod people;
#[path = "../prove/src/ports.rs"]
mod ports;
#[path = "../../crates/store/tests/story/postgres.rs"]
#[expect(dead_code, reason = "the stories of the store do more to it")]
mod postgres;
mod privacy;
mod process;
mod proxy;
mod rates;
mod reconnect;
mod redis;
mod rotation;
mod secrets;
mod sessions;
mod shape;
mod signatures;
mod socket;
mod split;
mod spool;
mod storm;
mod targets;
mod testing;
mod timing;
mod tls;
mod tokens;
mod traces;
mod transfers;
mod trust;
mod upgrade;
mod webhooks;
mod witness;
