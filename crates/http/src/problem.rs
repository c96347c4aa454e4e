//! What goes wrong, as clients see it: RFC 9457 problems from one closed table. The only place that turns an error into a status.
//! Knows nothing of single routes.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use actix_web::body::BoxBody;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use pipecast_store::audit::Actor;
use serde::Serialize;
use uuid::Uuid;

use crate::Fault;
use crate::limits::UsedUp;

// A word is a token and no literal: what derives the schema does not see through the group that a literal comes in.
macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $status:ident, $word:tt, $title:literal;)*) => {
        /// Every kind of problem. Its word is stable: clients may compare it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, utoipa::ToSchema)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Code] = &[$(Code::$variant),*];

            /// The stable word, also the end of `type`.
            pub fn word(self) -> &'static str {
                match self { $(Code::$variant => $word),* }
            }

            /// The HTTP status.
            pub fn status(self) -> StatusCode {
                match self { $(Code::$variant => StatusCode::$status),* }
            }

            /// One line for people.
            pub fn title(self) -> &'static str {
                match self { $(Code::$variant => $title),* }
            }
        }
    };
}

codes! {
    /// A part of the path is no id, or a body or header cannot be read.
    Malformed = BAD_REQUEST, "malformed", "The request cannot be understood";
    /// A query parameter does not exist, is given twice or has a value that it cannot have.
    InvalidQuery = BAD_REQUEST, "invalid_query", "A query parameter is unknown or has no valid value";
    /// The signature of a delivery is missing or wrong, or its source is unknown. Deliberately one code for all of these.
    SignatureRefused = UNAUTHORIZED, "signature_refused", "The delivery is not signed with a secret of this source";
    /// A delivery of another host than the path names.
    WrongHost = UNAUTHORIZED, "wrong_host", "The delivery comes from another kind of host";
    /// There is no account and it takes one.
    Unauthenticated = UNAUTHORIZED, "unauthenticated", "This needs an account";
    /// A token or cookie that is none of ours, has expired or was ended. Deliberately one code for all of these.
    TokenRefused = UNAUTHORIZED, "token_refused", "The token is not valid, or not any more";
    /// Name and password do not belong together, or may not come in. Deliberately one code for all of these.
    LoginRefused = UNAUTHORIZED, "login_refused", "Name or password is wrong";
    /// The password is right, and a code of the second factor is missing or wrong.
    SecondFactor = UNAUTHORIZED, "second_factor", "A code of the second factor is needed";
    /// The caller is known and may not do this.
    Forbidden = FORBIDDEN, "forbidden", "You may not do this";
    /// They logged in too long ago for this, and have not proved since then who they are.
    ConfirmationRequired = FORBIDDEN, "confirmation_required", "This needs your password again";
    /// A cookie is not enough here, because the request may come from a page of another site.
    CrossSite = FORBIDDEN, "cross_site", "The request does not come from a page of this service";
    /// There is no account, and anonymous reading does not cover the request.
    AnonymousRefused = FORBIDDEN, "anonymous_refused", "Reading needs an account here";
    /// A page of an origin that is not allowed here.
    OriginRefused = FORBIDDEN, "origin_refused", "Pages of this origin may not connect";
    /// There is no such thing.
    NotFound = NOT_FOUND, "not_found", "There is no such thing";
    /// The path exists with other methods.
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method_not_allowed", "The method is not possible here";
    /// It contradicts what is there.
    Conflict = CONFLICT, "conflict", "It contradicts what is there";
    /// It was changed since the caller read it.
    Stale = PRECONDITION_FAILED, "stale", "It has changed meanwhile";
    /// A change says which version it is a change of.
    PreconditionRequired = PRECONDITION_REQUIRED, "precondition_required", "If-Match is missing";
    /// Understood, and something in it cannot be; `errors` says what.
    Invalid = UNPROCESSABLE_ENTITY, "invalid", "Something in the body cannot be";
    /// The body did not arrive in time.
    BodyTimeout = REQUEST_TIMEOUT, "body_timeout", "The body did not arrive in time";
    /// The address of the request is longer than we read.
    AddressTooLong = URI_TOO_LONG, "address_too_long", "The address is too long";
    /// The headers are larger than the limit.
    HeadTooLarge = REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", "The headers are too large";
    /// The body is larger than the limit.
    TooLarge = PAYLOAD_TOO_LARGE, "too_large", "The body is too large";
    /// The body is of another type.
    UnsupportedType = UNSUPPORTED_MEDIA_TYPE, "unsupported_type", "The body is of the wrong type";
    /// The body is compressed, which would not be what was signed.
    UnsupportedEncoding = UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", "The body must not be compressed";
    /// More than the limit of this caller.
    TooMany = TOO_MANY_REQUESTS, "too_many", "Too many requests";
    /// A defect of ours.
    Internal = INTERNAL_SERVER_ERROR, "internal", "Something went wrong here";
    /// The delivery could not be made durable; nothing was promised. Send it again.
    NotDurable = SERVICE_UNAVAILABLE, "not_durable", "The delivery could not be stored durably";
    /// Something that is needed does not answer, or a limit of the whole node is reached.
    Unavailable = SERVICE_UNAVAILABLE, "unavailable", "Not available at the moment";
    /// The service is going down.
    Draining = SERVICE_UNAVAILABLE, "draining", "The service is shutting down";
}

