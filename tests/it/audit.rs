//! The commands on the audit, as an operator has them; and the chain, checked by nothing but what the documentation says of it.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use pipecast_store::Options;
use pipecast_store::audit::{By, Entry};
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};

use crate::archive::{Place, good};

async fn with_rows(place: &Place, rows: i64) -> String {
    std::fs::create_dir_all(place.data()).unwrap();
    let options = Options {
        url: format!("sqlite:{}", place.data().join("pipecast.db").display()),
        read_url: None,
        read_connections: 1,
        acquire_timeout: Duration::from_secs(5),
        first_id: 1,
    };
    pipecast_store::migrate(&options).await.unwrap();
    let (_reader, writer) = pipecast_store::open(&options).await.unwrap();
    for number in 1..=rows {
        let mut tx = writer.begin().await.unwrap();
        let mut by = By::system();
        by.user_agent = Some("a \"client\" ü\t\u{7f}/1".to_owned());
        tx.audit(
            Entry::new(by, "source.create")
                .on("source", number, "Ünïcode 🚀")
                .after(json!({"n": number, "b": 1.5, "a": ["x\n", null]})),
        );
        tx.commit().await.unwrap();
    }
    writer.close().await.unwrap();
    options.url
}

#[tokio::test]
async fn the_commands_say_what_stands_and_where_it_does_not() {
    let place = Place::new();
    let url = with_rows(&place, 4).await;

    let said = good(&place.run(&["audit", "verify"]));
    let anchor = said.lines().last().unwrap().to_owned();
    assert!(said.starts_with("the audit is as it was written: 4 rows"), "{said}");
    assert!(anchor.starts_with("4:"), "{anchor}");
    good(&place.run(&["audit", "verify", "--anchor", &anchor]));
    let other = anchor.replace(':', ":0").get(..anchor.len()).unwrap().to_owned();
    let refused = place.run(&["audit", "verify", "--anchor", &other]);
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("row 4 of the audit is another one"),
        "{refused:?}"
    );

    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("DROP TRIGGER audit_is_never_changed; UPDATE audit SET resource_label = 'another' WHERE seq = 2")
        .execute(&mut connection)
        .await
        .unwrap();
    let broken = place.run(&["audit", "verify"]);
    assert_eq!(broken.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&broken.stderr).contains("pipecast: row 2 of the audit is not as it was written"),
        "{broken:?}"
    );
}

#[tokio::test]
async fn an_export_can_be_verified_without_us() {
    let place = Place::new();
    with_rows(&place, 3).await;

    let lines = good(&place.run(&["audit", "export"]));
    let since = good(&place.run(&["audit", "export", "--after", "2"]));

    assert_eq!(lines.lines().count(), 3);
    assert_eq!(since.lines().collect::<Vec<_>>(), [lines.lines().last().unwrap()]);
    let mut before = vec![0_u8; 32];
    for line in lines.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let at = chrono_micros(row["at"].as_str().unwrap());
        // As text they are compact, and so is this.
        let text = |name: &str| if row[name].is_null() { Value::Null } else { Value::String(raw(line, name)) };
        let columns = json!([
            row["seq"],
            at,
            row["actor"],
            row["user_id"],
            row["token_id"],
            row["action"],
            row["outcome"],
            row["project_id"],
            row["resource_type"],
            row["resource_id"],
            row["resource_label"],
            text("before"),
            text("after"),
            row["ip"],
            row["user_agent"],
            row["request_id"],
        ]);
        let bytes = [&before[..], columns.to_string().as_bytes()].concat();
        before = digest(&SHA256, &bytes).as_ref().to_vec();
        let hex: String = before.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(row["hash"], hex, "{line}");
    }
}

fn chrono_micros(text: &str) -> i64 {
    pipecast_model::Timestamp::parse(text).unwrap().0
}

/// The text of a field as it stands in the line.
fn raw(line: &str, name: &str) -> String {
    let fields: std::collections::BTreeMap<String, Box<serde_json::value::RawValue>> = serde_json::from_str(line).unwrap();
    fields[name].get().to_owned()
}
