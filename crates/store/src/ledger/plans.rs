//! How the engines find what is asked of the ledger: by an index that has the order, whatever is asked.
//! Knows nothing of what is found.
#![expect(clippy::unwrap_used, reason = "tests")]

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, SqliteConnection};

use super::*;
use crate::delivery::WRITE;
use crate::{Options, Sight};

/// Enough that reading all of it is no plan.
const ROWS: i64 = 40_000;

const FILL_SQLITE: &str = "
    INSERT INTO deliveries (id, host, source, event, delivery_key, body_sha256, received_at, headers, outcome, repeats, recorded_at, project_id, replay_of)
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000)
    SELECT randomblob(16), CASE i % 3 WHEN 0 THEN 'gitlab' ELSE 'github' END, 's' || (i % 7), 'e' || (i % 11), 'k' || i, 'b' || i, i * 1000, '[]',
        CASE WHEN i % 100 = 0 THEN 'ignored' ELSE 'applied' END, 0, i * 1000, i % 200, CASE WHEN i % 500 = 0 THEN zeroblob(16) END
    FROM n";

const FILL_POSTGRES: &str = "
    INSERT INTO deliveries (id, host, source, event, delivery_key, body_sha256, received_at, headers, outcome, repeats, recorded_at, project_id, replay_of)
    SELECT gen_random_uuid(), CASE i % 3 WHEN 0 THEN 'gitlab' ELSE 'github' END, 's' || (i % 7), 'e' || (i % 11), 'k' || i, 'b' || i, i * 1000, '[]',
        CASE WHEN i % 100 = 0 THEN 'ignored' ELSE 'applied' END, 0, i * 1000, i % 200,
        CASE WHEN i % 500 = 0 THEN CAST('00000000-0000-0000-0000-000000000000' AS UUID) END
    FROM generate_series(1, 40000) AS n (i)";

/// What is asked, and the indexes that serve it.
fn questions() -> Vec<(DeliveryQuery, &'static [&'static str])> {
    let all = DeliveryQuery {
        limit: 50,
        ..DeliveryQuery::default()
    };
    let nil = DeliveryId(sqlx::types::Uuid::nil());
    let middle = Timestamp(ROWS / 2 * 1_000);
    vec![
        (all.clone(), &["deliveries_by_age"]),
        (
            DeliveryQuery {
                after: Some((middle, nil)),
                ..all.clone()
            },
            &["deliveries_by_age"],
        ),
        (
            DeliveryQuery {
                since: Some(Timestamp(10)),
                until: Some(middle),
                ..all.clone()
            },
            &["deliveries_by_age"],
        ),
        (
            DeliveryQuery {
                host: Some(Host::Gitlab),
                source: Some("s3".into()),
                after: Some((middle, nil)),
                ..all.clone()
            },
            &["deliveries_by_source"],
        ),
        (
            DeliveryQuery {
                event: Some("e7".into()),
                ..all.clone()
            },
            &["deliveries_by_event", "deliveries_by_age"],
        ),
        (
            DeliveryQuery {
                project: Some(ProjectId(17)),
                ..all.clone()
            },
            &["deliveries_by_project"],
        ),
        (
            DeliveryQuery {
                outcome: Some(Outcome::Ignored),
                ..all.clone()
            },
            &["deliveries_by_outcome"],
        ),
        (
            DeliveryQuery {
                outcome: Some(Outcome::Applied),
                ..all.clone()
            },
            &["deliveries_by_age"],
        ),
        (
            DeliveryQuery {
                replay_of: Some(nil),
                ..all.clone()
            },
            &["deliveries_by_replay"],
        ),
        (
            DeliveryQuery {
                sight: Sight::Projects {
                    of: vec![ProjectId(17), ProjectId(9_999)],
                    internal: false,
                },
                ..all.clone()
            },
            &["deliveries_by_project"],
        ),
        (
            DeliveryQuery {
                project: Some(ProjectId(17)),
                event: Some("e7".into()),
                outcome: Some(Outcome::Ignored),
                ..all
            },
            &["deliveries_by_project", "deliveries_by_outcome", "deliveries_by_event"],
        ),
    ]
}

