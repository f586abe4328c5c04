//! Connections to the operators' listener, with a limit on every wait: a client that sends or reads
//! slowly occupies one of a limited number of connections for a limited time.

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
use tokio::time::{sleep, timeout};

/// The maximum number of open connections. Further ones stay in the listener's backlog.
const MAX_CONNECTIONS: usize = 256;

/// The timeout for a request's head.
const HEAD: Duration = Duration::from_secs(5);

/// The timeout for a request, including its body.
const REQUEST: Duration = Duration::from_secs(20);

/// How long a connection may be used for consecutive requests. The last response may take longer.
const CONNECTION: Duration = Duration::from_secs(300);
const LAST_RESPONSE: Duration = Duration::from_secs(30);

/// The buffer size for a request's head, the minimum that hyper permits.
const MAX_HEAD: usize = 16 << 10;

/// The delay after the system failed to accept a connection.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Accepts and serves connections until the task is aborted.
pub(crate) async fn serve(listener: TcpListener, routes: Router) {
    let routes = routes.layer(from_fn(limit));
    let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // This fails only if the semaphore is closed, which never happens.
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
                tracing::warn!(%error, "cannot accept a connection of an operator");
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
        // Complete the response in progress, but read no further request.
        connection.as_mut().graceful_shutdown();
        let _ = timeout(LAST_RESPONSE, connection).await;
    }
}

/// Responds with an error to a request that takes too long, such as one whose body does not arrive.
async fn limit(request: Request, next: Next) -> Response {
    match timeout(REQUEST, next.run(request)).await {
        Ok(response) => response,
        Err(_) => (StatusCode::REQUEST_TIMEOUT, "the request takes too long\n").into_response(),
    }
}
