//! Reads the parts of request bodies that a response does not depend on.
//!
//! An example is the rest of a body that is too long. If the server closed the connection instead
//! of reading it, most HTTP clients would fail while they send, and never show the response.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::time::timeout;

/// The maximum number of bytes that are read and dropped.
const MAX_BYTES: usize = 64 << 20;

/// The time limit for all of them.
const TOTAL: Duration = Duration::from_secs(20);

/// The time for which a client may send nothing.
const SILENCE: Duration = Duration::from_secs(2);

/// Makes sure that the rest of the request's body is read after the body has been dropped.
pub(crate) fn read_rest(request: Request) -> Request {
    // A client that waits for the response before it sends its body needs no further reads.
    let is_sending = !request.headers().contains_key(header::EXPECT);
    request.map(|inner| Body::new(ReadRest { inner, is_sending }))
}

struct ReadRest {
    inner: Body,
    is_sending: bool,
}

impl HttpBody for ReadRest {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // The first read makes hyper respond with `100 Continue`.
        self.is_sending = true;
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for ReadRest {
    fn drop(&mut self) {
        if self.is_sending && !self.inner.is_end_stream() {
            let rest = std::mem::take(&mut self.inner);
            // hyper sends the response meanwhile, and closes the connection once this body is dropped.
            tokio::spawn(async { timeout(TOTAL, read(rest)).await });
        }
    }
}

async fn read(mut body: Body) {
    let mut length = 0;
    while length < MAX_BYTES
        && let Ok(Some(Ok(frame))) = timeout(SILENCE, body.frame()).await
    {
        length += frame.data_ref().map_or(0, Bytes::len);
    }
}
