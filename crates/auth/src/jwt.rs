//! Access tokens: signed for ten minutes by the process that opened the session, verified by every node.
//! Knows nothing of sessions: whoever verifies one asks then whether its session is still good.
//!
//! One algorithm, EdDSA, is signed with and accepted; what a header says about keys elsewhere is not looked at.

use std::time::Duration;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use pipecast_model::{SessionId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use crate::secret::random_text;

/// The `aud` of every access token.
const AUDIENCE: &str = "pipecast";

/// Clocks of two nodes may differ by so much.
const LEEWAY: u64 = 5;

/// What a token is good for; its `typ`, so that none is taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Requests (RFC 9068).
    Access,
    /// Opening one socket.
    Ticket,
}

impl Audience {
    const fn typ(self) -> &'static str {
        match self {
            Audience::Access => "at+jwt",
            Audience::Ticket => "ticket+jwt",
        }
    }
}

/// What a token says. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who signed.
    pub iss: String,
    /// For whom.
    pub aud: String,
    /// The user.
    pub sub: String,
    /// The session.
    pub sid: String,
    /// Names this one token.
    pub jti: String,
    /// When it was signed.
    pub iat: i64,
    /// Since when it is good.
    pub nbf: i64,
    /// Until when.
    pub exp: i64,
    /// When whoever has the session proved last who they are (RFC 9068); only in access tokens, and not in those of builds that did not ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// The origin of the page that may use it; only in tickets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

impl Claims {
    /// What a token says that is good from now on for `lifetime`.
    pub fn new(issuer: &str, user: UserId, session: SessionId, lifetime: Duration) -> Claims {
        let now = Timestamp::now().0 / 1_000_000;
        Claims {
            iss: issuer.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: user.to_string(),
            sid: session.to_string(),
            jti: random_text(16),
            iat: now,
            nbf: now,
            exp: now.saturating_add(i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX)),
            auth_time: None,
            origin: None,
        }
    }

    /// The same of somebody who proved then who they are. Parts of a second are cut off, so it is never later than it was.
    pub fn proved_at(self, at: Timestamp) -> Claims {
        Claims {
            auth_time: Some(at.0.div_euclid(1_000_000)),
            ..self
        }
    }

    /// The session, where the token names one.
    pub fn session(&self) -> Option<SessionId> {
        self.sid.parse().ok()
    }
}

/// A key with both halves. The private one is nowhere but here: it is never written, and ends with the process.
pub struct SigningPair {
    id: String,
    private: EncodingKey,
    public: Vec<u8>,
}

impl SigningPair {
    /// A fresh one.
    pub fn generate() -> SigningPair {
        let pair = Ed25519KeyPair::generate().expect("the operating system has random bytes");
        let pkcs8: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().expect("a key that was just made can be written");
        SigningPair {
            id: random_text(16),
            public: pair.public_key().as_ref().to_vec(),
            private: EncodingKey::from_ed_der(pkcs8.as_ref()),
        }
    }

    /// Its name in the header of what it signs.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The half that verifies.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The signed token.
    pub fn sign(&self, claims: &Claims, audience: Audience) -> String {
        let header = Header {
            typ: Some(audience.typ().to_owned()),
            kid: Some(self.id.clone()),
            ..Header::new(Algorithm::EdDSA)
        };
        jsonwebtoken::encode(&header, claims, &self.private).expect("a key that was just made signs plain JSON")
    }
}

/// The half of a key that verifies.
#[derive(Clone)]
pub struct PublicKey {
    key: DecodingKey,
    expires_at: Timestamp,
}

impl PublicKey {
    /// An Ed25519 key of 32 bytes.
    pub fn new(bytes: &[u8], expires_at: Timestamp) -> PublicKey {
        PublicKey {
            key: DecodingKey::from_ed_der(bytes),
            expires_at,
        }
    }

    /// What a token of this kind says, where this key signed it and it is good now.
    pub fn verify(&self, token: &str, issuer: &str, audience: Audience) -> Option<Claims> {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[issuer]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY;
        let token = jsonwebtoken::decode::<Claims>(token, &self.key, &validation).ok()?;
        let is_of_kind = token.header.typ.as_deref() == Some(audience.typ());
        let is_live = self.expires_at > Timestamp::now();
        (is_of_kind && is_live && !token.claims.jti.is_empty()).then_some(token.claims)
    }

