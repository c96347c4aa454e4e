//! `/admin/v1/users/batch`: many changes in one request, each by itself.
//! Knows nothing of what a change is beside its words.

use actix_web::{HttpResponse, post, web};
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::{Confirmed, Input, May, Problem, Visit, right::UsersManage};
use pipecast_model::{Timestamp, UserId};
use pipecast_store::User;
use utoipa_actix_web::service_config::ServiceConfig;

use super::super::batch::{Batch, Operation, Results, Wish, each};
use super::super::deleted::restore;
use super::AccountChange;
use super::giving::check_given;
use crate::accounts::Accounts;
use crate::accounts::users::standing;

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config.service(change_users);
}

/// Changes, deletes and restores accounts, each by itself: one that fails leaves the others as they were done.
#[utoipa::path(
    tag = "users",
    request_body = Batch<UserId, AccountChange>,
    responses((status = 207, body = Results<UserId>), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 422, body = ProblemBody))
)]
#[post("/users/batch")]
async fn change_users(
    may: Confirmed<May<UsersManage>>,
    visit: Visit,
    body: Input<Batch<UserId, AccountChange>>,
    accounts: web::Data<Accounts>,
) -> Result<HttpResponse, Problem> {
    let change = async |id, operation| {
        let changing = accounts.change_user(id, may.by(&visit), |user| {
            let before = standing(user);
            apply(operation, user)?;
            check_given(&may, before, user)
        });
        changing.await.map(|user| user.version)
    };
    each(body.0, change).await
}

fn apply(operation: Operation<UserId, AccountChange>, user: &mut User) -> Result<(), Problem> {
    match operation.of(user.version, user.deleted_at.is_some())? {
        Wish::Update(change) => change.apply(user),
        Wish::Restore => restore(&mut user.deleted_at),
        Wish::Delete => {
            user.deleted_at = Some(Timestamp::now());
            Ok(())
        }
    }
}
