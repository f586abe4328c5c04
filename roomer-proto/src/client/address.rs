//! The server address a client connects to, with the query and headers of its request.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use tungstenite::http::Uri;

/// The address that a client connects to, such as `wss://example.org/ws?token=…`. `http` and
/// `https` are accepted as aliases of `ws` and `wss`.
///
/// ```
/// use roomer_proto::client::Address;
///
/// let address: Address = "wss://[::1]:8443/ws?a=1#top".parse()?;
/// let address = address.query("token", "a b&c").header("Origin", "https://example.org")?;
/// assert_eq!((address.host(), address.port(), address.is_tls()), ("::1", 8443, true));
/// assert_eq!(address.target(), "/ws?a=1&token=a%20b%26c");
/// assert!("ftp://example.org".parse::<Address>().is_err());
/// # Ok::<(), roomer_proto::client::InvalidAddress>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    is_tls: bool,
    /// The host and port as written, for the `Host` header.
    authority: Box<str>,
    port: u16,
    /// The path and query.
    target: String,
    headers: Vec<(String, String)>,
    /// The subprotocol that carries a token.
    token_protocol: Option<Box<str>>,
}

/// The error for text that is not a valid address or header.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidAddress(String);

crate::debug_as_display!(InvalidAddress);

impl InvalidAddress {
    fn new(reason: impl Into<String>) -> Self {
        InvalidAddress(reason.into())
    }

    /// Returns the error for a `wss` address in a program built without TLS.
    #[doc(hidden)]
    #[must_use]
    pub fn without_tls() -> Self {
        InvalidAddress::new("wss:// needs the `tls` feature")
    }
}

/// The subprotocol that a client offers along with a token. It is the only one that a server may
/// select.
pub(super) const PROTOCOL: &str = "roomer";

/// Headers of the handshake, which the application cannot override.
const OWN_HEADERS: [&str; 7] = [
    "host",
    "connection",
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-extensions",
    "sec-websocket-protocol",
];

impl Address {
    /// Returns true for `wss` and `https`.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Returns the host to look up. Resolvers expect an IPv6 address without its brackets, which the
    /// `Host` header keeps.
    #[must_use]
    pub fn host(&self) -> &str {
        // The authority is valid, so brackets can only enclose an IPv6 address. The colons inside
        // them do not precede a port.
        let bracketed = self.authority.strip_prefix('[').and_then(|rest| rest.split(']').next());
        bracketed.or_else(|| self.authority.split(':').next()).unwrap_or_default()
    }

    /// Returns the port in the address. Without one, returns 443 with TLS and 80 without TLS.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the request's path and query.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Returns the address as a URL, without the headers.
    #[must_use]
    pub fn to_url(&self) -> String {
        let scheme = if self.is_tls { "wss" } else { "ws" };
        alloc::format!("{scheme}://{}{}", self.authority, self.target)
    }

    /// Adds a parameter to the query, percent-encoded.
    #[must_use]
    pub fn query(mut self, key: &str, value: &str) -> Self {
        push_query(&mut self.target, key, value);
        self
    }

    /// Adds a header to the request, for example `Authorization` or `Origin`.
    ///
    /// # Errors
    ///
    /// Returns an [`InvalidAddress`] if the header is part of the handshake, or contains characters
    /// that HTTP forbids.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, InvalidAddress> {
        let is_token =
            |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        // A line break in a name or value would allow the caller to inject headers, or a second
        // request.
        if name.is_empty() || !name.as_bytes().iter().all(is_token) {
            return Err(InvalidAddress::new("this is not the name of a header"));
        }
        if OWN_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            return Err(InvalidAddress(alloc::format!(
                "the handshake sets the header {name} itself: leave it out"
            )));
        }
        // The error omits the value, which may be a secret.
        if value.bytes().any(|byte| byte < b' ' && byte != b'\t' || byte == 0x7f) {
            return Err(InvalidAddress(alloc::format!(
                "the value of {name} has control characters"
            )));
        }
        self.headers.push((name.to_owned(), value.to_owned()));
        Ok(self)
    }

    /// Sends a token as a subprotocol. The client also offers the subprotocol `roomer`, which the
    /// server selects instead. Unlike a token in the URL, this one does not appear in proxy logs.
    #[must_use]
    pub fn token_protocol(mut self, token: &str) -> Self {
        let encoded = BASE64URL_NOPAD.encode(token.as_bytes());
        self.token_protocol = Some(alloc::format!("token.{encoded}").into());
        self
    }

    /// Returns the subprotocols that the request offers. There are none unless
    /// [`token_protocol`](Self::token_protocol) has set a token.
    pub fn protocols(&self) -> impl Iterator<Item = &str> {
        self.token_protocol.iter().flat_map(|token| [PROTOCOL, &**token])
    }

    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    pub(super) fn headers(&self) -> &[(String, String)] {
        &self.headers
    }
}

