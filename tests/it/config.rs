//! The configuration as whoever runs the service meets it: defaults, files, environment, and clear refusals.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use pipecast::config::{Config, DEFAULTS, Error, Loaded};
use pipecast::roles::{self, Role};
use pipecast_fabric::Quota;
use pipecast_http::limits::Rules;
use pipecast_model::Lane;

fn load(file: &str, environment: &[(&str, &str)]) -> Result<Loaded, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("pipecast.toml");
    fs::write(&path, file).unwrap();
    Config::load(Some(&path), environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

fn refusal(file: &str, environment: &[(&str, &str)]) -> String {
    let error = anyhow::Error::from(load(file, environment).expect_err("it is refused"));
    format!("{error:#}")
}

#[test]
fn the_defaults_and_the_structs_agree() {
    // Both directions: the structs deny what they do not know, and they have no defaults of their own.
    let config = Config::defaults();

    assert_eq!(config.server.listen.at(8080).to_string(), "127.0.0.1:8080");
    assert_eq!(config.webhooks.max_body, 25 << 20);
    assert_eq!(config.live.max_topics, 128);
    config.check().expect("the defaults go together");
}

/// A zero more or less in one of them would be noticed by nobody until somebody is kept out, or nobody is.
#[test]
fn the_budgets_as_shipped_are_these() {
    let quota = |per_second, burst| Quota { per_second, burst };
    let Config { limits, live, .. } = Config::defaults();

    let rules = Rules {
        address: quota(100, 1_000),
        user: quota(50, 500),
        token: quota(200, 2_000),
        writes: quota(5, 20),
        source: quota(500, 10_000),
        impostor: quota(50, 1_000),
    };
    assert_eq!((limits.rules(), limits.count_loopback, limits.max_callers), (rules, false, 100_000));
    assert_eq!(
        (
            live.max_sockets,
            live.max_sockets_per_ip,
            live.max_signed_in_sockets_per_ip,
            live.max_sockets_per_user
        ),
        (10_000, 100, 1_000, 200)
    );
    assert_eq!(
        (live.handshakes_per_second, live.caller_handshakes_per_second, live.caller_handshake_burst),
        (500, 2, 20)
    );
    assert_eq!(
        (live.commands_per_second, live.command_burst, live.inbound_frame, live.inbound_frame_plain),
        (10, 30, 64 << 10, 4 << 10)
    );
    assert_eq!((live.idle, live.lifetime), (Duration::from_secs(60), Duration::from_secs(4 * 3_600)));
}

#[test]
fn every_setting_is_explained_right_above_it() {
    let lines: Vec<_> = DEFAULTS.lines().collect();
    for pair in lines.windows(2) {
        let is_setting = pair[1].contains(" = ") && !pair[1].starts_with('#');
        let is_section = pair[1].starts_with('[');
        if is_setting || is_section {
            assert!(pair[0].starts_with("# "), "{:?} is not explained", pair[1]);
        }
    }
    assert!(lines.iter().all(|line| line.chars().count() <= 160));
}

#[test]
fn a_file_wins_over_the_defaults_and_the_environment_over_the_file() {
    let file = "data_dir = \"/srv/a\"\n[server]\nlisten = \"127.0.0.1:1111\"\nbacklog = 7\n[live]\nping = \"9s\"\n";
    let environment = [
        ("PIPECAST_SERVER__LISTEN", "127.0.0.1:2222"),
        ("PIPECAST_DATA_DIR", "/srv/b"),
        ("PIPECAST_LIVE__MAX_TOPICS", "5"),
    ];

    let config = load(file, &environment).unwrap().config;

    assert_eq!((config.server.listen.at(8080).port(), config.server.backlog), (2222, 7));
    assert_eq!(config.data_dir, PathBuf::from("/srv/b"));
    assert_eq!(
        (config.live.ping, config.live.max_topics, config.live.pong),
        (Duration::from_secs(9), 5, Duration::from_secs(10))
    );
}

#[test]
fn the_names_that_others_rely_on_are_there() {
    let environment = [
        ("PIPECAST_SERVER__LISTEN", "127.0.0.1:1"),
        ("PIPECAST_DATA_DIR", "d"),
        ("PIPECAST_STORE__URL", "sqlite:x"),
        ("PIPECAST_STORE__READ_URL", "sqlite:y"),
        ("PIPECAST_FABRIC__REDIS_URL", "redis://r"),
        ("PIPECAST_FABRIC__AMQP_URL", "amqp://a"),
        ("PIPECAST_WEBHOOKS__GITHUB__SECRET", "0123"),
        ("PIPECAST_WEBHOOKS__GITLAB__SECRET", "true"),
    ];

    let loaded = load("", &environment).unwrap();

    assert!(loaded.warnings.is_empty());
    assert_eq!(loaded.config.store.read_url.as_deref(), Some("sqlite:y"));
    assert_eq!(loaded.config.webhooks.github.secret.expose(), "0123");
    assert_eq!(loaded.config.webhooks.gitlab.secret.expose(), "true");
}

#[test]
fn lists_and_sources_come_from_either() {
    let file = "[webhooks.github.sources]\nAcme-1 = \"from the file\"\n[webhooks.lanes]\nurgent = [\"Pipeline Hook\"]\n";
    let environment = [
        ("PIPECAST_WEBHOOKS__GITHUB__SOURCES__ROCKET", "from the environment"),
        ("PIPECAST_LIVE__ALLOWED_ORIGINS", "https://a.example, https://b.example"),
    ];

    let config = load(file, &environment).unwrap().config;

    let sources: Vec<_> = config
        .webhooks
        .github
        .sources
        .iter()
        .map(|(key, secret)| (key.as_str(), secret.expose()))
        .collect();
    assert_eq!(sources, [("Acme-1", "from the file"), ("rocket", "from the environment")]);
    assert_eq!(config.live.allowed_origins, ["https://a.example", "https://b.example"]);
    assert_eq!(config.webhooks.lanes.urgent, BTreeSet::from(["Pipeline Hook".to_owned()]));
}

#[test]
fn every_event_has_one_lane() {
    let file = "[webhooks.lanes]\nurgent = [\"status\"]\nbulk = [\"push\"]\nothers = \"urgent\"\n";
    let lanes = load(file, &[]).unwrap().config.webhooks.lanes;
    assert_eq!(
        ["status", "push", "never heard of"].map(|event| lanes.of(event)),
        [Lane::Urgent, Lane::Bulk, Lane::Urgent]
    );
    assert_eq!(Config::defaults().webhooks.lanes.of("never heard of"), Lane::Bulk);

    let twice = load("[webhooks.lanes]\nbulk = [\"status\"]\n", &[]).unwrap().config;
    let refused = twice.check().unwrap_err().to_string();
    assert!(refused.contains("\"status\"") && refused.contains("webhooks.lanes.bulk"), "{refused}");
    assert!(load("[webhooks.lanes]\nothers = \"fast\"\n", &[]).is_err());
}

#[test]
fn an_unknown_setting_is_refused_by_its_whole_name() {
    assert!(refusal("[server]\nlistn = \"x\"\n", &[]).starts_with("unknown setting \"server.listn\" in "));
    assert!(refusal("speed = 9\n", &[]).contains("\"speed\""));
    assert!(refusal("[fabric.queue]\nmax_massages = 1\n", &[]).contains("\"fabric.queue.max_massages\""));
    assert_eq!(
        refusal("", &[("PIPECAST_SERVER__LISTN", "x")]),
        "unknown setting \"server.listn\" in PIPECAST_SERVER__LISTN; `pipecast config` prints all settings"
    );
    assert!(refusal("", &[("PIPECAST_WEBHOOKS__GITHUB", "x")]).contains("\"webhooks.github\""));
}

#[test]
fn what_an_orchestrator_sets_is_only_wondered_at() {
    let loaded = load("", &[("PIPECAST_PORT", "tcp://10.0.0.1:80"), ("PATH", "/bin"), ("PIPECAST_CONFIG", "")]).unwrap();

    assert_eq!(
        loaded.warnings,
        ["the environment variable PIPECAST_PORT is no setting of pipecast and is left alone"]
    );
}

#[test]
fn a_value_of_the_wrong_kind_is_refused_with_the_right_one() {
    assert!(refusal("[live]\nping = \"25\"\n", &[]).contains("\"25\" is no duration"));
    assert!(refusal("[live]\nping = 25\n", &[]).contains("\"25\" is no duration"));
    assert!(refusal("", &[("PIPECAST_WEBHOOKS__MAX_BODY", "25MB")]).contains("\"25MB\" is no size"));
    assert!(refusal("[server]\nlisten = \"here\"\n", &[]).contains("no address to listen on"));
    assert!(refusal("[server\n", &[]).contains("pipecast.toml"));
}

#[test]
fn settings_that_cannot_work_are_refused_with_a_way_out() {
    let impossible = |environment: &[(&str, &str)]| load("", environment).unwrap().config.check().expect_err("impossible").to_string();

    assert!(impossible(&[("PIPECAST_SERVER__PUBLIC_URL", "ci.example.org")]).contains("no origin"));
    assert!(impossible(&[("PIPECAST_SERVER__PUBLIC_URL", "https://ci.example.org/")]).contains("no origin"));
    assert!(impossible(&[("PIPECAST_SERVER__PUBLIC_URL", "http://ci.example.org")]).contains("server.plain_http"));
    assert!(impossible(&[("PIPECAST_AUTH__SESSION_LIFETIME", "1h")]).contains("auth.session_lifetime"));
    for age in ["59s", "61m"] {
        assert!(impossible(&[("PIPECAST_AUTH__CONFIRMED_FOR", age)]).contains("auth.confirmed_for"), "{age}");
    }
    assert!(impossible(&[("PIPECAST_AUTH__PASSWORD_MEMORY", "1KiB")]).contains("auth.password_memory"));
    assert!(impossible(&[("PIPECAST_STORE__READ_URL", "postgres://replica/x")]).contains("store.url"));
    assert!(impossible(&[("PIPECAST_WEBHOOKS__IN_FLIGHT_BODIES", "1MiB")]).contains("webhooks.max_body"));
    assert!(impossible(&[("PIPECAST_WEBHOOKS__GITHUB__SOURCES__DEFAULT", "x")]).contains("webhooks.github.secret"));
    let private = [("PIPECAST_SERVER__PUBLIC_URL", "http://10.0.0.7:8080"), ("PIPECAST_SERVER__PLAIN_HTTP", "true")];
    load("", &private).unwrap().config.check().expect("said on purpose");
}

#[test]
fn secrets_that_everybody_guesses_or_nothing_is_signed_with_are_refused_and_short_ones_wondered_at() {
    for (setting, text, why) in [
        ("PIPECAST_WEBHOOKS__GITHUB__SECRET", "changeme", "openssl rand -hex 32"),
        ("PIPECAST_WEBHOOKS__GITLAB__SECRET", "Secret", "placeholder"),
        ("PIPECAST_WEBHOOKS__GITHUB__SOURCES__ACME", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "placeholder"),
        ("PIPECAST_WEBHOOKS__GITLAB__SIGNING_TOKEN", "whsec_eA==", "24 bytes"),
        ("PIPECAST_WEBHOOKS__GITLAB__SIGNING_TOKEN", "0123456789abcdef0123456789abcdef", "whsec_"),
        ("PIPECAST_WEBHOOKS__GITLAB__SOURCES__ACME", "whsec_no base64, however long it is", "whsec_"),
    ] {
        let refused = load("", &[(setting, text)]).unwrap().config.check().expect_err(text).to_string();
        let name = setting.trim_start_matches("PIPECAST_").to_lowercase().replace("__", ".");
        assert!(refused.starts_with(&name) && refused.contains(why), "{refused}");
        assert!(!refused.contains(text) || text.eq_ignore_ascii_case("secret"), "{refused}");
    }

    let environment = [
        ("PIPECAST_WEBHOOKS__GITHUB__SECRET", "9f2c41d07b"),
        ("PIPECAST_WEBHOOKS__GITLAB__SECRET", "9f2c41d07b9f2c41d07b9f2c"),
    ];
    let config = load("", &environment).unwrap().config;
    config.check().expect("it is their own");
    let doubts = config.doubts();
    assert!(doubts.len() == 1 && doubts[0].starts_with("webhooks.github.secret "), "{doubts:?}");
}

#[test]
fn secrets_are_never_printed() {
    let loaded = load(
        "",
        &[
            ("PIPECAST_WEBHOOKS__GITHUB__SECRET", "hunter2"),
            ("PIPECAST_WEBHOOKS__GITLAB__SOURCES__A", "hunter3"),
            ("PIPECAST_STORE__URL", "postgres://pipecast:hunter4@db/pipecast"),
            ("PIPECAST_STORE__READ_URL", "postgres://pipecast:hunter5@replica/pipecast"),
            ("PIPECAST_FABRIC__REDIS_URL", "redis://:hunter6@redis"),
            ("PIPECAST_FABRIC__AMQP_URL", "amqp://pipecast:hunter7@rabbitmq"),
        ],
    )
    .unwrap();

    assert!(!format!("{loaded:?}").contains("hunter"));
}

#[tokio::test]
async fn roles_cannot_be_split_without_something_between_them() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = async |change: fn(&mut Config), roles: &[Role]| {
        let mut config = crate::app::config_in(folder.path());
        change(&mut config);
        let refused = roles::start(config, &roles.iter().copied().collect()).await;
        refused.err().expect("refused").to_string()
    };

    let whole = refusal(|_| {}, &[Role::Realtime]).await;
    let without_redis = refusal(
        |config| config.store.url = Some("postgres://postgres@127.0.0.1:1/x".into()),
        &[Role::Realtime, Role::Worker],
    )
    .await;
    let admin = refusal(|_| {}, &[Role::Admin]).await;

    assert!(whole.contains("worker and admin") || whole.contains("admin and worker"), "{whole}");
    for setting in ["store.url", "fabric.redis_url", "fabric.amqp_url"] {
        assert!(whole.contains(setting), "{whole}");
    }
    assert!(
        !without_redis.contains("store.url") && without_redis.contains("fabric.redis_url"),
        "{without_redis}"
    );
    assert!(admin.contains("store.url") && admin.contains("fabric.amqp_url"), "{admin}");
    assert!(!admin.contains("fabric.redis_url"), "{admin}");
}

#[test]
fn each_role_alone_has_a_port_of_its_own() {
    let port = |roles: &[Role]| Role::port(&roles.iter().copied().collect());

    assert_eq!(port(&Role::ALL), 8080);
    assert_eq!([Role::Realtime, Role::Admin, Role::Worker].map(|role| port(&[role])), [8001, 8000, 8002]);
    assert_eq!(port(&[Role::Realtime, Role::Worker]), 8080);
}

#[test]
fn a_proxy_that_is_everybody_is_refused() {
    let trusted = |networks: &str| load("", &[("PIPECAST_SERVER__TRUSTED_PROXIES", networks)]);

    assert!(trusted("10.0.0.0/8, 127.0.0.1, fd00::/8").is_ok());
    for networks in ["0.0.0.0/0", "::/0", "*", "10.0.0.0/8,0.0.0.0/0"] {
        let refused = format!("{:#}", anyhow::Error::from(trusted(networks).expect_err(networks)));
        assert!(refused.contains("is no network of proxies"), "{refused}");
    }
}
