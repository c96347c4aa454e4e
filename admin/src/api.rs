//! The admin's HTTP API under `/admin/v1`: one file a resource, and here where they come together and how errors become answers.
//! Knows nothing of listeners: the composition root puts what the handlers need beside the routes.
//!
//! Who may call a handler stands in its arguments: [`pipecast_http::May`] with a permission, [`pipecast_http::SignedIn`], or neither for
//! the few that have to be open, which `tests/it` lists by name.

use std::ops::Deref;

use actix_web::middleware::from_fn;
use pipecast_http::caller::{admit, pace_writes};
use pipecast_http::conditional::stale;
use pipecast_http::{Code, Fault, Problem};
use pipecast_store::Reader;
use utoipa_actix_web::scope::scope;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::accounts::Error;

mod audit;
mod batch;
mod dead_letters;
mod deleted;
mod deliveries;
mod endpoints;
mod keys;
mod me;
mod members;
mod notification_targets;
mod once;
mod order;
mod pipelines;
mod projects;
mod retention_policies;
mod sessions;
mod settings;
mod setup;
mod sources;
mod tickets;
mod tokens;
mod transfer;
mod users;

pub use endpoints::Endpoints;

/// All routes of the admin.
pub fn routes(config: &mut ServiceConfig) {
    config.service(
        scope("/admin/v1")
            .wrap(from_fn(admit))
            .configure(setup::routes)
            .configure(keys::routes)
            // A session is carried on ten times a minute at most, and every tab does it.
            .configure(sessions::routes)
            .service(scope("").wrap(from_fn(pace_writes)).configure(managed)),
    );
    config.service(scope("/api/ws-tickets").wrap(from_fn(admit)).configure(tickets::routes));
    config.service(scope("/api/v1/settings").wrap(from_fn(admit)).configure(endpoints::routes));
}

/// What people and programs manage.
fn managed(config: &mut ServiceConfig) {
    config
        .configure(me::routes)
        .configure(users::routes)
        .configure(members::routes)
        .configure(tokens::routes)
        .configure(audit::routes)
        .configure(deliveries::routes)
        .configure(dead_letters::routes)
        .configure(settings::routes)
        .configure(retention_policies::routes)
        .configure(notification_targets::routes)
        .configure(sources::routes)
        .configure(projects::routes)
        .configure(pipelines::routes);
}

/// Reads the primary: who has changed something sees it in the next answer, wherever lists are read.
pub struct Primary(pub Reader);

impl Deref for Primary {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        &self.0
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused => Problem::new(Code::LoginRefused),
            Error::SecondFactor => Problem::new(Code::SecondFactor).detail("send `code` with a code of the authenticator app, or a recovery code"),
            Error::Wait(wait) => Problem::new(Code::TooMany)
                .detail("too many logins have failed; wait before the next")
                .retry_exactly(wait),
            Error::TooOften(wait) => Problem::new(Code::TooMany)
                .detail("a session is carried on sixty times a minute at most")
                .retry_exactly(wait),
            Error::Busy(_) => Problem::new(Code::Unavailable).retry_after(std::time::Duration::from_secs(2)),
            Error::Ended => Problem::new(Code::TokenRefused).detail("the session has ended; log in again"),
            Error::NoSetup => Problem::new(Code::NotFound).detail("there is no setup, or not with this token"),
            Error::NameTaken => Problem::new(Code::Conflict).faults(vec![Fault::new("/name", "taken", "another account has this name")]),
            Error::Weak(why) => Problem::new(Code::Invalid).faults(vec![Fault::new("/password", "weak", why)]),
            Error::Guessable(why) => Problem::new(Code::Invalid).faults(vec![Fault::new("/password", "guessable", why)]),
            Error::Gone => Problem::new(Code::NotFound),
            Error::Stale(version) => stale(version),
            Error::LastAdmin => Problem::new(Code::Conflict).detail("this is the last admin who may come in; make another one first"),
            Error::FactorExists => Problem::new(Code::Conflict).detail("there is a second factor already; take it away first"),
            Error::NotOffered => Problem::new(Code::NotFound).detail("no secret was offered within the last ten minutes, or another one since; begin anew"),
            Error::ShortAlone => Problem::new(Code::Forbidden)
                .detail("this password has fewer than 15 characters, and no second factor is asked for besides any more; an admin has to give you another one"),
            Error::ShortWithout => {
                Problem::new(Code::Conflict).detail("your password has fewer than 15 characters, which is too short without a second factor; change it first")
            }
            Error::Replaced(heir) => {
                Problem::new(Code::Conflict).detail(format!("the token {heir} has taken its place and is good; replace that one, or end it first"))
            }
            Error::Beyond(permissions) => {
                let words: Vec<_> = permissions.iter().map(|permission| permission.word()).collect();
                let detail = format!("you may not do this there yourself: {}", words.join(", "));
                Problem::new(Code::Invalid).faults(vec![Fault::new("/scopes", "beyond", detail)])
            }
            Error::Keys(_) => Problem::ours(Code::Unavailable, &error),
            Error::Key(error) => error.into(),
            Error::Store(error) => error.into(),
        }
    }
}
