//! Every order of steps among few clients and rooms, instead of random ones: breadth first, each
//! state of the hub once, each way out of it judged like any other input.

use std::collections::BTreeSet;

use super::fault::Fault;
use super::names::room_number;
use super::plan::{Address, Ending, Handler, PACES, Payload, Plan, Rules, Step, Who};
use super::run::Run;

/// How large a world is explored.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    pub rules: Rules,
    /// How many clients there are at once, at the most.
    pub clients: u8,
    /// The rooms, `root` among them.
    pub rooms: &'static [&'static str],
    pub max_rooms: usize,
    /// The most steps from the empty hub.
    pub depth: usize,
}

/// What there was to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explored {
    pub states: usize,
    /// Ways from one state to the next, each judged.
    pub ways: usize,
    /// The steps to the state that is farthest away.
    pub depth: usize,
    /// Whether no state is farther away: then this was every order of any number of steps.
    pub is_all: bool,
}

/// A state, by the way that first led there.
struct Node {
    from: usize,
    step: Step,
    depth: usize,
}

/// Explores it all.
///
/// # Errors
///
/// The shortest plan that leads to a fault, and the fault.
pub fn explore(scope: &Scope) -> Result<Explored, Box<(Plan, Fault)>> {
    let steps = alphabet(scope);
    let (mut nodes, mut known) = (Vec::<Node>::new(), BTreeSet::new());
    let mut explored = Explored { states: 1, ways: 0, depth: 0, is_all: true };
    known.insert(Vec::new());
    let mut plan = empty(scope);
    let mut next = 0; // 0 is the empty hub, 1 the first node
    while next <= nodes.len() {
        let here = next.checked_sub(1);
        let depth = here.map_or(0, |here| nodes[here].depth);
        next += 1;
        if depth >= scope.depth {
            explored.is_all = false;
            continue;
        }
        for &step in &steps {
            path(&nodes, here, &mut plan.steps);
            plan.steps.push(step);
            explored.ways += 1;
            let state = match state(&plan, scope) {
                Ok(state) => state,
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

/// All that can happen.
fn alphabet(scope: &Scope) -> Vec<Step> {
    let mut steps = Vec::new();
    let payload = Payload(0, 1);
    for slot in 0..scope.clients {
        let who = Who::Slot(slot);
        steps.push(Step::Open { slot });
        steps.push(Step::OpenAs { slot, like: who });
        steps.push(Step::Gone { who });
        steps.push(Step::Close { who, code: 1000, reason: "" });
        let packet = |room, event, dst| {
            let src = Address::Nothing;
            Step::Packet { who, room, event, dst, src, payload }
        };
        for &room in scope.rooms {
            for event in ["join", "leave", "chat", "ping"] {
                steps.push(packet(room, event, Address::Nothing));
            }
        }
        for other in 0..scope.clients {
            steps.push(packet("root", "chat", Address::Id(Who::Slot(other))));
        }
    }
    for &room in scope.rooms {
        steps.push(Step::Broadcast { from: None, except: None, room, event: "chat", payload });
    }
    // Whoever was first may have gone, and another may sit where he sat.
    let who = Who::Ever(0);
    steps.extend([Step::Gone { who }, Step::Join { who, room: "root" }]);
    steps
}

fn empty(scope: &Scope) -> Plan {
    let who = Who::Caller;
    let does = vec![
        Step::Leave { who, room: "root" },
        Step::Close { who, code: 1008, reason: "" },
        Step::Join { who, room: "root" },
    ];
    Plan {
        rules: scope.rules,
        max_name: 4096,
        max_rooms: scope.max_rooms,
        paces: PACES,
        shared_room_only: false,
        asks: [false; 3],
        answers: 0,
        late: 0,
        memberships: Vec::new(),
        handlers: vec![Handler { event: "ping", does }],
        steps: Vec::new(),
        ending: Ending::Gone,
        key: 7,
    }
}

/// The steps that lead to a node.
fn path(nodes: &[Node], mut at: Option<usize>, steps: &mut Vec<Step>) {
    steps.clear();
    while let Some(node) = at.map(|at| &nodes[at]) {
        steps.push(node.step);
        at = node.from.checked_sub(1);
    }
    steps.reverse();
}

/// Where a plan leads: who is here, who is in which room, and in what order the tables say so.
fn state(plan: &Plan, scope: &Scope) -> Result<Vec<u8>, Fault> {
    let mut run = Run::new(plan)?;
    run.steps_alone()?;
    let (court, mut state) = (&run.court, Vec::new());
    let (hub, bench) = (&court.hub, &court.bench);
    if bench.keys.is_empty() {
        return Ok(state);
    }
    state.push(bench.model.is_here(0).into());
    for slot in 0..scope.clients {
        let Some(who) = run.in_slot(slot) else {
            state.push(b'-');
            continue;
        };
        state.push(if bench.model.is_here(who) { b'+' } else { b'.' });
        let rooms = hub.rooms_of(bench.keys[usize::from(who)]);
        state.extend(rooms.filter_map(|room| hub.name(room).and_then(room_number)));
    }
    for room in scope.rooms {
        state.push(b'|');
        let members = hub.room(room).map(|room| hub.members(room));
        for conn in members.into_iter().flat_map(|members| members.iter()) {
            let is_in = |&slot: &u8| {
                run.in_slot(slot).is_some_and(|who| bench.keys[usize::from(who)] == conn)
            };
            state.extend((0..scope.clients).find(is_in));
        }
    }
    Ok(state)
}
