//! `/admin/v1/sources/{source_id}/secrets`: another secret while the one before is still believed, and the end of one.
//! Knows nothing of how a secret is kept.

use std::time::Duration;

use actix_web::{HttpResponse, delete, post, web};
use pipecast_http::conditional::etag;
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::query::Nothing;
use pipecast_http::{Confirmed, Faults, IdempotencyKey, IfMatch, Input, May, Problem, Query, Visit, right::SourcesManage};
use pipecast_model::{SecretId, SecretKind, SourceId};
use serde::{Deserialize, Serialize};
use utoipa_actix_web::service_config::ServiceConfig;
use zeroize::Zeroizing;

use super::super::once::{answered, named};
use super::current;
use super::shape::{MadeShape, made_shape};
use crate::sources::{LONGEST_OVERLAP, Made, OVERLAP, Rotation, Sources, WantedSecret};

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config.service(rotate_secret).service(end_secret);
}

/// Another secret.
#[derive(Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSecret {
    /// One of your own, 24 to 256 characters; without it a fresh one is made.
    #[schema(format = "password")]
    secret: Option<String>,
    /// The kind of a fresh one.
    #[schema(value_type = Option<String>, example = "hmac")]
    secret_kind: Option<SecretKind>,
    /// How many hours the one before is still believed, at most 168; 0 ends it at once.
    #[schema(minimum = 0, maximum = 168, default = 24)]
    overlap_hours: Option<u64>,
}

/// Gives a source another secret, which is shown this once. The one before is believed for the overlap, so that there is time to paste the new
/// one at the host.
#[utoipa::path(
    tag = "sources",
    params(
        ("source_id" = i64, Path),
        ("If-Match" = String, Header, description = "The `ETag` that was read"),
        ("Idempotency-Key" = Option<String>, Header, description = "Sent again with the same key, it is answered again and not done twice; for a day"),
    ),
    request_body = NewSecret,
    responses(
        (status = 201, body = MadeShape),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "Two secrets are live already, it stands in the configuration, or the first request with this key is still under way"),
        (status = 412, body = ProblemBody),
        (status = 422, body = ProblemBody),
        (status = 428, body = ProblemBody),
        (status = 503, body = ProblemBody, description = "There is no key to seal the secret with"),
    )
)]
#[post("/sources/{source_id}/secrets")]
async fn rotate_secret(
    may: Confirmed<May<SourcesManage>>,
    visit: Visit,
    id: web::Path<SourceId>,
    version: IfMatch,
    key: IdempotencyKey,
    body: Input<NewSecret>,
    sources: web::Data<Sources>,
) -> Result<HttpResponse, Problem> {
    let Input(body) = body;
    let overlap = body.overlap_hours.map_or(OVERLAP, |hours| Duration::from_secs(hours.saturating_mul(3_600)));
    let mut faults = Faults::default();
    faults
        .note(overlap > LONGEST_OVERLAP, "/overlap_hours", "too_long", "it is at most 168")
        .end()?;
    let once = named(&may, &visit, key, &body, sources.keys())?;
    let rotation = Rotation {
        secret: wanted_secret(body.secret, body.secret_kind),
        overlap,
        by: may.by(&visit),
    };
    let shape = |made: &Made| serde_json::to_value(made_shape(&sources, made)).expect("a source is plain JSON");
    let rotating = sources.rotate(*id, rotation, once.as_ref(), |source| current(source, &version), shape);
    let answer: Result<_, Problem> = rotating.await;
    Ok(answered(&answer?))
}

/// Ends a secret at once. Without any, nothing of the source is believed.
#[utoipa::path(
    tag = "sources",
    params(("source_id" = i64, Path), ("secret_id" = i64, Path), ("If-Match" = String, Header, description = "The `ETag` of the source")),
    responses(
        (status = 204),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "It stands in the configuration"),
        (status = 412, body = ProblemBody),
        (status = 428, body = ProblemBody),
    )
)]
#[delete("/sources/{source_id}/secrets/{secret_id}")]
async fn end_secret(
    may: May<SourcesManage>,
    visit: Visit,
    path: web::Path<(SourceId, SecretId)>,
    version: IfMatch,
    _: Query<Nothing>,
    sources: web::Data<Sources>,
) -> Result<HttpResponse, Problem> {
    let (id, secret) = path.into_inner();
    let source = sources.end_secret(id, secret, may.by(&visit), |source| current(source, &version)).await?;
    Ok(HttpResponse::NoContent().insert_header(("ETag", etag(source.version))).finish())
}

pub(super) fn wanted_secret(text: Option<String>, kind: Option<SecretKind>) -> WantedSecret {
    WantedSecret {
        text: text.map(Zeroizing::new),
        kind,
    }
}
