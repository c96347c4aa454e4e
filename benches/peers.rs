//! The servers and peers of the intake bench: a private RabbitMQ and Redis, a schema, and two other receivers of deliveries.
//! Knows nothing of what is measured.
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on says so and ends")]

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use actix_web::{App, HttpResponse, HttpServer, web};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueuePurgeOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::rig;

/// Queues of the two other receivers.
pub(crate) const BARE_QUEUE: &str = "bare.intake";
pub(crate) const PYTHON_QUEUE: &str = "peer.intake";

/// A broker: the one that is named in `PIPECAST_TEST_RABBITMQ`, or one of our own that ends with us, however we end.
pub(crate) struct Broker {
    pub(crate) url: String,
    _watch: Option<Child>,
}

impl Broker {
    pub(crate) fn find() -> Broker {
        if let Ok(url) = std::env::var("PIPECAST_TEST_RABBITMQ") {
            return Broker { url, _watch: None };
        }
        let directory = tempfile::tempdir_in("target").unwrap().keep().canonicalize().unwrap();
        let (port, dist_port, epmd_port) = (rig::free_port(), rig::free_port(), rig::free_port());
        fs::write(directory.join("plugins"), "[].").unwrap();
        let settings = format!("listeners.tcp.1 = 127.0.0.1:{port}\nlog.console = false\ndisk_free_limit.absolute = 50MB\n");
        fs::write(directory.join("rabbitmq.conf"), settings).unwrap();
        let at = |name: &str| directory.join(name);
        // Lives as long as its standard input is open, and takes everything with it.
        let watch = Command::new("sh")
            .args([
                "-c",
                r#"epmd -address 127.0.0.1 -port "$ERL_EPMD_PORT" & epmd=$!
                   /usr/lib/rabbitmq/bin/rabbitmq-server & cat
                   kill -9 "$(cat "$RABBITMQ_PID_FILE")" $epmd; rm -rf "$HOME""#,
            ])
            .env("HOME", &directory)
            .env("RABBITMQ_NODENAME", format!("intake-{port}@localhost"))
            .env("RABBITMQ_NODE_PORT", port.to_string())
            .env("RABBITMQ_DIST_PORT", dist_port.to_string())
            .env("ERL_EPMD_PORT", epmd_port.to_string())
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_CONFIG_FILE", at("rabbitmq"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", at("plugins"))
            .env("RABBITMQ_MNESIA_BASE", at("mnesia"))
            .env("RABBITMQ_LOG_BASE", at("log"))
            .env("RABBITMQ_PID_FILE", at("pid"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_long_for(([127, 0, 0, 1], port).into());
        Broker {
            url: format!("amqp://guest:guest@127.0.0.1:{port}/%2f"),
            _watch: Some(watch),
        }
    }

    /// Throws away what lies in a queue, so that no round pays for the one before; how many there were.
    pub(crate) fn purge(&self, queue: &str) -> u32 {
        rig_runtime().block_on(async {
            let (_connection, channel) = connect(&self.url).await;
            channel.queue_purge(queue.into(), QueuePurgeOptions::default()).await.unwrap()
        })
    }
}

/// A Redis of our own.
pub(crate) struct Redis {
    pub(crate) url: String,
    server: Child,
}

impl Redis {
    pub(crate) fn start() -> Redis {
        let port = rig::free_port();
        let server = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server; on Debian: apt-get install redis-server");
        rig::wait_for(([127, 0, 0, 1], port).into());
        Redis {
            url: format!("redis://127.0.0.1:{port}"),
            server,
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A schema of our own on the PostgreSQL that tests use, dropped with this.
pub(crate) struct Schema {
    pub(crate) url: String,
    server: String,
    name: String,
}

impl Schema {
    pub(crate) fn create() -> Schema {
        let server = std::env::var("PIPECAST_TEST_POSTGRES").unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/postgres".to_owned());
        let name = format!("intake_{}", std::process::id());
        let schema = Schema {
            url: format!("{server}?options[search_path]={name}"),
            server,
            name,
        };
        schema.order("CREATE SCHEMA");
        schema
    }

    fn order(&self, verb: &str) {
        let cascade = if verb.starts_with("DROP") { "CASCADE" } else { "" };
        let sql = format!("{verb} {} {cascade}", self.name);
        rig_runtime().block_on(async {
            let mut connection = PgConnection::connect(&self.server).await.expect("PostgreSQL; or set PIPECAST_TEST_POSTGRES");
            sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        });
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        self.order("DROP SCHEMA");
    }
}

/// FastAPI, uvicorn and aio-pika, in an environment of their own below `target` that is made once for each requirements.txt.
pub(crate) struct Python {
    pub(crate) address: SocketAddr,
    server: Child,
}

impl Python {
    pub(crate) fn start(broker: &Broker) -> Python {
        let port = rig::free_port();
        let server = Command::new(environment().join("bin/uvicorn"))
            .args(["receiver:app", "--app-dir", "benches/peers", "--host", "127.0.0.1", "--port", &port.to_string()])
            .args([
                "--workers",
                "1",
                "--loop",
                "uvloop",
                "--http",
                "httptools",
                "--no-access-log",
                "--log-level",
                "warning",
            ])
            .env("PEER_AMQP_URL", &broker.url)
            .env("PEER_QUEUE", PYTHON_QUEUE)
            .env("PEER_SECRET", rig::Service::SECRET)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .spawn()
            .unwrap();
        let address = ([127, 0, 0, 1], port).into();
        rig::wait_for(address);
        Python { address, server }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.server.id()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn environment() -> PathBuf {
    const WANTED: &str = include_str!("peers/requirements.txt");
    let place = Path::new("target/peers");
    if fs::read_to_string(place.join("made-from")).is_ok_and(|made| made == WANTED) {
        return place.to_owned();
    }
    let run = |command: &mut Command| assert!(command.status().unwrap().success(), "{command:?}");
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(place));
    run(Command::new(place.join("bin/pip"))
        .args(["install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg("benches/peers/requirements.txt"));
    fs::write(place.join("made-from"), WANTED).unwrap();
    place.to_owned()
}

/// The floor, in a process of its own: the same HTTP library, a publish and its confirm, and nothing else.
pub(crate) fn serve_bare(url: &str) {
    // It ends with whoever started it.
    std::thread::spawn(|| {
        let _ = std::io::read_to_string(std::io::stdin());
        std::process::exit(0);
    });
    actix_web::rt::System::new().block_on(async {
        let (_connection, channel) = connect(url).await;
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let mut quorum = FieldTable::default();
        quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        channel.queue_declare(BARE_QUEUE.into(), QueueDeclareOptions::durable(), quorum).await.unwrap();
        let server = HttpServer::new(move || {
            App::new()
                .app_data(web::Data::new(channel.clone()))
                .app_data(web::PayloadConfig::new(25 << 20))
                .route("/webhooks/github", web::post().to(publish))
        })
        .tcp_nodelay(true)
        .disable_signals()
        .bind("127.0.0.1:0")
        .unwrap();
        rig::say(&server.addrs()[0].to_string());
        server.run().await.unwrap();
    });
}

async fn publish(channel: web::Data<Channel>, body: web::Bytes) -> HttpResponse {
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let properties = BasicProperties::default().with_delivery_mode(2);
    let confirm = channel.basic_publish("".into(), BARE_QUEUE.into(), options, &body, properties).await.unwrap();
    match confirm.await {
        Ok(Confirmation::Ack(None)) => HttpResponse::Accepted().content_type("application/json").body(r#"{"status":"received"}"#),
        _ => HttpResponse::ServiceUnavailable().finish(),
    }
}

async fn connect(url: &str) -> (Connection, Channel) {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

fn rig_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// RabbitMQ takes its time to start.
fn wait_long_for(address: SocketAddr) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "RabbitMQ did not start; is /usr/lib/rabbitmq there?");
        std::thread::sleep(Duration::from_millis(100));
    }
}
