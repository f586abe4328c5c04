//! The state of one connection, from the attempt until it is dropped.

use alloc::boxed::Box;
use core::time::Duration;

use super::compression::Compression;
use super::handshake::Handshake;
use crate::websocket;

/// The state of one connection or connection attempt.
#[derive(Debug)]
pub(super) struct Socket {
    /// True once the handshake response is complete.
    pub(super) is_upgraded: bool,
    /// True if another implementation does the handshake and the framing; see
    /// `external_websocket.rs`.
    pub(super) is_external: bool,
    /// Present while the handshake is in progress.
    pub(super) handshake: Option<Box<Handshake>>,
    pub(super) frames: websocket::Decoder<true>,
    /// Present if compression was negotiated.
    pub(super) compression: Option<Box<Compression>>,
    /// True until the first packet arrives, which determines the protocol.
    pub(super) is_new: bool,
    pub(super) opened_at: Option<Duration>,
    /// The payload of the newest ping that was not answered, to be echoed in a pong.
    pub(super) pong: Option<Box<[u8]>>,
    /// True if a ping must be sent to check that the server is alive.
    pub(super) must_ping: bool,
    pub(super) is_probing: bool,
    /// The deadline for the attempt, for bytes from the server, or for the closing handshake,
    /// depending on the state.
    pub(super) due: Duration,
    /// True if `due` was extended after the program was suspended.
    pub(super) is_extended: bool,
    /// True if a close frame must be sent.
    pub(super) must_close: bool,
    /// True once a close frame has been sent.
    pub(super) has_closed: bool,
}

impl Socket {
    pub(super) fn new(due: Duration) -> Self {
        Socket {
            is_upgraded: false,
            is_external: false,
            handshake: None,
            frames: websocket::Decoder::client(),
            compression: None,
            is_new: true,
            opened_at: None,
            pong: None,
            must_ping: false,
            is_probing: false,
            due,
            is_extended: false,
            must_close: false,
            has_closed: false,
        }
    }
}
