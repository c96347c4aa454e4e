//! What nodes witness of their callers: tokens that are used, and who is denied what, as operators find it.

use serde_json::{Value, json};

use crate::accounts::sign_in;
use crate::app::{ADMIN, PASSWORD};
use crate::http::Request;
use crate::people::{House, expect, with};
use crate::socket::Socket;

/// Rows of the audit about denials, the newest first, without those of logins.
async fn denials(house: &House) -> Vec<Value> {
    let rows = house.done(Request::get("/admin/v1/audit?action=request.refuse&outcome=denied")).await;
    rows["items"].as_array().unwrap().clone()
}

fn sums(rows: &[Value], user: i64) -> Vec<(String, String, u64)> {
    let of = |row: &&Value| row["user_id"].as_i64() == (user > 0).then_some(user);
    let mut sums: Vec<_> = rows
        .iter()
        .filter(of)
        .map(|row| {
            let after = &row["after"];
            (
                row["resource_id"].as_str().unwrap().to_owned(),
                after["code"].as_str().unwrap().to_owned(),
                after["count"].as_u64().unwrap(),
            )
        })
        .collect();
    sums.sort();
    sums
}

#[tokio::test]
async fn when_and_from_where_a_token_was_used_last_stands_beside_it() {
    let house = House::start(|_| {}).await;
    let (used_id, used) = house.token("used", &["pipelines:read"]).await;
    let (socket_id, socket) = house.token("socket", &["pipelines:read"]).await;
    let (unused_id, _) = house.token("unused", &["pipelines:read"]).await;
    let found = async |id: &str| house.done(Request::get(&format!("/admin/v1/tokens/{id}"))).await;

    for _ in 0..50 {
        expect(&house.app.send(with(Request::get("/api/v1/pipelines"), &used)).await, 200);
    }
    let bearer = format!("pipecast.v1, bearer.{socket}");
    let mut open = Socket::open(house.app.address, "/ws", &[("Sec-WebSocket-Protocol", &bearer)]).await.unwrap();
    open.json_of("hello").await;

    let noted = async |id: &str| !found(id).await["last_used_at"].is_null();
    house
        .app
        .until("both uses are noted", || async { noted(&used_id).await && noted(&socket_id).await })
        .await;
    assert_eq!(found(&used_id).await["last_used_ip"], "127.0.0.1");
    assert_eq!(found(&unused_id).await["last_used_at"], Value::Null);
    assert_eq!(house.app.count("SELECT count(*) FROM audit WHERE action = 'request.refuse'").await, 0);
}

#[tokio::test]
async fn who_is_denied_something_stands_in_the_audit_once_with_a_count() {
    let house = House::start(|_| {}).await;
    let (viewer, token) = house.member("viewer", 1, "viewer").await;

    for _ in 0..30 {
        expect(&house.app.send(with(Request::get("/admin/v1/users"), &token)).await, 403);
        expect(&house.app.send(with(Request::get("/api/v1/pipelines/1"), "pcst_nonsense")).await, 401);
    }
    // Who shows nothing is asked to log in, and is no row.
    expect(&house.app.send(Request::get("/admin/v1/users")).await, 401);
    let mut socket = Socket::open(house.app.address, "/ws/pipeline/1", &[("Authorization", "Bearer nonsense")])
        .await
        .unwrap();
    assert_eq!(socket.close_frame().await.0, 4501);

    house.app.until("all three are told", || async { denials(&house).await.len() >= 3 }).await;
    // A second later, when whatever is due has been told.
    tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
    let rows = denials(&house).await;
    let known = sums(&rows, viewer);
    assert_eq!(
        known.iter().map(|(operation, code, _)| (operation.as_str(), code.as_str())).collect::<Vec<_>>(),
        [("GET /admin/v1/users", "forbidden")]
    );
    let strangers = sums(&rows, 0);
    assert_eq!(
        strangers
            .iter()
            .map(|(operation, code, _)| (operation.as_str(), code.as_str()))
            .collect::<Vec<_>>(),
        [
            ("GET /api/v1/pipelines/{pipeline_id}", "token_refused"),
            ("GET /ws/pipeline/{id}", "token_refused")
        ]
    );
    assert_eq!(rows[0]["ip"], "127.0.0.1");
    let told = serde_json::to_string(&rows).unwrap();
    assert!(!told.contains("nonsense") && !told.contains(&token), "{told}");

    // Who is stopped in order tells the rest before the minute is over.
    drop(socket);
    let app = house.app.restart().await;
    let house = House {
        admin: sign_in(&app, ADMIN, PASSWORD).await,
        app,
    };
    let all = async || {
        let rows = denials(&house).await;
        [viewer, 0].map(|user| sums(&rows, user).iter().map(|(_, _, count)| count).sum::<u64>())
    };
    house.app.until("all of them are counted", || async { all().await == [30, 31] }).await;
}

