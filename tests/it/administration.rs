//! Users, members and tokens as an admin has them: made, changed by the version that was read, taken away and brought back.

use pipecast_auth::totp;
use serde_json::{Value, json};

use crate::accounts::{log_in, post, sign_in};
use crate::app::{ADMIN, PASSWORD};
use crate::http::{Answer, Request};
use crate::people::{House, expect, with};

const USERS: &str = "/admin/v1/users";

fn patch(path: &str, body: &Value, version: &str) -> Request {
    Request::with_body("PATCH", path, &body.to_string())
        .header("Content-Type", "application/merge-patch+json")
        .header("If-Match", version)
}

fn faults(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    let text = |fault: &Value| format!("{} {}", fault["pointer"].as_str().unwrap(), fault["code"].as_str().unwrap());
    body["errors"].as_array().unwrap().iter().map(text).collect()
}

#[tokio::test]
async fn an_account_is_changed_by_the_version_that_was_read() {
    let house = House::start(|_| {}).await;
    let send = async |request: Request| house.app.send(with(request, &house.admin)).await;

    let made = send(post(USERS, &json!({"name": "bob", "email": "bob@example.org", "role": "viewer"}))).await;
    expect(&made, 201);
    let (path, version) = (made.header("location").unwrap().to_owned(), made.header("etag").unwrap().to_owned());
    assert_eq!(version, "\"v1\"");
    let shown = send(Request::get(&path)).await.header("etag").unwrap().to_owned();
    expect(&send(Request::get(&path).header("If-None-Match", &shown)).await, 304);
    let without = Request::with_body("PATCH", &path, "{}").header("Content-Type", "application/merge-patch+json");
    assert_eq!(send(without).await.problem(), "precondition_required");

    let changed = send(patch(&path, &json!({"email": null, "display_name": "Bob"}), &version)).await;
    expect(&changed, 200);
    let body = changed.json();
    assert_eq!(
        (&body["email"], body["display_name"].as_str(), body["role"].as_str()),
        (&Value::Null, Some("Bob"), Some("viewer"))
    );
    let stale = send(patch(&path, &json!({"role": null}), &version)).await;
    assert_eq!((stale.problem().as_str(), stale.header("etag")), ("stale", Some("\"v2\"")));

    expect(&send(Request::new("DELETE", &path).header("If-Match", "\"v2\"")).await, 204);
    assert_eq!(send(patch(&path, &json!({}), "*")).await.problem(), "not_found");
    let deleted = send(Request::get(&format!("{USERS}?deleted=only&fields=name"))).await.json();
    assert_eq!(deleted["items"], json!([{"name": "bob"}]));
    expect(&send(Request::new("POST", &format!("{path}/restore"))).await, 200);
    assert_eq!(send(Request::new("POST", &format!("{path}/restore"))).await.problem(), "conflict");
    assert_eq!(send(Request::get(&path)).await.json()["deleted_at"], Value::Null);
}

#[tokio::test]
async fn mistakes_are_named_all_at_once_and_by_their_place() {
    let house = House::start(|_| {}).await;
    let send = async |body: Value| house.app.send(with(post(USERS, &body), &house.admin)).await;

    let wrong = send(json!({"name": " ", "email": "nowhere"})).await;
    assert_eq!((wrong.problem().as_str(), wrong.status), ("invalid", 422));
    assert_eq!(faults(&wrong), ["#/name empty", "#/email no_address"]);
    assert_eq!(faults(&send(json!({"name": "x", "nickname": "y"})).await), ["#/nickname unknown"]);
    assert_eq!(faults(&send(json!({})).await), ["#/name missing"]);
    assert_eq!(faults(&send(json!({"name": "bob", "password": "short"})).await), ["#/password weak"]);
    let taken = send(json!({"name": "ADA"})).await;
    assert_eq!((taken.status, faults(&taken)), (409, vec!["#/name taken".to_owned()]));
    let typo = house.app.send(with(Request::get(&format!("{USERS}?nam=x")), &house.admin)).await;
    assert_eq!(typo.problem(), "invalid_query");
    let list = house.app.send(with(post(USERS, &json!([])), &house.admin)).await;
    assert_eq!(list.problem(), "invalid");
}

