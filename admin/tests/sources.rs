//! Sources as operators make and change them: secrets are shown once, two of them overlap, and every change stands in the audit.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use pipecast_admin::exchange::{Action, Need, Rehearsal};
use pipecast_admin::once::{Answer, KeyRefused, Once};
use pipecast_admin::sources::exchange::Line;
use pipecast_admin::sources::{Error, Rotation, Sources, Wanted, WantedSecret};
use pipecast_model::{Host, SecretKind, Source, SourceId, Timestamp};
use pipecast_store::audit::{AuditQuery, By};
use pipecast_store::sealed::Keys;
use pipecast_store::source::place_of_secret;
use pipecast_store::{Options, Reader};
use serde_json::json;
use sqlx::{Connection, SqliteConnection};
use zeroize::Zeroizing;

struct Desk {
    sources: Sources,
    reader: Reader,
    keys: Arc<Keys>,
    options: Options,
    _folder: tempfile::TempDir,
}

async fn desk() -> Desk {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        url: format!("sqlite:{}", folder.path().join("pipecast.db").display()),
        read_url: None,
        read_connections: 2,
        acquire_timeout: Duration::from_secs(5),
        first_id: 1,
    };
    pipecast_store::migrate(&options).await.unwrap();
    let (reader, writer) = pipecast_store::open(&options).await.unwrap();
    let keys = Arc::new(Keys::of_file(&folder.path().join("keyring")));
    keys.create().unwrap();
    Desk {
        sources: Sources::new(reader.clone(), Arc::new(writer), Arc::clone(&keys), Some("https://ci.example.org".into())),
        reader,
        keys,
        options,
        _folder: folder,
    }
}

fn wanted(name: &str) -> Wanted {
    Wanted {
        host: Host::Github,
        name: name.to_owned(),
        enabled: true,
        silent_after: Some(24),
        created_by: None,
    }
}

fn brought(text: &str) -> WantedSecret {
    WantedSecret {
        text: Some(Zeroizing::new(text.to_owned())),
        kind: None,
    }
}

impl Desk {
    async fn make(&self, name: &str, once: Option<&Once>) -> Result<Answer, Error> {
        let shape = |made: &pipecast_admin::sources::Made| json!({"secret": made.secret.as_str(), "key": made.source.key});
        self.sources.make(wanted(name), WantedSecret::default(), By::system(), once, shape).await
    }

    async fn source(&self, id: i64) -> Source {
        self.reader.find_source(SourceId(id)).await.unwrap().unwrap()
    }

    /// What an edge would compare with.
    async fn believed(&self, id: i64) -> Vec<String> {
        let source = self.source(id).await;
        let trusted = self.reader.find_trusted(source.host, &source.key).await.unwrap().unwrap();
        let ring = self.keys.ring().unwrap();
        let live = trusted
            .secrets
            .iter()
            .filter(|secret| secret.not_after.is_none_or(|end| Timestamp::now() < end));
        live.map(|secret| {
            ring.open(&place_of_secret(source.id, secret.id), &secret.sealed)
                .unwrap()
                .as_text()
                .unwrap()
                .to_owned()
        })
        .collect()
    }

    async fn audited(&self) -> Vec<(String, String)> {
        let query = AuditQuery {
            limit: 100,
            ..AuditQuery::default()
        };
        let rows = self.reader.list_audit(&query).await.unwrap();
        rows.into_iter()
            .map(|row| (row.action, format!("{}{}", row.before.unwrap_or_default(), row.after.unwrap_or_default())))
            .collect()
    }
}

