//! What every list and every thing of the admin keeps to, asked of each that the OpenAPI document has.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::app::github;
use crate::http::{Answer, Request};
use crate::people::{House, with};

mod furnished;
mod query;

use furnished::furnish;

/// A list: where it is, the members of an item by which it is known, its order in a parameter, and a filter with what all that it finds have in
/// common.
struct List {
    path: &'static str,
    key: &'static str,
    sort: Option<&'static str>,
    filter: Option<(&'static str, &'static str, Value)>,
}

/// A thing: where it is in the document, where one is, and a member that a patch may have.
struct Thing {
    path: &'static str,
    one: String,
    patch: Option<&'static str>,
}

fn lists() -> Vec<List> {
    let list = |path, key, sort, filter| List { path, key, sort, filter };
    let id = Some("id");
    vec![
        list(
            "/admin/v1/audit",
            "seq",
            Some("seq"),
            Some(("action=user.create", "action", json!("user.create"))),
        ),
        // The queue has them in the order in which they were buried, and in no other.
        list("/admin/v1/dead-letters", "id", None, None),
        list(
            "/admin/v1/deliveries",
            "id",
            Some("received_at"),
            Some(("event=workflow_run", "event", json!("workflow_run"))),
        ),
        list("/admin/v1/notification-targets", "id", id, Some(("kind=email", "kind", json!("email")))),
        list("/admin/v1/pipelines", "id", id, Some(("project_id=2", "project_id", json!(2)))),
        list(
            "/admin/v1/pipelines",
            "id",
            Some("name"),
            Some(("visibility=private", "visibility", json!("private"))),
        ),
        list("/admin/v1/projects", "id", id, Some(("archived=false", "archived", json!(false)))),
        list("/admin/v1/projects", "id", Some("name"), None),
        list(
            "/admin/v1/projects/{project_id}/members",
            "user_id",
            Some("user_id"),
            Some(("role=viewer", "role", json!("viewer"))),
        ),
        list(
            "/admin/v1/retention-policies",
            "project_id",
            Some("project_id"),
            Some(("project_id=2", "project_id", json!(2))),
        ),
        list("/admin/v1/sessions", "id", Some("created_at"), Some(("current=true", "current", json!(true)))),
        list(
            "/admin/v1/settings",
            "key",
            Some("key"),
            Some(("q=retention.bodies_size", "key", json!("retention.bodies_size"))),
        ),
        list("/admin/v1/sources", "id", id, Some(("host=gitlab", "host", json!("gitlab")))),
        list("/admin/v1/sources", "id", Some("name"), None),
        list("/admin/v1/tokens", "id", id, Some(("project_id=2", "project_id", json!(2)))),
        list("/admin/v1/users", "id", id, Some(("disabled=true", "disabled", json!(true)))),
    ]
}

/// Lists that are no pages, and why.
const SHORT: [(&str, &str); 1] = [("/admin/v1/deliveries/silent-sources", "an alarm: the 200 longest silent, all at once")];

fn in_project(path: &str) -> String {
    path.replace("{project_id}", "1")
}

/// The answers of the house to its admin.
async fn ask(house: &House, request: Request) -> Answer {
    house.app.send(with(request, &house.admin)).await
}

/// The page at this path, which must be there.
async fn page(house: &House, path: &str) -> Value {
    let answer = ask(house, Request::get(path)).await;
    assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
    answer.json()
}

/// What all pages of a list hold together, and how many pages there were.
async fn walk(house: &House, path: &str, query: &str, limit: usize) -> (Vec<Value>, usize) {
    let (mut items, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let found = page(house, &format!("{path}?limit={limit}{query}{cursor}")).await;
        let part = found["items"].as_array().unwrap();
        assert!(part.len() <= limit, "{path}: {} of {limit}", part.len());
        items.extend(part.iter().cloned());
        pages += 1;
        let Some(next) = found["next_cursor"].as_str() else { return (items, pages) };
        assert!(pages < 1_000 && part.len() == limit, "{path}: a short page says that more follows");
        cursor = format!("&cursor={next}");
    }
}

