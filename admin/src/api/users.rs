//! `/admin/v1/users`: accounts, what they are everywhere, and their sessions.
//! Knows nothing of what they are in single projects.

use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post, web};
use pipecast_auth::Shown;
use pipecast_http::conditional::{changed, show};
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::query::Nothing;
use pipecast_http::{Confirmed, Cursor, Faults, Field, IdempotencyKey, IfMatch, Input, May, Page, Patch, Problem, Query, Visit, right::UsersManage, sparse};
use pipecast_model::name::trimmed;
use pipecast_model::{Role, Timestamp, UserId};
use pipecast_store::sealed::Keys;
use pipecast_store::{NewUser, User, UserQuery};
use serde::{Deserialize, Serialize};
use utoipa_actix_web::service_config::ServiceConfig;

use super::deleted::{WithDeleted, restore};
use super::me::check_name;
use super::once::{answered, named};
use crate::accounts::Accounts;
use crate::accounts::users::{disabled_at, standing};

mod batch;
mod credentials;
mod filter;
mod giving;
mod transfer;

use filter::Filter;
use giving::check_given;

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        // Before what has an id in its path.
        .configure(transfer::routes)
        .configure(batch::routes)
        .service(list_users)
        .service(create_user)
        .service(find_user)
        .service(change_user)
        .service(delete_user)
        .service(restore_user)
        .configure(credentials::routes);
}

/// An account.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = User)]
struct Shape {
    id: UserId,
    /// What they log in with.
    #[schema(example = "ada")]
    name: String,
    display_name: Option<String>,
    email: Option<String>,
    /// What they are everywhere; null: only what their memberships give.
    role: Option<Role>,
    /// Whether they may not come in.
    disabled: bool,
    /// Whether they can log in with a password.
    has_password: bool,
    /// Whether a second factor is asked for.
    has_second_factor: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
    /// Since when they are gone; they can be restored.
    deleted_at: Option<Timestamp>,
}

impl From<User> for Shape {
    fn from(user: User) -> Self {
        Shape {
            id: user.id,
            name: user.name,
            display_name: user.display_name,
            email: user.email,
            role: user.role,
            disabled: user.disabled_at.is_some(),
            has_password: user.has_password,
            has_second_factor: user.has_totp,
            created_at: user.created_at,
            updated_at: user.updated_at,
            deleted_at: user.deleted_at,
        }
    }
}

/// An account to be.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewAccount {
    #[serde(deserialize_with = "trimmed")]
    #[schema(example = "ada", max_length = 64)]
    name: String,
    #[serde(default, deserialize_with = "trimmed")]
    #[schema(max_length = 200)]
    display_name: Option<String>,
    #[serde(default, deserialize_with = "trimmed")]
    #[schema(max_length = 254)]
    email: Option<String>,
    role: Option<Role>,
    /// At least 15 characters; without one they cannot log in yet.
    #[schema(format = "password")]
    password: Option<String>,
}

/// What is to be different.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct AccountChange {
    #[serde(default, deserialize_with = "trimmed")]
    #[schema(value_type = Option<String>)]
    name: Field<String>,
    #[serde(default, deserialize_with = "trimmed")]
    #[schema(value_type = Option<String>)]
    display_name: Field<String>,
    #[serde(default, deserialize_with = "trimmed")]
    #[schema(value_type = Option<String>)]
    email: Field<String>,
    #[serde(default)]
    #[schema(value_type = Option<Role>)]
    role: Field<Role>,
    /// Whoever is disabled has no session and no token left; neither comes back with them.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    disabled: Field<bool>,
}

impl AccountChange {
    /// Does it to an account, where it can be.
    fn apply(self, user: &mut User) -> Result<(), Problem> {
        let mut faults = Faults::default();
        let mut disabled = user.disabled_at.is_some();
        self.name.apply_to(&mut user.name, "/name", &mut faults);
        self.disabled.apply_to(&mut disabled, "/disabled", &mut faults);
        self.display_name.apply(&mut user.display_name);
        self.email.apply(&mut user.email);
        self.role.apply(&mut user.role);
        user.disabled_at = disabled_at(user.disabled_at, disabled);
        check_name(&mut faults, "/name", &user.name);
        check(&mut faults, "", user.display_name.as_deref(), user.email.as_deref()).end()
    }
}

/// Accounts.
#[utoipa::path(
    tag = "users",
    params(Filter),
    responses((status = 200, body = Page<Shape>), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody))
)]
#[get("/users")]
async fn list_users(_: May<UsersManage>, filter: Query<Filter>, accounts: web::Data<Accounts>) -> Result<Page<serde_json::Value>, Problem> {
    let Query(filter) = filter;
    let query = UserQuery {
        text: filter.q,
        role: filter.role,
        disabled: filter.disabled,
        deleted: WithDeleted::of(filter.deleted),
        direction: filter.sort,
        after: filter.cursor.map(|Cursor(id)| id),
        limit: filter.limit.rows(),
    };
    let users = accounts.reader().list_users(&query).await?;
    sparse(Page::new(users, filter.limit, |user| user.id, Shape::from), &filter.fields)
}

