//! Tunnels: the bytes of a client whose session is on another node of the cluster.
//!
//! ```text
//!  client ──▶ socket ──▶ node B ══ items in the streams of the cluster ══▶ node A ──▶ session
//!                        copies bytes                                      its usual task
//! ```
//!
//! The session stays on its node A, where its task reads and writes the tunnel like any other
//! [`Transport`](crate::Transport). Node B performs the handshake, and then copies bytes between
//! the socket and the tunnel. Each end buffers at most a window of bytes in each direction
//! ([`TUNNEL_WINDOW`](roomer_proto::cluster::TUNNEL_WINDOW)).
//!
//! Each end is read and written by the task of its socket or session. The task of the broker link
//! passes all items to the broker, and therefore determines their order.

pub(crate) mod due;
pub(crate) mod pipe;
#[cfg(all(test, not(roomer_loom)))]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use roomer_hub::Tables;
use roomer_hub::cluster::{Change, Cluster};
use roomer_proto::cluster::{NodeId, TunnelItem};

use self::due::{DueTunnels, TunnelKey};
use self::pipe::{Answer, Full, Next, Pipe, TunnelEnd};

/// The maximum number of tunnels per node, counting those that the node opened and those opened to
/// it.
const MAX_TUNNELS: usize = 1024;

/// A node's tunnels, under the server's lock.
#[derive(Debug, Default)]
pub(crate) struct Tunnels {
    open: BTreeMap<TunnelKey, Arc<Pipe>>,
    pub(crate) due: Arc<DueTunnels>,
    /// The tunnels that wait for room in the stream to their peer, longest wait first.
    waiting: VecDeque<TunnelKey>,
    /// The number of the last tunnel that this node opened.
    last: u64,
    /// Requests from other nodes that the link's task has not taken yet.
    arrivals: Vec<Arrival>,
    /// The tunnels of requests that must be refused.
    refused: Vec<TunnelKey>,
    /// The wakers of tasks to wake once the lock is released.
    woken: Vec<Waker>,
}

/// A request from another node to continue a session over a tunnel.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) end: TunnelEnd,
    /// The encoded request, which is a valid [`TunnelItem::Open`].
    pub(crate) item: Bytes,
}

impl Tunnels {
    /// Returns the number of sockets on this node whose sessions are on other nodes.
    pub(crate) fn outgoing(&self) -> usize {
        self.open.keys().filter(|key| key.is_opener).count()
    }

