//! Rooms over several nodes, as a second pure state machine beside the hub.
//!
//! Each node has the members of all rooms in its own hub: its own connections, and as *guests* those
//! of its peers. So a join is answered at once, from one table, without a round trip to other nodes.
//! [`Cluster`] decides what this node reports to its peers, and turns their reports into inputs of
//! the hub.
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
//! # One stream for each direction of each pair
//!
//! All that node A reports to node B, joins, leaves and messages, is one stream of numbered frames. B
//! applies them in the order of their numbers, each once. The broker has to keep the order of one
//! publisher within one subject, and may lose frames.
//!
//! * **Start.** B receives a beat of A, and requests a stream ([`Item::Want`]) under a number of its
//!   own choice. The stream begins with the members of A's rooms; changes follow as they happen.
//! * **Hole.** A number is missing, or A's next beat names a higher one: B holds the frames after it,
//!   and requests the missing ones, which A keeps in a journal for some seconds.
//! * **Reset.** A frame is gone for good: B requests a new stream. Its first frame names the rooms and
//!   senders whose messages B has missed; their members leave B's rooms and join them again, so that
//!   the loss is visible to every client. Death and return take the same path; there is no third.
//!
//! The machine reads no clock, draws no random numbers and does no I/O. The same inputs always give
//! the same effects and frames.

mod beat;
mod causes;
mod config;
mod digest;
mod effect;
mod incoming;
mod order;
mod origins;
mod outgoing;
mod peer;
mod profile_items;
mod profiles;
mod proof;
mod publish;
mod receive;
mod record;
mod slice;
mod statistics;
mod stream;
mod tick;
mod transfer;
mod user;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use std::vec::Drain;

use bytes::Bytes;
#[cfg(doc)]
use roomer_proto::cluster::Item;
use roomer_proto::cluster::{NodeId, Subject};

pub use self::causes::{GoneCause, RefusedCause, ResetCause};
pub use self::config::{Config, Loss};
pub use self::digest::settings_hash;
pub use self::effect::{Change, Command, Effect, Event, Input};
pub use self::peer::{PeerInfo, PeerState};
pub use self::proof::SessionProof;
pub use self::statistics::Statistics;
pub use self::user::UserCommand;

use self::digest::Digest;
use self::order::Orders;
use self::peer::Peer;
use self::profiles::OwnProfiles;
use crate::keys::PeerKey;
use crate::tables::Tables;

/// The frame size that is assumed until the broker reports its own.
const DEFAULT_MAX_PAYLOAD: usize = 1 << 20;

/// One node's part of a cluster. See the [module's page](self).
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
    max_payload: usize,
    peers: BTreeMap<NodeId, Peer>,
    /// When nodes announced their stop. Their last beats may arrive later, on another subject.
    ended: BTreeMap<NodeId, Duration>,
    /// The number of the last requested stream. One count for all peers, since a peer that was dead for
    /// long is forgotten, and may know the earlier numbers.
    streams: u32,
    /// The node of each key in the hub.
    keys: Vec<Option<NodeId>>,
    /// The frames without a number that wait to be published.
    control: VecDeque<(Subject, Bytes)>,
    /// True if there may be something to publish.
    is_dirty: bool,
    /// The peer whose stream is published next.
    turn: NodeId,
    /// The sum of the hashes of this node's seats in rooms with full presence.
    digest: u64,
    /// The info and users of this node's connections in such rooms.
    profiles: OwnProfiles,
    /// The rooms of this node without full presence, and those whose number changed since it was
    /// reported.
    counted: BTreeSet<Box<str>>,
    recount: BTreeSet<Box<str>>,
    /// The numbers of this node's connections and rooms at the last tick.
    connections: u64,
    rooms: u64,
    effects: Vec<Effect>,
    statistics: Statistics,
    /// The rooms with one order on all nodes.
    orders: Orders,
}

impl Cluster {
    /// Creates the machine of the node `me`, a number drawn at random at each start. `now` is the time
    /// on the clock of [`handle`](Self::handle).
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

    /// Handles one input at the time `now`. The hub has to receive all effects, in order, before its next
    /// input and before the next call of any method. `tables` are the hub's.
    ///
    /// `now` counts from any fixed moment and never decreases.
    pub fn handle(&mut self, now: Duration, tables: &Tables, input: Input) -> Drain<'_, Effect> {
        self.effects.clear();
        self.now = now;
        // After its goodbye a node must not report anything more: its peers have forgotten it.
        if !self.is_stopped {
            match input {
                Input::Up { max_payload } => self.up(max_payload),
                Input::Down => self.is_up = false,
                Input::Frame(frame) => self.frame(tables, frame),
                Input::Tick => self.tick(tables),
                Input::Stop => self.stop(),
            }
            // After each input: any of them may bring the last thing that a waiting message lacks.
            self.advance_orders();
        }
        self.effects.drain(..)
    }

    /// Returns this node's number.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.me
    }

    /// Returns true if the link to the broker is up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.is_up
    }

    /// Returns true if the node has waited long enough for its peers
    /// ([`Config::form_wait`]) to serve clients.
    #[must_use]
    pub fn is_formed(&self, now: Duration) -> bool {
        now.saturating_sub(self.started_at) >= self.config.form_wait
    }

    /// Returns the peers, by number.
    pub fn peers(&self) -> impl Iterator<Item = PeerInfo> {
        self.peers.iter().map(|(node, peer)| peer.info(*node))
    }

    /// Returns the node of a peer's key.
    #[must_use]
    pub fn peer_node(&self, peer: PeerKey) -> Option<NodeId> {
        self.keys.get(peer.index()).copied().flatten()
    }

    /// Returns counts since the start.
    #[must_use]
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    fn up(&mut self, max_payload: usize) {
        self.is_up = true;
        self.max_payload = max_payload;
        // A beat at once, since peers may have declared this node dead meanwhile.
        self.beat_at = self.now;
        for peer in self.peers.values_mut() {
            peer.incoming.ask_at_once(self.now);
        }
        self.is_dirty = true;
        self.send_beat_if_due();
    }

    fn report(&mut self, event: Event) {
        self.statistics.count(&event);
        self.effects.push(Effect::Event(event));
    }
}