fn id_of(made: &Answer) -> i64 {
    made.location.rsplit('/').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_source_is_made_once_for_each_key_and_its_secret_is_kept_nowhere_in_the_clear() {
    let desk = desk().await;
    let once = |what| Once::new("user:1", By::system(), "key", &["POST /admin/v1/sources", what], desk.keys.ring().unwrap());

    let first = desk.make("a", Some(&once("a"))).await.unwrap();
    let again = desk.make("a", Some(&once("a"))).await.unwrap();

    assert_eq!(
        (first.again, again.again, &first.location, &first.body),
        (false, true, &again.location, &again.body)
    );
    assert!(matches!(desk.make("b", Some(&once("b"))).await, Err(Error::Key(KeyRefused::OtherRequest))));
    let secret = first.body["secret"].as_str().unwrap();
    assert_eq!(desk.believed(id_of(&first)).await, [secret]);
    let source = desk.source(id_of(&first)).await;
    assert_eq!(
        desk.sources.address(&source).1.unwrap(),
        format!("https://ci.example.org/webhooks/github/{}", source.key)
    );
    let audited = desk.audited().await;
    let actions: Vec<&str> = audited.iter().map(|(action, _)| action.as_str()).collect();
    assert_eq!(actions, ["secret.read", "source.create"], "the secret was shown twice");
    assert!(audited.iter().all(|(_, told)| !told.contains(secret)), "{audited:?}");
}

#[tokio::test]
async fn a_rotation_overlaps_and_a_third_secret_waits_for_the_end_of_the_first() {
    let desk = desk().await;
    let made = desk.make("a", None).await.unwrap();
    let first = made.body["secret"].as_str().unwrap().to_owned();
    let id = SourceId(id_of(&made));
    let rotate = async |text: &str, seconds| {
        let rotation = Rotation {
            secret: brought(text),
            overlap: Duration::from_secs(seconds),
            by: By::system(),
        };
        let shape = |made: &pipecast_admin::sources::Made| json!(made.id);
        desk.sources.rotate::<Error>(id, rotation, None, |_| Ok(()), shape).await
    };
    let second = rotate("the-second-secret-of-it", 3_600).await.err();
    assert!(matches!(second, Some(Error::Secret(_))), "it is too short by one");
    let second = rotate("the-second-secret-of-this", 3_600).await.unwrap();
    assert_eq!(desk.believed(id_of(&made)).await, ["the-second-secret-of-this", &first]);
    assert!(matches!(rotate("the-third-secret-of-this", 3_600).await, Err(Error::Full)));
    rotate("the-third-secret-of-this", 0).await.unwrap();
    assert_eq!(desk.believed(id_of(&made)).await, ["the-third-secret-of-this"]);

    assert!(matches!(
        desk.sources
            .end_secret::<Error>(id, serde_json::from_value(second.body).unwrap(), By::system(), |_| Ok(()))
            .await,
        Err(Error::Gone)
    ));
    let third = desk.source(id_of(&made)).await.secrets[0].id;
    desk.sources.end_secret::<Error>(id, third, By::system(), |_| Ok(())).await.unwrap();
    assert!(desk.believed(id_of(&made)).await.is_empty());
    let actions: Vec<String> = desk.audited().await.into_iter().map(|(action, _)| action).collect();
    for action in ["source.create", "source.rotate_secret", "source.end_secret"] {
        assert!(actions.iter().any(|done| done == action), "{actions:?}");
    }
}

#[tokio::test]
async fn a_deleted_source_comes_back_with_its_secrets_and_one_of_the_configuration_is_left_alone() {
    let desk = desk().await;
    let made = desk.make("a", None).await.unwrap();
    let id = SourceId(id_of(&made));
    let change = async |change: fn(&mut Source)| {
        let done = desk.sources.change::<Error>(id, By::system(), |source| {
            change(source);
            Ok(())
        });
        done.await
    };

    let renamed = change(|source| source.name = Some("b".into())).await.unwrap();
    assert_eq!(
        (renamed.name.as_deref(), renamed.version > made.version, renamed.secrets.len()),
        (Some("b"), true, 1)
    );
    change(|source| source.deleted_at = Some(Timestamp::now())).await.unwrap();
    assert!(matches!(change(|source| source.name = None).await, Err(Error::Gone)), "it is deleted");
    let back = change(|source| source.deleted_at = None).await.unwrap();
    assert_eq!((back.deleted_at, back.name.as_deref(), back.secrets.len()), (None, Some("b"), 1));
    let unknown = desk.sources.change::<Error>(SourceId(99), By::system(), |_| Ok(())).await;
    assert!(matches!(unknown, Err(Error::Gone)));
}

#[tokio::test]
async fn an_import_says_what_it_would_do_and_then_does_that() {
    let desk = desk().await;
    desk.make("a", None).await.unwrap();
    let exported = desk.sources.export(None).await.unwrap();
    assert_eq!((exported.lines.len(), exported.next), (1, None));
    let mut lines: Vec<(usize, Line)> = (1..).zip(exported.lines).collect();
    assert_eq!(lines[0].1.secrets[0].kind, SecretKind::Hmac);
    assert!(!serde_json::to_string(&lines).unwrap().contains(&desk.believed(1).await[0]));
    lines[0].1.enabled = false;
    let moved = Line {
        host: Host::Gitlab,
        key: "moved".into(),
        name: "moved".into(),
        enabled: true,
        silent_after_hours: None,
        secrets: Vec::new(),
    };
    lines.push((2, moved));

    let import = async |rehearsal| desk.sources.import(&lines, rehearsal, None, &By::system()).await.unwrap();
    let planned = import(Rehearsal::Dry).await;
    assert_eq!(desk.sources.export(None).await.unwrap().lines.len(), 1, "nothing is done");
    let done = import(Rehearsal::Real).await;

    assert_eq!(planned, done);
    let shown: Vec<_> = done.iter().map(|step| (step.action, step.changes.clone(), step.needs)).collect();
    assert_eq!(shown, [(Action::Update, vec!["enabled"], None), (Action::Create, vec![], Some(Need::Secret))]);
    assert!(import(Rehearsal::Real).await.iter().all(|step| step.action == Action::Keep));
    assert_eq!(desk.believed(1).await.len(), 1, "its secret stays");
}

#[tokio::test]
async fn an_import_passes_over_a_key_whose_source_was_purged_and_brings_the_rest() {
    const OF_IT: &str = "INSERT INTO projects (source_id, external_id, name_folded, stamps) VALUES (1, 'p', 'p', '{}')";
    let desk = desk().await;
    desk.make("a", None).await.unwrap();
    let mut lines: Vec<(usize, Line)> = (1..).zip(desk.sources.export(None).await.unwrap().lines).collect();
    let other = Line {
        key: "another".into(),
        ..lines[0].1.clone()
    };
    lines.push((2, other));
    let mut own = SqliteConnection::connect(&desk.options.url).await.unwrap();
    for sql in [OF_IT, "UPDATE sources SET deleted_at = 1 WHERE id = 1"] {
        sqlx::query(sql).execute(&mut own).await.unwrap();
    }
    let (_, writer) = pipecast_store::open(&desk.options).await.unwrap();
    let mut tx = writer.begin().await.unwrap();
    assert_eq!(tx.purge(Timestamp::now(), 10).await.unwrap().sources, 1);
    tx.commit().await.unwrap();

    let import = async |rehearsal| desk.sources.import(&lines, rehearsal, None, &By::system()).await.unwrap();
    let planned = import(Rehearsal::Dry).await;
    let done = import(Rehearsal::Real).await;

    assert_eq!(planned, done);
    let shown: Vec<_> = done.iter().map(|step| (step.action, step.needs)).collect();
    assert_eq!(shown, [(Action::Skip, Some(Need::Key)), (Action::Create, Some(Need::Secret))]);
    assert_eq!(desk.sources.export(None).await.unwrap().lines[0].key, "another");
}
