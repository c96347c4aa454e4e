//! What is secret in the database: useless without the keys, bound to its row, and moved to new keys while others write.

use pipecast_model::{Host, SecretId, SecretKind, SourceId, Timestamp};
use pipecast_store::Error;
use pipecast_store::idempotency::Known;
use pipecast_store::sealed::{Keyring, Pass, Place, Unsealable};
use pipecast_store::source::{NewSource, place_of_secret};
use pipecast_store::{TargetFields, place_of_destination};

use crate::ground::{Engine, Ground, Open};

const SECRET: &str = "a secret that nobody may read";

pub(crate) fn new_source(key: &str) -> NewSource {
    NewSource {
        host: Host::Github,
        key: key.to_owned(),
        name: format!("Source {key}"),
        enabled: true,
        silent_after: None,
        created_by: None,
    }
}

pub(crate) async fn make(open: &Open, key: &str, secret: &str, ring: &Keyring) -> (SourceId, SecretId) {
    let mut tx = open.writer.begin().await.unwrap();
    let source = tx.make_source(&new_source(key), Timestamp::now()).await.unwrap().unwrap();
    let id = tx.add_secret(source, SecretKind::Hmac, secret, ring, Timestamp::now()).await.unwrap();
    tx.commit().await.unwrap();
    (source, id)
}

/// What an edge with this ring makes of every secret, in the order of the sources.
async fn read(open: &Open, ring: &Keyring) -> Vec<Result<String, Unsealable>> {
    let sources = open.reader.list_trusted_after(0, 1000).await.unwrap();
    let secrets = sources.iter().flat_map(|source| source.secrets.iter().map(|secret| (source.id, secret)));
    secrets
        .map(|(source, secret)| Ok(ring.open(&place_of_secret(source, secret.id), &secret.sealed)?.as_text()?.to_owned()))
        .collect()
}

async fn rotate(open: &Open, ring: &Keyring, at_once: i64) -> Pass {
    let mut pass = Pass::default();
    loop {
        let mut tx = open.writer.begin().await.unwrap();
        let more = tx.rewrap(ring, &mut pass, at_once).await.unwrap();
        tx.commit().await.unwrap();
        if !more {
            return pass;
        }
    }
}

#[tokio::test]
async fn a_stolen_database_gives_no_secret() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let (ours, thiefs) = (Keyring::generate(), Keyring::generate());
        make(&open, "k", SECRET, &ours).await;

        assert_eq!(read(&open, &ours).await, [Ok(SECRET.to_owned())]);
        assert_eq!(read(&open, &thiefs).await, [Err(Unsealable::NoKey(ours.sealing()))]);
        for column in ["sealed", "kind"] {
            let stored = open.ground.look(&format!("SELECT {column} FROM source_secrets")).await;
            assert!(!stored[0].contains(SECRET) && !stored[0].contains("bm9ib2R5"), "{engine:?}: {stored:?}");
        }
        if engine == Engine::Sqlite {
            let file = open.ground.options.url.strip_prefix("sqlite:").unwrap().to_owned();
            for part in [file.clone(), format!("{file}-wal")] {
                let bytes = std::fs::read(part).unwrap_or_default();
                assert!(!bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()));
            }
        }
    }
}

#[tokio::test]
async fn secrets_that_were_exchanged_do_not_open() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let ring = Keyring::generate();
        let (one, of_one) = make(&open, "one", "the secret of one", &ring).await;
        let (other, of_other) = make(&open, "other", "the secret of other", &ring).await;

        // The values are exchanged.
        let values = open.ground.look("SELECT sealed FROM source_secrets ORDER BY id").await;
        for (id, value) in [(of_one, &values[1]), (of_other, &values[0])] {
            open.ground.look(&format!("UPDATE source_secrets SET sealed = '{value}' WHERE id = {id}")).await;
        }
        assert_eq!(read(&open, &ring).await, [Err(Unsealable::Broken), Err(Unsealable::Broken)], "{engine:?}");

        // Put right again, and one secret is given to the other source.
        for (id, value) in [(of_one, &values[0]), (of_other, &values[1])] {
            open.ground.look(&format!("UPDATE source_secrets SET sealed = '{value}' WHERE id = {id}")).await;
        }
        assert!(read(&open, &ring).await.iter().all(Result::is_ok));
        open.ground
            .look(&format!("UPDATE source_secrets SET source_id = {other} WHERE id = {of_one}"))
            .await;
        open.ground.look(&format!("DELETE FROM source_secrets WHERE id = {of_other}")).await;
        assert_eq!(read(&open, &ring).await, [Err(Unsealable::Broken)], "{engine:?}: {one}");
    }
}

