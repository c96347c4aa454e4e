//! One topology for all tests here, one after the other, whole again before each; and what senders do and see at it.
//! Knows nothing of single faults.

use std::io;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use futures_util::future::join_all;
use pipecast::simulate::line::{Answer, Line};
use pipecast_prove::process::Process;
use pipecast_prove::topology::{Plan, Topology};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, OnceCell};

/// Longest wait for something that has no bound of its own.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What runs in the topology belongs to this runtime, which outlives each single test.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

static HOUSE: OnceCell<Mutex<Topology>> = OnceCell::const_new();

/// Runs a test on the topology, which is whole when it begins. What it breaks, the next one heals.
pub(crate) fn on_the_house(test: impl AsyncFnOnce(&Topology)) {
    RUNTIME.block_on(async {
        let house = HOUSE.get_or_init(|| async { Mutex::new(raise().await) }).await.lock().await;
        heal(&house).await;
        test(&house).await;
    });
}

async fn raise() -> Topology {
    drop(rlimit::increase_nofile_limit(rlimit::INFINITY));
    let plan = Plan {
        standby: true,
        ..Plan::default()
    };
    Topology::start(plan.set("PIPECAST_SERVER__DRAIN_GRACE", "0s")).await.unwrap()
}

async fn heal(house: &Topology) {
    house.ways.iter().for_each(|way| way.gate.open());
    for process in house.processes() {
        if process.has_ended() {
            process.start().unwrap();
        }
        process.resume();
    }
    house.ready().await.unwrap();
    // A test that failed may have left it, and this takes a second.
    if get(house.edges[0].address(), "/health").await.1["status"] != "ok" {
        house.rabbitmq.clear_alarm().await.unwrap();
    }
}

/// A project of a test's own, with one pipeline.
pub(crate) struct Project(i64);

