//! Detecting lost connections: how long a server may be silent, and how long it has to answer.

use core::time::Duration;

use super::error::{Closing, Failure};
use super::lifecycle::{Client, NextAttempt, State};
use super::limits::MAX_ANSWER_TIME;
use super::options::Options;

impl Client {
    /// Reports that the network has accepted bytes. While it does, the answer to a probe may still
    /// arrive.
    pub fn progressed(&mut self, now: Duration) {
        if let Some(socket) = self.socket.as_mut().filter(|socket| socket.is_probing) {
            // Extend the deadline of a pending probe only: bytes that are still being accepted show
            // that the probe waits behind a large message, not that the server is unreachable.
            socket.due = socket.due.max(now + self.options.answer_timeout);
        }
    }

    /// Probes an open connection, and shortens a long reconnect delay. Call this when the network
    /// may have changed, for example after the machine was suspended.
    pub fn wake(&mut self, now: Duration) {
        match (self.state, &mut self.socket) {
            (State::Open, Some(socket)) if !socket.is_probing => {
                (socket.is_probing, socket.must_ping) = (true, true);
                socket.due = now + answer_time(&self.options, self.answer_factor);
            }
            (State::Waiting, _) => {
                let most = self.options.min_delay;
                // Draw a new delay instead of connecting immediately: when a network returns, all
                // clients on it wake up at the same time.
                if let NextAttempt::At(at) = self.next_attempt
                    && at > now + most
                {
                    let extra = Duration::ZERO;
                    self.next_attempt = NextAttempt::Undrawn { since: now, extra, most };
                }
            }
            _ => {}
        }
    }

    /// Probes a silent server, and drops the connection if it does not answer.
    pub(super) fn check_silence(&mut self, now: Duration) {
        let Some(socket) = self.socket.as_mut().filter(|socket| now >= socket.due) else { return };
        let answer = answer_time(&self.options, self.answer_factor);
        // Only a plain server may be silent until probed, because an extended server has announced
        // a heartbeat.
        if self.state == State::Open && self.session.is_none() && !socket.is_probing {
            (socket.is_probing, socket.must_ping) = (true, true);
            socket.due = now + answer;
            return;
        }
        // If the machine was suspended, the driver must first read the bytes that have arrived.
        // Allow a quarter of the timeout for this, however long the suspension was.
        let slack = answer / 4;
        // `is_extended` permits this extension only once, so that a loaded machine cannot postpone
        // the timeout forever.
        if now > socket.due + slack && !socket.is_extended {
            (socket.is_extended, socket.due) = (true, now + slack);
            return;
        }
        match self.state {
            State::Closing => self.finish(now, Closing::Application),
            State::Open => {
                let most =
                    MAX_ANSWER_TIME.as_millis() / self.options.answer_timeout.as_millis().max(1);
                // Permit at least four times the option: otherwise a client whose server takes
                // longer to answer would reconnect forever.
                let most = u32::try_from(most).unwrap_or(u32::MAX).max(4);
                self.answer_factor = (2 * self.answer_factor).min(most);
                self.lose(now, Failure::Timeout);
            }
            _ => self.lose(now, Failure::Timeout),
        }
    }

    /// Records that bytes have arrived from the server.
    pub(super) fn record_received(&mut self, now: Duration) {
        let options = &self.options;
        // Until the client is open, `due` is the deadline of the attempt, which received bytes do
        // not extend.
        let Some(socket) = self.socket.as_mut().filter(|socket| socket.opened_at.is_some()) else {
            return;
        };
        if core::mem::take(&mut socket.is_probing) {
            self.answer_factor = 1;
        }
        (socket.is_extended, socket.must_ping) = (false, false);
        if self.state == State::Open {
            socket.due = now
                + match &self.session {
                    // The server has announced a heartbeat, so no ping is needed.
                    Some(session) => session.heartbeat + answer_time(options, self.answer_factor),
                    None => options.heartbeat,
                };
        }
    }
}

fn answer_time(options: &Options, answer_factor: u32) -> Duration {
    options.answer_timeout.saturating_mul(answer_factor)
}
