//! How often somebody may ask: whose budget a request takes from, and what they hear when it is used up.
//! This machine is free by default, so that what is tested here counts it.

use std::time::{Duration, Instant};

use pipecast::config::Config;
use serde_json::json;

use crate::accounts::{post, sign_in};
use crate::app::{ADMIN, GITHUB_SECRET, PASSWORD, TestApp, github, gitlab, sign_github};
use crate::http::Request;
use crate::ledger::Operator;
use crate::people::{House, with};
use crate::socket::Socket;

const PATH: &str = "/api/v1/pipelines/1/status/realtime";

/// Counts this machine, and gives everybody a budget that no test uses up.
fn counted(config: &mut Config) {
    config.limits.count_loopback = true;
    config.server.anonymous_reading = pipecast_http::AnonymousReading::Everyone;
    config.server.trusted_proxies = pipecast_http::TrustedProxies::new(vec!["127.0.0.1".parse().unwrap()]);
}

/// So few at once, and hardly any later.
fn few(per_second: &mut u32, burst: &mut u32, at_once: u32) {
    (*per_second, *burst) = (1, at_once);
}

fn from(request: Request, client: &str) -> Request {
    request.header("X-Forwarded-For", client)
}

fn forged() -> Request {
    github("ping", "{}")
        .without("x-hub-signature-256")
        .header("X-Hub-Signature-256", sign_github("guessed", b"{}"))
}

/// Sent a few times, because one more is allowed each second, it is refused: by a problem that says when to come back, in two headers that
/// agree.
async fn is_refused(app: &TestApp, request: Request, kind: &str) {
    let mut answer = app.send(request.clone()).await;
    for _ in 0..4 {
        if answer.status != 429 {
            answer = app.send(request.clone()).await;
        }
    }
    assert_eq!((answer.status, answer.problem().as_str()), (429, "too_many"));
    let after: u64 = answer.header("retry-after").expect("when to come back").parse().expect("seconds");
    assert!((1..=10).contains(&after), "{after}");
    assert_eq!(answer.header("ratelimit"), Some(format!("\"{kind}\";r=0;t={after}").as_str()));
    assert!(answer.header("ratelimit-policy").expect("of what").starts_with(&format!("\"{kind}\";q=")));
}

#[tokio::test]
async fn an_address_has_a_budget_behind_a_proxy_too_and_health_has_none() {
    let app = TestApp::start_with(|config| {
        counted(config);
        few(&mut config.limits.address_per_second, &mut config.limits.address_burst, 5);
    })
    .await;

    for number in 0..5 {
        // Whatever the client wrote itself stands to the left of what the proxy added.
        let invented = format!("198.51.100.{number}, 203.0.113.7");
        assert_eq!(app.send(from(Request::get(PATH), &invented)).await.status, 200);
    }

    is_refused(&app, from(Request::get(PATH), "203.0.113.7"), "address").await;
    is_refused(&app, from(Request::get("/api/v1/pipelines"), "203.0.113.7"), "address").await;
    is_refused(&app, from(post("/admin/v1/sessions", &json!({})), "203.0.113.7"), "address").await;
    assert_eq!(app.send(from(Request::get(PATH), "203.0.113.8")).await.status, 200, "somebody else");
    assert_eq!(app.send(from(Request::get("/health"), "203.0.113.7")).await.status, 200);
    assert_eq!(app.send(from(Request::get("/docs"), "203.0.113.7")).await.status, 200);
    let Err((status, problem)) = Socket::open(app.address, "/ws/monitor", &[("X-Forwarded-For", "203.0.113.7")]).await else {
        panic!("it was let in")
    };
    assert!(status == 429 && problem.contains("too_many"), "{status} {problem}");
}

#[tokio::test]
async fn a_budget_comes_back_with_time() {
    let app = TestApp::start_with(|config| {
        counted(config);
        (config.limits.address_per_second, config.limits.address_burst) = (5, 2);
    })
    .await;
    let get = || app.send(Request::get(PATH));
    while get().await.status != 429 {}

    app.until("there is one again", || async { get().await.status == 200 }).await;
}

