//! Whom to believe: the secrets of one source, and the judgement of a delivery by them, which takes as long whatever is wrong.
//! Knows nothing of where secrets come from.

use std::hint::black_box;
use std::sync::LazyLock;

use actix_web::http::header::HeaderMap;
use pipecast_model::{Host, SecretId, SecretKind, Timestamp};

use super::signature::Distrust;
use super::{github, gitlab};
use crate::config::Secret;

/// Most secrets that are live at once; so many are always looked at before a delivery is refused.
const MOST_LIVE: usize = 2;

/// A secret of a source.
#[derive(Clone, Debug)]
pub(super) struct Credential {
    /// Its id, where it is one of the database.
    pub(super) id: Option<SecretId>,
    /// What it is compared with.
    pub(super) kind: SecretKind,
    /// It itself.
    pub(super) secret: Secret,
    /// From then on it is not believed.
    pub(super) not_after: Option<Timestamp>,
}

/// A source, as far as trust goes.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// Its secrets, the newest first. None where it is disabled.
    pub(super) credentials: Vec<Credential>,
    /// Whether it is disabled.
    pub(super) disabled: bool,
    /// Whether it has secrets that could not be opened.
    pub(super) unreadable: bool,
    /// Where its last change stands among all changes; 0 for one of the configuration.
    pub(super) revision: i64,
}

impl Entry {
    /// A source of the configuration. An empty secret is none.
    pub(super) fn configured(kind: SecretKind, secret: &Secret) -> Entry {
        let credential = Credential {
            id: None,
            kind,
            secret: secret.clone(),
            not_after: None,
        };
        Entry {
            credentials: if secret.is_empty() { Vec::new() } else { vec![credential] },
            ..Entry::default()
        }
    }
}

/// What is compared where there is nothing to compare with.
static NOBODYS: LazyLock<[Secret; 2]> = LazyLock::new(|| {
    let random = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, uuid::Uuid::new_v4());
    [
        Secret::new(random.clone()),
        Secret::new(format!("{}{random}", SecretKind::SIGNING_TOKEN_PREFIX)),
    ]
});

/// Which secret of the source a delivery is signed with; none where that is one of the configuration.
///
/// Whoever knows a secret may learn how long that takes. Whoever does not waits for as many comparisons as the host has kinds of secrets, times the
/// most that can be live: it shows neither whether there is such a source, nor how many secrets it has, nor of which kind.
///
/// # Errors
/// Why it is not believed.
pub(super) fn judge(host: Host, entry: Option<&Entry>, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<Option<SecretId>, Distrust> {
    let (credentials, mut why) = match entry {
        Some(entry) if entry.disabled => (&[][..], Some(Distrust::Disabled)),
        Some(entry) => (&entry.credentials[..], None),
        None => (&[][..], Some(Distrust::UnknownSource)),
    };
    let live = credentials.iter().filter(|credential| credential.not_after.is_none_or(|end| now < end));
    let mut compared = Vec::with_capacity(MOST_LIVE);
    for Credential { id, kind, secret, .. } in live.take(MOST_LIVE) {
        match verify(host, *kind, secret, headers, body, now) {
            Ok(()) => return Ok(*id),
            Err(distrust) => {
                why.get_or_insert(distrust);
            }
        }
        compared.push(*kind);
    }
    for kind in kinds(host) {
        let done = compared.iter().filter(|done| *done == kind).count();
        let secret = &NOBODYS[usize::from(*kind == SecretKind::SigningToken)];
        for _ in done..MOST_LIVE {
            let _ = black_box(verify(host, *kind, black_box(secret), headers, body, now));
        }
    }
    Err(why.unwrap_or(Distrust::NoSecret))
}

/// Every kind of secret that a source of this host may have.
fn kinds(host: Host) -> &'static [SecretKind] {
    match host {
        Host::Github => github::KINDS,
        Host::Gitlab => gitlab::KINDS,
    }
}

