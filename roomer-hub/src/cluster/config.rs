//! Options for a node's cluster state machine.

use std::time::Duration;

use crate::config::Order;

/// Options for a node in a cluster. Start from [`Config::new`] and change individual fields.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The cluster's name. Nodes with different names ignore each other's frames.
    pub cluster: String,
    /// The node's display name. If a node restarts under the same name, its peers drop its
    /// predecessor sooner.
    pub node: String,
    /// A hash of the settings that should be the same on all nodes. Differences are reported
    /// ([`Event::Settings`](super::Event::Settings)).
    pub settings: u64,
    /// The interval between heartbeats. Default 1 s.
    pub beat: Duration,
    /// The time for which a peer may be silent before it counts as dead. Default 5 s, five
    /// heartbeats.
    pub dead_after: Duration,
    /// The time to wait for the peers' first heartbeats before the node is
    /// [formed](super::Cluster::is_formed). Default 2 s, two heartbeats.
    pub formation_timeout: Duration,
    /// The time for which a missing frame may delay later ones, not counting outages of the link.
    /// Default 500 ms.
    pub repair_timeout: Duration,
    /// The signal to clients that a peer's messages may be lost. Default [`Loss::Rejoin`].
    pub loss: Loss,
    /// The message order of rooms, by pattern: a room's name, or a prefix followed by `*`. The
    /// first matching pattern applies. Rooms that match no pattern have [`Order::Sender`]. All nodes
    /// should have the same patterns.
    pub orders: Vec<(String, Order)>,
    /// The maximum size in bytes of each peer's journal, which keeps published frames until the
    /// peer has applied them. A missing frame that is not in the journal is lost. Default 4 MiB.
    pub journal_bytes: usize,
    /// The time for which published frames are kept in a peer's journal. Default 10 s.
    pub journal_time: Duration,
    /// The maximum number of bytes per peer that wait for the broker. If there are more, the stream
    /// restarts from the member list, and messages are lost. Default 4 MiB.
    pub backlog_bytes: usize,
    /// The maximum number of bytes held per peer while an earlier frame is missing. Frames above it
    /// are requested again. Default 1 MiB.
    pub held_bytes: usize,
    /// The maximum length in bytes of a packet from a peer. Default 1 MiB.
    pub max_packet: usize,
    /// The maximum length in bytes of a room's name. Default 4,096.
    pub max_name: usize,
    /// The maximum length in bytes of the info on a peer's connection. Longer info is dropped.
    /// Default 1,024.
    pub max_info: usize,
    /// The maximum number of peers. Default 256.
    pub max_peers: usize,
    /// The maximum number of seats in the list at the start of a peer's stream. A seat is one
    /// connection in one room with full presence. Later joins are not counted. The same maximum
    /// applies to the connections in that list that are away. Default 4 million.
    pub max_seats: usize,
}

/// The signal to clients that messages from a peer may be lost, because a frame could not be
/// recovered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Loss {
    /// In rooms whose members are notified of joins and leaves, the members whose messages may be
    /// missing leave and rejoin. In other rooms, and for application messages, the loss is only
    /// counted.
    #[default]
    Rejoin,
    /// Connections on this node that may have missed a message are closed
    /// ([`Effect::Close`](super::Effect::Close)): for a room with missing messages, its members;
    /// for direct messages, the members of the sender's rooms; and if any message may be missing,
    /// all connections.
    Close,
    /// The loss is only counted and reported ([`Event::Gap`](super::Event::Gap)).
    Count,
}

impl Config {
    /// Creates the default options for a node in the given cluster.
    #[must_use]
    pub fn new(cluster: &str, node: &str) -> Self {
        Config {
            cluster: cluster.into(),
            node: node.into(),
            settings: 0,
            beat: Duration::from_secs(1),
            dead_after: Duration::from_secs(5),
            formation_timeout: Duration::from_secs(2),
            repair_timeout: Duration::from_millis(500),
            loss: Loss::Rejoin,
            orders: Vec::new(),
            journal_bytes: 4 << 20,
            journal_time: Duration::from_secs(10),
            backlog_bytes: 4 << 20,
            held_bytes: 1 << 20,
            max_packet: 1 << 20,
            max_name: 4096,
            max_info: 1024,
            max_peers: 256,
            max_seats: 4_000_000,
        }
    }
}
