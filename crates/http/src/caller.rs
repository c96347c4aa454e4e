//! Who is asking, and what they may see.
//! Knows nothing of how accounts are stored; the gatekeeper of the node knows.

use std::future::{Ready, ready};
use std::sync::Arc;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::{Method, header};
use actix_web::middleware::Next;
use actix_web::{FromRequest, HttpMessage, HttpRequest, ResponseError, web};
use futures_util::future::{Either, LocalBoxFuture};
use pipecast_auth::homes::Thing;
use pipecast_auth::{Badge, Bearing, Entrant, Gatekeeper, Presented, Proof, Refusal};
use pipecast_model::{ExecutionId, JobId, Permission, PipelineId, ProjectId, Role, SessionId, Topic};
use pipecast_store::audit::{Actor, By};
use pipecast_store::{Credential, Sight};

use crate::{AnonymousReading, Code, Meter, Problem, Site, Visit, witness};

/// The caller of a request. As an extractor it refuses those who may do nothing at all, so a handler that has one may ask on.
#[derive(Clone, Debug)]
pub enum Caller {
    /// Somebody without an account, where those may read.
    Anonymous,
    /// Somebody with an account, in person or by a program.
    Known(Known),
}

/// A caller at once, or after a look at the database.
pub type Finding = Either<Ready<Result<Caller, Problem>>, LocalBoxFuture<'static, Result<Caller, Problem>>>;

/// Somebody with an account, as they stood a moment ago.
#[derive(Clone, Debug)]
pub struct Known {
    badge: Arc<Badge>,
    bearing: Arc<Bearing>,
    proof: Proof,
    gatekeeper: Arc<Gatekeeper>,
}

/// What somebody wants to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A list of pipelines; what the caller may not see is left out of it.
    Pipelines,
    /// One pipeline, its executions included.
    Pipeline(PipelineId),
    /// One execution, its jobs included.
    Execution(ExecutionId),
    /// One job.
    Job(JobId),
    /// How the service itself is doing.
    System,
}

impl From<Topic> for Subject {
    fn from(topic: Topic) -> Self {
        match topic {
            Topic::Pipeline(id) => Subject::Pipeline(id),
            Topic::Execution(id) => Subject::Execution(id),
            Topic::Monitor => Subject::Pipelines,
        }
    }
}

impl Caller {
    /// Whether the caller may read `subject`.
    ///
    /// # Errors
    /// The problem to answer with where they may not: `not_found` for what they may not see, as if it did not exist.
    pub async fn may_read(&self, subject: impl Into<Subject>) -> Result<(), Problem> {
        match self {
            // Anonymous callers exist only where anonymous reading is on, and then all of it is open.
            Caller::Anonymous => Ok(()),
            Caller::Known(known) => known.may_read(subject.into()).await,
        }
    }

    /// Which pipelines the caller sees in a list.
    pub fn sight(&self) -> Sight {
        match self {
            Caller::Anonymous => Sight::All,
            Caller::Known(known) => known.sight(Permission::PipelinesRead),
        }
    }

    /// Who shows something is known by it; who shows nothing is anonymous, where those may read. Whoever it is, it is one of the requests that
    /// they may make.
    fn of(request: &HttpRequest) -> Finding {
        if let Some(Admitted(caller)) = request.extensions().get::<Admitted>() {
            return Either::Left(ready(caller.clone()));
        }
        let meter = Meter::of(request);
        let stranger = |caller: Result<Caller, Problem>| Either::Left(ready(meter.take_from_address().and(caller)));
        let shown = match Shown::of(request) {
            Ok(Some(shown)) => shown,
            Ok(None) => return stranger(AnonymousReading::covers(request).map(|()| Caller::Anonymous)),
            Err(problem) => return stranger(Err(problem)),
        };
        let Some(gatekeeper) = request.app_data::<web::Data<Gatekeeper>>() else {
            return Either::Left(ready(Err(Problem::new(Code::Unauthenticated))));
        };
        let gatekeeper = Arc::clone(gatekeeper);
        let is_known_to_be_bad = match gatekeeper.recall(shown.presented()) {
            Some(Ok(entrant)) => {
                witness::note_use(request, &entrant.badge);
                let taken = meter.take_from_bearer(&entrant.badge, &entrant.bearing);
                return Either::Left(ready(taken.map(|()| Caller::Known(Known::new(gatekeeper, entrant)))));
            }
            Some(Err(_)) => true,
            None => false,
        };
        // Finding out who it is asks the database, which is not for those who have shown too much that is no good. What was good before is no
        // guess, whoever else guesses behind the same address.
        if (is_known_to_be_bad || !gatekeeper.remembers(shown.presented()))
            && let Err(problem) = meter.check_impostor()
        {
            return Either::Left(ready(Err(problem)));
        }
        // An old cookie is no reason to be refused what everybody may read.
        let otherwise = match shown {
            Shown::Cookie(_) => AnonymousReading::covers(request).is_ok(),
            Shown::Bearer(_) => false,
        };
        let request = request.clone();
        Either::Right(Box::pin(async move {
            match gatekeeper.admit(shown.presented()).await {
                Ok(entrant) => {
                    witness::note_use(&request, &entrant.badge);
                    meter.take_from_bearer(&entrant.badge, &entrant.bearing)?;
                    Ok(Caller::Known(Known::new(gatekeeper, entrant)))
                }
                Err(Refusal::Invalid) if otherwise => meter.take_from_address().map(|()| Caller::Anonymous),
                Err(Refusal::Invalid) => {
                    // The one that uses it up is told what is wrong with it; the next ones are not looked at.
                    drop(meter.take_impostor());
                    Err(Refusal::Invalid.into())
                }
                Err(refusal) => Err(refusal.into()),
            }
        }))
    }
}

