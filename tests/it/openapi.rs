//! The document and what shows it.

use std::collections::BTreeSet;

use crate::app::TestApp;
use crate::http::Request;

#[test]
fn the_document_changes_only_on_purpose() {
    insta::assert_snapshot!(pipecast::openapi::text());
}

#[test]
fn every_operation_has_a_name_of_its_own() {
    let document: serde_json::Value = serde_json::from_str(&pipecast::openapi::text()).unwrap();
    let mut ids = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path} has no name"));
            assert!(ids.insert(id.to_owned()), "{id} is there twice");
            assert!(operation["summary"].is_string(), "{id} does not say what it does");
        }
    }
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
}

#[test]
fn whatever_is_not_free_says_that_it_may_be_too_much_and_when_to_come_back() {
    let document: serde_json::Value = serde_json::from_str(&pipecast::openapi::text()).unwrap();
    let operations = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|item| item.as_object().unwrap().values());

    for operation in operations {
        let id = operation["operationId"].as_str().unwrap();
        let is_free = pipecast::openapi::limited::FREE.contains(&id);
        assert_eq!(operation["responses"]["429"]["headers"]["Retry-After"].is_object(), !is_free, "{id}");
    }
}

#[tokio::test]
async fn the_document_is_served_and_shown_without_foreign_help() {
    let app = TestApp::start().await;

    let served = app.send(Request::get("/api/openapi.json")).await;
    assert_eq!(String::from_utf8(served.body).unwrap(), pipecast::openapi::text());

    for path in ["/docs", "/docs/", "/redoc"] {
        let page = app.send(Request::get(path)).await;
        let text = String::from_utf8(page.body.clone()).unwrap();
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")), "{path}");
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{path}: {policy}");
        assert!(!text.contains("<script>"), "{path} has no script in it, which the policy would refuse");
        assert!(
            !text.contains("src=\"http") && !text.contains("href=\"http"),
            "{path} loads nothing from elsewhere"
        );
    }
    // Redoc's script is a part of the page's build; without it the page has everything all the same.
    let plain = String::from_utf8(app.send(Request::get("/redoc")).await.body).unwrap();
    let document: serde_json::Value = serde_json::from_str(&pipecast::openapi::text()).unwrap();
    for path in document["paths"].as_object().unwrap().keys() {
        assert!(plain.contains(&format!(" {path}</code>")), "{path}");
    }
    for asset in [
        "swagger-ui.css",
        "swagger-ui-bundle.js",
        "swagger-ui-standalone-preset.js",
        "swagger-initializer.js",
        "favicon-32x32.png",
    ] {
        let answer = app.send(Request::get(&format!("/docs/{asset}"))).await;
        assert_eq!(answer.status, 200, "{asset}");
        assert!(!answer.body.is_empty());
    }
    let initializer = app.send(Request::get("/docs/swagger-initializer.js")).await;
    assert!(String::from_utf8(initializer.body).unwrap().contains("/api/openapi.json"));
}
