//! Every route of the realtime service on one page.
//! Knows nothing of what the handlers need; the composition root puts that beside the routes.

use std::collections::HashMap;

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, ResponseError, web};
use pipecast_http::{Code, Problem};
use utoipa::openapi::{OpenApi, PathItem};
use utoipa_actix_web::scope::scope;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{docs, executions, health, metrics, page, pipelines, service, status, webhooks};

/// Where most requests go that cost the process something, for the router to try before everything else: it matches in order, and a path
/// with a parameter in it takes a regular expression.
pub fn ahead_of_all(config: &mut ServiceConfig) {
    config.map(|routes| routes.configure(webhooks::plain_routes)).configure(status::routes);
}

/// All other routes but the sockets. Those with the most traffic come first, because they are tried in this order.
pub fn all(config: &mut ServiceConfig) {
    config
        .app_data(path_errors())
        .configure(webhooks::routes)
        .map(|routes| routes.service(web::resource("/").guard(page::is_asked_for).to(show_page)))
        .service(scope("/api/v1").configure(pipelines::routes).configure(executions::routes))
        .service(
            scope("")
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
        .app_data(path_errors())
        .service(
            scope("")
                .configure(health::routes)
                .route("/", web::get().to(service::show_process))
                .route("/metrics", web::get().to(metrics::show_metrics)),
        )
        .default_service(web::to(|request: HttpRequest| async move { Methods::refuse(&request) }));
}

/// The routes of an admin alone beside its API: those of any process, and the document with its readers.
pub fn of_an_admin(config: &mut ServiceConfig) {
    config
        .configure(docs::routes)
        .route("/redoc/{file}", web::get().to(show_redoc_file))
        .configure(of_a_process);
}

/// A part of a path that is no id is a problem like any other.
fn path_errors() -> web::PathConfig {
    web::PathConfig::default().error_handler(|error, _| Problem::new(Code::Malformed).detail(error.to_string()).into())
}

/// Which methods each path of the document has, for those who come with another one.
pub struct Methods(HashMap<String, String>);

impl Methods {
    /// As the document says.
    pub fn of(document: &OpenApi) -> Methods {
        let methods = |item: &PathItem| {
            let has = [
                (item.get.is_some(), "GET"),
                (item.post.is_some(), "POST"),
                (item.put.is_some(), "PUT"),
                (item.patch.is_some(), "PATCH"),
                (item.delete.is_some(), "DELETE"),
            ];
            has.into_iter().filter_map(|(has, word)| has.then_some(word)).collect::<Vec<_>>().join(", ")
        };
        Methods(document.paths.paths.iter().map(|(path, item)| (path.clone(), methods(item))).collect())
    }

    /// What to answer where nobody took the request: that there is no such path, or with which methods it is there.
    fn refuse(request: &HttpRequest) -> HttpResponse {
        let Some(pattern) = request.resource_map().match_pattern(request.path()) else {
            return Problem::new(Code::NotFound).error_response();
        };
        let methods = request.app_data::<web::Data<Methods>>();
        // The document has one path for all hosts, and what is not in it is there to be read.
        let otherwise = if pattern.starts_with("/webhooks/") { "POST" } else { "GET" };
        let allowed = methods.and_then(|methods| methods.0.get(&pattern)).map_or(otherwise, String::as_str);
        let mut response = Problem::new(Code::MethodNotAllowed).error_response();
        if let Ok(allowed) = HeaderValue::from_str(allowed) {
            response.headers_mut().insert(header::ALLOW, allowed);
        }
        response
    }
}

/// Redoc's script, which is a part of the page's build.
async fn show_redoc_file(request: HttpRequest) -> Result<HttpResponse, Problem> {
    page::page(&request).ok_or_else(|| Problem::new(Code::NotFound))
}

/// The page and its files, which have every address that nobody else has; else no path, or a path without this method.
async fn show_page(request: HttpRequest) -> HttpResponse {
    match page::page(&request) {
        Some(page) => page,
        None => Methods::refuse(&request),
    }
}
