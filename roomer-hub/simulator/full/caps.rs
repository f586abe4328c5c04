//! How many may come: connections, and handshakes before them.

use std::time::Duration;

use super::line::{Line, State};
use super::stage::Stage;

/// See the engine's `opening.rs`: how long one that was turned away may take to read the answer.
const LINGER: Duration = Duration::from_secs(1);

impl Stage<'_> {
    /// Whether there are as many connections as there may be.
    pub(super) fn is_full(&self) -> bool {
        let is_in = |line: &&Line| line.state != State::Done && line.who.is_some();
        self.plan.setup.caps[0].is_some_and(|cap| self.lines.iter().filter(is_in).count() >= cap)
    }

    /// Whether there are as many handshakes as there may be, refused ones included until they end.
    pub(super) fn is_too_busy(&self) -> bool {
        let begins =
            |line: &&Line| line.state != State::Done && line.who.is_none() && !line.is_turned_away;
        self.plan.setup.caps[1].is_some_and(|cap| self.lines.iter().filter(begins).count() >= cap)
    }

    /// How long one that is being closed may take for its last bytes.
    pub(super) fn close_wait(&self, at: usize) -> Duration {
        let wait = Duration::from_millis(self.plan.setup.close);
        if self.lines[at].is_turned_away { wait.min(LINGER) } else { wait }
    }
}
