//! How the postman delivers: everything once, in spite of a service that refuses now and then.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;
use std::sync::Mutex;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};

use super::*;
use crate::simulate::forge::{self, Forge};
use crate::simulate::letters::{Letters, Way};
use crate::simulate::seal::Secrets;

/// What a service would have seen: how often each delivery id came.
type Seen = Arc<Mutex<HashMap<String, u32>>>;

/// A service that answers each delivery by 503 the first time it sees it, when it is moody, and by 202 otherwise.
async fn service(moody: bool) -> (SocketAddr, Seen) {
    let seen = Seen::default();
    let shown = Arc::clone(&seen);
    let answer = move |request: HttpRequest, _body: web::Bytes| {
        let seen = Arc::clone(&shown);
        async move {
            let id = ["x-github-delivery", "idempotency-key"]
                .iter()
                .find_map(|name| request.headers().get(*name))
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            let count = {
                let mut seen = seen.lock().unwrap();
                *seen.entry(id.clone()).and_modify(|count| *count += 1).or_insert(1)
            };
            match count {
                1 if moody => HttpResponse::ServiceUnavailable().finish(),
                _ => HttpResponse::Accepted().json(serde_json::json!({"status": "received", "delivery_id": id})),
            }
        }
    };
    let server = HttpServer::new(move || App::new().default_service(web::to(answer.clone())))
        .workers(1)
        .bind("127.0.0.1:0")
        .unwrap();
    let address = server.addrs()[0];
    actix_web::rt::spawn(server.disable_signals().run());
    (address, seen)
}

fn seal(address: SocketAddr) -> Seal {
    let secrets = Secrets {
        github: "one".into(),
        gitlab: "two".into(),
    };
    Seal::new(&secrets, &address.to_string(), "").unwrap()
}

fn letters(count: usize) -> impl Iterator<Item = Letter> {
    let way = Way {
        duplicates: 0.2,
        reorder: Duration::from_secs(1),
        seed: 1,
    };
    Letters::new(Forge::new(forge::Options::default()), way).take(count)
}

fn options(pace: Pace, retry: Retry) -> Options {
    Options {
        connections: 8,
        pace,
        retry,
        patience: Duration::from_secs(5),
    }
}

#[actix_web::test]
async fn every_letter_is_delivered_and_accounted_for() {
    let (address, seen) = service(false).await;
    let postman = Postman::new(address, seal(address), options(Pace::Unbounded, Retry::Never));
    let mut told = 0;

    let report = postman
        .deliver(letters(500), &CancellationToken::new(), |receipt| {
            assert!(matches!(&receipt.fate, Fate::Acknowledged(Some(id)) if *id == receipt.letter.event.id));
            told += 1;
        })
        .await;

    assert_eq!((report.sent, report.acknowledged, report.failed, told), (500, 500, 0, 500), "{report}");
    let seen = seen.lock().unwrap();
    assert_eq!(seen.values().sum::<u32>(), 500);
    assert_eq!(seen.values().filter(|count| **count == 2).count() as u64, report.repeated);
}

#[actix_web::test]
async fn what_was_not_answered_well_is_sent_again_with_the_same_id_when_asked() {
    let (address, seen) = service(true).await;
    let postman = Postman::new(address, seal(address), options(Pace::Unbounded, Retry::After(Duration::from_millis(5))));

    let report = postman.deliver(letters(200), &CancellationToken::new(), |_| {}).await;

    let events = seen.lock().unwrap().len() as u64;
    assert_eq!(report.acknowledged, 200);
    assert_eq!(report.refused[&503], events);
    assert_eq!(report.retried, events);
}

#[actix_web::test]
async fn without_retry_what_fails_stays_failed() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let postman = Postman::new(closed, seal(closed), options(Pace::Unbounded, Retry::Never));

    let report = postman.deliver(letters(20), &CancellationToken::new(), |_| {}).await;

    assert_eq!((report.sent, report.failed, report.acknowledged), (20, 20, 0));
}

#[actix_web::test]
async fn a_pace_is_kept_and_a_stop_is_heard() {
    let (address, _) = service(false).await;
    let postman = Postman::new(address, seal(address), options(Pace::PerSecond(200.0), Retry::Never));
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let mut count = 0;
    let begin = Instant::now();

    let report = postman
        .deliver(letters(100_000), &stop, |_| {
            count += 1;
            if count == 100 {
                stopping.cancel();
            }
        })
        .await;

    assert!((100..110).contains(&report.sent), "{report}");
    assert!(
        begin.elapsed() >= Duration::from_millis(490),
        "a hundred at 200 a second take half a second: {:?}",
        begin.elapsed()
    );
}
