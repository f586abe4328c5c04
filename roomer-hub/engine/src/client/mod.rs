//! A client on any runtime: the driver for [`roomer_proto::client`], and the application's handles.
//!
//! An adapter implements [`Runtime`] and defines a type alias `Client<ItsRuntime>`, as
//! `roomer_tokio::client` and `roomer_smol::client` do. With the `web` feature, on
//! `wasm32-unknown-unknown`, `Web` is the runtime for browsers. The rest of this module is the same
//! on every runtime.

mod builder;
mod dialing;
mod driver;
mod handle;
mod platform_socket;
mod renewals;
mod requests;
mod room;
mod runtime;
mod shared;
mod streams;
#[cfg(feature = "tls")]
mod tls;
#[cfg(all(feature = "web", target_family = "wasm"))]
mod web;

pub use builder::Builder;
pub use handle::Client;
pub use requests::RequestFuture;
pub use room::Room;
pub use roomer_proto::client::{
    Address, Closing, Event, Failure, InvalidAddress, JoinError, LostReason, Members, Message,
    Options, Request, RequestError, SendError, SendStatus, ServerError, State, Undelivered,
};
pub use runtime::{ByteStream, Incoming, MessageSocket, Opening, Runtime};
pub use streams::{Events, Messages};
#[cfg(all(feature = "web", target_family = "wasm"))]
pub use web::Web;
