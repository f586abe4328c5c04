//! The permissions that an application gives to packets.

/// A permission that an application can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// To join the packet's room.
    Join,
    /// To send the packet into its room, to a handler or to the members.
    Publish,
    /// To send the packet to the connection `dst`.
    Direct,
    /// To set the sender's info to the packet's payload, which is valid.
    Info,
}

/// The state of a packet's permission: whether it still has to be authorized, if the configuration
/// demands it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authorization {
    Required,
    Granted,
}
