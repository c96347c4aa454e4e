//! Which accounts a list wants.
//! Knows nothing of accounts.

use pipecast_http::{Cursor, Fields, Limit};
use pipecast_model::{Role, UserId};
use pipecast_store::Direction;
use serde::Deserialize;
use utoipa::IntoParams;

use super::super::deleted::WithDeleted;
use super::super::order::{ById, up};

/// Which users.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Only whose name, display name or address contains this, in any case.
    pub(super) q: Option<String>,
    /// Only with this role everywhere.
    pub(super) role: Option<Role>,
    /// Only those who may not come in, or only those who may.
    pub(super) disabled: Option<bool>,
    /// `only`: the deleted ones instead of the others; `include`: they too.
    #[param(inline)]
    pub(super) deleted: Option<WithDeleted>,
    /// `id`: the oldest first; `-id`: the newest.
    #[serde(default = "up", with = "ById")]
    #[param(inline, value_type = ById)]
    pub(super) sort: Direction,
    /// The members that are wanted, with commas between.
    #[serde(default)]
    #[param(value_type = Option<String>, example = "id,name")]
    pub(super) fields: Fields,
    /// How many, 1 to 200.
    #[serde(default)]
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200, default = 50)]
    pub(super) limit: Limit,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    pub(super) cursor: Option<Cursor<UserId>>,
}
