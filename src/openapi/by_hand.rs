//! Operations that no handler can describe: upgrades, streams, text.
//! Knows nothing of what the handlers say of themselves.

use pipecast_http::problem::Body as ProblemBody;
use utoipa::PartialSchema;
use utoipa::ToSchema;
use utoipa::openapi::path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{Content, ContentBuilder, Object, ObjectBuilder, Ref, Required, Response, ResponseBuilder, Type};

const SOCKET: &str = "WebSocket. Text frames of one JSON object each: first a `snapshot`, then a `status_change` for each change. \
    The subprotocol `pipecast.v1` adds `hello`, `subscribed`, `unsubscribed`, `ping`, `error` and `reconnect`.";
const STREAM: &str = "Server-sent events: first `snapshot`, then `status_change`; `Last-Event-ID` or `since` resumes.";
const MANY: &str = "Server-sent events: first a `snapshot` of each topic, then `status_change`. A cursor is of one topic, so nothing resumes here: \
    a client that comes again gets every snapshot again.";
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
            live(
                "watch_many",
                "Watches what commands subscribe; needs the subprotocol `pipecast.v1`",
                SOCKET,
                None,
            )
            .parameter(ticket())
            .response("101", open_socket())
            .build(),
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
        (
            "/sse",
            live("stream_many", "Streams several topics", MANY, Some(topics()))
                .response("200", open_stream())
                .build(),
        ),
    ]
}

fn metrics() -> Operation {
    let counters = ResponseBuilder::new().description("The counters").content("text/plain", text(COUNTERS));
    operation("show_metrics", "service", "What the process counted", "Prometheus text.")
        .response("200", counters.build())
        .build()
}

/// On one topic.
fn socket(id: &str, summary: &str, parameter: Option<Parameter>) -> Operation {
    live(id, summary, SOCKET, parameter)
        .parameter(since(
            "The cursor of the last frame that was applied, for a socket that speaks `pipecast.v1`: what is current begins without a snapshot",
        ))
        .parameter(profile())
        .parameter(ticket())
        .response("101", open_socket())
        .build()
}

/// On one topic.
fn stream(id: &str, summary: &str, parameter: Option<Parameter>) -> Operation {
    live(id, summary, STREAM, parameter)
        .parameter(since("The cursor of the last event that was applied, for whoever cannot send `Last-Event-ID`"))
        .parameter(last_event_id())
        .response("200", open_stream())
        .build()
}

fn open_socket() -> Response {
    ResponseBuilder::new().description("The socket is open").build()
}

fn open_stream() -> Response {
    let open = ResponseBuilder::new().description("The stream is open");
    open.content("text/event-stream", text(EVENTS)).build()
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
    let named = optional("topics", ParameterIn::Query, "With commas between: `monitor`, `pipeline:ID`, `execution:ID`");
    named.required(Required::True).schema(Some(Object::with_type(Type::String))).build()
}

fn since(description: &str) -> Parameter {
    let cursor = ObjectBuilder::new().schema_type(Type::String).examples(["01a1fd56-7"]);
    optional("since", ParameterIn::Query, description).schema(Some(cursor)).build()
}

fn last_event_id() -> Parameter {
    let cursor = ObjectBuilder::new().schema_type(Type::String).examples(["01a1fd56-7"]);
    let sent = optional(
        "Last-Event-ID",
        ParameterIn::Header,
        "The same, as a browser sends it by itself; it comes before `since`",
    );
    sent.schema(Some(cursor)).build()
}

fn profile() -> Parameter {
    let words = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["plain", "v1"]));
    let spoken = "How much of the protocol is spoken, for clients that cannot name a subprotocol: `plain` is states and nothing else";
    optional("profile", ParameterIn::Query, spoken).schema(Some(words)).build()
}

fn ticket() -> Parameter {
    let ticket = optional("ticket", ParameterIn::Query, "Opens this one socket; see `POST /api/ws-tickets`");
    ticket.schema(Some(Object::with_type(Type::String))).build()
}

fn optional(name: &str, place: ParameterIn, description: &str) -> ParameterBuilder {
    let parameter = ParameterBuilder::new().name(name).parameter_in(place).required(Required::False);
    parameter.description(Some(description))
}
