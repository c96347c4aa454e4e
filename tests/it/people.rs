//! Accounts as tests need them: people with a role everywhere or in a project, and tokens of programs.

use serde_json::{Value, json};

use crate::accounts::{post, sign_in};
use crate::app::{ADMIN, PASSWORD, TestApp};
use crate::http::{Answer, Request};
use crate::live::run;

/// The service with two pipelines, 1 and 2, each of a project of its own with the same id, and somebody who may do everything.
pub struct House {
    pub app: TestApp,
    pub admin: String,
}

/// What an answer has to be.
pub fn expect(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(&answer.body));
}

pub fn with(request: Request, token: &str) -> Request {
    request.header("Authorization", format!("Bearer {token}"))
}

impl House {
    pub async fn start(change: impl FnOnce(&mut pipecast::config::Config)) -> House {
        let app = TestApp::start_with_admin(change).await;
        app.deliver_github("workflow_run", &run(1001, "in_progress", None, 1)).await;
        app.until_status(1, "running").await;
        app.deliver_github("workflow_run", &other_run(2001, "in_progress", 1)).await;
        app.until_status(2, "running").await;
        let admin = sign_in(&app, ADMIN, PASSWORD).await;
        House { app, admin }
    }

    /// Sends it as an admin and expects success; the answer's JSON, where there is any.
    pub async fn done(&self, request: Request) -> Value {
        let answer = self.app.send(with(request, &self.admin)).await;
        assert!(
            (200..300).contains(&answer.status),
            "{}: {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    /// Somebody with a role everywhere; their id and access token.
    pub async fn person(&self, name: &str, role: Option<&str>) -> (i64, String) {
        let body = json!({"name": name, "role": role, "password": PASSWORD});
        let user = self.done(post("/admin/v1/users", &body)).await;
        (user["id"].as_i64().unwrap(), sign_in(&self.app, name, PASSWORD).await)
    }

    /// Somebody with a role in one project.
    pub async fn member(&self, name: &str, project: i64, role: &str) -> (i64, String) {
        let (id, _) = self.person(name, None).await;
        let body = json!({"user_name": name, "role": role});
        self.done(post(&format!("/admin/v1/projects/{project}/members"), &body)).await;
        (id, sign_in(&self.app, name, PASSWORD).await)
    }

    /// A token of the admin with these scopes; its id and text.
    pub async fn token(&self, name: &str, scopes: &[&str]) -> (String, String) {
        let issued = self.done(post("/admin/v1/tokens", &json!({"name": name, "scopes": scopes}))).await;
        (issued["id"].as_str().unwrap().to_owned(), issued["token"].as_str().unwrap().to_owned())
    }

    /// Waits until whoever shows this is answered so.
    pub async fn until_answered(&self, token: &str, path: &str, status: u16) {
        self.app
            .until(&format!("{path} is answered {status}"), || async {
                self.app.send(with(Request::get(path), token)).await.status == status
            })
            .await;
    }
}

/// A run of another repository than the usual one.
pub fn other_run(id: i64, status: &str, second: u32) -> Value {
    let mut run = run(id, status, None, second);
    run["repository"]["id"] = json!(502);
    run["repository"]["full_name"] = json!("acme/lander");
    run
}