impl Known {
    /// Somebody whom the gatekeeper has just let in.
    pub fn new(gatekeeper: Arc<Gatekeeper>, entrant: Entrant) -> Known {
        let Entrant { badge, bearing, proof } = entrant;
        Known {
            badge,
            bearing,
            proof,
            gatekeeper,
        }
    }

    /// Who, and what they may do.
    pub fn bearing(&self) -> &Bearing {
        &self.bearing
    }

    /// What this node knows of what they came in with.
    pub fn badge(&self) -> &Arc<Badge> {
        &self.badge
    }

    /// When they proved last who they are.
    pub fn proof(&self) -> Proof {
        self.proof
    }

    /// Who let them in.
    pub fn gatekeeper(&self) -> &Arc<Gatekeeper> {
        &self.gatekeeper
    }

    /// What they came in with.
    pub fn credential(&self) -> Credential {
        self.badge.credential()
    }

    /// Who it is, for the audit.
    pub fn actor(&self) -> Actor {
        let user = self.bearing.user;
        match self.credential() {
            Credential::Session(_) => Actor::User(user),
            Credential::Token(token) => Actor::Token(token, user),
        }
    }

    /// Who did it, for the audit.
    pub fn by(&self, visit: &Visit) -> By {
        visit.by(self.actor())
    }

    /// Their session; a program with a token has none.
    ///
    /// # Errors
    /// `forbidden` for a program.
    pub fn session(&self) -> Result<SessionId, Problem> {
        match self.credential() {
            Credential::Session(id) => Ok(id),
            Credential::Token(_) => Err(Problem::new(Code::Forbidden).detail("this is for people who have logged in, not for programs with a token")),
        }
    }

    /// Where they may do this.
    pub fn sight(&self, permission: Permission) -> Sight {
        self.bearing.grants.sight(permission)
    }

    /// Whether they may do this in a project.
    ///
    /// # Errors
    /// `not_found` for a project that they do not see, `forbidden` for one that they see.
    pub fn may_in(&self, permission: Permission, project: ProjectId) -> Result<(), Problem> {
        if self.bearing.grants.may_in(permission, project) {
            return Ok(());
        }
        match self.gatekeeper.sees_project(&self.bearing, project) {
            true => Err(self.forbidden(permission)),
            false => Err(Problem::no_such("project", project)),
        }
    }

    /// Whether they may make somebody this, everywhere or in one project. That they manage accounts or members at all was asked before.
    ///
    /// # Errors
    /// `forbidden` where the role permits what they cannot give.
    pub fn may_give(&self, role: Role, project: Option<ProjectId>) -> Result<(), Problem> {
        let missing: Vec<&str> = self.bearing.grants.missing(role, project).into_iter().map(Permission::word).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let detail = format!("the role {role} permits {}, which you cannot give", missing.join(", "));
        Err(Problem::new(Code::Forbidden).detail(detail).to(self.actor()))
    }

    /// That they may not do this, to be answered to them.
    pub(crate) fn forbidden(&self, permission: Permission) -> Problem {
        let problem = Problem::new(Code::Forbidden).detail(format!("this needs the permission {permission}"));
        problem.to(self.actor())
    }

