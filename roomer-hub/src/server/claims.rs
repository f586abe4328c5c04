//! What the authorize hook knows of a connection.

use std::collections::BTreeMap;

/// Names and values that [`authorize`](super::Builder::authorize), or the middleware of a framework
/// that the server is mounted into, gives a connection; handlers read them with
/// [`Conn::claims`](super::Conn::claims).
pub type Claims = BTreeMap<String, String>;
