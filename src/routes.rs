//! Every route of the realtime service on one page, and the headers that all answers share.
//! Knows nothing of what the handlers need; the composition root puts that beside the routes.

use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::DefaultHeaders;
use actix_web::{HttpRequest, HttpResponse, ResponseError, web};
use pipecast_http::{Code, Problem};
use utoipa_actix_web::scope::scope;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{docs, executions, health, metrics, page, pipelines, service, status, webhooks};

/// All routes but the sockets. Those with the most traffic come first, because they are tried in this order.
pub fn all(config: &mut ServiceConfig) {
    config
        .app_data(web::PathConfig::default().error_handler(|error, _| Problem::new(Code::Malformed).detail(error.to_string()).into()))
        .map(|routes| routes.configure(webhooks::plain_routes))
        .configure(status::routes)
        .configure(webhooks::routes)
        .map(|routes| routes.service(web::resource("/").guard(page::is_asked_for).to(show_page)))
        .service(scope("/api/v1").wrap(safe_headers()).configure(pipelines::routes).configure(executions::routes))
        .service(
            scope("")
                .wrap(safe_headers())
                .configure(health::routes)
                .configure(service::routes)
                .configure(docs::routes)
                .route("/metrics", web::get().to(metrics::show_metrics)),
        )
        .default_service(web::to(show_page));
}

/// The routes of a process without the realtime role: what it is, how it is, what it counted.
pub fn of_a_process(config: &mut ServiceConfig) {
    config
        .service(
            scope("")
                .wrap(safe_headers())
                .configure(health::routes)
                .route("/", web::get().to(service::show_process))
                .route("/metrics", web::get().to(metrics::show_metrics)),
        )
        .default_service(web::to(|| async { Problem::new(Code::NotFound).error_response() }));
}

/// Set on every answer that does not set them itself.
fn safe_headers() -> DefaultHeaders {
    DefaultHeaders::new()
        .add((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((header::REFERRER_POLICY, "no-referrer"))
        .add((header::X_FRAME_OPTIONS, "DENY"))
}

/// The page and its files, which have every address that nobody else has; else no path, or a path without this method.
async fn show_page(request: HttpRequest) -> HttpResponse {
    if let Some(page) = page::page(&request) {
        return page;
    }
    if !request.resource_map().has_resource(request.path()) {
        return Problem::new(Code::NotFound).error_response();
    }
    let mut response = Problem::new(Code::MethodNotAllowed).error_response();
    let allowed = if request.path().starts_with("/webhooks/") { "POST" } else { "GET" };
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}
