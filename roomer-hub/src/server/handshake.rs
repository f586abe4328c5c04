//! The HTTP side of a connection, over memory: bytes in, an answer out. What an upgrade has to
//! bring with it is in [`upgrade`](super::upgrade).

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Method, StatusCode, Version};

use super::answer::Answer;
use super::claims::Claims;
use super::options::Options;
use super::request::Request;
use super::upgrade;

/// A request whose head is still coming in.
#[derive(Debug, Default)]
pub(super) struct Handshake {
    head: Vec<u8>,
}

/// What a handshake comes to.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Upgrade: send this, then talk WebSocket, beginning with what came behind the head, with
    /// the client at this address.
    Upgrade {
        response: Vec<u8>,
        claims: Option<Arc<Claims>>,
        behind: Vec<u8>,
        peer: Option<SocketAddr>,
    },
    /// Send this, then end the connection.
    End { status: StatusCode, response: Vec<u8> },
}

impl Handshake {
    /// Takes in bytes; `None` while the head is incomplete.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        options: &Options,
        peer: Option<SocketAddr>,
    ) -> Option<Outcome> {
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
                    return Some(answer(&Request::new(head, peer, options), behind, options));
                }
                Ok(None) => {}
                Err(status) => return Some(Outcome::error(status)),
            }
        }
        if self.head.len() >= options.max_head {
            let status = match self.head.contains(&b'\n') {
                true => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                false => StatusCode::URI_TOO_LONG,
            };
            return Some(Outcome::error(status));
        }
        None
    }

    /// The answer to one that comes while the server shuts down.
    pub(super) fn unavailable() -> (StatusCode, Vec<u8>) {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        (status, Answer::error(status).to_bytes(false))
    }

    /// The answer to one that took too long.
    pub(super) fn timeout() -> Outcome {
        Outcome::error(StatusCode::REQUEST_TIMEOUT)
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

fn answer(request: &Request, behind: Vec<u8>, options: &Options) -> Outcome {
    let answer = if request.path() == options.path {
        match upgrade::check(request, options) {
            Ok((answer, claims)) => {
                let (response, peer) = (answer.to_bytes(false), request.peer);
                return Outcome::Upgrade { response, claims, behind, peer };
            }
            Err(refusal) => Answer::refusal(&refusal),
        }
    } else {
        match (options.pages.get(request.path()), request.head.method()) {
            (None, _) => Answer::error(StatusCode::NOT_FOUND),
            (Some(page), &(Method::GET | Method::HEAD)) => Answer::page(page),
            (Some(_), _) => Answer::error(StatusCode::METHOD_NOT_ALLOWED),
        }
    };
    let is_head = request.head.method() == Method::HEAD;
    Outcome::End { status: answer.status(), response: answer.to_bytes(is_head) }
}

impl Outcome {
    fn error(status: StatusCode) -> Self {
        Outcome::End { status, response: Answer::error(status).to_bytes(false) }
    }
}
