//! Tunnel items, which carry a client's bytes from one node to another.
//!
//! One of the nodes has the client's socket, the other has its session.

use alloc::vec::Vec;
use core::net::{Ipv6Addr, SocketAddr};

use super::FrameError;
use super::cursor::{Cursor, prefixed_len, put_prefixed};
use super::list::Names;
use crate::ConnId;

/// The number of bytes that each end of a tunnel may initially send. The other end permits more
/// with [`Credit`](TunnelItem::Credit).
pub const TUNNEL_WINDOW: usize = 64 * 1024;

/// The largest number of bytes in one [`Data`](TunnelItem::Data).
pub const TUNNEL_DATA: usize = 16 * 1024;

/// An item of one tunnel. A tunnel is identified by the node that opened it and a number that the
/// opener has not used before.
///
/// ```text
///  node of the socket            node of the session
///        Open      ────────────▶
///                  ◀────────────  Accept, or Refuse
///     Data, Credit ◀───────────▶  Data, Credit
///        End       ◀───────────▶  End
/// ```
///
/// All items travel in the streams between the two nodes. If a stream restarts, items may be missing,
/// so both nodes drop their tunnels with each other.
///
/// The enum is exhaustive, so that a node that does not handle a new item fails to compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelItem<'a> {
    /// Requests a tunnel: a client of the sender has a session on the receiving node.
    Open {
        /// The number of the tunnel.
        number: u64,
        /// The session that the client requests, and its login.
        request: TunnelRequest<'a>,
    },
    /// Accepts a tunnel: the session continues over it, or is closed over it.
    Accept {
        /// The number of the tunnel, which the receiving node opened.
        number: u64,
        /// The secret of the session's next token, combined with a hash that only the two nodes can
        /// compute.
        secret: [u8; 16],
        /// The payload of `hello` for the client, without the token. Empty if the application has
        /// closed the session: the tunnel then carries only the close frame and the client's answer.
        /// Earlier releases treat an empty payload like a refusal.
        hello: &'a str,
    },
    /// Bytes from or to the client.
    Data {
        /// The number of the tunnel.
        number: u64,
        /// True if the sender opened the tunnel.
        is_opener: bool,
        /// At most [`TUNNEL_DATA`] bytes.
        bytes: &'a [u8],
    },
    /// Permits the receiver to send more bytes.
    Credit {
        /// The number of the tunnel.
        number: u64,
        /// True if the sender opened the tunnel.
        is_opener: bool,
        /// The number of bytes that the receiver may send in addition to those permitted earlier.
        bytes: u32,
    },
    /// Refuses a tunnel: the session does not continue, so the node that opened the tunnel gives
    /// its client a new session.
    Refuse {
        /// The number of the tunnel, which the receiving node opened.
        number: u64,
    },
    /// The sender has left the tunnel, and sends no further items over it.
    End {
        /// The number of the tunnel.
        number: u64,
        /// True if the sender opened the tunnel.
        is_opener: bool,
    },
}

/// A request to continue a session over a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelRequest<'a> {
    /// The id of the session's connection.
    pub id: ConnId,
    /// A proof that the client presented the session's token.
    pub proof: [u8; 16],
    /// The number of the session's packets that the client has received.
    pub received: u64,
    /// True if the client may send compressed messages.
    pub sends_compressed: bool,
    /// True if the client accepts compressed messages from any node.
    pub takes_compressed: bool,
    /// The client's address, if known.
    pub address: Option<SocketAddr>,
    /// The time for which the login is still valid, in milliseconds; `None` without a limit.
    pub valid_ms: Option<u64>,
    /// The user that the client has logged in as.
    pub user: Option<&'a str>,
    /// The names and values of the login's claims, alternating; `None` without a login.
    pub claims: Option<Names<'a>>,
}

const OPEN: u8 = 0;
const ACCEPT: u8 = 1;
/// The lowest bit of `DATA`, `CREDIT` and `END` is set if the item's sender opened the tunnel.
const DATA: u8 = 2;
const CREDIT: u8 = 4;
const END: u8 = 6;
const REFUSE: u8 = 8;

const SENDS: u8 = 1;
const TAKES: u8 = 2;
const ADDRESS: u8 = 4;
const VALID: u8 = 8;
const USER: u8 = 16;
const CLAIMS: u8 = 32;
const FLAGS: u8 = 63;

impl<'a> TunnelItem<'a> {
    /// Returns the length of the encoded content in bytes.
    pub(super) fn encoded_len(&self) -> usize {
        9 + match self {
            TunnelItem::Open { request, .. } => request.encoded_len(),
            TunnelItem::Accept { hello, .. } => 16 + hello.len(),
            TunnelItem::Data { bytes, .. } => bytes.len(),
            TunnelItem::Credit { .. } => 4,
            TunnelItem::Refuse { .. } | TunnelItem::End { .. } => 0,
        }
    }

