//! The closing handshake: writes the last bytes, and discards received ones.

use std::task::{Context, Poll};
use std::time::Duration;

use roomer_hub::ConnId;
use roomer_proto::websocket::{Decoder, Event};

use crate::connection::read_buffer::with_buffer;
use crate::connection::{Connection, State, Step};
use crate::outbound::outbox::OutboxPhase;
use crate::outbound::socket_writer::Status;

/// The maximum size of an unfinished message that is buffered during the close, to find the peer's
/// close frame behind it.
const CLOSE_SCAN_LIMIT: usize = 64 * 1024;

/// The maximum number of received bytes to read and discard after the close. Enough for the bytes
/// in transit from a client that closes properly. Without a limit, a client that keeps sending
/// would keep the server reading until the close times out.
const MAX_DISCARD: usize = 256 * 1024;

/// The factor by which a close may exceed its timeout in total while the last bytes are written to
/// a slow client. It limits how long those bytes are kept, and how long a client can delay the
/// close.
const CLOSE_EXTENSIONS: u32 = 12;

/// A connection whose last bytes are being written.
pub(super) struct Closing {
    /// The decoder that finds the peer's close frame. `None` before the upgrade, or if the search
    /// would need a lot of memory.
    decoder: Option<Decoder>,
    /// The session whose kept close is dropped once the client has answered the close frame.
    session: Option<ConnId>,
    /// The maximum time for which the client may accept no bytes.
    wait: Duration,
    /// The deadline at which the connection is dropped. Postponed while the client accepts bytes, but
    /// not beyond `latest`.
    until: Duration,
    latest: Duration,
    /// The value of the writer's `unblock_count` counter at the last step.
    unblock_count: u8,
    /// True once the write direction is shut down.
    is_shut: bool,
    /// The number of bytes that may still be read and discarded.
    left: usize,
}

impl Connection {
    /// Starts the close with the timeout from the `close_timeout` option.
    pub(super) fn close(&mut self, now: Duration, decoder: Option<Decoder>) -> Step {
        self.close_within(now, decoder, self.shared.options().close_timeout)
    }

    /// Starts the close. `wait` is how long the client may accept no bytes.
    pub(super) fn close_within(
        &mut self,
        now: Duration,
        decoder: Option<Decoder>,
        wait: Duration,
    ) -> Step {
        self.writer.prepare_final_write();
        let decoder = decoder.filter(|decoder| decoder.held() <= CLOSE_SCAN_LIMIT);
        let unblock_count = self.writer.unblock_count();
        self.state = State::Closing(Box::new(Closing {
            decoder,
            session: None,
            wait,
            until: now + wait,
            latest: now + wait * CLOSE_EXTENSIONS,
            unblock_count,
            is_shut: false,
            left: MAX_DISCARD,
        }));
        Step::Continue
    }

    /// Starts the close of a connection whose close frame is queued. If the application has closed
    /// its session, that close is kept until the client has answered the close frame.
    pub(super) fn close_session(
        &mut self,
        now: Duration,
        decoder: Decoder,
        session: Option<ConnId>,
    ) -> Step {
        let step = self.close(now, Some(decoder));
        if let State::Closing(closing) = &mut self.state {
            closing.session = session;
        }
        step
    }

    /// Performs one closing step.
    pub(super) fn closing(&mut self, now: Duration, cx: &mut Context<'_>) -> Step {
        let State::Closing(closing) = &mut self.state else {
            return Step::Continue;
        };
        let status = self.writer.poll_status(cx);
        // A client that accepts bytes gets more time, up to `latest`.
        if status.unblock_count != closing.unblock_count {
            closing.unblock_count = status.unblock_count;
            closing.until = (now + closing.wait).min(closing.latest);
        }
        if status.phase == OutboxPhase::Dead || now >= closing.until {
            return Step::Done;
        }
        if status.is_blocked && self.writer.poll_unblock(cx).is_ready() {
            self.writer.flush();
            return Step::Continue;
        }
        if status.queued == 0 {
            let is_closed = closing.decoder.as_ref().is_some_and(Decoder::is_closed_by_peer);
            if is_closed && self.writer.poll_closed(cx).is_ready() {
                return Step::Done;
            }
            // RFC 6455 section 7.1.1: the server shuts down its direction first, and then waits for
            // the client to do the same.
            if !std::mem::replace(&mut closing.is_shut, true) {
                self.writer.shutdown();
            }
        }
        self.discard_received(status, cx)
    }

    /// Reads the bytes that the client still sends, and searches them only for its close frame.
    fn discard_received(&mut self, status: Status, cx: &mut Context<'_>) -> Step {
        let State::Closing(closing) = &mut self.state else {
            return Step::Continue;
        };
        // Read and discard the bytes, since closing a socket with unread bytes sends a reset, which
        // can destroy the close frame in transit. Above the limit, leave them in the system's
        // buffer so that TCP flow control stops the client.
        if closing.left == 0 {
            return Step::Wait(closing.until);
        }
        let limits = &self.shared.options().limits;
        let mut answer = None;
        let read = with_buffer(|buffer| {
            let max = closing.left.min(buffer.len());
            self.writer.poll_read(cx, &mut buffer[..max]).map_ok(|size| {
                // This cannot underflow: at most `left` bytes were read.
                closing.left -= size;
                if let Some(decoder) = &mut closing.decoder {
                    let mut feed = decoder.feed(limits, &mut buffer[..size]);
                    while let Some(event) = feed.next() {
                        if let Ok(Event::Close { code, .. }) = event {
                            answer = code;
                        }
                    }
                }
                closing.decoder.take_if(|decoder| decoder.held() > CLOSE_SCAN_LIMIT);
                size
            })
        });
        if let (Some(id), Some(code)) = (closing.session, answer) {
            self.shared.core().sessions.close_answered(id, code);
        }
        match read {
            // The client has shut down its direction, but the transport still has buffered bytes to
            // write.
            Poll::Ready(Ok(0))
                if status.queued == 0 && self.writer.poll_closed(cx).is_pending() =>
            {
                Step::Wait(closing.until)
            }
            Poll::Ready(Ok(0) | Err(_)) => Step::Done,
            // Yield to other tasks, since a client may send continuously.
            Poll::Ready(Ok(_)) => Step::Later,
            Poll::Pending => Step::Wait(closing.until),
        }
    }
}
