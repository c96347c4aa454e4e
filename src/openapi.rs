//! The OpenAPI document: what the handlers say of themselves, and by hand what no handler can say.
//! Knows nothing of how it is served.

use utoipa::OpenApi;
use utoipa::openapi::path::{HttpMethod, Operation, OperationBuilder, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::{Required, ResponseBuilder};
use utoipa_actix_web::AppExt;

use crate::routes;

pub mod limited;

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
        .configure(routes::all);
    let (_, mut document) = app.split_for_parts();
    for (path, operation) in by_hand() {
        document.paths.paths.insert(path.to_owned(), PathItem::new(HttpMethod::Get, operation));
    }
    limited::say_so(&mut document);
    document
}

/// The document as text.
pub fn text() -> String {
    document().to_pretty_json().expect("the document has only strings and numbers in it") + "\n"
}

/// Routes that are no ordinary handlers: upgrades, streams, text.
fn by_hand() -> Vec<(&'static str, Operation)> {
    const SOCKET: &str = "WebSocket. Text frames of one JSON object each: first a `snapshot`, then a `status_change` for each change. \
        The subprotocol `pipecast.v1` adds `hello`, `subscribed`, `unsubscribed`, `ping`, `error` and `reconnect`.";
    const STREAM: &str = "Server-sent events: first `snapshot`, then `status_change`; `Last-Event-ID` or `since` resumes.";
    let upgrade = |id, summary| operation(id, "live", summary, SOCKET, "101", "The socket is open");
    let stream = |id, summary| operation(id, "live", summary, STREAM, "200", "The stream is open");
    let metrics = operation("show_metrics", "service", "What the process counted", "Prometheus text.", "200", "The counters");
    vec![
        ("/metrics", metrics.build()),
        (
            "/ws/pipeline/{pipeline_id}",
            with_id(upgrade("watch_pipeline", "Watches one pipeline"), "pipeline_id"),
        ),
        (
            "/ws/execution/{execution_id}",
            with_id(upgrade("watch_execution", "Watches one execution with its jobs"), "execution_id"),
        ),
        ("/ws/monitor", upgrade("watch_monitor", "Watches every pipeline").build()),
        (
            "/ws",
            upgrade("watch_many", "Watches what commands subscribe; needs the subprotocol `pipecast.v1`").build(),
        ),
        (
            "/sse/pipeline/{pipeline_id}",
            with_id(stream("stream_pipeline", "Streams one pipeline"), "pipeline_id"),
        ),
        (
            "/sse/execution/{execution_id}",
            with_id(stream("stream_execution", "Streams one execution with its jobs"), "execution_id"),
        ),
        ("/sse/monitor", stream("stream_monitor", "Streams every pipeline").build()),
        ("/sse", with_topics(stream("stream_many", "Streams several topics"))),
    ]
}

fn operation(id: &str, tag: &str, summary: &str, description: &str, status: &str, answer: &str) -> OperationBuilder {
    OperationBuilder::new()
        .operation_id(Some(id))
        .tag(tag)
        .summary(Some(summary))
        .description(Some(description))
        .response(status, ResponseBuilder::new().description(answer).build())
}

fn with_id(operation: OperationBuilder, name: &str) -> Operation {
    let id = utoipa::openapi::Object::with_type(utoipa::openapi::Type::Integer);
    let parameter = ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .schema(Some(id));
    operation.parameter(parameter).build()
}

fn with_topics(operation: OperationBuilder) -> Operation {
    let parameter = ParameterBuilder::new()
        .name("topics")
        .parameter_in(ParameterIn::Query)
        .required(Required::True)
        .description(Some("With commas between: `monitor`, `pipeline:ID`, `execution:ID`"))
        .schema(Some(utoipa::openapi::Object::with_type(utoipa::openapi::Type::String)));
    operation.parameter(parameter).build()
}
