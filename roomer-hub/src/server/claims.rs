//! What the authorize hook knows of a connection.

use std::collections::BTreeMap;

/// Names and values that [`authorize`](super::Builder::authorize) gives a connection; handlers
/// read them with [`Conn::claims`](super::Conn::claims).
pub type Claims = BTreeMap<String, String>;