    /// The `kid` in a token's header. Nothing that it says is to be believed yet.
    pub fn id_in(token: &str) -> Option<String> {
        jsonwebtoken::decode_header(token).ok()?.kid
    }
}

/// A public key as JWKS have it (RFC 8037).
pub(crate) fn jwk(id: &str, public: &[u8]) -> serde_json::Value {
    serde_json::json!({
        "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": id, "x": URL_SAFE_NO_PAD.encode(public),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (SigningPair, PublicKey) {
        let pair = SigningPair::generate();
        let public = PublicKey::new(pair.public(), Timestamp(i64::MAX));
        (pair, public)
    }

    fn claims() -> Claims {
        Claims::new("https://ci.example.org", UserId(7), SessionId::fresh(), Duration::from_secs(600))
    }

    fn verified(public: &PublicKey, token: &str) -> bool {
        public.verify(token, "https://ci.example.org", Audience::Access).is_some()
    }

    #[test]
    fn what_was_signed_is_verified_and_names_its_key() {
        let (pair, public) = pair();
        let claims = claims();

        let token = pair.sign(&claims, Audience::Access);

        assert_eq!(public.verify(&token, "https://ci.example.org", Audience::Access), Some(claims));
        assert_eq!(PublicKey::id_in(&token).as_deref(), Some(pair.id()));
    }

    #[test]
    fn another_key_kind_issuer_or_audience_is_refused() {
        let (pair, public) = pair();
        let (other, _) = self::pair();

        assert!(!verified(&public, &other.sign(&claims(), Audience::Access)));
        assert!(!verified(&public, &pair.sign(&claims(), Audience::Ticket)));
        for wrong in [
            Claims {
                iss: "https://evil.example".into(),
                ..claims()
            },
            Claims {
                aud: "another".into(),
                ..claims()
            },
            Claims {
                jti: String::new(),
                ..claims()
            },
        ] {
            assert!(!verified(&public, &pair.sign(&wrong, Audience::Access)), "{wrong:?}");
        }
        let over = PublicKey::new(pair.public(), Timestamp(0));
        assert!(!verified(&over, &pair.sign(&claims(), Audience::Access)));
    }

    #[test]
    fn time_is_kept_but_for_five_seconds() {
        let (pair, public) = pair();
        let now = Timestamp::now().0 / 1_000_000;
        let at = |nbf: i64, exp: i64| pair.sign(&Claims { nbf, exp, ..claims() }, Audience::Access);

        assert!(verified(&public, &at(now + 2, now + 60)) && verified(&public, &at(now - 60, now - 2)));
        assert!(!verified(&public, &at(now + 30, now + 60)) && !verified(&public, &at(now - 60, now - 30)));
    }

    #[test]
    fn when_somebody_proved_who_they_are_is_signed_too_and_may_be_missing() {
        let (pair, public) = pair();
        let verified = |claims: &Claims| public.verify(&pair.sign(claims, Audience::Access), "https://ci.example.org", Audience::Access);

        let proved = verified(&claims().proved_at(Timestamp(1_999_999))).expect("it is good");
        let before = verified(&claims()).expect("it is good");

        assert_eq!((proved.auth_time, before.auth_time), (Some(1), None));
    }

    #[test]
    fn no_other_algorithm_and_no_unsigned_token_is_taken() {
        let (pair, public) = pair();
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims()).expect("json"));
        let header = |text: &str| URL_SAFE_NO_PAD.encode(text);

        let unsigned = format!("{}.{body}.", header(r#"{"alg":"none","typ":"at+jwt"}"#));
        let confused = {
            let key = EncodingKey::from_secret(pair.public());
            let header = Header {
                typ: Some("at+jwt".into()),
                ..Header::new(Algorithm::HS256)
            };
            jsonwebtoken::encode(&header, &claims(), &key).expect("signed")
        };
        let cut = pair.sign(&claims(), Audience::Access);
        let cut = &cut[..cut.rfind('.').expect("three parts") + 1];

        for token in ["", "a.b.c", &unsigned, &confused, cut] {
            assert!(!verified(&public, token), "{token}");
        }
    }
}
