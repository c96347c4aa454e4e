//! Every route of the realtime service on one page, and the headers that all answers share.
//! Knows nothing of what the handlers need; the composition root puts that beside the routes.

use actix_web::http::header;
use actix_web::middleware::DefaultHeaders;
use actix_web::{ResponseError, web};
use pipecast_http::{Code, Problem};
use utoipa_actix_web::scope::scope;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{health, metrics, webhooks};

/// All routes. Those with the most traffic come first, because they are tried in this order.
pub fn all(config: &mut ServiceConfig) {
    config
        .service(
            scope("")
                .wrap(safe_headers())
                .configure(webhooks::routes)
                .configure(health::routes)
                .route("/metrics", web::get().to(metrics::show_metrics)),
        )
        .default_service(web::to(nothing_here));
}

/// Set on every answer that does not set them itself.
fn safe_headers() -> DefaultHeaders {
    DefaultHeaders::new()
        .add((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((header::REFERRER_POLICY, "no-referrer"))
        .add((header::X_FRAME_OPTIONS, "DENY"))
}

async fn nothing_here() -> actix_web::HttpResponse {
    Problem::new(Code::NotFound).error_response()
}
