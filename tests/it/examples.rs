//! The examples of the document: each is there, is what its schema says, and is what the service takes and answers.

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::app::TestApp;
use crate::http::Request;
use crate::people::{House, with};

/// The document, and what its schemas say of a value.
struct Document(Value);

/// One operation of it.
struct Operation<'a> {
    method: &'a str,
    path: &'a str,
    told: &'a Value,
}

impl Document {
    fn read() -> Document {
        Document(serde_json::from_str(&pipecast::openapi::text()).unwrap())
    }

    fn operations(&self) -> Vec<Operation<'_>> {
        let of = |(path, operations)| members(operations).map(move |(method, told)| Operation { method, path, told });
        members(&self.0["paths"]).flat_map(of).collect()
    }

    /// What a value breaks of a schema of the document.
    fn faults(&self, schema: &Value, value: &Value) -> Vec<String> {
        let whole = json!({"components": self.0["components"], "allOf": [schema]});
        let options = jsonschema::options().should_validate_formats(true);
        let validator: Validator = options.build(&whole).unwrap_or_else(|error| panic!("{error} in {schema}"));
        validator
            .iter_errors(value)
            .map(|error| format!("{error} at {}", error.instance_path()))
            .collect()
    }
}

impl Operation<'_> {
    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Every body of it: where it stands, of which type it is, and what is said of it.
    fn bodies(&self) -> Vec<(String, &str, &Value)> {
        let answers = members(&self.told["responses"]).map(|(status, told)| (status.to_owned(), told));
        let all = answers.chain([("its body".to_owned(), &self.told["requestBody"])]);
        all.flat_map(|(place, told)| members(&told["content"]).map(move |(kind, content)| (place.clone(), kind, content)))
            .collect()
    }

    /// A path with something in the place of each parameter.
    fn address(&self, ids: &Map<String, Value>) -> String {
        let parameters = self.told["parameters"].as_array().into_iter().flatten();
        let in_path = parameters.filter(|parameter| parameter["in"] == "path");
        in_path.fold(self.path.to_owned(), |path, parameter| {
            let name = parameter["name"].as_str().unwrap();
            let id = ids.get(name).map_or("1".to_owned(), |id| id.as_str().map_or(id.to_string(), str::to_owned));
            path.replace(&format!("{{{name}}}"), &id)
        })
    }

    fn request(&self, address: &str, body: Option<(&str, &Value)>) -> Request {
        let method = ["GET", "PUT", "POST", "PATCH", "DELETE"]
            .into_iter()
            .find(|method| method.eq_ignore_ascii_case(self.method))
            .unwrap();
        let request = match body {
            Some((kind, value)) => {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                Request::with_body(method, address, &text).header("Content-Type", kind)
            }
            None => Request::new(method, address),
        };
        request.header("If-Match", "\"v999\"")
    }
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

/// Every text inside a value, with its place.
fn texts(value: &Value, place: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => found.push((place.to_owned(), text.clone())),
        Value::Array(items) => items.iter().for_each(|item| texts(item, place, found)),
        Value::Object(_) => members(value).for_each(|(name, value)| texts(value, &format!("{place}/{name}"), found)),
        _ => {}
    }
}

#[test]
fn every_body_has_an_example_that_its_schema_allows() {
    let document = Document::read();
    let mut wrong = Vec::new();
    let mut looked_at = 0;

    for operation in document.operations() {
        let name = operation.name();
        for (place, kind, content) in operation.bodies() {
            let Some(example) = content.get("example") else {
                wrong.push(format!("{name}: {place}, {kind} has no example"));
                continue;
            };
            looked_at += 1;
            // Lines of JSON are one text, and each line is what the schema says.
            let values: Vec<Value> = match (kind, example.as_str()) {
                ("application/x-ndjson", Some(lines)) if content["schema"]["type"] != "string" => {
                    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
                }
                _ => vec![example.clone()],
            };
            for value in values {
                let faults = document.faults(&content["schema"], &value);
                wrong.extend(faults.into_iter().map(|fault| format!("{name}: {place}, {kind}: {fault}")));
            }
            let mut found = Vec::new();
            texts(example, "", &mut found);
            for (at, _) in found.iter().filter(|(_, text)| text == "…") {
                wrong.push(format!(
                    "{name}: {place}{at} says nothing; give the field #[schema(example = …)], or its name a word in src/openapi/vocabulary.rs"
                ));
            }
        }
        let success = members(&operation.told["responses"]).find(|(status, _)| status.starts_with(['1', '2']));
        let (status, told) = success.unwrap_or_else(|| panic!("{name} does not say how it succeeds"));
        let has_body = told.get("content").is_some();
        if !has_body && !["101", "204"].contains(&status) {
            wrong.push(format!("{name}: {status} has no body and so no example"));
        }
    }

    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(looked_at > 500, "{looked_at}");
}

