//! What runs when an event comes in, and what is asked before a packet passes.

use std::any::Any;
use std::error::Error;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::app::conn::Conn;
use crate::app::message::{Message, OwnedMessage};

/// Any error. `?` makes one of any error type, of text, and of what anyhow or eyre return.
pub type HandlerError = Box<dyn Error + Send + Sync>;

/// The result of a handler. An error is reported ([`on_error`](crate::Builder::on_error)); the
/// connection stays open.
pub type HandlerResult = Result<(), HandlerError>;

/// A handler or a rule has panicked. Reported ([`on_error`](crate::Builder::on_error)) as the
/// error of the message it was about, whose connection is closed with 1011.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the handler panicked: {message}")]
#[non_exhaustive]
pub struct HandlerPanic {
    /// What it said.
    pub message: String,
}

/// A piece of the application's, to be polled in a connection's task.
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A piece of the application's code that a message comes to.
pub(crate) enum Callback<T> {
    Sync(SyncFn<T>),
    Async(AsyncFn<T>),
}

type SyncFn<T> = Box<dyn Fn(&Conn, &Message<'_>) -> T + Send + Sync>;
type AsyncFn<T> = Box<dyn Fn(Conn, OwnedMessage) -> BoxFuture<T> + Send + Sync>;

pub(crate) type Handler = Callback<HandlerResult>;
pub(crate) type Rule = Callback<bool>;

/// What comes of running some code.
pub(crate) enum CallResult<T> {
    Done(T),
    /// It takes its time; here is what it is about, for afterwards.
    Pending(BoxFuture<T>, OwnedMessage),
    Panicked(HandlerPanic),
}

impl<T> Callback<T> {
    /// Runs it, or its beginning.
    pub(crate) fn run(&self, conn: &Conn, message: &Message<'_>) -> CallResult<T> {
        match self {
            Callback::Sync(run) => match catch_panic(|| run(conn, message)) {
                Ok(result) => CallResult::Done(result),
                Err(panic) => CallResult::Panicked(panic),
            },
            Callback::Async(run) => {
                let message = message.to_owned();
                match catch_panic(|| run(conn.clone(), message.clone())) {
                    Ok(future) => CallResult::Pending(future, message),
                    Err(panic) => CallResult::Panicked(panic),
                }
            }
        }
    }
}

/// Polls what takes its time.
pub(crate) fn poll<T>(
    run: &mut BoxFuture<T>,
    cx: &mut Context<'_>,
) -> Poll<Result<T, HandlerPanic>> {
    match catch_panic(|| run.as_mut().poll(cx)) {
        Ok(Poll::Ready(result)) => Poll::Ready(Ok(result)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(panic) => Poll::Ready(Err(panic)),
    }
}

/// Runs code of the application's, which may panic: at most one connection is to suffer.
pub(crate) fn catch_panic<T>(run: impl FnOnce() -> T) -> Result<T, HandlerPanic> {
    catch_unwind(AssertUnwindSafe(run))
        .map_err(|panic| HandlerPanic { message: panic_message(&*panic) })
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("something that is no text").to_owned()
}
