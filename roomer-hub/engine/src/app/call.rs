//! Errors and panics in application code.

use std::any::Any;
use std::error::Error;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Any error. The `?` operator converts every error type to this one, including text and errors
/// from anyhow and eyre.
pub type HandlerError = Box<dyn Error + Send + Sync>;

/// A handler's result. An error is reported to [`on_error`](crate::Builder::on_error); the
/// connection stays open.
pub type HandlerResult = Result<(), HandlerError>;

/// A panic in a handler or rule. The panic is reported to [`on_error`](crate::Builder::on_error)
/// together with the message being handled, and the connection is closed with 1011.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the handler panicked: {message}")]
#[non_exhaustive]
pub struct HandlerPanic {
    /// The panic's message.
    pub message: String,
}

/// A future returned by the application, polled in a connection's task.
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Polls an application future and catches its panic.
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

/// Runs application code and catches a panic, which then affects only one connection.
pub(crate) fn catch_panic<T>(run: impl FnOnce() -> T) -> Result<T, HandlerPanic> {
    // The engine holds no lock here, so a panic can leave only the application's values half
    // changed. The exception is a client's driver, which holds its lock when it is dropped, but
    // then ends in any case.
    catch_unwind(AssertUnwindSafe(run))
        .map_err(|panic| HandlerPanic { message: panic_message(&*panic) })
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    // The payload of `panic!` is a `&str` if the text has no arguments, otherwise a `String`.
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("the panic's payload is not text").to_owned()
}
