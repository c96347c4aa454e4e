//! Who is asking, and what they may read.
//! Knows nothing of how accounts are stored; until there are accounts, everyone is anonymous.

use std::future::{Ready, ready};
use std::net::IpAddr;

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderMap, HeaderName};
use actix_web::{FromRequest, HttpRequest, web};
use pipecast_model::{ExecutionId, JobId, PipelineId, Topic};
use serde::Deserialize;

use crate::{Code, Problem};

/// Who may read without an account: `server.anonymous_reading`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnonymousReading {
    /// Requests from this machine to this machine: a loopback Host header and no forwarding header. The Host is looked at because
    /// a page of a foreign site can make a browser call loopback under a foreign name (DNS rebinding); the forwarding headers,
    /// because behind a proxy everyone's connection comes from loopback.
    Loopback,
    /// Whoever reaches the listener.
    Everyone,
}

/// The caller of a request. As an extractor it refuses those who may do nothing at all, so a handler that has one may ask on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Somebody without an account, where those may read.
    Anonymous,
}

/// What somebody wants to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A list of pipelines; what the caller may not see is left out of it.
    Pipelines,
    /// One pipeline, its executions included.
    Pipeline(PipelineId),
    /// One execution, its jobs included.
    Execution(ExecutionId),
    /// One job.
    Job(JobId),
    /// How the service itself is doing.
    System,
}

impl From<Topic> for Subject {
    fn from(topic: Topic) -> Self {
        match topic {
            Topic::Pipeline(id) => Subject::Pipeline(id),
            Topic::Execution(id) => Subject::Execution(id),
            Topic::Monitor => Subject::Pipelines,
        }
    }
}

impl Caller {
    /// Whether the caller may read `subject`.
    ///
    /// # Errors
    /// The problem to answer with where they may not.
    pub fn may_read(&self, subject: impl Into<Subject>) -> Result<(), Problem> {
        match (self, subject.into()) {
            // Anonymous callers exist only where anonymous reading is on, and then all of it is open.
            (Caller::Anonymous, _) => Ok(()),
        }
    }

    /// The caller of `request`.
    ///
    /// # Errors
    /// `anonymous_refused` where there is no account and anonymous reading does not cover the request.
    pub fn of(request: &HttpRequest) -> Result<Caller, Problem> {
        let reading = request
            .app_data::<web::Data<AnonymousReading>>()
            .map_or(AnonymousReading::Loopback, |data| *data.get_ref());
        match reading {
            AnonymousReading::Everyone => Ok(Caller::Anonymous),
            AnonymousReading::Loopback if is_local(request.headers()) => Ok(Caller::Anonymous),
            AnonymousReading::Loopback => Err(Problem::new(Code::AnonymousRefused)
                .detail("without an account, only a program on this machine may read, under the name localhost and not through a proxy")),
        }
    }
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Caller::of(request))
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

fn is_local(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST);
    let host = hosts.next().and_then(|host| host.to_str().ok());
    hosts.next().is_none() && host.is_some_and(is_loopback_host) && !FORWARDING.iter().any(|name| headers.contains_key(name))
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

    fn caller(headers: &[(&str, &str)]) -> Result<Caller, Problem> {
        let request = headers.iter().fold(TestRequest::default(), |request, header| request.append_header(*header));
        Caller::of(&request.to_http_request())
    }

    #[test]
    fn this_machine_may_read_under_its_own_names() {
        for host in ["localhost", "localhost:8080", "LOCALHOST", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080", "[::1]"] {
            assert_eq!(caller(&[("host", host)]), Ok(Caller::Anonymous), "{host}");
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
            assert!(caller(&[("host", host)]).is_err(), "{host}");
        }
        assert!(caller(&[]).is_err());
        assert!(caller(&[("host", "localhost"), ("host", "localhost")]).is_err());
        for name in ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"] {
            assert!(caller(&[("host", "localhost"), (name, "1.2.3.4")]).is_err(), "{name}");
        }
    }
}
