//! The HTTP side of a connection, over memory: bytes in, an answer out.
//!
//! The order of the checks, and their answers, are those of the Go original; where it has none
//! (sizes, pages) HTTP's own apply.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use http::header::{CONNECTION, HOST, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderName, Method, StatusCode, Version};
use tungstenite::handshake::derive_accept_key;

use super::claims::Claims;
use super::options::{Options, Page};
use super::request::{Refusal, Request};

/// A request whose head is still coming in.
#[derive(Debug, Default)]
pub(super) struct Handshake {
    head: Vec<u8>,
}

/// What a handshake comes to.
#[derive(Debug)]
pub(super) enum Answer {
    /// Upgrade: send this, then talk WebSocket, beginning with what came behind the head.
    Upgrade { response: Vec<u8>, claims: Option<Arc<Claims>>, behind: Vec<u8> },
    /// Send this, then end the connection.
    End { response: Vec<u8> },
}

impl Handshake {
    /// Takes in bytes; `None` while the head is incomplete.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        options: &Options,
        peer: Option<SocketAddr>,
    ) -> Option<Answer> {
        let is_first = self.head.is_empty();
        let seen = self.head.len().saturating_sub(3);
        let room = options.max_head.saturating_sub(self.head.len());
        let (bytes, beyond) = bytes.split_at(bytes.len().min(room));
        self.head.extend_from_slice(bytes);
        // The head is parsed when it is complete, and once at the start so that what is no HTTP
        // at all is refused at once; never at each byte of a trickle.
        if is_first || has_end(&self.head[seen..]) {
            match parse(&self.head, options.max_headers) {
                Ok(Some((size, head))) => {
                    let mut behind = self.head.split_off(size);
                    behind.extend_from_slice(beyond);
                    let is_head = head.method() == Method::HEAD;
                    let answer = answer(Request { head, peer }, behind, options);
                    return Some(if is_head { answer.without_body() } else { answer });
                }
                Ok(None) => {}
                Err(status) => return Some(Answer::end(status, "")),
            }
        }
        if self.head.len() >= options.max_head {
            let status = match self.head.contains(&b'\n') {
                true => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                false => StatusCode::URI_TOO_LONG,
            };
            return Some(Answer::end(status, ""));
        }
        None
    }

    /// The answer to one that comes while the server shuts down.
    pub(super) fn unavailable() -> Vec<u8> {
        error(StatusCode::SERVICE_UNAVAILABLE, "")
    }

    /// The answer to one that took too long.
    pub(super) fn timeout() -> Answer {
        Answer::end(StatusCode::REQUEST_TIMEOUT, "")
    }
}

fn has_end(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair == b"\n\n") || bytes.windows(4).any(|end| end == b"\r\n\r\n")
}

fn parse(bytes: &[u8], most: usize) -> Result<Option<(usize, http::Request<()>)>, StatusCode> {
    let mut headers = vec![httparse::EMPTY_HEADER; most];
    let mut parsed = httparse::Request::new(&mut headers);
    let size = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(size)) => size,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        }
        Err(_) => return Err(StatusCode::BAD_REQUEST),
    };
    let mut request = http::Request::builder()
        .method(parsed.method.unwrap_or_default())
        .uri(parsed.path.unwrap_or_default())
        .version(if parsed.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 });
    for header in parsed.headers {
        request = request.header(header.name, header.value);
    }
    request.body(()).map(|request| Some((size, request))).map_err(|_| StatusCode::BAD_REQUEST)
}

fn answer(request: Request, behind: Vec<u8>, options: &Options) -> Answer {
    if request.path() == options.path {
        return match upgrade(&request, options) {
            Ok((response, claims)) => Answer::Upgrade { response, claims, behind },
            Err(refusal) => Answer::end(refusal.status(), refusal.message()),
        };
    }
    let Some(page) = options.pages.get(request.path()) else {
        return Answer::end(StatusCode::NOT_FOUND, "");
    };
    match *request.head.method() {
        Method::GET | Method::HEAD => Answer::page(page),
        _ => Answer::end(StatusCode::METHOD_NOT_ALLOWED, ""),
    }
}

