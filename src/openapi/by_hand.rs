//! Operations that no handler can describe: upgrades, streams, text.
//! Knows nothing of what the handlers say of themselves.

use pipecast_http::problem::Body as ProblemBody;
use utoipa::PartialSchema;
use utoipa::ToSchema;
use utoipa::openapi::path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{Content, ContentBuilder, Object, Ref, Required, ResponseBuilder, Type};

const SOCKET: &str = "WebSocket. Text frames of one JSON object each: first a `snapshot`, then a `status_change` for each change. \
    The subprotocol `pipecast.v1` adds `hello`, `subscribed`, `unsubscribed`, `ping`, `error` and `reconnect`.";
const STREAM: &str = "Server-sent events: first `snapshot`, then `status_change`; `Last-Event-ID` or `since` resumes.";
const EVENTS: &str = "id: 01a1fd56-7\nevent: snapshot\ndata: {\"type\":\"snapshot\",\"status\":\"running\",\"timestamp\":\"2026-11-21T10:00:00Z\"}\n\n";
const COUNTERS: &str = "# TYPE pipecast_connections gauge\npipecast_connections 12\n";

/// Path and operation of each.
pub(super) fn routes() -> Vec<(&'static str, Operation)> {
    let pipeline = || in_path("pipeline_id");
    let execution = || in_path("execution_id");
    vec![
        ("/metrics", metrics()),
        ("/ws/pipeline/{pipeline_id}", socket("watch_pipeline", "Watches one pipeline", Some(pipeline()))),
        (
            "/ws/execution/{execution_id}",
            socket("watch_execution", "Watches one execution with its jobs", Some(execution())),
        ),
        ("/ws/monitor", socket("watch_monitor", "Watches every pipeline", None)),
        (
            "/ws",
            socket("watch_many", "Watches what commands subscribe; needs the subprotocol `pipecast.v1`", None),
        ),
        (
            "/sse/pipeline/{pipeline_id}",
            stream("stream_pipeline", "Streams one pipeline", Some(pipeline())),
        ),
        (
            "/sse/execution/{execution_id}",
            stream("stream_execution", "Streams one execution with its jobs", Some(execution())),
        ),
        ("/sse/monitor", stream("stream_monitor", "Streams every pipeline", None)),
        ("/sse", stream("stream_many", "Streams several topics", Some(topics()))),
    ]
}

fn metrics() -> Operation {
    let counters = ResponseBuilder::new().description("The counters").content("text/plain", text(COUNTERS));
    operation("show_metrics", "service", "What the process counted", "Prometheus text.")
        .response("200", counters.build())
        .build()
}

fn socket(id: &str, summary: &str, parameter: Option<Parameter>) -> Operation {
    let open = ResponseBuilder::new().description("The socket is open");
    live(id, summary, SOCKET, parameter).response("101", open.build()).build()
}

fn stream(id: &str, summary: &str, parameter: Option<Parameter>) -> Operation {
    let open = ResponseBuilder::new()
        .description("The stream is open")
        .content("text/event-stream", text(EVENTS));
    live(id, summary, STREAM, parameter).response("200", open.build()).build()
}

fn live(id: &str, summary: &str, description: &str, parameter: Option<Parameter>) -> OperationBuilder {
    let operation = operation(id, "live", summary, description);
    let Some(parameter) = parameter else { return operation };
    let unseen = ResponseBuilder::new().content("application/json", Content::new(Some(Ref::from_schema_name(ProblemBody::name()))));
    operation.parameter(parameter).response("404", unseen.build())
}

fn operation(id: &str, tag: &str, summary: &str, description: &str) -> OperationBuilder {
    OperationBuilder::new()
        .operation_id(Some(id))
        .tag(tag)
        .summary(Some(summary))
        .description(Some(description))
}

fn text(example: &str) -> Content {
    ContentBuilder::new()
        .schema(Some(Object::with_type(Type::String)))
        .example(Some(example.into()))
        .build()
}

fn in_path(name: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .schema(Some(i64::schema()))
        .build()
}

fn topics() -> Parameter {
    ParameterBuilder::new()
        .name("topics")
        .parameter_in(ParameterIn::Query)
        .required(Required::True)
        .description(Some("With commas between: `monitor`, `pipeline:ID`, `execution:ID`"))
        .schema(Some(Object::with_type(Type::String)))
        .build()
}
