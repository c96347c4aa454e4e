//! Settings that can be changed while the service runs: which they are, their bounds, and how a text becomes one.
//! Knows nothing of where such a text is kept, nor of who reads the settings.

use std::collections::BTreeMap;
use std::time::Duration;

use pipecast_model::quantity::{Kind, parse_duration, parse_size, told_duration, told_size};
use pipecast_store::Retention;
use tracing_subscriber::EnvFilter;

use super::{Config, DEFAULTS};

/// A setting that can be changed at run time.
#[derive(Clone, Copy, Debug)]
pub struct Hot {
    /// Section and name, as in `config.default.toml`.
    pub key: &'static str,
    /// The least that it may be, as it is written; none for texts.
    pub least: Option<&'static str>,
    /// The most that it may be.
    pub most: Option<&'static str>,
}

const fn bounded(key: &'static str, least: &'static str, most: &'static str) -> Hot {
    Hot {
        key,
        least: Some(least),
        most: Some(most),
    }
}

/// Every one of them. What a process only reads once, as an address or the size of a pool, is not among them.
pub const HOT: [Hot; 25] = [
    bounded("limits.address_burst", "1", "1000000"),
    bounded("limits.address_per_second", "1", "1000000"),
    bounded("limits.impostor_burst", "1", "1000000"),
    bounded("limits.impostor_per_second", "1", "1000000"),
    bounded("limits.source_burst", "1", "1000000"),
    bounded("limits.source_per_second", "1", "1000000"),
    bounded("limits.token_burst", "1", "1000000"),
    bounded("limits.token_per_second", "1", "1000000"),
    bounded("limits.user_burst", "1", "1000000"),
    bounded("limits.user_per_second", "1", "1000000"),
    bounded("limits.writes_burst", "1", "1000000"),
    bounded("limits.writes_per_second", "1", "1000000"),
    bounded("live.caller_handshake_burst", "1", "1000000"),
    bounded("live.caller_handshakes_per_second", "1", "1000000"),
    bounded("live.handshakes_per_second", "1", "1000000"),
    bounded("live.max_signed_in_sockets_per_ip", "1", "10000000"),
    bounded("live.max_sockets", "0", "10000000"),
    bounded("live.max_sockets_per_ip", "1", "10000000"),
    bounded("live.max_sockets_per_user", "1", "10000000"),
    Hot {
        key: "log.filter",
        least: None,
        most: None,
    },
    bounded("retention.bodies", "0s", Retention::MOST),
    bounded("retention.bodies_size", "0B", "1048576GiB"),
    bounded("retention.deleted", "0s", Retention::MOST),
    bounded("retention.deliveries", Retention::LEAST_DELIVERIES, Retention::MOST),
    bounded("retention.stale_after", "1m", "365d"),
];

/// A text that is no value of a setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct BadValue {
    /// The setting.
    pub key: String,
    /// What to write instead.
    pub why: String,
}

