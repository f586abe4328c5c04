//! The deadlines for an established connection.

use std::time::Duration;

use roomer_proto::close::{self, Close};
use roomer_proto::websocket;

use crate::connection::established::Established;
use crate::connection::{Connection, State, Step};
use crate::metrics::trace;
use crate::options::Options;
use crate::outbound::socket_writer::Status;

/// The kinds of deadlines.
#[derive(Clone, Copy, Debug)]
enum Deadline {
    /// The client has closed the connection, and its earlier messages are still waiting.
    Closed,
    /// The client has been silent for too long.
    Silence,
    /// The login expires.
    Login,
    /// A message takes too long to arrive.
    Message,
    /// The server must acknowledge the client's packets or send a heartbeat.
    Acknowledgement,
    /// The client must be asked for a token.
    Renewal,
    Ping,
}

/// A connection's deadlines, in the order in which expired ones are handled: those that end the
/// connection come first. The deadlines for a full socket are stored elsewhere and checked last.
type Deadlines = [(Deadline, Option<Duration>); 7];

impl Established {
    fn deadlines(&self, options: &Options) -> Deadlines {
        let (activity, session) = (self.activity.get(), self.session_state.as_ref());
        let silence = match self.activity.is_pending() {
            false => self.keep_alive.timeout_at(options.ping_interval, options.pong_timeout),
            // Little is read while a handler is pending, which must not count as the client's silence.
            true => None,
        };
        let message = activity.and_then(|parts| parts.progress.timeout_at(options.message_timeout));
        [
            (Deadline::Closed, self.activity.late_at(options.close_timeout)),
            (Deadline::Silence, silence),
            (Deadline::Login, self.conn.info.expires()),
            (Deadline::Message, message),
            (Deadline::Acknowledgement, session.map(|session| session.due_at())),
            (Deadline::Renewal, session.and_then(|session| session.renewal.due_at())),
            (Deadline::Ping, Some(self.keep_alive.ping_at(options.ping_interval))),
        ]
    }
}

impl Connection {
    /// Closes a connection whose client reads too slowly.
    pub(super) fn close_slow(&mut self, now: Duration) -> Step {
        if let State::Established(open) = &self.state {
            trace::lagged(&open.conn.info, self.writer.backlog().0);
        }
        self.end(now, &close::TOO_SLOW)
    }

    /// Handles expired deadlines, and determines when to poll next. This runs after reading so that
    /// bytes that arrived while the process was suspended count, and the process's own pause is not
    /// mistaken for the client's silence. `status` was obtained before the read. Any later change
    /// that needs an action has woken the task, which then performs another step.
    pub(super) fn check_timeouts(&mut self, now: Duration, status: Status, has_more: bool) -> Step {
        let State::Established(open) = &mut self.state else {
            return Step::Continue;
        };
        open.keep_alive.unblocked(now, status.unblock_count);
        // The client cannot complete a message while the server does not read, or reads little.
        if open.is_reading_suspended(status) {
            open.activity.restart_progress(now);
        }
        let deadlines = open.deadlines(self.shared.options());
        for (deadline, at) in deadlines {
            if at.is_some_and(|at| now >= at) {
                return self.on_deadline(now, deadline);
            }
        }
        self.wait(now, status, has_more, &deadlines)
    }

    /// Handles an expired deadline.
    fn on_deadline(&mut self, now: Duration, deadline: Deadline) -> Step {
        let State::Established(open) = &mut self.state else {
            return Step::Continue;
        };
        let key = open.conn.info.key;
        match deadline {
            Deadline::Closed => return self.end_behind(now),
            Deadline::Silence => return self.detach_or_end(now, &close::SILENT),
            Deadline::Login => return self.end(now, &close::LOGIN_EXPIRED),
            Deadline::Message => {
                // An incomplete message that stops arriving indicates a lost network long before the
                // pong timeout does. The client retransmits the message on the session's next socket.
                let half = self.shared.options().message_timeout / 2;
                return match open.keep_alive.silence(now) >= half {
                    true => self.detach_or_end(now, &close::UNFINISHED),
                    false => self.end(now, &close::UNFINISHED),
                };
            }
            Deadline::Acknowledgement => {
                if let Some(session) = &mut open.session_state {
                    self.shared.core().before_ack(now, key);
                    // Not `send_control`, which would drop it above the high-water mark although the
                    // session then counts its packets as acknowledged.
                    self.shared.send_ack(key, session.acknowledge(now));
                }
            }
            Deadline::Renewal => {
                if let Some(session) = &mut open.session_state {
                    let mut core = self.shared.core();
                    session.renewal.ask(now, &open.conn.info, &mut core.outbound);
                    self.shared.flush_after_input(now, core, &mut open.flush_at);
                }
            }
            Deadline::Ping => {
                open.keep_alive.pinged(now);
                let mut frame = Vec::new();
                websocket::ping_frame(&mut frame);
                self.shared.send_control(key, frame);
            }
        }
        // Sending may have filled the socket, so the next step must read the status again.
        Step::Continue
    }

    /// Detaches the session if the client's network seems lost, or closes the connection.
    fn detach_or_end(&mut self, now: Duration, reason: &Close) -> Step {
        match self.detach(now) {
            true => Step::Continue,
            false => self.end(now, reason),
        }
    }

    /// Checks the deadlines for a full socket, and determines when to poll next.
    fn wait(
        &mut self,
        now: Duration,
        status: Status,
        has_more: bool,
        deadlines: &Deadlines,
    ) -> Step {
        let State::Established(open) = &mut self.state else {
            return Step::Continue;
        };
        let slow = open.poll_slow(now, &status, self.shared.options());
        if slow.is_some_and(|verdict| verdict.is_stalled) {
            self.writer.mark_stalled();
        }
        if slow.is_some_and(|verdict| now >= verdict.close_at) {
            return match self.detach(now) {
                true => Step::Continue,
                false => self.close_slow(now),
            };
        }
        let flush_at = open.flush_at.map(Duration::from);
        // Return `Later` instead of `Continue` so that other tasks run in between.
        if has_more || flush_at.is_some_and(|at| now >= at) {
            return Step::Later;
        }
        let pause = open.activity.get().and_then(|parts| parts.pause.as_ref());
        let others =
            [slow.map(|verdict| verdict.poll_at), pause.map(|pause| pause.until), flush_at];
        // Free the parts only before the task waits: a busy connection would otherwise free and
        // allocate them between steps.
        open.activity.free_if_ended();
        let next = deadlines.iter().filter_map(|(_, at)| *at);
        let next = next.chain(others.into_iter().flatten());
        // There is always a deadline: the next ping's.
        next.min().map_or(Step::Continue, Step::Wait)
    }
}
