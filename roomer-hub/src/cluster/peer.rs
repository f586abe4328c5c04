//! One peer's state: liveness, both streams, congestion and bad frames.

use std::collections::VecDeque;
use std::time::Duration;

use roomer_proto::cluster::{Beat, NodeId};

use super::incoming::Incoming;
use super::outgoing::Outgoing;
use super::reasons::GoneReason;
use crate::keys::PeerKey;

/// The time for which a peer's earlier deaths count, so that a peer that dies repeatedly is
/// readmitted later.
const FLAP_MEMORY: Duration = Duration::from_secs(60);

/// The maximum number of heartbeats that a peer that has died repeatedly must send before it is
/// readmitted.
const MAX_PROBATION: u32 = 30;

/// The silence timeout for a node that a restarted node with the same name has replaced.
const REPLACED_AFTER: Duration = Duration::from_millis(1500);

/// The maximum time for which senders pause because of one peer.
const MAX_HOLD: Duration = Duration::from_secs(1);
/// The minimum time between a pause in which the peer did not recover and the next one.
const HOLD_PAUSE: Duration = Duration::from_secs(10);

/// The number of bad frames within `BAD_WINDOW` after which a peer is banned.
const MAX_BAD: usize = 10;
/// The time window in which bad frames are counted.
const BAD_WINDOW: Duration = Duration::from_secs(60);
/// The duration of a ban.
const BAN: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Peer {
    /// The peer's key in the hub, assigned after the first complete transfer.
    pub(super) key: Option<PeerKey>,
    pub(super) name: Box<str>,
    pub(super) uptime_ms: u64,
    /// The time at which the uptime was reported.
    uptime_at: Duration,
    pub(super) connections: u64,
    pub(super) rooms: u64,
    pub(super) version: u8,
    /// The time without received frames, not counting suspensions of this node.
    pub(super) silence: Duration,
    /// The timeout after which the peer counts as dead.
    pub(super) silence_limit: Duration,
    pub(super) liveness: Liveness,
    /// The time of the last death or revival.
    since: Duration,
    /// The number of deaths in quick succession ([`FLAP_MEMORY`]).
    deaths: u32,
    /// The time for which the peer has been alive while its stream was not live.
    pub(super) stale: Duration,
    pub(super) incoming: Incoming,
    pub(super) outgoing: Option<Outgoing>,
    /// The number of the last stream started for the peer, even if that stream has ended.
    pub(super) started: u32,
    pub(super) has_other_settings: bool,
    /// The number of the peer's last ordered message that has arrived or was sent before the
    /// current stream.
    pub(super) ordered: u64,
    /// The time at which the current pause of senders because of the peer began; `None` without a
    /// pause.
    congested_since: Option<Duration>,
    /// The time until which senders are not paused again, because the peer did not recover
    /// during the last pause.
    ignored_until: Duration,
    /// True once the first heartbeat, which contains the peer's name, has arrived.
    pub(super) has_beat: bool,
    /// True if the peer was reported as live.
    pub(super) is_announced: bool,
    /// True if the peer accepts tunnels, according to its last heartbeat.
    pub(super) accepts_tunnels: bool,
    /// True if there may be tunnels with the peer.
    pub(super) has_tunnels: bool,
    /// The times of recent frames that could not be decoded or exceeded a limit.
    bad: VecDeque<Duration>,
    /// The time at which the ban for bad frames ends.
    banned_until: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Liveness {
    Alive,
    /// No frame arrived before the timeout. The peer is readmitted after this many heartbeats.
    Dead {
        probation: u32,
    },
    /// The peer and this node have no frame version in common.
    Foreign,
}

/// A peer's state, as seen by this node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerInfo {
    /// The peer's id.
    pub node: NodeId,
    /// The peer's name.
    pub name: String,
    /// The state of the peer's members on this node.
    pub state: PeerState,
    /// The peer's connection count, from its last heartbeat.
    pub connections: u64,
    /// The peer's room count, from its last heartbeat.
    pub rooms: u64,
    /// The peer's uptime, from its last heartbeat.
    pub uptime: Duration,
    /// The newest frame version that the peer decodes.
    pub version: u8,
    /// The time since the peer's last frame.
    pub silence: Duration,
    /// The number of bytes sent to the peer that it has not acknowledged.
    pub unapplied_bytes: usize,
    /// The size in bytes of the peer's frames held until an earlier frame arrives.
    pub held_bytes: usize,
}

