//! Hash functions that give the same result on every node.

use std::hash::Hasher;

use roomer_proto::ConnId;
use roomer_proto::cluster::NodeId;
use siphasher::sip::SipHasher13;

/// A hash function keyed by the cluster's name. The key is not secret, because nodes trust each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Digest {
    pub(super) cluster: u64,
}

/// Hashes settings that should be the same on all nodes, for
/// [`Config::settings`](super::Config::settings).
#[must_use]
pub fn settings_hash(settings: &str) -> u64 {
    Digest::new(settings).cluster
}

impl Digest {
    pub(super) fn new(cluster: &str) -> Self {
        let mut hasher = SipHasher13::new_with_key(b"roomer cluster 1");
        hasher.write(cluster.as_bytes());
        Digest { cluster: hasher.finish() }
    }

    /// Returns the hash of a connection's seat in a room. A node's digest is the wrapping sum of
    /// its seats' hashes, which does not depend on their order.
    pub(super) fn seat(&self, room: &str, id: &ConnId) -> u64 {
        // Each use of the hash function has its own second key, so equal bytes in different uses
        // have different hashes.
        let mut hasher = SipHasher13::new_with_keys(self.cluster, 1);
        // The id has a fixed length, so the boundary between id and room is unambiguous.
        hasher.write(id.as_ref());
        hasher.write(room.as_bytes());
        hasher.finish()
    }

    /// Returns the hash of a connection's info and user. A node's profile digest is the wrapping
    /// sum of its connections' hashes.
    pub(super) fn profile(&self, id: &ConnId, info: &str, user: &str) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.cluster, 3);
        hasher.write(id.as_ref());
        // The length makes the boundary between info and user unambiguous.
        hasher.write_u64(info.len() as u64);
        hasher.write(info.as_bytes());
        hasher.write(user.as_bytes());
        hasher.finish()
    }

    /// Returns a node's weight as a candidate for a room's home. The node with the highest weight
    /// wins.
    pub(super) fn home(&self, room: &str, node: NodeId) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.cluster, 2);
        hasher.write(&node.0.to_be_bytes());
        hasher.write(room.as_bytes());
        hasher.finish()
    }
}
