//! `/admin/v1/jwks.json`: the public keys by which other services verify our access tokens.
//! Knows nothing of private ones.

use actix_web::http::header;
use actix_web::{HttpResponse, get, web};
use pipecast_auth::Gatekeeper;
use pipecast_http::query::Nothing;
use pipecast_http::{Problem, Query};
use utoipa_actix_web::service_config::ServiceConfig;

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config.service(list_keys);
}

/// Public keys of our access tokens, as JWKS (RFC 7517). Look again for a `kid` that is not among them.
#[utoipa::path(
    tag = "sessions",
    responses((
        status = 200,
        body = Object,
        description = "Ed25519 keys, the newest first",
        example = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": "01a1fd56", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}),
    ))
)]
#[get("/jwks.json")]
async fn list_keys(_: Query<Nothing>, gatekeeper: web::Data<Gatekeeper>) -> Result<HttpResponse, Problem> {
    let keys = gatekeeper.jwks().await?;
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "public, max-age=60")).json(keys))
}
