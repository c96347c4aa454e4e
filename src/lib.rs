//! The realtime service. See docs/architecture.md.

pub mod page;