#[tokio::test]
async fn keys_are_exchanged_while_others_write_and_a_rotation_goes_on_where_it_stopped() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let old = Keyring::generate();
        for number in 0..50 {
            make(&open, &format!("k{number}"), &format!("secret {number}"), &old).await;
        }
        let new = old.with_new_key();

        // It stops in the middle.
        let mut pass = Pass::default();
        let mut tx = open.writer.begin().await.unwrap();
        assert!(tx.rewrap(&new, &mut pass, 20).await.unwrap());
        tx.commit().await.unwrap();
        let sealed = open.reader.count_sealed().await.unwrap();
        assert_eq!((sealed.of(&old.sealing()), sealed.of(&new.sealing())), (30, 20));

        // It goes on, while somebody who has not heard of the new key makes more.
        let (pass, ()) = tokio::join!(rotate(&open, &new, 3), async {
            for number in 50..60 {
                make(&open, &format!("k{number}"), &format!("secret {number}"), &old).await;
            }
        });
        assert!(pass.rewrapped >= 30 && pass.left == 0, "{pass:?}");
        rotate(&open, &new, 100).await;

        let sealed = open.reader.count_sealed().await.unwrap();
        assert_eq!((sealed.of(&old.sealing()), sealed.of(&new.sealing())), (0, 60), "{engine:?}");
        let alone = new.without(&old.sealing()).unwrap();
        let expected: Vec<_> = (0..60).map(|number| Ok(format!("secret {number}"))).collect();
        assert_eq!(read(&open, &alone).await, expected);
    }
}

#[tokio::test]
async fn what_no_key_opens_is_left_and_counted() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let (lost, ours) = (Keyring::generate(), Keyring::generate());
        make(&open, "lost", "gone", &lost).await;
        make(&open, "ours", "here", &ours).await;
        let next = ours.with_new_key();

        let pass = rotate(&open, &next, 1).await;

        assert_eq!((pass.rewrapped, pass.left), (1, 1), "{engine:?}");
        let sealed = open.reader.count_sealed().await.unwrap();
        assert_eq!(sealed.lost(&next).into_iter().collect::<Vec<_>>(), [(lost.sealing().to_string(), 1)]);
    }
}

#[tokio::test]
async fn an_answer_that_was_given_to_somebody_else_or_another_key_does_not_open() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let ring = Keyring::generate();
        for caller in ["user:1", "user:2"] {
            let mut tx = open.writer.begin().await.unwrap();
            let Known::New(slot) = tx.take_key(caller, "key", &ring, Timestamp::now()).await.unwrap() else {
                panic!("the key is new")
            };
            tx.keep_answer(slot, b"a secret", &ring).await.unwrap();
            tx.commit().await.unwrap();
        }
        let ask = async |caller: &str, key: &str| {
            let mut tx = open.writer.begin().await.unwrap();
            tx.take_key(caller, key, &ring, Timestamp::now()).await
        };
        assert!(matches!(ask("user:1", "key").await, Ok(Known::Answered(_))), "{engine:?}");

        let somebodys = [
            "UPDATE idempotent_answers SET caller = 'user:3' WHERE caller = 'user:1'",
            "UPDATE idempotent_answers SET caller = 'user:1' WHERE caller = 'user:2'",
            "UPDATE idempotent_answers SET caller = 'user:2' WHERE caller = 'user:3'",
            "UPDATE idempotent_answers SET key_hash = 'other' WHERE caller = 'user:2'",
        ];
        for sql in somebodys {
            open.ground.look(sql).await;
        }
        for (caller, key) in [("user:1", "key"), ("user:2", "other")] {
            assert!(matches!(ask(caller, key).await, Err(Error::Corrupt { .. })), "{engine:?}: {caller}");
        }

        // What a build from before has kept is nobody's to be told, and no damage.
        let older = Place {
            table: "idempotent_answers",
            column: "sealed",
            row: open
                .ground
                .look("SELECT CAST(id AS TEXT) FROM idempotent_answers WHERE caller = 'user:1'")
                .await[0]
                .clone(),
            schema: 1,
        };
        let sealed = ring.seal(&older, b"a secret");
        open.ground
            .look(&format!("UPDATE idempotent_answers SET sealed = '{sealed}' WHERE caller = 'user:1'"))
            .await;
        assert!(matches!(ask("user:1", "key").await, Ok(Known::Older)), "{engine:?}");
    }
}

