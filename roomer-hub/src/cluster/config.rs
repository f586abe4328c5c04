//! The options of the cluster's state machine.

use std::time::Duration;

use crate::config::Order;

/// The options of a node in a cluster. Start from [`Config::new`] and change fields.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The cluster's name. Nodes with different names ignore each other's frames.
    pub cluster: String,
    /// The node's name, for people. A node that starts again under its old name replaces the old one
    /// sooner.
    pub node: String,
    /// A hash of the settings that all nodes should share; differences are reported
    /// ([`Event::Settings`](super::Event::Settings)).
    pub settings: u64,
    /// The time between two beats. Default 1 s.
    pub beat: Duration,
    /// The silence after which a peer counts as dead. Default 5 s, so that five beats may be lost.
    pub dead_after: Duration,
    /// The time for which a node waits for the first beats of its peers before it is
    /// [formed](super::Cluster::is_formed). Default 2 s, two beats.
    pub form_wait: Duration,
    /// The time for which a missing frame may hold back later frames. Default 500 ms.
    pub repair_wait: Duration,
    /// The way in which the loss of a peer's messages shows. Default [`Loss::Rejoin`].
    pub loss: Loss,
    /// The order of messages in rooms, by pattern: a room's name, or a prefix of names followed by `*`.
    /// The first pattern that matches a name applies; without one it is [`Order::Sender`]. All nodes
    /// should share it.
    pub orders: Vec<(String, Order)>,
    /// The bytes of published frames that are kept for each peer until it has applied them. Default
    /// 4 MiB. A frame that the peer misses and that is not kept is lost.
    pub journal_bytes: usize,
    /// The time for which published frames are kept for a peer. Default 10 s.
    pub journal_time: Duration,
    /// The bytes that may wait for each peer until the broker takes them. Default 4 MiB. Above it the
    /// peer starts over with the members, and messages are lost.
    pub backlog_bytes: usize,
    /// The bytes of frames that may be held while an earlier one is missing, for each peer. Default
    /// 1 MiB.
    pub held_bytes: usize,
    /// The maximum length of a peer's packet in bytes. Default 1 MiB.
    pub max_packet: usize,
    /// The maximum length of a room's name in bytes. Default 4,096.
    pub max_name: usize,
    /// The maximum length of the info of a peer's connection in bytes. Default 1,024. A longer one counts as
    /// none.
    pub max_info: usize,
    /// The maximum number of peers. Default 256.
    pub max_peers: usize,
    /// The maximum number of seats that one peer may report at the start of its stream, a connection
    /// in a room with full presence each; joins that follow are not counted. Default 4 million.
    pub max_seats: usize,
}

/// The way in which a node shows its clients that messages of a peer may be lost, because a frame
/// is missing for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Loss {
    /// The members whose messages may be missing leave and join again, in rooms whose members are
    /// notified. In other rooms, and for messages of an application, the loss is only counted.
    #[default]
    Rejoin,
    /// Connections of this node that may have missed a message are closed
    /// ([`Effect::Close`](super::Effect::Close)): the members of the rooms with missing messages, for direct
    /// messages the members of the sender's rooms, and all if any message may be missing.
    Close,
    /// The loss is only counted and reported ([`Event::Gap`](super::Event::Gap)).
    Count,
}

impl Config {
    /// Creates the default options for a node of the cluster of this name.
    #[must_use]
    pub fn new(cluster: &str, node: &str) -> Self {
        Config {
            cluster: cluster.into(),
            node: node.into(),
            settings: 0,
            beat: Duration::from_secs(1),
            dead_after: Duration::from_secs(5),
            form_wait: Duration::from_secs(2),
            repair_wait: Duration::from_millis(500),
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
