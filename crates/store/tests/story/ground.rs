//! A database of its own for each story (on PostgreSQL a schema), on either engine, and short ways to say what a delivery tells.
//! Knows nothing of what the stories prove.

use std::time::Duration;

use bytes::Bytes;
use pipecast_model::facts::tell_status;
use pipecast_model::{
    Delivery, DeliveryId, ExecutionFacts, Facts, Host, JobFacts, PipelineFacts, PipelineKey, ProjectFacts, Status, Timestamp, Told, Topic, Version,
};
use pipecast_store::{Noted, Options, Reader, Writer};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, SqliteConnection};

/// An empty database; it is taken away with this value.
pub(crate) struct Ground {
    pub(crate) options: Options,
    pub(crate) engine: Engine,
    _directory: tempfile::TempDir,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    pub(crate) const BOTH: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];
}

/// A story's database with both sides of the store open.
pub(crate) struct Open {
    pub(crate) ground: Ground,
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
}

impl Ground {
    pub(crate) async fn lay(engine: Engine) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = match engine {
            Engine::Sqlite => format!("sqlite:{}", directory.path().join("pipecast.db").display()),
            Engine::Postgres => {
                let name = format!("pipecast_story_{}", uuid::Uuid::new_v4().simple());
                // A schema serves as well as a database, and takes no checkpoint to make and to drop.
                let create = AssertSqlSafe(format!("CREATE SCHEMA {name}"));
                sqlx::query(create).execute(&mut server().await).await.unwrap();
                format!("{}?application_name={name}&options[search_path]={name}", server_url())
            }
        };
        let options = Options {
            url,
            read_url: None,
            read_connections: 2,
            acquire_timeout: Duration::from_secs(5),
            first_id: 1,
        };
        Ground {
            options,
            engine,
            _directory: directory,
        }
    }

    pub(crate) async fn open(self) -> Open {
        pipecast_store::migrate(&self.options).await.unwrap();
        let (reader, writer) = pipecast_store::open(&self.options).await.unwrap();
        Open { ground: self, reader, writer }
    }

    /// One column of text of every row that a query of our own finds, for looking behind the store's back.
    pub(crate) async fn look(&self, sql: &str) -> Vec<String> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self.engine {
            Engine::Sqlite => {
                let mut connection = SqliteConnection::connect(&self.options.url).await.unwrap();
                let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
                rows.into_iter().map(|row| row.get::<Option<String>, _>(0).unwrap_or_default()).collect()
            }
            Engine::Postgres => {
                let mut connection = PgConnection::connect(&self.options.url).await.unwrap();
                let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
                rows.into_iter().map(|row| row.get::<Option<String>, _>(0).unwrap_or_default()).collect()
            }
        }
    }

    /// Whether the database takes a statement of our own.
    pub(crate) async fn takes(&self, sql: &str) -> bool {
        let sql = AssertSqlSafe(sql.to_owned());
        match self.engine {
            Engine::Sqlite => {
                let mut connection = SqliteConnection::connect(&self.options.url).await.unwrap();
                sqlx::query(sql).execute(&mut connection).await.is_ok()
            }
            Engine::Postgres => {
                let mut connection = PgConnection::connect(&self.options.url).await.unwrap();
                sqlx::query(sql).execute(&mut connection).await.is_ok()
            }
        }
    }

    /// The number that a query of our own finds.
    pub(crate) async fn count(&self, rest: &str) -> i64 {
        self.look(&format!("SELECT CAST(count(*) AS TEXT) FROM {rest}")).await[0].parse().unwrap()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if self.engine == Engine::Postgres {
            let name = self.options.url.rsplit('=').next().unwrap().to_owned();
            // Drop cannot wait, so a thread with a runtime of its own does.
            let drop = async move {
                sqlx::query(AssertSqlSafe(format!("DROP SCHEMA IF EXISTS {name} CASCADE")))
                    .execute(&mut server().await)
                    .await
                    .unwrap();
            };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            std::thread::spawn(move || runtime.block_on(drop)).join().unwrap();
        }
    }
}

