//! What runs when an event comes in, and what is asked before a packet passes.

use std::any::Any;
use std::error::Error;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use roomer_proto::{Packet, PacketRef};

use super::conn::Conn;

/// A message as a handler sees it: `src` is the caller's id, `dst` is empty.
pub type Message<'a> = PacketRef<'a>;

/// What a handler may fail with; anything that is an error.
pub type HandlerError = Box<dyn Error + Send + Sync>;

/// What a handler returns. An error is reported ([`on_error`](super::Builder::on_error)); the
/// connection stays.
pub type HandlerResult = Result<(), HandlerError>;

/// A handler or a rule has panicked. Reported ([`on_error`](super::Builder::on_error)) as the
/// error of the message it was about, whose connection is closed with 1011.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the handler panicked: {message}")]
#[non_exhaustive]
pub struct HandlerPanic {
    /// What it said.
    pub message: String,
}

/// A piece of the application's, to be polled in a connection's task.
pub(super) type Run<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A piece of the application's code that a message comes to.
pub(super) enum Code<T> {
    Sync(Quick<T>),
    Async(Slow<T>),
}

type Quick<T> = Box<dyn Fn(&Conn, &Message<'_>) -> T + Send + Sync>;
type Slow<T> = Box<dyn Fn(Conn, Packet) -> Run<T> + Send + Sync>;

pub(super) type Handler = Code<HandlerResult>;
pub(super) type Rule = Code<bool>;

/// What comes of running some code.
pub(super) enum Ran<T> {
    Done(T),
    /// It takes its time; here is what it is about, for afterwards.
    Waits(Run<T>, Packet),
    Panicked(HandlerPanic),
}

impl<T> Code<T> {
    /// Runs it, or its beginning.
    pub(super) fn run(&self, conn: &Conn, message: &Message<'_>) -> Ran<T> {
        match self {
            Code::Sync(run) => match contain(|| run(conn, message)) {
                Ok(result) => Ran::Done(result),
                Err(panic) => Ran::Panicked(panic),
            },
            Code::Async(run) => {
                let packet = own(message);
                match contain(|| run(conn.clone(), packet.clone())) {
                    Ok(future) => Ran::Waits(future, packet),
                    Err(panic) => Ran::Panicked(panic),
                }
            }
        }
    }
}

/// Polls what takes its time.
pub(super) fn poll<T>(run: &mut Run<T>, cx: &mut Context<'_>) -> Poll<Result<T, HandlerPanic>> {
    match contain(|| run.as_mut().poll(cx)) {
        Ok(Poll::Ready(result)) => Poll::Ready(Ok(result)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(panic) => Poll::Ready(Err(panic)),
    }
}

/// Runs code of the application's, which may panic: at most one connection is to suffer.
pub(super) fn contain<T>(run: impl FnOnce() -> T) -> Result<T, HandlerPanic> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| HandlerPanic { message: said(&*panic) })
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("something that is no text").to_owned()
}

/// A message with bytes of its own.
fn own(message: &Message<'_>) -> Packet {
    let PacketRef { room, event, dst, src, payload } = *message;
    Packet {
        room: room.into(),
        event: event.into(),
        dst: dst.into(),
        src: src.into(),
        payload: payload.to_vec().into(),
    }
}
