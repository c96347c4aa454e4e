//! What it costs to list 50 of 100,000 sources and of as many users, on both engines: each order, the first page, one from the middle, and the
//! filters. Prints the median and the 99th percentile of each; ends with 1 where a 99th percentile is above 20 ms.
//!
//! `cargo bench --bench lists`. PostgreSQL is at `PIPECAST_TEST_POSTGRES`, else at 127.0.0.1:5432.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]

use std::time::{Duration, Instant};

use pipecast_model::{Host, Role, SourceId, Timestamp, UserId};
use pipecast_store::source::{Deleted, SourceQuery};
use pipecast_store::{ByNameOrId, Direction, Options, UserQuery};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

/// Of each.
const ROWS: usize = 100_000;
const ASKED: usize = 400;
const GOAL: Duration = Duration::from_millis(20);

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let slow = runtime.block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let sqlite = format!("sqlite:{}", directory.path().join("pipecast.db").display());
        let server = std::env::var("PIPECAST_TEST_POSTGRES").unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/postgres".to_owned());
        let name = format!("pipecast_bench_{}", uuid::Uuid::new_v4().simple());
        let mut control = PgConnection::connect(&server).await.unwrap();
        order(&mut control, format!("CREATE SCHEMA {name}")).await;
        let postgres = format!("{server}?options[search_path]={name}");
        let mut slow = 0;
        for url in [sqlite, postgres] {
            slow += measure(url).await;
        }
        order(&mut control, format!("DROP SCHEMA {name} CASCADE")).await;
        slow
    });
    std::process::exit(i32::from(slow > 0));
}

async fn order(control: &mut PgConnection, sql: String) {
    sqlx::query(AssertSqlSafe(sql)).execute(control).await.unwrap();
}

/// Rows as operators would have made them, written together: it is reading that is measured.
async fn fill(url: &str) {
    let rows = |from: usize| {
        let row = |number: usize| {
            let host = if number.is_multiple_of(3) { "gitlab" } else { "github" };
            let deleted = if number.is_multiple_of(50) { "1" } else { "NULL" };
            format!(
                "('{host}', 'key{number:06}', {number}, TRUE, 'Team {:05} {number}', 'team {:05} {number}', {}, 24, {number}, {deleted}, 1, {})",
                number * 7919 % ROWS,
                number * 7919 % ROWS,
                !number.is_multiple_of(10),
                number + 1
            )
        };
        (from..from + 1_000).map(row).collect::<Vec<_>>().join(", ")
    };
    let statements = (0..ROWS).step_by(1_000).map(|from| {
        format!(
            "INSERT INTO sources (host, key, created_at, managed, name, name_folded, enabled, silent_after, updated_at, deleted_at, version, revision)
            VALUES {}",
            rows(from)
        )
    });
    let users = (0..ROWS)
        .step_by(1_000)
        .map(|from| format!("INSERT INTO users ({USER_COLUMNS}) VALUES {}", people(from)));
    let secrets = "INSERT INTO source_secrets (source_id, kind, sealed, created_at) SELECT id, 'hmac', 'v1|a256gcm|', created_at FROM sources";
    let all = statements.chain(users).chain([secrets.to_owned(), secrets.to_owned(), "ANALYZE".to_owned()]);
    if url.starts_with("sqlite") {
        let mut connection = SqliteConnection::connect(url).await.unwrap();
        for sql in all {
            sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        }
    } else {
        let mut connection = PgConnection::connect(url).await.unwrap();
        for sql in all {
            sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        }
    }
}

const USER_COLUMNS: &str = "name, name_folded, display_name, email, role, password, disabled_at, deleted_at, created_at, updated_at, version";

/// A thousand accounts: one of ten disabled, one of fifty deleted, one of a thousand an admin.
fn people(from: usize) -> String {
    let row = |number: usize| {
        let role = if number % 1_000 == 7 { "admin" } else { "viewer" };
        let [disabled, deleted] = [10, 50].map(|of| if number.is_multiple_of(of) { "1" } else { "NULL" });
        format!(
            "('Person{number}', 'person{number}', 'Person {:05}', 'person{number}@example.org', '{role}', '$argon2id$', {disabled}, {deleted}, {number}, {number}, 1)",
            number * 7919 % ROWS
        )
    };
    (from..from + 1_000).map(row).collect::<Vec<_>>().join(", ")
}

