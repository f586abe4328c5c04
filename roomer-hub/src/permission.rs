//! Permissions that the application may be asked for, and whether a packet has been granted one.

/// A permission that the application may be asked to grant.
///
/// The enum is exhaustive, so that a driver asks for a new permission instead of granting or denying
/// it by accident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Join the packet's room.
    Join,
    /// Send the packet to its room, for the members or a handler.
    Publish,
    /// Send the packet to the connection `dst`.
    Direct,
    /// Set the sender's info to the packet's payload, which has been validated.
    Info,
}

/// A packet's authorization state. If it is `Required`, the application may have to be asked for
/// permission, depending on the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authorization {
    Required,
    Granted,
}
