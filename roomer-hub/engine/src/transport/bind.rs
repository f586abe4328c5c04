//! The error returned when a listener cannot be opened.

use std::fmt;
use std::io::{self, ErrorKind};

/// The error returned by an adapter's `bind`. The text contains the address, the cause and, if
/// known, the remedy. An [`io::Error`] converted from it has the same kind.
#[derive(thiserror::Error)]
#[error("cannot listen on {address}: {cause}{}", advice(.cause))]
pub struct BindError {
    address: String,
    #[source]
    cause: io::Error,
}

impl BindError {
    /// Creates an error from an address and the system's error.
    pub fn new(address: impl fmt::Display, cause: io::Error) -> Self {
        BindError { address: address.to_string(), cause }
    }

    /// Returns the OS error's kind.
    pub fn kind(&self) -> ErrorKind {
        self.cause.kind()
    }
}

fn advice(cause: &io::Error) -> &'static str {
    match cause.kind() {
        ErrorKind::AddrInUse => "; stop the other program, or choose another address",
        ErrorKind::PermissionDenied => "; ports below 1024 are for root",
        _ => "",
    }
}

roomer_proto::debug_as_display!(BindError);

impl From<BindError> for io::Error {
    fn from(error: BindError) -> Self {
        io::Error::new(error.kind(), error)
    }
}
