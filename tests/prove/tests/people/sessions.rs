//! Sessions: opened at one node, good at all, whatever becomes of the one that opened them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::house::{get, on_the_house, post, until, watch};
use crate::http::Request;
use crate::socket::Frame;

const READ: &str = "/api/v1/pipelines/1";

#[test]
fn a_session_survives_the_node_that_opened_it_and_ends_everywhere_at_once() {
    on_the_house(async |house| {
        let person = house.person(Some("viewer")).await;
        let [first, second] = &house.topology.edges[..] else { panic!("two edges") };
        let admin = &house.topology.admin;
        let mut socket = watch(first, &person.access).await;

        // The node that opened it dies; the keys that sign died with it.
        admin.kill().await.unwrap();
        // An edge that has seen neither the session nor the key before.
        second.kill().await.unwrap();
        second.start().unwrap();
        second.ready().await.unwrap();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(4) {
            for edge in [first, second] {
                assert_eq!(get(edge.address(), READ, &person.access).await.status, 200, "{}", edge.name());
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }

        // Another node carries it on: its token is good there, and so is what it gets for it.
        admin.start().unwrap();
        admin.ready().await.unwrap();
        assert_eq!(get(admin.address(), "/admin/v1/me", &person.access).await.status, 200);
        let refresh = post("/admin/v1/sessions/refresh", &json!({"refresh_token": person.refresh}));
        let carried = refresh.send(house.proxy()).await;
        let carried: Value = serde_json::from_slice(&carried.body).unwrap();
        let next = carried["access_token"].as_str().unwrap().to_owned();
        assert_eq!(get(second.address(), READ, &next).await.status, 200, "a key of the new process");
        let mut other = watch(second, &next).await;

        let begun = Instant::now();
        let out = Request::new("DELETE", "/admin/v1/sessions/current").header("Authorization", format!("Bearer {next}"));
        assert_eq!(out.send(house.proxy()).await.status, 204);
        for edge in [first, second] {
            for token in [&person.access, &next] {
                until("it is refused", || async { get(edge.address(), READ, token).await.status == 401 }).await;
            }
        }
        for socket in [&mut socket, &mut other] {
            while !matches!(socket.next().await, Frame::Close(4501, _)) {}
        }
        println!("logged out at the proxy: ended at both edges after {:.1?}", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        let again = post("/admin/v1/sessions/refresh", &json!({"refresh_token": carried["refresh_token"]}));
        assert_eq!(again.send(house.proxy()).await.status, 401);
    });
}

#[test]
fn what_is_used_at_an_edge_and_who_is_denied_there_shows_at_the_admin() {
    on_the_house(async |house| {
        let (id, token) = house.token().await;
        let edge = &house.topology.edges[1];
        assert_eq!(get(edge.address(), READ, &token).await.status, 200);
        assert_eq!(get(edge.address(), READ, "pcst_nobody_has_this").await.status, 401);

        let used = || async { !house.done(Request::get(&format!("/admin/v1/tokens/{id}"))).await["last_used_at"].is_null() };
        until("its use is noted", used).await;
        let denied = || async {
            let rows = house.done(Request::get("/admin/v1/audit?action=request.refuse")).await;
            let rows = rows["items"].as_array().unwrap().clone();
            rows.iter()
                .any(|row| row["resource_id"] == "GET /api/v1/pipelines/{pipeline_id}" && row["after"]["code"] == "token_refused")
        };
        until("the denial is in the audit", denied).await;
    });
}
