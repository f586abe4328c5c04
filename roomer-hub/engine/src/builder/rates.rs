//! How much one client may ask of a server.

use crate::builder::{BuildError, Builder};
use roomer_hub::Config;
use roomer_hub::Rate;

impl<E> Builder<E> {
    /// The most messages that one connection may send: `per_second` on average, `burst` at once
    /// after a pause. Joins and leaves count too. Default: any number. Whoever sends more is
    /// closed with 1008 and the reason `rate`: messages are never dropped one by one, since a
    /// client could not know which.
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::Server; // or roomer_smol
    /// let server = Server::builder()
    ///     .message_rate(50, 200)
    ///     .join_rate(5, 100)
    ///     .max_message(64 * 1024)
    ///     .byte_rate(32 * 1024, 256 * 1024)
    ///     .build()?;
    /// # Ok::<(), roomer_engine::BuildError>(())
    /// ```
    pub fn message_rate(mut self, per_second: u32, burst: u32) -> Self {
        self.config.message_rate = self.rate("message_rate", per_second, burst);
        self
    }

    /// The same in bytes of messages, the headers of their frames not counted. `burst` must not be
    /// below [`max_message`](Self::max_message). Default: any number.
    pub fn byte_rate(mut self, per_second: u32, burst: u32) -> Self {
        self.config.byte_rate = self.rate("byte_rate", per_second, burst);
        self
    }

    /// The same for joins alone, which cost more than a message: each, even a repeated one, is
    /// answered with the room's members, and the others hear of it. Default: any number. Choose
    /// the burst above the number of rooms that a client joins again when it comes back.
    pub fn join_rate(mut self, per_second: u32, burst: u32) -> Self {
        self.config.join_rate = self.rate("join_rate", per_second, burst);
        self
    }

    /// How many of a client's messages may be refused before it is closed with 1008 and the reason
    /// `too many violations`: `burst` at once, and `per_second` on average. Default 1 per second
    /// and 256 at once, which is far more than a client has under way when it is taken out of a
    /// room, and far less than one sends that means it. [`Config::violation_rate`] says what counts.
    pub fn violation_rate(mut self, per_second: u32, burst: u32) -> Self {
        self.config.violation_rate = self.rate("violation_rate", per_second, burst);
        self
    }

    /// Closes nobody for messages that are refused, however many.
    pub fn unlimited_violations(mut self) -> Self {
        self.config.violation_rate = None;
        self
    }

    /// Lets direct messages pass only between clients that share a room; `root` does not count,
    /// since everybody starts there. Default: whoever knows an id can send to it, as in the Go
    /// original. What does not pass is dropped and counted. Handlers send to whom they like.
    pub fn shared_room_only(mut self) -> Self {
        self.config.shared_room_only = true;
        self
    }

    fn rate(&mut self, option: &'static str, per_second: u32, burst: u32) -> Option<Rate> {
        let rate = Rate::new(per_second, burst);
        if rate.is_none() {
            self.bad_rate = Some(option);
        }
        rate
    }
}

pub(crate) fn check(
    config: &Config,
    bad_rate: Option<&'static str>,
    max_message: usize,
) -> Result<(), BuildError> {
    if let Some(option) = bad_rate {
        return Err(BuildError::Zero { option });
    }
    match config.byte_rate.map(Rate::burst) {
        Some(burst) if (burst as usize) < max_message => {
            Err(BuildError::ByteBurst { burst, max_message })
        }
        _ => Ok(()),
    }
}
