//! Converts the configuration of a plan to server options.

use roomer_engine::{Builder, Server};

use super::HANDSHAKE_TIMEOUT;
use super::application::millis;
use super::plan::Setup;

/// The server's `max_message`.
pub const MAX_MESSAGE: usize = 8192;

impl Setup {
    /// Returns the memory budget in bytes; `None` for the default.
    pub fn budget(&self) -> Option<usize> {
        let backlog = self.max_backlog as usize;
        let least = backlog + MAX_MESSAGE.max(3 * backlog);
        Some(least + self.memory_slack? as usize)
    }

    pub fn builder(&self) -> Builder {
        let mut builder = Server::builder()
            .max_message(MAX_MESSAGE)
            .max_backlog(self.max_backlog as usize)
            .resume_window(millis(self.window))
            .resume_buffer(self.buffer as usize)
            .max_detached_sessions(self.max_detached.into())
            .max_connections(self.max_connections.into())
            .pong_timeout(millis(self.pong))
            .write_timeout(millis(self.write))
            .handshake_timeout(HANDSHAKE_TIMEOUT)
            .drain(millis(self.drain.0), self.drain.1.into());
        if self.announces_away {
            builder = builder.announce_away("r").announce_away("ro");
        }
        if let Some(budget) = self.budget() {
            builder = builder.memory_budget(budget);
        }
        builder
    }
}
