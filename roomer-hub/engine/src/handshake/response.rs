//! HTTP responses as values, which the connection writes itself or a framework sends.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use roomer_proto::extended::REJECTION_HEADER;

use crate::handshake::options::Page;
use crate::handshake::request::Rejection;

/// The default for `Retry-After`, in seconds, for a client rejected because of a limit.
const RETRY_AFTER: u64 = 5;

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// A complete response: status, headers and body.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    status: StatusCode,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

impl Response {
    /// Returns a 101 response with the selected subprotocol and extension, if any.
    pub(crate) fn switching_protocols(
        accept_key: String,
        subprotocol: Option<String>,
        extension: Option<String>,
    ) -> Self {
        let mut headers = vec![("Upgrade", "websocket".into()), ("Connection", "Upgrade".into())];
        headers.extend(subprotocol.map(|name| ("Sec-WebSocket-Protocol", name)));
        headers.extend(extension.map(|extension| ("Sec-WebSocket-Extensions", extension)));
        headers.push(("Sec-WebSocket-Accept", accept_key));
        Response { status: StatusCode::SWITCHING_PROTOCOLS, headers, body: Bytes::new() }
    }

    /// Returns a page as a response.
    pub(crate) fn page(page: &Page) -> Self {
        Response::with_body(StatusCode::OK, page.content_type.clone(), page.body.clone())
    }

    /// Returns the response to a health check.
    pub(crate) fn health(is_healthy: bool) -> Self {
        let (status, text) = match is_healthy {
            true => (StatusCode::OK, "yes\n"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "no\n"),
        };
        let body = Bytes::from_static(text.as_bytes());
        let mut response = Response::with_body(status, PLAIN_TEXT.into(), body);
        response.headers.push(("Allow", "GET, HEAD, OPTIONS".into()));
        response
    }

    /// Returns a redirect to a page's own path, since the page's relative links would not resolve
    /// from another path.
    pub(crate) fn redirect(location: String) -> Self {
        let status = StatusCode::PERMANENT_REDIRECT;
        let mut response = Response::with_body(status, PLAIN_TEXT.into(), Bytes::new());
        response.headers.push(("Location", location));
        response
    }

    /// Returns the response with the supported methods, for load balancers that probe with OPTIONS.
    pub(crate) fn options(allow: &str) -> Self {
        let headers = vec![("Allow", allow.into())];
        Response { status: StatusCode::OK, headers, body: Bytes::new() }
    }

    /// Returns an error response with the status's standard text.
    pub(crate) fn error(status: StatusCode) -> Self {
        Response::rejection(&Rejection::new(status, ""))
    }

    /// Returns the response to a rejected request.
    pub(crate) fn rejection(rejection: &Rejection) -> Self {
        let status = rejection.status();
        let message = match rejection.message() {
            "" => status.canonical_reason().unwrap_or_default(),
            message => message,
        };
        let body = format!("{message}\n").into();
        let mut response = Response::with_body(status, PLAIN_TEXT.into(), body);
        // Without the mark, clients assume that a proxy has sent the response, and try again.
        response.headers.push((REJECTION_HEADER, status.as_str().into()));
        if let Some(time) = rejection.seconds_to_retry() {
            response.headers.retain(|(name, _)| *name != "Retry-After");
            response.headers.push(("Retry-After", time.to_string()));
        }
        match status {
            StatusCode::METHOD_NOT_ALLOWED => response.headers.push(("Allow", "GET".into())),
            // Send the supported version (RFC 6455 section 4.4). The Go original's upgrader sends
            // it with 403 too.
            StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN => {
                response.headers.push(("Sec-WebSocket-Version", "13".into()));
            }
            _ => {}
        }
        response
    }

    fn with_body(status: StatusCode, content_type: String, body: Bytes) -> Self {
        let mut headers = vec![
            ("Content-Type", content_type),
            ("Cache-Control", "no-cache".into()),
            ("X-Content-Type-Options", "nosniff".into()),
        ];
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.push(("Retry-After", RETRY_AFTER.to_string()));
        }
        Response { status, headers, body }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// Encodes the response. Every response but 101 closes the connection. A response to HEAD has all
    /// headers and no body (RFC 9110 section 9.3.2).
    pub(crate) fn to_bytes(&self, is_head: bool) -> Vec<u8> {
        let reason = self.status.canonical_reason().unwrap_or("Rejected");
        let body = if is_head { &[][..] } else { &self.body };
        let mut bytes = Vec::with_capacity(256 + body.len());
        let mut put = |parts: &[&str]| {
            parts.iter().for_each(|part| bytes.extend_from_slice(part.as_bytes()));
        };
        put(&["HTTP/1.1 ", self.status.as_str(), " ", reason, "\r\n"]);
        for (name, value) in &self.headers {
            put(&[name, ": ", value, "\r\n"]);
        }
        if self.status != StatusCode::SWITCHING_PROTOCOLS {
            let length = self.body.len().to_string();
            put(&["Content-Length: ", &length, "\r\nConnection: close\r\n"]);
        }
        put(&["\r\n"]);
        bytes.extend_from_slice(body);
        bytes
    }

    /// Converts the response for a framework, which encodes it and decides whether to close the
    /// connection.
    pub(crate) fn into_response(self) -> http::Response<String> {
        let mut response = http::Response::new(String::from_utf8_lossy(&self.body).into_owned());
        *response.status_mut() = self.status;
        for (name, value) in self.headers {
            // Only a page's content type may be an invalid header value, and frameworks serve pages
            // themselves.
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}
