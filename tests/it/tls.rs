//! TLS: HTTPS at the proxy with the deployed files, and PostgreSQL, Redis and RabbitMQ behind the service, each with certificates of an
//! authority of the test's own.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::app::TestApp;
use crate::broker;
use crate::live::run;
use crate::postgres::Postgres;
use crate::proxy::{Proxy, nobody};

const NAME: &str = "ci.example.org";

/// Makes an authority `NAME.pem` with its key in `folder`.
fn authority(folder: &Path, name: &str) -> PathBuf {
    let script = format!("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem");
    shell(folder, &script);
    folder.join(format!("{name}.pem"))
}

/// Makes `certificate.pem` and `key.pem` for these names (`DNS:…`, `IP:…`), signed by `ca`.
fn certify(folder: &Path, names: &str) {
    let script = format!(
        "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=server -keyout key.pem -out request
         printf 'subjectAltName={names}' > names
         openssl x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out certificate.pem"
    );
    shell(folder, &script);
}

fn shell(folder: &Path, script: &str) {
    let done = Command::new("sh").args(["-ec", script]).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Runs a program beside the service, which may live on this very thread.
async fn beside(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// Makes of the deployed files what docs/operations.md tells an operator to make of them.
fn lay_as_documented(here: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/operations.md")).unwrap();
    let told: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| line.starts_with("sed "))
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    for line in told {
        shell(root, &line.replace("/etc/nginx/here", &here.display().to_string()));
    }
}

/// The proxy with `deploy/proxy/tls`, in front of a service that knows its name.
struct Secured {
    app: TestApp,
    proxy: Proxy,
    plain: SocketAddr,
    ca: PathBuf,
    another: PathBuf,
    _room: TempDir,
}

impl Secured {
    async fn start() -> Secured {
        let app = TestApp::start_with(|config| {
            config.server.anonymous_reading = pipecast_http::AnonymousReading::Everyone;
            config.server.trusted_proxies = pipecast_http::TrustedProxies::new(vec!["127.0.0.1".parse().unwrap()]);
            config.server.public_url = Some(format!("https://{NAME}"));
        })
        .await;
        let room = tempfile::tempdir().unwrap();
        let (ca, another) = (authority(room.path(), "ca"), authority(room.path(), "another"));
        certify(room.path(), &format!("DNS:{NAME}"));
        let (address, plain) = (nobody(), nobody());
        let proxy = Proxy::start_at(address, &[app.address], nobody(), |here| {
            lay_as_documented(here);
            for (name, port, address) in [("listen.conf", "listen 443", address), ("redirect.conf", "listen 80;", plain)] {
                let text = fs::read_to_string(here.join(name)).unwrap();
                assert_eq!(text.matches(port).count(), 1, "{port} in {text}");
                let end = if port.ends_with(';') { ";" } else { "" };
                fs::write(here.join(name), text.replace(port, &format!("listen {address}{end}"))).unwrap();
            }
            for file in ["certificate.pem", "key.pem"] {
                fs::copy(room.path().join(file), here.join(file)).unwrap();
            }
        });
        Secured {
            app,
            proxy,
            plain,
            ca,
            another,
            _room: room,
        }
    }

    /// What curl says to an address under a name: its exit code, and the answer with its head.
    async fn curl(&self, url: &str, more: &[&str]) -> (i32, String) {
        let mut command = Command::new("curl");
        command.args(["-sSi", "--max-time", "20"]);
        for name in [NAME, "other.example.org"] {
            for address in [self.proxy.address, self.plain] {
                command.args(["--resolve", &format!("{name}:{}:127.0.0.1", address.port())]);
            }
        }
        let output = beside({
            command.args(more).arg(url);
            command
        })
        .await;
        let text = String::from_utf8_lossy(&output.stdout).to_lowercase() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code().unwrap_or(-1), text)
    }
}

#[tokio::test]
async fn https_is_served_and_plain_http_leads_there() {
    let secured = Secured::start().await;
    let (tls, plain) = (secured.proxy.address.port(), secured.plain.port());
    let (ca, another) = (secured.ca.display().to_string(), secured.another.display().to_string());
    let (url, known) = (format!("https://{NAME}:{tls}/health/live"), ["--cacert", ca.as_str()]);

    let (code, text) = secured.curl(&url, &known).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("http/1.1 200"), "{text}");
    assert_eq!(
        text.matches("strict-transport-security: max-age=63072000; includesubdomains\r\n").count(),
        1,
        "{text}"
    );
    assert_eq!(text.matches("x-content-type-options: ").count(), 1, "{text}");
    // The admin is away, so this is nginx's own.
    let (_, own) = secured.curl(&format!("https://{NAME}:{tls}/admin/v1/me"), &known).await;
    assert!(own.starts_with("http/1.1 503") && own.contains("urn:pipecast:problem:unavailable"), "{own}");
    for header in [
        "strict-transport-security: max-age=63072000; includesubdomains",
        "x-content-type-options: nosniff",
        "x-frame-options: deny",
    ] {
        assert_eq!(own.matches(&format!("{header}\r\n")).count(), 1, "{header} in {own}");
    }

    for (why, url, more) in [
        ("another authority", url.clone(), vec!["--cacert", &another]),
        ("nobody known", url.clone(), vec![]),
        ("another name", url.replace(NAME, "other.example.org"), known.to_vec()),
    ] {
        assert_eq!(secured.curl(&url, &more).await.0, 60, "{why}: curl does not believe the certificate");
    }
    let (code, text) = secured
        .curl(&url, &["--cacert", &ca, "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"])
        .await;
    assert_eq!(code, 35, "TLS 1.1 is not spoken: {text}");

    let (_, text) = secured.curl(&format!("http://{NAME}:{plain}/api/v1/pipelines?limit=1"), &[]).await;
    assert!(text.starts_with("http/1.1 308"), "{text}");
    assert!(text.contains(&format!("location: https://{NAME}/api/v1/pipelines?limit=1\r\n")), "{text}");
    let (_, text) = secured.curl(&format!("http://{NAME}:{plain}/webhooks/github"), &["-d", "{}"]).await;
    assert!(text.starts_with("http/1.1 403"), "what changes something is not led on: {text}");
}

