//! `/admin/v1/tokens/batch`: many changes in one request, each by itself.
//! Knows nothing of what a change is beside its words.

use actix_web::{HttpResponse, post, web};
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::{Code, Input, May, Problem, Visit, right::TokensManage};
use pipecast_model::{Timestamp, TokenId};
use pipecast_store::ApiToken;
use utoipa_actix_web::service_config::ServiceConfig;

use super::super::batch::{Batch, Operation, Results, Wish, each};
use super::{TokenChange, seen};
use crate::accounts::Accounts;

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config.service(change_tokens);
}

/// Renames and ends tokens, each by itself: one that fails leaves the others as they were done. A token that was ended does not come back.
#[utoipa::path(
    tag = "tokens",
    request_body = Batch<TokenId, TokenChange>,
    responses((status = 207, body = Results<TokenId>), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 422, body = ProblemBody))
)]
#[post("/tokens/batch")]
async fn change_tokens(
    may: May<TokensManage>,
    visit: Visit,
    body: Input<Batch<TokenId, TokenChange>>,
    accounts: web::Data<Accounts>,
) -> Result<HttpResponse, Problem> {
    let change = async |id, operation| {
        let changing = accounts.change_token(id, may.by(&visit), |token| {
            seen(&may, token)?;
            apply(operation, token)
        });
        changing.await.map(|token| token.version)
    };
    each(body.0, change).await
}

fn apply(operation: Operation<TokenId, TokenChange>, token: &mut ApiToken) -> Result<(), Problem> {
    match operation.of(token.version, false)? {
        Wish::Update(change) => change.apply(token),
        Wish::Restore => Err(Problem::new(Code::Conflict).detail("a token that was ended does not come back; make another one")),
        Wish::Delete => {
            token.revoked_at = Some(Timestamp::now());
            Ok(())
        }
    }
}