/// A problem on its way to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    code: Code,
    detail: Option<Cow<'static, str>>,
    retry_after: Option<Duration>,
    request_id: Uuid,
    faults: Vec<Fault>,
    etag: Option<Box<str>>,
    /// Apart, because problems are returned all over.
    actor: Option<Box<Actor>>,
    used_up: Option<Box<UsedUp>>,
}

impl Problem {
    /// A problem with nothing to add to its title.
    pub fn new(code: Code) -> Problem {
        Problem {
            code,
            detail: None,
            retry_after: None,
            request_id: Uuid::now_v7(),
            faults: Vec::new(),
            etag: None,
            actor: None,
            used_up: None,
        }
    }

    /// Says what to change. Never anything of ours.
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Problem {
        self.detail = Some(detail.into());
        self
    }

    /// Names what is wrong with single fields.
    pub fn faults(mut self, faults: Vec<Fault>) -> Problem {
        self.faults = faults;
        self
    }

    /// Tells the version that is there now.
    pub fn etag(mut self, etag: impl Into<String>) -> Problem {
        self.etag = Some(etag.into().into_boxed_str());
        self
    }

    /// Asks the client to come back after about this time: give or take half of it, so that not everyone comes back at once.
    pub fn retry_after(mut self, about: Duration) -> Problem {
        // The last byte of a UUIDv7 is random.
        let share = 0.5 + f64::from(self.request_id.as_bytes()[15]) / 255.0;
        self.retry_after = Some(about.mul_f64(share));
        self
    }

    /// Asks the client to come back after this time and not sooner.
    pub fn retry_exactly(mut self, after: Duration) -> Problem {
        self.retry_after = Some(Duration::from_secs(after.as_secs() + u64::from(after.subsec_nanos() > 0)));
        self
    }

    /// Says whom it is answered to; not in the answer.
    pub fn to(mut self, actor: Actor) -> Problem {
        self.actor = Some(Box::new(actor));
        self
    }

    /// Whom it is answered to, where whoever made it knew.
    pub fn actor(&self) -> Option<Actor> {
        self.actor.as_deref().copied()
    }

    /// Tells which quota is used up.
    pub fn used_up(mut self, quota: UsedUp) -> Problem {
        self.used_up = Some(Box::new(quota));
        self
    }

    /// `not_found` that names what is not there.
    pub fn no_such(what: &str, id: impl fmt::Display) -> Problem {
        Problem::new(Code::NotFound).detail(format!("there is no {what} {id}"))
    }

    /// Which kind.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What is wrong with single fields.
    pub fn errors(&self) -> &[Fault] {
        &self.faults
    }

    /// The id under which our log speaks of it.
    pub fn request_id(&self) -> Uuid {
        self.request_id
    }

