//! The operator's endpoint: `/metrics` for Prometheus, `/healthz` and `/readyz` for Kubernetes. Read only, no secrets.

use crate::{Health, State as Life};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use wire::server::{Listener, serve_http};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone)]
struct Shown {
    registry: Arc<Registry>,
    health: Health,
}

/// Serves on `listener` until `stop`.
pub async fn serve(listener: Listener, registry: Arc<Registry>, health: Health, stop: CancellationToken) {
    serve_http(listener, router(registry, health), stop.cancelled_owned()).await;
}

fn router(registry: Arc<Registry>, health: Health) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(Shown { registry, health })
}

async fn metrics(State(shown): State<Shown>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &shown.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn healthz(State(shown): State<Shown>) -> (StatusCode, String) {
    match shown.health.state() {
        Life::Failed(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("failed: {reason}\n")),
        Life::Starting | Life::Ready | Life::Draining => (StatusCode::OK, "alive\n".to_owned()),
    }
}

async fn readyz(State(shown): State<Shown>) -> (StatusCode, String) {
    let readiness = shown.health.readiness();
    let status = if readiness.is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, readiness.text)
}
