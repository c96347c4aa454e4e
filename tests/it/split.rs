//! Roles in processes of their own, on PostgreSQL, Redis and RabbitMQ: who waits for whom, and what goes on without whom.
//! Each deployment has a schema, a Redis and queues of its own.

use std::collections::BTreeSet;
use std::future::Future;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pipecast::config::Config;
use pipecast::roles::{self, Role, Running};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;

use crate::app::{config_in, github};
use crate::http::Request;
use crate::live::run;
use crate::socket::Socket;

/// Longest wait for something that must become so.
const PATIENCE: Duration = Duration::from_secs(30);

/// What several processes share. Dropped, it is taken away.
pub struct Deployment {
    /// Of the schema, of the queues, and of our connections at the server.
    pub name: String,
    folder: TempDir,
    redis: Child,
    redis_port: u16,
}

impl Deployment {
    pub async fn lay() -> Deployment {
        let name = format!("it_{}", uuid::Uuid::new_v4().simple());
        order(&format!("CREATE SCHEMA {name}")).await;
        let redis_port = crate::ports::free().unwrap().port();
        let redis = Command::new("redis-server")
            .args(["--port", &redis_port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        Deployment {
            name,
            folder: tempfile::tempdir().unwrap(),
            redis,
            redis_port,
        }
    }

    pub fn config(&self, process: &str) -> Config {
        let mut config = config_in(&self.folder.path().join(process));
        config.store.url = Some(format!("{}?options[search_path]={}", postgres(), self.name));
        config.keys.file = Some(self.folder.path().join("keyring").display().to_string());
        config.fabric.redis_url = Some(format!("redis://127.0.0.1:{}", self.redis_port));
        config.fabric.amqp_url = Some(std::env::var("PIPECAST_TEST_RABBITMQ").unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672".to_owned()));
        config.fabric.rabbitmq.prefix = self.name.clone();
        config
    }

    pub async fn start(&self, process: &str, role: Role) -> Running {
        roles::start(self.config(process), &BTreeSet::from([role])).await.expect(process)
    }

    /// Changes the schema behind the service's back.
    pub async fn order(&self, sql: &'static str) {
        let mut connection = PgConnection::connect(&format!("{}?options[search_path]={}", postgres(), self.name))
            .await
            .unwrap();
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    }

    /// The number that a query of our own finds in the schema.
    pub async fn count(&self, rest: &str) -> i64 {
        let mut connection = PgConnection::connect(&format!("{}?options[search_path]={}", postgres(), self.name))
            .await
            .unwrap();
        sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {rest}")))
            .fetch_one(&mut connection)
            .await
            .unwrap()
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        drop(self.redis.kill());
        drop(self.redis.wait());
        let name = self.name.clone();
        let clean = async move {
            order(&format!("DROP SCHEMA IF EXISTS {name} CASCADE")).await;
            drop_queues(&name).await;
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        std::thread::spawn(move || runtime.block_on(clean)).join().unwrap();
    }
}

pub fn postgres() -> String {
    std::env::var("PIPECAST_TEST_POSTGRES").unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/postgres".to_owned())
}

async fn order(sql: &str) {
    let mut connection = PgConnection::connect(&postgres()).await.unwrap();
    sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
}

/// A queue that is durable outlives the test that made it.
pub async fn drop_queues(prefix: &str) {
    let broker = std::env::var("PIPECAST_TEST_RABBITMQ").unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672".to_owned());
    let connection = lapin::Connection::connect(&broker, lapin::ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    for rest in ["urgent", "urgent.soon", "urgent.later", "bulk", "bulk.soon", "bulk.later", "quarantine", "dead"] {
        let name = format!("{prefix}.v1.{rest}");
        channel
            .queue_delete(name.as_str().into(), lapin::options::QueueDeleteOptions::default())
            .await
            .unwrap();
    }
}

pub async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let began = Instant::now();
    while !condition().await {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub async fn is_ready(process: &Running) -> bool {
    Request::get("/health/ready").send(process.address).await.status == 200
}

async fn health(process: &Running) -> Value {
    Request::get("/health").send(process.address).await.json()
}

pub async fn status_at(edge: &Running) -> Value {
    let answer = Request::get("/api/v1/pipelines/1/status/realtime").send(edge.address).await;
    answer.json()["status"].clone()
}

#[tokio::test]
async fn what_is_delivered_at_one_edge_shows_at_a_socket_of_the_other() {
    let deployment = Deployment::lay().await;
    let admin = deployment.start("admin", Role::Admin).await;
    let edges = [
        deployment.start("edge 1", Role::Realtime).await,
        deployment.start("edge 2", Role::Realtime).await,
    ];
    let workers = [
        deployment.start("worker 1", Role::Worker).await,
        deployment.start("worker 2", Role::Worker).await,
    ];
    for process in edges.iter().chain(&workers).chain([&admin]) {
        until("everyone is ready", || is_ready(process)).await;
    }

    let answer = github("workflow_run", run(1001, "in_progress", None, 1).to_string())
        .send(edges[0].address)
        .await;
    assert_eq!(answer.status, 202);
    until("it shows at the other edge", || async { status_at(&edges[1]).await == "running" }).await;
    let mut socket = Socket::plain(edges[1].address, "/ws/pipeline/1").await;
    socket.json_of("snapshot").await;
    github("workflow_run", run(1001, "completed", Some("success"), 9).to_string())
        .send(edges[0].address)
        .await;

    assert_eq!(socket.json_of("status_change").await["status"], "success");
    assert_eq!(status_at(&edges[0]).await, "success");
    drop(socket);

    // A worker and an admin alone say how they are, and nothing else.
    for process in [&workers[0], &admin] {
        assert_eq!(Request::get("/").send(process.address).await.json()["links"]["health"], "/health");
        assert_eq!(Request::get("/metrics").send(process.address).await.status, 200);
        assert_eq!(Request::get("/api/v1/pipelines").send(process.address).await.problem(), "not_found");
        assert_eq!(Request::post("/webhooks/github", "{}").send(process.address).await.status, 404);
    }
    assert!(health(&admin).await["dependencies"].get("redis").is_none(), "an admin does not need it");
    assert_eq!(health(&workers[0]).await["dependencies"]["queue"]["state"], "ok");
    for process in edges.into_iter().chain(workers).chain([admin]) {
        process.stop().await.expect("it stops in time");
    }
}

#[tokio::test]
async fn everyone_waits_for_the_schema_and_two_admins_bring_it_once() {
    let deployment = Deployment::lay().await;
    let edge = deployment.start("edge", Role::Realtime).await;
    let worker = deployment.start("worker", Role::Worker).await;
    for process in [&edge, &worker] {
        assert_eq!(Request::get("/health/live").send(process.address).await.status, 200);
        until("the schema is seen to be missing", || async {
            health(process).await["dependencies"]["schema"]["state"] == "missing"
        })
        .await;
        assert!(!is_ready(process).await);
    }
    // What is safe at the broker waits for the worker, and the worker for the schema.
    let answer = github("workflow_run", run(1001, "in_progress", None, 1).to_string()).send(edge.address).await;
    assert_eq!(answer.status, 202);

    let (one, two) = tokio::join!(deployment.start("admin 1", Role::Admin), deployment.start("admin 2", Role::Admin));

    for process in [&edge, &worker, &one, &two] {
        until("everyone is ready", || is_ready(process)).await;
    }
    until("what waited is written", || async { deployment.count("executions").await == 1 }).await;
    assert_eq!(deployment.count("meta WHERE key = 'epoch'").await, 1);
    until("it shows", || async { status_at(&edge).await == "running" }).await;
}

#[tokio::test]
async fn a_database_that_is_down_at_the_start_is_waited_for() {
    let deployment = Deployment::lay().await;
    let mut gate = Gate::shut();
    let mut processes = Vec::new();
    for (name, role) in [("admin", Role::Admin), ("worker", Role::Worker), ("edge", Role::Realtime)] {
        let mut config = deployment.config(name);
        let behind = config.store.url.take().unwrap();
        let at = behind.find('@').unwrap();
        let slash = behind[at..].find('/').unwrap() + at;
        gate.server = match &behind[at + 1..slash] {
            server if server.contains(':') => server.to_owned(),
            server => format!("{server}:5432"),
        };
        config.store.url = Some(format!("{}@{}{}", &behind[..at], gate.address, &behind[slash..]));
        processes.push(roles::start(config, &BTreeSet::from([role])).await.expect("it starts without the database"));
    }
    let [admin, worker, edge] = &processes[..] else {
        unreachable!("there are three")
    };
    assert!(!is_ready(admin).await && !is_ready(worker).await);
    assert!(is_ready(edge).await, "it takes deliveries, and Redis has the states");
    let answer = github("workflow_run", run(1001, "in_progress", None, 1).to_string()).send(edge.address).await;
    assert_eq!(answer.status, 202);

    gate.open();

    for process in &processes {
        until("everyone is ready", || is_ready(process)).await;
    }
    until("what waited shows", || async { status_at(edge).await == "running" }).await;
}

#[tokio::test]
async fn a_deployment_holds_less_than_fifty_connections() {
    let deployment = Deployment::lay().await;
    let mut processes = Vec::new();
    for (name, role) in [
        ("admin", Role::Admin),
        ("worker 1", Role::Worker),
        ("worker 2", Role::Worker),
        ("edge 1", Role::Realtime),
        ("edge 2", Role::Realtime),
    ] {
        let mut config = deployment.config(name);
        config.store.url = config.store.url.map(|url| format!("{url}&application_name={}", deployment.name));
        processes.push(roles::start(config, &BTreeSet::from([role])).await.expect(name));
    }
    let edges = &processes[3..];

    let asking = (0..400).map(|number| {
        let address = edges[number % 2].address;
        async move {
            if number % 4 == 0 {
                let body = run(number as i64, "in_progress", None, 1).to_string();
                github("workflow_run", body).send(address).await.status
            } else {
                Request::get("/api/v1/pipelines").send(address).await.status
            }
        }
    });
    let answers = tokio::spawn(futures_util::future::join_all(asking));
    let ours = format!("pg_stat_activity WHERE application_name = '{}'", deployment.name);
    let mut most = 0;
    while !answers.is_finished() {
        most = most.max(deployment.count(&ours).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    let others: Vec<_> = answers.await.unwrap().into_iter().filter(|status| ![200, 202].contains(status)).collect();
    assert!(others.is_empty(), "{others:?}");
    assert!(most > 0 && most < 50, "{most}");
}

/// A door before the database: shut, nobody listens behind it.
struct Gate {
    address: std::net::SocketAddr,
    /// Host and port of the database behind it.
    server: String,
}

impl Gate {
    fn shut() -> Gate {
        Gate {
            address: crate::ports::free().unwrap(),
            server: String::new(),
        }
    }

    /// From now on whatever comes goes through.
    fn open(&self) {
        let listener = std::net::TcpListener::bind(self.address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let server = self.server.clone();
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let server = server.clone();
                tokio::spawn(async move {
                    let mut server = tokio::net::TcpStream::connect(&server).await.unwrap();
                    drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
                });
            }
        });
    }
}
