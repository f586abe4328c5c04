//! What a connection's own turn must have led to, by what it has read and what the clock says.

use std::time::Duration;

use super::line::State;
use super::marks::Mark;
use super::stage::Stage;
use crate::fault::{Fault, ensure};

/// See the engine's `open.rs`: these are the shortest times after which one that is owed too much
/// may be given up, at ease and in a flood.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(4));
const IMPATIENCE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

impl Stage<'_> {
    /// What a turn of its own must have led to.
    pub(super) fn after_turn(&mut self, at: usize, has_read: bool) -> Result<(), Fault> {
        let is_done = self.tasks.is_done(self.lines[at].task);
        if self.lines[at].state == State::Handshake {
            self.after_handshake_turn(at, is_done)?;
        }
        if self.lines[at].state == State::Open && !is_done {
            self.before(at);
            let line = &mut self.lines[at];
            if line.waiting.is_none() && line.mouth.said.is_empty() {
                line.kept_from = None;
            }
            if let Some(what) = line.next() {
                return Err(Fault::new(format!("connection {at} has read {what:?}, for nothing")));
            }
            let has_read_on = line.waiting.is_some_and(|waiting| line.read > waiting.read);
            ensure!(!has_read_on, "connection {at} reads on while its handler waits");
            self.after_open_turn(at, has_read)?;
        }
        let (may_end, may_be_cut) = (self.may_end(at), self.may_be_cut());
        let wait = self.close_timeout(at);
        let line = &mut self.lines[at];
        if is_done && line.state != State::Done {
            ensure!(may_end, "connection {at} ends before its time ({:?})", line.state);
            let cut_short = line.due.owed() > 0 && line.state == State::Closing;
            self.seen.mark(cut_short, Mark::CloseTimeout);
            let is_cut_off = line.is_refused || line.is_aborted || line.is_shed;
            let is_cut_off = is_cut_off || may_be_cut || line.is_read_to_the_end();
            let is_late = line.closed.is_some_and(|(since, _)| self.clock.now() >= since + wait);
            line.has_agreed = line.state == State::Closing && !is_cut_off && !is_late;
            line.state = State::Done;
            if line.who.is_some() {
                self.ended();
            }
        }
        Ok(())
    }

    fn after_open_turn(&mut self, at: usize, has_read: bool) -> Result<(), Fault> {
        let now = self.now();
        let setup = &self.plan.setup;
        let (ping, pong) = (Duration::from_millis(setup.ping), Duration::from_millis(setup.pong));
        let may_be_over = self.may_be_over(at);
        let line = &mut self.lines[at];
        if now >= line.pinged + ping {
            self.seen.mark(line.waiting.is_some(), Mark::PingWhileWaiting);
            line.pinged = now;
            line.asked.get_or_insert(now);
            line.is_unsure |= has_read;
            match may_be_over {
                true => line.due.lax_pings += 1,
                false => line.due.pings += 1,
            }
            self.seen.mark(true, Mark::Ping);
        }
        let heard = line.heard.max(line.relieved.1);
        let silent = line.asked.map(|asked| (heard + pong).max(asked + pong - ping));
        let is_silent = silent.is_some_and(|at| now >= at) && !line.is_unsure;
        let says_nothing = line.asked.is_some_and(|_| now >= line.heard + pong);
        self.seen.mark(says_nothing && now < line.relieved.0 + pong, Mark::TakingIsLife);
        self.seen.mark(is_silent && line.waiting.is_some(), Mark::SilentWhileWaiting);
        let may_stay = !is_silent || line.waiting.is_some();
        ensure!(may_stay, "connection {at} is silent since {heard:?} and stays");
        Ok(())
    }

    /// Whether a task may have come to its end.
    fn may_end(&self, at: usize) -> bool {
        let line = &self.lines[at];
        let is_cut_off = line.is_refused || line.is_aborted || line.is_shed;
        if is_cut_off || self.may_be_cut() || line.is_seen_to_end() {
            return true;
        }
        let wait = self.close_timeout(at);
        match (line.state, line.closed) {
            (State::Handshake, _) => self.is_stopping,
            (State::Closing, Some((since, _))) => {
                let is_late = self.now() >= since + wait;
                let hears_close = line.closes_at.is_some_and(|at| line.peer.read() >= at);
                is_late || hears_close
            }
            _ => false,
        }
    }

    /// Whether one that is given up as too slow is.
    pub(super) fn check_slow(&mut self, at: usize) -> Result<(), Fault> {
        let now = self.now();
        let setup = &self.plan.setup;
        let line = &self.lines[at];
        let may_ping = now >= line.pinged + Duration::from_millis(setup.ping);
        let (soft, owed) = (setup.max_backlog as u64, line.due.owed() + 2 * u64::from(may_ping));
        let hard = setup.hard() as u64;
        if line.due.may_overrun || (may_ping && line.due.owed() > hard) {
            self.seen.mark(true, Mark::HardLimit);
            return Ok(());
        }
        let line = &self.lines[at];
        ensure!(
            !line.peer.has_room() || line.peer.is_full(),
            "{at} is too slow with room, owed {owed} of {soft}, {hard}"
        );
        let write = Duration::from_millis(setup.write);
        let (stall, trickle) = if owed > 3 * soft { IMPATIENCE } else { PATIENCE };
        let stood = now - line.took.1;
        // The newest message is not held against it.
        let newest = match may_ping || line.due.pings + line.due.lax_pings > 0 {
            true => 0,
            false => line.due.items.iter().map(|item| item.what.len()).min().unwrap_or(0),
        };
        let counted = owed.saturating_sub(newest);
        let behind = line.behind.map_or(Duration::ZERO, |since| now - since);
        self.seen.mark(stood >= write, Mark::WriteTimeout);
        let may = stood >= write || (counted > soft / 2 && (stood >= stall || behind >= trickle));
        ensure!(may, "{at} is too slow after {stood:?} and {behind:?}, owed {owed} of {soft}");
        Ok(())
    }
}
