//! Routes for metrics and health on the operators' listener.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::routing::get;
use roomer_tokio::Server;

use crate::serve::admin;
use crate::serve::api::{self, Api};
use crate::serve::log::Dropped;
use crate::serve::webhooks::Webhooks;

/// The content type of the text format of Prometheus.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The parts that add their own metrics or routes to this listener.
pub(crate) struct Parts {
    pub(crate) api: Option<Arc<Api>>,
    pub(crate) webhooks: Webhooks,
    pub(crate) log: Dropped,
    /// True if the operators' page is enabled.
    pub(crate) has_page: bool,
}

pub(crate) fn routes(server: Server, parts: Parts) -> Router {
    let Parts { api, webhooks, log, has_page } = parts;
    let metrics = async move |State(server): State<Server>| {
        let page =
            server.stats().to_prometheus() + &webhooks.to_prometheus() + &log.to_prometheus();
        ([(header::CONTENT_TYPE, METRICS)], page)
    };
    let mut routes = Router::new()
        .route("/metrics", get(metrics))
        // HAProxy's health checks use OPTIONS by default.
        .route("/live", get(live).options(live))
        .route("/ready", get(ready).options(ready))
        .with_state(server);
    if has_page {
        routes = routes.merge(admin::routes());
    }
    match api {
        Some(api) => routes.merge(api::routes(api)),
        None => routes,
    }
}

async fn live(State(server): State<Server>) -> (StatusCode, &'static str) {
    health(server.is_live())
}

async fn ready(State(server): State<Server>) -> (StatusCode, &'static str) {
    health(server.is_ready())
}

fn health(is_good: bool) -> (StatusCode, &'static str) {
    match is_good {
        true => (StatusCode::OK, "ok\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "unavailable\n"),
    }
}
