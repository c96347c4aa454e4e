//! How many sockets and streams there may be: on this node, of an address, of an account.
//! Knows nothing of requests, nor of how fast they come.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pipecast_http::limits::network;
use pipecast_http::{Code, Problem};
use pipecast_model::UserId;
use tokio::sync::Notify;

use super::pace::{Comer, Pace, Rates};
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
    /// The account has as many sockets as it may.
    UserFull,
    /// Too many handshakes of this address or account.
    CallerTooFast,
    /// Too many handshakes of everybody together.
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
            Refused::UserFull => "user_full",
            Refused::CallerTooFast => "caller_too_fast",
            Refused::TooFast => "too_fast",
            Refused::Draining => "draining",
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Origin(origin) => {
                Problem::new(Code::OriginRefused).detail(format!("pages of {origin} may not connect; add the origin to live.allowed_origins"))
            }
            Refused::AddressFull => Problem::new(Code::TooMany)
                .detail("your address has as many connections as it may")
                .retry_after(Duration::from_secs(60)),
            Refused::UserFull => Problem::new(Code::TooMany)
                .detail("your account has as many connections as it may")
                .retry_after(Duration::from_secs(60)),
            // Not 503, with which a proxy would try the next node for them.
            Refused::CallerTooFast => Problem::new(Code::TooMany)
                .detail("your address or account opens connections more often than it may")
                .retry_after(Duration::from_secs(5)),
            Refused::NodeFull | Refused::TooFast => Problem::new(Code::Unavailable)
                .detail("as many connections as this node takes")
                .retry_after(Duration::from_secs(5)),
            Refused::Draining => Problem::new(Code::Draining).retry_after(Duration::from_secs(2)),
        }
    }
}

/// How many may be inside. They may change at any time; whoever is inside stays.
#[derive(Clone, Copy, Debug)]
struct Limits {
    sockets: usize,
    strangers_per_network: usize,
    known_per_network: usize,
    per_user: usize,
    rates: Rates,
}

