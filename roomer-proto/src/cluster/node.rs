//! Node ids, and the names of broker subjects.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use crate::ConnId;

/// The maximum length of a subject prefix in bytes.
const MAX_PREFIX: usize = 100;

/// A node's id: 64 random bits, chosen each time the process starts.
///
/// Its first 32 bits are the node's [`NodeTag`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u64);

/// The first four bytes of the ids of a node's connections. They identify the node without a lookup
/// table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeTag(pub [u8; 4]);

impl NodeId {
    /// Returns the tag that this node's connection ids start with.
    #[must_use]
    pub fn tag(self) -> NodeTag {
        NodeTag(((self.0 >> 32) as u32).to_be_bytes())
    }
}

impl NodeTag {
    /// Creates a connection's id from 16 random bytes, replacing the first four with the tag. The
    /// 90 bits that remain random are not guessable.
    #[must_use]
    pub fn id(self, mut random: [u8; 16]) -> ConnId {
        random[..4].copy_from_slice(&self.0);
        ConnId::from_random_bytes(random)
    }

    /// Returns true if an id has this tag.
    #[must_use]
    pub fn is_of(self, id: &ConnId) -> bool {
        id.to_bytes()[..4] == self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Debug for NodeTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

/// The error for text that is not a valid [`NodeId`].
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("a node's id has 16 hexadecimal digits")]
#[non_exhaustive]
pub struct ParseNodeIdError;

crate::debug_as_display!(ParseNodeIdError, ParsePrefixError);

impl FromStr for NodeId {
    type Err = ParseNodeIdError;

    fn from_str(text: &str) -> Result<Self, ParseNodeIdError> {
        let id = u64::from_str_radix(text, 16).map(NodeId).map_err(|_| ParseNodeIdError)?;
        // Only the canonical text is accepted: no sign, no upper case, all leading zeros.
        if id.to_string() == text { Ok(id) } else { Err(ParseNodeIdError) }
    }
}

/// The nodes that receive a frame.
///
/// The enum is exhaustive, so that a carrier that does not handle a new subject fails to compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// All nodes of the cluster.
    All,
    /// The node with this id.
    Node(NodeId),
}

/// A cluster's subject names on the broker.
///
/// ```
/// use roomer_proto::cluster::{NodeId, Subject, Subjects};
///
/// let subjects = Subjects::new("roomer.chat", NodeId(0xabc))?;
/// assert_eq!(subjects.name(Subject::All), "roomer.chat.all");
/// assert_eq!(subjects.own(), "roomer.chat.n.0000000000000abc");
/// # Ok::<(), roomer_proto::cluster::ParsePrefixError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subjects {
    prefix: String,
    node: NodeId,
}

/// The error for a prefix that cannot begin a subject.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the prefix {prefix:?} cannot begin a subject: write parts of letters, digits, '-' and '_' with \
     dots between them, at most {MAX_PREFIX} bytes"
)]
pub struct ParsePrefixError {
    prefix: String,
}

impl Subjects {
    /// Creates a cluster's subject names, as used by `node`.
    ///
    /// # Errors
    ///
    /// Returns a [`ParsePrefixError`] if `prefix` is too long, or has an empty part or a character
    /// with a special meaning for brokers.
    pub fn new(prefix: &str, node: NodeId) -> Result<Self, ParsePrefixError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let is_part = |part: &str| !part.is_empty() && part.chars().all(is_plain);
        if prefix.len() > MAX_PREFIX || !prefix.split('.').all(is_part) {
            // Truncate the prefix for the error message, since a configured prefix may be any text.
            let prefix = prefix.chars().take(MAX_PREFIX).collect();
            return Err(ParsePrefixError { prefix });
        }
        Ok(Subjects { prefix: prefix.into(), node })
    }

    /// Returns the subject that all nodes subscribe to.
    #[must_use]
    pub fn all(&self) -> String {
        self.name(Subject::All)
    }

    /// Returns the subject that only this node subscribes to.
    #[must_use]
    pub fn own(&self) -> String {
        self.name(Subject::Node(self.node))
    }

    /// Returns the name of a subject.
    #[must_use]
    pub fn name(&self, subject: Subject) -> String {
        match subject {
            Subject::All => format!("{}.all", self.prefix),
            Subject::Node(node) => format!("{}.n.{node}", self.prefix),
        }
    }
}