/// Makes an account.
///
/// Whoever gives it a role may do themselves what that permits, and a program with a token gives it no password.
#[utoipa::path(
    tag = "users",
    params(("Idempotency-Key" = Option<String>, Header, description = "Sent again with the same key, it is answered again and not done twice; for a day")),
    request_body = NewAccount,
    responses(
        (status = 201, body = Shape),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "The name is taken, or the first request with this key is still under way"),
        (status = 422, body = ProblemBody),
    )
)]
#[post("/users")]
async fn create_user(
    may: Confirmed<May<UsersManage>>,
    visit: Visit,
    key: IdempotencyKey,
    body: Input<NewAccount>,
    accounts: web::Data<Accounts>,
    keys: web::Data<Keys>,
) -> Result<HttpResponse, Problem> {
    let Input(wanted) = body;
    let mut faults = Faults::default();
    check_name(&mut faults, "/name", &wanted.name);
    check(&mut faults, "", wanted.display_name.as_deref(), wanted.email.as_deref()).end()?;
    if wanted.password.is_some() {
        may.session()?;
    }
    if let Some(role) = wanted.role {
        may.may_give(role, None)?;
    }
    let once = named(&may, &visit, key, &wanted, &keys)?;
    let user = NewUser {
        name: wanted.name,
        display_name: wanted.display_name,
        email: wanted.email,
        role: wanted.role,
        password: None,
    };
    let shape = |user: User| serde_json::to_value(Shape::from(user)).expect("an account is plain JSON");
    let making = accounts.create_user(user, wanted.password.map(Shown::new), may.by(&visit), once.as_ref(), shape);
    Ok(answered(&making.await?))
}

/// One account, deleted ones included.
#[utoipa::path(
    tag = "users",
    params(("user_id" = i64, Path)),
    responses((status = 200, body = Shape), (status = 304), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody))
)]
#[get("/users/{user_id}")]
async fn find_user(
    request: HttpRequest,
    _: May<UsersManage>,
    id: web::Path<UserId>,
    _: Query<Nothing>,
    accounts: web::Data<Accounts>,
) -> Result<HttpResponse, Problem> {
    let user = accounts.reader().find_user(*id).await?.ok_or_else(|| Problem::no_such("user", *id))?;
    Ok(show(&request, user.version, &Shape::from(user)))
}

/// Changes an account.
///
/// Whoever gives it a role, or lets somebody with one in again, may do themselves what that permits.
#[utoipa::path(
    tag = "users",
    params(("user_id" = i64, Path), ("If-Match" = String, Header, description = "The `ETag` that was read")),
    request_body(content = AccountChange, content_type = "application/merge-patch+json"),
    responses(
        (status = 200, body = Shape),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "The name is taken, or no admin would be left"),
        (status = 412, body = ProblemBody),
        (status = 422, body = ProblemBody),
        (status = 428, body = ProblemBody),
    )
)]
#[patch("/users/{user_id}")]
async fn change_user(
    may: Confirmed<May<UsersManage>>,
    visit: Visit,
    id: web::Path<UserId>,
    version: IfMatch,
    body: Patch<AccountChange>,
    accounts: web::Data<Accounts>,
) -> Result<HttpResponse, Problem> {
    let Patch(change) = body;
    let changing = accounts.change_user(*id, may.by(&visit), |user| {
        there(user, *id)?;
        version.check(user.version)?;
        let before = standing(user);
        change.apply(user)?;
        check_given(&may, before, user)
    });
    let user = changing.await?;
    Ok(changed(user.version, &Shape::from(user)))
}

/// Deletes an account. It can be restored, without its sessions and tokens; its name is free at once.
#[utoipa::path(
    tag = "users",
    params(("user_id" = i64, Path), ("If-Match" = String, Header, description = "The `ETag` that was read")),
    responses(
        (status = 204),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "No admin would be left"),
        (status = 412, body = ProblemBody),
        (status = 428, body = ProblemBody),
    )
)]
#[delete("/users/{user_id}")]
async fn delete_user(
    may: May<UsersManage>,
    visit: Visit,
    id: web::Path<UserId>,
    version: IfMatch,
    _: Query<Nothing>,
    accounts: web::Data<Accounts>,
) -> Result<HttpResponse, Problem> {
    let deleting = accounts.change_user(*id, may.by(&visit), |user| {
        there(user, *id)?;
        version.check(user.version)?;
        user.deleted_at = Some(Timestamp::now());
        Ok::<_, Problem>(())
    });
    deleting.await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Brings a deleted account back.
#[utoipa::path(
    tag = "users",
    params(("user_id" = i64, Path)),
    responses(
        (status = 200, body = Shape),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "It is not deleted, or somebody else has the name now"),
    )
)]
#[post("/users/{user_id}/restore")]
async fn restore_user(
    may: Confirmed<May<UsersManage>>,
    visit: Visit,
    id: web::Path<UserId>,
    _: Query<Nothing>,
    accounts: web::Data<Accounts>,
) -> Result<HttpResponse, Problem> {
    let restoring = accounts.change_user(*id, may.by(&visit), |user| {
        let before = standing(user);
        restore(&mut user.deleted_at)?;
        check_given(&may, before, user)
    });
    let user = restoring.await?;
    Ok(changed(user.version, &Shape::from(user)))
}

fn there(user: &User, id: UserId) -> Result<(), Problem> {
    match user.deleted_at {
        None => Ok(()),
        Some(_) => Err(Problem::no_such("user", id)),
    }
}

fn check<'a>(faults: &'a mut Faults, at: &str, display_name: Option<&str>, email: Option<&str>) -> &'a mut Faults {
    if let Some(name) = display_name {
        faults.text(&format!("{at}/display_name"), name, 200);
    }
    if let Some(email) = email {
        let path = format!("{at}/email");
        faults.text(&path, email, 254);
        faults.note(!email.contains('@'), &path, "no_address", "it has no @ in it");
    }
    faults
}