fn keys(items: &[Value], key: &str) -> Vec<String> {
    items.iter().map(|item| item[key].to_string()).collect()
}

/// That a query is refused, and by which parameter.
async fn refuses(house: &House, path: &str, query: &str, parameter: &str, wrong: &mut Vec<String>) {
    let answer = ask(house, Request::get(&format!("{path}?{query}"))).await;
    let pointer = || answer.json()["errors"][0]["pointer"].as_str().map(str::to_owned);
    if answer.status != 400 || pointer().as_deref() != Some(&format!("?{parameter}")) {
        wrong.push(format!("{path}?{query}: {} {}", answer.status, String::from_utf8_lossy(&answer.body)));
    }
}

/// The paths of the document under `/admin/v1` that a GET reads as JSON, with the schema of the answer.
fn readings() -> Vec<(String, Value, Value)> {
    let document: Value = serde_json::from_str(&pipecast::openapi::text()).unwrap();
    let schema_of = |operation: &Value| -> Option<Value> {
        let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        let name = schema["$ref"].as_str().map(|name| name.rsplit('/').next().unwrap().to_owned());
        match name {
            Some(name) => Some(document["components"]["schemas"][name].clone()),
            None => schema.is_object().then(|| schema.clone()),
        }
    };
    let paths = document["paths"].as_object().unwrap().iter().filter(|(path, _)| path.starts_with("/admin/v1"));
    paths
        .filter_map(|(path, operations)| Some((path.clone(), operations.clone(), schema_of(&operations["get"])?)))
        .collect()
}

