//! Whoever can write to Redis: can make a node ask sooner and show what it is meant to show, and can give nobody any right.

use std::time::{Duration, Instant};

use redis::AsyncCommands;
use serde_json::json;

use crate::house::{get, on_the_house};
use crate::http::Request;
use crate::socket::{Frame, Socket};

#[test]
fn whoever_writes_to_redis_gains_no_right() {
    on_the_house(async |house| {
        let viewer = house.member(1).await;
        let (id, revoked) = house.token().await;
        house
            .done(Request::new("DELETE", &format!("/admin/v1/tokens/{id}")).header("If-Match", "*"))
            .await;
        let session = "01890000-0000-7000-8000-000000000001";
        let edges = &house.topology.edges;
        let bearer = format!("Bearer {}", viewer.access);
        let mut monitor = Socket::open(edges[0].address(), "/ws/monitor", &[("Authorization", &bearer)]).await.unwrap();
        monitor.json_of("snapshot").await;
        let mut redis = house.redis().await;
        // Every key and channel that is in use, and those that one would try.
        let mut names: Vec<String> = redis.keys("*").await.unwrap();
        let channels: Vec<String> = redis::cmd("PUBSUB").arg("CHANNELS").query_async(&mut redis).await.unwrap();
        names.extend(channels);
        for kind in [
            "session",
            "token",
            "badge",
            "user",
            "bearer",
            "invalidate",
            "revoked",
            "role",
            "membership",
            "ticket",
        ] {
            for of in [id.as_str(), session, "1", &viewer.id.to_string(), "*"] {
                names.extend([format!("{kind}:{of}"), format!("pipecast:{kind}:{of}"), format!("pipecast/{kind}/{of}")]);
            }
        }
        let rights = json!({
            "type": "invalidate", "kind": "session", "user_id": viewer.id, "role": "admin", "permissions": ["users:manage", "pipelines:read"],
            "token_id": id, "revoked_at": null, "expires_at": "2099-01-01T00:00:00Z", "status": "success", "project": 1, "seq": 9_000_000,
        })
        .to_string();

        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(4) {
            for name in &names {
                for text in [rights.as_bytes(), b"admin", b"\x80\x04\x95garbage", b"1"] {
                    drop(redis.publish::<_, _, i64>(name, text).await);
                    drop(redis.set_ex::<_, _, ()>(name, text, 30).await);
                    drop(redis.hset::<_, _, _, i64>(name, "role", text).await);
                }
            }
            for edge in edges {
                let status = async |path: &str, token: &str| get(edge.address(), path, token).await.status;
                assert_eq!(status("/api/v1/pipelines/1", &revoked).await, 401, "a revoked token");
                assert_eq!(status("/api/v1/pipelines/1", "pcst_forged00_0").await, 401);
                assert_eq!(status("/api/v1/pipelines/2", &viewer.access).await, 404, "another project");
                assert_eq!(status("/api/v1/pipelines/1", &viewer.access).await, 200, "and nothing is taken away");
                let ticket = Socket::open(edge.address(), &format!("/ws/pipeline/2?ticket={session}"), &[]).await;
                assert_eq!(ticket.unwrap().close_frame().await.0, 4501);
            }
            assert_eq!(house.get("/admin/v1/users", &viewer.access).await, 403);
        }
        println!("{} names of Redis were written over and published to for {:.1?}", names.len(), begun.elapsed());

        // What they were shown meanwhile was of their own project.
        let shown = async {
            loop {
                match monitor.next().await {
                    Frame::Text(value) if value["type"] == "status_change" => assert_eq!(value["topic"], "pipeline:1", "{value}"),
                    Frame::Close(code, reason) => panic!("closed: {code} {reason}"),
                    _ => {}
                }
            }
        };
        drop(tokio::time::timeout(Duration::from_millis(300), shown).await);
        redis::cmd("FLUSHALL").query_async::<()>(&mut redis).await.unwrap();
    });
}
