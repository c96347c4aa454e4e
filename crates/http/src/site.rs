//! The site as browsers know it: its origin, and the cookie that carries a session on.
//! Knows nothing of what the cookie is good for.
//!
//! A page of another site can make a browser send requests with our cookies, so whatever changes something by a cookie has to come from
//! a page of ours: its `Origin` is ours, and it has a header that no foreign page can set without asking first.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header;

use crate::anonymous::is_local;
use crate::{Code, Problem};

/// The header that pages of ours send with the value `1`.
pub const PAGE_HEADER: &str = "x-pipecast";

/// Where the page is reached, and how its cookie is called there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Site {
    /// As in `https://ci.example.org`, without a slash at its end. Not set: whatever loopback name the browser used.
    pub origin: Option<String>,
    /// Plain HTTP on a private network, where browsers keep no cookie that is only for TLS.
    pub plain_http: bool,
}

impl Site {
    /// The cookie's name. The prefix makes browsers refuse it from anywhere but this very host.
    pub fn cookie_name(&self) -> &'static str {
        if self.plain_http { "pc_rt" } else { "__Host-pc_rt" }
    }

    /// The value of the cookie of a request; `None` where there is none, or more than one.
    pub fn cookie_of(&self, request: &HttpRequest) -> Option<String> {
        let cookies = request.headers().get_all(header::COOKIE).filter_map(|value| value.to_str().ok());
        let mut values = cookies
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(name, _)| *name == self.cookie_name())
            .map(|(_, value)| value.to_owned());
        let first = values.next();
        first.filter(|_| values.next().is_none())
    }

    /// `Set-Cookie` for a token; `None` takes it away.
    pub fn set_cookie(&self, token: Option<&str>, keep: Duration) -> String {
        let (value, age) = token.map_or(("", 0), |token| (token, keep.as_secs()));
        let secure = if self.plain_http { "" } else { "; Secure" };
        format!("{}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}", self.cookie_name())
    }

    /// Whether a request says that it comes from a page.
    pub fn is_from_page(request: &HttpRequest) -> bool {
        request.headers().contains_key(PAGE_HEADER) || request.headers().contains_key(header::ORIGIN)
    }

    /// That a request comes from a page of ours.
    ///
    /// # Errors
    /// `cross_site`.
    pub fn check_page(&self, request: &HttpRequest) -> Result<(), Problem> {
        let refused = |detail: &'static str| Err(Problem::new(Code::CrossSite).detail(detail));
        if request.headers().get(PAGE_HEADER).is_none_or(|value| value != "1") {
            return refused("send the header `X-Pipecast: 1`");
        }
        if !self.is_own_origin(request) {
            return refused("the page is not the one of server.public_url");
        }
        Ok(())
    }

    /// Whether the one `Origin` of a request is ours. Without `server.public_url` only loopback names are, on this machine.
    pub fn is_own_origin(&self, request: &HttpRequest) -> bool {
        let mut origins = request.headers().get_all(header::ORIGIN);
        let (Some(origin), None) = (origins.next().and_then(|origin| origin.to_str().ok()), origins.next()) else {
            return false;
        };
        match &self.origin {
            Some(own) => origin == own,
            None => {
                let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
                is_local(request) && origin.strip_prefix("http://") == host
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn request_from(peer: [u8; 4], headers: &[(&str, &str)]) -> HttpRequest {
        let request = TestRequest::default().peer_addr((peer, 4711).into());
        let request = headers.iter().fold(request, |request, header| request.append_header(*header));
        request.to_http_request()
    }

    fn request(headers: &[(&str, &str)]) -> HttpRequest {
        request_from([127, 0, 0, 1], headers)
    }

    #[test]
    fn only_pages_of_ours_pass_and_only_with_the_header() {
        let site = Site {
            origin: Some("https://ci.example.org".into()),
            plain_http: false,
        };
        let passes = |headers: &[(&str, &str)]| site.check_page(&request(headers)).is_ok();

        assert!(passes(&[("origin", "https://ci.example.org"), ("x-pipecast", "1")]));
        for wrong in [
            &[("origin", "https://ci.example.org")][..],
            &[("x-pipecast", "1")],
            &[("origin", "https://ci.example.org.evil.example"), ("x-pipecast", "1")],
            &[("origin", "http://ci.example.org"), ("x-pipecast", "1")],
            &[("origin", "null"), ("x-pipecast", "1")],
            &[("origin", "https://ci.example.org"), ("origin", "https://evil.example"), ("x-pipecast", "1")],
        ] {
            assert!(!passes(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn without_a_public_url_only_this_machine_has_a_page() {
        let site = Site::default();
        let is_own = |host: &str, origin: &str| site.is_own_origin(&request(&[("host", host), ("origin", origin)]));

        assert!(is_own("localhost:8080", "http://localhost:8080") && is_own("[::1]:8080", "http://[::1]:8080"));
        assert!(!is_own("ci.example.org", "http://ci.example.org") && !is_own("localhost:8080", "http://localhost:9090"));
        let elsewhere = [("host", "localhost:8080"), ("origin", "http://localhost:8080")];
        assert!(!site.is_own_origin(&request_from([10, 1, 2, 3], &elsewhere)));
    }

    #[test]
    fn the_cookie_is_of_this_host_alone_unless_there_is_no_tls() {
        let (tls, plain) = (
            Site::default(),
            Site {
                plain_http: true,
                ..Site::default()
            },
        );

        assert_eq!(
            tls.set_cookie(Some("t"), Duration::from_secs(60)),
            "__Host-pc_rt=t; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure"
        );
        assert_eq!(plain.set_cookie(None, Duration::ZERO), "pc_rt=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
        let both = request(&[("cookie", "a=b; __Host-pc_rt=t"), ("cookie", "pc_rt=u")]);
        assert_eq!((tls.cookie_of(&both), plain.cookie_of(&both)), (Some("t".into()), Some("u".into())));
        assert_eq!(plain.cookie_of(&request(&[("cookie", "pc_rt=a; pc_rt=b")])), None);
    }
}