/// The state of a peer's members on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum PeerState {
    /// The peer is alive, and its members are being transferred.
    Syncing,
    /// The peer's members are visible, and its frames are applied as they arrive.
    Live,
    /// A frame is missing, and later ones are held.
    Gap,
    /// The peer has timed out, and its members have left.
    Dead,
    /// The peer and this node have no frame version in common.
    Foreign,
}

impl PeerState {
    /// All states, in declaration order.
    pub const ALL: [PeerState; 5] =
        [PeerState::Syncing, PeerState::Live, PeerState::Gap, PeerState::Dead, PeerState::Foreign];

    /// Returns the state's short name, for metrics and display.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            PeerState::Syncing => "syncing",
            PeerState::Live => "live",
            PeerState::Gap => "gap",
            PeerState::Dead => "dead",
            PeerState::Foreign => "foreign",
        }
    }
}

impl Peer {
    pub(super) fn new(now: Duration, silence_limit: Duration) -> Self {
        Peer {
            key: None,
            name: "".into(),
            uptime_ms: 0,
            uptime_at: now,
            connections: 0,
            rooms: 0,
            version: 0,
            silence: Duration::ZERO,
            silence_limit,
            liveness: Liveness::Alive,
            since: now,
            deaths: 0,
            stale: Duration::ZERO,
            incoming: Incoming::default(),
            outgoing: None,
            started: 0,
            has_other_settings: false,
            ordered: 0,
            congested_since: None,
            ignored_until: Duration::ZERO,
            has_beat: false,
            is_announced: false,
            accepts_tunnels: false,
            has_tunnels: false,
            bad: VecDeque::new(),
            banned_until: Duration::ZERO,
        }
    }

    /// Records a frame that could not be decoded or exceeded a limit.
    pub(super) fn record_bad(&mut self, now: Duration) {
        self.bad.push_back(now);
        while self.bad.len() > MAX_BAD {
            self.bad.pop_front();
        }
    }

    /// Returns true and starts a ban if the peer has sent too many bad frames.
    pub(super) fn is_banned(&mut self, now: Duration) -> bool {
        let is_recent = |at: &Duration| now.saturating_sub(*at) < BAD_WINDOW;
        // Only the last ten times are kept, so the oldest of them shows whether ten bad frames
        // arrived within a minute.
        let is_banned = self.bad.len() >= MAX_BAD && self.bad.front().is_some_and(is_recent);
        if is_banned {
            // Clear the times: otherwise, the first bad frame after the ban could trigger another
            // ban.
            self.bad.clear();
            self.banned_until = now + BAN;
        }
        is_banned
    }

    /// Returns true if senders should pause because the peer has not applied `window` bytes. A
    /// pause lasts at most one second. If the peer has not recovered by then, the next pause starts
    /// at least ten seconds later, and frames that the peer cannot keep up with are lost.
    pub(super) fn is_congested(&mut self, now: Duration, window: usize) -> bool {
        let unapplied = self.outgoing.as_ref().map_or(0, Outgoing::unapplied);
        if unapplied < window || now < self.ignored_until {
            self.congested_since = None;
            return false;
        }
        let since = *self.congested_since.get_or_insert(now);
        // A peer that does not recover must not block this node's clients for long.
        if now.saturating_sub(since) > MAX_HOLD {
            self.ignored_until = now + HOLD_PAUSE;
        }
        true
    }

    pub(super) fn is_alive(&self) -> bool {
        self.liveness == Liveness::Alive
    }

    /// Returns the peer's estimated uptime.
    pub(super) fn uptime(&self, now: Duration) -> Duration {
        let last = Duration::from_millis(self.uptime_ms);
        last + now.saturating_sub(self.uptime_at)
    }

    pub(super) fn record_beat(&mut self, now: Duration, beat: &Beat<'_>) {
        self.uptime_at = now;
        self.has_beat = true;
        if *self.name != *beat.name {
            self.name = beat.name.into();
        }
        self.uptime_ms = beat.uptime_ms;
        self.connections = beat.connections;
        self.rooms = beat.rooms;
        self.version = beat.newest_version;
    }

