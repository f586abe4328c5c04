//! Handlers and rules: the application's functions that run for a client's message.

use std::any::Any;
use std::error::Error;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::app::conn::Conn;
use crate::app::message::{Message, OwnedMessage};
use crate::app::reply::ReplyResult;

/// Any error. The `?` operator converts every error type to it, as well as text and the errors of
/// anyhow and eyre.
pub type HandlerError = Box<dyn Error + Send + Sync>;

/// The result of a handler. An error is reported to [`on_error`](crate::Builder::on_error); the
/// connection stays open.
pub type HandlerResult = Result<(), HandlerError>;

/// A panic of a handler or a rule. It is reported to [`on_error`](crate::Builder::on_error) with
/// the message that the handler ran for, and that connection is closed with 1011.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the handler panicked: {message}")]
#[non_exhaustive]
pub struct HandlerPanic {
    /// The panic's message.
    pub message: String,
}

/// A future of the application, to be polled in a connection's task.
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A function of the application that runs for a message.
pub(crate) enum Callback<T> {
    Sync(SyncFn<T>),
    Async(AsyncFn<T>),
}

type SyncFn<T> = Box<dyn Fn(&Conn, &Message<'_>) -> T + Send + Sync>;
type AsyncFn<T> = Box<dyn Fn(Conn, OwnedMessage) -> BoxFuture<T> + Send + Sync>;

pub(crate) type Handler = Callback<HandlerResult>;
pub(crate) type RequestHandler = Callback<ReplyResult>;
pub(crate) type Rule = Callback<bool>;

/// The result of starting a [`Callback`].
pub(crate) enum CallResult<T> {
    Done(T),
    /// A future that is to be polled, and the message, which is needed when it completes.
    Pending(BoxFuture<T>, OwnedMessage),
    Panicked(HandlerPanic),
}

impl<T> Callback<T> {
    /// Runs a synchronous function, or creates the future of an asynchronous one.
    pub(crate) fn run(&self, conn: &Conn, message: &Message<'_>) -> CallResult<T> {
        match self {
            Callback::Sync(run) => match catch_panic(|| run(conn, message)) {
                Ok(result) => CallResult::Done(result),
                Err(panic) => CallResult::Panicked(panic),
            },
            Callback::Async(run) => {
                let message = message.to_owned();
                // Kept for the report of the result; the clone shares the names and the payload.
                match catch_panic(|| run(conn.clone(), message.clone())) {
                    Ok(future) => CallResult::Pending(future, message),
                    Err(panic) => CallResult::Panicked(panic),
                }
            }
        }
    }
}

/// Polls a future of the application, which may panic.
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

/// Runs code of the application and catches a panic, which must not affect more than one
/// connection.
pub(crate) fn catch_panic<T>(run: impl FnOnce() -> T) -> Result<T, HandlerPanic> {
    // No lock of the engine is held here, so a panic can leave only the application's values half
    // changed.
    catch_unwind(AssertUnwindSafe(run))
        .map_err(|panic| HandlerPanic { message: panic_message(&*panic) })
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    // `panic!` has a `&str` if its text has no arguments, otherwise a `String`.
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("the panic's payload is not text").to_owned()
}