    /// A problem of ours: logs the cause once; the client gets the request id alone.
    pub fn ours(code: Code, error: &(dyn std::error::Error + 'static)) -> Problem {
        let problem = Problem::new(code);
        tracing::error!(request.id = %problem.request_id, error, "a request failed: {error}");
        problem
    }
}

/// The body of a problem, `application/problem+json`.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub struct Body<'a> {
    /// A URN that ends with the code.
    #[schema(example = "urn:pipecast:problem:not_found")]
    r#type: String,
    /// One line for people.
    title: &'a str,
    /// The HTTP status.
    #[schema(example = 404)]
    status: u16,
    /// The stable word of the kind.
    code: Code,
    /// What to change, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    /// Under which our log speaks of it.
    #[schema(value_type = String, format = "uuid")]
    request_id: Uuid,
    /// What is wrong with single fields of the body.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Fault],
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail.as_deref().unwrap_or_else(|| self.code.title()))
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.code.status()
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let body = Body {
            r#type: format!("urn:pipecast:problem:{}", self.code.word()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            code: self.code,
            detail: self.detail.as_deref(),
            request_id: self.request_id,
            errors: &self.faults,
        };
        let mut response = HttpResponse::build(self.code.status());
        response.content_type("application/problem+json");
        response.insert_header(("x-request-id", self.request_id.to_string()));
        response.insert_header((header::CACHE_CONTROL, "no-store"));
        if self.code.status() == StatusCode::UNAUTHORIZED {
            let scheme = match self.code {
                Code::SignatureRefused | Code::WrongHost => "Webhook-Signature",
                _ => "Bearer",
            };
            response.insert_header((header::WWW_AUTHENTICATE, scheme));
        }
        if let Some(etag) = &self.etag {
            response.insert_header((header::ETAG, &**etag));
        }
        for header in self.used_up.iter().flat_map(|quota| quota.headers()) {
            response.insert_header(header);
        }
        if let Some(after) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, after.as_secs().max(1)));
        }
        response.body(serde_json::to_vec(&body).expect("a problem has only strings and numbers in it"))
    }
}

impl From<pipecast_store::Error> for Problem {
    fn from(error: pipecast_store::Error) -> Self {
        match error {
            pipecast_store::Error::Unavailable { .. } => Problem::ours(Code::Unavailable, &error).retry_after(Duration::from_secs(5)),
            _ => Problem::ours(Code::Internal, &error),
        }
    }
}

impl From<pipecast_fabric::Error> for Problem {
    fn from(error: pipecast_fabric::Error) -> Self {
        use pipecast_fabric::Error;
        match error {
            Error::Full { .. } | Error::Unavailable { .. } => Problem::ours(Code::NotDurable, &error).retry_after(Duration::from_secs(30)),
            Error::Closed(_) => Problem::new(Code::Draining).retry_after(Duration::from_secs(5)),
            Error::TooLarge { limit, .. } => Problem::new(Code::TooLarge).detail(format!("the limit is {limit} bytes")),
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;

    use super::*;

    #[actix_web::test]
    async fn a_problem_names_its_kind_and_its_request() {
        let problem = Problem::no_such("pipeline", 7);

        let response = problem.error_response();

        assert_eq!(response.status(), 404);
        assert_eq!(response.headers().get("content-type").expect("set"), "application/problem+json");
        assert_eq!(
            response.headers().get("x-request-id").expect("set").to_str().expect("text"),
            problem.request_id().to_string()
        );
        let body: serde_json::Value = serde_json::from_slice(&to_bytes(response.into_body()).await.expect("a body")).expect("json");
        assert_eq!(
            body,
            serde_json::json!({
                "type": "urn:pipecast:problem:not_found", "title": "There is no such thing", "status": 404, "code": "not_found",
                "detail": "there is no pipeline 7", "request_id": problem.request_id(),
            })
        );
    }

    #[test]
    fn retry_after_is_spread_over_half_and_one_and_a_half() {
        for _ in 0..500 {
            let after = Problem::new(Code::Unavailable).retry_after(Duration::from_secs(30)).retry_after.expect("set");
            assert!((15.0..=45.0).contains(&after.as_secs_f64()), "{after:?}");
        }
    }

    #[test]
    fn words_are_unique_and_no_sender_is_ever_told_410() {
        let words: std::collections::BTreeSet<_> = Code::ALL.iter().map(|code| code.word()).collect();

        assert_eq!(words.len(), Code::ALL.len());
        assert!(Code::ALL.iter().all(|code| code.status() != StatusCode::GONE));
    }
}