#[tokio::test]
async fn a_socket_goes_through_tls() {
    let secured = Secured::start().await;
    secured.app.deliver_github("workflow_run", &run(1001, "in_progress", None, 1)).await;
    secured.app.until_status(1, "running").await;
    let host = format!("{NAME}:{}", secured.proxy.address.port());
    let mut command = Command::new("timeout");
    command
        .args([
            "20",
            "openssl",
            "s_client",
            "-quiet",
            "-verify_return_error",
            "-verify_hostname",
            NAME,
            "-servername",
            NAME,
        ])
        .arg("-CAfile")
        .arg(&secured.ca)
        .args(["-connect", &secured.proxy.address.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let handshake = format!(
        "GET /ws/pipeline/1 HTTP/1.1\r\nHost: {host}\r\nOrigin: https://{host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n"
    );

    let heard = tokio::task::spawn_blocking(move || {
        let mut client = Killed(command.spawn().unwrap());
        client.0.stdin.as_mut().unwrap().write_all(handshake.as_bytes()).unwrap();
        let (mut heard, mut bytes) = (String::new(), [0; 4096]);
        while !heard.contains(r#""type":"snapshot""#) {
            match client.0.stdout.as_mut().unwrap().read(&mut bytes).unwrap() {
                0 => break,
                read => heard += &String::from_utf8_lossy(&bytes[..read]),
            }
        }
        heard
    });
    let heard = heard.await.unwrap();

    assert!(heard.starts_with("HTTP/1.1 101"), "{heard}");
    assert!(heard.contains(r#""type":"snapshot""#) && heard.contains("running"), "{heard}");
}

/// A child that ends with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A Redis that speaks nothing but TLS, with a certificate for 127.0.0.1.
fn redis(folder: &Path) -> (Killed, u16) {
    let port = crate::ports::free().unwrap().port();
    let file = |name: &str| folder.join(name).display().to_string();
    let server = Command::new("redis-server")
        .args([
            "--port",
            "0",
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--tls-auth-clients",
            "no",
        ])
        .args(["--tls-port", &port.to_string(), "--tls-ca-cert-file", &file("ca.pem")])
        .args(["--tls-cert-file", &file("certificate.pem"), "--tls-key-file", &file("key.pem")])
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed");
    (Killed(server), port)
}

/// How the service finds each of its servers.
async fn states(app: &TestApp) -> Value {
    let report = app.get("/health").await;
    json!(["store", "redis", "queue"].map(|name| report["dependencies"][name]["state"].clone()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_server_behind_the_service_is_reached_over_tls_and_believed_only_where_its_authority_is_known() {
    let broker = broker::shared().await;
    let room = tempfile::tempdir().unwrap();
    let (ca, another) = (authority(room.path(), "ca"), authority(room.path(), "another"));
    certify(room.path(), "IP:127.0.0.1");
    let (_redis, redis_port) = redis(room.path());
    let postgres = Postgres::primary(&[]);
    let authority_of_postgres = postgres.certify("127.0.0.1");
    let start = async |ca: &Path, of_broker: PathBuf, of_postgres: &Path| {
        let (ca, of_postgres) = (ca.display().to_string(), of_postgres.display().to_string());
        TestApp::start_with(|config| {
            config.store.url = Some(format!("{}?sslmode=verify-full&sslrootcert={of_postgres}", postgres.url()));
            config.fabric.redis_url = Some(format!("rediss://127.0.0.1:{redis_port}"));
            config.fabric.redis.ca_file = Some(ca);
            config.fabric.amqp_url = Some(broker.tls_url());
            config.fabric.rabbitmq.ca_file = Some(of_broker.display().to_string());
            config.fabric.rabbitmq.prefix = format!("tls-{}", uuid::Uuid::new_v4().simple());
        })
        .await
    };

    let app = start(&ca, broker.file("ca.pem"), &authority_of_postgres).await;
    app.deliver_github("workflow_run", &run(1001, "in_progress", None, 1)).await;
    app.until_status(1, "running").await;
    app.until("everything is well", || async { states(&app).await == json!(["ok", "ok", "ok"]) })
        .await;
    app.stop().await;

    let stranger = start(&another, broker.file("another.pem"), &another).await;
    let all_down = json!(["down", "down", "down"]);
    stranger.until("nothing is believed", || async { states(&stranger).await == all_down }).await;
    assert_eq!(stranger.send(crate::http::Request::get("/health/ready")).await.status, 503);
}
