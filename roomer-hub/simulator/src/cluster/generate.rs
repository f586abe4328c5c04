//! Generates the plan for a seed.
//!
//! Each seed has its own mix of steps, so that rare combinations of faults occur.

use roomer_hub::cluster::Loss;

use super::conversation;
use super::plan::{Op, Plan, ROOMS, Setup, ToUser, Token};
use crate::random::{Random, Source};

/// Generates the plan for a seed.
pub fn plan(seed: u64) -> Plan {
    let random = &mut Random::new(seed);
    let mut setup = setup(random);
    // Do not draw these from the generator: the rest of each seed's plan must stay unchanged.
    setup.has_order = seed % 4 == 3 || seed % 8 == 2;
    setup.has_info = seed % 4 == 1 || seed % 16 == 3;
    setup.has_away = seed % 16 == 9 || seed % 16 == 13;
    let faults = Faults::new(random);
    let len = 20 + random.below(180);
    let mut ops = Vec::new();
    let clients = if random.one_in(4) { 10 + random.below(30) } else { 2 + random.below(4) };
    for _ in 0..clients {
        ops.push(Op::Open { node: random.below(8) as u8 });
    }
    while ops.len() < len as usize {
        if random.one_in(4) {
            let longest = random.pick(&[1, 5, 20, 100, 500, 2000, 7000]);
            ops.push(Op::Wait(1 + random.below(longest)));
        }
        let op = if random.below(100) < faults.percent { faults.op(random) } else { usual(random) };
        ops.push(op);
    }
    // Of six plans with ordered rooms, this replaces the steps of five.
    if setup.has_order && !setup.has_info {
        ops = conversation::ops(&mut setup, &mut Random::new(seed.rotate_left(16)));
    }
    if setup.has_info {
        change_infos(&mut ops, &mut Random::new(!seed));
    }
    if setup.has_away {
        insert_aways(&mut ops, &mut Random::new(seed.rotate_left(48)));
    }
    // These plans have users. Again, do not draw from the generator.
    if seed % 8 == 5 {
        insert_returns(&mut ops, &mut Random::new(seed.rotate_left(32)));
    }
    Plan { setup, ops }
}

/// Inserts steps that change clients' info. They are drawn from a separate generator.
fn change_infos(ops: &mut Vec<Op>, random: &mut Random) {
    let rate = random.pick(&[2, 4, 10]);
    for op in std::mem::take(ops) {
        ops.push(op);
        while random.one_in(rate) {
            ops.push(Op::SetInfo { client: random.below(1000) as u16, by: random.below(9) as u8 });
        }
    }
}

/// Inserts steps in which clients lose their sockets and resume their sessions.
fn insert_aways(ops: &mut Vec<Op>, random: &mut Random) {
    let rate = random.pick(&[2, 4, 10]);
    for op in std::mem::take(ops) {
        ops.push(op);
        while random.one_in(rate) {
            let client = random.below(1000) as u16;
            ops.push(Op::Away { client, is_away: !random.one_in(3) });
        }
    }
}

/// Inserts steps in which clients reconnect to other nodes, and commands for all of a user's
/// connections.
fn insert_returns(ops: &mut Vec<Op>, random: &mut Random) {
    let rate = random.pick(&[4, 8, 20]);
    for op in std::mem::take(ops) {
        ops.push(op);
        if !random.one_in(rate) {
            continue;
        }
        let node = random.below(64) as u8;
        ops.push(match random.one_in(2) {
            true => {
                let client = random.below(1000) as u16;
                let tokens = [Token::Right, Token::Right, Token::Forged, Token::OtherUser];
                Op::Reconnect { client, node, token: random.pick(&tokens) }
            }
            false => {
                let room = random.below(ROOMS.len() as u32) as u8;
                let leave = ToUser::Leave { room };
                let what = random.pick(&[ToUser::Send, ToUser::Send, leave, leave, ToUser::Close]);
                Op::ToUser { node, user: random.below(2) as u8, what }
            }
        });
    }
}

