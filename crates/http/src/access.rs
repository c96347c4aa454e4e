//! Permission as an argument: a handler that takes a [`May`] runs only for those who may.
//! Knows nothing of single routes.

use std::marker::PhantomData;
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::LocalBoxFuture;
use pipecast_model::{Permission, ProjectId};
use pipecast_store::Sight;

use crate::caller::Known;
use crate::{Caller, Code, Problem};

/// A permission as a type.
pub trait Right: 'static {
    /// The permission itself.
    const PERMISSION: Permission;
}

/// A type for each permission.
pub mod right {
    use super::{Permission, Right};

    macro_rules! rights {
        ($($name:ident),* $(,)?) => {
            $(
                #[doc = concat!("[`Permission::", stringify!($name), "`].")]
                #[derive(Clone, Copy, Debug)]
                pub struct $name;

                impl Right for $name {
                    const PERMISSION: Permission = Permission::$name;
                }
            )*
        };
    }

    rights!(
        PipelinesRead,
        PipelinesWrite,
        DeliveriesRead,
        DeliveriesReplay,
        SourcesManage,
        ProjectsManage,
        MembersManage,
        UsersManage,
        TokensManage,
        SettingsRead,
        SettingsManage,
        AuditRead,
        SystemRead,
        IngestWrite,
    );
}

/// Somebody with an account who has the permission `P`, everywhere or in some project. For what belongs to a project, ask on with
/// [`May::sight`] or [`May::in_project`].
#[derive(Clone, Debug)]
pub struct May<P> {
    known: Known,
    right: PhantomData<P>,
}

impl<P: Right> May<P> {
    /// Where they have it, as a condition for reading.
    pub fn sight(&self) -> Sight {
        self.known.sight(P::PERMISSION)
    }

    /// That they have it in this project.
    ///
    /// # Errors
    /// `not_found` for a project that they do not see, `forbidden` for one that they see.
    pub fn in_project(&self, project: ProjectId) -> Result<(), Problem> {
        self.known.may_in(P::PERMISSION, project)
    }
}

impl<P> Deref for May<P> {
    type Target = Known;

    fn deref(&self) -> &Known {
        &self.known
    }
}

impl<P: Right> FromRequest for May<P> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let known = SignedIn::from_request(request, payload);
        Box::pin(async move {
            let SignedIn(known) = known.await?;
            match known.bearing().grants.may_somewhere(P::PERMISSION) {
                true => Ok(May { known, right: PhantomData }),
                false => Err(known.forbidden(P::PERMISSION)),
            }
        })
    }
}

/// Somebody with an account, whatever they may do.
#[derive(Clone, Debug)]
pub struct SignedIn(pub Known);

impl Deref for SignedIn {
    type Target = Known;

    fn deref(&self) -> &Known {
        &self.0
    }
}

impl FromRequest for SignedIn {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let caller = Caller::from_request(request, payload);
        Box::pin(async move {
            match caller.await {
                Ok(Caller::Known(known)) => Ok(SignedIn(known)),
                Ok(Caller::Anonymous) => Err(Problem::new(Code::Unauthenticated)),
                // Reading is open or not; this is about more than reading.
                Err(problem) if problem.code() == Code::AnonymousRefused => Err(Problem::new(Code::Unauthenticated)),
                Err(problem) => Err(problem),
            }
        })
    }
}