/// Where a setting lies.
enum Place<'a> {
    Duration(&'a mut Duration),
    Size(&'a mut u64),
    Count(&'a mut usize),
    Rate(&'a mut u32),
    Filter(&'a mut String),
}

impl Config {
    fn place(&mut self, key: &str) -> Option<Place<'_>> {
        Some(match key {
            "limits.address_burst" => Place::Rate(&mut self.limits.address_burst),
            "limits.address_per_second" => Place::Rate(&mut self.limits.address_per_second),
            "limits.impostor_burst" => Place::Rate(&mut self.limits.impostor_burst),
            "limits.impostor_per_second" => Place::Rate(&mut self.limits.impostor_per_second),
            "limits.source_burst" => Place::Rate(&mut self.limits.source_burst),
            "limits.source_per_second" => Place::Rate(&mut self.limits.source_per_second),
            "limits.token_burst" => Place::Rate(&mut self.limits.token_burst),
            "limits.token_per_second" => Place::Rate(&mut self.limits.token_per_second),
            "limits.user_burst" => Place::Rate(&mut self.limits.user_burst),
            "limits.user_per_second" => Place::Rate(&mut self.limits.user_per_second),
            "limits.writes_burst" => Place::Rate(&mut self.limits.writes_burst),
            "limits.writes_per_second" => Place::Rate(&mut self.limits.writes_per_second),
            "live.caller_handshake_burst" => Place::Rate(&mut self.live.caller_handshake_burst),
            "live.caller_handshakes_per_second" => Place::Rate(&mut self.live.caller_handshakes_per_second),
            "live.handshakes_per_second" => Place::Rate(&mut self.live.handshakes_per_second),
            "live.max_signed_in_sockets_per_ip" => Place::Count(&mut self.live.max_signed_in_sockets_per_ip),
            "live.max_sockets" => Place::Count(&mut self.live.max_sockets),
            "live.max_sockets_per_ip" => Place::Count(&mut self.live.max_sockets_per_ip),
            "live.max_sockets_per_user" => Place::Count(&mut self.live.max_sockets_per_user),
            "log.filter" => Place::Filter(&mut self.log.filter),
            "retention.bodies" => Place::Duration(&mut self.retention.bodies),
            "retention.bodies_size" => Place::Size(&mut self.retention.bodies_size),
            "retention.deleted" => Place::Duration(&mut self.retention.deleted),
            "retention.deliveries" => Place::Duration(&mut self.retention.deliveries),
            "retention.stale_after" => Place::Duration(&mut self.retention.stale_after),
            _ => return None,
        })
    }

    /// These settings with others laid over them. A text that does not fit leaves its setting as it was and is returned.
    pub fn tuned(&self, over: &BTreeMap<String, String>) -> (Config, Vec<BadValue>) {
        let mut config = self.clone();
        let bad = over.iter().filter_map(|(key, text)| config.tune(key, text).err()).collect();
        (config, bad)
    }

    /// Changes one of them.
    ///
    /// # Errors
    /// Says what would fit.
    pub fn tune(&mut self, key: &str, text: &str) -> Result<(), BadValue> {
        let bad = |why: String| BadValue { key: key.to_owned(), why };
        let unknown = || bad("there is no such setting, or it cannot be changed while the service runs".to_owned());
        let hot = HOT.iter().find(|hot| hot.key == key).ok_or_else(unknown)?;
        let between = |form: &str| {
            let (least, most) = (hot.least.unwrap_or_default(), hot.most.unwrap_or_default());
            bad(format!("it is {form} from {least} to {most}"))
        };
        let fits = |parse: fn(&str) -> Option<u64>| {
            let bounds = hot.least.and_then(parse).unwrap_or(0)..=hot.most.and_then(parse).unwrap_or(u64::MAX);
            parse(text).filter(|value| bounds.contains(value))
        };
        match self.place(key).ok_or_else(unknown)? {
            Place::Duration(place) => {
                let millis = fits(millis).ok_or_else(|| between("a duration, as \"30s\" or \"7d\","))?;
                *place = Duration::from_millis(millis);
            }
            Place::Size(place) => *place = fits(parse_size).ok_or_else(|| between("a size, as \"512MiB\","))?,
            Place::Count(place) => {
                let count = fits(|text| text.parse().ok()).ok_or_else(|| between("a number"))?;
                *place = usize::try_from(count).unwrap_or(usize::MAX);
            }
            Place::Rate(place) => {
                let count = fits(|text| text.parse().ok()).ok_or_else(|| between("a number"))?;
                *place = u32::try_from(count).unwrap_or(u32::MAX);
            }
            Place::Filter(place) => {
                EnvFilter::try_new(text).map_err(|error| bad(format!("it is a level, or levels by module, as \"info,pipecast::live=debug\": {error}")))?;
                text.clone_into(place);
            }
        }
        Ok(())
    }

    /// How values of one of them are written.
    pub fn kind(&self, key: &str) -> Option<Kind> {
        Some(match self.clone().place(key)? {
            Place::Duration(_) => Kind::Duration,
            Place::Size(_) => Kind::Size,
            Place::Count(_) | Place::Rate(_) => Kind::Number,
            Place::Filter(_) => Kind::Text,
        })
    }

    /// One of them as it would be written.
    pub fn told(&self, key: &str) -> Option<String> {
        let mut config = self.clone();
        Some(match config.place(key)? {
            Place::Duration(duration) => told_duration(*duration),
            Place::Size(bytes) => told_size(*bytes),
            Place::Count(count) => count.to_string(),
            Place::Rate(rate) => rate.to_string(),
            Place::Filter(filter) => filter.clone(),
        })
    }
}

/// What the defaults say of a setting, right above it.
pub fn explained(key: &str) -> String {
    let (section, name) = key.split_once('.').unwrap_or(("", key));
    let (header, start) = (format!("[{section}]"), format!("{name} = "));
    let lines: Vec<&str> = DEFAULTS.lines().skip_while(|line| *line != header).collect();
    let at = lines.iter().position(|line| line.starts_with(&start)).unwrap_or(0);
    let above = lines[..at].iter().rev().take_while(|line| line.starts_with("# "));
    let mut words: Vec<&str> = above.map(|line| line.trim_start_matches("# ")).collect();
    words.reverse();
    words.join(" ")
}

fn millis(text: &str) -> Option<u64> {
    parse_duration(text).and_then(|duration| u64::try_from(duration.as_millis()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hot_setting_has_a_place_a_default_within_its_bounds_and_words() {
        let mut config = Config::defaults();
        for hot in HOT {
            let text = config.told(hot.key).unwrap_or_else(|| panic!("{} has no place", hot.key));
            config.tune(hot.key, &text).unwrap_or_else(|error| panic!("{}: {error}", hot.key));
            assert_eq!(config.told(hot.key), Some(text), "it is written as it is read");
            assert!(explained(hot.key).len() > 20, "{}: {:?}", hot.key, explained(hot.key));
        }
    }

    #[test]
    fn what_does_not_fit_leaves_the_setting_as_it_was_and_says_what_would() {
        let base = Config::defaults();
        let over = [
            ("retention.bodies", "3d"),
            ("retention.deliveries", "1s"),
            ("live.max_sockets", "many"),
            ("log.filter", "info,=nonsense=="),
            ("server.listen", "0.0.0.0"),
        ];

        let (config, bad) = base.tuned(&over.map(|(key, text)| (key.to_owned(), text.to_owned())).into());

        assert_eq!(config.retention.bodies, Duration::from_secs(3 * 86_400));
        assert_eq!(config.retention.deliveries, base.retention.deliveries);
        let keys: Vec<&str> = bad.iter().map(|bad| bad.key.as_str()).collect();
        assert_eq!(keys, ["live.max_sockets", "log.filter", "retention.deliveries", "server.listen"]);
        assert_eq!(bad[2].why, "it is a duration, as \"30s\" or \"7d\", from 1d to 3650d");
    }
}
