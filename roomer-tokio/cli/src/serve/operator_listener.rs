//! Accepts and serves connections to the operators' listener.
//!
//! Every wait is limited: a client that sends or reads slowly can occupy one of a limited number of
//! connections, for a limited time.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use crate::serve::unread::read_rest;

/// The maximum number of open connections. Further connections wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 256;

/// The time limit for the head of a request.
const HEAD: Duration = Duration::from_secs(5);

/// The time limit for a request, including its body.
const REQUEST: Duration = Duration::from_secs(20);

/// The time for which a connection may be used for one request after another. The last response may
/// take longer.
const CONNECTION: Duration = Duration::from_secs(300);
const LAST_RESPONSE: Duration = Duration::from_secs(30);

/// The size of the buffer for the head of a request: the minimum that hyper permits.
const MAX_HEAD: usize = 16 << 10;

/// The time to wait after the system has failed to accept a connection.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// The minimum time between two log lines about failures to accept.
const LOG_PAUSE: Duration = Duration::from_secs(10);

/// Accepts and serves connections until the task is aborted.
pub(crate) async fn serve(listener: TcpListener, routes: Router) {
    let routes = routes.layer(from_fn(limit));
    let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut logged: Option<Instant> = None;
    loop {
        // Acquiring a permit fails only if the semaphore is closed, which never happens.
        let Ok(permit) = free.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let routes = routes.clone();
                tokio::spawn(async move {
                    connection(stream, routes).await;
                    drop(permit);
                });
            }
            Err(error) => {
                if logged.is_none_or(|at| at.elapsed() >= LOG_PAUSE) {
                    logged = Some(Instant::now());
                    tracing::warn!(%error, "cannot accept a connection of an operator");
                }
                sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, routes: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    let mut connection = std::pin::pin!(connection);
    if timeout(CONNECTION, connection.as_mut()).await.is_err() {
        // Complete the response that is in progress, but read no further requests.
        connection.as_mut().graceful_shutdown();
        let _ = timeout(LAST_RESPONSE, connection).await;
    }
}

/// If a request takes too long, for example because its body does not arrive, responds with an
/// error.
async fn limit(request: Request, next: Next) -> Response {
    match timeout(REQUEST, next.run(read_rest(request))).await {
        Ok(response) => response,
        Err(_) => (StatusCode::REQUEST_TIMEOUT, "the request takes too long\n").into_response(),
    }
}
