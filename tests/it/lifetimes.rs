//! How long what is good that ends by itself: tickets, the setup token, signing keys, and a cookie that was replaced.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::accounts::post;
use crate::app::{ADMIN, PASSWORD, TestApp};
use crate::clock::Late;
use crate::http::Request;
use crate::logins::setup_token;
use crate::people::{expect, with};
use crate::socket::Socket;

const LOGIN: &str = "/admin/v1/sessions";
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

impl Late {
    /// Sets the clock forward from ours.
    fn forward(&self, seconds: i64) {
        self.set_off(&format!("+{seconds}"));
    }

    async fn set_up(&self, token: &str, password: &str) -> u16 {
        let founding = post("/admin/v1/setup", &json!({"token": token, "name": ADMIN, "password": password}));
        founding.send(self.process.address).await.status
    }

    /// The access token of a fresh session.
    async fn sign_in(&self) -> String {
        let answer = post(LOGIN, &json!({"name": ADMIN, "password": PASSWORD})).send(self.process.address).await;
        expect(&answer, 201);
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }

    async fn asked_with(&self, token: &str) -> u16 {
        with(Request::get("/admin/v1/me"), token).send(self.process.address).await.status
    }

    /// The names of the keys that are published.
    async fn published(&self) -> Vec<String> {
        let keys = self.process.get("/admin/v1/jwks.json").await.json();
        let keys = keys["keys"].as_array().unwrap().iter();
        keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }
}

/// A part of a token: 0 is its header, 1 what it says.
fn part(token: &str, number: usize) -> Value {
    let part = token.split('.').nth(number).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn a_setup_token_is_good_for_an_hour() {
    let late = Late::start();
    let token = setup_token(&late.process).await;

    late.forward(HOUR - 20);
    assert_eq!(late.set_up(&token, "too short").await, 422, "the token is good");
    late.forward(HOUR + 20);
    assert_eq!(late.set_up(&token, PASSWORD).await, 404);
    late.forward(HOUR - 20);
    assert_eq!(late.set_up(&token, PASSWORD).await, 201);
}

#[tokio::test]
async fn a_ticket_is_good_for_half_a_minute() {
    let late = Late::start();
    let token = setup_token(&late.process).await;
    assert_eq!(late.set_up(&token, PASSWORD).await, 201);
    let access = late.sign_in().await;
    let (address, origin) = (late.process.address, format!("http://{}", late.process.address));
    let ticket = async || {
        let asking = with(post("/api/ws-tickets", &json!({})), &access).header("Origin", &origin);
        let answer = asking.send(address).await;
        expect(&answer, 201);
        answer.json()["ticket"].as_str().unwrap().to_owned()
    };
    let open = async |ticket: &str| {
        let protocols = format!("pipecast.v1, ticket.{ticket}");
        Socket::open(address, "/ws", &[("Origin", &origin), ("Sec-WebSocket-Protocol", &protocols)])
            .await
            .unwrap()
    };

    let (early, late_one) = (ticket().await, ticket().await);
    let said = part(&late_one, 1);
    assert_eq!(said["exp"].as_i64().unwrap() - said["iat"].as_i64().unwrap(), 30);
    late.forward(20);
    open(&early).await.json_of("hello").await;
    // Clocks of two nodes may differ by five seconds.
    late.forward(37);
    assert_eq!(open(&late_one).await.close_frame().await, (4501, "unauthorized".to_owned()));
    open(&ticket().await).await.json_of("hello").await;
}

#[tokio::test]
async fn a_process_signs_with_a_key_for_a_day_and_what_it_signed_is_verified_for_another() {
    let late = Late::start();
    let token = setup_token(&late.process).await;
    assert_eq!(late.set_up(&token, PASSWORD).await, 201);

    let kid = |token: &str| part(token, 0)["kid"].as_str().unwrap().to_owned();
    let first = kid(&late.sign_in().await);
    late.forward(DAY - 120);
    let before = late.sign_in().await;
    assert_eq!(kid(&before), first, "a day is not over");
    late.forward(DAY + 120);
    let after = late.sign_in().await;
    assert_ne!(kid(&after), first, "the same process has another key");
    assert_eq!((late.asked_with(&before).await, late.asked_with(&after).await), (200, 200));
    assert_eq!(late.published().await, [kid(&after), first.clone()], "the newest first");

    late.forward(2 * DAY - 120);
    assert_eq!(late.published().await.len(), 2);
    late.forward(2 * DAY + 120);
    assert!(!late.published().await.contains(&first), "nothing that it signed is good any more");
    // It has signed for a day too.
    let third = late.sign_in().await;
    assert_eq!(late.published().await, [kid(&third), kid(&after)]);
    assert_eq!(late.asked_with(&third).await, 200);
    assert_eq!(late.asked_with(&after).await, 401, "ten minutes are over");
}

#[tokio::test]
async fn a_cookie_that_was_replaced_is_good_for_ten_seconds_more() {
    let app = TestApp::start_with_admin(|_| {}).await;
    let of_page = |request: Request| request.header("Origin", format!("http://{}", app.address)).header("X-Pipecast", "1");
    let reads = async |cookie: &str| {
        let reading = Request::get("/api/v1/pipelines").header("X-Forwarded-For", "10.1.2.3").header("Cookie", cookie);
        app.send(reading).await.status
    };
    for (ago, status) in [
        ("UPDATE refresh_tokens SET used_at = used_at - 5000000 WHERE used_at IS NOT NULL", 200),
        ("UPDATE refresh_tokens SET used_at = used_at - 15000000 WHERE used_at IS NOT NULL", 401),
    ] {
        let login = of_page(post(LOGIN, &json!({"name": ADMIN, "password": PASSWORD})));
        let cookie = app.send(login).await.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let refresh = of_page(post("/admin/v1/sessions/refresh", &json!({}))).header("Cookie", &cookie);
        expect(&app.send(refresh).await, 200);

        app.alter(ago).await;
        // Longer than it is believed how a cookie stands.
        tokio::time::sleep(pipecast_auth::FRESH_FOR + Duration::from_millis(200)).await;

        assert_eq!(reads(&cookie).await, status, "{ago}");
    }
}
