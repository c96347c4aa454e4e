//! Sources as operators make and change them, as edges read them, and what is heard of them.

use pipecast_model::{DeliveryId, Facts, Host, SecretId, SecretKind, Source, SourceId, Timestamp};
use pipecast_store::idempotency::Known;
use pipecast_store::sealed::Keyring;
use pipecast_store::source::{Deleted, Heard, SourceChange, SourceQuery};
use pipecast_store::{ByNameOrId, Tx};

use crate::ground::{Engine, Ground, Open, at, delivery};
use crate::sealing::{make, new_source};

async fn find(open: &Open, id: SourceId) -> Source {
    open.reader.find_source(id).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_source_is_made_changed_deleted_and_restored_by_its_version() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let mut tx = open.writer.begin().await.unwrap();
        let id = tx.make_source(&new_source("k"), at(0)).await.unwrap().unwrap();
        assert_eq!(tx.make_source(&new_source("k"), at(0)).await.unwrap(), None, "the key is taken");
        tx.commit().await.unwrap();
        let made = find(&open, id).await;
        assert_eq!(
            (made.managed, made.enabled, made.version, made.name.as_deref()),
            (true, true, 1, Some("Source k"))
        );

        let change = SourceChange {
            name: Some("ÜBER".into()),
            enabled: false,
            silent_after: Some(6),
        };
        let mut tx = open.writer.begin().await.unwrap();
        assert_eq!(tx.change_source(id, 7, &change, at(1)).await.unwrap(), None);
        assert_eq!(tx.change_source(id, 1, &change, at(1)).await.unwrap(), Some(2));
        assert_eq!(tx.delete_source(id, 1, at(2)).await.unwrap(), None);
        assert_eq!(tx.restore_source(id, 2, at(2)).await.unwrap(), None, "it is not deleted");
        assert_eq!(tx.delete_source(id, 2, at(2)).await.unwrap(), Some(3));
        assert_eq!(tx.delete_source(id, 3, at(2)).await.unwrap(), None, "it is deleted already");
        assert_eq!(tx.change_source(id, 3, &change, at(2)).await.unwrap(), None);
        tx.commit().await.unwrap();
        let deleted = find(&open, id).await;
        assert_eq!((deleted.deleted_at, deleted.silent_after), (Some(at(2)), Some(6)), "{engine:?}");

        let mut tx = open.writer.begin().await.unwrap();
        assert_eq!(tx.restore_source(id, 3, at(3)).await.unwrap(), Some(4));
        tx.commit().await.unwrap();
        assert_eq!(find(&open, id).await.deleted_at, None);
        assert_eq!(open.reader.find_source(SourceId(999)).await.unwrap(), None);
    }
}

#[tokio::test]
async fn two_secrets_overlap_and_what_has_ended_is_taken_away() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let ring = Keyring::generate();
        let (source, first) = make(&open, "k", "the first one", &ring).await;
        let add = async |end: Timestamp, now: Timestamp| -> SecretId {
            let mut tx = open.writer.begin().await.unwrap();
            let id = tx.add_secret(source, SecretKind::Hmac, "another one", &ring, now).await.unwrap();
            tx.end_secrets_before(source, id, end, now).await.unwrap();
            tx.commit().await.unwrap();
            id
        };
        let live = async || -> Vec<(SecretId, Option<Timestamp>)> {
            let source = find(&open, source).await;
            source.secrets.iter().map(|secret| (secret.id, secret.not_after)).collect()
        };

        let second = add(at(100), at(0)).await;
        assert_eq!(live().await, [(second, None), (first, Some(at(100)))], "{engine:?}");
        let third = add(at(300), at(200)).await;
        assert_eq!(live().await, [(third, None), (second, Some(at(300)))], "the first one has ended");
        let fourth = add(at(250), at(250)).await;
        assert_eq!(live().await, [(fourth, None)], "no overlap");

        let mut tx = open.writer.begin().await.unwrap();
        assert!(tx.remove_secret(source, fourth, at(260)).await.unwrap());
        assert!(!tx.remove_secret(source, fourth, at(260)).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(live().await, []);
    }
}