#[tokio::test]
async fn an_ipv6_network_is_one_address() {
    let app = TestApp::start_with(|config| {
        counted(config);
        few(&mut config.limits.address_per_second, &mut config.limits.address_burst, 3);
    })
    .await;

    for last in 1..=3 {
        assert_eq!(app.send(from(Request::get(PATH), &format!("2001:db8:1:2::{last}"))).await.status, 200);
    }

    is_refused(&app, from(Request::get(PATH), "2001:db8:1:2:ffff::9"), "address").await;
    assert_eq!(app.send(from(Request::get(PATH), "2001:db8:1:3::1")).await.status, 200);
}

#[tokio::test]
async fn accounts_and_tokens_have_budgets_of_their_own_wherever_they_come_from() {
    let house = House::start(|config| {
        counted(config);
        few(&mut config.limits.user_per_second, &mut config.limits.user_burst, 20);
        few(&mut config.limits.token_per_second, &mut config.limits.token_burst, 5);
        few(&mut config.limits.address_per_second, &mut config.limits.address_burst, 100);
    })
    .await;
    let (_, ada) = house.person("somebody", Some("viewer")).await;
    let again = sign_in(&house.app, "somebody", PASSWORD).await;
    let (_, token) = house.token("a program", &["pipelines:read"]).await;
    let of = |shown: &str, client: &str| from(with(Request::get(PATH), shown), client);
    let ask = async |shown: &str, client: &str| house.app.send(of(shown, client)).await;

    for number in 0..5 {
        assert_eq!(ask(&token, &format!("203.0.113.{number}")).await.status, 200);
    }
    is_refused(&house.app, of(&token, "203.0.113.99"), "token").await;
    assert_eq!(ask(&ada, "203.0.113.99").await.status, 200, "somebody else from the same place");

    let (mut passed, begun) = (1, Instant::now());
    while ask(if passed % 2 == 0 { &ada } else { &again }, &format!("198.51.100.{passed}")).await.status == 200 {
        passed += 1;
    }
    // One comes back each second.
    let most = 21 + begun.elapsed().as_secs() as usize;
    assert!((20..=most).contains(&passed), "both sessions are one account: {passed}");
    is_refused(&house.app, of(&again, "203.0.113.1"), "user").await;
    is_refused(&house.app, with(Request::get("/admin/v1/me"), &ada), "user").await;
    let anonymous = house.app.send(from(Request::get(PATH), "198.51.100.1")).await;
    assert_eq!(anonymous.status, 200, "whoever is known takes nothing from the address");
}

#[tokio::test]
async fn whoever_shows_what_is_no_good_is_not_looked_at_for_a_while_and_keeps_no_reader_out() {
    let app = TestApp::start_with_admin(|config| {
        counted(config);
        few(&mut config.limits.impostor_per_second, &mut config.limits.impostor_burst, 4);
    })
    .await;
    let admin = sign_in(&app, ADMIN, PASSWORD).await;
    let guess = |number: usize, client: &str| from(with(Request::get(PATH), &format!("guess-number-{number}")), client);

    for number in 0..4 {
        assert_eq!(app.send(guess(number, "203.0.113.7")).await.problem(), "token_refused");
    }

    is_refused(&app, guess(4, "203.0.113.7"), "impostor").await;
    is_refused(&app, from(forged(), "203.0.113.7"), "impostor").await;
    assert_eq!(app.send(guess(5, "203.0.113.8")).await.problem(), "token_refused");
    assert_eq!(app.send(from(Request::get(PATH), "203.0.113.7")).await.status, 200, "a reader from there");
    // Whoever was known a moment ago is not looked at anew, wherever they come from.
    let known = || async {
        let shown = async |client: &str| app.send(from(with(Request::get(PATH), &admin), client)).await.status;
        shown("203.0.113.9").await == 200 && shown("203.0.113.7").await == 200
    };
    app.until("somebody who is known gets through", known).await;
}

