//! What both HTTP faces share: problems, callers and what they may, bodies, queries, pages, rates, and who was denied what.
//! Knows nothing of single routes.

pub mod access;
pub mod anonymous;
pub mod caller;
pub mod conditional;
pub mod confirmed;
pub mod fault;
pub mod idempotency;
pub mod input;
pub mod limits;
pub mod lines;
pub mod page;
pub mod patch;
pub mod problem;
pub mod proxies;
pub mod query;
pub mod rate;
pub mod site;
pub mod sparse;
pub mod visit;
pub mod witness;

pub use access::{May, SignedIn, right};
pub use anonymous::AnonymousReading;
pub use caller::{Caller, Known, Subject};
pub use conditional::IfMatch;
pub use confirmed::{Confirmed, ProofAge};
pub use fault::{Fault, Faults};
pub use idempotency::IdempotencyKey;
pub use input::{Input, Short};
pub use limits::{Limits, Meter};
pub use lines::Lines;
pub use page::{Cursor, Limit, Page, Rendered};
pub use patch::{Field, Patch};
pub use problem::{Code, Problem};
pub use proxies::TrustedProxies;
pub use query::{Query, Words};
pub use rate::{Allowance, Rate};
pub use site::Site;
pub use sparse::{Fields, sparse};
pub use visit::Visit;
pub use witness::{Onlooker, Witness};