#[tokio::test]
async fn edges_read_every_change_once_in_its_order() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let ring = Keyring::generate();
        // One that was only heard of is none of theirs.
        open.tell(Facts::default()).await;
        let (one, _) = make(&open, "one", "secret", &ring).await;
        let (two, _) = make(&open, "two", "secret", &ring).await;
        let after = async |revision| open.reader.list_trusted_after(revision, 100).await.unwrap();

        let all = after(0).await;
        assert_eq!(all.iter().map(|source| source.id).collect::<Vec<_>>(), [one, two], "{engine:?}");
        assert!(all.iter().all(|source| source.open && source.secrets.len() == 1));
        let last = all[1].revision;
        assert_eq!(after(last).await, []);
        assert_eq!(open.reader.list_trusted_after(0, 1).await.unwrap().len(), 1);

        let mut tx = open.writer.begin().await.unwrap();
        tx.delete_source(one, find(&open, one).await.version, at(0)).await.unwrap().unwrap();
        tx.commit().await.unwrap();

        let changed = after(last).await;
        assert_eq!((changed.len(), changed[0].id, changed[0].open), (1, one, false));
        assert_eq!(open.reader.find_trusted(Host::Github, "one").await.unwrap().as_ref(), changed.first());
        for (host, key) in [(Host::Gitlab, "one"), (Host::Github, "three"), (Host::Github, "default")] {
            assert_eq!(open.reader.find_trusted(host, key).await.unwrap(), None);
        }
    }
}

#[tokio::test]
async fn what_is_heard_is_noted_and_never_goes_back() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let ring = Keyring::generate();
        let (source, secret) = make(&open, "k", "secret", &ring).await;
        let hear = async |second: i64, secret: Option<SecretId>| {
            let mut tx = open.writer.begin().await.unwrap();
            let heard = Heard {
                host: Host::Github,
                source: "k".into(),
                secret,
                at: at(second),
            };
            tx.note_heard(&[heard]).await.unwrap();
            tx.commit().await.unwrap();
        };

        hear(5, Some(secret)).await;
        hear(3, Some(secret)).await;
        let after = find(&open, source).await;
        assert_eq!(
            (after.last_delivery_at, after.secrets[0].last_matched_at),
            (Some(at(5)), Some(at(5))),
            "{engine:?}"
        );
        hear(9, None).await;
        let after = find(&open, source).await;
        assert_eq!((after.last_delivery_at, after.secrets[0].last_matched_at), (Some(at(9)), Some(at(5))));
        assert_eq!(after.version, 2, "hearing of it is no change of it");
    }
}

#[tokio::test]
async fn the_ledger_keeps_with_which_secret_a_delivery_was_signed() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let mut alone = delivery();
        alone.secret = Some(SecretId(7));
        open.deliver(&alone, &Facts::default()).await;
        let mut batch = [delivery(), delivery()];
        batch[0].secret = Some(SecretId(8));
        let facts = Facts::default();
        let mut tx = open.writer.begin().await.unwrap();
        tx.foresee(&batch.each_ref().map(|delivery| (delivery, &facts))).await.unwrap();
        for delivery in &batch {
            tx.note_delivery(delivery).await.unwrap();
        }
        tx.commit().await.unwrap();

        let secret = async |id: DeliveryId| open.reader.find_delivery(id).await.unwrap().unwrap().delivery.secret;
        assert_eq!(secret(alone.id).await, Some(SecretId(7)), "{engine:?}");
        assert_eq!((secret(batch[0].id).await, secret(batch[1].id).await), (Some(SecretId(8)), None));
    }
}

