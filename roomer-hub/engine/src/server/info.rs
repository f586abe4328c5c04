//! Application access to member info.

use roomer_hub::{Command, Info};
use roomer_proto::cluster::UserCommand;

use crate::options::Options;
use crate::server::conn::Conn;
use crate::server::user::User;

/// The info exceeds [`max_info`](crate::Builder::max_info). The caller is at fault.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("info of {bytes} bytes exceeds max_info({limit}): shorten it, or raise max_info")]
pub struct InfoTooLong {
    bytes: usize,
    limit: usize,
}

roomer_proto::debug_as_display!(InfoTooLong);

impl InfoTooLong {
    /// Returns the info, or an error if it exceeds the limit.
    pub(crate) fn check(info: Option<Info>, options: &Options) -> Result<Option<Info>, Self> {
        let bytes = info.as_ref().map_or(0, |info| info.as_str().len());
        let limit = options.hub_limits.info;
        if bytes > limit { Err(InfoTooLong { bytes, limit }) } else { Ok(info) }
    }
}

impl Conn {
    /// Returns the info that extended members of the connection's rooms receive along with its id.
    #[must_use]
    pub fn info(&self) -> Option<Info> {
        self.server.0.core().hub.tables().info(self.info.key).cloned()
    }

    /// Replaces the info; `None` removes it. The extended members of the connection's rooms,
    /// including the connection itself, are notified immediately. In a room whose
    /// [`Presence`](crate::Presence) is off, only the connection itself is notified, and in a room
    /// that only counts its members, no member is notified. Plain clients are not notified.
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::{Info, Server}; // or roomer_smol
    ///
    /// let server = Server::builder()
    ///     .on("rename", |conn, message| {
    ///         conn.set_info(Info::string(message.text()?))?;
    ///         Ok(())
    ///     })
    ///     .build()?;
    /// # Ok::<(), roomer_engine::BuildError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an [`InfoTooLong`] if the info exceeds [`max_info`](crate::Builder::max_info).
    pub fn set_info(&self, info: impl Into<Option<Info>>) -> Result<(), InfoTooLong> {
        let info = InfoTooLong::check(info.into(), self.server.0.options())?;
        self.server.0.command(Command::SetInfo { conn: self.info.key, info: info.as_ref() });
        Ok(())
    }
}

impl User {
    /// Replaces the info of all the user's connections on all nodes, like [`Conn::set_info`]. Returns
    /// the number of connections on this node.
    ///
    /// # Errors
    ///
    /// Returns an [`InfoTooLong`] if the info exceeds [`max_info`](crate::Builder::max_info).
    pub fn set_info(&self, info: impl Into<Option<Info>>) -> Result<usize, InfoTooLong> {
        let info = InfoTooLong::check(info.into(), self.server.0.options())?;
        // Other nodes treat an empty text as a request to remove the info.
        let at_peers = info.as_ref().map_or("", Info::as_str);
        self.at_peers(UserCommand::SetInfo { info: at_peers });
        Ok(self.for_each(|_| true, |conn| Command::SetInfo { conn, info: info.as_ref() }))
    }
}
