//! That torture can fail: what is planted into the database past the service, each of its counts reports.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use pipecast_prove::ledger::Ledger;
use pipecast_prove::topology::Topology;
use pipecast_prove::torture::{Crowd, Story, plan};

const PATIENCE: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_delivery_a_doubled_change_a_false_status_and_a_wrong_watcher_are_each_reported() {
    let folder = tempfile::tempdir().unwrap();
    let topology = Topology::start(plan(None, folder.path())).await.unwrap();
    let crowd = Crowd::gather(&topology);
    let mut story = Story::tell(&topology, 3, 60.0, Duration::from_secs(6)).await.unwrap();
    let mut ledger = Ledger::Postgres(topology.postgres.connect().await.unwrap());
    assert_eq!(story.accounts.drained(&mut ledger, Duration::from_secs(30)).await.unwrap(), 0);
    let verdict = story.judge(&mut ledger, &crowd, Duration::from_secs(30)).await.unwrap();
    assert!(verdict.is_good() && verdict.findings.acknowledged > 300, "{verdict}");

    ledger
        .falsify("DELETE FROM deliveries WHERE id = (SELECT id FROM deliveries WHERE outcome = 'applied' ORDER BY id LIMIT 1)")
        .await
        .unwrap();
    let verdict = story.judge(&mut ledger, &crowd, PATIENCE).await.unwrap();
    assert_eq!((verdict.findings.lost, verdict.findings.applied_twice), (1, 0), "{verdict}");
    assert!(!verdict.is_good());

    ledger
        .falsify(
            "INSERT INTO topic_changes (topic, seq, delivery_id, at)
             SELECT topic, seq + 1, delivery_id, at FROM topic_changes WHERE topic LIKE 'execution:%' ORDER BY seq DESC LIMIT 1",
        )
        .await
        .unwrap();
    let verdict = story.judge(&mut ledger, &crowd, PATIENCE).await.unwrap();
    assert_eq!(verdict.findings.applied_twice, 1, "{verdict}");
    assert!(verdict.findings.wrong.is_empty() && verdict.wrong.is_empty());

    ledger
        .falsify("UPDATE executions SET status = 'neutral' WHERE id = (SELECT max(id) FROM executions)")
        .await
        .unwrap();
    let verdict = story.judge(&mut ledger, &crowd, PATIENCE).await.unwrap();
    assert_eq!(verdict.findings.wrong.len(), 1, "{verdict}");

    ledger
        .falsify("UPDATE pipelines SET status = 'neutral' WHERE id = (SELECT min(id) FROM pipelines)")
        .await
        .unwrap();
    let verdict = story.judge(&mut ledger, &crowd, PATIENCE).await.unwrap();
    assert!(verdict.wrong.iter().any(|wrong| wrong.contains("monitor")), "{verdict}");
}