/// How many of the lists are slower than they may be.
async fn measure(url: String) -> usize {
    let options = Options {
        url,
        read_url: None,
        read_connections: 4,
        acquire_timeout: Duration::from_secs(5),
        first_id: 1,
    };
    pipecast_store::migrate(&options).await.unwrap();
    fill(&options.url).await;
    let (reader, _writer) = pipecast_store::open(&options).await.unwrap();
    let all = || SourceQuery {
        limit: 51,
        ..SourceQuery::default()
    };
    let middle = || Some((format!("team {:05}", ROWS / 2), SourceId(50_000)));
    let asked: [(&str, SourceQuery); 9] = [
        ("by id", all()),
        ("by id, from the middle", SourceQuery { after: middle(), ..all() }),
        (
            "newest first, from the middle",
            SourceQuery {
                sort: ByNameOrId::Newest,
                after: middle(),
                ..all()
            },
        ),
        (
            "by name",
            SourceQuery {
                sort: ByNameOrId::Name,
                ..all()
            },
        ),
        (
            "by name, from the middle",
            SourceQuery {
                sort: ByNameOrId::Name,
                after: middle(),
                ..all()
            },
        ),
        (
            "by name down, from the middle",
            SourceQuery {
                sort: ByNameOrId::NameDown,
                after: middle(),
                ..all()
            },
        ),
        (
            "of one host, disabled",
            SourceQuery {
                host: Some(Host::Gitlab),
                enabled: Some(false),
                ..all()
            },
        ),
        (
            "deleted ones",
            SourceQuery {
                deleted: Deleted::Only,
                ..all()
            },
        ),
        (
            "silent ones",
            SourceQuery {
                silent_at: Some(Timestamp::now()),
                ..all()
            },
        ),
    ];
    let people = || UserQuery {
        direction: Direction::Up,
        limit: 51,
        ..UserQuery::default()
    };
    let middle = || Some(UserId(50_000));
    let of_users: [(&str, UserQuery); 6] = [
        ("by id", people()),
        ("by id, from the middle", UserQuery { after: middle(), ..people() }),
        (
            "newest first, from the middle",
            UserQuery {
                direction: Direction::Down,
                after: middle(),
                ..people()
            },
        ),
        (
            "admins, from the middle",
            UserQuery {
                role: Some(Role::Admin),
                after: middle(),
                ..people()
            },
        ),
        (
            "disabled ones",
            UserQuery {
                disabled: Some(true),
                ..people()
            },
        ),
        (
            "deleted ones",
            UserQuery {
                deleted: Deleted::Only,
                ..people()
            },
        ),
    ];
    let engine = if options.is_shared() { "postgres" } else { "sqlite" };
    let mut slow = 0;
    for (name, query) in asked {
        slow += usize::from(
            !ask(&format!("{engine:<9} sources {name}"), true, async || {
                reader.list_sources(&query).await.unwrap().len()
            })
            .await,
        );
    }
    for (name, query) in of_users {
        slow += usize::from(
            !ask(&format!("{engine:<9} users {name}"), true, async || {
                reader.list_users(&query).await.unwrap().len()
            })
            .await,
        );
    }
    // A word that few have is looked for in every name; that is told, and has no goal.
    for text in ["team", "team 00001 "] {
        let query = SourceQuery {
            text: Some(text.into()),
            ..all()
        };
        ask(&format!("{engine:<9} sources with {text:?}"), false, async || {
            reader.list_sources(&query).await.unwrap().len()
        })
        .await;
    }
    for text in ["person", "person 00001"] {
        let query = UserQuery {
            text: Some(text.into()),
            ..people()
        };
        ask(&format!("{engine:<9} users with {text:?}"), false, async || {
            reader.list_users(&query).await.unwrap().len()
        })
        .await;
    }
    slow
}

/// Whether a list is as quick as it has to be.
async fn ask(name: &str, has_goal: bool, mut read: impl AsyncFnMut() -> usize) -> bool {
    let mut times = Vec::with_capacity(ASKED);
    for _ in 0..ASKED {
        let began = Instant::now();
        let rows = read().await;
        times.push(began.elapsed());
        assert!(rows > 0, "{name}");
    }
    times.sort();
    let (median, tail) = (times[ASKED / 2], times[ASKED * 99 / 100]);
    let verdict = if !has_goal || tail <= GOAL { "" } else { "  TOO SLOW" };
    println!("{name:<48} median {median:>9.2?}  p99 {tail:>9.2?}{verdict}");
    verdict.is_empty()
}
