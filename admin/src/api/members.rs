//! `/admin/v1/projects/{project_id}/members`: what somebody is in one project.
//! Knows nothing of what they are everywhere.

use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post, web};
use pipecast_http::conditional::{changed, created, show};
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::query::Nothing;
use pipecast_http::{
    Code, Confirmed, Cursor, Fault, Faults, Field, Fields, IfMatch, Input, Limit, May, Page, Patch, Problem, Query, Visit, right::MembersManage, sparse,
};
use pipecast_model::name::trimmed;
use pipecast_model::{ProjectId, Role, Timestamp, UserId};
use pipecast_store::{Direction, Membership, MembershipQuery};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;
use utoipa_actix_web::service_config::ServiceConfig;

use super::order::{ByUserId, up};
use crate::accounts::{Accounts, NotAdded};

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(list_members)
        .service(add_member)
        .service(find_member)
        .service(change_member)
        .service(remove_member);
}

/// What somebody is in a project.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Member)]
struct Shape {
    project_id: ProjectId,
    user_id: UserId,
    #[schema(example = "ada")]
    user_name: String,
    role: Role,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<Membership> for Shape {
    fn from(member: Membership) -> Self {
        Shape {
            project_id: member.project_id,
            user_id: member.user_id,
            user_name: member.user_name,
            role: member.role,
            created_at: member.created_at,
            updated_at: member.updated_at,
        }
    }
}

/// Which members.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only with this role.
    role: Option<Role>,
    /// `user_id` or `-user_id`.
    #[serde(default = "up", with = "ByUserId")]
    #[param(inline, value_type = ByUserId)]
    sort: Direction,
    /// The members of an item that are wanted, with commas between.
    #[serde(default)]
    #[param(value_type = Option<String>, example = "user_id,role")]
    fields: Fields,
    /// How many, 1 to 200.
    #[serde(default)]
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<(ProjectId, UserId)>>,
}

/// A member to be.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewMember {
    /// What they log in with.
    #[serde(deserialize_with = "trimmed")]
    #[schema(example = "ada")]
    user_name: String,
    /// All but `admin`, which somebody is everywhere or not at all.
    role: Role,
}

/// What is to be different.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct MemberChange {
    #[serde(default)]
    #[schema(value_type = Option<Role>)]
    role: Field<Role>,
}

/// Members of a project.
#[utoipa::path(
    tag = "members",
    params(("project_id" = i64, Path), Filter),
    responses((status = 200, body = Page<Shape>), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody))
)]
#[get("/projects/{project_id}/members")]
async fn list_members(
    may: May<MembersManage>,
    project: web::Path<ProjectId>,
    filter: Query<Filter>,
    accounts: web::Data<Accounts>,
) -> Result<Page<serde_json::Value>, Problem> {
    in_project(&may, *project, &accounts).await?;
    let Query(filter) = filter;
    let query = MembershipQuery {
        sight: may.sight(),
        project: Some(*project),
        user: None,
        role: filter.role,
        direction: filter.sort,
        after: filter.cursor.map(|Cursor(key)| key),
        limit: filter.limit.rows(),
    };
    let members = accounts.reader().list_memberships(&query).await?;
    let page = Page::new(members, filter.limit, |member| (member.project_id, member.user_id), Shape::from);
    sparse(page, &filter.fields)
}

/// Makes somebody a member.
///
/// The token of a program gives no role that permits more than it may itself.
#[utoipa::path(
    tag = "members",
    params(("project_id" = i64, Path)),
    request_body = NewMember,
    responses(
        (status = 201, body = Shape),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "They are one already"),
        (status = 422, body = ProblemBody),
    )
)]
#[post("/projects/{project_id}/members")]
async fn add_member(
    may: Confirmed<May<MembersManage>>,
    visit: Visit,
    project: web::Path<ProjectId>,
    body: Input<NewMember>,
    accounts: web::Data<Accounts>,
) -> Result<HttpResponse, Problem> {
    in_project(&may, *project, &accounts).await?;
    let Input(NewMember { user_name, role }) = body;
    check(role)?;
    may.may_give(role, Some(*project))?;
    let member = accounts.add_member(*project, &user_name, role, may.by(&visit)).await?;
    let location = format!("/admin/v1/projects/{project}/members/{}", member.user_id);
    Ok(created(member.version, &location, &Shape::from(member)))
}