    /// Appends the content to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (kind, number) = match *self {
            TunnelItem::Open { number, .. } => (OPEN, number),
            TunnelItem::Accept { number, .. } => (ACCEPT, number),
            TunnelItem::Refuse { number } => (REFUSE, number),
            TunnelItem::Data { number, is_opener, .. } => (DATA | u8::from(is_opener), number),
            TunnelItem::Credit { number, is_opener, .. } => (CREDIT | u8::from(is_opener), number),
            TunnelItem::End { number, is_opener } => (END | u8::from(is_opener), number),
        };
        out.push(kind);
        out.extend_from_slice(&number.to_be_bytes());
        match self {
            TunnelItem::Open { request, .. } => request.encode(out),
            TunnelItem::Accept { secret, hello, .. } => {
                out.extend_from_slice(secret);
                out.extend_from_slice(hello.as_bytes());
            }
            TunnelItem::Data { bytes, .. } => out.extend_from_slice(bytes),
            TunnelItem::Credit { bytes, .. } => out.extend_from_slice(&bytes.to_be_bytes()),
            TunnelItem::Refuse { .. } | TunnelItem::End { .. } => {}
        }
    }

    /// Decodes the content of an item. Returns `None` for a kind of item, or a request with a flag,
    /// that a later release added. The sender of such a request stops waiting for an answer.
    ///
    /// # Errors
    ///
    /// Returns a [`FrameError`] if the content is damaged.
    pub fn decode(content: &'a [u8]) -> Result<Option<Self>, FrameError> {
        let mut cursor = Cursor(content);
        let kind = cursor.u8("tunnel")?;
        let number = cursor.u64("tunnel")?;
        let is_opener = kind & 1 == 1;
        let item = match kind {
            OPEN => match TunnelRequest::decode(&mut cursor)? {
                Some(request) => TunnelItem::Open { number, request },
                None => return Ok(None),
            },
            ACCEPT => {
                let secret = cursor.array("tunnel")?;
                TunnelItem::Accept { number, secret, hello: cursor.last_name("hello")? }
            }
            DATA | 3 => {
                let bytes = core::mem::take(&mut cursor.0);
                if bytes.len() > TUNNEL_DATA {
                    return Err(FrameError::Impossible { what: "data of a tunnel" });
                }
                TunnelItem::Data { number, is_opener, bytes }
            }
            CREDIT | 5 => TunnelItem::Credit { number, is_opener, bytes: cursor.u32("credit")? },
            REFUSE => TunnelItem::Refuse { number },
            END | 7 => TunnelItem::End { number, is_opener },
            _ => return Ok(None),
        };
        cursor.finish()?;
        Ok(Some(item))
    }
}

impl<'a> TunnelRequest<'a> {
    fn encoded_len(&self) -> usize {
        let address = if self.address.is_some() { 18 } else { 0 };
        let valid = if self.valid_ms.is_some() { 8 } else { 0 };
        let user = self.user.map_or(0, |user| prefixed_len(user.len()));
        let claims = self.claims.map_or(0, |claims| claims.encoded_len());
        41 + address + valid + user + claims
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.to_bytes());
        out.extend_from_slice(&self.proof);
        out.extend_from_slice(&self.received.to_be_bytes());
        let flags = [
            (self.sends_compressed, SENDS),
            (self.takes_compressed, TAKES),
            (self.address.is_some(), ADDRESS),
            (self.valid_ms.is_some(), VALID),
            (self.user.is_some(), USER),
            (self.claims.is_some(), CLAIMS),
        ];
        out.push(flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum());
        if let Some(address) = self.address {
            let ip = match address {
                SocketAddr::V4(address) => address.ip().to_ipv6_mapped(),
                SocketAddr::V6(address) => *address.ip(),
            };
            out.extend_from_slice(&ip.octets());
            out.extend_from_slice(&address.port().to_be_bytes());
        }
        if let Some(valid) = self.valid_ms {
            out.extend_from_slice(&valid.to_be_bytes());
        }
        if let Some(user) = self.user {
            put_prefixed(user.as_bytes(), out);
        }
        // The last field extends to the end of the item, so it needs no length prefix.
        if let Some(claims) = self.claims {
            claims.encode(out);
        }
    }

    /// Decodes a request. Returns `None` if it has a flag that a later release added.
    fn decode(cursor: &mut Cursor<'a>) -> Result<Option<Self>, FrameError> {
        let (id, proof) = (cursor.id("session")?, cursor.array("proof")?);
        let received = cursor.u64("session")?;
        let flags = cursor.u8("session")?;
        if flags & !FLAGS != 0 {
            return Ok(None);
        }
        let has = |flag| flags & flag != 0;
        let address = match has(ADDRESS) {
            true => {
                let ip = Ipv6Addr::from(cursor.array::<16>("address")?);
                let port = u16::from_be_bytes(cursor.array("address")?);
                Some(SocketAddr::new(ip.to_canonical(), port))
            }
            false => None,
        };
        let valid_ms = if has(VALID) { Some(cursor.u64("login")?) } else { None };
        let user = if has(USER) { Some(cursor.name("user")?) } else { None };
        let claims = match has(CLAIMS) {
            true => Some(Names::decode(core::mem::take(&mut cursor.0))?),
            false => None,
        };
        let (sends_compressed, takes_compressed) = (has(SENDS), has(TAKES));
        Ok(Some(TunnelRequest {
            id,
            proof,
            received,
            sends_compressed,
            takes_compressed,
            address,
            valid_ms,
            user,
            claims,
        }))
    }
}