/// What stands for parameters of paths, so that there is something behind each.
async fn ids(house: &House) -> Map<String, Value> {
    let send = async |request: Request| house.done(request).await;
    let (token, _) = house.token("some", &["pipelines:read"]).await;
    let post = |path: &str, body: Value| crate::accounts::post(path, &body);
    let source = send(post("/admin/v1/sources", json!({"name": "acme on GitHub", "host": "github"}))).await;
    send(post("/admin/v1/users", json!({"name": "bob"}))).await;
    let target = json!({"name": "nightly", "kind": "webhook", "url": "https://example.org/hook"});
    drop(house.app.send(with(post("/admin/v1/notification-targets", target), &house.admin)).await);
    let policy = json!({"project_id": 1, "bodies": "3d"});
    drop(house.app.send(with(post("/admin/v1/retention-policies", policy), &house.admin)).await);
    let delivery = send(Request::get("/admin/v1/deliveries?limit=1")).await;
    let ids = json!({
        "token_id": token,
        "source_id": source["id"],
        "user_id": 2,
        "session_id": "00000000-0000-7000-8000-000000000000",
        "delivery_id": delivery["items"][0]["id"],
        "dead_letter_id": "0-0",
        "key": "retention.bodies",
        "host": "github",
        "source_key": "default",
    });
    ids.as_object().unwrap().clone()
}

#[tokio::test]
async fn the_service_understands_the_examples_of_what_it_takes() {
    let document = Document::read();
    let house = House::start(|_| {}).await;
    let ids = ids(&house).await;
    let mut wrong = Vec::new();

    for operation in document.operations() {
        for (_, kind, content) in operation.bodies().into_iter().filter(|(place, ..)| place == "its body") {
            if operation.path.starts_with("/webhooks/") {
                continue;
            }
            let request = operation.request(&operation.address(&ids), Some((kind, &content["example"])));
            let answer = house.app.send(with(request, &house.admin)).await;
            let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let codes = body["errors"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|fault| fault["code"].as_str().unwrap_or_default());
            let is_strange = codes.into_iter().any(|code| ["unknown", "missing", "invalid"].contains(&code));
            if [400, 415].contains(&answer.status) || answer.status >= 500 || is_strange {
                wrong.push(format!("{}: {} {body}\n  for {}", operation.name(), answer.status, content["example"]));
            }
        }
    }

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn what_is_answered_is_what_the_document_says() {
    let document = Document::read();
    let house = House::start(|_| {}).await;
    let ids = ids(&house).await;
    let mut wrong = Vec::new();

    for operation in document.operations() {
        let is_endless = operation.path.starts_with("/sse");
        if operation.method != "get" || is_endless {
            continue;
        }
        for admin in [Some(&house.admin), None] {
            let request = operation.request(&operation.address(&ids), None);
            let request = match admin {
                Some(admin) => with(request, admin),
                None => request.header("Host", "ci.example.org"),
            };
            let answer = house.app.send(request).await;
            let name = format!("{} answers {}", operation.name(), answer.status);
            let told = &operation.told["responses"][answer.status.to_string()];
            if told.is_null() {
                wrong.push(format!("{name}, which the document does not know"));
                continue;
            }
            let Some(kind) = answer.header("content-type") else { continue };
            let kind = kind.split(';').next().unwrap();
            let Some(content) = told["content"].get(kind) else {
                wrong.push(format!("{name} with {kind}, and the document says {}", told["content"]));
                continue;
            };
            if ["application/json", "application/problem+json"].contains(&kind) {
                let faults = document.faults(&content["schema"], &answer.json());
                wrong.extend(faults.into_iter().map(|fault| format!("{name}: {fault}")));
            }
        }
    }

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn what_strangers_are_answered_is_what_the_document_says_of_accounts() {
    let document = Document::read();
    let app = TestApp::start().await;
    let mut wrong = Vec::new();

    for operation in document.operations() {
        let body = operation.bodies().into_iter().find(|(place, ..)| place == "its body");
        let body = body.map(|(_, kind, content)| (kind, &content["example"]));
        let request = operation.request(&operation.address(&Map::new()), body).header("Host", "ci.example.org");
        let answer = request.send_for_head(app.address).await;
        let told = operation.told["security"].as_array();
        let takes_nothing = told.is_none();
        let may_be_open = told.is_some_and(|any| any.contains(&json!({})));
        let is_as_told = match (takes_nothing, may_be_open) {
            (true, _) => answer.status != 403,
            (false, true) => answer.status == 403,
            (false, false) => answer.status == 401,
        };
        if !is_as_told {
            wrong.push(format!(
                "{}: {} for a stranger, and the document says {told:?}",
                operation.name(),
                answer.status
            ));
        }
    }

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
