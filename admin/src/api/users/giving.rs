//! Who may make somebody what: whoever gives a role may do themselves what it permits.
//! Knows nothing of how an account is changed.

use pipecast_http::{May, Problem, right::UsersManage};
use pipecast_model::Role;
use pipecast_store::User;

use crate::accounts::users::standing;

/// That the caller may make of an account what it has become, by what it was before.
///
/// # Errors
/// `forbidden`.
pub(super) fn check_given(may: &May<UsersManage>, before: Option<Role>, user: &User) -> Result<(), Problem> {
    match standing(user) {
        Some(role) if before != Some(role) => may.may_give(role, None),
        _ => Ok(()),
    }
}
