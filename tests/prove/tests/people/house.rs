//! One topology for all tests here, one after the other, with an admin and two pipelines; and people and programs on it.
//! Knows nothing of what is taken away from whom.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use pipecast_prove::process::Process;
use pipecast_prove::topology::{Plan, Topology};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, OnceCell};

use crate::http::{Answer, Request};
use crate::socket::{Socket, Stream};

const ADMIN: &str = "ada";
const PASSWORD: &str = "correct horse battery staple";

/// Longest wait for something that has no bound of its own.
const PATIENCE: Duration = Duration::from_secs(60);

/// What runs in the topology belongs to this runtime, which outlives each single test.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

static HOUSE: OnceCell<Mutex<House>> = OnceCell::const_new();

/// The topology with an admin who has logged in, and two pipelines, 1 and 2, each of a project of its own with the same id.
pub struct House {
    pub topology: Topology,
    pub admin: String,
}

/// Somebody with a session.
pub struct Person {
    pub id: i64,
    pub access: String,
    pub refresh: String,
}

/// Runs a test on the topology, which is whole when it begins.
pub fn on_the_house(test: impl AsyncFnOnce(&mut House)) {
    RUNTIME.block_on(async {
        let mut house = HOUSE.get_or_init(|| async { Mutex::new(House::raise().await) }).await.lock().await;
        for process in house.topology.processes() {
            if process.has_ended() {
                process.start().unwrap();
            }
        }
        house.topology.ready().await.unwrap();
        house.admin = house.log_in(ADMIN).await.access;
        test(&mut house).await;
    });
}

impl House {
    async fn raise() -> House {
        let plan = Plan::default()
            .set("PIPECAST_SERVER__DRAIN_GRACE", "0s")
            .set("PIPECAST_SERVER__ANONYMOUS_READING", "loopback")
            .set("PIPECAST_AUTH__PASSWORD_MEMORY", "8MiB")
            .set("PIPECAST_AUTH__PASSWORD_PASSES", "1");
        let topology = Topology::start(plan).await.unwrap();
        let mut house = House {
            topology,
            admin: String::new(),
        };
        let token = house.setup_token().await;
        let founded = post("/admin/v1/setup", &json!({"token": token, "name": ADMIN, "password": PASSWORD}));
        assert_eq!(founded.send(house.proxy()).await.status, 201);
        house.admin = house.log_in(ADMIN).await.access;
        for project in [1, 2] {
            house.deliver(project).await;
            let path = format!("/api/v1/pipelines/{project}");
            until("the pipeline is there", || async { house.get(&path, &house.admin).await == 200 }).await;
        }
        house
    }

    /// What the admin's log says once, for whoever runs it.
    async fn setup_token(&self) -> String {
        let begun = Instant::now();
        loop {
            let log = std::fs::read_to_string(self.topology.admin.log()).unwrap_or_default();
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(token) = lines.into_iter().find_map(|line| line["fields"]["setup_token"].as_str().map(str::to_owned)) {
                return token;
            }
            assert!(begun.elapsed() < PATIENCE, "no setup token in the admin's log");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A run of a repository, as GitHub tells it, through the proxy.
    async fn deliver(&self, project: i64) {
        let body = json!({
            "action": "in_progress",
            "workflow_run": {
                "id": project * 1_000, "name": "CI", "workflow_id": project, "run_number": 1, "run_attempt": 1, "event": "push",
                "status": "in_progress", "conclusion": null, "head_branch": "main",
                "head_sha": "6dcb09b5b57875f334f61aebed695e2e4193db5e",
                "created_at": "2026-11-21T10:00:00Z", "run_started_at": "2026-11-21T10:00:00Z", "updated_at": "2026-11-21T10:00:01Z",
            },
            "workflow": {"id": project, "name": "CI", "path": ".github/workflows/ci.yml"},
            "repository": {"id": project, "full_name": format!("acme/rocket-{project}"), "default_branch": "main"},
        })
        .to_string();
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, self.topology.secrets.github.as_bytes()), body.as_bytes());
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let request = Request::post("/webhooks/github", body)
            .header("Content-Type", "application/json")
            .header("X-GitHub-Event", "workflow_run")
            .header("X-GitHub-Delivery", format!("first-{project}"))
            .header("X-Hub-Signature-256", format!("sha256={hex}"));
        assert_eq!(request.send(self.proxy()).await.status, 202);
    }

    pub fn proxy(&self) -> SocketAddr {
        self.topology.proxy.address()
    }

    /// Sends it to the admin as an admin, through the proxy, and expects success.
    pub async fn done(&self, request: Request) -> Value {
        let answer = request.header("Authorization", format!("Bearer {}", self.admin)).send(self.proxy()).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!((200..300).contains(&answer.status), "{}: {text}", answer.status);
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// The status of a request at the proxy.
    pub async fn get(&self, path: &str, token: &str) -> u16 {
        get(self.proxy(), path, token).await.status
    }

    pub async fn log_in(&self, name: &str) -> Person {
        let answer = post("/admin/v1/sessions", &json!({"name": name, "password": PASSWORD}))
            .send(self.proxy())
            .await;
        let session: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer.status, 201, "{session}");
        Person {
            id: session["user_id"].as_i64().unwrap(),
            access: session["access_token"].as_str().unwrap().to_owned(),
            refresh: session["refresh_token"].as_str().unwrap().to_owned(),
        }
    }

    /// Somebody new with a role everywhere, logged in.
    pub async fn person(&self, role: Option<&str>) -> Person {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("somebody-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.done(post("/admin/v1/users", &json!({"name": name, "role": role, "password": PASSWORD})))
            .await;
        self.log_in(&name).await
    }

    /// Somebody new with a role in one project.
    pub async fn member(&self, project: i64) -> Person {
        let person = self.person(None).await;
        let name = self.done(Request::get(&format!("/admin/v1/users/{}", person.id))).await["name"].clone();
        let body = json!({"user_name": name, "role": "viewer"});
        self.done(post(&format!("/admin/v1/projects/{project}/members"), &body)).await;
        person
    }

    /// A token of the admin that reads pipelines; its id and text.
    pub async fn token(&self) -> (String, String) {
        let issued = self
            .done(post("/admin/v1/tokens", &json!({"name": "machine", "scopes": ["pipelines:read"]})))
            .await;
        (issued["id"].as_str().unwrap().to_owned(), issued["token"].as_str().unwrap().to_owned())
    }

    pub async fn redis(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.topology.redis.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }
}

pub fn post(path: &str, body: &Value) -> Request {
    Request::post(path, body.to_string()).header("Content-Type", "application/json")
}

/// A request with a token, wherever it goes.
pub async fn get(at: SocketAddr, path: &str, token: &str) -> Answer {
    Request::get(path).header("Authorization", format!("Bearer {token}")).send(at).await
}

/// A socket on the first pipeline, which has shown its snapshot.
pub async fn watch(at: &Process, token: &str) -> Socket {
    let bearer = format!("Bearer {token}");
    let mut socket = Socket::open(at.address(), "/ws/pipeline/1", &[("Authorization", &bearer)]).await.unwrap();
    socket.json_of("snapshot").await;
    socket
}

/// An event stream of the first pipeline, which has shown its snapshot.
pub async fn stream(at: &Process, token: &str) -> Stream {
    let bearer = format!("Bearer {token}");
    let mut stream = Stream::open_with(at.address(), "/sse/pipeline/1", &[("Authorization", &bearer)]).await;
    assert_eq!(stream.next().await.unwrap().kind, "snapshot");
    stream
}

pub async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) -> Duration {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    begun.elapsed()
}
