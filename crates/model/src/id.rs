//! Identifiers as types of their own, so that a job's number can never be taken for a pipeline's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        #[schema(value_type = i64)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map($name)
            }
        }
    };
}

number_id!(
    /// A connection to one host or tool.
    SourceId
);
number_id!(
    /// A secret of a source.
    SecretId
);
number_id!(
    /// A repository or project at a source.
    ProjectId
);
number_id!(
    /// A pipeline definition, as in `/ws/pipeline/{id}`.
    PipelineId
);
number_id!(
    /// One attempt of one run, as in `/ws/execution/{id}`.
    ExecutionId
);
number_id!(
    /// One job of an execution.
    JobId
);

number_id!(
    /// An account.
    UserId
);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        #[schema(value_type = String, format = "uuid")]
        pub struct $name(pub uuid::Uuid);

        impl $name {
            /// A fresh id with the current time in it.
            pub fn fresh() -> Self {
                $name(uuid::Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map($name)
            }
        }
    };
}

uuid_id!(
    /// A delivery: one HTTP request of a host. UUIDv7, so its text sorts by time.
    DeliveryId
);
uuid_id!(
    /// A session: one login, until it ends.
    SessionId
);
uuid_id!(
    /// A token of a program.
    TokenId
);
