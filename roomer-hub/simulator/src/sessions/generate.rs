//! Generates plans for sessions.

use super::application::SCRIPTS;
use super::plan::{
    AckKind, AppAction, Break, ClientAction, ClientPacket, Ending, Plan, ResumeKind, SLOTS, Setup,
    Step,
};
use crate::random::Source;

/// Generates a plan from a source of choices: a seed or a fuzzer's bytes.
pub fn plan(source: &mut impl Source) -> Plan {
    let mut setup = setup(source);
    let slots = source.pick(&[2, 3, 3, 4, SLOTS as u32]);
    let calm = source.pick(&[1, 2, 4]);
    let mut steps = Vec::new();
    for slot in 0..slots as u8 {
        let (extended, user) = (!source.one_in(4), source.pick(&[0, 0, 1]));
        steps.push(Step::Connect { slot, extended, user });
        steps.push(Step::Client(slot, ClientAction::Deliver(u32::MAX)));
    }
    steps.push(Step::RunUntilIdle);
    let length = 20 + source.below(60) as usize;
    while steps.len() < length {
        let slot = source.below(slots) as u8;
        match source.below(10 + 2 * calm) {
            0 | 1 => lose_and_return(source, slot, &mut steps),
            2 => steps.push(Step::Client(slot, ClientAction::Break(broken(source)))),
            3 => {
                steps.push(Step::Resume { slot, resume_kind: resume_kind(source) });
                arrive(source, slot, &mut steps);
            }
            4 => network(source, slot, &mut steps),
            5 => acknowledge(source, slot, &mut steps),
            6 => rare(source, slot, &mut steps),
            7 => pass_time(source, &setup, &mut steps),
            8 => {
                let what = app_action(source);
                steps.push(Step::Client(slot, ClientAction::App(what)));
            }
            _ => traffic(source, slot, &mut steps),
        }
    }
    // Draw this last, so that the other choices of each seed's plan do not change.
    setup.announces_away = source.one_in(3);
    if source.one_in(12) {
        let slot = source.below(slots) as u8;
        let at = source.below(steps.len() as u32) as usize;
        steps.splice(at..at, refused(source, slot));
    }
    Plan { setup, steps }
}

fn setup(source: &mut impl Source) -> Setup {
    Setup {
        window: source.pick(&[0, 1000, 5000, 5000, 30_000, 30_000, 30_000, 30_000]),
        buffer: source.pick(&[400, 1500, 4000, 262_144, 262_144]),
        max_detached: source.pick(&[0, 1, 2, 200, 200, 200, 200, 200]),
        max_connections: source.pick(&[2, 3, 200, 200, 200, 200]),
        memory_slack: source.one_in(12).then(|| source.pick(&[0, 500, 3000])),
        max_backlog: source.pick(&[1000, 1 << 20, 1 << 20, 1 << 20]),
        pong: source.pick(&[2000, 20_000, 60_000]),
        write: source.pick(&[1000, 10_000]),
        handler_wait: source.pick(&[0, 1, 50, 800, 7000]),
        auth_wait: source.one_in(4).then(|| source.pick(&[0, 1, 300])),
        valid_for: source.pick(&[0, 0, 0, 2000, 40_000]),
        ack_every: source.pick(&[0, 0, 1, 3, 16]),
        drain: (source.pick(&[500, 4000]), source.pick(&[1, 10, 1000])),
        ending: source.pick(&[Ending::Close, Ending::Expire, Ending::Shutdown, Ending::Drain]),
        announces_away: false,
    }
}

fn broken(source: &mut impl Source) -> Break {
    source.pick(&[Break::Reset, Break::Fin, Break::Vanish, Break::FailWrites])
}

fn resume_kind(source: &mut impl Source) -> ResumeKind {
    match source.below(16) {
        0 => ResumeKind::Rewound(1 + source.below(6) as u8),
        1 => ResumeKind::Ahead,
        2 => ResumeKind::UsedToken,
        3 => ResumeKind::Forged,
        4 => ResumeKind::Foreign,
        5 => ResumeKind::Garbage,
        6 => ResumeKind::NoCount,
        7 => ResumeKind::OtherUser,
        8 => ResumeKind::Denied,
        _ => ResumeKind::Honest,
    }
}

/// Makes a client lose its socket, sends messages that the client misses, and makes it reconnect.
fn lose_and_return(source: &mut impl Source, slot: u8, steps: &mut Vec<Step>) {
    match source.below(6) {
        0 | 1 => {
            steps.push(Step::Client(slot, ClientAction::Read(false)));
            traffic(source, slot, steps);
        }
        // Fill the socket of the server before it fails.
        2 => {
            steps.push(Step::Client(slot, ClientAction::Space(source.pick(&[0, 10]))));
            let other = source.below(SLOTS as u32) as u8;
            traffic(source, other, steps);
        }
        _ => {}
    }
    if !source.one_in(4) {
        steps.push(Step::Client(slot, ClientAction::Break(broken(source))));
    }
    few_polls(source, steps);
    for _ in 0..source.below(3) {
        let other = source.below(SLOTS as u32) as u8;
        traffic(source, other, steps);
    }
    steps.push(Step::Resume { slot, resume_kind: resume_kind(source) });
    arrive(source, slot, steps);
    if source.one_in(4) {
        steps.push(Step::Resume { slot, resume_kind: resume_kind(source) });
        arrive(source, slot, steps);
    }
    few_polls(source, steps);
}

