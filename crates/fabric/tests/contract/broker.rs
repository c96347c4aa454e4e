//! A rabbitmq-server of the tests' own, on ports of its own, that can be killed, blocked and started again.
//! It ends with the process that started it, however that one ends, and its directory with it.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lapin::options::{BasicConsumeOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";
/// The largest message that it takes, in bytes.
pub(crate) const LARGEST_MESSAGE: usize = 1_000_000;
/// A start takes about five seconds, and more on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Broker {
    directory: PathBuf,
    port: u16,
    tls_port: u16,
    epmd_port: u16,
    dist_port: u16,
    server: std::sync::Mutex<Option<Child>>,
    /// Lives as long as its standard input is open, and takes everything with it.
    _watch: Child,
}

/// One for all tests that only need a broker. Each has queues of its own, by their prefix.
pub(crate) async fn shared() -> &'static Broker {
    static SHARED: OnceCell<Broker> = OnceCell::const_new();
    SHARED.get_or_init(|| async { Broker::start() }).await
}

/// One for tests that break it, one after the other.
pub(crate) async fn fragile() -> MutexGuard<'static, Broker> {
    static FRAGILE: OnceCell<Mutex<Broker>> = OnceCell::const_new();
    let broker = FRAGILE.get_or_init(|| async { Mutex::new(Broker::start()) }).await;
    broker.lock().await
}

/// An authority, a certificate for `localhost` that it has signed, and another authority.
fn certify(directory: &Path) {
    let script = r#"
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem
        openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout broker.key -out broker.csr
        printf 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n' > extensions
        openssl x509 -req -days 2 -in broker.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile extensions -out broker.pem
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=another -keyout another.key -out another.pem"#;
    let made = Command::new("sh").args(["-ec", script]).current_dir(directory).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn free_port() -> u16 {
    crate::ports::free().unwrap().port()
}

impl Broker {
    fn start() -> Broker {
        let directory = tempfile::tempdir().unwrap().keep();
        let (port, tls_port, epmd_port, dist_port) = (free_port(), free_port(), free_port(), free_port());
        std::fs::write(directory.join("plugins"), "[].").unwrap();
        certify(&directory);
        let at = |name: &str| directory.join(name).display().to_string();
        let settings = format!(
            "listeners.tcp.1 = 127.0.0.1:{port}\nlisteners.ssl.1 = 127.0.0.1:{tls_port}\nssl_options.cacertfile = {}\n\
             ssl_options.certfile = {}\nssl_options.keyfile = {}\nmax_message_size = {LARGEST_MESSAGE}\nlog.console = false\n\
             disk_free_limit.absolute = 50MB\n",
            at("ca.pem"),
            at("broker.pem"),
            at("broker.key"),
        );
        std::fs::write(directory.join("rabbitmq.conf"), settings).unwrap();
        let watch = Command::new("sh")
            .args([
                "-c",
                r#"epmd -address 127.0.0.1 -port "$2" & epmd=$!; cat; kill -9 "$(cat "$1/pid")" $epmd; rm -rf "$1""#,
                "watch",
            ])
            .arg(&directory)
            .arg(epmd_port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let broker = Broker {
            directory,
            port,
            tls_port,
            epmd_port,
            dist_port,
            server: std::sync::Mutex::default(),
            _watch: watch,
        };
        broker.begin();
        broker
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(Path::new(PROGRAMS).join(program));
        let at = |name: &str| self.directory.join(name);
        command
            .env("HOME", &self.directory)
            .env("RABBITMQ_NODENAME", format!("contract-{}@localhost", self.port))
            .env("RABBITMQ_NODE_PORT", self.port.to_string())
            .env("RABBITMQ_DIST_PORT", self.dist_port.to_string())
            .env("ERL_EPMD_PORT", self.epmd_port.to_string())
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_CONFIG_FILE", at("rabbitmq"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", at("plugins"))
            .env("RABBITMQ_MNESIA_BASE", at("mnesia"))
            .env("RABBITMQ_LOG_BASE", at("log"))
            .env("RABBITMQ_PID_FILE", at("pid"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Starts the server and waits until it takes connections.
    pub(crate) fn begin(&self) {
        *self.server.lock().unwrap() = Some(self.command("rabbitmq-server").spawn().unwrap());
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "the broker did not start within {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn signal(&self, signal: &str) {
        let id = std::fs::read_to_string(self.directory.join("pid")).unwrap();
        assert!(Command::new("kill").args([signal, id.trim()]).status().unwrap().success());
    }

    /// `kill -9`; returns once its port is free.
    pub(crate) fn kill(&self) {
        self.signal("-KILL");
        if let Some(mut server) = self.server.lock().unwrap().take() {
            server.wait().unwrap();
        }
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
            assert!(Instant::now() < deadline, "the broker still listens {PATIENCE:?} after it was killed");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// It keeps its connections and does nothing.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    /// Runs `rabbitmqctl`.
    pub(crate) fn control(&self, arguments: &[&str]) {
        let node = format!("contract-{}@localhost", self.port);
        let status = self.command("rabbitmqctl").args(["-n", &node]).args(arguments).status().unwrap();
        assert!(status.success(), "rabbitmqctl {arguments:?}");
    }

    /// Raises the memory alarm, which blocks whoever publishes.
    pub(crate) fn block(&self) {
        self.control(&["set_vm_memory_high_watermark", "0.00000001"]);
    }

    pub(crate) fn unblock(&self) {
        self.control(&["set_vm_memory_high_watermark", "0.4"]);
    }

    pub(crate) fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    pub(crate) fn tls_url(&self) -> String {
        format!("amqps://guest:guest@localhost:{}/%2f", self.tls_port)
    }

    /// The authority that has signed its certificate, in PEM.
    pub(crate) fn ca(&self) -> String {
        std::fs::read_to_string(self.file("ca.pem")).unwrap()
    }

    /// One that has signed nothing of it.
    pub(crate) fn another_ca(&self) -> String {
        std::fs::read_to_string(self.file("another.pem")).unwrap()
    }

    /// A file of its own: `ca.pem`, `another.pem`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A connection of the test's own, to look and to meddle.
    pub(crate) async fn connect(&self) -> (Connection, Channel) {
        let connection = Connection::connect(&self.url(), ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        (connection, channel)
    }

    pub(crate) async fn delete(&self, queue: &str) {
        let (_connection, channel) = self.connect().await;
        channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
    }

    /// How many messages are ready in a queue.
    pub(crate) async fn count(&self, queue: &str) -> u32 {
        let (_connection, channel) = self.connect().await;
        let declared = channel.queue_declare(queue.into(), QueueDeclareOptions::durable().passive(), FieldTable::default());
        declared.await.unwrap().message_count()
    }

    /// Takes what is in a queue in the way of a process that dies: the connection is cut with everything unsettled.
    pub(crate) async fn take_and_die(&self, queue: &str, count: usize) {
        use futures_util::StreamExt;

        let (connection, channel) = self.connect().await;
        let mut consumer = channel
            .basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default())
            .await
            .unwrap();
        for _ in 0..count {
            tokio::time::timeout(PATIENCE, consumer.next()).await.unwrap().unwrap().unwrap();
        }
        connection.close(200, "dies".into()).await.unwrap();
    }
}
