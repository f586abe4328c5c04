//! Items that establish a total order of messages in a room.

use alloc::vec::Vec;

use super::cursor::{Cursor, prefixed_len, put_prefixed, put_varint, varint_len};
use super::{FrameError, NodeId};
use crate::{ConnId, PacketRef};

/// An item about a room with the same message order on all nodes. One node, the room's home,
/// assigns each message its place. The message itself travels directly from the sender's node to
/// each receiver's node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OrderItem<'a> {
    /// A message from a connection on the sending node. The receiver holds it until its place is
    /// known.
    Message {
        /// The message's number, higher than those of all earlier messages from the node.
        number: u64,
        /// A connection that should not receive the message.
        except: Option<ConnId>,
        /// The packet, with its sender in `src`.
        packet: PacketRef<'a>,
    },
    /// A request for a place for one of the sending node's messages.
    Submit {
        /// The room's name.
        room: &'a str,
        /// The message's number, as in [`Message`](OrderItem::Message).
        number: u64,
        /// The epoch of the latest term known to the sending node.
        epoch: u64,
        /// The room's home in that term.
        home: NodeId,
        /// True if the receiver must assign a place even if it considers another node the home.
        is_final: bool,
        /// The nodes that receive the message, except the sending one.
        to: Nodes<'a>,
    },
    /// Assigns the next place in a room's order to a message.
    Place {
        /// The room's name.
        room: &'a str,
        /// The node that the message comes from.
        node: NodeId,
        /// The number that this node gave the message.
        number: u64,
        /// The epoch of the term in which the sending node is the room's home.
        epoch: u64,
    },
    /// The answer to a [`Submit`](OrderItem::Submit) if the answering node is not the room's home
    /// and has not assigned a place.
    Return {
        /// The room's name.
        room: &'a str,
        /// The number from the submission.
        number: u64,
        /// The room's home, according to the answering node.
        home: NodeId,
    },
    /// Sent at the start of a stream: messages with numbers up to this one belong to earlier
    /// streams.
    Since {
        /// The number of the sending node's last message.
        number: u64,
    },
    /// The latest term of a room known to the sending node, sent at the start of a stream and
    /// whenever a new term becomes known. From then on, the node assigns no place in an earlier
    /// term.
    Term {
        /// The room's name.
        room: &'a str,
        /// The term's epoch.
        epoch: u64,
        /// The room's home in that term.
        home: NodeId,
    },
}

/// A list of node ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nodes<'a>(&'a [[u8; 8]]);

impl<'a> Nodes<'a> {
    /// Borrows a list of node ids in big-endian byte order.
    #[must_use]
    pub fn new(nodes: &'a [[u8; 8]]) -> Self {
        Nodes(nodes)
    }

    /// Returns the nodes.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = NodeId> + use<'a> {
        self.0.iter().map(|node| NodeId(u64::from_be_bytes(*node)))
    }

    fn decode(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let (nodes, rest) = bytes.as_chunks();
        // An incomplete id at the end means that the list is damaged.
        Cursor(rest).finish()?;
        Ok(Nodes(nodes))
    }
}

const MESSAGE: u8 = 1;
const SUBMIT: u8 = 2;
const PLACE: u8 = 3;
const RETURN: u8 = 4;
const SINCE: u8 = 5;
const TERM: u8 = 6;