type Accepted = (Vec<u8>, Option<Arc<Claims>>);

fn upgrade(request: &Request, options: &Options) -> Result<Accepted, Refusal> {
    let refuse = |status, message: &str| Err(Refusal::new(status, message));
    let headers = request.headers();
    if request.head.method() != Method::GET {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "");
    }
    let claims = match &options.authorize {
        Some(authorize) => match catch_unwind(AssertUnwindSafe(|| authorize(request))) {
            Ok(verdict) => Some(Arc::new(verdict?)),
            Err(_) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, ""),
        },
        None => None,
    };
    if request.head.version() < Version::HTTP_11 {
        return refuse(StatusCode::BAD_REQUEST, "a WebSocket needs HTTP/1.1");
    }
    if !has_token(request, CONNECTION, "upgrade") || !has_token(request, UPGRADE, "websocket") {
        return refuse(StatusCode::BAD_REQUEST, "this address speaks WebSocket only");
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return refuse(StatusCode::BAD_REQUEST, "Sec-WebSocket-Version must be 13");
    }
    let origin = headers.get(ORIGIN).map(|origin| origin.as_bytes());
    let host = request.header(HOST.as_str());
    let alone = headers.get_all(ORIGIN).iter().count() <= 1;
    if !alone || !options.origins.admit(origin, host) {
        return refuse(StatusCode::FORBIDDEN, "pages of this origin may not connect");
    }
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let key = match (keys.next(), keys.next()) {
        (Some(key), None) if is_key(key.as_bytes()) => key,
        _ => {
            return refuse(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key must be 16 bytes");
        }
    };
    let accept = derive_accept_key(key.as_bytes());
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    Ok((response.into_bytes(), claims))
}

/// Whether a header, a list over one or several lines, has a token (RFC 9110 section 5.6.1).
fn has_token(request: &Request, name: HeaderName, token: &str) -> bool {
    let values = request.headers().get_all(name);
    let mut tokens =
        values.iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
    tokens.any(|candidate| candidate.trim().eq_ignore_ascii_case(token))
}

/// Whether a key is 16 bytes in Base64 (RFC 6455 section 4.2.1).
fn is_key(key: &[u8]) -> bool {
    data_encoding::BASE64.decode(key).is_ok_and(|nonce| nonce.len() == 16)
}

impl Answer {
    fn end(status: StatusCode, message: &str) -> Self {
        Answer::End { response: error(status, message) }
    }

    fn page(page: &Page) -> Self {
        let response = head(StatusCode::OK, &page.content_type, page.body.len());
        Answer::End { response: [response.as_bytes(), b"\r\n", &page.body].concat() }
    }

    /// The answer to HEAD: all the headers, nothing after them (RFC 9110 section 9.3.2).
    fn without_body(self) -> Self {
        match self {
            Answer::End { mut response } => {
                let end = response.windows(4).position(|end| end == b"\r\n\r\n");
                response.truncate(end.map_or(response.len(), |end| end + 4));
                Answer::End { response }
            }
            upgrade => upgrade,
        }
    }
}

/// A whole answer that says no.
fn error(status: StatusCode, message: &str) -> Vec<u8> {
    let message = if message.is_empty() { status.canonical_reason() } else { Some(message) };
    let body = format!("{}\n", message.unwrap_or_default());
    let mut response = head(status, "text/plain; charset=utf-8", body.len());
    match status {
        StatusCode::METHOD_NOT_ALLOWED => response.push_str("Allow: GET\r\n"),
        StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN => {
            response.push_str("Sec-WebSocket-Version: 13\r\n");
        }
        _ => {}
    }
    [response.as_bytes(), b"\r\n", body.as_bytes()].concat()
}

/// The lines that every answer but 101 has.
fn head(status: StatusCode, content_type: &str, length: usize) -> String {
    let reason = status.canonical_reason().unwrap_or("Refused");
    format!(
        "HTTP/1.1 {} {reason}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
         Cache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n",
        status.as_u16()
    )
}
