//! Tests every order in which joins and leaves of both sides, and their packets, can cross.
//!
//! The joins and leaves are the application's own, and the server's changes. Acknowledgements do
//! not name the request that they answer, so the client has to find out which of them are answers.

use std::collections::VecDeque;

use roomer_proto::client::{Client, Event};
use roomer_proto::{JOIN, JOIN_ACK, LEAVE, LEAVE_ACK, PacketRef, ROOT};

use super::support::{ID, NOW, events, receive, sent, upgraded};

const LOBBY: &str = "lobby";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The application joins or leaves the room.
    Join,
    Leave,
    /// The server removes the client from the room, or adds it.
    Kick,
    Put,
    /// The server handles the client's next packet.
    Handle,
    /// The client receives the server's next packet.
    Deliver,
}

const STEPS: [Step; 6] =
    [Step::Join, Step::Leave, Step::Kick, Step::Put, Step::Handle, Step::Deliver];

/// A client, its server, and the packets between them.
struct World {
    client: Client,
    is_extended: bool,
    /// True if the client is in the room, according to the server.
    is_in: bool,
    to_server: VecDeque<String>,
    /// The room and event of each packet.
    to_client: VecDeque<(String, &'static str)>,
    events: Vec<Event>,
    /// The number of events before the application's last join.
    events_at_join: usize,
}

impl World {
    /// Starts with a client that is in the room, or only connected.
    fn new(is_extended: bool, is_in: bool) -> Self {
        let mut client = upgraded();
        if is_extended {
            let payload = br#"{"version":2,"session":"t","resumed":false,"received":0}"#;
            let hello = PacketRef { room: ROOT, event: "roomer:hello", src: ID, payload, dst: "" };
            receive(&mut client, &hello);
        }
        let (to_server, to_client) = (VecDeque::new(), VecDeque::from([(ROOT.into(), JOIN_ACK)]));
        let mut world = World {
            client,
            is_extended,
            is_in: false,
            to_server,
            to_client,
            events: Vec::new(),
            events_at_join: 0,
        };
        world.settle();
        if is_in {
            world.apply(Step::Join);
            world.settle();
        }
        world.events.clear();
        world
    }

    fn is_wanted(&self) -> bool {
        self.client.rooms().any(|room| room == LOBBY)
    }

    /// Returns true if a step would change anything.
    fn permits(&self, step: Step) -> bool {
        match step {
            Step::Join => !self.is_wanted(),
            Step::Leave => self.is_wanted(),
            Step::Kick => self.is_in,
            Step::Put => !self.is_in,
            Step::Handle => !self.to_server.is_empty(),
            Step::Deliver => !self.to_client.is_empty(),
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Join => {
                self.events_at_join = self.events.len();
                self.client.join(NOW, LOBBY).unwrap();
            }
            Step::Leave => self.client.leave(NOW, LOBBY),
            Step::Kick => self.answer(LOBBY, LEAVE_ACK),
            Step::Put => self.answer(LOBBY, JOIN_ACK),
            Step::Handle => {
                let packet = self.to_server.pop_front().unwrap_or_default();
                match packet.split_once(' ') {
                    Some((room, JOIN)) => self.answer(room, JOIN_ACK),
                    Some((room, LEAVE)) => self.answer(room, LEAVE_ACK),
                    _ => {}
                }
            }
            Step::Deliver => {
                if let Some((room, event)) = self.to_client.pop_front() {
                    let list = if self.is_extended { r#"{"members":[]}"# } else { "[]" };
                    let payload = list.as_bytes();
                    receive(
                        &mut self.client,
                        &PacketRef { room: &room, event, src: ID, payload, dst: "" },
                    );
                }
            }
        }
        assert_eq!(self.client.poll(NOW, 0), None);
        self.to_server.extend(sent(&mut self.client));
        self.events.append(&mut events(&mut self.client));
    }

    /// Sends an acknowledgement, and changes the membership that it reports.
    fn answer(&mut self, room: &str, event: &'static str) {
        if room == LOBBY {
            self.is_in = event == JOIN_ACK;
        }
        self.to_client.push_back((room.to_owned(), event));
    }

    /// Lets each side handle all packets.
    fn settle(&mut self) {
        while let Some(step) =
            [Step::Handle, Step::Deliver].into_iter().find(|step| self.permits(*step))
        {
            self.apply(step);
        }
    }
}

/// Runs all orders that begin with `steps`, up to a length. Returns the number of orders.
fn explore(is_extended: bool, is_in: bool, steps: &mut Vec<Step>, length: usize) -> usize {
    let run = |steps: &[Step]| {
        let mut world = World::new(is_extended, is_in);
        steps.iter().for_each(|step| world.apply(*step));
        world
    };
    let world = run(steps);
    if steps.len() == length {
        check(world, is_in, steps);
        return 1;
    }
    let next = STEPS.into_iter().filter(|step| world.permits(*step));
    next.map(|step| {
        steps.push(step);
        let count = explore(is_extended, is_in, steps, length);
        steps.pop();
        count
    })
    .sum()
}

fn check(mut world: World, was_in: bool, steps: &[Step]) {
    world.settle();
    let World { client, is_extended, is_in, events, .. } = &world;
    let about = format!("extended: {is_extended}, in: {was_in}, {steps:?}: {events:?}");
    assert_eq!(client.is_joined(LOBBY), *is_in, "{about}");
    assert_eq!(world.is_wanted(), *is_in, "{about}");
    let count = |step: Step| steps.iter().filter(|other| **other == step).count();
    let is_call = |step: &&Step| !matches!(step, Step::Handle | Step::Deliver);
    // A call takes effect, unless the server has changed the membership again since then.
    match (steps.iter().rfind(is_call), events.last()) {
        (Some(Step::Join), Some(Event::Removed { .. })) => {}
        (Some(Step::Join), _) => assert!(is_in, "the join has no effect: {about}"),
        (Some(Step::Leave), Some(Event::Joined { .. })) if count(Step::Put) > 0 => {}
        (Some(Step::Leave), _) => assert!(!is_in, "the leave has no effect: {about}"),
        _ => {}
    }
    let (mut view, mut removals) = (was_in, 0);
    for event in events {
        match event {
            Event::Joined { .. } => view = true,
            Event::Left { .. } => view = false,
            Event::Removed { .. } => {
                assert!(view, "{about}");
                (view, removals) = (false, removals + 1);
            }
            Event::Rejoined { .. } => assert!(view, "{about}"),
            // This server never rejects a join.
            event => panic!("{event:?}: {about}"),
        }
    }
    assert_eq!(view, *is_in, "{about}");
    assert!(removals <= count(Step::Kick), "{about}");
    // If the server removes the client only before the application's last join, no event after that
    // join reports a removal: it would end the streams of messages of a room that stays open.
    let last_join = steps.iter().rposition(|step| *step == Step::Join);
    let last_kick = steps.iter().rposition(|step| *step == Step::Kick);
    if *is_in && steps.iter().rfind(is_call) == Some(&Step::Join) && last_kick < last_join {
        let mut since = events[world.events_at_join..].iter();
        assert!(!since.any(|event| matches!(event, Event::Removed { .. })), "{about}");
    }
}

#[test]
fn membership_and_events_are_right_in_every_order() {
    for is_extended in [false, true] {
        for is_in in [false, true] {
            let count = explore(is_extended, is_in, &mut Vec::new(), 7);
            assert!(count > 2_000, "{count}");
        }
    }
}