fn server_url() -> String {
    std::env::var("PIPECAST_TEST_POSTGRES").unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/postgres".to_owned())
}

async fn server() -> PgConnection {
    let url = server_url();
    match PgConnection::connect(&url).await {
        Ok(connection) => connection,
        Err(error) => panic!("start a PostgreSQL server at {url}, or name another one in PIPECAST_TEST_POSTGRES ({error})"),
    }
}

impl Open {
    /// Notes and records one delivery in a transaction of its own.
    pub(crate) async fn tell(&self, facts: Facts) -> Vec<Topic> {
        let (noted, topics) = self.deliver(&delivery(), &facts).await;
        assert_eq!(noted, Noted::New);
        topics
    }

    pub(crate) async fn deliver(&self, delivery: &Delivery, facts: &Facts) -> (Noted, Vec<Topic>) {
        let mut tx = self.writer.begin().await.unwrap();
        let noted = tx.note_delivery(delivery).await.unwrap();
        let topics = match noted {
            Noted::New => tx.record_facts(delivery, facts).await.unwrap(),
            Noted::Duplicate(_) => Vec::new(),
        };
        tx.commit().await.unwrap();
        (noted, topics)
    }
}

/// A delivery like no other.
pub(crate) fn delivery() -> Delivery {
    let id = DeliveryId::fresh();
    Delivery {
        id,
        host: Host::Github,
        source: "default".into(),
        event: "workflow_run".into(),
        key: Some(format!("key-{id}")),
        body_sha256: format!("sha-{id}"),
        received_at: Timestamp::now(),
        headers: vec![("x-github-event".into(), "workflow_run".into())],
        replay_of: None,
        secret: None,
        body: Bytes::from_static(b"{}"),
    }
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp(1_700_000_000_000_000 + seconds * 1_000_000)
}

pub(crate) fn project(id: &str) -> ProjectFacts {
    ProjectFacts {
        external_id: id.into(),
        name: Told::new(Version::at(Some(at(0))), format!("acme/{id}")),
        ..ProjectFacts::default()
    }
}

/// An attempt of a run with its status at a second.
pub(crate) fn execution(run: i64, attempt: i64, status: Status, second: i64) -> ExecutionFacts {
    let version = Version::by_rank(attempt, status, Some(at(second)));
    ExecutionFacts {
        external_id: run.to_string(),
        attempt,
        ordinal: run,
        pipeline: Told::new(version, PipelineKey::Id("7".into())),
        status: tell_status(version, status, Some(status.word()), None, Some(at(second))),
        number: Told::new(version, run),
        branch: Told::new(version, "main".to_owned()),
        ..ExecutionFacts::default()
    }
}

pub(crate) fn job(run: i64, attempt: i64, id: &str, status: Status, second: i64) -> JobFacts {
    let version = Version::by_rank(attempt, status, Some(at(second)));
    JobFacts {
        execution: run.to_string(),
        attempt,
        external_id: id.into(),
        name: Told::new(version, format!("job {id}")),
        status: tell_status(version, status, Some(status.word()), None, Some(at(second))),
        ..JobFacts::default()
    }
}

pub(crate) fn pipeline(key: PipelineKey, name: &str) -> PipelineFacts {
    PipelineFacts {
        key,
        name: Told::new(Version::at(Some(at(0))), name.to_owned()),
        url: Told::default(),
    }
}

/// What a run's delivery tells: its project, its pipeline `CI` by id, and itself.
pub(crate) fn run(project_id: &str, execution: ExecutionFacts) -> Facts {
    Facts {
        project: Some(project(project_id)),
        pipelines: vec![pipeline(PipelineKey::Id("7".into()), "CI")],
        executions: vec![execution],
        ..Facts::default()
    }
}
