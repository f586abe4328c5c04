//! A client's opening handshake (RFC 6455 section 4.1).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

use data_encoding::BASE64;
use tungstenite::handshake::derive_accept_key;

use super::address::{Address, PROTOCOL};
use super::compression;
use super::error::Failure;
use super::limits::LARGEST_RESPONSE;
use crate::extended::{REJECTION_HEADER, VERSION};

/// The maximum number of headers in a response.
const MAX_HEADERS: usize = 64;

const EXTENSIONS: &str = "Sec-WebSocket-Extensions";
const PROTOCOLS: &str = "Sec-WebSocket-Protocol";

/// The encoded upgrade request. Debug output omits it, since it may contain tokens.
struct Head(Vec<u8>);

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// A client's handshake in progress: the expected answer, and the part received so far.
#[derive(Debug)]
pub(super) struct Handshake {
    /// The upgrade request, written before anything else.
    request: Head,
    /// The expected value of `Sec-WebSocket-Accept`.
    accept: String,
    /// True if the request offers compression. Once the response is complete, true if the server
    /// accepted it.
    pub(super) is_compressed: bool,
    /// True if the request offers [`PROTOCOL`] and a token.
    offers_protocol: bool,
    /// The part of the response received so far.
    response: Vec<u8>,
    /// True if a roomer server has sent the rejection, rather than a proxy in front of it.
    pub(super) is_rejected_by_roomer: bool,
}

/// The session that a client resumes: its token, and the number of packets received.
pub(super) type Return<'a> = Option<(&'a str, u64)>;

/// Creates a handshake and encodes its request.
pub(super) fn request(
    address: &Address,
    is_extended: bool,
    session: Return<'_>,
    offers_compression: bool,
    key: [u8; 16],
) -> Handshake {
    let address = add_query(address.clone(), is_extended, session);
    let key = BASE64.encode(&key);
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    let _ = write!(
        text,
        "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n",
        address.target(),
        address.authority()
    );
    if offers_compression {
        let _ = write!(text, "{EXTENSIONS}: {}\r\n", compression::offer());
    }
    let protocols: Vec<&str> = address.protocols().collect();
    if !protocols.is_empty() {
        let _ = write!(text, "{PROTOCOLS}: {}\r\n", protocols.join(", "));
    }
    // `Address::header` has rejected line breaks, and the names of the headers above.
    for (name, value) in address.headers() {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    text.push_str("\r\n");
    let accept = derive_accept_key(key.as_bytes());
    Handshake {
        request: Head(text.into_bytes()),
        accept,
        is_compressed: offers_compression,
        offers_protocol: !protocols.is_empty(),
        response: Vec::new(),
        is_rejected_by_roomer: false,
    }
}

/// Adds the protocol version and the session to an address's query.
pub(super) fn add_query(mut address: Address, is_extended: bool, session: Return<'_>) -> Address {
    if is_extended {
        // Use the query, because browsers cannot set headers on a WebSocket.
        address = address.query("roomer", &itoa(u64::from(VERSION)));
        if let Some((token, received)) = session {
            address = address.query("session", token).query("received", &itoa(received));
        }
    }
    address
}

fn itoa(number: u64) -> String {
    alloc::format!("{number}")
}

/// Returns the failure for a status other than 101.
fn rejected(status: u16, headers: &[httparse::Header<'_>]) -> Failure {
    let location = headers.iter().find(|header| header.name.eq_ignore_ascii_case("Location"));
    match location {
        Some(location) if (300..400).contains(&status) => {
            let location = String::from_utf8_lossy(location.value);
            let location = location.split(['?', '#']).next().unwrap_or_default().into();
            Failure::Redirected { status, location }
        }
        _ => Failure::Rejected { status },
    }
}

impl Handshake {
    /// Returns the request, once.
    pub(super) fn take_request(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.request.0)
    }

    /// Buffers received bytes. Once the response is complete, returns the number of `bytes` that
    /// belong to it.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Result<Option<usize>, Failure> {
        let before = self.response.len();
        // Buffer no more than the limit, however much arrives.
        let more = bytes.len().min(LARGEST_RESPONSE - before);
        self.response.extend_from_slice(&bytes[..more]);
        // Parse from the start on each call: a response is at most 16 KiB, and nearly always
        // arrives in one piece.
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let end = match response.parse(&self.response) {
            Ok(httparse::Status::Complete(end)) => end,
            Ok(httparse::Status::Partial) if self.response.len() < LARGEST_RESPONSE => {
                return Ok(None);
            }
            _ => return Err(Failure::Handshake("the response is not HTTP")),
        };
        match response.code {
            Some(101) => {}
            // Check the status before the headers: it explains more than a missing header.
            code => {
                let mut names = response.headers.iter().map(|header| header.name);
                self.is_rejected_by_roomer =
                    names.any(|name| name.eq_ignore_ascii_case(REJECTION_HEADER));
                return Err(rejected(code.unwrap_or_default(), response.headers));
            }
        }
        self.is_compressed = self.check(response.headers)?;
        // The response's last byte is in `bytes`; otherwise an earlier call would have found its
        // end.
        Ok(Some(end - before))
    }

    /// Validates the headers. Returns true if the server accepted compression.
    fn check(&self, headers: &[httparse::Header<'_>]) -> Result<bool, Failure> {
        let values = |name: &'static str| {
            let found = headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
            found.map(|header| header.value.trim_ascii())
        };
        if !values("Upgrade").any(|value| value.eq_ignore_ascii_case(b"websocket")) {
            return Err(Failure::Handshake("the response does not upgrade to websocket"));
        }
        let mut tokens = values("Connection").flat_map(|value| value.split(|&byte| byte == b','));
        if !tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade")) {
            return Err(Failure::Handshake("the response does not upgrade the connection"));
        }
        let mut accepts = values("Sec-WebSocket-Accept");
        // With several values, implementations could disagree on which one counts.
        if accepts.next() != Some(self.accept.as_bytes()) || accepts.next().is_some() {
            return Err(Failure::Handshake("the response has a wrong Sec-WebSocket-Accept"));
        }
        // RFC 6455 section 4.1: the client fails the connection if the response selects something
        // that it did not offer.
        let selects = |name| values(name).any(|value| !value.is_empty());
        let agreed = match self.is_compressed {
            true => compression::agreed(values(EXTENSIONS)),
            false => Some(false).filter(|_| !selects(EXTENSIONS)),
        };
        // The request also offers the token as a subprotocol, but a server must not select it,
        // since that would echo the token.
        let is_offered = |name: &[u8]| self.offers_protocol && name == PROTOCOL.as_bytes();
        let mut selected = values(PROTOCOLS).filter(|name| !name.is_empty());
        if !selected.all(is_offered) || values(PROTOCOLS).count() > 1 {
            return Err(Failure::Handshake(
                "the response selects a subprotocol that was not offered",
            ));
        }
        agreed.ok_or(Failure::Handshake("the response selects extensions that were not offered"))
    }
}
