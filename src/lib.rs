//! The realtime service. See docs/architecture.md.
