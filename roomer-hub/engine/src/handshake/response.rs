//! What a handshake is answered: once, as data, to be written out here or sent by a framework.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use crate::builder::options::Page;
use crate::handshake::request::Rejection;

/// After how many seconds one that was refused for want of room may ask again.
const RETRY_AFTER: &str = "5";

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    status: StatusCode,
    lines: Vec<(&'static str, String)>,
    body: Bytes,
}

impl Response {
    /// 101: what follows is WebSocket, by the subprotocol that the server has selected, if any.
    pub(crate) fn switch(accept: String, subprotocol: Option<String>) -> Self {
        let mut lines = vec![("Upgrade", "websocket".into()), ("Connection", "Upgrade".into())];
        lines.extend(subprotocol.map(|name| ("Sec-WebSocket-Protocol", name)));
        lines.push(("Sec-WebSocket-Accept", accept));
        Response { status: StatusCode::SWITCHING_PROTOCOLS, lines, body: Bytes::new() }
    }

    /// Something that was asked for.
    pub(crate) fn page(page: &Page) -> Self {
        Response::whole(StatusCode::OK, page.content_type.clone(), page.body.clone())
    }

    /// The answer to a health check.
    pub(crate) fn health(is_well: bool) -> Self {
        let (status, text) = match is_well {
            true => (StatusCode::OK, "yes\n"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "no\n"),
        };
        let mut response = Response::whole(
            status,
            "text/plain; charset=utf-8".into(),
            Bytes::from_static(text.as_bytes()),
        );
        response.lines.push(("Allow", "GET, HEAD, OPTIONS".into()));
        response
    }

    /// A page is elsewhere: relative links in it would lead astray from here.
    pub(crate) fn moved(location: String) -> Self {
        let text = "text/plain; charset=utf-8".into();
        let mut response = Response::whole(StatusCode::PERMANENT_REDIRECT, text, Bytes::new());
        response.lines.push(("Location", location));
        response
    }

    /// The methods that a path answers, for load balancers that ask by OPTIONS.
    pub(crate) fn options(allow: &str) -> Self {
        let lines = vec![("Allow", allow.into())];
        Response { status: StatusCode::OK, lines, body: Bytes::new() }
    }

    /// An error with nothing more to say than its name.
    pub(crate) fn error(status: StatusCode) -> Self {
        Response::refusal(&Rejection::new(status, ""))
    }

    /// No.
    pub(crate) fn refusal(refusal: &Rejection) -> Self {
        let status = refusal.status();
        let message = match refusal.message() {
            "" => status.canonical_reason().unwrap_or_default(),
            message => message,
        };
        let text = "text/plain; charset=utf-8".into();
        let mut response = Response::whole(status, text, format!("{message}\n").into());
        match status {
            StatusCode::METHOD_NOT_ALLOWED => response.lines.push(("Allow", "GET".into())),
            StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN => {
                response.lines.push(("Sec-WebSocket-Version", "13".into()));
            }
            _ => {}
        }
        response
    }

    fn whole(status: StatusCode, content_type: String, body: Bytes) -> Self {
        let mut lines = vec![
            ("Content-Type", content_type),
            ("Cache-Control", "no-cache".into()),
            ("X-Content-Type-Options", "nosniff".into()),
        ];
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            lines.push(("Retry-After", RETRY_AFTER.into()));
        }
        Response { status, lines, body }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// As bytes; what is no upgrade ends the connection. To HEAD it is all the headers and nothing
    /// after them (RFC 9110 section 9.3.2).
    pub(crate) fn to_bytes(&self, is_head: bool) -> Vec<u8> {
        let reason = self.status.canonical_reason().unwrap_or("Rejected");
        let mut head = format!("HTTP/1.1 {} {reason}\r\n", self.status.as_u16());
        for (name, value) in &self.lines {
            head += &format!("{name}: {value}\r\n");
        }
        if self.status != StatusCode::SWITCHING_PROTOCOLS {
            let length = self.body.len();
            head += &format!("Content-Length: {length}\r\nConnection: close\r\n");
        }
        let body = if is_head { &[][..] } else { &self.body };
        [head.as_bytes(), b"\r\n", body].concat()
    }

    /// For whoever keeps the connection and writes the answer.
    pub(crate) fn into_response(self) -> http::Response<String> {
        let mut response = http::Response::new(String::from_utf8_lossy(&self.body).into_owned());
        *response.status_mut() = self.status;
        for (name, value) in self.lines {
            // Only a page's content type could be no header's value, and no page comes here.
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}
