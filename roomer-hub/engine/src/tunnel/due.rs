//! The tunnels that have something to send, and the waker of the broker link's task that sends it.

use std::collections::BTreeSet;
use std::task::Waker;

use roomer_proto::cluster::NodeId;

use crate::sync::{Mutex, lock};

/// Identifies a tunnel at one of its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TunnelKey {
    /// The node at the other end.
    pub(crate) peer: NodeId,
    /// The number chosen by the node that opened the tunnel.
    pub(crate) number: u64,
    /// True if this node has opened the tunnel.
    pub(crate) is_opener: bool,
}

/// The tunnels that the link's task must process, and the waker of that task.
#[derive(Debug, Default)]
pub(crate) struct DueTunnels(Mutex<Due>);

#[derive(Debug, Default)]
struct Due {
    keys: BTreeSet<TunnelKey>,
    link: Option<Waker>,
}

impl DueTunnels {
    /// Adds a tunnel, and wakes the link's task. Must be called without the tunnel's lock.
    pub(crate) fn add(&self, key: TunnelKey) {
        let mut due = lock(&self.0);
        due.keys.insert(key);
        let link = due.link.take();
        drop(due);
        link.into_iter().for_each(Waker::wake);
    }

    /// Wakes the link's task.
    pub(crate) fn wake(&self) {
        let link = lock(&self.0).link.take();
        link.into_iter().for_each(Waker::wake);
    }

    /// Registers the link's task. The task takes the due tunnels only after this, so that it does
    /// not miss any.
    pub(crate) fn register(&self, link: &Waker) {
        lock(&self.0).link.get_or_insert_with(|| link.clone()).clone_from(link);
    }

    pub(super) fn take(&self) -> BTreeSet<TunnelKey> {
        std::mem::take(&mut lock(&self.0).keys)
    }
}
