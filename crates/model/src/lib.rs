//! The words of Pipecast: ids, instants, statuses, versions, facts and how they merge, topics and envelopes.
//! Knows nothing of HTTP, SQL or sockets and does no I/O.

pub mod announcement;
mod causes;
pub mod delivery;
mod envelope;
pub mod execution;
pub mod facts;
pub mod hexadecimal;
pub mod id;
pub mod job;
pub mod name;
mod outcome;
pub mod pipeline;
mod place;
pub mod quantity;
pub mod rights;
pub mod source;
pub mod status;
pub mod time;
pub mod told;
pub mod topic;
pub mod version;
pub mod witnessed;

pub use announcement::{Announcement, Epoch};
pub use causes::with_causes;
pub use delivery::{Delivery, Host, Lane, Refusal, Work};
pub use envelope::EnvelopeError;
pub use execution::Execution;
pub use facts::{ChangeFacts, ExecutionFacts, Facts, JobFacts, PipelineFacts, PipelineKey, ProjectFacts, Reading, RefFacts};
pub use id::{DeliveryId, ExecutionId, JobId, PipelineId, ProjectId, SecretId, SessionId, SourceId, TokenId, UserId};
pub use job::{Job, Step};
pub use outcome::Outcome;
pub use pipeline::{Pipeline, Project};
pub use place::ProjectPlace;
pub use rights::{Permission, PipelineVisibility, Role, Visibility};
pub use source::{SecretKind, Source, SourceSecret};
pub use status::{Status, StatusFact};
pub use time::Timestamp;
pub use told::Told;
pub use topic::Topic;
pub use version::Version;
pub use witnessed::Witnessed;