impl<'a> OrderItem<'a> {
    pub(super) fn encoded_len(&self) -> usize {
        1 + match self {
            OrderItem::Message { number, except, packet } => {
                let except = if except.is_some() { 17 } else { 1 };
                varint_len(*number) + except + packet.encoded_len()
            }
            OrderItem::Submit { room, number, epoch, to, .. } => {
                let numbers = varint_len(*number) + varint_len(*epoch) + 8 + 1;
                numbers + prefixed_len(room.len()) + to.0.as_flattened().len()
            }
            OrderItem::Place { room, number, epoch, .. } => {
                8 + varint_len(*number) + varint_len(*epoch) + room.len()
            }
            OrderItem::Return { room, number, .. } => 8 + varint_len(*number) + room.len(),
            OrderItem::Since { number } => varint_len(*number),
            OrderItem::Term { room, epoch, .. } => 8 + varint_len(*epoch) + room.len(),
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        // The last field extends to the end of the item, so it needs no length prefix.
        match self {
            OrderItem::Message { number, except, packet } => {
                out.push(MESSAGE);
                put_varint(*number, out);
                out.push(except.is_some().into());
                if let Some(id) = except {
                    out.extend_from_slice(&id.to_bytes());
                }
                let encoded = packet.encode(out);
                debug_assert!(encoded.is_ok(), "fields came from a message below 4 GiB");
            }
            OrderItem::Submit { room, number, epoch, home, is_final, to } => {
                out.push(SUBMIT);
                put_varint(*number, out);
                put_varint(*epoch, out);
                out.extend_from_slice(&home.0.to_be_bytes());
                out.push((*is_final).into());
                put_prefixed(room.as_bytes(), out);
                out.extend_from_slice(to.0.as_flattened());
            }
            OrderItem::Place { room, node, number, epoch } => {
                out.push(PLACE);
                out.extend_from_slice(&node.0.to_be_bytes());
                put_varint(*number, out);
                put_varint(*epoch, out);
                out.extend_from_slice(room.as_bytes());
            }
            OrderItem::Return { room, number, home } => {
                out.push(RETURN);
                out.extend_from_slice(&home.0.to_be_bytes());
                put_varint(*number, out);
                out.extend_from_slice(room.as_bytes());
            }
            OrderItem::Since { number } => {
                out.push(SINCE);
                put_varint(*number, out);
            }
            OrderItem::Term { room, epoch, home } => {
                out.push(TERM);
                out.extend_from_slice(&home.0.to_be_bytes());
                put_varint(*epoch, out);
                out.extend_from_slice(room.as_bytes());
            }
        }
    }

    /// Decodes the content of an item. Returns `None` for an unknown kind.
    pub(super) fn decode(cursor: &mut Cursor<'a>) -> Result<Option<Self>, FrameError> {
        const WHAT: &str = "order";
        Ok(Some(match cursor.u8(WHAT)? {
            MESSAGE => {
                let number = cursor.varint(WHAT)?;
                let except = match cursor.u8(WHAT)? {
                    0 => None,
                    1 => Some(cursor.id(WHAT)?),
                    _ => return Err(FrameError::Impossible { what: WHAT }),
                };
                let packet = PacketRef::decode(core::mem::take(&mut cursor.0))?;
                OrderItem::Message { number, except, packet }
            }
            SUBMIT => {
                let (number, epoch) = (cursor.varint(WHAT)?, cursor.varint(WHAT)?);
                let home = NodeId(cursor.u64(WHAT)?);
                let is_final = match cursor.u8(WHAT)? {
                    0 => false,
                    1 => true,
                    _ => return Err(FrameError::Impossible { what: WHAT }),
                };
                let room = cursor.name(WHAT)?;
                // Decode this last: the list extends to the end of the item.
                let to = Nodes::decode(core::mem::take(&mut cursor.0))?;
                OrderItem::Submit { room, number, epoch, home, is_final, to }
            }
            PLACE => OrderItem::Place {
                node: NodeId(cursor.u64(WHAT)?),
                number: cursor.varint(WHAT)?,
                epoch: cursor.varint(WHAT)?,
                room: cursor.last_name(WHAT)?,
            },
            RETURN => OrderItem::Return {
                home: NodeId(cursor.u64(WHAT)?),
                number: cursor.varint(WHAT)?,
                room: cursor.last_name(WHAT)?,
            },
            SINCE => OrderItem::Since { number: cursor.varint(WHAT)? },
            TERM => OrderItem::Term {
                home: NodeId(cursor.u64(WHAT)?),
                epoch: cursor.varint(WHAT)?,
                room: cursor.last_name(WHAT)?,
            },
            _ => return Ok(None),
        }))
    }
}
