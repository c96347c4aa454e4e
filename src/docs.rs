//! `/api/openapi.json` and two ways to read it: `/docs` (Swagger UI, from the binary) and `/redoc` (Redoc where the page was built, and a plain page
//! where it was not).
//! Knows nothing of what the document says.

use std::borrow::Cow;
use std::sync::Arc;

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use bytes::Bytes;
use pipecast_http::Problem;
use utoipa_actix_web::service_config::ServiceConfig;

mod plain;

/// Where the document is.
const DOCUMENT: &str = "/api/openapi.json";

/// Scripts come from this origin alone, and none stands in a page. Both readers write styles into the page by script, and Redoc searches in a
/// worker that it makes of a text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; \
                      connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Swagger UI's files change with the build alone, and their names do not say so.
const KEPT: &str = "public, max-age=3600";

/// The document as it is served; made once.
#[derive(Clone, Debug)]
pub struct Document(pub Bytes);

/// The routes of this file. They are not part of the document.
pub fn routes(config: &mut ServiceConfig) {
    config
        .route(DOCUMENT, web::get().to(show_document))
        .route("/docs", web::get().to(show_swagger_ui))
        .route("/docs/{file}", web::get().to(show_swagger_file))
        .route("/redoc", web::get().to(show_redoc));
}

async fn show_document(document: web::Data<Document>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(document.0.clone())
}

async fn show_swagger_ui() -> HttpResponse {
    page(SWAGGER_UI)
}

async fn show_swagger_file(file: web::Path<String>) -> Result<HttpResponse, Problem> {
    // Its validator is a service of its makers, which would be asked by every reader.
    let config = utoipa_swagger_ui::Config::from(DOCUMENT).validator_url("none");
    let found = utoipa_swagger_ui::serve(&file, Arc::new(config)).ok().flatten();
    let found = found.ok_or_else(|| Problem::no_such("file", file.as_str()))?;
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, KEPT));
    if found.gzpipped {
        response.insert_header((header::CONTENT_ENCODING, "gzip"));
    }
    Ok(response.content_type(found.content_type).body(match found.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    }))
}

async fn show_redoc(document: web::Data<Document>) -> HttpResponse {
    page(REDOC.replace("{document}", &plain::render(&document.0)))
}

fn page(text: impl Into<String>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .body(text.into())
}

/// Swagger UI's own page with absolute addresses, because `/docs` has no slash at its end.
const SWAGGER_UI: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Pipecast API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/swagger-ui-standalone-preset.js"></script>
<script src="/docs/swagger-initializer.js"></script>
</body>
</html>
"#;

/// Redoc replaces what is inside its element; where its script is not part of the build, that stays and serves as well.
const REDOC: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Pipecast API</title>
<style>body { margin: 0 } .plain { font: 16px/1.5 system-ui, sans-serif; margin: 3rem auto; max-width: 60rem; padding: 0 1rem; overflow-wrap: anywhere }</style>
</head>
<body>
<redoc spec-url="/api/openapi.json">
<main class="plain">
{document}</main>
</redoc>
<script src="/redoc/redoc.standalone.js"></script>
</body>
</html>
"#;
