//! Plans with constant traffic from several nodes in ordered rooms.
//!
//! In the meantime, the rooms' homes move, because nodes start, stop or crash, or the network is
//! partitioned.

use super::plan::{Op, Setup};
use crate::random::{Random, Source};

/// The numbers of two ordered rooms: one with full presence, one with counts.
const ROOMS: [u8; 2] = [1, 3];

/// Generates the steps of a plan, and adapts its setup to them.
pub fn ops(setup: &mut Setup, random: &mut Random) -> Vec<Op> {
    let kind =
        random.pick(&[Kind::Orderly, Kind::Orderly, Kind::Parted, Kind::Drowsy, Kind::Faulty]);
    if kind != Kind::Faulty || random.one_in(4) {
        setup.nodes = random.pick(&[3, 3, 4]);
    }
    if kind == Kind::Orderly {
        // Without faults no message may be lost, so delays must not matter. Long delays are
        // included, since homes then change while messages wait.
        setup.max_delay = random.pick(&[10, 50, 300, 300]);
        setup.late_interest = 0;
    }
    if kind != Kind::Faulty || !random.one_in(4) {
        // Small limits cause losses, and these would hide bugs in the choice of homes.
        setup.journal_bytes = 1 << 20;
        setup.journal_ms = 10_000;
        setup.backlog_bytes = 4 << 20;
        setup.held_bytes = 1 << 20;
    }
    let conversation = Conversation {
        nodes: setup.nodes,
        rooms: if random.one_in(3) { &ROOMS } else { &ROOMS[..1] },
        faults: random.pick(&[3, 6, 12, 25]),
        longest: random.pick(&[2, 5, 20, 200]),
        kinds: match kind {
            Kind::Orderly => vec![Conversation::STOP],
            Kind::Parted => vec![Conversation::PART],
            Kind::Drowsy => vec![Conversation::SLEEP],
            Kind::Faulty => (0..Conversation::KINDS).filter(|_| random.one_in(3)).collect(),
        },
        kind,
    };
    let mut ops = Vec::new();
    for node in 0..setup.nodes {
        conversation.enter(&mut ops, random, node);
    }
    ops.push(Op::Wait(random.pick(&[1, 1, 1500, 2500, 5000])));
    let len = 100 + random.below(300) as usize;
    while ops.len() < len {
        conversation.step(&mut ops, random);
    }
    ops
}

/// The kind of faults in a plan.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nodes start and stop cleanly. There are no other faults.
    Orderly,
    /// Two nodes cannot reach each other for some time, while both reach the other nodes.
    Parted,
    /// Nodes are suspended, some for longer than the silence timeout.
    Drowsy,
    /// Faults of all kinds.
    Faulty,
}

struct Conversation {
    nodes: u8,
    rooms: &'static [u8],
    /// The percentage of steps that are faults.
    faults: u32,
    /// The maximum of the short waits, in milliseconds. Most waits are short.
    longest: u32,
    kinds: Vec<u32>,
    kind: Kind,
}

impl Conversation {
    const KINDS: u32 = 7;
    const PART: u32 = 1;
    const STOP: u32 = 2;
    const SLEEP: u32 = 5;

    fn node(&self, random: &mut Random) -> u8 {
        random.below(self.nodes.into()) as u8
    }

    /// Connects one or two clients to a node, and makes some clients join rooms.
    fn enter(&self, ops: &mut Vec<Op>, random: &mut Random, node: u8) {
        for _ in 0..1 + random.below(2) {
            ops.push(Op::Open { node });
        }
        self.join(ops, random);
    }

    /// Makes some open clients, on any node, join rooms.
    fn join(&self, ops: &mut Vec<Op>, random: &mut Random) {
        for _ in 0..4 {
            ops.push(Op::Join { client: random.below(1000) as u16, room: random.pick(self.rooms) });
        }
    }

    fn step(&self, ops: &mut Vec<Op>, random: &mut Random) {
        let client = random.below(1000) as u16;
        let room = random.pick(self.rooms);
        if random.below(100) < self.faults && !self.kinds.is_empty() {
            self.fault(ops, random);
            if random.one_in(2) {
                self.outlast(ops, random);
            }
            return;
        }
        ops.push(match random.below(24) {
            0 => Op::Open { node: self.node(random) },
            1 | 2 => Op::Join { client, room },
            3 => Op::Leave { client, room },
            4 => Op::ServerSend { node: self.node(random), room, except: client },
            5 => Op::Wait(random.pick(&[300, 1000, 3000, 6000])),
            6..=11 => Op::Wait(1 + random.below(self.longest)),
            _ => Op::Send { client, room, size: random.below(40) },
        });
    }

