//! The errors of the API: a status, a code for programs, and a text for people.

use axum::Json;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A response that reports an error.
#[derive(Debug)]
pub(super) struct Error {
    status: StatusCode,
    code: &'static str,
    text: String,
}

impl Error {
    /// Creates an error. `status` must be a valid HTTP status.
    pub(super) fn new(status: u16, code: &'static str, text: impl Into<String>) -> Error {
        // All callers pass valid statuses, so the fallback is not used.
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Error { status, code, text: text.into() }
    }

    /// Creates an error with the status 400 and the code `invalid`.
    pub(super) fn invalid(text: impl Into<String>) -> Error {
        Error::new(400, "invalid", text)
    }

    pub(super) fn unauthorized() -> Error {
        Error::new(401, "unauthorized", "a key is required: Authorization: Bearer KEY")
    }

    pub(super) fn forbidden(text: impl Into<String>) -> Error {
        Error::new(403, "forbidden", text)
    }

    pub(super) fn not_found(text: impl Into<String>) -> Error {
        Error::new(404, "not_found", text)
    }

    pub(super) fn too_long() -> Error {
        Error::too_large("the body is longer than limits.max_message permits")
    }

    pub(super) fn too_large(text: impl Into<String>) -> Error {
        Error::new(413, "too_large", text)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let body = json!({ "error": { "code": self.code, "message": self.text } });
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            // A response with 401 requires this header (RFC 9110 section 15.5.2).
            let challenge = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl From<PathRejection> for Error {
    fn from(error: PathRejection) -> Error {
        Error::invalid(format!("the path: {}", error.body_text()))
    }
}

impl From<QueryRejection> for Error {
    fn from(error: QueryRejection) -> Error {
        Error::invalid(format!("the query: {}", error.body_text()))
    }
}

impl From<BytesRejection> for Error {
    fn from(error: BytesRejection) -> Error {
        match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Error::too_long(),
            _ => Error::invalid("the body has not arrived completely"),
        }
    }
}
