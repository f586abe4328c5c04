//! The deadlines of an established connection.

use std::time::Duration;

use roomer_proto::close;
use roomer_proto::websocket;

use crate::connection::{Connection, State, Step};
use crate::outbound::socket_writer::Status;

impl Connection {
    /// Handles the deadlines that have passed, and determines when to poll next. Runs after reading,
    /// so that a process that was stopped for a while does not mistake its own pause for the
    /// client's silence: bytes that arrived meanwhile count. `status` is from before the reading: a change
    /// that needs an action has woken the task, which then takes another step.
    pub(super) fn check_timeouts(&mut self, now: Duration, status: Status, has_more: bool) -> Step {
        let State::Established(open) = &mut self.state else {
            return Step::Again;
        };
        let is_due = |at: Option<Duration>| at.is_some_and(|at| now >= at);
        let options = self.shared.options();
        open.keep_alive.relieved(now, status.relieved);
        let silent = match open.activity.is_pending() {
            false => open.keep_alive.timeout_at(options.ping_interval, options.pong_timeout),
            // Nothing is read while a handler is pending: that is not the client's silence.
            true => None,
        };
        if is_due(silent) {
            return match self.detach(now) {
                true => Step::Again,
                false => self.end(now, &close::SILENT),
            };
        }
        let expires = open.conn.info.expires();
        if is_due(expires) {
            return self.end(now, &close::LOGIN_EXPIRED);
        }
        // The client cannot finish a message that the server does not read.
        if open.is_reading_suspended(status) {
            open.activity.restart_progress(now);
        }
        let parts = open.activity.get();
        let unfinished = parts.and_then(|parts| parts.progress.timeout_at(options.message_timeout));
        if is_due(unfinished) {
            // A message that stops in the middle is the first sign of a lost network, long before the
            // silence is. The client of a session sends the message again on its next socket.
            let has_stopped = open.keep_alive.silence(now) >= options.message_timeout / 2;
            return match has_stopped && self.detach(now) {
                true => Step::Again,
                false => self.end(now, &close::UNFINISHED),
            };
        }
        let acknowledge = open.session_state.as_ref().map(|session| session.due_at());
        if is_due(acknowledge)
            && let Some(session) = &mut open.session_state
        {
            self.shared.send_control(open.conn.info.key, session.acknowledge(now));
            return Step::Again;
        }
        let renew = open.session_state.as_ref().and_then(|session| session.renewal.due_at());
        if is_due(renew)
            && let Some(session) = &mut open.session_state
        {
            let mut core = self.shared.core();
            session.renewal.ask(now, &open.conn.info, &mut core.outbound);
            self.shared.flush_after_input(now, core, &mut open.flush_at);
            return Step::Again;
        }
        let ping = open.keep_alive.ping_at(options.ping_interval);
        if now >= ping {
            open.keep_alive.pinged(now);
            let mut frame = Vec::new();
            websocket::ping_frame(&mut frame);
            self.shared.send_control(open.conn.info.key, frame);
            // The ping may have filled the socket, so the status has to be read again.
            return Step::Again;
        }
        let slow = open.poll_slow(now, &status, options);
        if slow.is_some_and(|verdict| verdict.is_stalled) {
            self.writer.mark_stalled();
        }
        if is_due(slow.map(|verdict| verdict.close_at)) {
            return match self.detach(now) {
                true => Step::Again,
                false => self.close_slow(now),
            };
        }
        let flush_at = open.flush_at.map(Duration::from);
        // `Later` and not `Again`: other connections get their turn in between.
        if has_more || is_due(flush_at) {
            return Step::Later;
        }
        let slow = slow.map(|verdict| verdict.poll_at);
        let pause = open.activity.get().and_then(|parts| parts.pause.as_ref());
        let pause = pause.map(|pause| pause.until);
        // Only now that the task waits: busy connections keep their memory between two steps.
        open.activity.settle();
        let next = [silent, expires, unfinished, slow, pause, flush_at, acknowledge, renew];
        let next = next.into_iter().flatten();
        Step::Wait(next.fold(ping, Duration::min))
    }
}
