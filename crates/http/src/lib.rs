//! What both HTTP faces share: problems, callers, queries, pages and rates.
//! Knows nothing of single routes.

pub mod caller;
pub mod page;
pub mod problem;
pub mod proxies;
pub mod query;
pub mod rate;

pub use caller::{AnonymousReading, Caller, Subject};
pub use page::{Cursor, Limit, Page, Rendered};
pub use problem::{Code, Problem};
pub use proxies::TrustedProxies;
pub use query::{Query, Words};
pub use rate::Rate;
