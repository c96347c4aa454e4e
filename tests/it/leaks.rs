//! Passwords that stand in addresses of servers: in no log, no error and no answer, whether the address is wrong, nobody is there, or the
//! password is refused.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::binary::Process;
use crate::http::Request;
use crate::redis::RedisServer;
use crate::traces::{self, MARK};

/// A password of this kind with a mark in it.
fn password(kind: &str) -> String {
    let password = format!("{MARK}-{}-{}", kind.split(' ').next().unwrap().to_lowercase(), uuid::Uuid::new_v4().simple());
    traces::plant(kind, &password);
    password
}

/// Each kind of server: its setting, and an address with a password, where somebody may listen.
fn addresses(redis: &str) -> [(&'static str, String); 3] {
    let (postgres, amqp) = (password("PostgreSQL password"), password("AMQP password"));
    let redis_password = password("Redis password");
    [
        ("PIPECAST_STORE__URL", format!("postgres://pipecast:{postgres}@127.0.0.1:1/pipecast")),
        ("PIPECAST_FABRIC__REDIS_URL", format!("redis://:{redis_password}@{redis}")),
        ("PIPECAST_FABRIC__AMQP_URL", format!("amqp://pipecast:{amqp}@127.0.0.1:1/%2f")),
    ]
}

fn without_mark(what: &str, text: &str) {
    let line = text.lines().find(|line| line.contains(MARK));
    assert_eq!(line, None, "{what}");
}

#[tokio::test]
async fn the_password_of_a_server_that_does_not_take_us_is_said_nowhere() {
    let redis = RedisServer::start();
    redis.type_in(&["CONFIG", "SET", "requirepass", "another password"]);
    let at = redis.url().trim_start_matches("redis://").to_owned();
    // Refused by one server, and nobody at the two others.
    let settings = addresses(&at);
    let mut settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    settings.push(("PIPECAST_LOG__FILTER", "debug"));

    let process = Process::start(&settings);
    // Each of them has been tried, and has failed.
    let begun = Instant::now();
    loop {
        let report = process.get("/health").await.json();
        if ["store", "redis", "queue"].iter().all(|name| report["dependencies"][name]["state"] == "down") {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{report}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let said = process.lines().join("\n");
    assert!(said.lines().count() > 5, "{said}");
    without_mark("the log", &said);
    for path in ["/health", "/health/ready", "/metrics", "/", "/api/v1/pipelines"] {
        let answer = Request::get(path).send(process.address).await;
        without_mark(path, &String::from_utf8_lossy(&answer.body));
    }
}

#[test]
fn an_address_that_cannot_be_read_is_refused_without_its_password() {
    let data = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], settings: &[(&str, String)]| {
        let output = Command::new(env!("CARGO_BIN_EXE_pipecast"))
            .current_dir(data.path())
            .env("PIPECAST_DATA_DIR", data.path())
            .env("PIPECAST_SERVER__LISTEN", "127.0.0.1:0")
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .args(arguments)
            .output()
            .unwrap();
        assert!(!output.status.success(), "{arguments:?} {settings:?}");
        let said = [output.stdout, output.stderr].concat();
        if let Some(mut log) = traces::log_of("command") {
            std::io::Write::write_all(&mut log, &said).unwrap();
        }
        String::from_utf8_lossy(&said).into_owned()
    };
    for wrong in [
        "postgress://u:PW@127.0.0.1:1/x",
        "postgres://u:PW@127.0.0.1:notaport/x",
        "postgres://u:PW@[::1/x",
        "u:PW@127.0.0.1",
    ] {
        let url = wrong.replace("PW", &password("PostgreSQL password"));
        without_mark(wrong, &run(&["serve"], &[("PIPECAST_STORE__URL", url.clone())]));
        without_mark(wrong, &run(&["migrate"], &[("PIPECAST_STORE__URL", url.clone())]));
        without_mark(wrong, &run(&["move", "--to", &url], &[]));
    }
    for wrong in [
        "redis://:PW@127.0.0.1:notaport",
        "rediss//:PW@127.0.0.1",
        "http://:PW@127.0.0.1",
        ":PW@127.0.0.1",
    ] {
        let url = wrong.replace("PW", &password("Redis password"));
        without_mark(wrong, &run(&["serve"], &[("PIPECAST_FABRIC__REDIS_URL", url)]));
    }
    for wrong in ["amqp://u:PW@127.0.0.1:notaport/%2f", "rabbit://u:PW@127.0.0.1", "u:PW@127.0.0.1"] {
        let url = wrong.replace("PW", &password("AMQP password"));
        without_mark(wrong, &run(&["serve"], &[("PIPECAST_FABRIC__AMQP_URL", url)]));
    }
    // Keys that are none.
    let ring = format!("{MARK}{}", "A".repeat(40));
    without_mark("keys.ring", &run(&["serve"], &[("PIPECAST_KEYS__RING", ring)]));
}
