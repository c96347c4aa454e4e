//! The service that is told: where it is, whether that is this machine, and whether it is up.
//! Knows nothing of what it is told.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::simulate::line::Line;

/// An address in both forms.
#[derive(Clone, Debug)]
pub struct Target {
    /// Host and port as in the `host` header.
    pub authority: String,
    /// What stands before every path; empty or with a slash in front.
    pub prefix: String,
    /// Where to connect.
    pub address: SocketAddr,
}

impl Target {
    /// Reads `http://host[:port][/prefix]` and looks the host up.
    ///
    /// # Errors
    /// Where it is no such address, the host is unknown, or it is not this machine and `allow_remote` does not say that it may.
    pub async fn parse(url: &str, allow_remote: bool) -> anyhow::Result<Target> {
        let rest = url.strip_prefix("http://").with_context(|| format!("{url:?} does not begin with http://"))?;
        let (authority, prefix) = rest
            .split_once('/')
            .map_or((rest, String::new()), |(authority, path)| (authority, format!("/{path}")));
        let name = if authority.rsplit(']').next().is_some_and(|end| end.contains(':')) {
            authority.to_owned()
        } else {
            format!("{authority}:80")
        };
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host(&name).await.with_context(|| format!("cannot find {name}"))?.collect();
        let Some(address) = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first()).copied() else {
            bail!("{name} has no address");
        };
        ensure!(
            allow_remote || address.ip().is_loopback(),
            "{name} is not this machine; made-up pipelines are only sent elsewhere with --allow-remote"
        );
        Ok(Target {
            authority: authority.to_owned(),
            prefix: prefix.trim_end_matches('/').to_owned(),
            address,
        })
    }

    /// The address for people.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.authority, self.prefix)
    }

    /// Waits until the service says that it is ready.
    ///
    /// # Errors
    /// When it has not within `patience`, or `stop` is cancelled before.
    pub async fn come_up(&self, patience: Duration, stop: &CancellationToken) -> anyhow::Result<()> {
        let request = format!("GET {}/health/ready HTTP/1.1\r\nhost: {}\r\n\r\n", self.prefix, self.authority);
        let deadline = Instant::now() + patience;
        let mut line = Line::new(self.address, Duration::from_secs(2));
        loop {
            let answer = line.send(request.as_bytes()).await;
            let why = match answer {
                Ok(answer) if answer.status == 200 => return Ok(()),
                Ok(answer) => format!("it answers {}", answer.status),
                Err(error) => error.to_string(),
            };
            ensure!(Instant::now() < deadline, "{} did not come up in {} s: {why}", self.url(), patience.as_secs());
            tokio::select! {
                () = sleep(Duration::from_millis(200)) => {}
                () = stop.cancelled() => bail!("stopped before {} came up: {why}", self.url()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn an_address_is_taken_apart() {
        let target = Target::parse("http://127.0.0.1:8080/pipecast/", false).await.unwrap();

        assert_eq!(
            (target.authority.as_str(), target.prefix.as_str(), target.address.port()),
            ("127.0.0.1:8080", "/pipecast", 8080)
        );
        assert_eq!(Target::parse("http://localhost", false).await.unwrap().address.port(), 80);
        assert_eq!(Target::parse("http://[::1]:9000", false).await.unwrap().address.port(), 9000);
    }

    #[tokio::test]
    async fn another_machine_is_told_only_on_demand() {
        assert!(Target::parse("http://192.0.2.7:8080", false).await.is_err());
        assert!(Target::parse("http://192.0.2.7:8080", true).await.is_ok());
        assert!(Target::parse("https://127.0.0.1:8080", false).await.is_err());
    }

    #[tokio::test]
    async fn a_service_that_does_not_come_up_is_not_waited_for_for_ever() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let target = Target::parse(&format!("http://{closed}"), false).await.unwrap();

        let error = target.come_up(Duration::from_millis(1), &CancellationToken::new()).await.unwrap_err();

        assert!(error.to_string().contains("did not come up"), "{error}");
    }
}
