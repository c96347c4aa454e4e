//! Of which pages a browser may open sockets and streams. Knows nothing of who sits before them.

use actix_web::HttpRequest;
use actix_web::http::header;

use super::admission::Refused;

/// Lets in requests without an origin (programs), of our own origin, and of the allowed ones; a page elsewhere could otherwise
/// open sockets in its visitor's name.
///
/// # Errors
/// `Refused::Origin`.
pub(super) fn check_origin(request: &HttpRequest, allowed: &[String]) -> Result<(), Refused> {
    let Some(origin) = request.headers().get(header::ORIGIN) else { return Ok(()) };
    let origin = String::from_utf8_lossy(origin.as_bytes());
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let own = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"))
        .is_some_and(|rest| !host.is_empty() && rest.eq_ignore_ascii_case(host));
    if own || allowed.iter().any(|known| *known == origin) {
        return Ok(());
    }
    Err(Refused::Origin(origin.chars().take(200).collect()))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn origin(origin: &str, allowed: &[String]) -> bool {
        let request = TestRequest::default()
            .insert_header(("Host", "ci.example.org:8080"))
            .insert_header(("Origin", origin))
            .to_http_request();
        check_origin(&request, allowed).is_ok()
    }

    #[test]
    fn only_our_own_and_allowed_origins_come_in() {
        let allowed = ["https://board.example.org".to_owned()];

        assert!(origin("http://ci.example.org:8080", &allowed));
        assert!(origin("https://board.example.org", &allowed));
        for stranger in [
            "https://evil.example",
            "null",
            "http://ci.example.org",
            "https://board.example.org.evil.example",
            "http://ci.example.org:8080@evil.example",
            "",
        ] {
            assert!(!origin(stranger, &allowed), "{stranger:?}");
        }
    }
}
