//! Status requests at a steady rate, each compared with what was known to be shown before it was asked.
//! Knows nothing of what breaks meanwhile.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::crowd::Crowd;
use super::http::{Connection, get};

/// What came of the requests at one address.
#[derive(Debug, Default)]
pub struct Polls {
    /// From when each was due until it was answered.
    pub latencies: Vec<Duration>,
    /// Requests that were not answered with 200.
    pub failed: usize,
    /// Answers with a lower sequence than an answer or a socket at the same address had shown before.
    pub stale: usize,
}

#[derive(Deserialize)]
struct Status {
    seq: Option<i64>,
}

/// Asks `address` for the pipelines in turn, so often a second, until it is stopped.
pub async fn poll(address: SocketAddr, pipelines: &[i64], rate: f64, crowd: Option<&Crowd>, stop: &CancellationToken) -> Polls {
    let mut polls = Polls::default();
    let mut shown: HashMap<i64, i64> = HashMap::new();
    let mut connection = Connection::new(address, Duration::from_secs(10));
    let begun = tokio::time::Instant::now();
    for turn in 0_usize.. {
        let due = begun + Duration::from_secs_f64(turn as f64 / rate);
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = tokio::time::sleep_until(due) => {}
        }
        let pipeline = pipelines[turn % pipelines.len()];
        let known = newest(crowd, address, pipeline).max(shown.get(&pipeline).copied().unwrap_or_default());
        let asked = Instant::now();
        match connection.send(&get(address, &format!("/api/v1/pipelines/{pipeline}/status/realtime"))).await {
            Ok(answer) if answer.status == 200 => {
                polls.latencies.push(asked.elapsed());
                let seq = serde_json::from_slice::<Status>(&answer.body)
                    .ok()
                    .and_then(|status| status.seq)
                    .unwrap_or_default();
                polls.stale += usize::from(seq < known);
                shown.insert(pipeline, seq.max(known));
            }
            _ => polls.failed += 1,
        }
    }
    polls
}

/// The newest sequence that a socket at this address has shown; a proxy's answers may come from another node than its sockets.
fn newest(crowd: Option<&Crowd>, address: SocketAddr, pipeline: i64) -> i64 {
    let members = crowd.iter().flat_map(|crowd| &crowd.members);
    members
        .filter(|member| member.pipeline == pipeline && member.address == address)
        .map(|member| member.seq.load(Ordering::Relaxed))
        .max()
        .unwrap_or_default()
}
