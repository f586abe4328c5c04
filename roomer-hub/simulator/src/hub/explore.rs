//! Explores all orders of steps by a few clients in a few rooms, breadth first.
//!
//! Each state of the hub is visited once, and each transition is checked like any other input.

use std::collections::BTreeSet;

use super::guests;
use super::plan::{Address, ClientRef, DEFAULT_RATES, Ending, Handler, Mode, Payload, Plan, Step};
use super::run::Run;
use crate::alphabet::{IDS_PER_TAG, id_number, identity, room_number, tagged};
use crate::fault::Fault;

/// The bounds of an exploration.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    pub mode: Mode,
    /// The maximum number of clients that are open at the same time.
    pub clients: u8,
    /// The rooms, including `root`.
    pub rooms: &'static [&'static str],
    pub max_rooms: usize,
    /// The maximum length of a path, in steps from the empty hub.
    pub depth: usize,
    /// The number of peers.
    pub peers: u8,
    /// The number of guests per peer.
    pub guests: u8,
}

/// The result of an exploration: its size, and whether it is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explored {
    pub states: usize,
    /// The number of transitions between states that were checked.
    pub transitions: usize,
    /// The number of steps to the state that is farthest from the empty hub.
    pub depth: usize,
    /// True if the exploration ended before the depth limit. It then covers all orders of any
    /// number of steps.
    pub is_complete: bool,
}

/// A state that was reached, represented by the last step of the shortest path to it.
struct Node {
    from: usize,
    step: Step,
    depth: usize,
}

/// Explores all states within the scope.
///
/// # Errors
///
/// Returns a fault together with the shortest plan that leads to it.
pub fn explore(scope: &Scope) -> Result<Explored, Box<(Plan, Fault)>> {
    let steps = possible_steps(scope);
    let (mut nodes, mut known) = (Vec::<Node>::new(), BTreeSet::new());
    let mut explored = Explored { states: 1, transitions: 0, depth: 0, is_complete: true };
    // The encoded state of the empty hub is an empty vector.
    known.insert(Vec::new());
    let mut plan = empty_plan(scope);
    let mut next = 0; // 0 is the empty hub, 1 is the first node
    while next <= nodes.len() {
        let here = next.checked_sub(1);
        let depth = here.map_or(0, |here| nodes[here].depth);
        next += 1;
        if depth >= scope.depth {
            explored.is_complete = false;
            continue;
        }
        for &step in &steps {
            // For each transition, run the whole path from the empty hub: a hub cannot be cloned,
            // and the paths are short.
            steps_to(&nodes, here, &mut plan.steps);
            plan.steps.push(step);
            explored.transitions += 1;
            let state = match state(&plan, scope) {
                Ok(state) => state,
                // Because the search is breadth first, no shorter plan has this fault.
                Err(fault) => return Err(Box::new((plan, fault))),
            };
            if known.insert(state) {
                nodes.push(Node { from: here.map_or(0, |here| here + 1), step, depth: depth + 1 });
                explored.depth = depth + 1;
                explored.states += 1;
            }
        }
    }
    Ok(explored)
}

/// Returns all steps that the scope allows, some of which have no effect in some states.
fn possible_steps(scope: &Scope) -> Vec<Step> {
    let mut steps = Vec::new();
    let payload = Payload(0, 1);
    for slot in 0..scope.clients {
        let client = ClientRef::Slot(slot);
        steps.push(Step::Open { slot });
        // Reuse the id of the last connection in this slot. While that connection is open, the hub
        // rejects the id.
        steps.push(Step::OpenAs { slot, like: client });
        steps.push(Step::Gone { client });
        steps.push(Step::Close { client, code: 1000, reason: "" });
        let packet = |room, event, dst| {
            let src = Address::Nothing;
            Step::Packet { client, room, event, dst, src, payload }
        };
        for &room in scope.rooms {
            for event in ["join", "leave", "chat", "ping"] {
                steps.push(packet(room, event, Address::Nothing));
            }
        }
        for other in 0..scope.clients {
            steps.push(packet("root", "chat", Address::Id(ClientRef::Slot(other))));
        }
    }
    for &room in scope.rooms {
        steps.push(Step::Broadcast { from: None, except: None, room, event: "chat", payload });
    }
    // Refer to the first connection by number, even if it is closed and its slot has been reused.
    let client = ClientRef::Numbered(0);
    steps.extend([Step::Gone { client }, Step::Join { client, room: "root" }]);
    steps_of_peers(scope, &mut steps);
    steps
}

