//! Clients of room servers, on smol (feature `client`).
//!
//! A [`Client`] connects in a separate task and stays connected: it reconnects with exponential
//! backoff and full jitter, rejoins its rooms, and sends the messages queued in the meantime. If
//! the server supports the extended protocol, the client's session survives a lost connection, and
//! no message is lost or duplicated. Otherwise, each message that may not have been delivered is
//! reported.
//!
//! ```
//! use roomer_smol::client::Client;
//! use roomer_smol::{Server, serve};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> { smol::block_on(async {
//! # let listener = smol::net::TcpListener::bind("127.0.0.1:0").await?;
//! # let url = format!("ws://{}/ws", listener.local_addr()?);
//! # smol::spawn(serve(listener, Server::builder().build()?)).detach();
//! let ann = Client::connect(&url)?;
//! let bob = Client::connect(&url)?;
//! let lobby = ann.join("lobby");
//! lobby.joined().await?;
//!
//! let mut messages = lobby.messages();
//! bob.join("lobby").send("chat", "hello")?; // queued until Bob has joined
//! let message = messages.next().await.expect("the room is open");
//! assert_eq!((&*message.event, message.text()?), ("chat", "hello"));
//!
//! lobby.send_to(&message.from, "chat", "psst")?;
//! // Messages are sent by the clients' tasks, so wait for them before the program ends.
//! ann.close().await;
//! bob.close().await;
//! # Ok(()) }) }
//! ```
//!
//! # Events
//!
//! [`Client::events`] is a stream of all events: lost and opened connections, rejected joins,
//! members joining and leaving, messages to all rooms, and messages that may not have been
//! delivered. [`Room::messages`] is a stream of one room's messages. Both implement `Stream`.
//!
//! ```no_run
//! use roomer_smol::client::{Client, Event};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder("wss://example.org/ws")?
//!     .token(|| async { Ok::<_, std::io::Error>(String::from("secret")) })
//!     .retries(20)
//!     .connect()?;
//! let mut events = client.events();
//! client.join("lobby");
//! while let Some(event) = events.next().await {
//!     match event {
//!         Event::Message(message) => println!("{}: {:?}", message.from, message.text()),
//!         Event::MemberJoined { room, id } => println!("{id} is in {room}"),
//!         Event::Lost(lost) => println!("uncertain: {:?}", lost.packet.text()),
//!         Event::Suspended(reason) => println!("{reason}; the client reconnects"),
//!         Event::Closed(reason) => println!("{reason}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Tokens
//!
//! Proxies log the URLs of requests, including a token in `?token=…`. `token_in_protocol` sends the
//! token as a subprotocol instead, as the JavaScript client does with `tokenIn: "protocol"`. The
//! server needs no option for this: `HandshakeRequest::token` reads both forms, and the server
//! never logs tokens.
//!
//! ```no_run
//! use roomer_smol::client::Client;
//! use roomer_smol::{Claims, Rejection, Server};
//!
//! # fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder()
//!     .authorize(|request| match request.token().as_deref() {
//!         Some("secret") => Ok(Claims::new()),
//!         _ => Err(Rejection::unauthorized("token required")),
//!     })
//!     .build()?;
//! let client = Client::builder("wss://example.org/ws")?
//!     .fixed_token("secret")
//!     .token_in_protocol()
//!     .connect()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Typed payloads
//!
//! With the `json` feature, [`Room`] has `send_json` and [`Message`] has `json`:
#![cfg_attr(feature = "json", doc = "```no_run")]
#![cfg_attr(not(feature = "json"), doc = "```ignore")]
//! use roomer_smol::client::Client;
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Chat {
//!     text: String,
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let lobby = Client::connect("ws://127.0.0.1:8080/ws")?.join("lobby");
//! let mut messages = lobby.messages(); // once, since each call returns a new stream
//! lobby.send_json("chat", &Chat { text: "hello".into() })?;
//! while let Some(message) = messages.next().await {
//!     let Chat { text } = message.json()?;
//!     println!("{text}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # TLS and other streams
//!
//! With the `tls` feature, a URL may start with `wss://`. The client trusts the system's certificate
//! authorities; `Builder::tls` sets another configuration. [`Builder::stream`] accepts any other
//! stream.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use roomer_engine::Transport;
use smol::Timer;
use smol::io::{AsyncRead, AsyncWrite};

pub use roomer_engine::client::{
    Address, ByteStream, Closing, Event, Events, Failure, InvalidAddress, JoinError, LostReason,
    Members, Message, Messages, Options, Request, RequestError, RequestFuture, Room, SendError,
    SendStatus, ServerError, State, Undelivered,
};

use crate::HandlerError;
use crate::dial::dial;
use crate::transport::Socket;

/// A client on smol's global executor.
pub type Client = roomer_engine::client::Client<Smol>;

/// The options for a client on smol. `E` is the error type of request handlers
/// ([`error_type`](Builder::error_type)).
pub type Builder<E = HandlerError> = roomer_engine::client::Builder<Smol, E>;

/// The runtime of a [`Client`]: a type without values, which only selects smol.
#[derive(Clone, Copy, Debug)]
pub enum Smol {}

impl roomer_engine::client::Runtime for Smol {
    async fn connect(host: String, port: u16) -> io::Result<Box<dyn ByteStream>> {
        let stream = dial(host, port).await?;
        Ok(Box::new(Stream(Socket::new(stream))))
    }

    async fn sleep(time: Duration) {
        Timer::after(time).await;
    }

    fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        smol::spawn(task).detach();
    }
}

/// The server's transport as a stream. Unlike smol's own stream, it does not allocate memory to wait
/// for data.
struct Stream(Socket);

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.0.try_write(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.0.poll_writable(cx))?;
                }
                result => return Poll::Ready(result),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.shutdown();
        Poll::Ready(Ok(()))
    }
}
