//! A fresh proof as an argument: a handler that takes a [`Confirmed`] runs only for those who have just proved who they are. It is what a stolen
//! session is not enough for: keys, roles and secrets.
//! Knows nothing of how somebody proves it, nor of single routes; which operations want it stands in `src/openapi/confirmed.rs`.

use std::ops::Deref;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use futures_util::future::LocalBoxFuture;

use crate::{Code, Known, Problem};

/// How long a proof is good. Where nobody has said it, no proof is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProofAge(pub Duration);

/// Somebody who may, by `M`, and who proved within [`ProofAge`] who they are. Programs with a token are not asked: they have scopes, and nothing to
/// prove it by.
#[derive(Clone, Debug)]
pub struct Confirmed<M>(M);

impl<M> Deref for Confirmed<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.0
    }
}

impl<M> FromRequest for Confirmed<M>
where
    M: FromRequest<Error = Problem> + Deref<Target = Known> + 'static,
{
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let may = M::from_request(request, payload);
        let age = request.app_data::<web::Data<ProofAge>>().map_or(Duration::ZERO, |age| age.0);
        Box::pin(async move {
            let may = may.await?;
            match may.gatekeeper().is_proved(may.proof(), age).await? {
                true => Ok(Confirmed(may)),
                false => Err(confirmation_required(age).to(may.actor())),
            }
        })
    }
}

fn confirmation_required(age: Duration) -> Problem {
    Problem::new(Code::ConfirmationRequired).detail(format!(
        "it is more than {} minutes since you proved who you are; send your password to POST /admin/v1/me/confirmation, and then this again with the access token that it answers",
        age.as_secs() / 60
    ))
}
