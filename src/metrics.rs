//! `GET /metrics`: what the process counted, as Prometheus text.
//! Knows nothing of who counts what.

use actix_web::{HttpResponse, web};
use metrics_exporter_prometheus::PrometheusHandle;
use pipecast_http::{Caller, Problem, Subject};

/// Everything that was counted since the start.
pub async fn show_metrics(caller: Caller, recorder: web::Data<PrometheusHandle>) -> Result<HttpResponse, Problem> {
    caller.may_read(Subject::System).await?;
    Ok(HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(recorder.render()))
}
