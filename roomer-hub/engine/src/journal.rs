//! A record of the hub's inputs in order, which a simulation replays.

use roomer_hub::ConnKey;
use roomer_hub::{Command, Input};

/// An input that the engine passed to its hub, reduced to its kind and connection. The simulation
/// already has the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordedInput {
    /// A connection was opened with this key.
    Opened(ConnKey),
    /// A packet was received from a connection.
    Packet(ConnKey),
    /// An application rule allowed a connection's packet.
    Allowed(ConnKey),
    /// An application rule denied a connection's packet.
    Denied(ConnKey),
    /// A connection's packets are about to be acknowledged, and some were rejected without an error.
    Acknowledge(ConnKey),
    /// A connection ended.
    Gone(ConnKey),
    /// A message was sent to a room, on behalf of a connection or of the server.
    Broadcast(Option<ConnKey>),
    /// A message was sent to a connection, on behalf of another one or of the server.
    Send(Option<ConnKey>),
    /// A connection was added to a room.
    Join(ConnKey),
    /// A connection was removed from a room.
    Leave(ConnKey),
    /// A connection's info was set by the application.
    SetInfo(ConnKey),
    /// A connection lost its socket (true), or has a socket again (false).
    Away(ConnKey, bool),
    /// A connection was closed with this code.
    Close(ConnKey, u16),
}

/// A record of inputs; `None` until [`Server::keep_journal`](crate::Server::keep_journal).
#[derive(Debug, Default)]
pub(crate) struct Journal {
    pub(crate) entries: Option<Vec<RecordedInput>>,
}

impl Journal {
    /// Records an input. The opening of a connection is recorded by [`opened`](Self::opened), once its
    /// key is known.
    pub(crate) fn record(&mut self, input: &Input<'_>) {
        let Some(entries) = &mut self.entries else { return };
        entries.push(match *input {
            Input::Open { .. } | Input::OpenWithProfile { .. } => return,
            Input::Packet { conn, .. } => RecordedInput::Packet(conn),
            Input::Allowed { conn, .. } => RecordedInput::Allowed(conn),
            Input::Denied { conn, .. } => RecordedInput::Denied(conn),
            Input::Away { conn, is_away } => RecordedInput::Away(conn, is_away),
            Input::Acknowledge { conn } => RecordedInput::Acknowledge(conn),
            Input::Gone { conn } => RecordedInput::Gone(conn),
            Input::Command(command) => match command {
                Command::Broadcast { from, .. } => RecordedInput::Broadcast(from),
                Command::Send { from, .. } => RecordedInput::Send(from),
                Command::Join { conn, .. } => RecordedInput::Join(conn),
                Command::Leave { conn, .. } => RecordedInput::Leave(conn),
                Command::SetInfo { conn, .. } => RecordedInput::SetInfo(conn),
                Command::Close { conn, code, .. } => RecordedInput::Close(conn, code),
                // Simulations of the whole server have no extended clients.
                Command::Answer { .. } | Command::Request { .. } | Command::Withdraw { .. } => {
                    return;
                }
            },
            // Simulations of the whole server have no peers.
            Input::PeerUp { .. }
            | Input::PeerGone { .. }
            | Input::GuestJoined { .. }
            | Input::GuestProfile { .. }
            | Input::GuestAway { .. }
            | Input::GuestLeft { .. }
            | Input::GuestCount { .. }
            | Input::PeerBroadcast { .. }
            | Input::PeerDirect { .. }
            | Input::Ordered { .. }
            | Input::Renewed { .. } => return,
        });
    }

    /// Records the opening of a connection.
    pub(crate) fn opened(&mut self, conn: ConnKey) {
        if let Some(entries) = &mut self.entries {
            entries.push(RecordedInput::Opened(conn));
        }
    }
}
