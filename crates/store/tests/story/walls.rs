//! The first wall: readers cannot write, and a transaction is all or nothing.

use pipecast_model::{Facts, Status};
use pipecast_store::Error;

use crate::ground::{Engine, Ground, delivery, execution, run};

#[tokio::test]
async fn going_back_to_a_savepoint_undoes_one_delivery_and_keeps_the_others() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let mut tx = open.writer.begin().await.unwrap();
        for (number, keep) in [(1, true), (2, false), (3, true)] {
            let delivery = delivery();
            tx.savepoint().await.unwrap();
            tx.note_delivery(&delivery).await.unwrap();
            tx.record_facts(&delivery, &run(&format!("p{}", number % 2), execution(number, 1, Status::Running, number)))
                .await
                .unwrap();
            if keep { tx.release().await.unwrap() } else { tx.roll_back().await.unwrap() }
        }
        tx.commit().await.unwrap();

        assert_eq!(open.ground.look("SELECT external_id FROM executions ORDER BY 1").await, ["1", "3"]);
        assert_eq!(open.ground.look("SELECT external_id FROM projects").await, ["p1"]);
        assert_eq!(open.ground.count("deliveries").await, 2);
        assert_eq!(open.reader.list_dirty(10).await.unwrap().len(), 3);
    }
}

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
