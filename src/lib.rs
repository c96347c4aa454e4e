//! The realtime service: webhooks in, live state out. Reads the database and never writes it.

pub mod config;
