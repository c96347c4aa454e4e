//! The ports between processes: bus, cache, queue and quotas. Each trait file is its contract in prose; the backends lie beside it.
//! Knows nothing of SQL tables, HTTP or sockets, and never looks into what it carries.

pub mod bus;
pub mod cache;
pub mod queue;
pub mod quota;
pub mod redis;

mod error;

pub use bus::{Bus, BusEvent, BusTap};
pub use cache::{Cache, Foreign, Found, Offer};
pub use error::Error;
pub use queue::{Claim, ClaimId, Dead, DeadId, Durability, Queue, Verdict};
pub use quota::{Quota, Quotas, Spender};

/// What the ports return.
pub type Result<T> = std::result::Result<T, Error>;