impl Limits {
    fn of(settings: &config::Live) -> Limits {
        Limits {
            sockets: settings.max_sockets,
            strangers_per_network: settings.max_sockets_per_ip,
            known_per_network: settings.max_signed_in_sockets_per_ip,
            per_user: settings.max_sockets_per_user,
            rates: Rates::of(settings),
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
    by_network: HashMap<(IpAddr, Standing), usize>,
    by_user: HashMap<UserId, usize>,
    pace: Pace,
}

/// What is known of somebody who comes from an address. Behind one address may be an office in which all are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Standing {
    Stranger,
    Known,
}

impl Standing {
    fn of(user: Option<UserId>) -> Standing {
        match user {
            None => Standing::Stranger,
            Some(_) => Standing::Known,
        }
    }
}

impl Door {
    /// A door with nobody inside.
    pub fn new(settings: &config::Live) -> Arc<Self> {
        let limits = Limits::of(settings);
        let inside = Inside {
            limits,
            total: 0,
            by_network: HashMap::new(),
            by_user: HashMap::new(),
            pace: Pace::new(Instant::now()),
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

    /// Lets one in, until the pass is dropped. Loopback is exempt from the limits by address and by time. An anonymous one has no user.
    ///
    /// # Errors
    /// Which limit is in the way.
    pub fn enter(self: &Arc<Self>, address: Option<IpAddr>, user: Option<UserId>) -> Result<Pass, Refused> {
        let network = address.map(network).filter(|network| !network.is_loopback());
        let mut inside = self.inside();
        let limits = inside.limits;
        if inside.total >= limits.sockets {
            return Err(Refused::NodeFull);
        }
        // Before the rest, which a page is told by a finished handshake.
        if let Some(network) = network {
            let comer = user.map_or(Comer::Stranger(network), Comer::Account);
            inside.pace.take(&limits.rates, comer, Instant::now())?;
        }
        if user.is_some_and(|user| !inside.has_room_for(user)) {
            return Err(Refused::UserFull);
        }
        if let Some(network) = network {
            inside.count(network, Standing::of(user))?;
        }
        if let Some(user) = user {
            *inside.by_user.entry(user).or_default() += 1;
        }
        inside.total += 1;
        metrics::gauge!("pipecast_connections").set(inside.total as f64);
        Ok(Pass {
            door: Arc::clone(self),
            network,
            user,
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
    fn has_room_for(&self, user: UserId) -> bool {
        self.by_user.get(&user).is_none_or(|count| *count < self.limits.per_user)
    }

    /// One more from there.
    fn count(&mut self, network: IpAddr, standing: Standing) -> Result<(), Refused> {
        let most = match standing {
            Standing::Stranger => self.limits.strangers_per_network,
            Standing::Known => self.limits.known_per_network,
        };
        let count = self.by_network.get(&(network, standing)).copied().unwrap_or(0);
        if count >= most {
            return Err(Refused::AddressFull);
        }
        self.by_network.insert((network, standing), count + 1);
        Ok(())
    }
}

/// The right to be inside; leaving is dropping it.
#[derive(Debug)]
pub struct Pass {
    door: Arc<Door>,
    network: Option<IpAddr>,
    user: Option<UserId>,
}

impl Pass {
    /// Says who it is, where that was not known at the door. From then on they are no stranger of their address.
    ///
    /// # Errors
    /// `UserFull`, `AddressFull`.
    pub fn belongs_to(&mut self, user: UserId) -> Result<(), Refused> {
        if self.user.is_some() {
            return Ok(());
        }
        let mut inside = self.door.inside();
        if !inside.has_room_for(user) {
            return Err(Refused::UserFull);
        }
        if let Some(network) = self.network {
            inside.count(network, Standing::Known)?;
            leave(&mut inside.by_network, &(network, Standing::Stranger));
        }
        *inside.by_user.entry(user).or_default() += 1;
        self.user = Some(user);
        Ok(())
    }
}

/// One less of somebody; nobody stays in the map with none.
fn leave<K: Eq + Hash>(counts: &mut HashMap<K, usize>, who: &K) {
    if let Some(count) = counts.get_mut(who) {
        *count -= 1;
        if *count == 0 {
            counts.remove(who);
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inside = self.door.inside();
        inside.total -= 1;
        metrics::gauge!("pipecast_connections").set(inside.total as f64);
        if let Some(network) = self.network {
            leave(&mut inside.by_network, &(network, Standing::of(self.user)));
        }
        if let Some(user) = &self.user {
            leave(&mut inside.by_user, user);
        }
        if inside.total == 0 {
            self.door.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(change: impl FnOnce(&mut config::Live)) -> Arc<Door> {
        let mut settings = config::Config::defaults().live;
        change(&mut settings);
        Door::new(&settings)
    }

    #[test]
    fn an_address_has_its_share_and_loopback_has_no_limit() {
        let door = door(|settings| settings.max_sockets_per_ip = 2);
        let stranger: Option<IpAddr> = Some([203, 0, 113, 7].into());

        let passes: Vec<_> = (0..2).map(|_| door.enter(stranger, None).expect("within its share")).collect();

        assert_eq!(door.enter(stranger, None).err(), Some(Refused::AddressFull));
        assert!(door.enter(Some([203, 0, 113, 8].into()), None).is_ok(), "another address");
        assert!((0..50).map(|_| door.enter(Some([127, 0, 0, 1].into()), None)).all(|pass| pass.is_ok()));
        drop(passes);
        assert!(door.enter(stranger, None).is_ok(), "it has left");
    }

    #[test]
    fn an_office_behind_one_address_has_room_for_all_who_are_known() {
        let door = door(|settings| (settings.max_sockets_per_ip, settings.max_signed_in_sockets_per_ip) = (2, 3));
        let office: Option<IpAddr> = Some([203, 0, 113, 7].into());
        let mut strangers: Vec<_> = (0..2).map(|_| door.enter(office, None).expect("within their share")).collect();
        assert_eq!(door.enter(office, None).err(), Some(Refused::AddressFull));

        let known: Vec<_> = (1..=2).map(|user| door.enter(office, Some(UserId(user))).expect("within theirs")).collect();
        // Who says later who they are leaves room for a stranger, once.
        strangers[0].belongs_to(UserId(3)).expect("within theirs");
        strangers[0].belongs_to(UserId(3)).expect("the same again");

        let third = door.enter(office, None).expect("one stranger less");
        assert_eq!(door.enter(office, Some(UserId(4))).err(), Some(Refused::AddressFull));
        assert_eq!(strangers[1].belongs_to(UserId(4)), Err(Refused::AddressFull));
        drop((strangers, known, third));
        assert!(door.inside().by_network.is_empty());
    }

    #[test]
    fn an_account_has_its_share_wherever_it_comes_from() {
        let door = door(|settings| settings.max_sockets_per_user = 2);
        let (ada, bob) = (Some(UserId(1)), Some(UserId(2)));
        let from = |last: u8| Some([203, 0, 113, last].into());

        let first = door.enter(from(1), ada).expect("within the share");
        // Who says later who they are counts from then on, once.
        let mut second = door.enter(from(2), None).expect("nobody yet");
        second.belongs_to(UserId(1)).expect("within the share");
        second.belongs_to(UserId(1)).expect("the same again");

        assert_eq!(door.enter(Some([127, 0, 0, 1].into()), ada).err(), Some(Refused::UserFull));
        assert!(door.enter(from(1), bob).is_ok() && door.enter(from(1), None).is_ok());
        let mut late = door.enter(from(3), None).expect("nobody yet");
        assert_eq!(late.belongs_to(UserId(1)), Err(Refused::UserFull));
        drop(first);
        late.belongs_to(UserId(1)).expect("one has left");
        drop((second, late));
        assert!(door.inside().by_user.is_empty());
    }

    #[test]
    fn limits_change_for_those_who_come_and_not_for_those_who_are_inside() {
        let door = door(|settings| settings.max_sockets = 3);
        let address: Option<IpAddr> = Some([127, 0, 0, 1].into());
        let passes: Vec<_> = (0..3).map(|_| door.enter(address, None).expect("there is room")).collect();
        let mut settings = config::Config::defaults().live;

        settings.max_sockets = 2;
        door.tune(&settings);
        assert_eq!(door.enter(address, None).err(), Some(Refused::NodeFull));
        assert_eq!(door.inside_now(), passes.len());

        settings.max_sockets = 4;
        door.tune(&settings);
        assert!(door.enter(address, None).is_ok());
    }

    #[test]
    fn strangers_come_in_at_a_bounded_rate() {
        let door = door(|settings| settings.handshakes_per_second = 5);
        let knock = |last: u8| door.enter(Some([203, 0, 113, last].into()), None);

        let passes: Vec<_> = (0..5).map(|last| knock(last).expect("within the rate")).collect();

        assert_eq!(knock(9).err(), Some(Refused::TooFast));
        assert_eq!(door.inside_now(), passes.len());
    }
}
