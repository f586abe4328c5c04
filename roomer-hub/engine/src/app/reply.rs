//! Return types of request handlers, and the errors sent to their clients.

use bytes::Bytes;
use bytestring::ByteString;
pub use roomer_proto::extended::ErrorCode;

use crate::app::call::HandlerError;

/// A request handler's result: the reply's payload, or an error.
pub(crate) type ReplyResult = Result<Bytes, HandlerError>;

/// A request handler's error whose code and text are sent to the client. Any other error is
/// reported to [`on_error`](crate::Builder::on_error), and only its code, usually `failed`, is sent
/// to the client.
///
/// ```
/// # use roomer_engine as roomer_tokio;
/// use roomer_tokio::{ReplyError, Server}; // or roomer_smol
/// let server = Server::builder()
///     .on_request("rename", |_, message| {
///         match message.text()? {
///             "" => Err(ReplyError::invalid("a name has at least one letter").into()),
///             name => Ok(format!("you are {name}")),
///         }
///     })
///     .build()?;
/// # Ok::<(), roomer_engine::BuildError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
#[non_exhaustive]
pub struct ReplyError {
    /// The code sent to the client.
    pub code: ErrorCode,
    /// The text sent to the client.
    pub message: String,
}

impl ReplyError {
    /// Creates an error with a code and a text.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        ReplyError { code, message: message.into() }
    }

    /// Creates an error with the code `invalid`, for an invalid payload.
    pub fn invalid(message: impl Into<String>) -> Self {
        ReplyError::new(ErrorCode::Invalid, message)
    }

    /// Creates an error with the code `refused`, for a request that the client may not make.
    pub fn refused(message: impl Into<String>) -> Self {
        ReplyError::new(ErrorCode::Refused, message)
    }

    /// Creates an error with the code `failed`, for any other reason.
    pub fn failed(message: impl Into<String>) -> Self {
        ReplyError::new(ErrorCode::Failed, message)
    }
}

/// A return type of request handlers: a payload, or a `Result` of a payload and the builder's
/// [`error_type`](crate::Builder::error_type).
///
/// Payloads are `()`, `String`, `&'static str`, `Vec<u8>`, [`Bytes`], [`ByteString`] and, with the
/// feature `json`, `Json`. By default, `?` converts any error, and the text of a [`ReplyError`] is
/// sent to the client. After `error_type`, the text is sent only if that type converts to a boxed
/// `ReplyError`. This trait is sealed and cannot be implemented.
#[diagnostic::on_unimplemented(
    message = "a request handler returns a payload or `Result<payload, {E}>`, not `{Self}`",
    label = "this handler returns `{Self}`",
    note = "a handler that awaits, an `async` closure or function, is set by `.on_request_async` instead \
            of `.on_request`",
    note = "payloads are `()`, `String`, `&'static str`, `Vec<u8>`, `Bytes`, `ByteString` and `Json`"
)]
pub trait IntoReply<E = HandlerError>: sealed::Sealed<E> {
    /// Converts the handler's return value.
    ///
    /// # Errors
    ///
    /// Returns the handler's error.
    fn into_reply(self) -> Result<Bytes, HandlerError>;
}

impl<E, T: sealed::Payload> IntoReply<E> for T {
    fn into_reply(self) -> ReplyResult {
        self.into_payload()
    }
}

impl<E: Into<HandlerError>, T: sealed::Payload> IntoReply<E> for Result<T, E> {
    fn into_reply(self) -> ReplyResult {
        self.map_err(Into::into)?.into_payload()
    }
}

/// Returns the error code for an error that is not intended for the requester.
pub(crate) fn code_of(error: &HandlerError) -> ErrorCode {
    // Reading the payload as JSON failed, so the requester is at fault.
    #[cfg(feature = "json")]
    if error.is::<crate::JsonError>() {
        return ErrorCode::Invalid;
    }
    match error.is::<std::str::Utf8Error>() {
        true => ErrorCode::Invalid,
        false => ErrorCode::Failed,
    }
}

/// A reply serialized as JSON (feature `json`).
///
/// ```
/// # use roomer_engine as roomer_tokio;
/// use roomer_tokio::{Json, Server}; // or roomer_smol
/// let server = Server::builder()
///     .on_request("add", |_, message| {
///         let (a, b): (i64, i64) = message.json()?;
///         Ok(Json(a + b))
///     })
///     .build()?;
/// # Ok::<(), roomer_engine::BuildError>(())
/// ```
#[cfg(feature = "json")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<T>(pub T);

#[allow(unreachable_pub, reason = "parts of a public trait that has no other implementations")]
mod sealed {
    use super::{ByteString, Bytes, HandlerError, ReplyResult};

    pub trait Sealed<E> {}
    impl<E, T: Payload> Sealed<E> for T {}
    impl<E: Into<HandlerError>, T: Payload> Sealed<E> for Result<T, E> {}

    pub trait Payload {
        fn into_payload(self) -> ReplyResult;
    }

    impl Payload for () {
        fn into_payload(self) -> ReplyResult {
            Ok(Bytes::new())
        }
    }

    macro_rules! payload {
        ($($name:ty),*) => {
            $(impl Payload for $name {
                fn into_payload(self) -> ReplyResult {
                    Ok(self.into())
                }
            })*
        };
    }

    payload!(Bytes, Vec<u8>, String, &'static str);

    impl Payload for ByteString {
        fn into_payload(self) -> ReplyResult {
            Ok(self.into_bytes())
        }
    }

    #[cfg(feature = "json")]
    impl<T: serde::Serialize> Payload for super::Json<T> {
        fn into_payload(self) -> ReplyResult {
            // Convert the error to text: a `JsonError` returned by a handler would be blamed on the
            // client's payload.
            let json = roomer_proto::json(&self.0).map_err(|error| error.to_string())?;
            Ok(json.into())
        }
    }
}
