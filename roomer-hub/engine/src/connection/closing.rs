//! The closing handshake: the last bytes are written, and received ones are read and discarded.

use std::task::{Context, Poll};
use std::time::Duration;

use roomer_proto::websocket::Session;

use crate::connection::read_buffer::with_buffer;
use crate::connection::{Connection, State, Step};
use crate::outbound::outbox::OutboxPhase;
use crate::outbound::socket_writer::Status;

/// The maximum size of an unfinished message that is buffered during the close, to find the peer's
/// close frame after it.
const CLOSE_SCAN_LIMIT: usize = 64 * 1024;

/// The maximum number of received bytes that are read and discarded after the close. Enough for
/// what is in transit from a client that closes properly; without the limit, a client that does not
/// would keep the server reading until the close times out.
const MAX_DISCARD: usize = 256 * 1024;

/// The factor by which a close may exceed its timeout in total while the last bytes are written to
/// a slow client. So both the bytes that wait and the time that a client can delay the end are
/// bounded.
const CLOSE_EXTENSIONS: u32 = 12;

/// A connection whose last bytes are being written.
pub(super) struct Closing {
    /// Looks for the peer's close frame. `None` if that would need much memory, or before the upgrade.
    session: Option<Session>,
    /// The time for which the client may accept none of the last bytes.
    wait: Duration,
    /// When the connection is dropped; postponed while the client reads, but not beyond `latest`.
    until: Duration,
    latest: Duration,
    /// The writer's count of how often a full socket accepted bytes again.
    relieved: u32,
    /// True once the writing direction is shut down.
    is_shut: bool,
    /// The number of received bytes that are still read.
    left: usize,
}

impl Connection {
    /// Begins to close within the option `close_timeout`.
    pub(super) fn close(&mut self, now: Duration, session: Option<Session>) -> Step {
        self.close_within(now, session, self.shared.options().close_timeout)
    }

    /// Begins to close. `wait` is how long the client may accept none of the last bytes.
    pub(super) fn close_within(
        &mut self,
        now: Duration,
        session: Option<Session>,
        wait: Duration,
    ) -> Step {
        self.writer.prepare_final_write();
        let session = session.filter(|session| session.held() <= CLOSE_SCAN_LIMIT);
        let relieved = self.writer.relieved();
        self.state = State::Closing(Box::new(Closing {
            session,
            wait,
            until: now + wait,
            latest: now + wait * CLOSE_EXTENSIONS,
            relieved,
            is_shut: false,
            left: MAX_DISCARD,
        }));
        Step::Again
    }

    /// Takes one step of the close.
    pub(super) fn closing(&mut self, now: Duration, cx: &mut Context<'_>) -> Step {
        let State::Closing(closing) = &mut self.state else {
            return Step::Again;
        };
        let status = self.writer.poll_status(cx);
        // A client that reads gets more time, up to a limit.
        if status.relieved != closing.relieved {
            closing.relieved = status.relieved;
            closing.until = (now + closing.wait).min(closing.latest);
        }
        if status.phase == OutboxPhase::Dead || now >= closing.until {
            return Step::Done;
        }
        if status.is_blocked && self.writer.poll_unblock(cx).is_ready() {
            self.writer.flush();
            return Step::Again;
        }
        if status.queued == 0 {
            let is_closed = closing.session.as_ref().is_some_and(Session::is_closed_by_peer);
            if is_closed && self.writer.poll_closed(cx).is_ready() {
                return Step::Done;
            }
            // RFC 6455 section 7.1.1: the server ends its direction first, then waits for the
            // client.
            if !std::mem::replace(&mut closing.is_shut, true) {
                self.writer.shutdown();
            }
        }
        self.discard_received(status, cx)
    }

    /// Reads what the client still sends, and searches it only for its close frame.
    fn discard_received(&mut self, status: Status, cx: &mut Context<'_>) -> Step {
        let State::Closing(closing) = &mut self.state else {
            return Step::Again;
        };
        // Received bytes are read, since a socket closed with unread bytes sends a reset, which can
        // destroy our close frame on its way. Above the limit they stay in the system's buffer, which stops the client from sending more.
        if closing.left == 0 {
            return Step::Wait(closing.until);
        }
        let limits = &self.shared.options().limits;
        let read = with_buffer(|buffer| {
            let max = closing.left.min(buffer.len());
            self.writer.poll_read(cx, &mut buffer[..max]).map_ok(|size| {
                // Not below zero: at most `left` bytes were read.
                closing.left -= size;
                if let Some(session) = &mut closing.session {
                    let mut feed = session.feed(limits, &mut buffer[..size]);
                    while feed.next().is_some() {}
                }
                closing.session.take_if(|session| session.held() > CLOSE_SCAN_LIMIT);
                size
            })
        });
        match read {
            // The client has ended its side, but the transport still writes from buffers of its own.
            Poll::Ready(Ok(0))
                if status.queued == 0 && self.writer.poll_closed(cx).is_pending() =>
            {
                Step::Wait(closing.until)
            }
            Poll::Ready(Ok(0) | Err(_)) => Step::Done,
            // Other tasks first: a client may send without end.
            Poll::Ready(Ok(_)) => Step::Later,
            Poll::Pending => Step::Wait(closing.until),
        }
    }
}
