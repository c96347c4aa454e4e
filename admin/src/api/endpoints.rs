//! `/api/v1/settings/api-endpoints`: every endpoint of both services, as the OpenAPI document has them.
//! Knows nothing of what they do. The document comes from whoever puts the services together.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, get, web};
use pipecast_http::conditional::is_known;
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::query::Nothing;
use pipecast_http::{Caller, Problem, Query};
use serde::Serialize;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::{Deprecated, OpenApi};
use utoipa_actix_web::service_config::ServiceConfig;

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config.service(list_endpoints);
}

/// The list as it is answered, made once at the start: it changes with the document and with nothing else, and then its tag does.
#[derive(Clone, Debug)]
pub struct Endpoints {
    body: web::Bytes,
    tag: String,
}

/// All of them: there are some hundred, so there are no pages.
#[derive(Serialize, utoipa::ToSchema)]
struct AllEndpoints {
    /// By path, and by method.
    items: Vec<Endpoint>,
}

/// One operation of one path.
#[derive(Serialize, utoipa::ToSchema)]
struct Endpoint {
    #[schema(example = "GET")]
    method: &'static str,
    /// With its parameters in braces.
    #[schema(example = "/api/v1/pipelines/{pipeline_id}")]
    path: String,
    /// Its name in the document.
    #[schema(example = "find_pipeline")]
    operation_id: Option<String>,
    #[schema(example = "A pipeline with its newest execution")]
    summary: Option<String>,
    #[schema(example = json!(["pipelines"]))]
    tags: Vec<String>,
    /// Which service answers it where they are apart.
    service: Service,
    /// What it takes: nothing, an account or that everybody may read, an account.
    access: Access,
    /// Whether it is on its way out.
    deprecated: bool,
}

#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = EndpointService)]
enum Service {
    Admin,
    Realtime,
}

#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = EndpointAccess)]
enum Access {
    Open,
    Reading,
    Account,
}

impl Endpoints {
    /// Those of a document that says of each operation what it takes.
    pub fn of(document: &OpenApi) -> Endpoints {
        let mut items = Vec::new();
        for (path, item) in &document.paths.paths {
            items.extend(operations(item).map(|(method, operation)| Endpoint::new(method, path, operation)));
        }
        let body = serde_json::to_vec(&AllEndpoints { items }).expect("endpoints are plain JSON");
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        Endpoints {
            tag: format!("\"{:016x}\"", hasher.finish()),
            body: body.into(),
        }
    }
}

impl Endpoint {
    fn new(method: &'static str, path: &str, operation: &Operation) -> Endpoint {
        let is_of_admin = ["/admin/", "/api/ws-tickets", "/api/v1/settings/"].iter().any(|start| path.starts_with(start));
        // A requirement with nothing in it is met by everybody.
        let access = match operation.security.as_deref() {
            None | Some([]) => Access::Open,
            Some(any) if any.contains(&Default::default()) => Access::Reading,
            Some(_) => Access::Account,
        };
        Endpoint {
            method,
            path: path.to_owned(),
            operation_id: operation.operation_id.clone(),
            summary: operation.summary.clone(),
            tags: operation.tags.clone().unwrap_or_default(),
            service: if is_of_admin { Service::Admin } else { Service::Realtime },
            access,
            deprecated: matches!(operation.deprecated, Some(Deprecated::True)),
        }
    }
}

fn operations(item: &PathItem) -> impl Iterator<Item = (&'static str, &Operation)> {
    let methods = [
        ("GET", &item.get),
        ("POST", &item.post),
        ("PUT", &item.put),
        ("PATCH", &item.patch),
        ("DELETE", &item.delete),
    ];
    methods.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

/// Every endpoint of both services.
#[utoipa::path(
    tag = "settings",
    params(("If-None-Match" = Option<String>, Header, description = "The `ETag` of the answer before")),
    responses((status = 200, body = AllEndpoints), (status = 304), (status = 403, body = ProblemBody))
)]
#[get("/api-endpoints")]
async fn list_endpoints(_: Caller, _: Query<Nothing>, request: HttpRequest, endpoints: web::Data<Endpoints>) -> Result<HttpResponse, Problem> {
    let is_known = is_known(&request, &endpoints.tag);
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header((header::ETAG, endpoints.tag.as_str()));
    response.insert_header((header::CACHE_CONTROL, "no-cache"));
    if is_known {
        return Ok(response.finish());
    }
    Ok(response.content_type("application/json").body(endpoints.body.clone()))
}

#[cfg(test)]
mod tests {
    use utoipa::openapi::path::{HttpMethod, OperationBuilder};

    use super::*;

    #[test]
    fn another_document_is_another_list_under_another_tag() {
        let operation = |id: &str| PathItem::new(HttpMethod::Get, OperationBuilder::new().operation_id(Some(id)).build());
        let mut document = OpenApi::default();
        document.paths.paths.insert("/health".into(), operation("show_health"));
        let before = Endpoints::of(&document);
        assert_eq!(before.tag, Endpoints::of(&document).tag);

        document.paths.paths.insert("/admin/v1/users".into(), operation("list_users"));
        let after = Endpoints::of(&document);

        let list: serde_json::Value = serde_json::from_slice(&after.body).expect("json");
        assert_ne!(before.tag, after.tag);
        assert_eq!(list["items"][0]["operation_id"], "list_users");
        assert_eq!(
            (&list["items"][0]["service"], &list["items"][1]["service"]),
            (&"admin".into(), &"realtime".into())
        );
    }
}
