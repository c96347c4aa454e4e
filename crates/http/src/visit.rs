//! A visit: where a request comes from and what it was sent with, for sessions and for the record of changes.
//! Knows nothing of who it is.

use std::future::{Ready, ready};
use std::net::IpAddr;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest};
use pipecast_store::audit::{Actor, By};
use uuid::Uuid;

use crate::TrustedProxies;

/// Characters of a user agent that are kept.
const LONGEST: usize = 200;

/// Where a request comes from.
#[derive(Clone, Debug)]
pub struct Visit {
    /// The client's address, by the proxies that we trust.
    pub address: Option<IpAddr>,
    /// The same where it can be told from others: `None` behind a proxy that we do not trust and that hides them all.
    pub network: Option<IpAddr>,
    /// What it calls itself, without control characters and not longer than it is worth.
    pub user_agent: Option<String>,
    /// Names this request in the record of changes.
    pub request_id: Uuid,
}

impl Visit {
    /// The same for the audit, with whoever it was.
    pub fn by(&self, actor: Actor) -> By {
        By {
            actor,
            ip: self.address,
            user_agent: self.user_agent.clone(),
            request_id: Some(self.request_id.to_string()),
        }
    }
}

impl FromRequest for Visit {
    type Error = std::convert::Infallible;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let agent = request.headers().get(header::USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()));
        let address = TrustedProxies::client_of(request);
        ready(Ok(Visit {
            address,
            network: address.filter(|_| !TrustedProxies::is_blind(request)),
            user_agent: agent.map(|agent| agent.chars().filter(|letter| !letter.is_control()).take(LONGEST).collect()),
            request_id: Uuid::now_v7(),
        }))
    }
}
