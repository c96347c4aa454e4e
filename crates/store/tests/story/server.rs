//! The server itself: what is said of its settings, whom it is believed to be, and one task for one process.

use std::time::{Duration, Instant};

use pipecast_store::{Error, Options, Task};

use crate::ground::{Engine, Ground};
use crate::postgres::Postgres;

fn options(url: String) -> Options {
    Options {
        url,
        read_url: None,
        read_connections: 2,
        acquire_timeout: Duration::from_secs(2),
        first_id: 1,
    }
}

#[tokio::test]
async fn settings_that_may_lose_a_commit_are_named() {
    let server = Postgres::primary(&["synchronous_commit=off"]);
    let options = options(server.url());
    pipecast_store::migrate(&options).await.unwrap();
    let (reader, _writer) = pipecast_store::open(&options).await.unwrap();

    // The server of a story runs without fsync to be quick.
    assert_eq!(reader.list_risks().await.unwrap(), ["fsync", "synchronous_commit"]);

    let sqlite = Ground::lay(Engine::Sqlite).await.open().await;
    assert_eq!(sqlite.reader.list_risks().await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn a_server_that_comes_late_or_freezes_needs_no_new_connection_of_ours() {
    let server = Postgres::primary(&[]);
    let options = options(server.url());
    server.kill();
    let (reader, writer) = pipecast_store::connect(&options).await.unwrap();
    assert!(matches!(reader.recognise().await, Err(Error::Unavailable { .. })));
    assert!(reader.epoch().is_none());

    server.start();
    assert!(matches!(reader.recognise().await, Err(Error::NotMigrated)));
    pipecast_store::migrate(&options).await.unwrap();
    reader.recognise().await.unwrap();
    drop(writer.begin().await.unwrap());

    server.freeze();
    let begun = Instant::now();
    assert!(matches!(reader.list_dirty(1).await, Err(Error::Unavailable { .. })));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    server.thaw();
    reader.list_dirty(1).await.unwrap();
    drop(writer.begin().await.unwrap());
}

#[tokio::test]
async fn a_task_is_one_transactions_at_a_time() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let mut first = open.writer.begin().await.unwrap();
        assert!(first.has_alone(Task::Retention).await.unwrap());
        if engine == Engine::Postgres {
            let mut second = open.writer.begin().await.unwrap();
            assert!(!second.has_alone(Task::Retention).await.unwrap(), "another one is at it");
        }
        drop(first);

        let mut third = open.writer.begin().await.unwrap();
        assert!(third.has_alone(Task::Retention).await.unwrap(), "{engine:?}: it ended without a commit");
    }
}

#[tokio::test]
async fn a_certificate_is_checked_where_that_is_asked_for() {
    let server = Postgres::primary(&[]);
    let (ours, others) = (server.certify("127.0.0.1"), server.authority("another"));
    let reach = async |arguments: String| {
        let (reader, _writer) = pipecast_store::connect(&options(format!("{}?{arguments}", server.url()))).await.unwrap();
        reader.ping().await
    };

    reach(format!("sslmode=verify-full&sslrootcert={}", ours.display())).await.unwrap();

    assert!(reach(format!("sslmode=verify-full&sslrootcert={}", others.display())).await.is_err());
    assert!(
        reach("sslmode=verify-full".to_owned()).await.is_err(),
        "no authority that the world knows has signed it"
    );
    server.certify("db.example.org");
    assert!(
        reach(format!("sslmode=verify-full&sslrootcert={}", ours.display())).await.is_err(),
        "it is the certificate of another server"
    );
}
