//! `pipecast health`: asks a running process how it is, for supervisors that can only run a command.
//! Knows one request and reads one status line; a container without a shell needs no other client.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

/// Longest wait for each step.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks the process that listens at `address` for `path`.
///
/// # Errors
/// Where nobody answers in time, or the answer is another than 200; what it says is in the error.
pub fn ask(mut address: SocketAddr, path: &str) -> anyhow::Result<()> {
    // Who listens everywhere listens on loopback too.
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        } else {
            IpAddr::V6(Ipv6Addr::LOCALHOST)
        });
    }
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).with_context(|| format!("nobody listens at {address}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").context("cannot ask")?;
    let mut answer = Vec::new();
    stream.take(64 << 10).read_to_end(&mut answer).context("no answer in time")?;
    let answer = String::from_utf8_lossy(&answer);
    if !answer.starts_with("HTTP/1.1 200 ") {
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        bail!("{}: {body}", answer.lines().next().unwrap_or("no answer"));
    }
    Ok(())
}