    /// Returns how many of the sockets in [`outgoing`](Self::outgoing) have not been asked to leave
    /// their tunnels.
    pub(crate) fn uncut(&self) -> usize {
        self.open.iter().filter(|(key, pipe)| key.is_opener && !pipe.is_cut()).count()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Opens a tunnel to a peer. Returns `None` if the node has too many tunnels. The caller sends
    /// the request.
    pub(crate) fn open(&mut self, peer: NodeId) -> Option<TunnelEnd> {
        (self.open.len() < MAX_TUNNELS).then(|| {
            self.last += 1;
            self.insert(TunnelKey { peer, number: self.last, is_opener: true })
        })
    }

    fn insert(&mut self, key: TunnelKey) -> TunnelEnd {
        let pipe = Pipe::new();
        self.open.insert(key, pipe.clone());
        TunnelEnd::new(key, pipe, self.due.clone())
    }

    /// Refuses a peer's request. The client then gets a new session on the peer.
    pub(crate) fn refuse(&mut self, key: TunnelKey) {
        self.refused.push(key);
    }

    /// Handles an item from a peer.
    pub(crate) fn receive(&mut self, peer: NodeId, encoded: &Bytes) {
        let Ok(Some(item)) = TunnelItem::decode(encoded) else { return };
        let key = |number, is_opener| TunnelKey { peer, number, is_opener };
        let woken = match item {
            TunnelItem::Open { number, .. } => {
                return self.arrive(key(number, false), encoded);
            }
            TunnelItem::Accept { number, secret, hello } => {
                let answer = Answer::Accepted { secret, hello: hello.into() };
                self.open.get(&key(number, true)).and_then(|pipe| pipe.answer(answer))
            }
            TunnelItem::Refuse { number } => {
                let pipe = self.open.get(&key(number, true));
                pipe.and_then(|pipe| pipe.answer(Answer::Refused))
            }
            TunnelItem::Data { number, is_opener, bytes } => {
                let pipe = self.open.get(&key(number, !is_opener));
                pipe.and_then(|pipe| pipe.receive(bytes))
            }
            TunnelItem::Credit { number, is_opener, bytes } => {
                self.open.get(&key(number, !is_opener)).and_then(|pipe| pipe.grant(bytes))
            }
            TunnelItem::End { number, is_opener } => {
                self.open.get(&key(number, !is_opener)).and_then(|pipe| pipe.end())
            }
        };
        self.woken.extend(woken);
    }

    fn arrive(&mut self, key: TunnelKey, item: &Bytes) {
        if self.open.len() >= MAX_TUNNELS || self.open.contains_key(&key) {
            return self.refuse(key);
        }
        let end = self.insert(key);
        self.arrivals.push(Arrival { end, item: item.clone() });
    }

    /// Removes and returns the requests that other nodes have sent.
    pub(crate) fn take_arrivals(&mut self) -> Vec<Arrival> {
        std::mem::take(&mut self.arrivals)
    }

    /// Ends all tunnels with a peer, since some of their items may be missing.
    pub(crate) fn lose(&mut self, peer: NodeId) {
        let lost = self.open.iter().filter(|(key, _)| key.peer == peer);
        self.woken.extend(lost.filter_map(|(_, pipe)| pipe.lose()));
    }

    /// Ends a tunnel, if it still exists. Its last bytes may not reach the peer.
    pub(crate) fn abandon(&mut self, key: TunnelKey) {
        self.woken.extend(self.open.get(&key).and_then(|pipe| pipe.lose()));
    }

    /// Asks up to `most` sockets to leave their tunnels. Returns the wakers of their tasks.
    pub(crate) fn cut(&self, most: usize) -> Vec<Waker> {
        let mut wakers = Vec::new();
        let pipes = self.open.iter().filter(|(key, _)| key.is_opener);
        let cut = pipes.filter(|(_, pipe)| pipe.cut(&mut wakers)).take(most).count();
        debug_assert!(cut <= most);
        wakers
    }

    /// Queues the tunnels' pending items in the cluster's streams. The task of the broker link
    /// calls this after it has registered its waker.
    pub(crate) fn send(&mut self, now: Duration, tables: &Tables, machine: &mut Cluster) {
        for key in self.refused.drain(..) {
            let item = TunnelItem::Refuse { number: key.number };
            machine.record(now, tables, Change::Tunnel { to: key.peer, item });
        }
        let (mut queue, mut due) = (std::mem::take(&mut self.waiting), self.due.take());
        queue.iter().for_each(|key| _ = due.remove(key));
        queue.extend(due);
        self.waiting = serve(queue, |key| self.send_one(now, tables, machine, key));
    }

    /// Queues a tunnel's next item. Returns true if there may be another one.
    fn send_one(
        &mut self,
        now: Duration,
        tables: &Tables,
        machine: &mut Cluster,
        key: TunnelKey,
    ) -> Result<bool, Full> {
        let Some(pipe) = self.open.get(&key) else { return Ok(false) };
        let TunnelKey { peer, number, is_opener } = key;
        let Some(room) = machine.tunnel_room(peer) else {
            // There is no stream to the peer. The peer also ends the tunnel as lost.
            self.woken.extend(pipe.lose());
            if pipe.is_dropped() {
                self.open.remove(&key);
            }
            return Ok(false);
        };
        let next = pipe.next(room)?;
        let item = match &next {
            Some(Next::Credit(bytes)) => TunnelItem::Credit { number, is_opener, bytes: *bytes },
            Some(Next::Data(bytes)) => TunnelItem::Data { number, is_opener, bytes },
            Some(Next::End) => TunnelItem::End { number, is_opener },
            None => {
                if pipe.is_dropped() {
                    self.open.remove(&key);
                }
                return Ok(false);
            }
        };
        machine.record(now, tables, Change::Tunnel { to: peer, item });
        Ok(true)
    }

    /// Removes and returns the wakers of the tasks to wake. Call them after releasing the lock.
    pub(crate) fn take_woken(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.woken)
    }
}

/// Queues one item per tunnel in each round, so that no tunnel waits for another one. Returns the
/// tunnels that wait for room, in the order in which they are served next.
fn serve(
    mut queue: VecDeque<TunnelKey>,
    mut send_one: impl FnMut(TunnelKey) -> Result<bool, Full>,
) -> VecDeque<TunnelKey> {
    let mut waiting = VecDeque::new();
    while let Some(key) = queue.pop_front() {
        match send_one(key) {
            Ok(true) => queue.push_back(key),
            Ok(false) => {}
            Err(Full) => waiting.push_back(key),
        }
    }
    waiting
}
