//! That no operation of the document passes over a parameter which it does not have.

use serde_json::{Value, json};

use super::{ask, furnish};
use crate::http::Request;

/// Operations that take whatever stands behind the `?`, and why.
const LENIENT: [(&str, &str); 6] = [
    ("/", "whoever opens it is shown the page"),
    ("/health", "a probe writes what it likes"),
    ("/health/live", "a probe writes what it likes"),
    ("/health/ready", "a probe writes what it likes"),
    ("/metrics", "a probe writes what it likes"),
    ("/webhooks", "a host sends to the address that it was given"),
];

#[tokio::test]
async fn a_parameter_that_an_operation_does_not_have_is_refused_and_nothing_is_done() {
    let house = furnish().await;
    let document: Value = serde_json::from_str(&pipecast::openapi::text()).unwrap();
    let before = house.app.count("SELECT count(*) FROM audit WHERE outcome = 'ok'").await;
    let mut wrong = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let is_lenient = LENIENT
            .iter()
            .any(|(lenient, _)| path == lenient || path.starts_with(&format!("{lenient}/")) && *lenient != "/");
        for (method, operation) in operations.as_object().unwrap().iter().filter(|_| !is_lenient) {
            let real: Vec<&str> = path.split('/').map(stand_in).collect();
            let content = operation["requestBody"]["content"].as_object();
            let request = match content.and_then(|content| content.iter().next()) {
                Some((kind, content)) => {
                    let example = &content["example"];
                    let body = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
                    Request::with_body(verb(method), &format!("{}?no_such=1", real.join("/")), &body).header("Content-Type", kind)
                }
                None => Request::new(verb(method), &format!("{}?no_such=1", real.join("/"))),
            };
            let answer = ask(&house, request.header("If-Match", "*")).await;
            // Where it is done after all there may be no body.
            let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            if (answer.status, &body["code"], &body["errors"][0]["pointer"]) != (400, &json!("invalid_query"), &json!("?no_such")) {
                wrong.push(format!("{method} {path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body)));
            }
        }
    }

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(
        house.app.count("SELECT count(*) FROM audit WHERE outcome = 'ok'").await,
        before,
        "nothing was changed"
    );
}

fn verb(method: &str) -> &'static str {
    match method {
        "get" => "GET",
        "put" => "PUT",
        "post" => "POST",
        "patch" => "PATCH",
        _ => "DELETE",
    }
}

/// What stands for a parameter of a path.
fn stand_in(part: &str) -> &str {
    match part {
        "{session_id}" | "{token_id}" | "{delivery_id}" => "00000000-0000-7000-8000-000000000000",
        "{dead_letter_id}" => "0-0",
        "{key}" => "log.filter",
        "{host}" => "github",
        parameter if parameter.starts_with('{') => "1",
        other => other,
    }
}