/// Holds against a plan what no plan here may have.
fn check(plan: &str, question: &DeliveryQuery, indexes: &[&str], never: &[&str]) {
    assert!(indexes.iter().any(|index| plan.contains(index)), "{question:?}\n{plan}");
    assert!(!never.iter().any(|word| plan.contains(word)), "{question:?}\n{plan}");
}

#[tokio::test]
async fn every_question_to_the_ledger_has_an_index_on_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("pipecast.db").display());
    let options = options(url);
    crate::migrate(&options).await.unwrap();
    let mut db = SqliteConnection::connect(&options.url).await.unwrap();
    sqlx::query(FILL_SQLITE).execute(&mut db).await.unwrap();

    for (question, indexes) in questions() {
        let mut sql = QueryBuilder::new("EXPLAIN QUERY PLAN ");
        ask(&question, LISTED, "", &mut sql);
        let rows = sql.build().fetch_all(&mut db).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        // What was found of each project is put in order together.
        let never: &[&str] = match question.sight {
            Sight::All => &["TEMP B-TREE", "SCAN d\n", "SCAN b"],
            Sight::Projects { .. } => &["SCAN d\n", "SCAN b"],
        };
        check(&plan.join("\n"), &question, indexes, never);
    }
    let of_each = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {WRITE}")))
        .fetch_all(&mut db)
        .await
        .unwrap();
    let of_each: Vec<String> = of_each.iter().map(|row| row.get("detail")).collect();
    assert!(of_each.concat().contains("deliveries_by_body"), "{of_each:?}");
}

#[tokio::test]
async fn every_question_to_the_ledger_has_an_index_on_postgres() {
    let server = std::env::var("PIPECAST_TEST_POSTGRES").unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/postgres".to_owned());
    let name = format!("pipecast_plans_{}", std::process::id());
    let mut db = PgConnection::connect(&server).await.unwrap();
    sqlx::query(AssertSqlSafe(format!("CREATE SCHEMA {name}"))).execute(&mut db).await.unwrap();
    let options = options(format!("{server}?application_name={name}&options[search_path]={name}"));
    crate::migrate(&options).await.unwrap();
    sqlx::query(AssertSqlSafe(format!("SET search_path TO {name}"))).execute(&mut db).await.unwrap();
    sqlx::query(FILL_POSTGRES).execute(&mut db).await.unwrap();
    // Without statistics, and for any parameters: as in a database that is filled faster than it is analysed.
    let nulls = vec!["NULL"; 18].join(", ");
    for sql in [format!("PREPARE noting AS {WRITE}"), "SET plan_cache_mode = force_generic_plan".to_owned()] {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut db).await.unwrap();
    }
    let of_each = sqlx::raw_sql(AssertSqlSafe(format!("EXPLAIN EXECUTE noting ({nulls})")))
        .fetch_all(&mut db)
        .await
        .unwrap();
    let of_each: Vec<String> = of_each.iter().map(|row| row.get(0)).collect();
    sqlx::query("ANALYZE deliveries").execute(&mut db).await.unwrap();

    let mut plans = Vec::new();
    for (question, indexes) in questions() {
        let mut sql = QueryBuilder::new("EXPLAIN ");
        ask(&question, LISTED, "", &mut sql);
        let rows = sql.build().fetch_all(&mut db).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        plans.push((plan.join("\n"), question, indexes));
    }

    sqlx::query(AssertSqlSafe(format!("DROP SCHEMA {name} CASCADE")))
        .execute(&mut db)
        .await
        .unwrap();
    assert!(of_each.concat().contains("deliveries_by_body"), "{of_each:?}");
    for (plan, question, indexes) in plans {
        // The few that two indexes have in common may be sorted.
        let is_narrow = (question.project.is_some() && question.outcome.is_some()) || question.sight != Sight::All;
        let never: &[&str] = if is_narrow {
            &["Seq Scan on deliveries "]
        } else {
            &["Seq Scan on deliveries ", "Sort"]
        };
        check(&plan, &question, indexes, never);
    }
}

fn options(url: String) -> Options {
    Options {
        url,
        read_url: None,
        read_connections: 1,
        acquire_timeout: std::time::Duration::from_secs(5),
        first_id: 1,
    }
}
