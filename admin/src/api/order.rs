//! What `sort` of a list by one member takes: the member's name for the smallest first, and the same behind a `-` for the greatest. A list
//! where nothing is said goes down, unless its filter has `default = "up"`.
//! Knows nothing of how a database puts rows in order.

use pipecast_store::Direction;
use serde::Deserialize;

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(remote = "Direction")]
pub(super) enum ByCreatedAt {
    #[serde(rename = "created_at")]
    Up,
    #[serde(rename = "-created_at")]
    Down,
}

/// The order of a list by id.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(remote = "Direction")]
pub(super) enum ById {
    #[serde(rename = "id")]
    Up,
    #[serde(rename = "-id")]
    Down,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(remote = "Direction")]
pub(super) enum ByKey {
    #[serde(rename = "key")]
    Up,
    #[serde(rename = "-key")]
    Down,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(remote = "Direction")]
pub(super) enum ByProjectId {
    #[serde(rename = "project_id")]
    Up,
    #[serde(rename = "-project_id")]
    Down,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(remote = "Direction")]
pub(super) enum ByReceivedAt {
    #[serde(rename = "received_at")]
    Up,
    #[serde(rename = "-received_at")]
    Down,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(remote = "Direction")]
pub(super) enum BySeq {
    #[serde(rename = "seq")]
    Up,
    #[serde(rename = "-seq")]
    Down,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(remote = "Direction")]
pub(super) enum ByUserId {
    #[serde(rename = "user_id")]
    Up,
    #[serde(rename = "-user_id")]
    Down,
}

/// For lists that go up where nothing is said.
pub(super) fn up() -> Direction {
    Direction::Up
}
