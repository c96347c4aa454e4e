//! Accounts, configuration and every database write: the consumers that turn deliveries into state.

pub mod intake;
