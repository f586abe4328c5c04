//! Losing connections and sessions, deciding whether to reconnect, and closing the client.

use core::time::Duration;

use super::error::{Closing, Failure, RequestError, SendError};
use super::event::{Event, LostReason, Undelivered};
use super::item::{Item, Kind};
use super::lifecycle::{Client, NextAttempt, State};
use super::limits::{ACK_TIME, CLOSE_TIME, LONGEST_HINT, RATE_DELAY};
use crate::Packet;
use crate::close::{self, Wait};
use crate::extended::parse_count;

impl Client {
    /// Handles a lost connection or a failed attempt.
    pub(super) fn lose(&mut self, now: Duration, failure: Failure) {
        if matches!(self.state, State::Closed | State::Waiting) {
            return;
        }
        // The application has already closed the client, so there is nothing to recover.
        if self.state == State::Closing {
            return self.finish(now, Closing::Application);
        }
        let socket = self.socket.take();
        let opened_at = socket.as_ref().and_then(|socket| socket.opened_at);
        let handshake = socket.as_ref().and_then(|socket| socket.handshake.as_ref());
        let is_by_roomer = handshake.is_some_and(|handshake| handshake.is_rejected_by_roomer);
        self.must_disconnect = true;
        // Reset the count only after `min_uptime`: otherwise the client would reconnect without
        // backoff to a server that accepts each connection and closes it immediately.
        if opened_at.is_some_and(|at| now.saturating_sub(at) >= self.options.min_uptime) {
            self.failures = 0;
        }
        let (wait, hint) = self.verdict(&failure, is_by_roomer);
        // A close frame from the server or a protocol violation ends the session.
        let keeps_session = self.session.as_ref().is_some_and(|session| session.token.is_some())
            && matches!(failure, Failure::Broken | Failure::Timeout | Failure::Connect(_));
        if wait == Some(Wait::Slow) {
            self.outbox.slow_down(now);
        }
        self.lost_at.get_or_insert(now);
        // After a failed attempt, keep the session, which the next attempt may still resume.
        if !keeps_session && opened_at.is_some() {
            self.end_session(now);
        }
        let Some(wait) = wait else { return self.finish(now, Closing::Final(failure)) };
        if self.options.retries.is_some_and(|retries| self.failures >= retries) {
            return self.finish(now, Closing::GaveUp(failure));
        }
        // The power overflows after 32 failures. The default delays reach `max_delay` long before.
        let doubled = 2u32.checked_pow(self.failures).unwrap_or(u32::MAX);
        let most = self.options.min_delay.saturating_mul(doubled).min(self.options.max_delay);
        // Increment the count after computing the delay so that the first reconnect uses the
        // shortest delay.
        self.failures += 1;
        let extra = if wait == Wait::Slow { RATE_DELAY } else { Duration::ZERO };
        self.next_attempt = match hint {
            // Add no jitter: the server already spreads the delays that it requests.
            Some(hint) => NextAttempt::At(now + hint),
            None => NextAttempt::Undrawn { since: now, extra, most },
        };
        self.state = State::Waiting;
        self.events.push_back(Event::Suspended(failure));
    }

    /// Returns whether and how to reconnect after a failure, and the delay that the server
    /// requested.
    fn verdict(&self, failure: &Failure, is_by_roomer: bool) -> (Option<Wait>, Option<Duration>) {
        let (code, reason) = match failure {
            // 1005 stands for a close frame without a code (RFC 6455 section 7.1.5).
            Failure::Closed { code, reason } => (code.unwrap_or(1005), reason.as_str()),
            // The server would reject the same credentials again. A proxy may reject every client during
            // an outage, but a proxy that has never let this client pass is probably configured to.
            Failure::Rejected { status: 401 | 403 }
                if !self.options.renews_login && (is_by_roomer || self.id.is_none()) =>
            {
                return (None, None);
            }
            _ => return (Some(Wait::Normal), None),
        };
        let wait = match self.options.is_final {
            Some(is_final) if is_final(code, reason) => None,
            Some(_) => Some(Wait::Normal),
            None => match close::find(code, reason) {
                Some(close) if !(close.relogin && self.options.renews_login) => close.wait,
                _ => Some(Wait::Normal),
            },
        };
        // Only the close codes for a restart or an overload carry a delay. With any other code, the
        // reason may be application text.
        let hint = reason.strip_prefix("retry=").filter(|_| matches!(code, 1012 | 1013));
        let hint = hint.and_then(|hint| parse_count(hint.as_bytes()));
        (wait, hint.map(|millis| Duration::from_millis(millis).min(LONGEST_HINT)))
    }

