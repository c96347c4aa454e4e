//! Where a process listens: an address, and a port where one is named.
//! Knows nothing of roles; whoever asks for the whole address says which port is the usual one.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

/// `"127.0.0.1:8080"`, or `"127.0.0.1"` for the usual port; IPv6 with a port in brackets, as in `"[::1]:8080"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    ip: IpAddr,
    port: Option<u16>,
}

/// It is neither an address nor an address with a port.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no address to listen on; write one with or without a port, as in \"127.0.0.1:8080\" or \"0.0.0.0\"")]
pub struct NoAddress(String);

impl Listen {
    /// The address.
    pub fn ip(&self) -> IpAddr {
        self.ip
    }

    /// The address with its port, or with `usual` where none is named.
    pub fn at(&self, usual: u16) -> SocketAddr {
        SocketAddr::new(self.ip, self.port.unwrap_or(usual))
    }
}

impl FromStr for Listen {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let whole = text.parse::<SocketAddr>().map(|address| Listen {
            ip: address.ip(),
            port: Some(address.port()),
        });
        whole
            .or_else(|_| text.parse().map(|ip| Listen { ip, port: None }))
            .map_err(|_| NoAddress(text.to_owned()))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.ip, port).fmt(f),
            None => self.ip.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_not_named_is_the_usual_one() {
        for (text, address) in [
            ("127.0.0.1", "127.0.0.1:8001"),
            ("127.0.0.1:9", "127.0.0.1:9"),
            ("::1", "[::1]:8001"),
            ("[::1]:9", "[::1]:9"),
        ] {
            let listen: Listen = text.parse().expect(text);
            assert_eq!(listen.at(8001).to_string(), address);
            assert_eq!(listen.to_string(), text);
        }
        for text in ["", "localhost", ":8080", "127.0.0.1:", "127.0.0.1:99999"] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }
}
