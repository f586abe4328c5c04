//! The operators' page: rooms, members, slow connections, and live figures.
//!
//! The files are part of the program, and contain no data of the server. The page asks the operator
//! for an API key, and requests all data through the API.

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::middleware::{Next, from_fn};
use axum::response::{Redirect, Response};
use axum::routing::get;

use crate::serve::config::Config;
use crate::serve::config::rooms::ApiRight;
use crate::serve::config::values::Problem;

/// The page may load only its own files, and request only the API on the same host. Other pages
/// must not embed it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! files {
    ($($name:literal as $path:literal: $kind:expr),* $(,)?) => {
        /// For each file: the path, the content type and the content.
        const FILES: &[(&str, &str, &str)] =
            &[$(($path, $kind, include_str!(concat!("../../../../js/admin/", $name)))),*];
    };
}

files! {
    "index.html" as "/admin/": HTML,
    "admin.css" as "/admin/admin.css": CSS,
    "api.js" as "/admin/api.js": SCRIPT,
    "chart.js" as "/admin/chart.js": SCRIPT,
    "details.js" as "/admin/details.js": SCRIPT,
    "figures.js" as "/admin/figures.js": SCRIPT,
    "main.js" as "/admin/main.js": SCRIPT,
    "table.js" as "/admin/table.js": SCRIPT,
    "text.js" as "/admin/text.js": SCRIPT,
}

/// Checks that some API key has the right to read, without which the page cannot request its data.
pub(crate) fn check(config: &Config) -> Result<(), Problem> {
    let reads = |rights: &[ApiRight]| rights.contains(&ApiRight::Read);
    let has_reader = config.lists.api_keys.iter().any(|key| reads(&key.value.rights));
    match config.options.operator_page && !has_reader {
        true => Err(config.problem(
            "operator.page",
            "no key could open the page: write [[api_key]] with the right \"read\"",
        )),
        false => Ok(()),
    }
}

pub(crate) fn routes() -> Router {
    let add = |router: Router, (path, kind, text): &(&'static str, &'static str, &'static str)| {
        let (kind, text) = (*kind, *text);
        router.route(path, get(async move || ([(CONTENT_TYPE, kind)], text)))
    };
    let files = FILES.iter().fold(Router::new(), add);
    // Without the trailing slash, the relative URLs in the page would not refer to its folder.
    files.route("/admin", get(async || Redirect::permanent("/admin/"))).layer(from_fn(protect))
}

/// Adds headers that forbid embedding the page and guessing content types.
async fn protect(request: Request, next: Next) -> Response {
    const HEADERS: [(HeaderName, &str); 6] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        // A newer version of the program has newer files under the same names.
        (CACHE_CONTROL, "no-cache"),
    ];
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