fn verify(host: Host, kind: SecretKind, secret: &Secret, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<(), Distrust> {
    match host {
        Host::Github => github::verify(secret, headers, body, now),
        Host::Gitlab => gitlab::verify(kind, secret, headers, body, now),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn credential(id: i64, secret: &str, not_after: Option<i64>) -> Credential {
        Credential {
            id: Some(SecretId(id)),
            kind: SecretKind::of(Host::Gitlab, secret),
            secret: Secret::new(secret),
            not_after: not_after.map(Timestamp),
        }
    }

    fn entry(credentials: Vec<Credential>) -> Entry {
        Entry {
            credentials,
            ..Entry::default()
        }
    }

    fn token(text: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.append(HeaderName::from_static("x-gitlab-token"), HeaderValue::from_str(text).expect("a header"));
        headers
    }

    fn judged(entry: &Entry, text: &str, now: i64) -> Result<Option<SecretId>, Distrust> {
        judge(Host::Gitlab, Some(entry), &token(text), b"{}", Timestamp(now))
    }

    #[test]
    fn two_secrets_are_believed_and_the_old_one_until_its_end() {
        let source = entry(vec![credential(2, "the new one", None), credential(1, "the old one", Some(100))]);

        assert_eq!(judged(&source, "the new one", 99), Ok(Some(SecretId(2))));
        assert_eq!(judged(&source, "the old one", 99), Ok(Some(SecretId(1))));
        assert_eq!(judged(&source, "the old one", 100), Err(Distrust::Mismatch));
        assert_eq!(judged(&source, "the new one", 100), Ok(Some(SecretId(2))));
        assert_eq!(judged(&source, "another one", 99), Err(Distrust::Mismatch));
    }

    #[test]
    fn a_plain_token_is_not_enough_once_only_a_signing_token_is_live() {
        let moving = entry(vec![credential(2, "whsec_bmV3IG5ldyBuZXcgbmV3", None), credential(1, "the token", Some(100))]);

        assert_eq!(judged(&moving, "the token", 99), Ok(Some(SecretId(1))));
        assert_eq!(judged(&moving, "the token", 100), Err(Distrust::Missing));
        assert_eq!(judged(&moving, "whsec_bmV3IG5ldyBuZXcgbmV3", 99), Err(Distrust::Missing));
    }

    /// The middle of a sample.
    fn median(mut sample: Vec<f64>) -> f64 {
        sample.sort_by(f64::total_cmp);
        sample[sample.len() / 2]
    }

    /// How it looks from outside is for `tests/it/timing.rs`; here it is about a comparison that is left out, which is half of the time.
    #[test]
    fn every_refusal_makes_the_same_comparisons() {
        const SAMPLES: usize = 2_000;
        let github = |id, secret: &str| Credential {
            kind: SecretKind::Hmac,
            ..credential(id, secret, None)
        };
        let sources = [
            None,
            Some(entry(vec![github(1, "one secret of a source")])),
            Some(entry(vec![
                github(2, "the newer secret of a source"),
                github(1, "the older secret of a source"),
            ])),
            Some(Entry {
                disabled: true,
                ..Entry::default()
            }),
        ];
        let mut headers = HeaderMap::new();
        let wrong = format!("sha256={}", "0123456789abcdef".repeat(4));
        headers.append(HeaderName::from_static("x-hub-signature-256"), HeaderValue::from_str(&wrong).expect("a header"));
        let body = vec![b'x'; 64 << 10];
        // A machine that was busy with something else may show a difference once; one that is there shows every time.
        let worst_of_a_run = || {
            let mut times: Vec<Vec<f64>> = vec![Vec::with_capacity(SAMPLES); sources.len()];
            for round in 0..SAMPLES {
                for turn in 0..sources.len() {
                    // Everybody comes after everybody.
                    let at = (turn * (1 + 2 * (round % 2)) + round / 2) % sources.len();
                    let began = std::time::Instant::now();
                    let judged = judge(Host::Github, black_box(sources[at].as_ref()), &headers, &body, Timestamp(0));
                    times[at].push(began.elapsed().as_nanos() as f64);
                    assert!(judged.is_err());
                }
            }
            let unknown = median(times.remove(0));
            times.into_iter().map(|known| (median(known) / unknown - 1.0).abs()).fold(0.0, f64::max)
        };
        let runs: Vec<f64> = (0..5).map(|_| worst_of_a_run()).collect();
        assert!(runs.iter().any(|difference| *difference < 0.1), "{runs:?}");
    }

    #[test]
    fn a_source_without_secrets_believes_nobody() {
        let disabled = Entry {
            disabled: true,
            ..entry(vec![credential(1, "it", None)])
        };

        assert_eq!(judged(&entry(Vec::new()), "", 0), Err(Distrust::NoSecret));
        assert_eq!(
            judged(&Entry::configured(SecretKind::Token, &Secret::default()), "", 0),
            Err(Distrust::NoSecret)
        );
        assert_eq!(judged(&disabled, "it", 0), Err(Distrust::Disabled));
        assert_eq!(judge(Host::Gitlab, None, &token("it"), b"{}", Timestamp(0)), Err(Distrust::UnknownSource));
        for nobodys in NOBODYS.iter() {
            assert!(judged(&entry(Vec::new()), nobodys.expose(), 0).is_err(), "what stands in for a secret is none");
        }
    }
}
