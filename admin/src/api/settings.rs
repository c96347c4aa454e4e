//! `/admin/v1/settings`: what can be changed while the service runs.
//! Knows nothing of single settings.

use actix_web::{HttpRequest, HttpResponse, get, patch, web};
use pipecast_http::conditional::{changed, show, stale};
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::query::Nothing;
use pipecast_http::right::{SettingsManage, SettingsRead};
use pipecast_http::{Code, Cursor, Fault, Field, Fields, IfMatch, Limit, May, Page, Patch, Problem, Query, Visit, sparse};
use pipecast_store::Direction;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_actix_web::service_config::ServiceConfig;

use super::order::{ByKey, up};
use crate::settings::{self, Error, Setting, Settings};

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config.service(list_settings).service(find_setting).service(change_setting);
}

/// Which settings.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only whose key contains this, in any case.
    q: Option<String>,
    /// `key` or `-key`.
    #[serde(default = "up", with = "ByKey")]
    #[param(inline, value_type = ByKey)]
    sort: Direction,
    /// The members that are wanted, with commas between.
    #[serde(default)]
    #[param(value_type = Option<String>, example = "key,value")]
    fields: Fields,
    /// How many, 1 to 200.
    #[serde(default)]
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<String>>,
}

/// What is to be different.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct SettingChange {
    /// As it would be written in the configuration: `"7d"`, `"512MiB"`, `"200"`. Null: as each process is configured.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "7d")]
    value: Field<String>,
}

/// What can be changed while the service runs, and where what holds comes from.
#[utoipa::path(
    tag = "settings",
    params(Filter),
    responses((status = 200, body = Page<Setting>), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody))
)]
#[get("/settings")]
async fn list_settings(_: May<SettingsRead>, filter: Query<Filter>, settings: web::Data<Settings>) -> Result<Page<serde_json::Value>, Problem> {
    let Query(filter) = filter;
    let text = filter.q.unwrap_or_default().to_lowercase();
    let mut found = settings.list().await?;
    found.retain(|setting| setting.key.to_lowercase().contains(&text));
    found.sort_by(|one, other| one.key.cmp(&other.key));
    if filter.sort == Direction::Down {
        found.reverse();
    }
    let page = Page::of_all(found, filter.cursor, filter.limit, |setting| setting.key.clone());
    sparse(page, &filter.fields)
}

/// One setting.
#[utoipa::path(
    tag = "settings",
    params(("key" = String, Path, example = "retention.bodies")),
    responses((status = 200, body = Setting), (status = 304), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody))
)]
#[get("/settings/{key}")]
async fn find_setting(
    request: HttpRequest,
    _: May<SettingsRead>,
    key: web::Path<String>,
    _: Query<Nothing>,
    settings: web::Data<Settings>,
) -> Result<HttpResponse, Problem> {
    let setting = settings.find(&key).await?;
    Ok(show(&request, setting.version, &setting))
}

/// Changes a setting on every process, within seconds and without a restart.
#[utoipa::path(
    tag = "settings",
    params(("key" = String, Path, example = "retention.bodies"), ("If-Match" = String, Header, description = "The `ETag` that was read")),
    request_body(content = SettingChange, content_type = "application/merge-patch+json"),
    responses(
        (status = 200, body = Setting),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 412, body = ProblemBody),
        (status = 422, body = ProblemBody),
        (status = 428, body = ProblemBody),
    )
)]
#[patch("/settings/{key}")]
async fn change_setting(
    may: May<SettingsManage>,
    key: web::Path<String>,
    version: IfMatch,
    body: Patch<SettingChange>,
    visit: Visit,
    settings: web::Data<Settings>,
) -> Result<HttpResponse, Problem> {
    let Patch(SettingChange { value }) = body;
    let before = settings.find(&key).await?;
    version.check(before.version)?;
    let value = match value {
        Field::Kept => return Ok(changed(before.version, &before)),
        Field::Cleared => None,
        Field::Set(value) => Some(value),
    };
    let setting = settings.set(&key, value.as_deref(), before.version, may.by(&visit)).await?;
    Ok(changed(setting.version, &setting))
}

impl From<settings::Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Unknown(key) => Problem::no_such("setting", key),
            Error::Unfit(why) => Problem::new(Code::Invalid).faults(vec![Fault::new("/value", "unfit", why)]),
            Error::Stale(setting) => stale(setting.version),
            Error::Store(error) => error.into(),
        }
    }
}
