//! `docs/first-steps.sh` on a fresh service, as an operator runs it.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::app::PASSWORD;
use crate::binary::Process;
use crate::traces;

/// What the first start prints past its log.
fn setup_token(process: &Process) -> String {
    let begun = Instant::now();
    loop {
        let lines = process.lines().into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
        if let Some(token) = lines.into_iter().find_map(|line| line["fields"]["setup_token"].as_str().map(str::to_owned)) {
            traces::plant("setup token", &token);
            return token;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "no setup token");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_of_the_documentation_leads_from_the_setup_token_to_a_replay() {
    let process = Process::start(&[("PIPECAST_AUTH__PASSWORD_MEMORY", "8MiB"), ("PIPECAST_AUTH__PASSWORD_PASSES", "1")]);
    let token = setup_token(&process);

    let output = Command::new("bash")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/first-steps.sh"))
        .arg(&token)
        .arg(format!("http://{}", process.address))
        .env("PIPECAST", env!("CARGO_BIN_EXE_pipecast"))
        .env("ADMIN_PASSWORD", PASSWORD)
        .output()
        .unwrap();

    let (said, complaint) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{said}\n{complaint}");
    let steps: Vec<&str> = said.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_digit())).collect();
    assert_eq!(steps.len(), 9, "{said}");
    for part in ["status_change", ", applied\n", "source.create\n", "delivery.replay\n", "done: open"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(complaint, "", "{said}");
    let again = Command::new("bash")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/first-steps.sh"))
        .arg(&token)
        .arg(format!("http://{}", process.address))
        .output()
        .unwrap();
    assert!(!again.status.success(), "the token is good once");
}