#[tokio::test]
async fn there_is_always_an_admin_left() {
    let house = House::start(|_| {}).await;
    let send = async |request: Request| house.app.send(with(request, &house.admin)).await;

    for change in [json!({"role": "viewer"}), json!({"disabled": true})] {
        assert_eq!(send(patch(&format!("{USERS}/1"), &change, "*")).await.problem(), "conflict");
    }
    assert_eq!(
        send(Request::new("DELETE", &format!("{USERS}/1")).header("If-Match", "*")).await.problem(),
        "conflict"
    );

    // One more who is an admin and has no way in.
    house.done(post(USERS, &json!({"name": "ghost", "role": "admin"}))).await;
    assert_eq!(send(patch(&format!("{USERS}/1"), &json!({"disabled": true}), "*")).await.problem(), "conflict");
    house.app.alter("UPDATE users SET role = NULL WHERE name = 'ghost'").await;

    // Two who take each other's place at once.
    let (second, other) = house.person("eve", Some("admin")).await;
    let one = house
        .app
        .send(with(patch(&format!("{USERS}/{second}"), &json!({"role": null}), "*"), &house.admin));
    let two = house.app.send(with(patch(&format!("{USERS}/1"), &json!({"role": null}), "*"), &other));
    let (one, two) = futures_util::future::join(one, two).await;
    assert!(one.status != 200 || two.status != 200, "{} {}", one.status, two.status);
    assert_eq!(house.app.count("SELECT count(*) FROM users WHERE role = 'admin'").await, 1);
}

