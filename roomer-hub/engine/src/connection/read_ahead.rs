//! Reading while a handler or rule is pending, to answer the client's pings and detect its close.
//!
//! Messages wait in the decoder's buffer. Once the buffer is full, nothing more is read, and TCP
//! flow control stops the client. Pings and a close frame that the client sends after that must
//! wait too.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use roomer_proto::websocket;

use crate::connection::established::Established;
use crate::connection::read_buffer::with_buffer;
use crate::connection::{Connection, MAX_READS_PER_POLL, State, Step};
use crate::outbound::socket_writer::{SocketWriter, Status};
use crate::shared::Shared;

/// The maximum number of bytes buffered behind a pending handler or rule, unless more arrived in
/// the same read as its message.
const READ_AHEAD: usize = 64 * 1024;

impl Connection {
    /// Reads the bytes behind a pending handler or rule, if the connection is currently permitted
    /// to read.
    pub(super) fn read_ahead(
        &mut self,
        now: Duration,
        is_paused: bool,
        status: Status,
        cx: &mut Context<'_>,
    ) -> Step {
        let State::Established(open) = &mut self.state else {
            return Step::Continue;
        };
        let (shared, writer) = (&self.shared, &self.writer);
        // The first bytes to examine may have been read together with the message.
        let mut has_more = open.defer(shared, writer, &[], now) && !is_paused && !status.is_above();
        for _ in 0..MAX_READS_PER_POLL {
            if !has_more {
                break;
            }
            let space = READ_AHEAD.saturating_sub(open.decoder.unfinished());
            let read = with_buffer(|buffer| {
                let space = space.min(buffer.len());
                let read = writer.poll_read(cx, &mut buffer[..space]);
                read.map_ok(|size| {
                    (size, size > 0 && open.defer(shared, writer, &buffer[..size], now))
                })
            });
            match read {
                Poll::Pending => has_more = false,
                Poll::Ready(Ok((0, _)) | Err(_)) => {
                    // The messages before the end of the stream are handled first. The next read
                    // returns the end again.
                    open.activity.end(now, false);
                    has_more = false;
                }
                Poll::Ready(Ok((_, may_read))) => has_more = may_read,
            }
        }
        self.check_timeouts(now, status, has_more)
    }

    /// Ends a connection that its client has closed, although earlier messages are still waiting.
    pub(super) fn end_behind(&mut self, now: Duration) -> Step {
        let State::Established(open) = &mut self.state else {
            return Step::Continue;
        };
        if open.activity.has_close_frame() {
            // Drop the call without the lock, since dropping it may call the server.
            drop(open.activity.existing().and_then(|parts| parts.pending.take()));
            // The waiting messages are now too late to be handled, so this call skips them and
            // finds the close frame.
            if open.on_bytes(&self.shared, &self.writer, &mut [], now) {
                return self.close_open(now);
            }
        }
        // A session that loses its socket keeps its pending call.
        self.lost(now)
    }
}

impl Established {
    /// Buffers bytes for later, and answers the pings among them. Returns true if there may be more to
    /// read.
    fn defer(
        &mut self,
        shared: &Arc<Shared>,
        writer: &Arc<SocketWriter>,
        bytes: &[u8],
        now: Duration,
    ) -> bool {
        let (key, mut pongs) = (self.conn.info.key, Vec::new());
        let is_closing = self.decoder.defer(bytes, |payload| {
            let mut pong = Vec::new();
            websocket::pong_frame(payload, &mut pong);
            pongs.push(pong);
        });
        if is_closing {
            self.activity.end(now, true);
        }
        if !bytes.is_empty() {
            self.keep_alive.received(now);
        }
        if !bytes.is_empty() || !pongs.is_empty() {
            let mut core = shared.core();
            core.counts.bytes_in += bytes.len() as u64;
            for pong in pongs {
                core.outbound.send_control(key, pong);
            }
            if let Some(session) = &mut self.session_state {
                session.deferred(now);
                if session.confirms() {
                    core.sessions.confirm(key);
                }
            }
            // Report the bytes before the flush, which closes connections if the memory budget is
            // exceeded.
            self.report_buffered(writer);
            shared.flush_after_input(now, core, &mut self.flush_at);
        }
        !is_closing && self.decoder.unfinished() < READ_AHEAD
    }
}
