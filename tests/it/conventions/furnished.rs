//! A house with at least five of everything that the admin lists.

use serde_json::json;

use super::ping;
use crate::accounts::{post, sign_in};
use crate::app::{ADMIN, PASSWORD};
use crate::http::Request;
use crate::live::run;
use crate::people::{House, with};

const MANY: usize = 5;

/// Makes it, and waits until nothing of it changes any more.
pub async fn furnish() -> House {
    let house = House::start(|config| config.fabric.queue.max_failures = 1).await;
    for number in 0..MANY {
        furnish_one(&house, number).await;
    }
    house.app.until_done().await;
    for project in 1..=MANY {
        let policy = json!({"project_id": project, "bodies": "30d"});
        house.done(post("/admin/v1/retention-policies", &policy)).await;
        let target = json!({"name": format!("target {project}"), "kind": (["email", "slack"])[project % 2], "statuses": ["failure"]});
        house.done(post("/admin/v1/notification-targets", &target)).await;
        let token = json!({"name": format!("token {project}"), "scopes": ["pipelines:read"], "project_id": project});
        house.done(post("/admin/v1/tokens", &token)).await;
    }
    bury(&house).await;
    house
}

/// One more of each thing.
async fn furnish_one(house: &House, number: usize) {
    let id = i64::try_from(number).unwrap();
    let mut told = run(3_001 + id, "in_progress", None, 1);
    told["repository"]["id"] = json!(600 + id);
    told["repository"]["full_name"] = json!(format!("acme/{}", ["probe", "Lander", "rover", "antenna", "Sail"][number]));
    house.app.deliver_github("workflow_run", &told).await;
    let host = ["github", "gitlab"][number % 2];
    house
        .done(post("/admin/v1/sources", &json!({"host": host, "name": format!("Source {}", number * 7 % 5)})))
        .await;
    let name = format!("user{number}");
    let user = house.done(post("/admin/v1/users", &json!({"name": name}))).await;
    let role = ["viewer", "maintainer"][number % 2];
    house
        .done(post("/admin/v1/projects/1/members", &json!({"user_name": name, "role": role})))
        .await;
    if number == 0 {
        let user = format!("/admin/v1/users/{}", user["id"]);
        for (path, change) in [
            (user.as_str(), json!({"disabled": true})),
            ("/admin/v1/pipelines/1", json!({"visibility": "private"})),
        ] {
            let patch = Request::with_body("PATCH", path, &change.to_string());
            house
                .done(patch.header("Content-Type", "application/merge-patch+json").header("If-Match", "*"))
                .await;
        }
    }
    sign_in(&house.app, ADMIN, PASSWORD).await;
}

/// Dead letters: the database refuses one kind of row.
async fn bury(house: &House) {
    house
        .app
        .alter("CREATE TRIGGER refuses BEFORE INSERT ON deliveries WHEN NEW.event = 'ping' BEGIN SELECT RAISE(ABORT, 'not now'); END")
        .await;
    for number in 0..MANY {
        assert_eq!(ping(number).send(house.app.address).await.status, 202);
    }
    let buried = || async {
        let page = house.app.send(with(Request::get("/admin/v1/dead-letters"), &house.admin)).await;
        page.json()["items"].as_array().unwrap().len() == MANY
    };
    house.app.until("all are buried", buried).await;
    house.app.alter("DROP TRIGGER refuses").await;
}
