//! One connection of a client.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::compression::Compression;
use super::handshake::Handshake;
use crate::websocket;

/// A request. Debug output leaves it out, since it may contain tokens.
#[derive(Default)]
pub(super) struct Head(pub(super) Vec<u8>);

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// One connection, from the attempt to its end.
#[derive(Debug)]
pub(super) struct Socket {
    /// True once the response to the handshake is complete.
    pub(super) is_upgraded: bool,
    /// True if another implementation does the handshake and the frames; see `foreign.rs`.
    pub(super) is_foreign: bool,
    /// Present from the request to the response.
    pub(super) handshake: Option<Box<Handshake>>,
    /// Bytes to write before anything else: the request.
    pub(super) head: Head,
    pub(super) frames: websocket::Session<true>,
    /// Present if compression was negotiated.
    pub(super) compression: Option<Box<Compression>>,
    /// True until the first packet, which decides about the protocol.
    pub(super) is_new: bool,
    pub(super) opened_at: Option<Duration>,
    /// The payloads of pings to answer.
    pub(super) pongs: VecDeque<Vec<u8>>,
    /// True if the server has to show that it is alive.
    pub(super) must_ping: bool,
    pub(super) is_probing: bool,
    /// The end of the attempt, of the silence, or of the closing handshake.
    pub(super) due: Duration,
    /// True if the due time was extended because the program was suspended.
    pub(super) is_extended: bool,
    /// True if a close frame has to be sent, and whether it was.
    pub(super) must_close: bool,
    pub(super) has_closed: bool,
}

impl Socket {
    pub(super) fn new(due: Duration) -> Self {
        Socket {
            is_upgraded: false,
            is_foreign: false,
            handshake: None,
            head: Head::default(),
            frames: websocket::Session::client(),
            compression: None,
            is_new: true,
            opened_at: None,
            pongs: VecDeque::new(),
            must_ping: false,
            is_probing: false,
            due,
            is_extended: false,
            must_close: false,
            has_closed: false,
        }
    }
}
