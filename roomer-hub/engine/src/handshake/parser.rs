//! An incremental parser for the head of an HTTP/1 request.

use http::{StatusCode, Version};

use crate::handshake::options::HandshakeOptions;

/// The part of a request's head received so far.
#[derive(Debug, Default)]
pub(crate) struct RequestParser {
    head: Vec<u8>,
}

/// A parsed head and the bytes after it, or the rejection's status.
pub(crate) type ParsedHead = Result<(http::Request<()>, Vec<u8>), StatusCode>;

impl RequestParser {
    /// Appends bytes. Returns the outcome, or `None` while the head is incomplete.
    pub(crate) fn push(&mut self, bytes: &[u8], options: &HandshakeOptions) -> Option<ParsedHead> {
        let is_first = self.head.is_empty();
        // The empty line that ends the head may have begun in the last two bytes received earlier.
        let scan_from = self.head.len().saturating_sub(2);
        let room = options.max_head.saturating_sub(self.head.len());
        let (bytes, excess) = bytes.split_at(bytes.len().min(room));
        self.head.extend_from_slice(bytes);
        // Parse the first bytes so that anything other than HTTP is rejected immediately, and parse
        // again when the head is complete. Parsing on each call would take quadratic time if a
        // client sends one byte at a time.
        if is_first || contains_end(&self.head[scan_from..]) {
            match parse(&self.head, options.max_headers) {
                Ok(Some((size, head))) => {
                    let mut leftover = self.head.split_off(size);
                    leftover.extend_from_slice(excess);
                    return Some(Ok((head, leftover)));
                }
                Ok(None) => {}
                Err(status) => return Some(Err(status)),
            }
        }
        if self.head.len() >= options.max_head {
            // Without any line ending, the request's target is too long.
            return Some(Err(match self.head.contains(&b'\n') {
                true => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                false => StatusCode::URI_TOO_LONG,
            }));
        }
        None
    }
}

/// Returns true if the bytes contain an empty line. A line may end without a carriage return (RFC
/// 9112 section 2.2), whatever the previous line's ending.
fn contains_end(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|end| end == b"\n\n") || bytes.windows(3).any(|end| end == b"\n\r\n")
}

fn parse(
    bytes: &[u8],
    max_headers: usize,
) -> Result<Option<(usize, http::Request<()>)>, StatusCode> {
    let mut headers = vec![httparse::EMPTY_HEADER; max_headers];
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
    // `http` may reject a value that httparse accepts, such as a target. Its builder reports the
    // first such error here.
    request.body(()).map(|request| Some((size, request))).map_err(|_| StatusCode::BAD_REQUEST)
}

#[cfg(test)]
mod tests {
    use super::RequestParser;
    use crate::handshake::options::HandshakeOptions;

    #[test]
    fn head_split_into_bytes_ends_at_empty_line() {
        let options = HandshakeOptions::default();
        for styles in 0..8 {
            let end = |line: u8| if styles >> line & 1 == 0 { "\r\n" } else { "\n" };
            let request = ["GET / HTTP/1.1", end(0), "Host: chat.example", end(1), end(2)].concat();
            let mut parser = RequestParser::default();
            let heads = request.bytes().map(|byte| parser.push(&[byte], &options));
            let ended: Vec<bool> =
                heads.map(|head| head.is_some_and(|head| head.is_ok())).collect();
            let (last, before) = ended.split_last().unwrap();
            assert!(*last && !before.contains(&true), "{request:?}: {ended:?}");
        }
    }
}
