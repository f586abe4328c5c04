//! The client of a room server, over memory.
//!
//! A [`Client`] outlives its connections: it connects, reconnects with backoff and full jitter,
//! rejoins its rooms, queues what is sent meanwhile, and reports what may not have arrived. Where the
//! server speaks [the extended protocol](crate::extended), its session survives the loss of a
//! connection, and nothing is lost or duplicated.
//!
//! Pure: bytes, time (a `Duration` since any origin) and random bytes come in as arguments; bytes to
//! write, [events](Event) and the next [deadline](Client::deadline) come out. A driver does the rest:
//!
//! 1. It calls [`Client::poll`] after every other call, and at the deadline. [`Need::Connect`] asks it
//!    for a connection, which it reports by [`Client::connected`] or [`Client::failed`];
//!    [`Need::Disconnect`] asks it to drop the connection.
//! 2. It passes what it reads to [`Client::receive`], and the end of the stream to
//!    [`Client::disconnected`].
//! 3. Whenever the last bytes are written, it writes those that [`Client::transmit`] appends to its
//!    buffer.
//! 4. It takes events with [`Client::next_event`].
//!
//! ```
//! use std::time::Duration;
//! use roomer_proto::client::{Address, Client, Need, Options, Sent};
//!
//! let now = Duration::ZERO;
//! let mut client = Client::new(Options::default());
//! client.join(now, "lobby").unwrap();
//! // Without a connection messages wait.
//! assert_eq!(client.send(now, "lobby", "chat", None, b"hello"), Ok(Sent::Queued));
//!
//! // The driver is asked for a connection, makes it, and writes the request.
//! assert_eq!(client.poll(now, 7), Some(Need::Connect));
//! let address: Address = "ws://example.org/ws".parse().unwrap();
//! assert_eq!((address.host(), address.port(), address.is_tls()), ("example.org", 80, false));
//! client.connected(&address, [1; 16]);
//! let mut request = Vec::new();
//! client.transmit(now, &mut request, &mut || [1, 2, 3, 4]);
//! assert!(request.starts_with(b"GET /ws?roomer=2 HTTP/1.1\r\nHost: example.org\r\n"));
//! ```
//!
//! Where a WebSocket of another implementation does the handshake and the frames, as in a browser, the
//! driver passes whole messages: see [`Client::upgraded`].
//!
//! Events of the extended protocol that the client does not know are ignored.

mod address;
mod compressed;
mod compression;
mod control;
mod ending;
mod error;
mod event;
mod foreign;
mod handshake;
mod history;
mod lifecycle;
mod limits;
mod members;
mod memory;
mod options;
mod outbox;
mod receive;
mod request;
mod requests;
mod room;
mod sending;
mod session;
mod socket;
mod transmit;

pub use address::{Address, InvalidAddress};
pub use error::{Closing, Failure, JoinError, RequestError, SendError};
pub use event::{Event, LostReason, Message, Sent, Undelivered};
pub use foreign::Outgoing;
pub use lifecycle::{Client, Need, State};
pub use members::Members;
pub use options::Options;
pub use request::{Request, RequestId, ServerError};
