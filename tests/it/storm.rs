//! Everybody comes back at once, after a node has died with all that it knew: admission spreads them, and the database is asked for
//! each topic once.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::binary::Process;
use crate::live::run;
use crate::socket::Socket;

const SOCKETS: u32 = 1_000;
const RUNS: u32 = 40;
/// By then everybody is back.
const BOUND: Duration = Duration::from_secs(60);

/// What one of them went through.
struct Return {
    took: Duration,
    refused: u32,
    topic: String,
    /// Held, so that those who are back stay.
    _socket: Socket,
}

/// Connects as the page does: full jitter from a second on, and what the server asks for where it asks.
async fn come_back(address: SocketAddr, number: u32) -> Return {
    let begun = Instant::now();
    let topic = match number % RUNS {
        0 => "monitor".to_owned(),
        1 => "pipeline/1".to_owned(),
        other => format!("execution/{other}"),
    };
    let from = Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(198, 18, 0, 0)) + number).to_string();
    let mut refused = 0;
    loop {
        match Socket::open(address, &format!("/ws/{topic}"), &[("X-Forwarded-For", &from)]).await {
            Ok(mut socket) => {
                assert_eq!(socket.json_of("snapshot").await["type"], "snapshot");
                let took = begun.elapsed();
                return Return {
                    took,
                    refused,
                    topic,
                    _socket: socket,
                };
            }
            Err((status, answer)) => {
                assert_eq!(status, 503, "{answer}");
                let after = answer.lines().find_map(|line| line.strip_prefix("retry-after: ")).expect("when to come again");
                let after: u64 = after.parse().unwrap();
                assert!((2..=7).contains(&after), "five seconds give or take half, not {after}");
                refused += 1;
                let cap = Duration::from_secs(30).min(Duration::from_secs(1) * 2_u32.pow(refused.min(5)));
                tokio::time::sleep(Duration::from_secs(after) + cap.mul_f64(rand::random_range(0.0..1.0))).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_that_come_back_at_once_are_spread_and_the_database_is_asked_once_a_topic() {
    let data = tempfile::tempdir().unwrap();
    let settings = [
        ("PIPECAST_DATA_DIR", data.path().to_str().unwrap()),
        ("PIPECAST_SERVER__TRUSTED_PROXIES", "127.0.0.1"),
        ("PIPECAST_SERVER__ANONYMOUS_READING", "everyone"),
        // Few enough that a machine that is busy with tests is still too fast for it.
        ("PIPECAST_LIVE__HANDSHAKES_PER_SECOND", "200"),
    ];
    let mut process = Process::start(&settings);
    for number in 0..i64::from(RUNS) {
        process.deliver(&run(1001 + number, "in_progress", None, 1)).await;
    }
    process.until_status("running").await;
    process.signal("-KILL");
    process.ended(Duration::from_secs(5));
    let process = Process::start(&settings);

    let returning: Vec<_> = (0..SOCKETS).map(|number| tokio::spawn(come_back(process.address, number))).collect();
    let mut returns = Vec::new();
    for one in returning {
        returns.push(one.await.unwrap());
    }

    let slowest = returns.iter().map(|one| one.took).max().unwrap();
    assert!(slowest < BOUND, "the last was back after {slowest:?}");
    let refused: u32 = returns.iter().map(|one| one.refused).sum();
    assert!(refused > 0, "nobody was asked to come later: admission let everybody in at once");
    let topics: BTreeSet<_> = returns.iter().map(|one| one.topic.as_str()).collect();
    let reads = process.counted(r#"pipecast_cache_requests_total{cache="status",layer="database""#).await;
    assert!(reads > 0.0 && reads <= topics.len() as f64, "{reads} reads for {} topics", topics.len());
    println!(
        "{SOCKETS} sockets back in {slowest:?}, {refused} times refused, {reads} reads of the database for {} topics",
        topics.len()
    );
}