#[tokio::test]
async fn a_page_goes_on_where_the_one_before_ended() {
    let house = House::start(|_| {}).await;
    for number in 0..5 {
        house.done(post(USERS, &json!({"name": format!("user{number}")}))).await;
    }
    let mut names = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = house.done(Request::get(&format!("{USERS}?sort=-id&limit=2&q=user&fields=name{cursor}"))).await;
        names.extend(page["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(names, ["user4", "user3", "user2", "user1", "user0"]);
}

#[tokio::test]
async fn a_token_of_a_program_is_shown_once_and_replaced_with_an_overlap() {
    let house = House::start(|_| {}).await;
    let issued = house
        .done(post("/admin/v1/tokens", &json!({"name": "ci", "scopes": ["pipelines:read"], "project_id": 1})))
        .await;
    let (id, token) = (issued["id"].as_str().unwrap(), issued["token"].as_str().unwrap());
    let shown = house.done(Request::get(&format!("/admin/v1/tokens/{id}"))).await;
    assert_eq!((shown["prefix"].as_str(), &shown["token"]), (token.split('_').nth(1), &Value::Null));
    assert_eq!(
        house
            .app
            .count("SELECT count(*) FROM api_tokens WHERE length(hash) = 32 AND hash <> prefix")
            .await,
        1
    );
    let reads = async |token: &str, id: i64| {
        let reading = Request::get(&format!("/api/v1/pipelines/{id}")).header("Host", "ci.example.org");
        house.app.send(with(reading, token)).await.status
    };
    assert_eq!((reads(token, 1).await, reads(token, 2).await), (200, 404));
    let damaged = format!("{}x", &token[..token.len() - 1]);
    assert_eq!(reads(&damaged, 1).await, 401);

    let next = house.done(post(&format!("/admin/v1/tokens/{id}/rotate"), &json!({"overlap_hours": 1}))).await;
    assert_eq!((next["rotated_from"].as_str(), next["project_id"].as_i64()), (Some(id), Some(1)));
    assert_eq!((reads(token, 1).await, reads(next["token"].as_str().unwrap(), 1).await), (200, 200));
    house.app.alter("UPDATE api_tokens SET expires_at = 1 WHERE rotated_from IS NULL").await;
    house.app.until("the one before ends", || async { reads(token, 1).await == 401 }).await;
    assert_eq!(reads(next["token"].as_str().unwrap(), 1).await, 200);
}

#[tokio::test]
async fn nobody_gives_a_token_what_they_do_not_have() {
    let house = House::start(|_| {}).await;
    let (_, maintainer) = house.member("maintainer", 1, "maintainer").await;
    let make = async |body: Value| house.app.send(with(post("/admin/v1/tokens", &body), &maintainer)).await;

    let beyond = make(json!({"name": "x", "scopes": ["pipelines:read", "users:manage"]})).await;
    assert_eq!((beyond.status, faults(&beyond)), (422, vec!["#/scopes beyond".to_owned()]));
    expect(&make(json!({"name": "x", "scopes": ["pipelines:read"], "project_id": 2})).await, 422);
    expect(&make(json!({"name": "x", "scopes": ["pipelines:write"], "project_id": 1})).await, 201);
    let (_, runner) = house.token("runner", &["ingest:write", "tokens:manage"]).await;
    let by_token = house
        .app
        .send(with(post("/admin/v1/tokens", &json!({"name": "x", "scopes": ["ingest:write"]})), &runner))
        .await;
    assert_eq!(by_token.problem(), "forbidden", "a token makes no tokens");
}

#[tokio::test]
async fn a_second_factor_is_asked_for_once_it_was_confirmed_and_takes_each_code_once() {
    let house = House::start(|_| {}).await;
    let me = "/admin/v1/me/second-factor";
    let offered = house.done(post(me, &json!({"password": PASSWORD}))).await;
    let secret = unbase32(offered["secret"].as_str().unwrap());
    assert!(offered["uri"].as_str().unwrap().starts_with("otpauth://totp/Pipecast:ada?secret="));
    expect(&log_in(&house.app, ADMIN, PASSWORD).await, 201);
    let code = || totp::code_at(&secret, now_step());

    let first = code();
    let codes = house.done(post(&format!("{me}/confirm"), &json!({"code": first}))).await;
    let recovery: Vec<_> = codes["recovery_codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
    assert_eq!(recovery.len(), 10);
    let with_code = async |code: &str| {
        let body = json!({"name": ADMIN, "password": PASSWORD, "code": code});
        house.app.send(post("/admin/v1/sessions", &body)).await
    };
    assert_eq!(log_in(&house.app, ADMIN, PASSWORD).await.problem(), "second_factor");
    assert_eq!(with_code(&first).await.problem(), "second_factor", "it was taken to confirm");
    expect(&with_code(recovery[3]).await, 201);
    assert_eq!(with_code(recovery[3]).await.problem(), "second_factor");
    let next = totp::code_at(&secret, now_step() + 1);
    expect(&with_code(&next).await, 201);
    assert_eq!(with_code(&next).await.problem(), "second_factor");

    let off = Request::with_body("DELETE", me, &json!({"password": PASSWORD}).to_string());
    house.done(off.header("Content-Type", "application/json")).await;
    sign_in(&house.app, ADMIN, PASSWORD).await;
}

#[tokio::test]
async fn another_password_ends_all_other_sessions() {
    let house = House::start(|_| {}).await;
    let other = sign_in(&house.app, ADMIN, PASSWORD).await;
    let body = |current: &str| json!({"current": current, "password": "another long enough password"}).to_string();
    let change = |current: &str| Request::with_body("PUT", "/admin/v1/me/password", &body(current)).header("Content-Type", "application/json");

    assert_eq!(house.app.send(with(change("wrong"), &house.admin)).await.problem(), "login_refused");
    house.done(change(PASSWORD)).await;

    house.until_answered(&other, "/admin/v1/me", 401).await;
    house.until_answered(&house.admin, "/admin/v1/me", 200).await;
    assert_eq!(log_in(&house.app, ADMIN, PASSWORD).await.status, 401);
    sign_in(&house.app, ADMIN, "another long enough password").await;
}

/// Turns on the second factor of the admin; the recovery codes.
pub async fn second_factor(house: &House) -> Vec<String> {
    let me = "/admin/v1/me/second-factor";
    let offered = house.done(post(me, &json!({"password": PASSWORD}))).await;
    let secret = unbase32(offered["secret"].as_str().unwrap());
    let code = totp::code_at(&secret, now_step());
    let codes = house.done(post(&format!("{me}/confirm"), &json!({"code": code}))).await;
    let codes = codes["recovery_codes"].as_array().unwrap().iter();
    codes.map(|code| code.as_str().unwrap().to_owned()).collect()
}

/// What an app with this secret shows now, or some half minutes later.
pub fn app_code(secret: &str, later: i64) -> String {
    totp::code_at(&unbase32(secret), now_step() + later)
}

fn now_step() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs() / 30).unwrap()
}

fn unbase32(text: &str) -> Vec<u8> {
    let bits: String = text
        .chars()
        .map(|letter| format!("{:05b}", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".find(letter).unwrap()))
        .collect();
    let bytes = bits.as_bytes().chunks_exact(8);
    bytes.map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap()).collect()
}

#[tokio::test]
async fn every_change_of_an_account_stands_in_the_audit_and_no_secret_does() {
    let house = House::start(|_| {}).await;
    let (id, _) = house.member("bob", 1, "viewer").await;
    house.done(patch(&format!("{USERS}/{id}"), &json!({"display_name": "Bob"}), "*")).await;
    let (token, text) = house.token("ci", &["pipelines:read"]).await;
    house.done(patch(&format!("/admin/v1/tokens/{token}"), &json!({"name": "cd"}), "*")).await;
    house
        .done(patch(&format!("/admin/v1/projects/1/members/{id}"), &json!({"role": "wallboard"}), "*"))
        .await;
    house.done(post(&format!("/admin/v1/tokens/{token}/rotate"), &json!({}))).await;
    house
        .done(Request::new("DELETE", &format!("/admin/v1/tokens/{token}")).header("If-Match", "*"))
        .await;
    expect(&log_in(&house.app, "nobody", PASSWORD).await, 401);
    house
        .done(Request::new("DELETE", &format!("/admin/v1/projects/1/members/{id}")).header("If-Match", "*"))
        .await;
    house.done(Request::new("DELETE", "/admin/v1/sessions/current")).await;

    let rows = house.app.texts("SELECT action || ' ' || outcome FROM audit ORDER BY seq").await;
    for expected in [
        "user.create ok",
        "session.open ok",
        "member.add ok",
        "member.update ok",
        "user.update ok",
        "token.create ok",
        "token.rotate ok",
        "token.update ok",
        "token.revoke ok",
        "session.open denied",
        "member.remove ok",
        "session.end ok",
    ] {
        assert!(rows.iter().any(|row| row == expected), "{expected} is not in {rows:?}");
    }
    const ALL: &str = "SELECT coalesce(resource_label, '') || coalesce(before, '') || coalesce(after, '') FROM audit";
    let said = house.app.texts(ALL).await.join("\n");
    for secret in [PASSWORD, text.as_str(), "$argon2id", "eyJ"] {
        assert!(!said.contains(secret), "{said}");
    }
}

#[tokio::test]
async fn the_audit_tells_who_and_what_by_name_also_when_it_is_gone() {
    let house = House::start(|_| {}).await;
    let (bob, his) = house.person("bob", Some("admin")).await;
    let source = json!({"host": "github", "name": "acme"});
    let made = house.app.send(with(post("/admin/v1/sources", &source), &his)).await;
    expect(&made, 201);
    house
        .done(post("/admin/v1/retention-policies", &json!({"project_id": 1, "bodies": "9d"})))
        .await;
    let (_, program) = house.token("deploy", &["users:manage"]).await;
    expect(&house.app.send(with(post(USERS, &json!({"name": "eve"})), &program)).await, 201);
    house.done(Request::new("DELETE", &format!("{USERS}/{bob}")).header("If-Match", "*")).await;

    let row = async |action: &str, who: &str| {
        let path = format!("/admin/v1/audit?action={action}&user_name={who}&limit=1");
        house.done(Request::get(&path)).await["items"][0].clone()
    };
    let named = |name: &str, deleted: bool| json!({"name": name, "deleted": deleted});
    let made = row("source.create", "BOB").await;
    assert_eq!(made["names"]["user"], named("bob", true));
    assert_eq!(made["names"]["resource"], named("acme", false));
    assert_eq!((&made["user_id"], &made["names"]["token"]), (&json!(bob), &Value::Null));
    let policy = row("retention_policy.create", ADMIN).await;
    assert_eq!(policy["names"]["project"], named("acme/rocket", false));
    assert_eq!(policy["names"]["resource"], named("acme/rocket", false), "a policy has no name of its own");
    let eve = row("user.create", ADMIN).await;
    assert_eq!(eve["names"]["token"], named("deploy", false));
    let alone = house.done(Request::get(&format!("/admin/v1/audit/{}", made["seq"]))).await;
    assert_eq!(alone, made);
    let nobody = house.done(Request::get("/admin/v1/audit?user_name=nobody")).await;
    assert_eq!(nobody["items"], json!([]));
}
