//! The web page, embedded from `web/dist`, or a word on how to build it where it was not there at compile time.
//! Knows nothing of what the page shows.

use std::borrow::Cow;

use actix_web::guard::GuardContext;
use actix_web::http::header::{self, HeaderMap};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use pipecast_model::hexadecimal;
use rust_embed::RustEmbed;

/// What `npm run build` left. A debug build reads it from the disk at each request, so a new page needs no new binary.
#[derive(RustEmbed)]
#[folder = "web/dist/"]
#[allow_missing = true]
struct Dist;

/// One file of the page.
struct File {
    bytes: Bytes,
    /// Without quotes; of these very bytes, so each encoding has its own.
    etag: String,
    mime: String,
}

/// Finds a file by its path in `web/dist`.
type Find<'a> = &'a dyn Fn(&str) -> Option<File>;

/// The first parts of paths that belong to programs: below them nothing is ever answered with the page.
const FOR_PROGRAMS: [&str; 12] = [
    "admin",
    "api",
    "badges",
    "callbacks",
    "cc.xml",
    "docs",
    "health",
    "metrics",
    "redoc",
    "sse",
    "webhooks",
    "ws",
];

/// Encodings that the build wrote beside its files, the best first: the name in HTTP and the end of the file's name.
const ENCODINGS: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];

/// Scripts come from this origin alone and none stands in the page; styles are set by script through the DOM only; text becomes HTML
/// only where the page's framework makes its own templates.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; \
                      manifest-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'; \
                      require-trusted-types-for 'script'; trusted-types svelte-trusted-html";

/// The names of the files under `/assets/` hold a hash of their content, so they never change.
const FOREVER: &str = "public, max-age=31536000, immutable";

/// The answer to `request` if it asks for the page or one of its files; `None` leaves it to somebody else.
///
/// A file is answered to anyone who asks for its path. The page itself is answered to those who ask for HTML, at `/` and at every path that is
/// not below one of the programs' paths: the page has addresses of its own there, like `/executions/91`.
pub fn page(request: &HttpRequest) -> Option<HttpResponse> {
    answer(request, &embedded)
}

/// Whether someone asks for the page rather than for an answer to a program, where one address has both.
pub fn is_asked_for(context: &GuardContext) -> bool {
    wants_html(context.head().headers())
}

fn embedded(path: &str) -> Option<File> {
    let file = Dist::get(path)?;
    Some(File {
        etag: hexadecimal::write(&file.metadata.sha256_hash()[..16]),
        mime: file.metadata.mimetype().to_owned(),
        bytes: match file.data {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => bytes.into(),
        },
    })
}

fn answer(request: &HttpRequest, find: Find) -> Option<HttpResponse> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    let path = request.path().trim_matches('/');
    let names_a_file = !path.is_empty() && path != "index.html" && ENCODINGS.iter().all(|(_, end)| !path.ends_with(end));
    if let Some(file) = names_a_file.then(|| find(path)).flatten() {
        let keep = if path.starts_with("assets/") { FOREVER } else { "no-cache" };
        return Some(file_answer(request, find, path, file, keep));
    }
    if !wants_html(request.headers()) || FOR_PROGRAMS.contains(&path.split('/').next().unwrap_or_default()) {
        return None;
    }
    let mut response = match find("index.html") {
        Some(index) => file_answer(request, find, "index.html", index, "no-cache"),
        None => not_built(),
    };
    response
        .headers_mut()
        .insert(header::VARY, header::HeaderValue::from_static("accept, accept-encoding"));
    Some(response)
}

