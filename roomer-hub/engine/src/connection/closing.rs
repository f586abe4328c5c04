//! A connection's last part: its last bytes go out, and the peer's are read away.

use std::task::{Context, Poll};
use std::time::Duration;

use roomer_proto::websocket::Session;

use crate::connection::read_buffer::with_buffer;
use crate::connection::{Closing, Connection, State, Step};
use crate::outbound::outbox::OutboxPhase;
use crate::transport::Reader;

/// How much one that is being closed may have begun to send for its close frame to be looked for
/// behind it.
const CLOSE_SCAN_LIMIT: usize = 64 * 1024;

/// How much of what a client goes on sending is read after the close. Enough for what was under way
/// from a client that closes as it should; one that does not would have the server read for as long
/// as the close may take.
const MAX_DISCARD: usize = 256 * 1024;

/// How many times the wait of a close all of it may take while its last bytes go out over a slow
/// link. What waits is bounded, and so is how long a client may make it last.
const CLOSE_EXTENSIONS: u32 = 12;

impl<R: Reader> Connection<R> {
    pub(super) fn close(&mut self, now: Duration, session: Option<Session>) -> Step {
        self.close_within(now, session, self.server.options().close_timeout)
    }

    pub(super) fn close_within(
        &mut self,
        now: Duration,
        session: Option<Session>,
        wait: Duration,
    ) -> Step {
        self.writer.prepare_final_write();
        let session = session.filter(|session| session.held() <= CLOSE_SCAN_LIMIT);
        let relieved = self.writer.relieved();
        self.state = State::Closing(Closing {
            session,
            wait,
            until: now + wait,
            latest: now + wait * CLOSE_EXTENSIONS,
            relieved,
            is_shut: false,
            left: MAX_DISCARD,
        });
        Step::Again
    }

    pub(super) fn closing(&mut self, now: Duration, cx: &mut Context<'_>) -> Step {
        let State::Closing(closing) = &mut self.state else {
            return Step::Again;
        };
        let status = self.writer.poll_status(cx);
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
            if !std::mem::replace(&mut closing.is_shut, true) {
                self.writer.shutdown();
            }
        }
        // What still comes in is read, so that the close frame is not lost to a reset, and
        // searched only for the peer's own. What comes after that stays with the system, which has
        // the client wait: its close frame can still be read by then, and the end is near.
        if closing.left == 0 {
            return Step::Wait(closing.until);
        }
        let limits = &self.server.options().limits;
        let read = with_buffer(|buffer| {
            let most = closing.left.min(buffer.len());
            self.reader.poll_read(cx, &mut buffer[..most]).map_ok(|size| {
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
            Poll::Ready(Ok(0))
                if status.queued == 0 && self.writer.poll_closed(cx).is_pending() =>
            {
                Step::Wait(closing.until)
            }
            Poll::Ready(Ok(0) | Err(_)) => Step::Done,
            Poll::Ready(Ok(_)) => Step::Later,
            Poll::Pending => Step::Wait(closing.until),
        }
    }
}
