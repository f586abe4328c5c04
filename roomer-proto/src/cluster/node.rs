//! Names of nodes and subjects.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use crate::ConnId;

/// The longest prefix of subjects in bytes.
const MAX_PREFIX: usize = 100;

/// The number of a node: 64 random bits, new at each start of the process.
///
/// Its first 32 bits are the node's [`Tag`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u64);

/// The first four bytes of the ids of a node's connections, so that every node finds the node of an
/// id without a table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(pub [u8; 4]);

impl NodeId {
    /// Returns the first four bytes of the ids of this node's connections.
    #[must_use]
    pub fn tag(self) -> Tag {
        Tag(((self.0 >> 32) as u32).to_be_bytes())
    }
}

impl Tag {
    /// Creates a connection's id from 16 random bytes, of which the first four are replaced by the
    /// tag. The 90 bits that remain random are not guessable.
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

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

/// A text is not a [`NodeId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a node's id has 16 hexadecimal digits")]
#[non_exhaustive]
pub struct ParseNodeIdError;

impl FromStr for NodeId {
    type Err = ParseNodeIdError;

    fn from_str(text: &str) -> Result<Self, ParseNodeIdError> {
        let id = u64::from_str_radix(text, 16).map(NodeId).map_err(|_| ParseNodeIdError)?;
        // One text for each id: without signs, upper case and missing zeros.
        if id.to_string() == text { Ok(id) } else { Err(ParseNodeIdError) }
    }
}

/// The receivers of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// All nodes of the cluster.
    All,
    /// One node alone.
    Node(NodeId),
}

/// The names of a cluster's subjects at the broker.
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

/// A prefix cannot be the beginning of a subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the prefix {prefix:?} cannot begin a subject: write parts of letters, digits, '-' and '_' with \
     dots between them, at most {MAX_PREFIX} bytes"
)]
pub struct ParsePrefixError {
    prefix: String,
}

impl Subjects {
    /// Creates the subjects of a cluster, for the node `node`.
    ///
    /// # Errors
    ///
    /// If `prefix` has a character that means something to a broker, an empty part, or is too long.
    pub fn new(prefix: &str, node: NodeId) -> Result<Self, ParsePrefixError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let is_part = |part: &str| !part.is_empty() && part.chars().all(is_plain);
        if prefix.len() > MAX_PREFIX || !prefix.split('.').all(is_part) {
            // The prefix may be any text of a configuration; the beginning of it is enough for the
            // error.
            let prefix = prefix.chars().take(MAX_PREFIX).collect();
            return Err(ParsePrefixError { prefix });
        }
        Ok(Subjects { prefix: prefix.into(), node })
    }

    /// Returns the subject of all nodes.
    #[must_use]
    pub fn all(&self) -> String {
        self.name(Subject::All)
    }

    /// Returns the subject of this node.
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
