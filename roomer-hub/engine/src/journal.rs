//! What the core has been given, in order, for a simulation that wants to follow.

use roomer_hub::ConnKey;
use roomer_hub::{Command, Input};

/// An input as the engine gave it to its hub. What was in it is for the reader to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordedInput {
    /// A connection opened, under this key.
    Opened(ConnKey),
    /// A packet of a connection's.
    Packet(ConnKey),
    /// The application allows what it was asked about for a connection.
    Allowed(ConnKey),
    /// The application denies it.
    Denied(ConnKey),
    /// A connection is gone.
    Gone(ConnKey),
    /// Something was sent into a room.
    Broadcast(Option<ConnKey>),
    /// Something was sent to one connection.
    Send(Option<ConnKey>),
    /// A connection was put into a room.
    Join(ConnKey),
    /// A connection was taken out of a room.
    Leave(ConnKey),
    /// A connection was closed, with a code.
    Close(ConnKey, u16),
}

/// A list of inputs; kept only when somebody reads it.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    pub(crate) entries: Option<Vec<RecordedInput>>,
}

impl Journal {
    /// Notes an input. An opening is noted once its key is known.
    pub(crate) fn note(&mut self, input: &Input<'_>) {
        let Some(entries) = &mut self.entries else { return };
        entries.push(match *input {
            Input::Open { .. } => return,
            Input::Packet { conn, .. } => RecordedInput::Packet(conn),
            Input::Allowed { conn, .. } => RecordedInput::Allowed(conn),
            Input::Denied { conn, .. } => RecordedInput::Denied(conn),
            Input::Gone { conn } => RecordedInput::Gone(conn),
            Input::Command(command) => match command {
                Command::Broadcast { from, .. } => RecordedInput::Broadcast(from),
                Command::Send { from, .. } => RecordedInput::Send(from),
                Command::Join { conn, .. } => RecordedInput::Join(conn),
                Command::Leave { conn, .. } => RecordedInput::Leave(conn),
                Command::Close { conn, code, .. } => RecordedInput::Close(conn, code),
            },
        });
    }

    pub(crate) fn opened(&mut self, conn: ConnKey) {
        if let Some(entries) = &mut self.entries {
            entries.push(RecordedInput::Opened(conn));
        }
    }
}
