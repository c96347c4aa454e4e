//! `/admin/v1/audit`: who did what.
//! Knows nothing of how rows are chained.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, get, web};
use bytes::Bytes;
use futures_util::stream::try_unfold;
use pipecast_http::conditional::show_as_it_is;
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::query::Nothing;
use pipecast_http::right;
use pipecast_http::{Cursor, Fields, Limit, May, Page, Problem, Query, sparse};
use pipecast_model::{ProjectId, Timestamp, UserId};
use pipecast_store::Direction;
use pipecast_store::audit::AuditQuery;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_actix_web::service_config::ServiceConfig;

use super::Primary;
use super::order::BySeq;
use crate::audit::{Line, Told, lines_after, ndjson};

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config.service(export_audit).service(list_audit).service(find_audit);
}

/// Which rows.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AuditFilter {
    /// Only by this person, also through their tokens.
    user_id: Option<UserId>,
    /// The same, by their name.
    user_name: Option<String>,
    /// Only this action, as `source.create`.
    action: Option<String>,
    /// `ok` or `denied`.
    outcome: Option<String>,
    /// Only on things of this kind.
    resource_type: Option<String>,
    /// Only on the thing with this id.
    resource_id: Option<String>,
    /// Only of this project.
    project_id: Option<ProjectId>,
    /// Not before.
    #[param(value_type = Option<String>, format = "date-time")]
    since: Option<Timestamp>,
    /// Before.
    #[param(value_type = Option<String>, format = "date-time")]
    until: Option<Timestamp>,
    /// `-seq`: the last first; `seq`: the first.
    #[serde(default, with = "BySeq")]
    #[param(inline, value_type = BySeq)]
    sort: Direction,
    /// The members that are wanted, with commas between.
    #[serde(default)]
    #[param(value_type = Option<String>, example = "seq,action")]
    fields: Fields,
    /// How many, 1 to 200.
    #[serde(default)]
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<i64>>,
}

/// From where to export.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ExportFilter {
    /// Only what stands behind the row of this number.
    #[serde(default)]
    after: i64,
}

/// Who did what.
#[utoipa::path(
    tag = "audit",
    params(AuditFilter),
    responses((status = 200, body = Page<Told>), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody))
)]
#[get("/audit")]
async fn list_audit(_: May<right::AuditRead>, filter: Query<AuditFilter>, reader: web::Data<Primary>) -> Result<Page<serde_json::Value>, Problem> {
    let Query(filter) = filter;
    let limit = filter.limit;
    let query = AuditQuery {
        user: filter.user_id,
        user_name: filter.user_name,
        action: filter.action,
        outcome: filter.outcome,
        resource_type: filter.resource_type,
        resource_id: filter.resource_id,
        project: filter.project_id,
        since: filter.since,
        until: filter.until,
        direction: filter.sort,
        after: filter.cursor.map(|Cursor(seq)| seq),
        limit: limit.rows(),
    };
    let page = Page::new(reader.list_audit(&query).await?, limit, |row| row.seq, |row| row);
    let items = Told::all(&reader, page.items).await?;
    let next_cursor = page.next_cursor;
    sparse(Page { items, next_cursor }, &filter.fields)
}

/// One row.
#[utoipa::path(
    tag = "audit",
    params(("seq" = i64, Path)),
    responses((status = 200, body = Told), (status = 304), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody))
)]
#[get("/audit/{seq}")]
async fn find_audit(
    request: HttpRequest,
    _: May<right::AuditRead>,
    seq: web::Path<i64>,
    _: Query<Nothing>,
    reader: web::Data<Primary>,
) -> Result<HttpResponse, Problem> {
    let row = reader.find_audit(*seq).await?.ok_or_else(|| Problem::no_such("row", *seq))?;
    Ok(show_as_it_is(&request, &Told::one(&reader, row).await?))
}

/// The whole audit, the oldest first: a JSON object a line. It ends early where the database fails meanwhile; the last line then has a
/// lower number than the newest row.
#[utoipa::path(
    tag = "audit",
    params(ExportFilter),
    responses(
        (status = 200, body = Line, content_type = "application/x-ndjson"),
        (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
    )
)]
#[get("/audit/export")]
async fn export_audit(_: May<right::AuditRead>, filter: Query<ExportFilter>, reader: web::Data<Primary>) -> HttpResponse {
    let pages = try_unfold((reader, filter.after), |(reader, after)| async move {
        let lines = lines_after(&reader, after).await?;
        let Some(last) = lines.last().map(Line::seq) else { return Ok(None) };
        Ok::<_, Problem>(Some((Bytes::from(ndjson(&lines)), (reader, last))))
    });
    HttpResponse::Ok()
        .content_type("application/x-ndjson")
        .insert_header((header::CONTENT_DISPOSITION, "attachment; filename=\"audit.ndjson\""))
        .streaming(Box::pin(pages))
}
