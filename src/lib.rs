//! The realtime service: webhooks in, live state out. Reads the database and never writes it.

pub mod config;
pub mod docs;
pub mod drain;
pub mod executions;
pub mod health;
pub mod live;
pub mod metrics;
pub mod openapi;
pub mod page;
pub mod pipelines;
pub mod roles;
pub mod routes;
pub mod server;
pub mod service;
pub mod simulate;
pub mod status;
pub mod telemetry;
pub mod webhooks;