/// One member.
#[utoipa::path(
    tag = "members",
    params(("project_id" = i64, Path), ("user_id" = i64, Path)),
    responses((status = 200, body = Shape), (status = 304), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody))
)]
#[get("/projects/{project_id}/members/{user_id}")]
async fn find_member(
    request: HttpRequest,
    may: May<MembersManage>,
    path: web::Path<(ProjectId, UserId)>,
    _: Query<Nothing>,
    accounts: web::Data<Accounts>,
) -> Result<HttpResponse, Problem> {
    let (project, user) = *path;
    in_project(&may, project, &accounts).await?;
    let member = accounts
        .reader()
        .find_membership(project, user)
        .await?
        .ok_or_else(|| Problem::no_such("member", user))?;
    Ok(show(&request, member.version, &Shape::from(member)))
}

/// Makes a member something else.
///
/// The token of a program gives no role that permits more than it may itself.
#[utoipa::path(
    tag = "members",
    params(("project_id" = i64, Path), ("user_id" = i64, Path), ("If-Match" = String, Header, description = "The `ETag` that was read")),
    request_body(content = MemberChange, content_type = "application/merge-patch+json"),
    responses(
        (status = 200, body = Shape),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 412, body = ProblemBody),
        (status = 422, body = ProblemBody),
        (status = 428, body = ProblemBody),
    )
)]
#[patch("/projects/{project_id}/members/{user_id}")]
async fn change_member(
    may: Confirmed<May<MembersManage>>,
    visit: Visit,
    path: web::Path<(ProjectId, UserId)>,
    version: IfMatch,
    body: Patch<MemberChange>,
    accounts: web::Data<Accounts>,
) -> Result<HttpResponse, Problem> {
    let (project, user) = *path;
    in_project(&may, project, &accounts).await?;
    let Patch(change) = body;
    let changing = accounts.change_member(project, user, may.by(&visit), |before| {
        version.check(before.version)?;
        let (mut role, mut faults) = (before.role, Faults::default());
        change.role.apply_to(&mut role, "/role", &mut faults);
        faults.end()?;
        check(role)?;
        if role != before.role {
            may.may_give(role, Some(project))?;
        }
        Ok::<_, Problem>(role)
    });
    let member = changing.await?;
    Ok(changed(member.version, &Shape::from(member)))
}

/// Ends a membership.
#[utoipa::path(
    tag = "members",
    params(("project_id" = i64, Path), ("user_id" = i64, Path), ("If-Match" = String, Header, description = "The `ETag` that was read")),
    responses(
        (status = 204),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 412, body = ProblemBody),
        (status = 428, body = ProblemBody),
    )
)]
#[delete("/projects/{project_id}/members/{user_id}")]
async fn remove_member(
    may: May<MembersManage>,
    visit: Visit,
    path: web::Path<(ProjectId, UserId)>,
    version: IfMatch,
    _: Query<Nothing>,
    accounts: web::Data<Accounts>,
) -> Result<HttpResponse, Problem> {
    let (project, user) = *path;
    in_project(&may, project, &accounts).await?;
    let removing = accounts.remove_member(project, user, may.by(&visit), |before| version.check(before.version));
    removing.await?;
    Ok(HttpResponse::NoContent().finish())
}

impl From<NotAdded> for Problem {
    fn from(error: NotAdded) -> Self {
        match error {
            NotAdded::Unknown => Problem::new(Code::Invalid).faults(vec![Fault::new("/user_name", "unknown", "there is no such user")]),
            NotAdded::IsOne => Problem::new(Code::Conflict).detail("they are a member already; change what they are"),
            NotAdded::NoProject => Problem::new(Code::NotFound).detail("there is no such project"),
            NotAdded::Store(error) => error.into(),
        }
    }
}

/// That the caller may in this project, and that there is one: whoever may everywhere may also where nothing is.
async fn in_project(may: &May<MembersManage>, project: ProjectId, accounts: &Accounts) -> Result<(), Problem> {
    may.in_project(project)?;
    match accounts.reader().has_project(project).await? {
        true => Ok(()),
        false => Err(Problem::no_such("project", project)),
    }
}

fn check(role: Role) -> Result<(), Problem> {
    let is_wrong = !role.is_of_a_project();
    Faults::default()
        .note(is_wrong, "/role", "not_in_a_project", "an admin is one everywhere; change the user")
        .end()
}
