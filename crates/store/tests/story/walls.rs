//! The first wall: readers cannot write, and a transaction is all or nothing.

use pipecast_model::Facts;
use pipecast_store::Error;

use crate::ground::{Engine, Ground, delivery};

#[tokio::test]
async fn a_transaction_that_is_dropped_leaves_nothing_and_holds_nothing() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let mut tx = open.writer.begin().await.unwrap();
        tx.note_delivery(&delivery()).await.unwrap();
        drop(tx);

        let (_, topics) = open.deliver(&delivery(), &Facts::default()).await;

        assert!(topics.is_empty());
        assert_eq!(open.ground.count("deliveries").await, 1);
    }
}

#[tokio::test]
async fn a_url_of_another_engine_and_a_database_in_memory_are_refused() {
    for url in ["mysql://localhost/x", "sqlite::memory:", "sqlite:", "pipecast.db"] {
        let mut ground = Ground::lay(Engine::Sqlite).await;
        ground.options.url = url.into();

        assert!(matches!(pipecast_store::open(&ground.options).await, Err(Error::BadUrl(_))), "{url}");
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_is_unavailable() {
    for url in ["sqlite:/nowhere/at/all.db", "postgres://postgres@127.0.0.1:1/postgres"] {
        let mut ground = Ground::lay(Engine::Sqlite).await;
        ground.options.url = url.into();

        let error = pipecast_store::open(&ground.options).await.unwrap_err();

        assert!(matches!(error, Error::Unavailable { .. }), "{url}: {error:?}");
    }
}
