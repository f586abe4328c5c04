//! The HTTP API for backends. It is served on the operators' listener.
//!
//! | file | contents |
//! |---|---|
//! | `keys` | the callers' keys, and their rights |
//! | `error` | errors as responses |
//! | `input` | the checks of names and payloads in requests |
//! | `idempotency` | answers to repeated requests |
//! | `send`, `manage`, `read` | the routes |

mod error;
mod idempotency;
mod input;
mod keys;
mod manage;
mod read;
mod send;

use std::sync::Arc;

use axum::body::HttpBody;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use axum::{Json, Router};
use roomer_tokio::Server;
use serde_json::Value;

use self::error::Error;
use self::idempotency::Answers;
use self::keys::Keys;
use crate::serve::config::Config;
use crate::serve::config::values::Problem;
use crate::serve::replaceable::{Replaceable, Replacement};

/// The description of the routes in the OpenAPI format.
const OPENAPI: &str = include_str!("openapi.json");

/// The maximum number of bytes of JSON for one byte of text, as in `\u0001`.
const ESCAPED: usize = 6;

/// The number of bytes that a request's body may have in addition to the payload and names.
const JSON_ALLOWANCE: usize = 64 << 10;

/// The state that all routes share.
pub(crate) struct Api {
    server: Server,
    keys: Replaceable<Arc<Keys>>,
    answers: Answers,
    max_message: usize,
    max_name: usize,
    /// True if the server is part of a cluster.
    has_peers: bool,
}

type Shared = State<Arc<Api>>;

/// The result of a route.
type Answer = Result<Json<Value>, Error>;

impl Api {
    /// Creates the API. Returns `None` if no key for it is configured.
    pub(crate) fn new(config: &Config, server: &Server) -> Result<Option<Arc<Api>>, Problem> {
        let keys = Keys::read(config)?;
        Ok((!keys.is_empty()).then(|| {
            Arc::new(Api {
                server: server.clone(),
                keys: Replaceable::new(Arc::new(keys)),
                answers: Answers::default(),
                max_message: config.options.max_message.0,
                max_name: config.options.max_name.0,
                has_peers: config.options.cluster_url.is_some(),
            })
        }))
    }

    /// Prepares to replace the keys with those of another configuration; with none, if that has no API.
    pub(crate) fn adopt(&self, new: Option<&Api>) -> Replacement<'_> {
        self.keys.prepare(new.map_or_else(Arc::default, Api::keys))
    }

    fn keys(&self) -> Arc<Keys> {
        self.keys.read().clone()
    }
}

/// Returns the routes by path. A test compares them with the OpenAPI description.
fn table(longest: usize, longest_json: usize) -> Vec<(&'static str, MethodRouter<Arc<Api>>)> {
    [send::routes(longest, longest_json), manage::routes(), read::routes()]
        .into_iter()
        .flatten()
        .collect()
}

pub(crate) fn routes(api: Arc<Api>) -> Router {
    // Read somewhat more than the limit, so that the error can contain the length of most bodies.
    let longest = api.max_message.saturating_add(JSON_ALLOWANCE);
    let names = api.max_name.saturating_mul(send::MAX_ROOMS + 1);
    let longest_json = api.max_message.saturating_add(names).saturating_mul(ESCAPED);
    let longest_json = longest_json.saturating_add(JSON_ALLOWANCE);
    let add = |router: Router<Arc<Api>>, (path, route)| router.route(path, route);
    let closed = table(longest, longest_json).into_iter().fold(Router::new(), add);
    closed
        // In OpenAPI, this is `/v1/rooms/{room}`.
        .route("/v1/rooms/", axum::routing::get(read::unnamed_room))
        .fallback(async || Error::new(404, "no_route", "there is no such route"))
        .method_not_allowed_fallback(async || {
            Error::new(405, "method", "the route has other methods: see /v1/openapi.json")
        })
        // The layer that is added last runs first, so without a key not even the body is read.
        .layer(from_fn(reject_encoded))
        .layer(from_fn_with_state(api.clone(), authenticate))
        .with_state(api)
        // Add this route after the layers, since it must not require a key.
        .route("/v1/openapi.json", axum::routing::get(openapi))
}

/// Limits the length of a route's bodies.
fn limited(route: MethodRouter<Arc<Api>>, longest: usize) -> MethodRouter<Arc<Api>> {
    route.layer(DefaultBodyLimit::max(longest)).layer(from_fn_with_state(longest, reject_long))
}

/// Rejects a body that is too long according to its header without reading it: reading would ask a
/// client that has sent `Expect: 100-continue` for the body.
async fn reject_long(State(longest): State<usize>, request: Request, next: Next) -> Response {
    match request.body().size_hint().lower() > longest as u64 {
        true => Error::too_long().into_response(),
        false => next.run(request).await,
    }
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}

/// Rejects requests without a key. This includes requests for routes that do not exist, so that an
/// attacker without a key cannot find out which do.
async fn authenticate(State(api): Shared, mut request: Request, next: Next) -> Response {
    match api.keys().find(request.headers()) {
        Some(key) => {
            request.extensions_mut().insert(key);
            next.run(request).await
        }
        None => Error::unauthorized().into_response(),
    }
}

/// Rejects compressed bodies, since they would be published without being decompressed.
async fn reject_encoded(request: Request, next: Next) -> Response {
    let mut encodings = request.headers().get_all(header::CONTENT_ENCODING).iter();
    match encodings.all(|value| value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        true => next.run(request).await,
        false => {
            let text = "the body is published as it is: send it without Content-Encoding";
            Error::new(415, "encoding", text).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn description_lists_all_routes() {
        let described: Value = serde_json::from_str(OPENAPI).unwrap();
        let described: Vec<_> =
            described["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        let mut paths: Vec<_> = table(0, 0).iter().map(|(path, _)| *path).collect();
        paths.push("/v1/openapi.json");
        paths.sort_unstable();
        assert_eq!(described, paths);
    }
}
