//! The return types of handlers.

use crate::app::call::{HandlerError, HandlerResult};

/// A return type of handlers: `()`, or a result whose error is the builder's
/// [`error_type`](crate::Builder::error_type). By default, the error type is [`HandlerError`], to
/// which `?` converts any error, text, and errors from libraries such as anyhow and eyre. This
/// trait is sealed and cannot be implemented.
#[diagnostic::on_unimplemented(
    message = "a handler returns `()` or `Result<(), {E}>`, not `{Self}`",
    label = "this handler returns `{Self}`",
    note = "a handler that awaits, an `async` closure or function, is set by `.on_async` instead of `.on`",
    note = "inside the handler, `?` converts any error; for handlers that return errors of another \
            type themselves, call `.error_type::<TheirType>()` on the builder before them"
)]
pub trait IntoHandlerResult<E = HandlerError>: sealed::Sealed<E> {
    /// Converts the handler's return value.
    ///
    /// # Errors
    ///
    /// Returns the handler's error.
    fn into_handler_result(self) -> HandlerResult;
}

impl<E> IntoHandlerResult<E> for () {
    fn into_handler_result(self) -> HandlerResult {
        Ok(())
    }
}

impl<E: Into<HandlerError>> IntoHandlerResult<E> for Result<(), E> {
    fn into_handler_result(self) -> HandlerResult {
        self.map_err(Into::into)
    }
}

/// For handlers that never return, for example because they always panic.
impl<E> IntoHandlerResult<E> for sealed::Never {
    fn into_handler_result(self) -> HandlerResult {
        self
    }
}

#[allow(unreachable_pub, reason = "parts of a public trait that has no other implementations")]
mod sealed {
    pub trait Sealed<E> {}

    impl<E> Sealed<E> for () {}
    impl<E: Into<super::HandlerError>> Sealed<E> for Result<(), E> {}
    impl<E> Sealed<E> for Never {}

    /// The type `!`, which stable Rust cannot name yet.
    pub type Never = <fn() -> ! as Returns>::Type;

    pub trait Returns {
        type Type;
    }

    impl<R> Returns for fn() -> R {
        type Type = R;
    }
}