#[tokio::test]
async fn what_is_denied_on_an_open_socket_stands_in_the_audit_too() {
    let house = House::start(|_| {}).await;
    let (viewer, token) = house.member("viewer", 1, "viewer").await;
    let mut stranger = Socket::v1(house.app.address, "/ws").await;
    let bearer = format!("pipecast.v1, bearer.{token}");
    let mut known = Socket::open(house.app.address, "/ws", &[("Sec-WebSocket-Protocol", &bearer)]).await.unwrap();

    for _ in 0..10 {
        stranger.say(&json!({"cmd": "auth", "cid": 1, "token": "pcst_nonsense"})).await;
        assert_eq!(stranger.json_of("error").await["code"], "unauthorized");
    }
    known.say(&json!({"cmd": "auth", "cid": 1, "token": house.admin})).await;
    assert_eq!(known.json_of("error").await["code"], "forbidden", "somebody else's");
    known.say(&json!({"cmd": "sub", "cid": 2, "topics": ["pipeline:1"]})).await;
    known.json_of("snapshot").await;
    let path = format!("/admin/v1/projects/1/members/{viewer}");
    let demote = Request::with_body("PATCH", &path, r#"{"role":"runner"}"#).header("Content-Type", "application/merge-patch+json");
    house.done(demote.header("If-Match", "*")).await;
    known.json_of("unsubscribed").await;
    known.say(&json!({"cmd": "sub", "cid": 3, "topics": ["monitor"]})).await;
    assert_eq!(known.json_of("error").await["code"], "forbidden");

    house.app.until("all three are told", || async { denials(&house).await.len() >= 3 }).await;
    let rows = denials(&house).await;
    let codes = |user| {
        sums(&rows, user)
            .into_iter()
            .map(|(operation, code, _)| format!("{operation} {code}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(codes(viewer), ["auth /ws forbidden", "sub /ws forbidden"]);
    assert_eq!(codes(0), ["auth /ws token_refused"]);
    let told = serde_json::to_string(&rows).unwrap();
    assert!(!told.contains("nonsense") && told.contains("127.0.0.1"), "{told}");
}

#[tokio::test]
async fn one_sees_whether_a_second_factor_is_on_and_how_many_codes_are_left() {
    let house = House::start(|_| {}).await;
    let me = async |token: &str| {
        let me = house.app.send(with(Request::get("/admin/v1/me"), token)).await.json();
        (me["has_second_factor"].clone(), me["recovery_codes_left"].clone())
    };
    assert_eq!(me(&house.admin).await, (json!(false), Value::Null));
    let (_, token) = house.token("machine", &["pipelines:read"]).await;
    assert_eq!(me(&token).await, (Value::Null, Value::Null), "a program has none");

    let codes = crate::administration::second_factor(&house).await;

    assert_eq!(me(&house.admin).await, (json!(true), json!(10)));
    let body = json!({"name": ADMIN, "password": PASSWORD, "code": codes[0]});
    expect(&house.app.send(crate::accounts::post("/admin/v1/sessions", &body)).await, 201);
    assert_eq!(me(&house.admin).await, (json!(true), json!(9)));
    assert_eq!(
        house
            .app
            .count("SELECT count(*) FROM totp WHERE length(secret) > 0 OR sealed NOT LIKE 'v1|%'")
            .await,
        0
    );
}

#[tokio::test]
async fn a_password_that_is_guessed_first_is_refused_wherever_one_is_set() {
    let house = House::start(|_| {}).await;
    let (id, grace) = house.person("grace", None).await;
    let mail = json!({"email": "hopper.g@example.org"});
    let patch = Request::with_body("PATCH", &format!("/admin/v1/users/{id}"), &mail.to_string());
    house
        .done(patch.header("Content-Type", "application/merge-patch+json").header("If-Match", "*"))
        .await;
    let put = |path: &str, body: Value| Request::with_body("PUT", path, &body.to_string()).header("Content-Type", "application/json");
    let fault = |answer: crate::http::Answer| {
        expect(&answer, 422);
        let error = answer.json()["errors"][0].clone();
        format!("{} {}", error["pointer"].as_str().unwrap(), error["code"].as_str().unwrap())
    };

    for bad in ["passwordpassword", "1234567890123456", "HOPPER.G is her mailbox", "nobody knows grace"] {
        let own = put("/admin/v1/me/password", json!({"current": PASSWORD, "password": bad}));
        assert_eq!(fault(house.app.send(with(own, &grace)).await), "#/password guessable", "{bad}");
        let of_other = put(&format!("/admin/v1/users/{id}/password"), json!({"password": bad}));
        assert_eq!(fault(house.app.send(with(of_other, &house.admin)).await), "#/password guessable", "{bad}");
    }
    let new = crate::accounts::post("/admin/v1/users", &json!({"name": "linus", "password": "qwertyuiop123456"}));
    assert_eq!(fault(house.app.send(with(new, &house.admin)).await), "#/password guessable");
    sign_in(&house.app, "grace", PASSWORD).await;
}
