//! What comes before a connection's request where a proxy announces its client: the header of the
//! PROXY protocol.

use std::task::{Context, Poll};
use std::time::Duration;

use http::StatusCode;

use crate::connection::read_buffer::with_buffer;
use crate::connection::{Connection, Stage, Turn};
use crate::handshake::parser::Handshake;
use crate::handshake::response::Answer;
use crate::metrics::warning::WarningCause;
use crate::transport::Reader;

impl<R: Reader> Connection<R> {
    pub(super) fn announcing(&mut self, now: Duration, cx: &mut Context<'_>) -> Turn {
        let Stage::Announcing { header, until } = &mut self.stage else {
            return Turn::Again;
        };
        let until = *until;
        let read = with_buffer(|buffer| {
            let most = header.wanted().min(buffer.len());
            let read = self.reader.poll_read(cx, &mut buffer[..most]);
            read.map_ok(|size| (size, header.take(&buffer[..size])))
        });
        match read {
            Poll::Ready(Ok((0, _)) | Err(_)) => Turn::Done,
            Poll::Ready(Ok((_, Ok(None)))) => Turn::Again,
            Poll::Ready(Ok((_, Ok(Some(source))))) => {
                self.stage = Stage::Handshake { handshake: Handshake::default(), until };
                // Without a source the connection is the proxy's own.
                let client = source.or(self.peer);
                let options = self.server.options();
                let (from, to) = (options.address(self.peer), options.address(client));
                match self.server.0.life.reassign(from, to, &options.caps) {
                    Ok(()) => {
                        self.peer = client;
                        Turn::Again
                    }
                    Err(status) => {
                        let cause = self.server.handshakes_full(status);
                        self.refuse(now, &Answer::error(status), Some(cause), false)
                    }
                }
            }
            Poll::Ready(Ok((_, Err(_)))) => {
                let cause = WarningCause::NotAnnounced { proxy: self.peer.map(|peer| peer.ip()) };
                self.refuse(now, &Answer::error(StatusCode::BAD_REQUEST), Some(cause), false)
            }
            Poll::Pending if self.server.is_closing() => Turn::Done,
            Poll::Pending if now < until => Turn::Wait(until),
            Poll::Pending => {
                self.refuse(now, &Answer::error(StatusCode::REQUEST_TIMEOUT), None, false)
            }
        }
    }
}
