//! Events about other nodes, and the calls to their hooks.
//!
//! The link's task calls the hooks one at a time, in event order and without the server's lock.

use std::collections::BTreeSet;

use roomer_hub::cluster::{Event, GoneReason};
use roomer_proto::cluster::NodeId;

/// Another node's arrival or departure, for [`Builder::on_peer`](crate::Builder::on_peer).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerEvent {
    /// The node's id. A new id is drawn each time the node starts.
    pub node: NodeId,
    /// The node's name.
    pub name: String,
    /// The reason why the node's members were removed, or `None` if they were added.
    pub gone: Option<GoneReason>,
}

/// Lost messages from another node, for [`Builder::on_gap`](crate::Builder::on_gap).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// The id of the node whose messages may be missing.
    pub node: NodeId,
    /// The node's name.
    pub name: String,
    /// The room whose members on this node may have missed messages. `None` for direct messages, or
    /// if any message may be missing.
    pub room: Option<String>,
    /// The number of missing frames, each of which contains one or more messages, joins or leaves
    /// in any rooms. `None` if unknown.
    pub frames: Option<u64>,
}

/// A pending hook call.
#[derive(Debug)]
pub(crate) enum ClusterEvent {
    Peer(PeerEvent),
    Gap(Gap),
}

impl ClusterEvent {
    /// Creates the hook call for a change in the cluster. `shown` contains the nodes whose arrival
    /// was reported. The departure of any other node is not reported.
    pub(crate) fn new(event: &Event, shown: &mut BTreeSet<NodeId>) -> Option<Self> {
        let (node, name, gone) = match event {
            Event::PeerLive { node, name } if shown.insert(*node) => (*node, name, None),
            Event::PeerGone { node, name, reason } if shown.remove(node) => {
                (*node, name, Some(*reason))
            }
            Event::Gap { node, name, room, frames } => {
                let room = room.as_deref().map(str::to_owned);
                let gap = Gap { node: *node, name: (**name).into(), room, frames: *frames };
                return Some(ClusterEvent::Gap(gap));
            }
            _ => return None,
        };
        Some(ClusterEvent::Peer(PeerEvent { node, name: (**name).into(), gone }))
    }
}
