//! Hashes that all nodes compute alike.

use std::hash::Hasher;

use roomer_proto::ConnId;
use roomer_proto::cluster::NodeId;
use siphasher::sip::SipHasher13;

/// Hashes with a key that follows from the cluster's name. Not a secret: nodes trust each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Digest {
    pub(super) cluster: u64,
}

/// Returns the hash of the settings that all nodes should share, for
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

    /// Returns the hash of a connection's seat in a room. The digest of a node is the wrapping sum of
    /// those of its seats, so that it does not depend on their order.
    pub(super) fn seat(&self, room: &str, id: &ConnId) -> u64 {
        // Each use has a number of its own, so that equal bytes in two uses have different hashes.
        let mut hasher = SipHasher13::new_with_keys(self.cluster, 1);
        // The id has a fixed length, so that room and id cannot be confused.
        hasher.write(id.as_ref());
        hasher.write(room.as_bytes());
        hasher.finish()
    }

    /// Returns the hash of a connection's info and user. The digest of the profiles of a node is their
    /// wrapping sum.
    pub(super) fn profile(&self, id: &ConnId, info: &str, user: &str) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.cluster, 3);
        hasher.write(id.as_ref());
        // With its length, so that info and user cannot be confused.
        hasher.write_u64(info.len() as u64);
        hasher.write(info.as_bytes());
        hasher.write(user.as_bytes());
        hasher.finish()
    }

    /// Returns the weight of a node as the home of a room: the node with the highest one is its home.
    pub(super) fn home(&self, room: &str, node: NodeId) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.cluster, 2);
        hasher.write(&node.0.to_be_bytes());
        hasher.write(room.as_bytes());
        hasher.finish()
    }
}