#[tokio::test]
async fn who_was_let_in_before_is_looked_at_anew_whoever_guesses_behind_the_same_address() {
    let house = House::start(|config| {
        counted(config);
        few(&mut config.limits.impostor_per_second, &mut config.limits.impostor_burst, 4);
    })
    .await;
    let (id, token) = house.token("a program", &["pipelines:read"]).await;
    let ask = async |shown: &str| house.app.send(from(with(Request::get(PATH), shown), "203.0.113.7")).await.status;
    assert_eq!(ask(&token).await, 200);
    for number in 0..4 {
        assert_eq!(ask(&format!("guess-number-{number}")).await, 401);
    }
    is_refused(&house.app, from(with(Request::get(PATH), "guess-number-4"), "203.0.113.7"), "impostor").await;

    // After a change by somebody nobody is believed without a look at the database.
    let patch = Request::with_body("PATCH", &format!("/admin/v1/tokens/{id}"), r#"{"name":"the same program"}"#);
    house
        .done(patch.header("Content-Type", "application/merge-patch+json").header("If-Match", "*"))
        .await;

    assert_eq!(ask(&token).await, 200);
    is_refused(&house.app, from(with(Request::get(PATH), "guess-number-5"), "203.0.113.7"), "impostor").await;
    house
        .done(Request::new("DELETE", &format!("/admin/v1/tokens/{id}")).header("If-Match", "*"))
        .await;
    house.app.until("what has ended is no good either", || async { ask(&token).await == 429 }).await;
}

#[tokio::test]
async fn what_changes_something_has_a_budget_of_its_own_and_reading_goes_on() {
    let house = House::start(|config| {
        counted(config);
        few(&mut config.limits.writes_per_second, &mut config.limits.writes_burst, 6);
    })
    .await;
    let (_, token) = house.token("a program", &["tokens:manage", "pipelines:read", "users:manage"]).await;
    let admin = sign_in(&house.app, ADMIN, PASSWORD).await;
    let change = |shown: &str| with(post("/admin/v1/users", &json!({})), shown);

    for shown in [&admin, &token] {
        is_refused_after(&house.app, change(shown), 6).await;
        assert_eq!(house.app.send(with(Request::get("/admin/v1/me"), shown)).await.status, 200, "reading goes on");
    }
    is_refused(&house.app, change(&house.admin), "writes").await;
    // Carrying a session on and logging in are limited by rules of their own.
    sign_in(&house.app, ADMIN, PASSWORD).await;
}

/// Sent up to so often and some more, it is refused by the budget of changes, and before that by its handler.
async fn is_refused_after(app: &TestApp, request: Request, most: usize) {
    let mut passed = 0;
    while passed < 2 * most && app.send(request.clone()).await.status != 429 {
        passed += 1;
    }
    assert!(passed < 2 * most, "{passed} passed");
    is_refused(app, request, "writes").await;
}

#[tokio::test]
async fn guesses_beside_the_subprotocol_and_on_an_open_socket_are_guesses() {
    let house = House::start(|config| {
        counted(config);
        few(&mut config.limits.impostor_per_second, &mut config.limits.impostor_burst, 4);
    })
    .await;
    let beside = async |token: &str, client: &str| {
        let offer = format!("pipecast.v1, bearer.{token}");
        let headers = [("X-Forwarded-For", client), ("Sec-WebSocket-Protocol", offer.as_str())];
        Socket::open(house.app.address, "/ws", &headers).await
    };

    for number in 0..4 {
        let mut refused = beside(&format!("guess-{number}"), "203.0.113.7").await.expect("a handshake that says why");
        assert_eq!(refused.close_frame().await.0, 4501);
    }
    let mut more = 0;
    let (status, problem) = loop {
        match beside(&format!("guess-more-{more}"), "203.0.113.7").await {
            Ok(_) if more < 4 => more += 1,
            Ok(_) => panic!("it may guess on"),
            Err(refused) => break refused,
        }
    };
    assert!(status == 429 && problem.contains("\"impostor\""), "{status} {problem}");
    is_refused(&house.app, from(with(Request::get(PATH), "guess-in-a-header"), "203.0.113.7"), "impostor").await;

    let headers = [("X-Forwarded-For", "203.0.113.8"), ("Sec-WebSocket-Protocol", "pipecast.v1")];
    let mut socket = Socket::open(house.app.address, "/ws/monitor", &headers).await.expect("a reader");
    for number in 0..8 {
        socket.say(&json!({"cmd": "auth", "cid": number, "token": format!("guess-{number}")})).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(socket.json_of("error").await["code"], "unauthorized");
    assert_eq!(socket.close_frame().await, (4429, "rate_limited;retry_ms=1000".to_owned()));
    for client in ["203.0.113.9", "203.0.113.8"] {
        // From elsewhere first: what was good a moment ago is no guess where others guess.
        let mut known = beside(&house.admin, client).await.expect(client);
        known.json_of("hello").await;
    }
}

#[tokio::test]
async fn a_source_has_a_budget_that_only_authentic_deliveries_take_from() {
    let app = TestApp::start_with(|config| {
        counted(config);
        few(&mut config.limits.source_per_second, &mut config.limits.source_burst, 3);
        config
            .webhooks
            .github
            .sources
            .insert("other".into(), pipecast::config::Secret::new(GITHUB_SECRET));
    })
    .await;

    for _ in 0..10 {
        assert_eq!(app.send(from(forged(), "203.0.113.7")).await.problem(), "signature_refused");
    }
    for number in 0..3 {
        let answer = app.send(from(github("ping", "{}"), &format!("198.51.100.{number}"))).await;
        assert_eq!(answer.status, 202);
    }

    is_refused(&app, from(github("ping", "{}"), "198.51.100.77"), "source").await;
    assert_eq!(app.send(forged()).await.problem(), "signature_refused", "nobody else learns of it");
    let other = github("ping", "{}").redirected("/webhooks/github/other", sign_github(GITHUB_SECRET, b"{}"));
    assert_eq!(app.send(other).await.status, 202, "another source");
}

#[tokio::test]
async fn a_forger_is_refused_and_does_not_keep_the_host_out_that_sends_from_the_same_address() {
    let app = TestApp::start_with(|config| {
        counted(config);
        few(&mut config.limits.impostor_per_second, &mut config.limits.impostor_burst, 5);
    })
    .await;
    // Hosts send for everyone from the same few addresses, for strangers too.
    const HOST: &str = "140.82.112.1";
    for _ in 0..5 {
        assert_eq!(app.send(from(forged(), HOST)).await.status, 401);
    }

    is_refused(&app, from(forged(), HOST), "impostor").await;
    // Without anything that could be verified there is no need for the body: nothing of it was sent, and the answer is there.
    let unproved = github("ping", "{}").without("x-hub-signature-256").without("content-length");
    is_refused(&app, from(unproved, HOST).header("Content-Length", 20 << 20), "impostor").await;

    for _ in 0..20 {
        assert_eq!(app.send(from(github("ping", "{}"), HOST)).await.status, 202);
        assert_eq!(app.send(from(gitlab("Push Hook", "{}"), HOST)).await.status, 202);
    }
    is_refused(&app, from(forged(), HOST), "impostor").await;
}

#[tokio::test]
async fn this_machine_is_free_and_whoever_comes_through_its_proxy_is_not() {
    let app = TestApp::start_with(|config| {
        counted(config);
        config.limits.count_loopback = false;
        few(&mut config.limits.address_per_second, &mut config.limits.address_burst, 1);
        few(&mut config.limits.source_per_second, &mut config.limits.source_burst, 1);
    })
    .await;

    for _ in 0..30 {
        assert_eq!(app.send(Request::get(PATH)).await.status, 200);
        assert_eq!(app.send(from(Request::get(PATH), "127.0.0.1")).await.status, 200);
        assert_eq!(app.send(github("ping", "{}")).await.status, 202);
    }

    assert_eq!(app.send(from(Request::get(PATH), "203.0.113.7")).await.status, 200);
    is_refused(&app, from(Request::get(PATH), "203.0.113.7"), "address").await;
}

#[tokio::test]
async fn another_budget_holds_within_seconds_everywhere() {
    let app = TestApp::start_with_admin(counted).await;
    let admin = Operator::admin(&app).await;
    let path = "/admin/v1/settings/limits.address_burst";
    let unfit = admin.patch(path, Some("\"v0\""), &json!({"value": "0"})).await;
    assert_eq!(
        (unfit.status, unfit.json()["errors"][0]["detail"].as_str()),
        (422, Some("it is a number from 1 to 1000000"))
    );

    for (setting, value) in [("limits.address_burst", "2"), ("limits.address_per_second", "1")] {
        let changed = admin
            .patch(&format!("/admin/v1/settings/{setting}"), Some("\"v0\""), &json!({"value": value}))
            .await;
        assert_eq!(changed.status, 200);
    }

    let refused = || async { app.send(from(Request::get(PATH), "203.0.113.7")).await.status == 429 };
    app.until("the address has used it up", refused).await;
    assert_eq!(admin.patch(path, Some("\"v1\""), &json!({"value": null})).await.status, 200);
    let passes = || async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let mut passed = 0;
        while passed < 20 && app.send(from(Request::get(PATH), "203.0.113.8")).await.status == 200 {
            passed += 1;
        }
        passed == 20
    };
    app.until("the old one holds", passes).await;
}
