//! nginx in front, with the very frontend-proxy.conf and nginx.conf that are deployed; only the two files beside them are the test's.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pipecast_http::Code;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::app::{TestApp, github};
use crate::http::{Answer, Request};
use crate::live::run;
use crate::socket::{Socket, Stream};

/// A running nginx. Dropped, it is killed.
pub struct Proxy {
    pub address: SocketAddr,
    master: Child,
    _room: tempfile::TempDir,
}

impl Proxy {
    /// In front of `edges` and `admin`, with the parameters that the deployed servers have.
    fn start(edges: &[SocketAddr], admin: SocketAddr) -> Proxy {
        let address = nobody();
        Proxy::start_at(address, edges, admin, |here| {
            fs::write(here.join("listen.conf"), format!("listen {address};\n")).unwrap();
        })
    }

    /// The same at `address`, where what `lay` puts into the folder `here` makes it listen.
    pub fn start_at(address: SocketAddr, edges: &[SocketAddr], admin: SocketAddr, lay: impl FnOnce(&Path)) -> Proxy {
        let room = tempfile::tempdir().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for folder in ["here", "run"] {
            fs::create_dir(room.path().join(folder)).unwrap();
        }
        fs::copy(root.join("frontend-proxy.conf"), room.path().join("frontend-proxy.conf")).unwrap();
        fs::copy(root.join("deploy/proxy/nginx.conf"), room.path().join("nginx.conf")).unwrap();
        lay(&room.path().join("here"));
        let deployed = fs::read_to_string(root.join("deploy/proxy/compose/upstreams.conf")).unwrap();
        let upstreams = upstreams(&deployed, edges, admin);
        fs::write(room.path().join("here/upstreams.conf"), upstreams).unwrap();
        let program = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"]
            .into_iter()
            .find(|program| Path::new(program).exists())
            .expect("nginx is installed (nginx-light)");
        let master = Command::new(program)
            .arg("-p")
            .arg(room.path().join("run"))
            .arg("-c")
            .arg(room.path().join("nginx.conf"))
            .args(["-e", "stderr", "-g", "daemon off;"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10), "nginx does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Proxy { address, master, _room: room }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // By a signal, so that it takes its own workers along.
        drop(Command::new("kill").arg("-TERM").arg(self.master.id().to_string()).status());
        drop(self.master.wait());
    }
}

/// The deployed upstreams with other addresses: every parameter stays as it is.
fn upstreams(deployed: &str, edges: &[SocketAddr], admin: SocketAddr) -> String {
    let mut lines = Vec::new();
    for line in deployed.lines().map(|line| line.replace(" resolve", "")) {
        match line.trim() {
            word if word.starts_with("resolver ") || word.starts_with("server realtime-2:") => {}
            word if word.starts_with("server realtime-1:") => lines.extend(edges.iter().map(|edge| line.replace("realtime-1:8001", &edge.to_string()))),
            _ => lines.push(line.replace("admin:8000", &admin.to_string())),
        }
    }
    lines.join("\n")
}

/// An edge as it is deployed behind the proxy.
pub async fn edge() -> TestApp {
    TestApp::start_with(|config| {
        config.server.anonymous_reading = pipecast_http::AnonymousReading::Everyone;
        config.server.trusted_proxies = pipecast_http::TrustedProxies::new(vec!["127.0.0.1".parse().unwrap()]);
    })
    .await
}

/// An address at which nobody listens.
pub fn nobody() -> SocketAddr {
    crate::ports::free().unwrap()
}

#[tokio::test]
async fn requests_sockets_and_streams_go_through() {
    let app = edge().await;
    let proxy = Proxy::start(&[app.address], app.address);

    let answer = github("workflow_run", run(1001, "in_progress", None, 1).to_string()).send(proxy.address).await;
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    app.until_status(1, "running").await;
    let mut socket = Socket::v1(proxy.address, "/ws/pipeline/1").await;
    let mut stream = Stream::open(proxy.address, "/sse/pipeline/1").await;
    socket.json_of("snapshot").await;
    assert_eq!(stream.next().await.expect("an event").kind, "snapshot");
    app.deliver_github("workflow_run", &run(1001, "completed", Some("success"), 9)).await;

    assert_eq!(socket.json_of("status_change").await["status"], "success");
    assert_eq!(stream.next().await.expect("an event at once").kind, "status_change");
    let status = Request::get("/api/v1/pipelines/1/status/realtime").send(proxy.address).await;
    assert_eq!((status.status, status.json()["status"].clone()), (200, json!("success")));
    assert!(status.header("etag").expect("a tag").starts_with('"'), "it is still strong");
    for path in ["/", "/health", "/metrics", "/docs", "/api/openapi.json"] {
        assert_eq!(Request::get(path).send(proxy.address).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_delivery_is_passed_to_another_edge_and_the_largest_one_goes_through() {
    let app = edge().await;
    let (dead, admin) = (nobody(), nobody());
    let proxy = Proxy::start(&[dead, app.address], admin);

    for number in 0..8 {
        let answer = github("workflow_run", run(number, "in_progress", None, 1).to_string())
            .send(proxy.address)
            .await;
        assert_eq!(answer.status, 202);
        assert_eq!(Request::get("/api/v1/pipelines").send(proxy.address).await.status, 200);
        Socket::plain(proxy.address, "/ws/monitor").await.json_of("snapshot").await;
    }
    let largest = vec![b' '; 25 << 20];
    assert_eq!(github("push", largest).send(proxy.address).await.status, 202);
    assert_eq!(github("push", vec![b' '; 1 << 20]).chunked(64 << 10).send(proxy.address).await.status, 202);
    let absent = Request::get("/admin/v1/anything").send(proxy.address).await;
    assert_eq!(absent.problem(), "unavailable", "the admin is down, and nothing else is");
}

#[tokio::test]
async fn what_the_proxy_answers_itself_is_a_problem_in_the_services_words() {
    let app = edge().await;
    let (proxy, alone) = (Proxy::start(&[app.address], nobody()), Proxy::start(&[nobody()], nobody()));
    let body = |bytes: usize| vec![b' '; bytes];
    let asked = [
        (&proxy, Request::get("/admin/v1/me"), Code::Unavailable),
        (&proxy, Request::post("/admin/v1/users", body((1 << 20) + 1)), Code::TooLarge),
        (&proxy, Request::post("/admin/v1/users/import", body(8 << 20)), Code::Unavailable),
        (&proxy, Request::post("/admin/v1/users/import", body((8 << 20) + 1)), Code::TooLarge),
        (&proxy, github("push", body((25 << 20) + 1)), Code::TooLarge),
        (&proxy, Request::get(&format!("/health?q={}", "x".repeat(9 << 10))), Code::AddressTooLong),
        (&proxy, Request::get("/health").header("X-Long", "x".repeat(9 << 10)), Code::HeadTooLarge),
        (&proxy, Request::get("/health").header("Content-Length", "many"), Code::Malformed),
        (&proxy, Request::new("TRACE", "/health"), Code::MethodNotAllowed),
        (&proxy, Request::get("/.problem"), Code::NotFound),
        (&alone, Request::get("/api/v1/pipelines"), Code::Unavailable),
        (&alone, github("ping", "{}"), Code::NotDurable),
        (&alone, github("push", body(1 << 20)), Code::NotDurable),
    ];

    for (proxy, request, code) in asked {
        let what = request.head(proxy.address).chars().take(60).collect::<String>();
        let answer = request.send(proxy.address).await;
        is_problem(&what, &answer, code);
    }
}

/// That an answer is what the service would have said.
fn is_problem(what: &str, answer: &Answer, code: Code) {
    let body = answer.json();
    assert_eq!((answer.problem().as_str(), answer.status), (code.word(), code.status().as_u16()), "{what}");
    assert_eq!(body["type"], format!("urn:pipecast:problem:{}", code.word()), "{what}");
    assert_eq!(body["title"], code.title(), "{what}");
    let comes_back = [429, 503].contains(&answer.status);
    assert_eq!(answer.header("retry-after").is_some(), comes_back, "{what}");
}

#[tokio::test]
async fn slow_bodies_fill_nothing_in_the_proxy_and_end_at_the_edge() {
    let app = TestApp::start_with(|config| config.webhooks.read_deadline = Duration::from_secs(4)).await;
    let address = nobody();
    let proxy = Proxy::start_at(address, &[app.address], nobody(), |here| {
        fs::write(here.join("listen.conf"), format!("listen {address};\n")).unwrap();
        // As everybody but this machine is treated.
        let file = here.parent().unwrap().join("frontend-proxy.conf");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains("127.0.0.0/8 1;"), "{text}");
        fs::write(&file, text.replace("127.0.0.0/8 1;", "")).unwrap();
    });
    let head = format!(
        "POST /webhooks/github HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        25 << 20
    );
    let mut slow = Vec::new();
    for _ in 0..12 {
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // Whom it refuses it may have left already.
        let _ = stream.write_all(&vec![b' '; 1 << 20]).await;
        slow.push(stream);
    }

    for small in [5_600, 150_000] {
        let answer = github("push", vec![b' '; small]).send(proxy.address).await;
        assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    }
    let mut codes = Vec::new();
    for stream in slow {
        let answer = Answer::read(stream).await;
        let code = if answer.status == 429 { Code::TooMany } else { Code::BodyTimeout };
        is_problem("a slow one", &answer, code);
        codes.push(code);
    }

    assert_eq!(codes.iter().filter(|code| **code == Code::BodyTimeout).count(), 8, "{codes:?}");
}

#[tokio::test]
async fn sockets_come_back_at_once_when_an_edge_does() {
    // Two, because nginx never gives up the only one.
    let address = nobody();
    let proxy = Proxy::start(&[address, nobody()], nobody());
    for _ in 0..20 {
        assert!(Socket::open(proxy.address, "/ws/monitor", &[]).await.is_err(), "no edge is there");
    }

    let app = TestApp::start_with(|config| {
        config.server.anonymous_reading = pipecast_http::AnonymousReading::Everyone;
        config.server.trusted_proxies = pipecast_http::TrustedProxies::new(vec!["127.0.0.1".parse().unwrap()]);
        config.server.listen = address.to_string().parse().unwrap();
    })
    .await;

    // nginx learns that an edge is well when a request to it ends, and these do not.
    let mut sockets = Vec::new();
    for _ in 0..20 {
        let mut socket = Socket::plain(proxy.address, "/ws/monitor").await;
        socket.json_of("snapshot").await;
        sockets.push(socket);
    }
    drop(app);
}

#[tokio::test]
async fn with_no_edge_left_a_sender_is_told_to_come_back() {
    let proxy = Proxy::start(&[nobody(), nobody()], nobody());

    let answer = github("ping", "{}").send(proxy.address).await;

    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("30")));
    assert_eq!(answer.json()["code"], "not_durable");
}

#[tokio::test]
async fn nobody_can_name_an_address_through_the_proxy() {
    let app = TestApp::start_with(|config| {
        config.server.anonymous_reading = pipecast_http::AnonymousReading::Everyone;
        config.server.trusted_proxies = pipecast_http::TrustedProxies::new(vec!["127.0.0.1".parse().unwrap()]);
        config.live.max_sockets_per_ip = 1;
    })
    .await;
    let proxy = Proxy::start(&[app.address], app.address);

    // All of them come from loopback, which has no limit; had the service believed the header, the second would be one too many.
    let forged = [
        ("X-Forwarded-For", "203.0.113.7"),
        ("X-Real-IP", "203.0.113.7"),
        ("Forwarded", "for=203.0.113.7"),
    ];
    let mut sockets = Vec::new();
    for _ in 0..3 {
        let mut socket = Socket::open(proxy.address, "/ws/monitor", &forged).await.expect("a handshake");
        socket.json_of("snapshot").await;
        sockets.push(socket);
    }
}
