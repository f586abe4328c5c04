//! The tunnels with something to send, for the task of the broker link.

use std::collections::BTreeSet;
use std::task::Waker;

use roomer_proto::cluster::NodeId;

use crate::sync::{Mutex, lock};

/// The name of a tunnel at one of its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TunnelKey {
    /// The node of the other end.
    pub(crate) peer: NodeId,
    /// The number that the opener has chosen.
    pub(crate) number: u64,
    /// True if this node has opened the tunnel.
    pub(crate) is_opener: bool,
}

/// The tunnels that the link's task has to look at.
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

    /// Registers the link's task, which takes the tunnels after this.
    pub(crate) fn register(&self, link: &Waker) {
        lock(&self.0).link.get_or_insert_with(|| link.clone()).clone_from(link);
    }

    pub(super) fn take(&self) -> BTreeSet<TunnelKey> {
        std::mem::take(&mut lock(&self.0).keys)
    }
}