#[tokio::test]
async fn every_list_has_pages_an_order_filters_and_sparse_items_and_names_what_is_wrong() {
    let house = furnish().await;
    let lists = lists();
    let known: BTreeSet<&str> = lists.iter().map(|list| list.path).collect();
    let short: BTreeSet<&str> = SHORT.iter().map(|(path, _)| *path).collect();
    let mut wrong = Vec::new();
    for (path, _, schema) in readings() {
        let is_list = schema["properties"]["items"].is_object();
        if is_list && !known.contains(path.as_str()) && !short.contains(path.as_str()) {
            wrong.push(format!("{path} is a list without a row"));
        }
    }

    for list in &lists {
        let path = in_project(list.path);
        refuses(&house, &path, "no_such=1", "no_such", &mut wrong).await;
        for limit in ["limit=0", "limit=201", "limit=many"] {
            refuses(&house, &path, limit, "limit", &mut wrong).await;
        }
        refuses(&house, &path, "cursor=nonsense!", "cursor", &mut wrong).await;
        refuses(&house, &path, "fields=no_such", "fields", &mut wrong).await;
        let found = page(&house, &format!("{path}?limit=200&fields={}", list.key)).await;
        let members: BTreeSet<&String> = found["items"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|item| item.as_object().unwrap().keys())
            .collect();
        if members != BTreeSet::from([&list.key.to_owned()]) {
            wrong.push(format!("{path}: fields={} has {members:?}", list.key));
        }
        wrong.extend(order(&house, list, &path).await);
        if let Some((query, member, value)) = &list.filter {
            let (found, _) = walk(&house, &path, &format!("&{query}"), 100).await;
            if found.is_empty() || found.iter().any(|item| item[member] != *value) {
                wrong.push(format!("{path}?{query} finds {found:?}"));
            }
        }
    }

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Walks a list in both directions, at least three pages each: no row is missing or there twice, and one is the other reversed.
async fn order(house: &House, list: &List, path: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let sorts = list
        .sort
        .map_or(vec![String::new()], |word| vec![format!("&sort={word}"), format!("&sort=-{word}")]);
    let mut ways = Vec::new();
    for sort in &sorts {
        // What this test does itself is written into the audit, and not while it reads.
        let (all, _) = walk(house, path, sort, 200).await;
        let (items, pages) = walk(house, path, sort, 2).await;
        let (walked, whole) = (keys(&items, list.key), keys(&all, list.key));
        let unique: BTreeSet<&String> = walked.iter().collect();
        if pages < 3 || walked != whole || unique.len() != walked.len() {
            wrong.push(format!("{path} {sort}: {pages} pages, {walked:?} for {whole:?}"));
        }
        ways.push(items);
    }
    if let ([up, down], Some(word)) = (&ways[..], list.sort) {
        let reversed: Vec<String> = keys(down, list.key).into_iter().rev().collect();
        if keys(up, list.key) != reversed {
            wrong.push(format!("{path}: -{word} is not {word} the other way round"));
        }
        refuses(house, path, "sort=sideways", "sort", &mut wrong).await;
    }
    wrong
}

#[tokio::test]
async fn every_thing_has_a_version_that_readings_and_changes_go_by() {
    let house = furnish().await;
    let things = things(&house).await;
    let known: BTreeSet<&str> = things.iter().map(|thing| thing.path).collect();
    let mut wrong = Vec::new();
    for (path, operations, _) in readings().into_iter().filter(|(path, _, _)| path.ends_with('}')) {
        match things.iter().find(|thing| thing.path == path) {
            None => wrong.push(format!("{path} is a thing without a row")),
            Some(thing) if thing.patch.is_some() != operations["patch"].is_object() => wrong.push(format!("{path}: its row has the wrong patch")),
            Some(_) => {}
        }
    }
    assert!(known.len() == things.len());
    for thing in &things {
        wrong.extend(reading(&house, thing).await);
        if let Some(member) = thing.patch {
            wrong.extend(changing(&house, thing, member).await);
        }
    }

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// That a thing is not sent to whoever has it.
async fn reading(house: &House, thing: &Thing) -> Vec<String> {
    let mut wrong = Vec::new();
    let found = ask(house, Request::get(&thing.one)).await;
    let Some(tag) = found.header("etag").filter(|_| found.status == 200) else {
        return vec![format!("{}: {} {}", thing.one, found.status, String::from_utf8_lossy(&found.body))];
    };
    let again = ask(house, Request::get(&thing.one).header("If-None-Match", tag)).await;
    if (again.status, again.body.len(), again.header("etag")) != (304, 0, Some(tag)) {
        wrong.push(format!("{}: {} for whoever has it", thing.one, again.status));
    }
    let other = ask(house, Request::get(&thing.one).header("If-None-Match", "\"v999\"")).await;
    if (other.status, &other.body) != (200, &found.body) {
        wrong.push(format!("{}: {} for whoever has another", thing.one, other.status));
    }
    refuses(house, &thing.one, "no_such=1", "no_such", &mut wrong).await;
    wrong
}

/// That a thing is changed only by whoever knows how it is, with what it has, in a patch.
async fn changing(house: &House, thing: &Thing, member: &str) -> Vec<String> {
    let tag = ask(house, Request::get(&thing.one)).await.header("etag").unwrap().to_owned();
    let patch = |body: &Value, kind: &str, tag: Option<&str>| {
        let request = Request::with_body("PATCH", &thing.one, &body.to_string()).header("Content-Type", kind);
        let request = tag.map_or_else(|| request.clone(), |tag| request.clone().header("If-Match", tag));
        ask(house, request)
    };
    const MERGE: &str = "application/merge-patch+json";
    let unknown = json!({"no_such": 1});
    let mut wrong = Vec::new();
    let mut check = |what: &str, answer: Answer, status: u16, pointer: Option<&str>| {
        let body = answer.json();
        if answer.status != status || body["code"].is_null() || pointer.is_some_and(|pointer| body["errors"][0]["pointer"] != pointer) {
            wrong.push(format!("{} {what}: {} {body}", thing.one, answer.status));
        }
    };
    check("without If-Match", patch(&json!({}), MERGE, None).await, 428, None);
    check("as another type", patch(&json!({}), "text/plain", Some(&tag)).await, 415, None);
    check("with an unknown field", patch(&unknown, MERGE, Some(&tag)).await, 422, Some("#/no_such"));
    check("as a list", patch(&json!([]), MERGE, Some(&tag)).await, 422, None);
    let null = patch(&json!({ member: [] }), MERGE, Some(&tag)).await;
    check("with a list for a member", null, 422, Some(&format!("#/{member}")));
    // An ETag that was, and is not any more.
    let same = ask(house, Request::get(&thing.one)).await.json()[member].clone();
    let changed = patch(&json!({ member: same }), MERGE, Some(&tag)).await;
    if changed.status != 200 {
        wrong.push(format!("{}: {} {}", thing.one, changed.status, String::from_utf8_lossy(&changed.body)));
        return wrong;
    }
    let mut check = |what: &str, answer: Answer, status: u16| {
        if answer.status != status {
            wrong.push(format!("{} {what}: {}", thing.one, answer.status));
        }
    };
    let stale = patch(&json!({}), MERGE, Some("\"v999\"")).await;
    if stale.header("etag").is_none() {
        check("stale without the ETag that is there", stale, 0);
    } else {
        check("with an ETag that never was", stale, 412);
    }
    if !thing.one.contains("/settings/") {
        check("with the ETag before", patch(&json!({}), MERGE, Some(&tag)).await, 412);
    }
    wrong
}

/// One of each thing that the document has.
async fn things(house: &House) -> Vec<Thing> {
    let first = async |path: &str, key: &str| page(house, &format!("{path}?limit=1")).await["items"][0][key].clone();
    let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let thing = |path, one: String, patch| Thing { path, one, patch };
    let listed = async |path: &'static str, list: &str, key: &str, patch| thing(path, format!("{list}/{}", text(first(list, key).await)), patch);
    let source = house
        .done(crate::accounts::post("/admin/v1/sources", &json!({"host": "github", "name": "one"})))
        .await;
    vec![
        listed("/admin/v1/audit/{seq}", "/admin/v1/audit", "seq", None).await,
        listed("/admin/v1/dead-letters/{dead_letter_id}", "/admin/v1/dead-letters", "id", None).await,
        listed("/admin/v1/deliveries/{delivery_id}", "/admin/v1/deliveries", "id", None).await,
        listed(
            "/admin/v1/notification-targets/{target_id}",
            "/admin/v1/notification-targets",
            "id",
            Some("name"),
        )
        .await,
        listed("/admin/v1/pipelines/{pipeline_id}", "/admin/v1/pipelines", "id", Some("archived")).await,
        listed("/admin/v1/projects/{project_id}", "/admin/v1/projects", "id", Some("archived")).await,
        listed(
            "/admin/v1/projects/{project_id}/members/{user_id}",
            "/admin/v1/projects/1/members",
            "user_id",
            Some("role"),
        )
        .await,
        listed(
            "/admin/v1/retention-policies/{project_id}",
            "/admin/v1/retention-policies",
            "project_id",
            Some("bodies"),
        )
        .await,
        listed("/admin/v1/settings/{key}", "/admin/v1/settings", "key", Some("value")).await,
        thing("/admin/v1/sources/{source_id}", format!("/admin/v1/sources/{}", source["id"]), Some("name")),
        listed("/admin/v1/tokens/{token_id}", "/admin/v1/tokens", "id", Some("name")).await,
        listed("/admin/v1/users/{user_id}", "/admin/v1/users", "id", Some("display_name")).await,
    ]
}

/// A delivery that is refused by nobody.
pub fn ping(number: usize) -> Request {
    github("ping", json!({ "zen": number }).to_string())
}
