//! Clients as there are many of: some poll statuses and lists, some watch, and some of these come and go.
//! Knows nothing of what is measured.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pipecast::simulate::chance::Chance;
use pipecast::simulate::line::Line;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::topology::Topology;
use crate::watcher::{Form, Watcher};

/// How long a socket of those that come and go stays.
const STAYS: Duration = Duration::from_secs(3);

/// What there is to ask for, as the last list said: pipelines with their newest executions.
type Known = Arc<Mutex<Vec<(i64, i64)>>>;

/// Everybody, through the proxy, until `over`.
pub(super) fn gather(topology: &Topology, pollers: usize, sockets: usize, over: &CancellationToken) -> JoinSet<()> {
    let (address, known) = (topology.proxy.address(), Known::default());
    let mut tasks = JoinSet::new();
    for number in 0..pollers {
        spawn(&mut tasks, over, poll(address, Arc::clone(&known), Chance::new(number as u64)));
    }
    for number in 0..sockets {
        spawn(
            &mut tasks,
            over,
            watch(address, Arc::clone(&known), Chance::new(number as u64).apart(1), number % 10 == 0),
        );
    }
    tasks
}

fn spawn(tasks: &mut JoinSet<()>, over: &CancellationToken, client: impl Future<Output = ()> + Send + 'static) {
    let over = over.clone();
    tasks.spawn(async move {
        over.run_until_cancelled(client).await;
    });
}

async fn poll(address: SocketAddr, known: Known, mut chance: Chance) {
    let mut line = Line::new(address, Duration::from_secs(10));
    loop {
        let path = match pick(&known, &mut chance).filter(|_| chance.happens(0.8)) {
            Some((pipeline, _)) => format!("/api/v1/pipelines/{pipeline}/status/realtime"),
            // What the page asks for first, most of all.
            None if chance.happens(0.8) => "/api/v1/pipelines".to_owned(),
            None => ["/api/v1/pipelines?limit=100", "/api/v1/pipelines?status=running"][chance.below(2)].to_owned(),
        };
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
        let answer = line.send(request.as_bytes()).await;
        if let Ok(answer) = answer
            && path == "/api/v1/pipelines"
            && let Ok(page) = serde_json::from_slice::<Value>(&answer.body)
        {
            let items = page["items"].as_array().cloned().unwrap_or_default();
            let ids = items
                .iter()
                .filter_map(|item| Some((item["id"].as_i64()?, item["last_execution"]["id"].as_i64()?)));
            *known.lock().unwrap_or_else(PoisonError::into_inner) = ids.collect();
        }
        sleep(Duration::from_secs_f64(chance.between(0.8, 1.2))).await;
    }
}

async fn watch(address: SocketAddr, known: Known, mut chance: Chance, comes_and_goes: bool) {
    loop {
        let path = match pick(&known, &mut chance) {
            Some((pipeline, _)) if chance.happens(0.5) => format!("pipeline/{pipeline}"),
            Some((_, execution)) if chance.happens(0.9) => format!("execution/{execution}"),
            _ => "monitor".to_owned(),
        };
        let watching = Watcher::new(address, &path, Form::Plain).watch();
        let stays = if comes_and_goes { STAYS } else { Duration::from_secs(3600) };
        let _ = timeout(stays, watching).await;
    }
}

fn pick(known: &Known, chance: &mut Chance) -> Option<(i64, i64)> {
    let known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if known.is_empty() { None } else { Some(known[chance.below(known.len())]) }
}