/// The file in the best encoding that there is and that the client takes, or 304 where it has it.
fn file_answer(request: &HttpRequest, find: Find, path: &str, plain: File, keep: &'static str) -> HttpResponse {
    let encoded = ENCODINGS
        .iter()
        .filter(|(name, _)| takes(request, name))
        .find_map(|(name, end)| Some((*name, find(&format!("{path}{end}"))?)));
    let (encoding, bytes, etag) = match encoded {
        Some((name, file)) => (Some(name), file.bytes, file.etag),
        None => (None, plain.bytes, plain.etag),
    };
    let unchanged = has(request, &etag);

    let mut response = HttpResponse::build(if unchanged { StatusCode::NOT_MODIFIED } else { StatusCode::OK });
    response
        .insert_header((header::ETAG, format!("\"{etag}\"")))
        .insert_header((header::CACHE_CONTROL, keep))
        .insert_header((header::VARY, "accept-encoding"));
    response.insert_header((header::CONTENT_SECURITY_POLICY, POLICY));
    if unchanged {
        return response.finish();
    }
    if let Some(name) = encoding {
        response.insert_header((header::CONTENT_ENCODING, name));
    }
    let charset = if plain.mime.starts_with("text/") { "; charset=utf-8" } else { "" };
    response.content_type(format!("{}{charset}", plain.mime)).body(bytes)
}

fn not_built() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .content_type("text/html; charset=utf-8")
        .body(NOT_BUILT)
}

/// Whether the client names HTML among what it takes; `*/*` alone is a program.
fn wants_html(headers: &HeaderMap) -> bool {
    words(headers, header::ACCEPT).any(|(word, refused)| word.eq_ignore_ascii_case("text/html") && !refused)
}

fn takes(request: &HttpRequest, encoding: &str) -> bool {
    words(request.headers(), header::ACCEPT_ENCODING).any(|(word, refused)| word.eq_ignore_ascii_case(encoding) && !refused)
}

fn has(request: &HttpRequest, etag: &str) -> bool {
    // A proxy may have weakened it; the bytes are the same.
    words(request.headers(), header::IF_NONE_MATCH).any(|(word, _)| word == "*" || word.trim_start_matches("W/").trim_matches('"') == etag)
}

/// The words of a list header, each with whether its weight is zero.
fn words(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = (&str, bool)> {
    let values = headers.get_all(name).filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|item| {
        let (word, parameters) = item.split_once(';').unwrap_or((item, ""));
        let refused = parameters
            .split(';')
            .filter_map(|one| one.trim().strip_prefix("q="))
            .any(|q| q.trim().parse() == Ok(0.0));
        (word.trim(), refused)
    })
}

