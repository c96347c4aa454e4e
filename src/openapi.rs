//! The OpenAPI document: what the handlers say of themselves, and by hand what no handler can say.
//! Knows nothing of how it is served.

use utoipa::OpenApi;
use utoipa::openapi::path::{HttpMethod, PathItem};
use utoipa_actix_web::AppExt;

use crate::routes;

pub mod limited;

mod by_hand;
mod complete;
mod confirmed;
mod examples;
mod locks;
mod vocabulary;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Pipecast",
        description = "Live state of CI/CD pipelines of every host. Errors are RFC 9457 problems; lists are keyset pages; times are RFC 3339 in UTC; an unknown query parameter is 400.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    tags(
        (name = "pipelines", description = "Pipelines and their newest status"),
        (name = "executions", description = "Runs, their jobs and steps"),
        (name = "live", description = "WebSockets and server-sent events"),
        (name = "webhooks", description = "Deliveries of Git hosts"),
        (name = "sessions", description = "Logging in, and who the caller is"),
        (name = "users", description = "Accounts, and what they are everywhere"),
        (name = "members", description = "What somebody is in one project"),
        (name = "sources", description = "Connections to hosts, and their secrets"),
        (name = "projects", description = "Who sees a project"),
        (name = "tokens", description = "Tokens of programs"),
        (name = "deliveries", description = "What hosts have sent, and what became of it"),
        (name = "dead letters", description = "Deliveries that were given up"),
        (name = "audit", description = "Who did what"),
        (name = "settings", description = "What can be changed while the service runs"),
        (name = "retention policies", description = "Projects whose deliveries are kept for another time"),
        (name = "notification targets", description = "Whom to tell; nothing is sent yet"),
        (name = "service", description = "The service itself"),
    )
)]
struct Whole;

/// The whole document.
pub fn document() -> utoipa::openapi::OpenApi {
    let app = actix_web::App::new()
        .into_utoipa_app()
        .openapi(Whole::openapi())
        .configure(pipecast_admin::api::routes)
        .configure(routes::ahead_of_all)
        .configure(routes::all);
    let (_, mut document) = app.split_for_parts();
    for (path, operation) in by_hand::routes() {
        document.paths.paths.insert(path.to_owned(), PathItem::new(HttpMethod::Get, operation));
    }
    limited::say_so(&mut document);
    complete::complete(&mut document);
    document
}

/// The document as text.
pub fn text() -> String {
    document().to_pretty_json().expect("the document has only strings and numbers in it") + "\n"
}