impl Project {
    pub(crate) fn fresh() -> Project {
        static NEXT: AtomicI64 = AtomicI64::new(700);
        Project(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// A run of its workflow as GitHub tells it; `second` orders the tellings.
    pub(crate) fn run(&self, run: i64, status: &str, second: u32) -> Delivery {
        let (name, project) = (format!("acme/rocket-{}", self.0), self.0);
        let conclusion = (status == "completed").then_some("success");
        let body = json!({
            "action": status,
            "workflow_run": {
                "id": project * 1_000_000 + run, "name": "CI", "workflow_id": project, "run_number": run, "run_attempt": 1, "event": "push",
                "status": status, "conclusion": conclusion, "head_branch": "main", "head_sha": "6dcb09b5b57875f334f61aebed695e2e4193db5e",
                "created_at": "2026-11-21T10:00:00Z", "run_started_at": "2026-11-21T10:00:00Z",
                "updated_at": format!("2026-11-21T10:{:02}:{:02}Z", second / 60, second % 60),
            },
            "workflow": {"id": project, "name": "CI", "path": ".github/workflows/ci.yml"},
            "repository": {"id": project, "full_name": name, "default_branch": "main"},
        });
        Delivery {
            key: format!("{project}-{run}-{status}-{second}"),
            body: body.to_string(),
        }
    }

    /// The id of its pipeline, once it has one.
    pub(crate) async fn pipeline(&self, house: &Topology) -> i64 {
        let sql = format!(
            "SELECT p.id FROM pipelines p JOIN projects r ON r.id = p.project_id WHERE r.external_id = '{}'",
            self.0
        );
        let begun = Instant::now();
        loop {
            if let Some(id) = sqlx::query_scalar(AssertSqlSafe(sql.clone()))
                .fetch_optional(&mut house.postgres.connect().await.unwrap())
                .await
                .unwrap()
            {
                return id;
            }
            assert!(begun.elapsed() < PATIENCE, "the pipeline never appears");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// What a host sends.
#[derive(Clone)]
pub(crate) struct Delivery {
    pub(crate) key: String,
    body: String,
}

impl Delivery {
    /// The bytes of the request, signed.
    pub(crate) fn request(&self, house: &Topology) -> Vec<u8> {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, house.secrets.github.as_bytes()), self.body.as_bytes());
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!(
            "POST /webhooks/github HTTP/1.1\r\nHost: pipecast\r\nContent-Type: application/json\r\nContent-Length: {}\r\nX-GitHub-Event: workflow_run\r\nX-GitHub-Delivery: {}\r\nX-Hub-Signature-256: sha256={hex}\r\n\r\n{}",
            self.body.len(),
            self.key,
            self.body,
        )
        .into_bytes()
    }

    /// Sends it once.
    pub(crate) async fn send(&self, house: &Topology, to: &Process) -> io::Result<Answer> {
        Line::new(to.address(), Duration::from_secs(15)).send(&self.request(house)).await
    }

    /// Sends it, and it must be accepted; where it is safe.
    pub(crate) async fn accepted(&self, house: &Topology, to: &Process) -> String {
        let answer = self.send(house, to).await.unwrap();
        assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        body["durability"].as_str().unwrap().to_owned()
    }
}

/// What became of a load.
pub(crate) struct Load {
    /// Keys of what was acknowledged.
    pub(crate) acknowledged: Vec<String>,
    /// Everything else that was answered, or no answer at all.
    pub(crate) refused: usize,
    /// How long each answer took, in the order of sending.
    pub(crate) waits: Vec<Duration>,
}

/// Sends deliveries at this rate to all edges in turn, whatever becomes of those before, each of a run of its own.
pub(crate) async fn load(house: &Topology, project: &Project, first: i64, count: i64, a_second: u64) -> Load {
    let begun = tokio::time::Instant::now();
    let sends = (0..count).map(|number| async move {
        tokio::time::sleep_until(begun + Duration::from_micros(number as u64 * 1_000_000 / a_second)).await;
        let delivery = project.run(first + number, "in_progress", 1);
        let sent = Instant::now();
        let answer = delivery.send(house, &house.edges[number as usize % house.edges.len()]).await;
        (delivery.key, answer.is_ok_and(|answer| answer.status == 202), sent.elapsed())
    });
    let mut load = Load {
        acknowledged: Vec::new(),
        refused: 0,
        waits: Vec::new(),
    };
    for (key, taken, wait) in join_all(sends).await {
        load.waits.push(wait);
        if taken {
            load.acknowledged.push(key);
        } else {
            load.refused += 1;
        }
    }
    load
}

/// Waits until everything that was acknowledged is written down, and returns how long that took; then nothing was done twice.
pub(crate) async fn applied(house: &Topology, keys: &[String], within: Duration) -> Duration {
    let begun = Instant::now();
    loop {
        let missing = match missing(house, keys).await {
            Ok(0) => break,
            missing => missing,
        };
        assert!(begun.elapsed() < within, "still missing after {within:?}: {missing:?} of {}", keys.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        count(
            house,
            "(SELECT 1 FROM topic_changes WHERE delivery_id IS NOT NULL GROUP BY topic, delivery_id HAVING count(*) > 1) twice"
        )
        .await,
        0
    );
    assert_eq!(
        count(
            house,
            "(SELECT 1 FROM topic_changes GROUP BY topic HAVING min(seq) <> 1 OR max(seq) <> count(*)) holes"
        )
        .await,
        0
    );
    begun.elapsed()
}

async fn missing(house: &Topology, keys: &[String]) -> anyhow::Result<i64> {
    let mut connection = house.postgres.connect().await?;
    let there: i64 = sqlx::query_scalar("SELECT count(*) FROM deliveries WHERE outcome = 'applied' AND delivery_key = ANY($1)")
        .bind(keys)
        .fetch_one(&mut connection)
        .await?;
    Ok(keys.len() as i64 - there)
}

/// The number of rows that a query of the test's own finds.
pub(crate) async fn count(house: &Topology, from: &str) -> i64 {
    let mut connection = house.postgres.connect().await.unwrap();
    sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {from}")))
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

/// Asks a process, who must answer.
pub(crate) async fn get(at: SocketAddr, path: &str) -> (u16, Value) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {at}\r\n\r\n");
    let answer = Line::new(at, Duration::from_secs(15)).send(request.as_bytes()).await.unwrap();
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

/// The status of a pipeline at an edge.
pub(crate) async fn status(edge: &Process, pipeline: i64) -> (u16, Value) {
    get(edge.address(), &format!("/api/v1/pipelines/{pipeline}/status/realtime")).await
}

pub(crate) async fn until<F: Future<Output = bool>>(what: &str, within: Duration, mut condition: impl FnMut() -> F) -> Duration {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < within, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    begun.elapsed()
}

/// Waits until an edge shows this status, and returns how long that took.
pub(crate) async fn shows(edge: &Process, pipeline: i64, word: &str, within: Duration) -> Duration {
    until(&format!("{} shows {word}", edge.name()), within, || async {
        status(edge, pipeline).await.1["status"] == word
    })
    .await
}
