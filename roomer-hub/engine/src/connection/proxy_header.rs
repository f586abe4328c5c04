//! Reads a trusted proxy's header from the socket, with the parser in `handshake/proxy_protocol.rs`.
//!
//! The PROXY protocol header precedes the client's request, and contains the client's address.

use std::task::{Context, Poll};
use std::time::Duration;

use http::StatusCode;

use crate::connection::read_buffer::with_buffer;
use crate::connection::{Connection, State, Step};
use crate::handshake::parser::RequestParser;
use crate::handshake::response::Response;
use crate::metrics::warning::WarningReason;

impl Connection {
    /// Reads the header, and uses the address in it as the client's.
    pub(super) fn read_proxy_header(&mut self, now: Duration, cx: &mut Context<'_>) -> Step {
        let State::ProxyHeader { header, until } = &mut self.state else {
            return Step::Continue;
        };
        let until = *until;
        let read = with_buffer(|buffer| {
            // Read no further than the header, since the request's parser starts with an empty
            // buffer and would not receive bytes read beyond the header.
            let max = header.bytes_needed().min(buffer.len());
            let read = self.writer.poll_read(cx, &mut buffer[..max]);
            read.map_ok(|size| (size, header.push(&buffer[..size])))
        });
        match read {
            Poll::Ready(Ok((0, _)) | Err(_)) => Step::Done,
            Poll::Ready(Ok((_, Ok(None)))) => Step::Continue,
            Poll::Ready(Ok((_, Ok(Some(source))))) => {
                self.state = State::Handshake { parser: RequestParser::default(), until };
                // A header without an address means that the proxy connects on its own behalf, for
                // example for a health check.
                let client = source.or(self.peer.get());
                let options = self.shared.options();
                let (from, to) =
                    (options.handshake.address(self.peer.get()), options.handshake.address(client));
                match self.shared.lifecycle.reassign(from, to, &options.handshake.admission) {
                    // Set the client's address only after the counts are updated, since the socket
                    // was counted for the proxy's address until now.
                    Ok(()) => {
                        self.peer = client.into();
                        Step::Continue
                    }
                    // Keep the proxy's address, since the socket is still counted for it.
                    Err(status) => {
                        let reason = self.shared.handshake().handshakes_full(status);
                        self.reject(now, &Response::error(status), Some(reason), false)
                    }
                }
            }
            Poll::Ready(Ok((_, Err(_)))) => {
                let reason = WarningReason::InvalidProxyHeader {
                    proxy: self.peer.get().map(|peer| peer.ip()),
                };
                self.reject(now, &Response::error(StatusCode::BAD_REQUEST), Some(reason), false)
            }
            Poll::Pending if self.shared.is_closing() => Step::Done,
            Poll::Pending if now < until => Step::Wait(until),
            Poll::Pending => {
                self.reject(now, &Response::error(StatusCode::REQUEST_TIMEOUT), None, false)
            }
        }
    }
}
