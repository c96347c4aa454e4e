//! What the embedded queue keeps over `kill -9` and over a file system that takes no more.
//! Both need a process of their own: this test binary starts itself again.
#![expect(clippy::print_stdout, reason = "the child tells its parent what was acknowledged")]

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use pipecast_fabric::queue::embedded::EmbeddedQueue;
use pipecast_fabric::{Error, Queue, Verdict};
use pipecast_model::Lane;

use crate::embedded::options;
use crate::queue::Limits;

const QUEUE: &str = "PIPECAST_TEST_QUEUE";

/// The path that the parent gave; none where this runs as one test among others.
fn given_path() -> Option<String> {
    std::env::var(QUEUE).ok()
}

fn start(mut command: Command, child: &str, path: &Path) -> Child {
    command
        .args(["--exact", child, "--nocapture", "--test-threads=1"])
        .env(QUEUE, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_sends_until_it_is_killed() {
    let Some(path) = given_path() else { return };
    let queue = EmbeddedQueue::open(options(Path::new(&path), Limits::default())).await.unwrap();
    let tag = std::process::id();
    join_all((0..40).map(|sender| {
        let queue = &queue;
        async move {
            for number in 0_u32.. {
                let message = format!("{tag}.{sender}.{number}");
                queue.send(Lane::Urgent, Bytes::from(message.clone())).await.unwrap();
                println!("acknowledged {message}");
            }
        }
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue.db");
    let mut acknowledged = HashSet::new();

    for round in 0..10 {
        let mut child = start(
            Command::new(std::env::current_exe().unwrap()),
            "durability::child_that_sends_until_it_is_killed",
            &path,
        );
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut fatal = Some(rand::random_range(100..600));
        for line in lines.map_while(Result::ok) {
            let Some((_, message)) = line.split_once("acknowledged ") else { continue };
            acknowledged.insert(message.to_owned());
            fatal = fatal.map(|left| left - 1);
            if fatal == Some(0) {
                child.kill().unwrap();
                fatal = None;
            }
        }
        child.wait().unwrap();
        assert!(fatal.is_none(), "the child of round {round} ended by itself");
    }

    let queue = EmbeddedQueue::open(options(&path, Limits::default())).await.unwrap();
    let mut found = HashSet::new();
    while queue.depth(Lane::Urgent).await.unwrap() > 0 {
        let claims = queue.receive(256).await.unwrap();
        found.extend(claims.iter().map(|claim| String::from_utf8(claim.message.to_vec()).unwrap()));
        queue.settle(claims.iter().map(|claim| (claim.id, Verdict::Ack)).collect()).await.unwrap();
    }
    queue.close().await;
    let lost = acknowledged.difference(&found).count();
    println!("10 kills: {} acknowledged, {} found, {lost} lost", acknowledged.len(), found.len());
    assert_eq!(lost, 0);
}

#[tokio::test]
async fn child_whose_disk_is_full() {
    let Some(path) = given_path() else { return };
    let queue = EmbeddedQueue::open(options(Path::new(&path), Limits::default())).await.unwrap();
    let body = Bytes::from(vec![7; 16 << 10]);
    let mut stored = 0;
    let refused = loop {
        match queue.send(Lane::Urgent, body.clone()).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::Unavailable { .. }), "{refused:?}");
    assert_eq!(queue.depth(Lane::Urgent).await.unwrap(), stored, "what was refused does not wait");
    println!("refused after {stored}");
    let deadline = Instant::now() + crate::DEADLINE;
    while queue.send(Lane::Urgent, body.clone()).await.is_err() {
        assert!(Instant::now() < deadline, "the disk has room again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    queue.close().await;
    println!("stored {}", stored + 1);
}

/// A limit on the size of files stands for the full disk: every write beyond it fails.
#[tokio::test]
async fn a_full_disk_refuses_sends_until_there_is_room_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue.db");
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "trap '' XFSZ; ulimit -S -f 512; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap());

    let mut child = start(shell, "durability::child_whose_disk_is_full", &path);
    let mut stored = None;
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        if line.contains("refused after") {
            let room = Command::new("prlimit")
                .args(["--pid", &child.id().to_string(), "--fsize=unlimited:unlimited"])
                .status();
            assert!(room.unwrap().success());
        }
        stored = line.rsplit_once("stored ").and_then(|(_, count)| count.parse::<u64>().ok()).or(stored);
    }
    assert!(child.wait().unwrap().success());

    let queue = EmbeddedQueue::open(options(&path, Limits::default())).await.unwrap();
    let found = queue.depth(Lane::Urgent).await.unwrap();
    assert!(found >= stored.unwrap(), "{found} found, {stored:?} acknowledged");
    queue.close().await;
}
