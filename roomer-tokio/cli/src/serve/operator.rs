//! The responses of the operators' listener: metrics and health.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::routing::get;
use roomer_tokio::Server;

use crate::serve::api::{self, Api};
use crate::serve::webhooks::Webhooks;

/// The content type of metrics in the text format of Prometheus.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(crate) fn routes(server: Server, api: Option<Arc<Api>>, webhooks: Webhooks) -> Router {
    let metrics = async move |State(server): State<Server>| {
        let page = server.stats().to_prometheus() + &webhooks.to_prometheus();
        ([(header::CONTENT_TYPE, METRICS)], page)
    };
    let own = Router::new()
        .route("/metrics", get(metrics))
        .route("/live", get(async |State(server): State<Server>| health(server.is_live())))
        .route("/ready", get(async |State(server): State<Server>| health(server.is_ready())))
        .with_state(server);
    match api {
        Some(api) => own.merge(api::routes(api)),
        None => own,
    }
}

fn health(is_good: bool) -> (StatusCode, &'static str) {
    match is_good {
        true => (StatusCode::OK, "ok\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "unavailable\n"),
    }
}
