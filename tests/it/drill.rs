//! The drills: a backup under load is restored elsewhere, what waits comes along, and a service moves to the other engine and back.

use std::collections::{BTreeSet, HashMap};
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;
use std::time::Instant;

use pipecast::simulate::postman::Pace;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

use crate::archive::{PATIENCE, Place, beside_data, deliver, good, life, refusal, until};
use crate::http::Request;
use crate::live::run;

#[tokio::test]
async fn a_backup_under_load_has_all_that_was_acknowledged_and_goes_on_elsewhere() {
    let (here, there) = (Place::new(), Place::new());
    let mut service = here.serve();
    let letters = life(1_200);
    let acknowledged = Mutex::new(HashMap::new());
    let backup = async {
        until("a part is delivered", async || acknowledged.lock().unwrap().len() > 300).await;
        let began = Instant::now();
        let mut backup = here.command(env!("CARGO_BIN_EXE_pipecast"));
        backup.arg("backup").arg(here.archive());
        // Elsewhere, so that what delivers goes on.
        let output = tokio::task::spawn_blocking(move || backup.output().unwrap()).await.unwrap();
        (began, Instant::now(), good(&output))
    };

    let ((began, ended, said), ()) = tokio::join!(backup, deliver(&service, &letters, Pace::PerSecond(150.0), &acknowledged));

    let acknowledged = acknowledged.into_inner().unwrap();
    let before: BTreeSet<String> = acknowledged.iter().filter(|(_, at)| **at < began).map(|(key, _)| key.clone()).collect();
    assert!(before.len() > 300 && acknowledged.values().any(|at| *at > ended), "it was taken under load");
    assert!(said.contains("no backup contains that folder") && said.contains("data/keys"), "{said}");
    assert_eq!(std::fs::metadata(here.archive()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(beside_data(&here), ["backup.pipecast"]);
    until("all is applied", async || here.applied().await.len() == acknowledged.len()).await;
    service.signal("-TERM");
    assert!(service.ended(PATIENCE).1);

    good(&there.restore(&here.archive()));
    let restored = there.applied().await;
    let service = there.serve();
    until("what waited is applied", async || before.is_subset(&there.applied().await)).await;
    println!("{} acknowledged before the backup, {} keys in its ledger, 0 lost", before.len(), restored.len());

    deliver(&service, &letters, Pace::Unbounded, &Mutex::default()).await;
    until("all is applied again", async || there.applied().await.len() == acknowledged.len()).await;
    let (was, is) = (here.picture().await, there.picture().await);
    let different: Vec<_> = was.symmetric_difference(&is).collect();
    assert!(different.is_empty() && was.len() > 300, "{different:#?}");
    // Each key has one row with an effect; whatever else came with it counts as a repetition or says that it is a duplicate.
    let twice = there.count("(SELECT delivery_key FROM deliveries WHERE outcome = 'applied' GROUP BY host, source, delivery_key HAVING count(*) > 1) AS twice");
    assert_eq!(twice.await, 0);
    let twice = there.count("(SELECT topic FROM topic_changes WHERE delivery_id IS NOT NULL GROUP BY topic, delivery_id HAVING count(*) > 1) AS twice");
    assert_eq!(twice.await, 0);
}

#[tokio::test]
async fn what_waits_in_the_queue_is_in_the_backup() {
    let (here, there) = (Place::new(), Place::new());
    let service = here.serve();
    service.deliver(&run(1001, "in_progress", None, 1)).await;
    until("the first is applied", async || here.count("executions").await == 1).await;
    // Somebody holds the database, so what comes is acknowledged and waits.
    let url = format!("sqlite:{}", here.data().join("pipecast.db").display());
    let mut holder = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut holder).await.unwrap();
    for id in 1002..1012 {
        service.deliver(&run(id, "completed", Some("failure"), 9)).await;
    }

    let archive = here.backup();
    sqlx::query("ROLLBACK").execute(&mut holder).await.unwrap();
    let said = good(&there.restore(&archive));

    assert!(said.contains("10 deliveries that wait"), "{said}");
    assert_eq!(there.count("executions").await, 1);
    let first = Request::get("/api/v1/pipelines/1/status/realtime").send(service.address).await.json();
    let restored = there.serve();
    until("they are applied", async || there.count("executions").await == 11).await;
    let now = Request::get("/api/v1/pipelines/1/status/realtime").send(restored.address).await.json();
    assert_ne!(first["id"].as_str().unwrap()[..8], now["id"].as_str().unwrap()[..8], "a new epoch");
    until("all is announced", async || there.count("dirty_topics").await == 0).await;
}

/// A schema of its own on the server; taken away when it is dropped.
struct Schema(String);

impl Schema {
    fn server() -> String {
        std::env::var("PIPECAST_TEST_POSTGRES").unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/postgres".to_owned())
    }

    async fn create() -> Schema {
        let name = format!("it_{}", uuid::Uuid::new_v4().simple());
        Schema::order(&format!("CREATE SCHEMA {name}")).await;
        Schema(name)
    }

    async fn order(sql: &str) {
        let mut connection = PgConnection::connect(&Schema::server()).await.unwrap();
        sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    }

    fn url(&self) -> String {
        format!("{}?application_name={}&options[search_path]={}", Schema::server(), self.0, self.0)
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let clean = format!("DROP SCHEMA IF EXISTS {} CASCADE", self.0);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        std::thread::spawn(move || runtime.block_on(Schema::order(&clean))).join().unwrap();
    }
}

#[tokio::test]
async fn a_service_moves_to_postgres_with_its_data_and_back_and_goes_on() {
    let schema = Schema::create().await;
    let mut place = Place::new();
    let mut service = place.serve();
    deliver(&service, &life(300), Pace::Unbounded, &Mutex::default()).await;
    let running = refusal(&place.run(&["move", "--to", &schema.url()]));
    assert!(
        running.contains("stop the service that uses this data_dir first") && running.contains("is held by process"),
        "{running}"
    );
    service.signal("-TERM");
    assert!(service.ended(PATIENCE).1);
    let picture = place.picture().await;
    let last: i64 = place.count("executions").await;

    let said = good(&place.run(&["move", "--to", &schema.url()]));

    assert!(said.contains("set store.url"), "{said}");
    place.url = Some(schema.url());
    assert_eq!(place.picture().await, picture);
    let again = refusal(&Place { url: None, ..place }.run(&["move", "--to", &schema.url()]));
    assert!(again.contains("not empty") && again.contains("--force"), "{again}");
    place = Place {
        url: Some(schema.url()),
        folder: tempfile::tempdir().unwrap(),
    };
    let mut service = place.serve();
    service.deliver(&run(900_001, "in_progress", None, 1)).await;
    until("it goes on", async || place.count("executions").await == last + 1).await;
    let in_use = refusal(
        &Place {
            url: Some(schema.url()),
            folder: tempfile::tempdir().unwrap(),
        }
        .run(&["move", "--to", "sqlite:elsewhere.db"]),
    );
    assert!(in_use.contains("stop every process that uses it"), "{in_use}");
    service.signal("-TERM");
    assert!(service.ended(PATIENCE).1);
    let picture = place.picture().await;

    // And back: an archive of the one engine restored on the other is the same way.
    let back = Place::new();
    until("the server has noticed that we left", async || {
        place.run(&["backup", place.archive().to_str().unwrap(), "--force"]).status.success()
    })
    .await;
    good(&back.restore(&place.archive()));
    assert_eq!(back.picture().await, picture);
    let service = back.serve();
    service.deliver(&run(900_002, "in_progress", None, 1)).await;
    until("it goes on", async || back.count("executions").await == last + 2).await;
}