/// Shown in place of the page by a binary that was built without it.
const NOT_BUILT: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Pipecast</title>
</head>
<body>
<h1>Pipecast is running; its page is not part of this build</h1>
<p>Build the page with Node, then the binary again: <code>npm ci &amp;&amp; npm run build</code> in <code>web/</code>, or <code>make run</code> for all of it.</p>
<p lang="zh-CN">服务已在运行，但此程序未包含网页。请在 <code>web/</code> 目录执行 <code>npm ci &amp;&amp; npm run build</code> 后重新编译，或直接运行 <code>make run</code>。</p>
<p>The API works without it: <a href="/docs">/docs</a>, <a href="/api/v1/pipelines">/api/v1/pipelines</a>, <a href="/health">/health</a>.</p>
</body>
</html>
"#;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use actix_web::body::to_bytes;
    use actix_web::test::TestRequest;

    use super::*;

    fn built(path: &str) -> Option<File> {
        let (bytes, mime) = match path {
            "index.html" => ("<!doctype html>", "text/html"),
            "assets/index-abc.js" => ("let a = 1", "text/javascript"),
            "assets/index-abc.js.br" => ("brotli", "application/octet-stream"),
            "assets/index-abc.js.gz" => ("gzip", "application/gzip"),
            "redoc/redoc.standalone.js" => ("redoc", "text/javascript"),
            _ => return None,
        };
        Some(File {
            bytes: Bytes::from_static(bytes.as_bytes()),
            etag: format!("tag-of-{path}"),
            mime: mime.into(),
        })
    }

    fn absent(_: &str) -> Option<File> {
        None
    }

    fn ask(path: &str, headers: &[(&str, &str)]) -> HttpRequest {
        headers
            .iter()
            .fold(TestRequest::get().uri(path), |request, header| request.insert_header(*header))
            .to_http_request()
    }

    fn header<'a>(response: &'a HttpResponse, name: &str) -> Option<&'a str> {
        response.headers().get(name).map(|value| value.to_str().unwrap())
    }

    async fn text(response: HttpResponse) -> String {
        String::from_utf8(to_bytes(response.into_body()).await.unwrap().to_vec()).unwrap()
    }

    const BROWSER: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");

    #[actix_web::test]
    async fn a_browser_gets_the_page_at_every_address_of_its_own() {
        for path in ["/", "/index.html", "/executions/91", "/pipelines/7?status=running", "/nowhere"] {
            let response = answer(&ask(path, &[BROWSER]), &built).unwrap();

            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_eq!(header(&response, "content-type"), Some("text/html; charset=utf-8"));
            assert_eq!(header(&response, "cache-control"), Some("no-cache"));
            assert_eq!(header(&response, "vary"), Some("accept, accept-encoding"));
            assert!(header(&response, "content-security-policy").unwrap().contains("script-src 'self'"));
            assert_eq!(text(response).await, "<!doctype html>");
        }
    }

    #[test]
    fn programs_never_get_the_page() {
        for headers in [
            &[][..],
            &[("accept", "*/*")],
            &[("accept", "application/json")],
            &[("accept", "text/html;q=0, */*")],
        ] {
            assert!(answer(&ask("/", headers), &built).is_none());
        }
        for path in [
            "/api/v1/pipelines/x",
            "/ws",
            "/ws/monitor",
            "/sse/monitor",
            "/webhooks/github",
            "/docs",
            "/metrics",
            "/health/",
            "/redoc",
        ] {
            assert!(answer(&ask(path, &[BROWSER]), &built).is_none(), "{path}");
        }
        let post = TestRequest::post().uri("/").insert_header(BROWSER).to_http_request();
        assert!(answer(&post, &built).is_none());
    }

    #[actix_web::test]
    async fn a_file_comes_in_the_best_encoding_that_the_client_takes() {
        for (accepted, encoding, body) in [
            ("gzip, deflate, br, zstd", Some("br"), "brotli"),
            ("gzip", Some("gzip"), "gzip"),
            ("br;q=0, gzip;q=0.5", Some("gzip"), "gzip"),
            ("identity", None, "let a = 1"),
        ] {
            let response = answer(&ask("/assets/index-abc.js", &[("accept-encoding", accepted)]), &built).unwrap();

            assert_eq!(header(&response, "content-encoding"), encoding, "{accepted}");
            assert_eq!(header(&response, "content-type"), Some("text/javascript; charset=utf-8"));
            assert_eq!(header(&response, "cache-control"), Some(FOREVER));
            assert_eq!(text(response).await, body);
        }
    }

    #[test]
    fn who_has_the_very_bytes_is_told_so() {
        for known in ["\"tag-of-assets/index-abc.js.br\"", "\"other\", W/\"tag-of-assets/index-abc.js.br\"", "*"] {
            let request = ask("/assets/index-abc.js", &[("accept-encoding", "br"), ("if-none-match", known)]);

            assert_eq!(answer(&request, &built).unwrap().status(), StatusCode::NOT_MODIFIED, "{known}");
        }
        let other_encoding = ask(
            "/assets/index-abc.js",
            &[("accept-encoding", "gzip"), ("if-none-match", "\"tag-of-assets/index-abc.js.br\"")],
        );
        assert_eq!(answer(&other_encoding, &built).unwrap().status(), StatusCode::OK);
    }

    #[test]
    fn redocs_script_is_a_file_like_others_and_encoded_twins_are_none() {
        assert!(answer(&ask("/redoc/redoc.standalone.js", &[]), &built).is_some());
        assert!(answer(&ask("/assets/index-abc.js.br", &[]), &built).is_none());
        assert!(answer(&ask("/assets/gone.js", &[]), &built).is_none());
    }

    #[actix_web::test]
    async fn without_a_build_it_says_how_to_make_one() {
        let response = answer(&ask("/", &[BROWSER]), &absent).unwrap();

        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(header(&response, "cache-control"), Some("no-store"));
        assert!(text(response).await.contains("npm ci &amp;&amp; npm run build"));
        assert!(answer(&ask("/", &[]), &absent).is_none());
    }
}
