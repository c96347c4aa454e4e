//! The realtime service: webhooks in, live state out. Reads the database and never writes it.

pub mod config;
pub mod drain;
pub mod health;
pub mod live;
pub mod metrics;
pub mod roles;
pub mod routes;
pub mod server;
pub mod telemetry;
pub mod webhooks;
