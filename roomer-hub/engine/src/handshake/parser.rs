//! The HTTP side of a connection, over memory: bytes in, a request out, and the answers to those
//! that ask for no upgrade. What an upgrade has to bring with it is in [`upgrade`](crate::upgrade).

use http::{Method, StatusCode, Version};

use crate::Server;
use crate::builder::options::Options;
use crate::handshake::request::Request;
use crate::handshake::response::Response;

/// A request whose head is still coming in.
#[derive(Debug, Default)]
pub(crate) struct RequestParser {
    head: Vec<u8>,
}

/// A request's head, and what came behind it; or the status to refuse it with.
pub(crate) type ParsedHead = Result<(http::Request<()>, Vec<u8>), StatusCode>;

impl RequestParser {
    /// Takes in bytes; `None` while the head is incomplete.
    pub(crate) fn take(&mut self, bytes: &[u8], options: &Options) -> Option<ParsedHead> {
        let is_first = self.head.is_empty();
        let seen = self.head.len().saturating_sub(2);
        let room = options.max_head.saturating_sub(self.head.len());
        let (bytes, beyond) = bytes.split_at(bytes.len().min(room));
        self.head.extend_from_slice(bytes);
        // The head is parsed when it is complete, and once at the start so that what is no HTTP
        // at all is refused at once; never at each byte of a trickle.
        if is_first || has_end(&self.head[seen..]) {
            match parse(&self.head, options.max_headers) {
                Ok(Some((size, head))) => {
                    let mut leftover = self.head.split_off(size);
                    leftover.extend_from_slice(beyond);
                    return Some(Ok((head, leftover)));
                }
                Ok(None) => {}
                Err(status) => return Some(Err(status)),
            }
        }
        if self.head.len() >= options.max_head {
            return Some(Err(match self.head.contains(&b'\n') {
                true => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                false => StatusCode::URI_TOO_LONG,
            }));
        }
        None
    }
}

/// Whether an empty line is among them. A line may end without a carriage return (RFC 9112 section
/// 2.2), and the next one with it.
fn has_end(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|end| end == b"\n\n") || bytes.windows(3).any(|end| end == b"\n\r\n")
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

impl Server {
    /// The answer to a request that is not for the WebSocket's path, or the status to refuse it
    /// with; `None` to one that is.
    pub(crate) fn page(&self, request: &Request) -> Option<Result<Response, StatusCode>> {
        let (options, path) = (self.options(), request.path());
        if path == options.path {
            return None;
        }
        let is_options = *request.head.method() == Method::OPTIONS;
        let response = match (&options.health, options.pages.get(path)) {
            (Some(health), _) if health.live == path => Response::health(self.is_live()),
            (Some(health), _) if health.ready == path => Response::health(self.is_ready()),
            (_, Some(_)) if is_options => Response::options("GET, HEAD, OPTIONS"),
            (_, Some(page)) => Response::page(page),
            // What load balancers ask that were told no path.
            (_, None) if is_options && matches!(path, "/" | "*") => Response::options("OPTIONS"),
            (_, None) if path.starts_with('/') && options.pages.contains_key(&slashed(path)) => {
                let query = request.head.uri().query();
                let query = query.map(|query| format!("?{query}")).unwrap_or_default();
                Response::moved(slashed(path) + &query)
            }
            (_, None) => return Some(Err(StatusCode::NOT_FOUND)),
        };
        Some(match *request.head.method() {
            Method::GET | Method::HEAD | Method::OPTIONS => Ok(response),
            _ => Err(StatusCode::METHOD_NOT_ALLOWED),
        })
    }
}

/// The path of a folder's page, by that of the folder.
fn slashed(path: &str) -> String {
    format!("{path}/")
}

#[cfg(test)]
mod tests {
    use super::RequestParser;
    use crate::builder::options::Options;

    #[test]
    fn a_head_in_single_bytes_ends_with_its_empty_line_however_lines_end() {
        let options = Options::default();
        for styles in 0..8 {
            let end = |line: u8| if styles >> line & 1 == 0 { "\r\n" } else { "\n" };
            let hook_queue =
                ["GET / HTTP/1.1", end(0), "Host: chat.example", end(1), end(2)].concat();
            let mut handshake = RequestParser::default();
            let heads = hook_queue.bytes().map(|byte| handshake.take(&[byte], &options));
            let ended: Vec<bool> =
                heads.map(|head| head.is_some_and(|head| head.is_ok())).collect();
            let (last, before) = ended.split_last().unwrap();
            assert!(*last && !before.contains(&true), "{hook_queue:?}: {ended:?}");
        }
    }
}