    fn fault(&self, ops: &mut Vec<Op>, random: &mut Random) {
        let node = self.node(random);
        let is_over = random.one_in(2);
        match random.pick(&self.kinds) {
            0 if is_over => ops.push(Op::Heal),
            0 => self.halve(ops, random),
            Self::PART if self.kind == Kind::Parted => self.partition(ops, random, node),
            Self::PART if is_over => ops.push(Op::Heal),
            Self::PART => ops.push(Op::Partition { one: node, other: self.node(random) }),
            Self::STOP => {
                ops.push(Op::Stop { node });
                self.start(ops, random, node);
            }
            3 => {
                ops.push(Op::Crash { node });
                self.start(ops, random, node);
            }
            4 if is_over => ops.push(Op::LinkUp { node }),
            4 => ops.push(Op::LinkDown { node }),
            Self::SLEEP if self.kind == Kind::Drowsy => self.doze(ops, random, node),
            Self::SLEEP if is_over => ops.push(Op::Resume { node }),
            Self::SLEEP => ops.push(Op::Suspend { node }),
            _ => ops.push(Op::LossRate { of_thousand: random.pick(&[0, 0, 20, 300]) }),
        }
    }

    /// Sends messages right after a fault, and again once nodes may have declared each other dead.
    fn outlast(&self, ops: &mut Vec<Op>, random: &mut Random) {
        self.traffic(ops, random);
        ops.push(Op::Wait(random.pick(&[700, 2500, 4800, 5400, 6500])));
        self.traffic(ops, random);
        self.traffic(ops, random);
    }

    /// Makes several clients send at almost the same time.
    fn traffic(&self, ops: &mut Vec<Op>, random: &mut Random) {
        for _ in 0..2 + random.below(8) {
            let client = random.below(1000) as u16;
            ops.push(Op::Send { client, room: random.pick(self.rooms), size: 5 });
            if random.one_in(3) {
                ops.push(Op::Wait(1 + random.below(self.longest)));
            }
        }
    }

    /// Restarts a node that has ended, while messages are sent.
    fn start(&self, ops: &mut Vec<Op>, random: &mut Random, node: u8) {
        let wait = random.pick(&[0, 1, 100, 600, 2000, 6000]);
        self.traffic(ops, random);
        ops.push(Op::Wait(wait));
        ops.push(Op::Restart { node });
        self.enter(ops, random, node);
        self.traffic(ops, random);
        if self.kind == Kind::Orderly {
            self.grow_up(ops, random);
        }
    }

    /// Sends messages until a restarted node is old enough to become a home. Other nodes may stop
    /// in the meantime.
    fn grow_up(&self, ops: &mut Vec<Op>, random: &mut Random) {
        for _ in 0..random.below(20) {
            ops.push(Op::Wait(random.pick(&[20, 100, 300, 300, 900])));
            self.traffic(ops, random);
            if random.one_in(6) {
                let node = self.node(random);
                ops.push(Op::Stop { node });
                self.traffic(ops, random);
                ops.push(Op::Wait(1 + random.below(self.longest)));
                ops.push(Op::Restart { node });
                self.enter(ops, random, node);
            }
        }
    }

    /// Sends messages while a node is suspended, and after it resumes.
    fn doze(&self, ops: &mut Vec<Op>, random: &mut Random, node: u8) {
        self.traffic(ops, random);
        ops.push(Op::Suspend { node });
        for wait in [1000, 1500, 2400 + random.below(900)] {
            self.traffic(ops, random);
            ops.push(Op::Wait(wait));
        }
        if random.one_in(2) {
            self.traffic(ops, random);
            ops.push(Op::Wait(1 + random.below(self.longest)));
        }
        ops.push(Op::Resume { node });
        self.traffic(ops, random);
    }

    /// Sends messages while two nodes cannot reach each other, and after they can again.
    fn partition(&self, ops: &mut Vec<Op>, random: &mut Random, node: u8) {
        ops.push(Op::Partition { one: node, other: self.node(random) });
        for _ in 0..random.below(16) {
            ops.push(Op::Wait(random.pick(&[10, 500, 900])));
            self.traffic(ops, random);
        }
        ops.push(Op::Heal);
        for _ in 0..random.below(8) {
            ops.push(Op::Wait(random.pick(&[10, 300, 600])));
            self.traffic(ops, random);
        }
    }

    /// Splits the nodes into two groups; frames from one group to the other are lost.
    fn halve(&self, ops: &mut Vec<Op>, random: &mut Random) {
        let half = random.next_u64();
        let is_in = |node: u8| half >> node & 1 == 1;
        for one in 0..self.nodes {
            for other in (0..self.nodes).filter(|other| is_in(one) && !is_in(*other)) {
                ops.push(Op::Partition { one, other });
            }
        }
    }
}