#[tokio::test]
async fn lists_are_filtered_sorted_and_paged() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let mut tx = open.writer.begin().await.unwrap();
        for (key, name, host) in [
            ("a", "beta", Host::Github),
            ("b", "Alpha", Host::Github),
            ("c", "gamma_100%", Host::Gitlab),
            ("d", "Beta", Host::Github),
        ] {
            let mut new = new_source(key);
            (new.name, new.host, new.silent_after) = (name.to_owned(), host, Some(1));
            tx.make_source(&new, at(0)).await.unwrap();
        }
        tx.commit().await.unwrap();
        let names = async |query: SourceQuery| -> Vec<String> {
            let page = open.reader.list_sources(&SourceQuery { limit: 10, ..query }).await.unwrap();
            page.into_iter().filter_map(|source| source.name).collect()
        };
        let all = SourceQuery::default;

        assert_eq!(names(all()).await, ["beta", "Alpha", "gamma_100%", "Beta"], "{engine:?}");
        assert_eq!(
            names(SourceQuery {
                host: Some(Host::Gitlab),
                ..all()
            })
            .await,
            ["gamma_100%"]
        );
        assert_eq!(
            names(SourceQuery {
                text: Some("_100%".into()),
                ..all()
            })
            .await,
            ["gamma_100%"]
        );
        assert_eq!(
            names(SourceQuery {
                text: Some("BET".into()),
                ..all()
            })
            .await,
            ["beta", "Beta"]
        );
        assert_eq!(
            names(SourceQuery {
                text: Some("b".into()),
                ..all()
            })
            .await,
            ["beta", "Alpha", "Beta"],
            "by its key"
        );
        assert_eq!(names(SourceQuery { managed: Some(false), ..all() }).await, [""; 0]);
        assert_eq!(names(SourceQuery { enabled: Some(true), ..all() }).await.len(), 4);
        assert_eq!(
            names(SourceQuery {
                silent_at: Some(at(3599)),
                ..all()
            })
            .await,
            [""; 0]
        );
        assert_eq!(
            names(SourceQuery {
                silent_at: Some(at(3600)),
                ..all()
            })
            .await
            .len(),
            4
        );
        let mut tx = open.writer.begin().await.unwrap();
        tx.delete_source(SourceId(1), 1, at(2)).await.unwrap().unwrap();
        tx.commit().await.unwrap();
        let silent = SourceQuery {
            silent_at: Some(at(3600)),
            deleted: Deleted::Included,
            ..all()
        };
        assert_eq!(names(silent).await.len(), 3, "of one that was deleted nothing is expected");
        let mut tx = open.writer.begin().await.unwrap();
        tx.restore_source(SourceId(1), 2, at(2)).await.unwrap().unwrap();
        tx.commit().await.unwrap();
        assert_eq!(
            names(SourceQuery {
                sort: ByNameOrId::NameDown,
                ..all()
            })
            .await[0],
            "gamma_100%"
        );
        assert_eq!(
            names(SourceQuery {
                sort: ByNameOrId::Newest,
                ..all()
            })
            .await[0],
            "Beta"
        );
        assert_eq!(
            names(SourceQuery {
                deleted: Deleted::Only,
                ..all()
            })
            .await,
            [""; 0]
        );
        assert_eq!(
            names(SourceQuery {
                deleted: Deleted::Included,
                ..all()
            })
            .await
            .len(),
            4
        );

        for (sort, expected) in [
            (ByNameOrId::Name, ["Alpha", "beta", "Beta", "gamma_100%"]),
            (ByNameOrId::NameDown, ["gamma_100%", "Beta", "beta", "Alpha"]),
            (ByNameOrId::Id, ["beta", "Alpha", "gamma_100%", "Beta"]),
            (ByNameOrId::Newest, ["Beta", "gamma_100%", "Alpha", "beta"]),
        ] {
            let mut paged = Vec::new();
            let mut after = None;
            loop {
                let page = open
                    .reader
                    .list_sources(&SourceQuery {
                        sort,
                        after,
                        limit: 1,
                        ..all()
                    })
                    .await
                    .unwrap();
                let Some(last) = page.last() else { break };
                after = Some((last.name.clone().unwrap_or_default().to_lowercase(), last.id));
                paged.extend(page.into_iter().filter_map(|source| source.name));
            }
            assert_eq!(paged, expected, "{engine:?} {sort:?}");
        }
    }
}

/// An answer that is kept.
pub(crate) async fn answer(tx: &mut Tx) {
    let ring = Keyring::generate();
    let Known::New(slot) = tx.take_key("user:1", "key", &ring, at(0)).await.unwrap() else {
        panic!("the key is new")
    };
    tx.keep_answer(slot, b"{}", &ring).await.unwrap();
}

#[tokio::test]
async fn what_is_kept_for_a_key_is_sealed_and_belongs_to_who_asked() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let ring = Keyring::generate();
        let told = async |caller: &str| -> String {
            let mut tx = open.writer.begin().await.unwrap();
            let known = tx.take_key(caller, "key", &ring, at(0)).await.unwrap();
            let told = match known {
                Known::New(slot) => {
                    tx.keep_answer(slot, b"a secret that is shown once", &ring).await.unwrap();
                    "new".to_owned()
                }
                Known::Answered(answer) => answer.as_text().unwrap().to_owned(),
                Known::Older | Known::UnderWay => panic!("no build from before was here, and nobody else"),
            };
            tx.commit().await.unwrap();
            told
        };

        assert_eq!(told("user:1").await, "new", "{engine:?}");
        assert_eq!(told("user:1").await, "a secret that is shown once");
        assert_eq!(told("user:2").await, "new", "somebody else's key is another");
        assert!(!open.ground.look("SELECT sealed FROM idempotent_answers").await.concat().contains("secret"));
        assert_eq!(open.reader.count_sealed().await.unwrap().of(&ring.sealing()), 2);

        let mut tx = open.writer.begin().await.unwrap();
        assert_eq!(
            (tx.forget_answers(at(0), 10).await.unwrap(), tx.forget_answers(at(1), 10).await.unwrap()),
            (0, 2)
        );
        tx.commit().await.unwrap();
        assert_eq!(told("user:1").await, "new");
    }
}