fn steps_of_peers(scope: &Scope, steps: &mut Vec<Step>) {
    let (nothing, payload) = (Address::Nothing, Payload(0, 1));
    for peer in 0..scope.peers {
        steps.extend([Step::PeerUp { peer, tag: peer }, Step::PeerGone { peer }]);
        for &room in scope.rooms {
            for number in 0..scope.guests {
                let guest = guest_of(peer, number);
                steps.push(Step::GuestJoined { peer, room, guest });
                steps.push(Step::GuestLeft { peer, room, guest });
            }
            steps.extend([0, 2].map(|members| Step::GuestCount { peer, room, members }));
            let (except, event, dst, src) = (nothing, "chat", nothing, nothing);
            steps.push(Step::PeerBroadcast { peer, except, room, event, dst, src, payload });
        }
        let dst = Address::Word(&identity(tagged(guest_of(peer, 0))).text);
        steps.push(Step::Send { from: None, dst, event: "chat", payload });
    }
}

/// Returns the number of a guest among all ids.
fn guest_of(peer: u8, number: u8) -> u16 {
    u16::from(peer) * IDS_PER_TAG + u16::from(number)
}

fn empty_plan(scope: &Scope) -> Plan {
    let client = ClientRef::Caller;
    let commands = vec![
        Step::Leave { client, room: "root" },
        Step::Close { client, code: 1008, reason: "" },
        Step::Join { client, room: "root" },
    ];
    Plan {
        mode: scope.mode,
        max_name: 4096,
        max_rooms: scope.max_rooms,
        rates: DEFAULT_RATES,
        shared_room_only: false,
        authorize: [false; 3],
        answers: 0,
        answer_delay: 0,
        presence_rules: Vec::new(),
        handlers: vec![Handler { event: "ping", commands }],
        steps: Vec::new(),
        ending: Ending::Gone,
        key: 7,
    }
}

/// Collects the steps on the path to a node.
fn steps_to(nodes: &[Node], mut at: Option<usize>, steps: &mut Vec<Step>) {
    steps.clear();
    while let Some(node) = at.map(|at| &nodes[at]) {
        steps.push(node.step);
        at = node.from.checked_sub(1);
    }
    steps.reverse();
}

/// Returns the state to which a plan leads: the open clients, the members of the rooms, and the
/// order of both in the tables.
fn state(plan: &Plan, scope: &Scope) -> Result<Vec<u8>, Fault> {
    let mut run = Run::new(plan)?;
    run.run_steps_only()?;
    let (checked, mut state) = (&run.checked, Vec::new());
    let (tables, checker) = (checked.hub.tables(), &checked.checker);
    if checker.keys.is_empty() && scope.peers == 0 {
        return Ok(state);
    }
    // Two of the possible steps refer to the first connection, so whether it is open is part of the
    // state.
    state.push((!checker.keys.is_empty() && checker.model.is_connected(0)).into());
    for slot in 0..scope.clients {
        let Some(client) = run.in_slot(slot) else {
            state.push(b'-');
            continue;
        };
        state.push(if checker.model.is_connected(client) { b'+' } else { b'.' });
        let rooms = tables.rooms_of(checker.keys[usize::from(client)]);
        state.extend(rooms.filter_map(|room| tables.room_name(room).and_then(room_number)));
    }
    for room in scope.rooms {
        state.push(b'|');
        let members = tables.find_room(room).map(|room| tables.members(room));
        for conn in members.into_iter().flat_map(|members| members.iter()) {
            let is_in = |&slot: &u8| {
                run.in_slot(slot).is_some_and(|client| checker.keys[usize::from(client)] == conn)
            };
            state.extend((0..scope.clients).find(is_in));
        }
    }
    for peer in 0..scope.peers {
        let key = guests::op::key(peer);
        state.push(if checker.model.peers.tags[usize::from(peer)].is_some() { b'^' } else { b'v' });
        for (room, id) in tables.guests_of(key) {
            state.extend(room_number(room));
            state.extend(id_number(id.as_str().as_bytes()).map(|id| id as u8));
        }
        state.push(b'#');
        state.extend(tables.counts_of(key).filter_map(|(room, _)| room_number(room)));
    }
    for room in scope.rooms.iter().filter(|_| scope.peers > 0) {
        state.push(b'/');
        let guests = tables.find_room(room).into_iter().flat_map(|room| tables.guests(room));
        state.extend(guests.filter_map(|id| id_number(id.as_str().as_bytes())).map(|id| id as u8));
    }
    Ok(state)
}
