//! A NUL character, which no text of ours has and PostgreSQL takes in none: refused wherever it comes in, on both engines.

use serde_json::json;

use crate::accounts::{post, sign_in};
use crate::app::{ADMIN, PASSWORD, TestApp};
use crate::http::Request;
use crate::people::with;
use crate::split::Deployment;

#[tokio::test]
async fn a_nul_character_is_refused_by_its_place_wherever_it_is_sent() {
    let deployment = Deployment::lay().await;
    for store in [None, deployment.config("one").store.url] {
        let app = TestApp::start_with_admin(|config| config.store.url.clone_from(&store)).await;
        let admin = sign_in(&app, ADMIN, PASSWORD).await;
        let refused = async |request: Request| {
            let answer = app.send(request).await;
            let pointer = answer.json()["errors"][0]["pointer"].as_str().unwrap_or_default().to_owned();
            (answer.status, answer.problem(), pointer)
        };
        let invalid = |pointer: &str| (422, "invalid".to_owned(), pointer.to_owned());

        // By anybody.
        let login = json!({"name": "a\0", "password": "x"});
        assert_eq!(refused(post("/admin/v1/sessions", &login)).await, invalid("#/name"), "{store:?}");

        let user = json!({"name": "bob", "display_name": "B\0b"});
        assert_eq!(refused(with(post("/admin/v1/users", &user), &admin)).await, invalid("#/display_name"));
        let lines = format!("{}\n{}\n", json!({"name": "bob"}), json!({"name": "e\0e"}));
        let import = Request::post("/admin/v1/users/import", lines).header("Content-Type", "application/x-ndjson");
        assert_eq!(refused(with(import, &admin)).await, invalid("#/1/name"));
        let cursor = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, r#"["a\u0000",1]"#);
        let page = Request::get(&format!("/admin/v1/sources?sort=name&cursor={cursor}"));
        assert_eq!(refused(with(page, &admin)).await, (400, "invalid_query".to_owned(), "?cursor".to_owned()));
        for request in [
            Request::get("/admin/v1/dead-letters/a%00"),
            Request::new("DELETE", "/admin/v1/dead-letters/a%00"),
        ] {
            assert_eq!(app.send(with(request, &admin)).await.status, 404, "{store:?}");
        }
        app.stop().await;
    }
}
