//! Who a request comes from where proxies stand in front: the peer, or whom a proxy that we trust names.
//! Knows nothing of what the address is used for.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use actix_web::http::header::{self, HeaderMap};
use actix_web::{HttpRequest, web};
use serde::{Deserialize, Deserializer, de};

/// So many entries of `X-Forwarded-For` are read from the right; what stands before them was not written by anyone we know.
const MOST_HOPS: usize = 20;

/// Proxies whose word is taken. Nobody's, where there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct TrustedProxies(Vec<Network>);

/// Addresses that begin alike, as in `10.0.0.0/8`; one alone without the slash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    bits: u8,
}

/// It is no network.
#[derive(Debug)]
pub struct NoNetwork(String);

impl std::fmt::Display for NoNetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let NoNetwork(text) = self;
        write!(
            f,
            "{text:?} is no network of proxies; write an address or a network of known proxies, as in \"10.1.2.3\" or \"172.16.0.0/12\"; everybody cannot be trusted"
        )
    }
}

impl std::error::Error for NoNetwork {}

impl TrustedProxies {
    /// These and no others.
    pub fn new(networks: Vec<Network>) -> TrustedProxies {
        TrustedProxies(networks)
    }

    /// Where `request` comes from, by the proxies beside the routes: the peer's address unless that is a trusted proxy, else what
    /// `X-Forwarded-For` says, read from the right: the first address that is no trusted proxy. Whatever stands left of it may have
    /// been written by the client itself, so nobody looks at it. `None` where there is no peer, as in tests of handlers.
    pub fn client_of(request: &HttpRequest) -> Option<IpAddr> {
        let peer = request.peer_addr()?.ip().to_canonical();
        let proxies = request.app_data::<web::Data<TrustedProxies>>();
        Some(proxies.map_or(peer, |proxies| proxies.client(peer, request.headers())))
    }

    /// Whether `request` came over something on this machine that speaks for others and is not trusted: then nobody here knows where it
    /// comes from.
    pub fn is_blind(request: &HttpRequest) -> bool {
        let peer = request.peer_addr().map(|peer| peer.ip().to_canonical());
        let proxies = request.app_data::<web::Data<TrustedProxies>>();
        request.headers().contains_key(header::X_FORWARDED_FOR)
            && peer.is_some_and(|peer| peer.is_loopback() && !proxies.is_some_and(|proxies| proxies.trust(peer)))
    }

    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer;
        if !self.trust(client) {
            return client;
        }
        // Several headers are one list, in their order.
        let lists: Vec<&str> = headers.get_all(header::X_FORWARDED_FOR).map(|list| list.to_str().unwrap_or_default()).collect();
        let hops = lists.iter().rev().flat_map(|list| list.rsplit(','));
        for hop in hops.take(MOST_HOPS) {
            // What cannot be read ends the walk at the last one who could be.
            let Some(named) = address(hop.trim()) else { return client };
            client = named;
            if !self.trust(client) {
                return client;
            }
        }
        client
    }

    fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.has(address))
    }
}

/// An address as proxies write it: alone, with a port, or in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or(text, |(inside, _)| inside);
    let parsed = bare.parse().or_else(|_| bare.parse::<std::net::SocketAddr>().map(|address| address.ip()));
    parsed.ok().map(|address: IpAddr| address.to_canonical())
}

impl Network {
    fn has(&self, address: IpAddr) -> bool {
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                let away = u32::from(first) ^ u32::from(address);
                away.checked_shr(32 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                let away = u128::from(first) ^ u128::from(address);
                away.checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NoNetwork;

    /// Whole worlds are refused: whoever trusts everybody lets everybody choose an address.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NoNetwork(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let first: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if first.is_ipv4() { 32 } else { Ipv6Addr::BITS as u8 };
        let bits = bits.unwrap_or(most);
        if bits == 0 || bits > most || first != first.to_canonical() {
            return Err(wrong());
        }
        Ok(Network { first, bits })
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn client(trusted: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let proxies = TrustedProxies::new(trusted.iter().map(|network| network.parse().expect("a network")).collect());
        let peer: IpAddr = peer.parse().expect("an address");
        let request = TestRequest::default().peer_addr((peer, 4711).into()).app_data(web::Data::new(proxies));
        let request = forwarded
            .iter()
            .fold(request, |request, list| request.append_header((header::X_FORWARDED_FOR, *list)));
        let client = TrustedProxies::client_of(&request.to_http_request());
        client.expect("it has a peer").to_string()
    }

    #[test]
    fn a_stranger_cannot_name_an_address() {
        assert_eq!(client(&[], "203.0.113.7", &["198.51.100.1"]), "203.0.113.7");
        assert_eq!(client(&["10.0.0.0/8"], "203.0.113.7", &["198.51.100.1"]), "203.0.113.7");
    }

    #[test]
    fn behind_trusted_proxies_it_is_the_last_address_that_none_of_them_has() {
        let trusted = ["10.0.0.0/8", "127.0.0.1", "fd00::/8"];

        assert_eq!(client(&trusted, "10.1.2.3", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client(&trusted, "::ffff:10.1.2.3", &["198.51.100.1:5000"]), "198.51.100.1");
        assert_eq!(client(&trusted, "10.1.2.3", &["6.6.6.6, 198.51.100.1, 10.9.9.9"]), "198.51.100.1");
        assert_eq!(client(&trusted, "10.1.2.3", &["6.6.6.6", "198.51.100.1", "10.9.9.9"]), "198.51.100.1");
        assert_eq!(client(&trusted, "fd00::1", &["[2001:db8::1]:443"]), "2001:db8::1");
        assert_eq!(client(&trusted, "127.0.0.1", &["::ffff:198.51.100.1"]), "198.51.100.1");
    }

    #[test]
    fn what_cannot_be_read_ends_the_walk() {
        let trusted = ["10.0.0.0/8"];

        assert_eq!(client(&trusted, "10.1.2.3", &[]), "10.1.2.3");
        assert_eq!(client(&trusted, "10.1.2.3", &["198.51.100.1, unknown, 10.9.9.9"]), "10.9.9.9");
        assert_eq!(client(&trusted, "10.1.2.3", &["198.51.100.1, "]), "10.1.2.3");
        let many = ["10.0.0.1"; 40].join(", ");
        assert_eq!(client(&trusted, "10.1.2.3", &[&format!("198.51.100.1, {many}")]), "10.0.0.1");
    }

    #[test]
    fn networks_have_an_edge_and_whole_worlds_are_refused() {
        let network: Network = "172.16.0.0/12".parse().expect("a network");

        assert!(network.has([172, 31, 255, 255].into()) && !network.has([172, 32, 0, 0].into()));
        for wrong in [
            "0.0.0.0/0",
            "::/0",
            "*",
            "",
            "10.0.0.0/33",
            "::1/129",
            "10.0.0.0/-1",
            "example.org",
            "::ffff:10.0.0.1",
        ] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
