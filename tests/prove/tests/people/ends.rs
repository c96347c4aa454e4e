//! What is taken away: requests, open sockets and event streams of whoever had it end within five seconds on every edge, with Redis and without.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use pipecast_prove::process::Process;
use serde_json::json;

use crate::house::{House, get, on_the_house, stream, watch};
use crate::http::Request;
use crate::socket::{Frame, Socket, Stream};

/// What is promised.
const AT_MOST: Duration = Duration::from_secs(5);
/// Pause between two requests of one caller at one edge.
const PACE: Duration = Duration::from_millis(50);

/// What is taken away from whom.
struct Case {
    what: &'static str,
    /// What they come with.
    token: String,
    /// What the admin does about it, or they themselves.
    request: Request,
}

async fn cases(house: &House) -> Vec<Case> {
    let (id, token) = house.token().await;
    let (disabled, demoted) = (house.person(Some("viewer")).await, house.person(Some("viewer")).await);
    let (member, leaving) = (house.member(1).await, house.person(Some("viewer")).await);
    let as_admin = |request: Request| request.header("Authorization", format!("Bearer {}", house.admin));
    let patch = |user: i64, body: serde_json::Value| {
        let request = Request::with_body("PATCH", &format!("/admin/v1/users/{user}"), &body.to_string());
        as_admin(request.header("Content-Type", "application/merge-patch+json").header("If-Match", "*"))
    };
    let delete = |path: String| as_admin(Request::new("DELETE", &path).header("If-Match", "*"));
    vec![
        Case {
            what: "token revoked",
            token,
            request: delete(format!("/admin/v1/tokens/{id}")),
        },
        Case {
            what: "user disabled",
            request: patch(disabled.id, json!({"disabled": true})),
            token: disabled.access,
        },
        Case {
            what: "role removed",
            request: patch(demoted.id, json!({"role": null})),
            token: demoted.access,
        },
        Case {
            what: "membership removed",
            request: delete(format!("/admin/v1/projects/1/members/{}", member.id)),
            token: member.access,
        },
        Case {
            what: "logged out",
            request: Request::new("DELETE", "/admin/v1/sessions/current").header("Authorization", format!("Bearer {}", leaving.access)),
            token: leaving.access,
        },
    ]
}

/// When the first request of a row was refused, after which no other was answered.
async fn requests_end(edge: &Process, token: &str, begun: Instant) -> Duration {
    let mut first = None;
    loop {
        let is_refused = get(edge.address(), "/api/v1/pipelines/1", token).await.status != 200;
        match (is_refused, first) {
            (true, None) => first = Some(begun.elapsed()),
            (false, Some(at)) => panic!("{}: answered again after {at:?}", edge.name()),
            _ => {}
        }
        match first {
            Some(at) if begun.elapsed() > at + Duration::from_secs(1) => return at,
            None => assert!(begun.elapsed() < 2 * AT_MOST, "{}: still answered", edge.name()),
            Some(_) => {}
        }
        tokio::time::sleep(PACE).await;
    }
}

async fn socket_ends(socket: &mut Socket, begun: Instant) -> (Duration, u16) {
    loop {
        match socket.next().await {
            Frame::Close(code, _) => return (begun.elapsed(), code),
            Frame::Gone => panic!("it is gone without a word"),
            _ => {}
        }
    }
}

async fn stream_ends(stream: &mut Stream, begun: Instant) -> Duration {
    stream.ended().await;
    begun.elapsed()
}

/// Takes it away and says how long requests, sockets and streams went on at the slowest edge. The clock starts before the request that takes it away.
async fn take_away(house: &House, case: Case) -> (&'static str, [Duration; 3]) {
    let edges = &house.topology.edges;
    let mut sockets = join_all(edges.iter().map(|edge| watch(edge, &case.token))).await;
    let mut streams = join_all(edges.iter().map(|edge| stream(edge, &case.token))).await;
    for edge in edges {
        assert_eq!(get(edge.address(), "/api/v1/pipelines/1", &case.token).await.status, 200, "{}", case.what);
    }
    let begun = Instant::now();
    let taken = async {
        let answer = case.request.send(house.proxy()).await;
        assert!(
            (200..300).contains(&answer.status),
            "{}: {} {}",
            case.what,
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
    };
    let requests = join_all(edges.iter().map(|edge| requests_end(edge, &case.token, begun)));
    let ends = join_all(sockets.iter_mut().map(|socket| socket_ends(socket, begun)));
    let streams = join_all(streams.iter_mut().map(|stream| stream_ends(stream, begun)));
    let ((), requests, ends, streams) = futures_util::future::join4(taken, requests, ends, streams).await;
    assert!(ends.iter().all(|(_, code)| matches!(code, 4501 | 4503)), "{}: {ends:?}", case.what);
    let slowest = |times: Vec<Duration>| times.into_iter().max().unwrap_or_default();
    let sockets = ends.into_iter().map(|(took, _)| took).collect();
    (case.what, [slowest(requests), slowest(sockets), slowest(streams)])
}

/// All of them at once, each at another moment of the rounds that nodes take.
async fn all_end(house: &House, how: &str) {
    for round in 0..2 {
        let ended = join_all(cases(house).await.into_iter().enumerate().map(|(number, case)| async move {
            tokio::time::sleep(Duration::from_millis(230 * number as u64 + 370 * round)).await;
            take_away(house, case).await
        }))
        .await;
        for (what, times) in ended {
            let [requests, sockets, streams] = times;
            println!("{what} {how}: requests went on for {requests:.1?}, sockets for {sockets:.1?}, streams for {streams:.1?}, at the slower edge");
            assert!(times.iter().all(|time| *time <= AT_MOST), "{what} {how}: {times:?}");
        }
    }
}

#[test]
fn what_is_taken_away_ends_on_every_edge_within_five_seconds() {
    on_the_house(async |house| all_end(house, "with Redis").await);
}

#[test]
fn what_is_taken_away_ends_as_soon_while_redis_is_dead() {
    on_the_house(async |house| {
        house.topology.redis.process.kill().await.unwrap();

        all_end(house, "without Redis").await;
    });
}