/// Appends a query parameter to a target.
fn push_query(target: &mut String, key: &str, value: &str) {
    target.push(if target.contains('?') { '&' } else { '?' });
    encode(key, target);
    target.push('=');
    encode(value, target);
}

/// Appends `text`, percent-encoding all but the unreserved characters (RFC 3986 section 2.3).
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => _ = write!(out, "%{byte:02X}"),
        }
    }
}

/// Percent-encodes the characters that browsers encode in a path, because a request line must be
/// ASCII.
fn as_browsers_do(target: &str) -> String {
    let mut out = String::with_capacity(target.len());
    for byte in target.bytes() {
        match byte {
            // `Uri` has already rejected the other characters that URLs forbid.
            b'"' | b'{' | b'}' | 0x7f.. => _ = write!(out, "%{byte:02X}"),
            _ => out.push(char::from(byte)),
        }
    }
    out
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        // A WebSocket address has no fragment (RFC 6455 section 3).
        let text = text.split('#').next().unwrap_or_default();
        // A valid `http` URI contains neither spaces nor line breaks, so it cannot corrupt the
        // request line.
        let uri: Uri = text.parse().map_err(|error: tungstenite::http::uri::InvalidUri| {
            InvalidAddress(alloc::format!("{error}: write ws://HOST:PORT/PATH, or wss://"))
        })?;
        // Schemes are case-insensitive (RFC 3986 section 3.1).
        let is_tls = match uri.scheme_str().map(str::to_ascii_lowercase).as_deref() {
            Some("ws" | "http") => false,
            Some("wss" | "https") => true,
            _ => return Err(InvalidAddress::new("an address starts with ws:// or wss://")),
        };
        let authority = uri.authority().ok_or_else(|| InvalidAddress::new("there is no host"))?;
        if authority.as_str().contains('@') {
            // Credentials here would end up in the `Host` header and authenticate nothing.
            return Err(InvalidAddress::new("credentials belong in a header, not in the address"));
        }
        let host = authority.host();
        if host.is_empty() {
            return Err(InvalidAddress::new("there is no host"));
        }
        let port = match authority.as_str().strip_prefix(host).unwrap_or_default() {
            "" | ":" if is_tls => 443,
            "" | ":" => 80,
            // `port_u16` also returns `None` for an out-of-range port. Reject it instead of falling
            // back to the default port.
            _ => authority
                .port_u16()
                .filter(|port| *port != 0)
                .ok_or_else(|| InvalidAddress::new("the port is not a number from 1 to 65535"))?,
        };
        let target = as_browsers_do(uri.path_and_query().map_or("/", |target| target.as_str()));
        Ok(Address {
            is_tls,
            authority: authority.as_str().into(),
            port,
            target: if target.is_empty() { "/".to_owned() } else { target },
            headers: Vec::new(),
            token_protocol: None,
        })
    }
}

/// Omits the query, headers and subprotocols, which may contain tokens.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "wss" } else { "ws" };
        let path = self.target.split('?').next().unwrap_or_default();
        write!(f, "{scheme}://{}{path}", self.authority)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::Address;

    #[test]
    fn scheme_is_case_insensitive_and_path_percent_encoded() {
        let address: Address = "WSS://A.example/é/%C3%A9{}?q=ü".parse().unwrap();
        assert!(address.is_tls());
        assert_eq!(address.target(), "/%C3%A9/%C3%A9%7B%7D?q=%C3%BC");
        assert_eq!(address.to_url(), "wss://A.example/%C3%A9/%C3%A9%7B%7D?q=%C3%BC");
        assert!(!"Http://a".parse::<Address>().unwrap().is_tls());
    }

    #[test]
    fn invalid_port_is_rejected() {
        let port = |text: &str| text.parse().map(|address: Address| address.port());
        assert_eq!(port("ws://a.example"), Ok(80));
        assert_eq!(port("wss://[::1]:/ws"), Ok(443));
        assert_eq!(port("ws://[::1]:65535?a=:1"), Ok(65535));
        for text in ["ws://a:99999/ws", "wss://[::1]:65536", "ws://a:0/", "ws://a:4294967376"] {
            let error = port(text).unwrap_err().to_string();
            assert_eq!(error, "the port is not a number from 1 to 65535", "{text}");
        }
        // `main` prints its error with `Debug`.
        let error = alloc::format!("{:?}", port("localhost:8080/ws").unwrap_err());
        assert_eq!(error, "invalid format: write ws://HOST:PORT/PATH, or wss://");
    }
}