/// Delivers all of a client's bytes in flight, or some of them.
fn arrive(source: &mut impl Source, slot: u8, steps: &mut Vec<Step>) {
    let bytes = if source.one_in(5) { 1 + source.below(300) } else { u32::MAX };
    steps.push(Step::Client(slot, ClientAction::Deliver(bytes)));
}

fn few_polls(source: &mut impl Source, steps: &mut Vec<Step>) {
    match source.below(4) {
        0 => {}
        1 => steps.push(Step::RunUntilIdle),
        _ => {
            for _ in 0..source.below(5) {
                steps.push(Step::PollWoken { nth: source.below(4) as u8 });
            }
        }
    }
}

/// Makes a client send a packet, which is usually delivered immediately.
fn traffic(source: &mut impl Source, slot: u8, steps: &mut Vec<Step>) {
    let len = source.pick(&[0, 1, 20, 100, 100, 130, 600, 3000]);
    let packet = match source.below(13) {
        12 => ClientPacket::Forge(source.below(3) as u8),
        0 => ClientPacket::Join(source.below(3) as u8),
        1 => ClientPacket::Leave(source.below(3) as u8),
        2 | 3 => ClientPacket::ToPeer { slot: source.below(SLOTS as u32) as u8, len },
        4..=6 => ClientPacket::Call(source.below(SCRIPTS.len() as u32) as u8),
        _ => ClientPacket::ToRoom { room: source.pick(&[0, 0, 1, 2]), len },
    };
    steps.push(Step::Client(slot, ClientAction::Send(packet)));
    if !source.one_in(5) {
        arrive(source, slot, steps);
    }
    few_polls(source, steps);
}

/// Makes a client send more packets in one burst than the server reports as rejected one by one.
fn refused(source: &mut impl Source, slot: u8) -> Vec<Step> {
    let count = source.pick(&[17, 18, 40, 63, 64, 70]);
    let mut steps = vec![Step::Client(slot, ClientAction::Send(ClientPacket::Outside)); count];
    arrive(source, slot, &mut steps);
    few_polls(source, &mut steps);
    if source.one_in(2) {
        acknowledge(source, slot, &mut steps);
    }
    // After this time, another error may be sent. It must count the packets rejected without one.
    if source.one_in(2) {
        steps.push(Step::Clock { millis: source.pick(&[100, 1000]) });
        steps.push(Step::Client(slot, ClientAction::Send(ClientPacket::Outside)));
        arrive(source, slot, &mut steps);
    }
    steps
}

fn network(source: &mut impl Source, slot: u8, steps: &mut Vec<Step>) {
    let client_action = match source.below(8) {
        0 => ClientAction::Read(false),
        1 => ClientAction::Read(true),
        2 => ClientAction::Take(1 + source.below(200)),
        3 => ClientAction::Space(source.pick(&[0, 0, 10, 200])),
        4 => ClientAction::Space(u32::MAX),
        5 => ClientAction::Limit {
            read: source.pick(&[1, 7, 50, 100_000]),
            write: source.pick(&[1, 9, 60, 100_000]),
        },
        6 => ClientAction::Mute(!source.one_in(3)),
        _ => ClientAction::Poll,
    };
    steps.push(Step::Client(slot, client_action));
}

fn acknowledge(source: &mut impl Source, slot: u8, steps: &mut Vec<Step>) {
    let kind = match source.below(30) {
        0 => AckKind::Beyond,
        1 => AckKind::Back,
        2 => AckKind::Garbage,
        3 => AckKind::Flood(source.pick(&[10, 63, 66, 80])),
        4..=12 => AckKind::Late(1 + source.below(5) as u8),
        13..=20 => AckKind::Requesting,
        _ => AckKind::Honest,
    };
    steps.push(Step::Client(slot, ClientAction::Ack(kind)));
    arrive(source, slot, steps);
    few_polls(source, steps);
}

fn rare(source: &mut impl Source, slot: u8, steps: &mut Vec<Step>) {
    let step = match source.below(24) {
        0 => Step::Client(slot, ClientAction::Close(source.pick(&[1000, 1001]))),
        1 => Step::Client(slot, ClientAction::Violate),
        2 => Step::Client(slot, ClientAction::Abort),
        3 if source.one_in(2) => Step::Shutdown,
        4 if source.one_in(2) => Step::Drain,
        5..=8 => Step::Connect { slot, extended: !source.one_in(4), user: source.pick(&[0, 0, 1]) },
        _ => Step::DeliverOld,
    };
    steps.push(step);
    arrive(source, slot, steps);
    few_polls(source, steps);
}

fn pass_time(source: &mut impl Source, setup: &Setup, steps: &mut Vec<Step>) {
    let window = setup.window;
    let millis =
        source.pick(&[1, 49, 300, 1100, 5000, 5001, 26_000, window.max(1) - 1, window, 70_000]);
    steps.push(match source.one_in(4) {
        true => Step::Clock { millis },
        false => Step::RunFor { millis },
    });
}

fn app_action(source: &mut impl Source) -> AppAction {
    let len = source.pick(&[0, 10, 126, 1000]);
    match source.below(12) {
        0 => AppAction::Close,
        1 | 2 => AppAction::Join(source.below(3) as u8),
        3 | 4 => AppAction::Leave(source.below(3) as u8),
        5..=7 => AppAction::ToRoom { room: source.below(3) as u8, len },
        _ => AppAction::ToClient { len },
    }
}