fn setup(random: &mut Random) -> Setup {
    let small = random.one_in(5);
    Setup {
        seed: random.next_u64(),
        nodes: random.pick(&[2, 2, 2, 3, 3, 4, 5, 7]),
        max_delay: random.pick(&[1, 2, 10, 50, 300]),
        repeated: random.pick(&[0, 0, 10, 100]),
        late_interest: random.pick(&[0, 0, 40, 400]),
        journal_bytes: match random.below(50) {
            0 => 0,
            _ if small => random.pick(&[500, 2000, 20_000]),
            _ => 1 << 20,
        },
        journal_ms: random.pick(&[100, 2000, 10_000, 10_000]),
        backlog_bytes: if random.one_in(8) { random.pick(&[500, 5000, 100_000]) } else { 4 << 20 },
        held_bytes: if random.one_in(5) { random.pick(&[0, 300, 3000]) } else { 1 << 20 },
        max_payload: random.pick(&[1 << 20, 1 << 20, 1000, 200]),
        has_order: false,
        has_info: false,
        has_away: false,
        shares_tag: random.one_in(20),
        loss: random.pick(&[Loss::Rejoin, Loss::Rejoin, Loss::Rejoin, Loss::Close, Loss::Count]),
    }
}

/// Generates a step of a client or an application.
fn usual(random: &mut Random) -> Op {
    let client = random.below(1000) as u16;
    let to = random.below(1000) as u16;
    let node = random.below(64) as u8;
    let mut room = || random.below(ROOMS.len() as u32) as u8;
    let (room, other) = (room(), room());
    match random.below(24) {
        0 | 1 => Op::Open { node },
        2 => Op::Close { client },
        3..=6 => Op::Join { client, room },
        7 | 8 => Op::Leave { client, room },
        9 => Op::Move { client, from: room, to: other },
        10..=16 => Op::Send { client, room, size: size(random) },
        17..=19 => Op::Direct { client, to },
        20 | 21 => Op::ServerSend { node, room, except: client },
        22 => Op::Kick { node, client, room },
        _ => Op::Disconnect { node, client },
    }
}

fn size(random: &mut Random) -> u32 {
    match random.below(12) {
        0 => random.below(3000),
        1 => random.below(70_000),
        _ => random.below(40),
    }
}

/// The kinds of faults in a seed's plan. A plan contains only some kinds, since one kind may hide
/// bugs that another would reveal.
struct Faults {
    percent: u32,
    kinds: Vec<u32>,
}

impl Faults {
    const KINDS: u32 = 9;

    fn new(random: &mut Random) -> Self {
        let percent = random.pick(&[0, 5, 15, 40]);
        let kinds: Vec<u32> = (0..Self::KINDS).filter(|_| random.one_in(3)).collect();
        Faults { percent: if kinds.is_empty() { 0 } else { percent }, kinds }
    }

    fn op(&self, random: &mut Random) -> Op {
        let (node, other) = (random.below(64) as u8, random.below(64) as u8);
        let back = random.one_in(2);
        match random.pick(&self.kinds) {
            0 if back => Op::LinkUp { node },
            0 => Op::LinkDown { node },
            1 if back => Op::BrokerUp,
            1 => Op::BrokerDown,
            2 if back => Op::Heal,
            2 => Op::Partition { one: node, other },
            3 if back => Op::LossRate { of_thousand: 0 },
            3 => Op::LossRate { of_thousand: random.pick(&[5, 50, 300, 1000]) },
            4 => Op::Refuse { node, on: !back },
            5 if back => Op::Restart { node },
            5 => Op::Crash { node },
            6 if back => Op::Resume { node },
            6 => Op::Suspend { node },
            7 if back => Op::Restart { node },
            7 => Op::Stop { node },
            _ => Op::Noise { node, kind: random.below(4) as u8 },
        }
    }
}
