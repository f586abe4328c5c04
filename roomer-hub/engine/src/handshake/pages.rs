//! Responses to plain HTTP requests at other paths: pages, health checks, redirects.

use http::{Method, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::handshake::options::HandshakeOptions;
use crate::handshake::request::HandshakeRequest;
use crate::handshake::response::Response;

/// The ASCII characters that browsers percent-encode in a path (the path set of the URL standard),
/// without `?` and `#`, which end a path. Bytes that are not ASCII are always encoded.
const ENCODED: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'^').add(b'`').add(b'{').add(b'}');

/// Returns a path as browsers request it. The paths from options and from requests are compared in
/// this form, since some clients send UTF-8 without encoding it.
pub(crate) fn encoded(path: &str) -> String {
    utf8_percent_encode(path, ENCODED).to_string()
}

/// The kinds of health checks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HealthCheck {
    Live,
    Ready,
}

/// Returns the response to a request at a path other than the WebSocket's, or the status of its
/// rejection. Returns `None` for the WebSocket's path. `is_healthy` performs a health check.
pub(crate) fn page(
    options: &HandshakeOptions,
    request: &HandshakeRequest,
    is_healthy: impl FnOnce(HealthCheck) -> bool,
) -> Option<Result<Response, StatusCode>> {
    let path = &*encoded(request.path());
    if path == options.path {
        return None;
    }
    let is_options = *request.head.method() == Method::OPTIONS;
    let response = match (&options.health, options.pages.get(path)) {
        (Some(health), _) if health.live == path => Response::health(is_healthy(HealthCheck::Live)),
        (Some(health), _) if health.ready == path => {
            Response::health(is_healthy(HealthCheck::Ready))
        }
        (_, Some(_)) if is_options => Response::options("GET, HEAD, OPTIONS"),
        (_, Some(page)) => Response::page(page),
        // Load balancers for which no path is configured probe these two paths with OPTIONS.
        (_, None) if is_options && matches!(path, "/" | "*") => Response::options("OPTIONS"),
        // Redirect only to known pages: the client must not be able to choose the target.
        (_, None) if path.starts_with('/') && options.pages.contains_key(&folder(path)) => {
            let query = request.head.uri().query();
            let query = query.map(|query| format!("?{query}")).unwrap_or_default();
            Response::redirect(folder(path) + &query)
        }
        (_, None) => return Some(Err(StatusCode::NOT_FOUND)),
    };
    // Check the method after the path so that an unknown path is answered with 404 whatever the
    // method.
    Some(match *request.head.method() {
        Method::GET | Method::HEAD | Method::OPTIONS => Ok(response),
        _ => Err(StatusCode::METHOD_NOT_ALLOWED),
    })
}

/// Returns the path with a trailing slash.
fn folder(path: &str) -> String {
    format!("{path}/")
}
