//! Who may open a socket or stream, and how many there may be.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use actix_web::HttpRequest;
use actix_web::http::header;
use tokio::sync::Notify;

use crate::config;

/// Why somebody is not let in, before the upgrade.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// A page of another origin; the origin is in it.
    Origin(String),
    /// The node has as many sockets as it may.
    NodeFull,
    /// The address has as many sockets as it may.
    AddressFull,
    /// Too many handshakes in this second.
    TooFast,
    /// The service is about to end.
    Draining,
}

impl Refused {
    /// The word in metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Refused::Origin(_) => "origin",
            Refused::NodeFull => "node_full",
            Refused::AddressFull => "address_full",
            Refused::TooFast => "too_fast",
            Refused::Draining => "draining",
        }
    }
}

/// How many may be inside. They may change at any time; whoever is inside stays.
#[derive(Clone, Copy, Debug)]
struct Limits {
    sockets: usize,
    per_network: usize,
    handshakes_per_second: f64,
}

impl Limits {
    fn of(settings: &config::Live) -> Limits {
        Limits {
            sockets: settings.max_sockets,
            per_network: settings.max_sockets_per_ip,
            handshakes_per_second: f64::from(settings.handshakes_per_second),
        }
    }
}

/// The door of this node.
#[derive(Debug)]
pub struct Door {
    inside: Mutex<Inside>,
    emptied: Notify,
}

#[derive(Debug)]
struct Inside {
    limits: Limits,
    total: usize,
    by_network: HashMap<IpAddr, usize>,
    /// Handshakes that may still be made; refilled every second up to one second's worth.
    tokens: f64,
    refilled: Instant,
}

impl Door {
    /// A door with nobody inside.
    pub fn new(settings: &config::Live) -> Arc<Self> {
        let limits = Limits::of(settings);
        let inside = Inside {
            limits,
            total: 0,
            by_network: HashMap::new(),
            tokens: limits.handshakes_per_second,
            refilled: Instant::now(),
        };
        Arc::new(Door {
            inside: Mutex::new(inside),
            emptied: Notify::new(),
        })
    }

    /// From now on these limits hold. Whoever is inside stays.
    pub fn tune(&self, settings: &config::Live) {
        self.inside().limits = Limits::of(settings);
    }

    /// Lets one in, until the pass is dropped. Loopback is exempt from the limits by address and by time.
    ///
    /// # Errors
    /// Which limit is in the way.
    pub fn enter(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Pass, Refused> {
        let network = address.map(network).filter(|network| !network.is_loopback());
        let mut inside = self.inside();
        let limits = inside.limits;
        if inside.total >= limits.sockets {
            return Err(Refused::NodeFull);
        }
        if let Some(network) = network {
            if inside.by_network.get(&network).is_some_and(|count| *count >= limits.per_network) {
                return Err(Refused::AddressFull);
            }
            inside.spend(limits.handshakes_per_second).ok_or(Refused::TooFast)?;
            *inside.by_network.entry(network).or_default() += 1;
        }
        inside.total += 1;
        metrics::gauge!("pipecast_connections").set(inside.total as f64);
        Ok(Pass {
            door: Arc::clone(self),
            network,
        })
    }

    /// How many are inside.
    pub fn inside_now(&self) -> usize {
        self.inside().total
    }

    /// Returns once nobody is inside.
    pub async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.inside_now() == 0 {
                return;
            }
            emptied.await;
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn spend(&mut self, per_second: f64) -> Option<()> {
        let now = Instant::now();
        self.tokens = (self.tokens + now.duration_since(self.refilled).as_secs_f64() * per_second).min(per_second);
        self.refilled = now;
        if self.tokens < 1.0 {
            return None;
        }
        self.tokens -= 1.0;
        Some(())
    }
}

/// The right to be inside; leaving is dropping it.
#[derive(Debug)]
pub struct Pass {
    door: Arc<Door>,
    network: Option<IpAddr>,
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inside = self.door.inside();
        inside.total -= 1;
        metrics::gauge!("pipecast_connections").set(inside.total as f64);
        if let Some(network) = self.network
            && let Some(count) = inside.by_network.get_mut(&network)
        {
            *count -= 1;
            if *count == 0 {
                inside.by_network.remove(&network);
            }
        }
        if inside.total == 0 {
            self.door.emptied.notify_waiters();
        }
    }
}

/// The address itself, or the network of 64 bits that an IPv6 customer holds.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

/// Lets in requests without an origin (programs), of our own origin, and of the allowed ones; a page elsewhere could otherwise
/// open sockets in its visitor's name.
///
/// # Errors
/// `Refused::Origin`.
pub fn check_origin(request: &HttpRequest, allowed: &[String]) -> Result<(), Refused> {
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

    fn door(change: impl FnOnce(&mut config::Live)) -> Arc<Door> {
        let mut settings = config::Config::defaults().live;
        change(&mut settings);
        Door::new(&settings)
    }

    #[test]
    fn an_address_has_its_share_and_loopback_has_no_limit() {
        let door = door(|settings| settings.max_sockets_per_ip = 2);
        let stranger: Option<IpAddr> = Some([203, 0, 113, 7].into());

        let passes: Vec<_> = (0..2).map(|_| door.enter(stranger).expect("within its share")).collect();

        assert_eq!(door.enter(stranger).err(), Some(Refused::AddressFull));
        assert!(door.enter(Some([203, 0, 113, 8].into())).is_ok(), "another address");
        assert!((0..50).map(|_| door.enter(Some([127, 0, 0, 1].into()))).all(|pass| pass.is_ok()));
        drop(passes);
        assert!(door.enter(stranger).is_ok(), "it has left");
    }

    #[test]
    fn limits_change_for_those_who_come_and_not_for_those_who_are_inside() {
        let door = door(|settings| settings.max_sockets = 3);
        let address: Option<IpAddr> = Some([127, 0, 0, 1].into());
        let passes: Vec<_> = (0..3).map(|_| door.enter(address).expect("there is room")).collect();
        let mut settings = config::Config::defaults().live;

        settings.max_sockets = 2;
        door.tune(&settings);
        assert_eq!(door.enter(address).err(), Some(Refused::NodeFull));
        assert_eq!(door.inside_now(), passes.len());

        settings.max_sockets = 4;
        door.tune(&settings);
        assert!(door.enter(address).is_ok());
    }

    #[test]
    fn strangers_come_in_at_a_bounded_rate() {
        let door = door(|settings| settings.handshakes_per_second = 5);
        let knock = |last: u8| door.enter(Some([203, 0, 113, last].into()));

        let passes: Vec<_> = (0..5).map(|last| knock(last).expect("within the rate")).collect();

        assert_eq!(knock(9).err(), Some(Refused::TooFast));
        assert_eq!(door.inside_now(), passes.len());
    }

    #[test]
    fn neighbours_in_one_ipv6_network_are_one_address() {
        let one: IpAddr = "2001:db8:1:2::1".parse().expect("an address");
        let other: IpAddr = "2001:db8:1:2:ffff::9".parse().expect("an address");
        let elsewhere: IpAddr = "2001:db8:1:3::1".parse().expect("an address");

        assert_eq!(network(one), network(other));
        assert_ne!(network(one), network(elsewhere));
        assert!(network("::ffff:127.0.0.1".parse().expect("an address")).is_loopback());
    }
}
