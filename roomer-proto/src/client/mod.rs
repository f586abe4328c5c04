//! The client of a room server, as a state machine without I/O.
//!
//! A [`Client`] outlives its connections: it connects, reconnects with backoff and full jitter,
//! rejoins its rooms, queues messages while it is not connected, and reports messages that may be
//! lost. If the server supports [the extended protocol](crate::extended), the session survives the
//! loss of a connection, and no message is lost or duplicated.
//!
//! The client does no I/O. Bytes, the time (a `Duration` since any origin) and random bytes are
//! arguments; bytes to write, [events](Event) and the next [deadline](Client::deadline) are return
//! values. The driver does the rest:
//!
//! 1. It calls [`Client::poll`] after every other call, and at the deadline. On [`Action::Connect`]
//!    it opens a connection and calls [`Client::connected`] or [`Client::failed`]; on
//!    [`Action::Disconnect`] it drops the connection.
//! 2. It passes received bytes to [`Client::receive`], and reports the end of the stream to
//!    [`Client::disconnected`].
//! 3. Whenever its buffer has been written, it calls [`Client::transmit`] to append more bytes to
//!    that buffer.
//! 4. It takes events with [`Client::next_event`].
//!
//! ```
//! use std::time::Duration;
//! use roomer_proto::client::{Address, Client, Action, Options, SendStatus};
//!
//! let now = Duration::ZERO;
//! let mut client = Client::new(Options::default());
//! client.join(now, "lobby").unwrap();
//! // Without a connection, messages are queued.
//! assert_eq!(client.send(now, "lobby", "chat", None, b"hello"), Ok(SendStatus::Queued));
//!
//! // The client needs a connection. Its driver opens one, and writes the request.
//! assert_eq!(client.poll(now, 7), Some(Action::Connect));
//! let address: Address = "ws://example.org/ws".parse().unwrap();
//! assert_eq!((address.host(), address.port(), address.is_tls()), ("example.org", 80, false));
//! client.connected(&address, [1; 16]);
//! let mut request = Vec::new();
//! client.transmit(now, &mut request, &mut || [1, 2, 3, 4]);
//! assert!(request.starts_with(b"GET /ws?roomer=2 HTTP/1.1\r\nHost: example.org\r\n"));
//! ```
//!
//! If another WebSocket implementation does the handshake and the framing, such as a browser's, the
//! driver passes whole messages instead; see [`Client::upgraded`].
//!
//! Unknown extended protocol events are ignored.

mod address;
mod compressed;
mod compression;
mod control;
mod ending;
mod error;
mod event;
mod external_websocket;
mod handshake;
mod history;
mod history_cursor;
mod item;
mod lifecycle;
mod limits;
mod liveness;
mod members;
mod options;
mod outbox;
mod own_info;
mod pace;
mod recalls;
mod receive;
mod request;
mod requests;
mod room;
mod rooms;
mod sending;
mod session;
mod socket;
mod transmit;

pub use address::{Address, InvalidAddress};
pub use error::{Closing, Failure, JoinError, RequestError, SendError};
pub use event::{Event, LostReason, Message, SendStatus, Undelivered};
pub use external_websocket::Outgoing;
pub use lifecycle::{Action, Client, State};
pub use members::Members;
pub use options::Options;
pub use request::{Request, RequestId, ServerError};