#[tokio::test]
async fn where_a_target_is_reached_is_sealed_in_its_row_and_moved_to_new_keys() {
    const URL: &str = "https://hooks.example.org/services/pl4nted-way-in";
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let before = Keyring::generate();
        let fields = TargetFields {
            name: "ops".into(),
            kind: "slack".into(),
            project_id: None,
            statuses: "failure".into(),
            enabled: true,
        };
        let mut tx = open.writer.begin().await.unwrap();
        let one = tx.create_notification_target(&fields).await.unwrap().unwrap().id;
        tx.keep_destination(one, "hooks.example.org", URL, &before).await.unwrap();
        let other = tx.create_notification_target(&fields).await.unwrap().unwrap().id;
        tx.commit().await.unwrap();
        let sealed = async || open.ground.look("SELECT sealed_url FROM notification_targets ORDER BY id").await;

        let kept = sealed().await;
        assert!(!kept[0].contains("pl4nted") && kept[1].is_empty(), "{engine:?}: {kept:?}");
        assert_eq!(
            open.reader.find_notification_target(one).await.unwrap().unwrap().url_host.as_deref(),
            Some("hooks.example.org")
        );
        assert_eq!(before.open(&place_of_destination(one), &kept[0]).unwrap().as_text().unwrap(), URL);
        assert!(
            before.open(&place_of_destination(other), &kept[0]).is_err(),
            "of another row it is worth nothing"
        );

        let after = before.with_new_key();
        assert_eq!(rotate(&open, &after, 10).await.rewrapped, 1);
        let moved = sealed().await;
        assert_ne!(moved, kept);
        assert_eq!(after.open(&place_of_destination(one), &moved[0]).unwrap().as_text().unwrap(), URL);

        let mut tx = open.writer.begin().await.unwrap();
        tx.forget_destination(one).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(sealed().await, [""; 2]);
        assert_eq!(open.reader.find_notification_target(one).await.unwrap().unwrap().url_host, None);
    }
}

#[tokio::test]
async fn a_key_that_another_connection_has_is_waited_for_and_then_known_to_be_under_way() {
    let open = Ground::lay(Engine::Postgres).await.open().await;
    let ring = Keyring::generate();
    let mut first = open.writer.begin().await.unwrap();
    let Known::New(slot) = first.take_key("user:1", "key", &ring, Timestamp::now()).await.unwrap() else {
        panic!("the key is new")
    };

    let mut second = open.writer.begin().await.unwrap();
    let begun = std::time::Instant::now();
    let known = second.take_key("user:1", "key", &ring, Timestamp::now()).await;
    assert!(matches!(known, Ok(Known::UnderWay)), "after {:?}", begun.elapsed());
    drop(second);

    // Whoever waits for less long than that is answered what the first one was.
    let mut third = open.writer.begin().await.unwrap();
    let finishing = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        first.keep_answer(slot, b"an answer", &ring).await.unwrap();
        first.commit().await.unwrap();
    };
    let (known, ()) = tokio::join!(third.take_key("user:1", "key", &ring, Timestamp::now()), finishing);
    assert!(matches!(known, Ok(Known::Answered(answer)) if &answer[..] == b"an answer"));
}