    /// Counts a heartbeat from a dead peer. Returns true if the peer is readmitted.
    pub(super) fn try_readmit(&mut self, now: Duration) -> bool {
        // Heartbeats during a ban do not count, so the ban lasts its full time.
        if now < self.banned_until {
            return false;
        }
        match &mut self.liveness {
            Liveness::Dead { probation: 0 | 1 } => {
                self.liveness = Liveness::Alive;
                self.since = now;
                true
            }
            Liveness::Dead { probation } => {
                *probation -= 1;
                false
            }
            // The heartbeat has a version that both nodes support, so the earlier frame that caused
            // the peer to be marked as foreign was damaged or forged.
            Liveness::Foreign => {
                self.liveness = Liveness::Alive;
                self.since = now;
                true
            }
            Liveness::Alive => false,
        }
    }

    /// Declares the peer dead. After its first death, one heartbeat is enough for readmission. Each
    /// further death in quick succession doubles the number of heartbeats required.
    pub(super) fn declare_dead(&mut self, now: Duration) {
        let is_again = self.deaths > 0 && now.saturating_sub(self.since) < FLAP_MEMORY;
        self.deaths = if is_again { self.deaths + 1 } else { 1 };
        // `deaths` is at least 1 here. Shifts by 32 or more fail, but their results would be far
        // above the maximum.
        let probation = 1_u32.checked_shl(self.deaths - 1).unwrap_or(MAX_PROBATION);
        self.liveness = Liveness::Dead { probation: probation.min(MAX_PROBATION) };
        self.since = now;
        self.silence = Duration::ZERO;
        self.stale = Duration::ZERO;
        self.outgoing = None;
        self.is_announced = false;
        // The hub removes the guests, so a later stream must start from nothing.
        self.incoming.reset();
    }

    /// Restarts a dead peer's probation after it has missed a heartbeat.
    pub(super) fn missed_beat(&mut self) {
        if let Liveness::Dead { probation } = &mut self.liveness
            && *probation > 1
        {
            // This cannot underflow, because `deaths` is at least 1 for a dead peer.
            let full = 1_u32.checked_shl(self.deaths - 1).unwrap_or(MAX_PROBATION);
            *probation = full.min(MAX_PROBATION);
        }
    }

    /// Returns true if the peer has been dead for so long that its state can be discarded.
    pub(super) fn is_forgettable(&self, now: Duration) -> bool {
        !self.is_alive()
            // Do not discard the state earlier, or a peer that dies repeatedly would always count
            // as a new one.
            && now.saturating_sub(self.since) > FLAP_MEMORY
            && self.silence > self.silence_limit
    }

    /// Shortens the timeout, because another node has started under the peer's name.
    pub(super) fn is_replaced(&mut self) {
        // Do not shorten the timeout to zero: the older node may be alive and merely share the
        // name.
        self.silence_limit = self.silence_limit.min(REPLACED_AFTER);
    }

    /// Returns the reason to drop the peer, if there is one.
    pub(super) fn gone_reason(&self, dead_after: Duration) -> Option<GoneReason> {
        if !self.is_alive() {
            None
        } else if self.silence >= self.silence_limit {
            Some(GoneReason::Silent)
        // The peer sends heartbeats but not its members, so its guests would stay outdated.
        } else if self.stale >= dead_after && self.key.is_some() {
            Some(GoneReason::NoState)
        } else {
            None
        }
    }

    pub(super) fn info(&self, node: NodeId) -> PeerInfo {
        PeerInfo {
            node,
            name: (*self.name).into(),
            state: match self.liveness {
                Liveness::Dead { .. } => PeerState::Dead,
                Liveness::Foreign => PeerState::Foreign,
                Liveness::Alive if self.incoming.has_gap() => PeerState::Gap,
                Liveness::Alive if self.incoming.is_live() => PeerState::Live,
                Liveness::Alive => PeerState::Syncing,
            },
            connections: self.connections,
            rooms: self.rooms,
            uptime: Duration::from_millis(self.uptime_ms),
            version: self.version,
            silence: self.silence,
            unapplied_bytes: self.outgoing.as_ref().map_or(0, Outgoing::unapplied),
            held_bytes: self.incoming.held_bytes(),
        }
    }
}
