//! Values exchanged between application and server: messages, claims and errors.
//!
//! None of these modules depends on the handles.

pub(crate) mod call;
pub(crate) mod claims;
pub(crate) mod conn_info;
pub(crate) mod disconnect;
pub(crate) mod handler_result;
pub(crate) mod message;
pub(crate) mod monitor;
pub(crate) mod reply;
pub(crate) mod request_error;
