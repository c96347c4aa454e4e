//! Who may read without an account, and how a request from this machine is told from others.
//! Knows nothing of accounts.

use std::net::IpAddr;

use actix_web::http::header::{self, HeaderName};
use actix_web::{HttpRequest, web};
use serde::Deserialize;

use crate::{Code, Problem};

/// Who may read without an account: `server.anonymous_reading`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnonymousReading {
    /// Requests from this machine to this machine: a loopback peer, a loopback Host header and no forwarding header. The peer is looked
    /// at because whoever reaches another listener can write any Host; the Host, because a page of a foreign site can make a browser
    /// call loopback under a foreign name (DNS rebinding); the forwarding headers, because behind a proxy everyone's connection comes
    /// from loopback.
    Loopback,
    /// Whoever reaches the listener.
    Everyone,
}

impl AnonymousReading {
    /// Whether it covers `request`.
    ///
    /// # Errors
    /// `anonymous_refused` where it does not.
    pub fn covers(request: &HttpRequest) -> Result<(), Problem> {
        let reading = request
            .app_data::<web::Data<AnonymousReading>>()
            .map_or(AnonymousReading::Loopback, |data| *data.get_ref());
        match reading {
            AnonymousReading::Everyone => Ok(()),
            AnonymousReading::Loopback if is_local(request) => Ok(()),
            AnonymousReading::Loopback => Err(Problem::new(Code::AnonymousRefused)
                .detail("without an account, only a program on this machine may read, under the name localhost and not through a proxy")),
        }
    }
}

static FORWARDING: [HeaderName; 6] = [
    header::FORWARDED,
    header::X_FORWARDED_FOR,
    header::X_FORWARDED_HOST,
    header::X_FORWARDED_PROTO,
    HeaderName::from_static("x-real-ip"),
    header::VIA,
];

/// Whether a request comes from this machine and calls it by one of its own names. The peer is whoever has the connection, whatever a
/// proxy says of others.
pub(crate) fn is_local(request: &HttpRequest) -> bool {
    let headers = request.headers();
    let is_from_here = request.peer_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    let mut hosts = headers.get_all(header::HOST);
    let host = hosts.next().and_then(|host| host.to_str().ok());
    is_from_here && hosts.next().is_none() && host.is_some_and(is_loopback_host) && !FORWARDING.iter().any(|name| headers.contains_key(name))
}

/// `localhost`, `127.x.y.z` or `[::1]`, with or without a port.
fn is_loopback_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(name, _)| name),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn covered_from(peer: Option<&str>, headers: &[(&str, &str)]) -> bool {
        let request = headers.iter().fold(TestRequest::default(), |request, header| request.append_header(*header));
        let request = match peer {
            Some(peer) => request.peer_addr((peer.parse::<IpAddr>().expect("an address"), 4711).into()),
            None => request,
        };
        AnonymousReading::covers(&request.to_http_request()).is_ok()
    }

    fn covered(headers: &[(&str, &str)]) -> bool {
        covered_from(Some("127.0.0.1"), headers)
    }

    #[test]
    fn this_machine_may_read_under_its_own_names() {
        for host in ["localhost", "localhost:8080", "LOCALHOST", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080", "[::1]"] {
            assert!(covered(&[("host", host)]), "{host}");
        }
    }

    #[test]
    fn whoever_comes_from_elsewhere_may_not_whatever_host_they_write() {
        for host in ["localhost", "127.0.0.1", "[::1]:8080"] {
            for peer in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
                assert!(covered_from(Some(peer), &[("host", host)]), "{peer} {host}");
            }
            for peer in ["10.1.2.3", "203.0.113.7", "::ffff:10.1.2.3", "fe80::1", "2001:db8::1"] {
                assert!(!covered_from(Some(peer), &[("host", host)]), "{peer} {host}");
            }
            assert!(!covered_from(None, &[("host", host)]), "nobody knows from where");
        }
    }

    #[test]
    fn foreign_names_and_forwarded_requests_may_not() {
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "[::2]:80",
            "10.0.0.1",
            "",
            "[::1",
            "localhost@evil",
        ] {
            assert!(!covered(&[("host", host)]), "{host}");
        }
        assert!(!covered(&[]));
        assert!(!covered(&[("host", "localhost"), ("host", "localhost")]));
        for name in ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"] {
            assert!(!covered(&[("host", "localhost"), (name, "1.2.3.4")]), "{name}");
        }
    }
}
