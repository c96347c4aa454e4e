//! The answer of every operation that somebody may ask too often.
//! Knows nothing of how often that is.

use pipecast_http::problem::Body as ProblemBody;
use utoipa::ToSchema;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::{Content, Header, Object, OpenApi, Ref, RefOr, ResponseBuilder, Type};

/// Operations that are free, because probes and strangers have to be able to ask them.
pub const FREE: [&str; 4] = ["show_health", "show_liveness", "show_readiness", "show_service"];

/// Says of every other operation that it may be 429, and of every 429 when to come back.
pub(super) fn say_so(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        let PathItem {
            get, put, post, delete, patch, ..
        } = item;
        let operations = [get, put, post, delete, patch].into_iter().flatten();
        operations.filter(|operation| !is_free(operation)).for_each(limit);
    }
}

fn is_free(operation: &Operation) -> bool {
    operation.operation_id.as_deref().is_some_and(|id| FREE.contains(&id))
}

fn limit(operation: &mut Operation) {
    let refusal = operation.responses.responses.entry("429".to_owned()).or_insert_with(|| {
        let problem = Content::new(Some(Ref::from_schema_name(ProblemBody::name())));
        let refusal = ResponseBuilder::new().description("More than the caller may; see `Retry-After`");
        RefOr::T(refusal.content("application/json", problem).build())
    });
    if let RefOr::T(refusal) = refusal {
        let headers = [
            ("Retry-After", Type::Integer, "Seconds after which there is room again"),
            (
                "RateLimit-Policy",
                Type::String,
                "Which budget is used up: so many at once (`q`), whole again after `w` seconds. Only where it is a rate",
            ),
            (
                "RateLimit",
                Type::String,
                "What is left of it (`r`) for how many seconds (`t`). Only where it is a rate",
            ),
        ];
        for (name, kind, description) in headers {
            refusal.headers.insert(name.to_owned(), RefOr::T(header(kind, description)));
        }
    }
}

fn header(kind: Type, description: &str) -> Header {
    HeaderBuilder::new()
        .schema(Some(Object::with_type(kind)))
        .description(Some(description))
        .build()
}
