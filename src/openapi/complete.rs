//! What operations have in common and no handler says: who may call them, the problems that any request can meet, and examples.
//! Knows nothing of single operations.

use pipecast_http::Code;
use pipecast_http::problem::Body as ProblemBody;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Response, ResponseBuilder};

use super::confirmed;
use super::examples::Examples;
use super::locks::Lock;

const PROBLEM: &str = "application/problem+json";

/// What a status means where the handler does not say more.
const MEANINGS: [(u16, &str); 22] = [
    (200, "As asked"),
    (201, "Made"),
    (202, "Taken, and done soon"),
    (204, "Done"),
    (207, "Each has an outcome of its own"),
    (304, "Nothing has changed"),
    (400, "The path, the query or the body cannot be understood"),
    (401, "Nothing that is good was shown"),
    (403, "Known, or open to nobody unknown, and not allowed"),
    (404, "There is no such thing, or none that the caller may see"),
    (408, "The body did not arrive in time"),
    (409, "It contradicts what is there"),
    (412, "It has changed since it was read"),
    (413, "The body is too large"),
    (414, "Path and query are too long"),
    (415, "The body is of another type, or compressed"),
    (416, "There is no such part"),
    (422, "Something in the body cannot be; `errors` says what"),
    (428, "`If-Match` is missing"),
    (429, "Too many requests; `Retry-After` says when to come back"),
    (431, "The headers are too large"),
    (503, "Not at the moment; `Retry-After` says when to come back"),
];

/// Adds it to every operation. A handler's own words stay.
pub(super) fn complete(document: &mut OpenApi) {
    Lock::describe(document);
    let examples = Examples::of(document);
    for (path, item) in &mut document.paths.paths {
        let PathItem {
            get, put, post, delete, patch, ..
        } = item;
        for operation in [get, put, post, delete, patch].into_iter().flatten() {
            let id = operation.operation_id.clone().unwrap_or_default();
            let lock = Lock::of(path, &id);
            if lock != Lock::Open {
                operation.security = Some(lock.requirements());
            }
            add_common_problems(operation, lock);
            confirmed::say_so(operation, &id);
            operation.responses.responses.iter_mut().for_each(|(status, response)| {
                if let (Ok(status), RefOr::T(response)) = (status.parse(), response) {
                    finish(response, status, path, &examples);
                }
            });
            if let Some(RefOr::T(body)) = &mut operation.request_body {
                body.content.iter_mut().for_each(|(kind, content)| examples.add(kind, content));
            }
        }
    }
}

/// Problems that a request meets before its handler, or whatever its handler is. Deliveries are read in a way of their own.
fn add_common_problems(operation: &mut Operation, lock: Lock) {
    let is_about_itself = operation.tags.iter().flatten().any(|tag| tag == "service");
    let has_input = operation.request_body.is_some() && !operation.tags.iter().flatten().any(|tag| tag == "webhooks");
    let common = [
        (true, &[414, 431][..]),
        (!is_about_itself, &[400, 503]),
        (lock != Lock::Open, &[401, 403, 503]),
        (has_input, &[400, 408, 413, 415, 422]),
    ];
    for status in common.into_iter().filter_map(|(meets, statuses)| meets.then_some(statuses)).flatten() {
        let problem = || {
            let body = Content::new(Some(Ref::from_schema_name(ProblemBody::name())));
            RefOr::T(ResponseBuilder::new().content(PROBLEM, body).build())
        };
        operation.responses.responses.entry(status.to_string()).or_insert_with(problem);
    }
}

/// Says what the status means, of which type a problem is, and shows one.
fn finish(response: &mut Response, status: u16, path: &str, examples: &Examples) {
    if response.description.is_empty() {
        let meaning = MEANINGS.iter().find(|(known, _)| *known == status);
        response.description = meaning.map_or_else(String::new, |(_, meaning)| (*meaning).to_owned());
    }
    let contents = std::mem::take(&mut response.content);
    for (kind, mut content) in contents {
        let kind = if is_problem(&content) { PROBLEM.to_owned() } else { kind };
        match (&mut content, kind == PROBLEM) {
            (RefOr::T(content), true) => content.example = problem(status, path),
            (content, _) => examples.add(&kind, content),
        }
        response.content.insert(kind, content);
    }
}

fn is_problem(content: &RefOr<Content>) -> bool {
    let RefOr::T(Content {
        schema: Some(RefOr::Ref(to)), ..
    }) = content
    else {
        return false;
    };
    to.ref_location == Ref::from_schema_name(ProblemBody::name()).ref_location
}

/// The problem that is met most with this status.
fn problem(status: u16, path: &str) -> Option<Value> {
    let code = match status {
        401 if path.starts_with("/webhooks/") => Code::SignatureRefused,
        401 => Code::TokenRefused,
        503 if path.starts_with("/webhooks/") => Code::NotDurable,
        503 => Code::Unavailable,
        403 => Code::Forbidden,
        status => *Code::ALL.iter().find(|code| code.status() == status)?,
    };
    let mut problem = json!({
        "type": format!("urn:pipecast:problem:{}", code.word()),
        "title": code.title(),
        "status": status,
        "code": code.word(),
        "request_id": "01a1fd56-ca96-73b8-b019-b74ae4462356",
    });
    if code == Code::Invalid {
        problem["errors"] = json!([{"pointer": "#/name", "code": "missing", "detail": "it has to be there"}]);
    }
    Some(problem)
}
