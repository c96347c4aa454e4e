//! The document and what shows it.

use std::collections::{BTreeMap, BTreeSet};

use pipecast::roles::Role;

use crate::app::TestApp;
use crate::http::Request;
use crate::split::Deployment;

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

/// Two types under one name would be one schema, and one of them would be told wrong.
#[test]
fn no_two_shapes_have_one_name() {
    let document: serde_json::Value = serde_json::from_str(&pipecast::openapi::text()).unwrap();
    let told = document["components"]["schemas"].as_object().unwrap();
    let mut homes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for folder in ["src", "admin/src", "crates/http/src", "crates/model/src", "crates/auth/src", "crates/watch/src"] {
        for (path, text) in crate::shape::sources(folder) {
            for name in shapes(&text).into_iter().filter(|name| told.contains_key(name)) {
                homes.entry(name).or_default().push(path.display().to_string());
            }
        }
    }
    let twice: Vec<_> = homes.iter().filter(|(_, homes)| homes.len() > 1).collect();

    assert!(homes.len() > 80, "{}", homes.len());
    assert!(twice.is_empty(), "give one of them #[schema(as = …)]: {twice:?}");
}

/// The names of types in a source that derive a schema, as the document has them.
fn shapes(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if !(line.starts_with("#[derive(") && line.contains("ToSchema")) {
            continue;
        }
        let mut other = None;
        for line in lines.by_ref() {
            let renamed = line.strip_prefix("#[schema(as = ").and_then(|rest| rest.split([',', ')']).next());
            other = other.or(renamed);
            let mut words = line
                .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
                .filter(|word| !word.is_empty());
            if words.by_ref().any(|word| word == "struct" || word == "enum") {
                names.extend(other.or(words.next()).map(str::to_owned));
                break;
            }
        }
    }
    names
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

/// Every operation of the document, as `METHOD PATH`.
fn operations() -> BTreeSet<String> {
    let document: serde_json::Value = serde_json::from_str(&pipecast::openapi::text()).unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    let of = |(path, operations): (&String, &serde_json::Value)| {
        let methods = operations.as_object().unwrap().keys();
        methods.map(|method| format!("{} {path}", method.to_uppercase())).collect::<Vec<_>>()
    };
    paths.flat_map(of).collect()
}

#[tokio::test]
async fn the_list_of_endpoints_is_the_documents_and_is_sent_once() {
    let app = TestApp::start().await;

    // The address of the clients that there are.
    let answer = app.send(Request::get("/api/v1/settings/api-endpoints/")).await;

    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-cache")));
    let list = answer.json();
    let items = list["items"].as_array().unwrap();
    let listed = items
        .iter()
        .map(|item| format!("{} {}", item["method"].as_str().unwrap(), item["path"].as_str().unwrap()));
    assert_eq!(listed.collect::<BTreeSet<_>>(), operations());
    let of = |id: &str| items.iter().find(|item| item["operation_id"] == id).unwrap();
    for (id, service, access) in [
        ("find_status", "realtime", "reading"),
        ("receive_delivery", "realtime", "open"),
        ("list_users", "admin", "account"),
        ("list_endpoints", "admin", "reading"),
    ] {
        assert_eq!((of(id)["service"].as_str(), of(id)["access"].as_str()), (Some(service), Some(access)), "{id}");
    }
    let known = Request::get("/api/v1/settings/api-endpoints").header("If-None-Match", answer.header("etag").unwrap());
    assert_eq!(app.send(known).await.status, 304);
    let typo = app.send(Request::get("/api/v1/settings/api-endpoints?page=1")).await;
    assert_eq!(typo.problem(), "invalid_query");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_service_alone_serves_the_document_of_both() {
    let deployment = Deployment::lay().await;
    let admin = deployment.start("admin", Role::Admin).await;
    let edge = deployment.start("edge", Role::Realtime).await;

    for (service, address) in [("admin", admin.address), ("realtime", edge.address)] {
        let served = Request::get("/api/openapi.json").send(address).await;
        assert_eq!(String::from_utf8(served.body).unwrap(), pipecast::openapi::text(), "{service}");
        for (path, kind) in [
            ("/docs", "text/html; charset=utf-8"),
            ("/redoc/", "text/html; charset=utf-8"),
            ("/docs/swagger-ui.css", "text/css"),
        ] {
            let page = Request::get(path).send(address).await;
            assert_eq!((page.status, page.header("content-type")), (200, Some(kind)), "{service} {path}");
            assert_eq!(page.headers("content-security-policy").len(), 1, "{service} {path}");
        }
        let absent = Request::get("/redoc/no-such-file.js").send(address).await;
        assert_eq!(absent.problem(), "not_found", "{service}");
    }
    let list = Request::get("/api/v1/settings/api-endpoints/").send(admin.address).await;
    assert_eq!(list.json()["items"].as_array().unwrap().len(), operations().len());

    edge.stop().await.unwrap();
    admin.stop().await.unwrap();
}