    async fn may_read(&self, subject: Subject) -> Result<(), Problem> {
        let grants = &self.bearing.grants;
        if subject == Subject::System {
            let may = grants.may_somewhere(Permission::SystemRead);
            return if may { Ok(()) } else { Err(self.forbidden(Permission::SystemRead)) };
        }
        if grants.may(Permission::PipelinesRead) {
            return Ok(());
        }
        if !grants.may_somewhere(Permission::PipelinesRead) {
            return Err(self.forbidden(Permission::PipelinesRead));
        }
        let (thing, unseen) = match subject {
            Subject::Pipelines | Subject::System => return Ok(()),
            Subject::Pipeline(id) => (Thing::Pipeline(id), Problem::no_such("pipeline", id)),
            Subject::Execution(id) => (Thing::Execution(id), Problem::no_such("execution", id)),
            Subject::Job(id) => (Thing::Job(id), Problem::no_such("job", id)),
        };
        match self.gatekeeper.sees(&self.bearing, thing).await? {
            true => Ok(()),
            false => Err(unseen),
        }
    }
}

/// Whether it is by its cookie that a request says whose it is: a browser sends that whichever page asks.
pub fn shows_cookie(request: &HttpRequest) -> bool {
    matches!(Shown::of(request), Ok(Some(Shown::Cookie(_))))
}

/// What a request shows, taken out of it.
enum Shown {
    Bearer(String),
    Cookie(String),
}

impl Shown {
    /// A header goes before a cookie: a browser adds the cookie by itself.
    fn of(request: &HttpRequest) -> Result<Option<Shown>, Problem> {
        let mut headers = request.headers().get_all(header::AUTHORIZATION);
        if let Some(value) = headers.next() {
            let refused = || Problem::new(Code::TokenRefused).detail("send one header `Authorization: Bearer TOKEN`");
            let text = value.to_str().map_err(|_| refused())?;
            let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
            if headers.next().is_some() {
                return Err(refused());
            }
            if scheme.eq_ignore_ascii_case("bearer") {
                return Ok(Some(Shown::Bearer(token.trim().to_owned())));
            }
        }
        let Some(site) = request.app_data::<web::Data<Site>>() else { return Ok(None) };
        let Some(cookie) = site.cookie_of(request) else { return Ok(None) };
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            site.check_page(request)?;
        }
        Ok(Some(Shown::Cookie(cookie)))
    }

    fn presented(&self) -> Presented<'_> {
        match self {
            Shown::Bearer(token) => Presented::Bearer(token),
            Shown::Cookie(token) => Presented::Cookie(token),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid => Problem::new(Code::TokenRefused),
            Refusal::Unavailable(error) => error.into(),
        }
    }
}

/// A caller who was looked for before the handler.
struct Admitted(Result<Caller, Problem>);

/// Who that was, where it was somebody with an account.
pub(crate) fn admitted(request: &HttpRequest) -> Option<Actor> {
    match request.extensions().get::<Admitted>() {
        Some(Admitted(Ok(Caller::Known(known)))) => Some(known.actor()),
        _ => None,
    }
}

/// Looks for the caller before anything else of a request is looked at, for a scope whose handlers say who may: of all that is wrong with a
/// request, a stranger is told only that they are one. Who asks too often is told so, also by handlers that ask for nobody.
///
/// # Errors
/// `too_many`, and those of the handlers.
pub async fn admit<B: MessageBody>(request: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<EitherBody<B>>, actix_web::Error> {
    let caller = Caller::of(request.request()).await;
    if let Err(problem) = &caller
        && problem.code() == Code::TooMany
    {
        let refusal = problem.error_response();
        return Ok(request.into_response(refusal).map_into_right_body());
    }
    request.extensions_mut().insert(Admitted(caller));
    next.call(request).await.map(ServiceResponse::map_into_left_body)
}

/// Has requests that change something pay from a budget for that, besides the one of all requests; below [`admit`].
///
/// # Errors
/// `too_many`, and those of the handlers.
pub async fn pace_writes<B: MessageBody>(request: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<EitherBody<B>>, actix_web::Error> {
    let paid = match request.extensions().get::<Admitted>() {
        Some(Admitted(Ok(Caller::Known(known)))) if !request.method().is_safe() => Meter::of(request.request()).take_write(known),
        _ => Ok(()),
    };
    match paid {
        Ok(()) => next.call(request).await.map(ServiceResponse::map_into_left_body),
        Err(problem) => Ok(request.into_response(problem.error_response()).map_into_right_body()),
    }
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Finding;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        Caller::of(request)
    }
}
