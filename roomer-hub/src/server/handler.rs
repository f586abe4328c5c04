//! What runs when an event comes in.

use std::error::Error;

use roomer_proto::PacketRef;

use super::conn::Conn;

/// A message as a handler sees it: `src` is the caller's id, `dst` is empty.
pub type Message<'a> = PacketRef<'a>;

/// What a handler may fail with; anything that is an error.
pub type HandlerError = Box<dyn Error + Send + Sync>;

/// What a handler returns. An error is reported ([`on_error`](super::Builder::on_error)); the
/// connection stays.
pub type HandlerResult = Result<(), HandlerError>;

pub(super) type Handler = Box<dyn Fn(&Conn, &Message<'_>) -> HandlerResult + Send + Sync>;