    /// Ends the session: all rooms must be joined again, and unconfirmed packets may not have
    /// arrived.
    pub(super) fn end_session(&mut self, now: Duration) {
        (self.session, self.recalls) = (None, None);
        for room in self.rooms.values_mut() {
            room.suspend(now, self.id);
        }
        // The server has discarded the state of the lost session, which completes a pending leave.
        let left = self.rooms.extract(|room| !room.is_wanted).into_iter();
        self.events.extend(left.map(|room| Event::Left { room }));
        for item in self.outbox.reset() {
            self.report(item, LostReason::Unconfirmed);
        }
        // `reset` has moved unwritten messages back into the queue, including those for rooms that
        // the application has since left.
        let left = self.outbox.discard(|item| !self.rooms.contains(item.room()));
        left.into_iter().for_each(|item| self.report(item, LostReason::Unsent));
        // Call this after `reset`, which queues unwritten requests again for the next session.
        self.lose_requests();
    }

    /// Closes the client permanently.
    pub(super) fn finish(&mut self, now: Duration, reason: Closing) {
        if self.socket.take().is_some() {
            self.must_disconnect = true;
        }
        // Call this before `discard`: ending the session moves unwritten messages back into the
        // queue.
        self.end_session(now);
        self.discard(LostReason::Unsent, |_| true);
        // `report` and `lose_requests` have completed all requests above.
        self.requests = None;
        self.rooms.clear();
        self.state = State::Closed;
        self.events.push_back(Event::Closed(reason));
    }

    /// Reports a message that may not have arrived, or a request that was not sent.
    pub(super) fn report(&mut self, item: Item, reason: LostReason) {
        if let Kind::Request(number) = item.kind
            && reason != LostReason::Unconfirmed
        {
            let error = match reason {
                // Use the error that `request` would have returned if it had known the limit.
                LostReason::TooLarge => SendError::TooLarge.into(),
                _ => RequestError::Unsent,
            };
            self.end_request(number, error);
        } else if item.kind == Kind::Message
            && let Ok(packet) = Packet::decode(item.bytes)
        {
            self.events.push_back(Event::Lost(Undelivered { packet, reason }));
        }
    }

    /// Closes the client. The client writes all committed packets, then a close frame, and waits
    /// for the server's close frame. If the server confirms nothing for a few seconds, the client
    /// stops waiting.
    pub fn close(&mut self, now: Duration) {
        match self.state {
            State::Open => {
                // Commit everything that can be sent now: the queue is not read while closing.
                self.pump(now);
                self.state = State::Closing;
                if let Some(socket) = &mut self.socket {
                    socket.must_close = true;
                }
                self.await_close(now);
            }
            State::Waiting | State::Connecting => self.finish(now, Closing::Application),
            State::Closing | State::Closed => {}
        }
    }

    /// Closes the client immediately and permanently. A driver calls this when it can no longer run.
    /// Does nothing if the client is closed.
    pub fn abort(&mut self, now: Duration) {
        if self.state != State::Closed {
            self.finish(now, Closing::Aborted);
        }
    }

    /// Sets the time at which the closing client stops waiting. Each new confirmation extends it: a
    /// server that delays this client's packets reads the close frame only after all of them.
    pub(super) fn await_close(&mut self, now: Duration) {
        // An extended server may be silent until its next acknowledgement is due.
        let is_confirmed = self.session.is_none() || self.outbox.held() == 0;
        let most = if is_confirmed { CLOSE_TIME } else { CLOSE_TIME + ACK_TIME };
        if let Some(socket) = &mut self.socket {
            socket.due = now + most;
        }
    }
}
