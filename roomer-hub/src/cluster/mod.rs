//! Rooms that span several nodes, as a second pure state machine next to the hub.
//!
//! Each node's hub contains all members of its rooms: its own connections, and its peers'
//! connections as *guests*. A join is therefore answered immediately from local tables, without a
//! round trip. [`Cluster`] determines what this node reports to its peers, and translates the
//! reports from its peers into hub inputs.
//!
//! ```text
//!  socket ──▶ Hub ──actions──▶ outboxes ──▶ sockets
//!             ▲ │ Cluster::record
//!     effects │ ▼
//!          Cluster ──Cluster::publish──▶ broker
//!             ▲                            │
//!             └────── Input::Frame ◀───────┘
//! ```
//!
//! # One stream per direction between two nodes
//!
//! Everything that node A reports to node B (joins, leaves and messages) forms one stream of
//! numbered frames, which B applies in order and exactly once. The broker must preserve one
//! publisher's order within one subject, but may lose frames.
//!
//! * **Start.** B receives a heartbeat from A, and requests a stream ([`Item::RequestStream`]) under a
//!   number that B chooses. The stream starts with the members of A's rooms; changes follow as they
//!   happen.
//! * **Gap.** If a number is missing, or A's next heartbeat reports a higher number than the last
//!   one received, B holds later frames and requests the missing ones. A keeps published frames in
//!   a journal for a few seconds.
//! * **Reset.** If a frame cannot be recovered, B requests a new stream. Its first frame lists the
//!   rooms and senders whose messages B missed. The affected members leave B's rooms and rejoin, so
//!   every client sees the loss. The death and return of a node are handled in the same way.
//!
//! The state machine reads no clock, draws no random numbers and does no I/O. The same inputs
//! always produce the same effects and frames.

mod beat;
mod config;
mod digest;
mod effect;
mod gap;
mod incoming;
mod order;
mod origins;
mod outgoing;
mod owned_peer_command;
mod owned_user_command;
mod peer;
mod profile_items;
mod profiles;
mod proof;
mod publish;
mod reasons;
mod receive;
mod report;
mod retransmission;
mod slice;
mod statistics;
mod stream;
mod tick;
mod transfer;
mod tunnels;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
#[cfg(doc)]
use roomer_proto::cluster::Item;
use roomer_proto::cluster::{NodeId, Subject};

pub use self::config::{Config, Loss};
pub use self::digest::settings_hash;
pub use self::effect::{Change, Effect, Effects, Event, Input};
pub use self::owned_peer_command::OwnedPeerCommand;
pub use self::owned_user_command::OwnedUserCommand;
pub use self::peer::{PeerInfo, PeerState};
pub use self::proof::SessionProof;
pub use self::reasons::{GoneReason, RefusedReason, ResetReason};
pub use self::statistics::Statistics;

use self::digest::Digest;
use self::order::Orders;
use self::peer::Peer;
use self::profiles::OwnProfiles;
use crate::keys::PeerKey;
use crate::tables::Tables;

/// The maximum frame size until the broker reports its limit.
const DEFAULT_MAX_PAYLOAD: usize = 1 << 20;

/// One node's part of a cluster. See the [module documentation](self).
#[derive(Debug)]
pub struct Cluster {
    config: Config,
    me: NodeId,
    hash: Digest,
    now: Duration,
    started_at: Duration,
    /// The time of the last tick.
    ticked_at: Duration,
    beat_at: Duration,
    is_up: bool,
    is_stopped: bool,
    /// True if this node accepts tunnels.
    accepts_tunnels: bool,
    max_payload: usize,
    peers: BTreeMap<NodeId, Peer>,
    /// The times at which nodes announced their stop. A node's last heartbeats may arrive later
    /// than that, on another subject.
    ended: BTreeMap<NodeId, Duration>,
    /// The number of the last requested stream. Shared by all peers: the state of a dead peer is
    /// discarded, but the peer itself may still have seen earlier numbers.
    streams: u32,
    /// The node for each of the hub's peer keys.
    keys: Vec<Option<NodeId>>,
    /// Control frames waiting to be published.
    control: VecDeque<(Subject, Bytes)>,
    /// True if there may be frames to publish.
    is_dirty: bool,
    /// The peer whose stream is published next, in round-robin order.
    turn: NodeId,
    /// The sum of this node's seat hashes, over all rooms with full presence.
    digest: u64,
    /// The info and users of this node's connections in rooms with full presence.
    profiles: OwnProfiles,
    /// This node's rooms without full presence.
    counted: BTreeSet<Box<str>>,
    /// The rooms in `counted` whose member count has changed since it was last reported.
    recount: BTreeSet<Box<str>>,
    /// The number of connections on this node at the last tick.
    connections: u64,
    /// The number of rooms on this node at the last tick.
    rooms: u64,
    effects: Vec<Effect>,
    statistics: Statistics,
    /// The state of rooms with a total message order.
    orders: Orders,
}

