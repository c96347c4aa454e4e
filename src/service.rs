//! `GET /` for programs: what this is and where to go on.
//! Knows nothing of how the service is doing; `/health` says that.

use actix_web::{HttpResponse, get};
use serde::Serialize;
use utoipa_actix_web::service_config::ServiceConfig;

/// What this is and where to go on.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Service {
    /// `pipecast`.
    service: &'static str,
    /// The build.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// Always `running`: it answered.
    status: &'static str,
    /// Paths by what they are for.
    links: Links,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Links {
    #[schema(example = "/docs")]
    docs: &'static str,
    #[schema(example = "/api/openapi.json")]
    openapi: &'static str,
    #[schema(example = "/health")]
    health: &'static str,
    #[schema(example = "/metrics")]
    metrics: &'static str,
    #[schema(example = "/api/v1/pipelines")]
    pipelines: &'static str,
    #[schema(example = "/ws/monitor")]
    monitor: &'static str,
}

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig) {
    config.service(show_service);
}

/// What a process is that shows no pipelines: a worker or an admin alone.
pub async fn show_process() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({
        "service": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "status": "running",
        "links": {"health": "/health", "metrics": "/metrics"},
    }))
}

/// What this is and where to go on; browsers get the page instead.
#[utoipa::path(tag = "service", responses((status = 200, body = Service)))]
#[get("/")]
async fn show_service() -> HttpResponse {
    HttpResponse::Ok().json(Service {
        service: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        status: "running",
        links: Links {
            docs: "/docs",
            openapi: "/api/openapi.json",
            health: "/health",
            metrics: "/metrics",
            pipelines: "/api/v1/pipelines",
            monitor: "/ws/monitor",
        },
    })
}
