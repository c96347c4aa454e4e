//! `/admin/v1/tokens/export` and `/import`: tokens as lines of JSON without secrets, and new ones like such lines, each shown once.
//! Knows nothing of how one is verified.

use actix_web::{HttpResponse, get, post, web};
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::{Confirmed, Faults, Lines, May, Problem, Query, Visit, right::TokensManage};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;
use utoipa_actix_web::service_config::ServiceConfig;

use super::super::transfer::{Meant, Plan, check_count, exported, place_of};
use super::{Issued, LONGEST_NAME, Whose, of_whom};
use crate::accounts::Accounts;
use crate::accounts::tokens::Line;

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config.service(export_tokens).service(import_tokens);
}

/// Whose tokens.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// `all`: everybody's, for those who manage users; otherwise one's own.
    #[param(inline)]
    of: Option<Whose>,
}

/// What an import does, and the tokens that it made.
#[derive(Serialize, utoipa::ToSchema)]
struct TokenPlan {
    #[serde(flatten)]
    plan: Plan,
    /// With their secrets, which are shown this once.
    made: Vec<Made>,
}

/// A token that was made for a line.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = MadeToken)]
struct Made {
    /// Which line of what was sent, from 1; empty ones count.
    #[schema(example = 1)]
    line: usize,
    #[serde(flatten)]
    issued: Issued,
}

/// Tokens that were not ended, one JSON object a line. What is secret in them is not there.
#[utoipa::path(
    tag = "tokens",
    params(Wanted),
    responses(
        (status = 200, body = Line, content_type = "application/x-ndjson"),
        (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
    )
)]
#[get("/tokens/export")]
async fn export_tokens(may: May<TokensManage>, wanted: Query<Wanted>, accounts: web::Data<Accounts>) -> Result<HttpResponse, Problem> {
    let of = of_whom(&may, wanted.of)?;
    let within = may.bearing().grants.bound();
    exported("tokens", async move |after| accounts.export_tokens(of, within, after).await).await
}

/// Makes tokens of one's own like these lines, all or none, each with a new secret that is shown this once. Tokens of others are passed over, and so is
/// what has ended or is limited to a project that is not here, or that you do not see.
#[utoipa::path(
    tag = "tokens",
    params(Meant),
    request_body(content = Line, content_type = "application/x-ndjson"),
    responses(
        (status = 200, body = TokenPlan),
        (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 413, body = ProblemBody),
        (status = 415, body = ProblemBody),
        (status = 422, body = ProblemBody),
    )
)]
#[post("/tokens/import")]
async fn import_tokens(
    may: Confirmed<May<TokensManage>>,
    visit: Visit,
    meant: Query<Meant>,
    body: Lines<Line>,
    accounts: web::Data<Accounts>,
) -> Result<web::Json<TokenPlan>, Problem> {
    may.session()?;
    let Lines(lines) = body;
    check_count(&lines)?;
    let mut faults = Faults::default();
    for (number, line) in &lines {
        let at = place_of(*number);
        faults.text(&format!("{at}/name"), &line.name, LONGEST_NAME);
        faults.note(line.scopes.is_empty(), &format!("{at}/scopes"), "empty", "name at least one permission");
    }
    faults.end()?;
    let by = may.by(&visit);
    let importing = accounts.import_tokens(may.bearing(), &lines, meant.rehearsal(), &by);
    let (steps, made) = importing.await?;
    let shown = |made: crate::accounts::tokens::Issued| Made {
        line: made.line,
        issued: Issued {
            token: made.minted.shown.expose().to_owned(),
            about: made.token.into(),
        },
    };
    Ok(web::Json(TokenPlan {
        plan: Plan::new(&meant, steps),
        made: made.into_iter().map(shown).collect(),
    }))
}
