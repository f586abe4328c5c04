//! Plans: what proptest draws, and how it becomes steps.
//!
//! A plan names clients by slot, so that it stays meaningful when shrinking takes lines out of it.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use roomer_hub::Config;

use crate::support::naive::{Letter, Model, Step, id_of};

/// How many clients there are at once, at the most.
const SLOTS: usize = 6;

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) config: Config,
    pub(crate) handlers: Vec<String>,
    pub(crate) lines: Vec<Line>,
}

#[derive(Clone, Debug)]
pub(crate) enum Line {
    Open { slot: usize },
    Packet { who: Who, room: String, event: String, dst: Address, src: Address, payload: Vec<u8> },
    Gone { who: Who },
    Broadcast { from: Option<Who>, room: String, event: String, payload: Vec<u8> },
    Send { from: Option<Who>, dst: Address, event: String, payload: Vec<u8> },
    Join { who: Who, room: String },
    Leave { who: Who, room: String },
    Close { who: Who, code: u16, reason: String },
}

#[derive(Clone, Debug)]
pub(crate) enum Who {
    /// The one in this slot, here or gone.
    Slot(usize),
    /// Anyone who ever was.
    Ever(Index),
}

/// What can stand in dst and src.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    Nothing,
    Id(Who),
    Uppercase(Who),
    Padded(Who),
    Cut(Who),
    Word(String),
}

/// Who is in the slots.
#[derive(Debug, Default)]
pub(crate) struct Slots([Option<usize>; SLOTS]);

impl Slots {
    /// Makes a line complete. `None` when it is about a slot that nobody has been in.
    pub(crate) fn resolve(&mut self, line: &Line, model: &Model) -> Option<Step> {
        let someone = |who: &Who| match who {
            Who::Slot(slot) => self.0[*slot],
            Who::Ever(_) if model.clients.is_empty() => None,
            Who::Ever(index) => Some(index.index(model.clients.len())),
        };
        let from = |who: &Option<Who>| who.as_ref().map(someone);
        let id = |who: &Who| someone(who).map_or(String::new(), |who| id_of(who).to_string());
        let address = |address: &Address| match address {
            Address::Nothing => String::new(),
            Address::Id(who) => id(who),
            Address::Uppercase(who) => id(who).to_uppercase(),
            Address::Padded(who) => id(who) + " ",
            Address::Cut(who) => id(who).get(1..).unwrap_or_default().into(),
            Address::Word(word) => word.clone(),
        };
        Some(match line.clone() {
            Line::Open { slot } => {
                let next = model.clients.len();
                let who = self.0[slot].filter(|&who| model.is_here(who)).unwrap_or(next);
                self.0[slot] = Some(who);
                Step::Open { who }
            }
            Line::Packet { who, room, event, dst, src, payload } => {
                let (dst, src) = (address(&dst), address(&src));
                Step::Packet {
                    who: someone(&who)?,
                    packet: Letter { room, event, dst, src, payload },
                }
            }
            Line::Gone { who } => Step::Gone { who: someone(&who)? },
            Line::Broadcast { from: who, room, event, payload } => {
                let from = from(&who).map_or(Some(None), |who| who.map(Some))?;
                Step::Broadcast { from, room, event, payload }
            }
            Line::Send { from: who, dst, event, payload } => {
                let from = from(&who).map_or(Some(None), |who| who.map(Some))?;
                Step::Send { from, dst: address(&dst), event, payload }
            }
            Line::Join { who, room } => Step::Join { who: someone(&who)?, room },
            Line::Leave { who, room } => Step::Leave { who: someone(&who)?, room },
            Line::Close { who, code, reason } => Step::Close { who: someone(&who)?, code, reason },
        })
    }
}

/// Plans of up to `lines` lines.
pub(crate) fn plans(lines: usize) -> impl Strategy<Value = Plan> {
    let handlers = proptest::sample::subsequence(vec!["ping", "chat", "chatty", ""], 0..=3);
    (configs(), handlers, vec(line(), 1..lines)).prop_map(|(config, handlers, lines)| {
        let handlers = handlers.into_iter().filter(|event| !event.is_empty());
        Plan { config, handlers: handlers.map(String::from).collect(), lines }
    })
}

/// Both sets of rules, with limits that the names and rooms below meet exactly, fall short of by
/// one and exceed by one.
fn configs() -> impl Strategy<Value = Config> {
    let rules = prop_oneof![Just(Config::default()), Just(Config::compat())];
    let max_name = prop_oneof![1 => Just(3), 8 => 4..=6_usize, 4 => Just(4096)];
    let max_rooms = prop_oneof![1 => Just(0), 8 => 1..=4_usize, 4 => Just(1100)];
    (rules, max_name, max_rooms).prop_map(|(mut config, max_name, max_rooms)| {
        (config.max_name, config.max_rooms) = (max_name, max_rooms);
        config
    })
}

/// Prefixes of each other, equal but for case, empty, and up to seven bytes long, which are not
/// always as many letters.
fn room() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => select(vec!["root", "r", "ro", "roo", ""]),
        2 => select(vec!["root2", "root22", "root\0", "Root", "roé", "rooé", "röötö", "join"]),
    ]
    .prop_map(String::from)
}

fn event() -> impl Strategy<Value = String> {
    let from_servers = vec!["join_ack", "leave_ack", "new_member", "member_left", "open", "close"];
    prop_oneof![
        6 => Just("join"),
        3 => Just("leave"),
        6 => select(vec!["chat", "ping", "chatt", "chatty", "chatté", "", "JOIN", "cha"]),
        2 => select(from_servers),
    ]
    .prop_map(String::from)
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![
        9 => (0..SLOTS).prop_map(Who::Slot),
        1 => any::<Index>().prop_map(Who::Ever),
    ]
}

fn address() -> impl Strategy<Value = Address> {
    prop_oneof![
        10 => Just(Address::Nothing),
        4 => who().prop_map(Address::Id),
        1 => who().prop_map(Address::Uppercase),
        1 => who().prop_map(Address::Padded),
        1 => who().prop_map(Address::Cut),
        1 => select(vec!["nobody", "root", " "]).prop_map(|word| Address::Word(word.into())),
    ]
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..4)
}

fn from() -> impl Strategy<Value = Option<Who>> {
    proptest::option::weighted(0.7, who())
}

fn line() -> impl Strategy<Value = Line> {
    let code = select(vec![1000_u16, 1008, 4999]);
    let reason = select(vec!["", "bye", "tschüß"]).prop_map(String::from);
    prop_oneof![
        10 => (0..SLOTS).prop_map(|slot| Line::Open { slot }),
        40 => (who(), room(), event(), address(), address(), payload()).prop_map(
            |(who, room, event, dst, src, payload)| {
                Line::Packet { who, room, event, dst, src, payload }
            }
        ),
        4 => who().prop_map(|who| Line::Gone { who }),
        4 => (from(), room(), event(), payload()).prop_map(|(from, room, event, payload)| {
            Line::Broadcast { from, room, event, payload }
        }),
        4 => (from(), address(), event(), payload()).prop_map(|(from, dst, event, payload)| {
            Line::Send { from, dst, event, payload }
        }),
        8 => (who(), room()).prop_map(|(who, room)| Line::Join { who, room }),
        6 => (who(), room()).prop_map(|(who, room)| Line::Leave { who, room }),
        2 => (who(), code, reason).prop_map(|(who, code, reason)| {
            Line::Close { who, code, reason }
        }),
    ]
}
