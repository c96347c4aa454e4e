//! The keys that seal, as an operator has them: made at the first start, missed by name, exchanged under load.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use pipecast_model::Host;
use pipecast_store::sealed::{Keyring, Keys};
use serde_json::{Value, json};

use crate::app::{TestApp, config_in};
use crate::archive::good;
use crate::binary::Process;
use crate::secrets::{Desk, SECRET, to_source};

fn pipecast(data: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pipecast"))
        .current_dir(data)
        .env("PIPECAST_DATA_DIR", data)
        .env("PIPECAST_SERVER__LISTEN", "127.0.0.1:0")
        .args(arguments)
        .output()
        .unwrap()
}

fn refusal(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test]
async fn the_first_start_makes_a_key_for_its_owner_alone() {
    let app = TestApp::start().await;

    let file = app.data().join("keys/keyring");

    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let first = Keys::of_file(&file).ring().unwrap().sealing();
    let app = app.restart().await;
    assert_eq!(Keys::of_file(&app.data().join("keys/keyring")).ring().unwrap().sealing(), first);
}

#[tokio::test]
async fn without_the_key_it_does_not_start_and_says_which_is_missing() {
    let app = TestApp::start().await;
    let desk = Desk::at(app.data()).await;
    desk.make(Host::Github, "k", SECRET).await;
    let kid = desk.keys.ring().unwrap().sealing().to_string();
    let data = tempfile::tempdir().unwrap();
    drop(desk);
    for part in ["pipecast.db", "pipecast.db-wal"] {
        drop(std::fs::copy(app.data().join(part), data.path().join(part)));
    }

    let refused = refusal(&pipecast(data.path(), &["serve"]));
    assert!(refused.contains(&kid) && refused.contains("put the file back"), "{refused}");
    assert!(!data.path().join("keys/keyring").exists(), "and makes none");

    // With another key it starts, and says what it cannot open.
    std::fs::create_dir(data.path().join("keys")).unwrap();
    std::fs::write(data.path().join("keys/keyring"), good(&pipecast(data.path(), &["keys", "generate"]))).unwrap();
    let listed = good(&pipecast(data.path(), &["keys", "list"]));
    assert!(listed.contains(&format!("{kid}  missing  1 values")), "{listed}");
    let running = pipecast::roles::start(config_in(data.path()), &pipecast::roles::Role::ALL.into())
        .await
        .unwrap();
    let answer = to_source("k", SECRET, "{}").send(running.address).await;
    assert_eq!(answer.status, 503, "it cannot tell");

    // Once the key is back it is believed, without a restart.
    let both = [app.data(), data.path()].map(|data| std::fs::read_to_string(data.join("keys/keyring")).unwrap());
    std::fs::write(data.path().join("keys/keyring"), both.concat()).unwrap();
    app.until("it is believed", || async {
        to_source("k", SECRET, "{}").send(running.address).await.status == 202
    })
    .await;
    running.stop().await.unwrap();
}

#[test]
fn placeholders_and_keys_of_ones_own_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let serve = |settings: &[(&str, &str)], arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipecast"));
        command
            .current_dir(data.path())
            .env("PIPECAST_DATA_DIR", data.path())
            .arg("serve")
            .args(arguments);
        refusal(&command.envs(settings.iter().copied()).output().unwrap())
    };

    for placeholder in ["changeme", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="] {
        assert!(serve(&[("PIPECAST_KEYS__RING", placeholder)], &[]).contains("placeholder"));
    }
    let shared = [
        ("PIPECAST_STORE__URL", "postgres://127.0.0.1:1/none"),
        ("PIPECAST_FABRIC__REDIS_URL", "redis://127.0.0.1:1"),
        ("PIPECAST_FABRIC__AMQP_URL", "amqp://127.0.0.1:1"),
    ];
    for role in ["realtime", "admin"] {
        assert!(serve(&shared, &["--role", role]).contains("set keys.file"), "{role}");
    }
    let ring = Keyring::generate().text().to_string();
    let both = [("PIPECAST_KEYS__RING", ring.as_str()), ("PIPECAST_KEYS__FILE", "keyring")];
    assert!(serve(&both, &[]).contains("both set"));
}

/// Waits until every source is: of many that are made in one second, most are read in the next.
async fn believed(service: &Process, keys: &[String]) {
    let deadline = Instant::now() + Duration::from_secs(10);
    for key in keys {
        while to_source(key, SECRET, "{}").send(service.address).await.status != 202 {
            assert!(Instant::now() < deadline, "{key}");
        }
    }
}

#[tokio::test]
async fn keys_are_exchanged_under_load_and_the_old_one_is_taken_away() {
    let service = Process::start(&[]);
    let desk = Desk::at(service.data()).await;
    for number in 0..30 {
        desk.make(Host::Github, &format!("k{number}"), SECRET).await;
    }
    let old = desk.keys.ring().unwrap().sealing().to_string();
    let refused = refusal(&pipecast(service.data(), &["keys", "remove", &old]));
    assert!(refused.contains("30 values still need the key"), "{refused}");
    let data = service.data().to_owned();
    believed(&service, &(0..30).map(|number| format!("k{number}")).collect::<Vec<_>>()).await;

    let rotation = tokio::task::spawn_blocking(move || good(&pipecast(&data, &["keys", "rotate"])));
    let mut sent = 0;
    // What is made meanwhile is sealed with one of the two.
    while !rotation.is_finished() || sent < 30 {
        desk.make(Host::Github, &format!("m{sent}"), SECRET).await;
        let key = format!("k{}", sent % 30);
        assert_eq!(to_source(&key, SECRET, "{}").send(service.address).await.status, 202, "{key}");
        sent += 1;
    }
    let said = rotation.await.unwrap();
    assert!(said.contains("values were wrapped anew"), "{said}");
    let again = good(&pipecast(
        service.data(),
        &["keys", "rotate", "--to", &desk.keys.ring().unwrap().sealing().to_string()],
    ));
    assert!(again.contains(&format!("0 values need the key {old}")), "{said}{again}");

    good(&pipecast(service.data(), &["keys", "remove", &old]));
    let listed = good(&pipecast(service.data(), &["keys", "list"]));
    assert!(!listed.contains(&old) && listed.contains(&format!("seals    {} values", 30 + sent)), "{listed}");
    let audited = good(&pipecast(service.data(), &["audit", "export"]));
    let rows: Vec<Value> = audited.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let rows = rows.iter().filter(|row| row["resource_type"] == "key");
    let told: Vec<Value> = rows
        .map(|row| json!([row["action"], row["actor"], row["resource_id"], row["before"]["seals"], row["after"]["seals"]]))
        .collect();
    let new = desk.keys.ring().unwrap().sealing().to_string();
    assert_eq!(
        told,
        [
            json!(["keys.rotate", "system", new, old, new]),
            json!(["keys.rotate", "system", new, null, null]),
            json!(["keys.remove", "system", old, null, null]),
        ]
    );
    desk.make(Host::Github, "after", SECRET).await;
    believed(&service, &["k0", "k29", "m0", "m29", "after"].map(str::to_owned)).await;
}