impl Cluster {
    /// Creates the state machine of node `me`, whose id must be random and new for each start.
    /// `now` uses the same clock as [`handle`](Self::handle).
    #[must_use]
    pub fn new(config: Config, me: NodeId, now: Duration) -> Self {
        Cluster {
            hash: Digest::new(&config.cluster),
            orders: Orders::new(&config.orders),
            config,
            me,
            now,
            started_at: now,
            ticked_at: now,
            beat_at: now,
            is_up: false,
            is_stopped: false,
            accepts_tunnels: false,
            max_payload: DEFAULT_MAX_PAYLOAD,
            peers: BTreeMap::new(),
            ended: BTreeMap::new(),
            streams: 0,
            keys: Vec::new(),
            control: VecDeque::new(),
            is_dirty: false,
            turn: me,
            digest: 0,
            profiles: OwnProfiles::default(),
            counted: BTreeSet::new(),
            recount: BTreeSet::new(),
            connections: 0,
            rooms: 0,
            effects: Vec::new(),
            statistics: Statistics::default(),
        }
    }

    /// Handles one input at time `now`. The driver must pass all effects to the hub, in order,
    /// before the hub's next input and before any other call to this state machine. `tables`
    /// are the hub's tables.
    ///
    /// `now` counts from any fixed origin and never decreases.
    pub fn handle(&mut self, now: Duration, tables: &Tables, input: Input) -> Effects<'_> {
        self.effects.clear();
        self.now = now;
        // A node must not report anything after its `Bye`, because its peers have already removed
        // it.
        if !self.is_stopped {
            match input {
                Input::Up { max_payload } => self.up(max_payload),
                Input::Down => self.down(),
                Input::Frame(frame) => self.frame(tables, frame),
                Input::Tick => self.tick(tables),
                Input::Stop => self.stop(),
            }
            // Do this after every input, since any input may complete a condition that messages
            // wait for.
            self.advance_orders();
        }
        Effects(self.effects.drain(..))
    }

    /// Returns this node's id.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.me
    }

    /// Returns true if the link to the broker is up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.is_up
    }

    /// Returns true if the node has waited long enough for its peers ([`Config::formation_timeout`]) to
    /// start serving clients.
    #[must_use]
    pub fn is_formed(&self, now: Duration) -> bool {
        now.saturating_sub(self.started_at) >= self.config.formation_timeout
    }

    /// Returns the peers, ordered by id.
    pub fn peers(&self) -> impl Iterator<Item = PeerInfo> {
        self.peers.iter().map(|(node, peer)| peer.info(*node))
    }

    /// Returns the node to which one of the hub's peer keys belongs.
    #[must_use]
    pub fn peer_node(&self, peer: PeerKey) -> Option<NodeId> {
        self.keys.get(peer.index()).copied().flatten()
    }

    /// Returns the counters since the node's start.
    #[must_use]
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    fn up(&mut self, max_payload: usize) {
        self.is_up = true;
        self.max_payload = max_payload;
        // Send a heartbeat immediately, since peers may have declared this node dead while the link
        // was down.
        self.beat_at = self.now;
        for peer in self.peers.values_mut() {
            peer.incoming.retry_now(self.now);
        }
        self.is_dirty = true;
        self.send_beat_if_due();
    }

    fn down(&mut self) {
        self.is_up = false;
        for peer in self.peers.values_mut() {
            peer.incoming.pause();
        }
    }

    fn report(&mut self, event: Event) {
        self.statistics.count(&event);
        self.effects.push(Effect::Event(event));
    }
}
