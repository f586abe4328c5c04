//! Tests of rooms with more connections than one poll writes to.
//!
//! Their flushes are divided among polls and workers. The virtual time does not advance here, so
//! all output must be written without a timer.

use roomer_engine::Server;
use roomer_hub::{ConnId, Presence};
use roomer_testkit::{Client, Faults, World, run};

const MEMBERS: usize = 600;
const SPEAKERS: [usize; 3] = [0, 299, 599];

fn hall(seed: u64, faults: Faults) -> (World, Vec<Client>) {
    let builder = Server::builder().presence("root", Presence::Off).presence("hall", Presence::Off);
    let mut world = World::with_faults(seed, Faults::none(), builder);
    let members: Vec<Client> = (0..MEMBERS).map(|_| world.connect()).collect();
    world.settle();
    members.iter().for_each(|member| member.join("hall"));
    world.settle();
    world.set_faults(faults);
    (world, members)
}

#[test]
fn sends_during_flush_keep_one_order() {
    run(0..3, |seed| {
        let faults = if seed == 0 { Faults::none() } else { Faults::gentle() };
        let (mut world, members) = hall(seed, faults);
        for round in 0..3 {
            for speaker in SPEAKERS {
                members[speaker].send("hall", "say", format!("{round} by {speaker}"));
                (0..world.rng().below(200)).for_each(|_| _ = world.step());
            }
        }
        world.settle();
        let order = members[1].texts("hall", "say");
        assert_eq!(order.len(), 3 * SPEAKERS.len());
        for (number, member) in members.iter().enumerate() {
            let is_own = |text: &&String| text.ends_with(&format!("by {number}"));
            let expected: Vec<&String> = order.iter().filter(|text| !is_own(text)).collect();
            assert_eq!(
                member.texts("hall", "say").iter().collect::<Vec<_>>(),
                expected,
                "{number}"
            );
        }
    });
}

#[test]
fn direct_messages_sent_during_flush_arrive() {
    let (mut world, members) = hall(1, Faults::none());
    let server = world.server().clone();
    members[0].send("hall", "say", "to all");
    // Send from outside any poll during each part of the flush.
    for (number, member) in members.iter().enumerate().skip(1) {
        world.step();
        let id = ConnId::parse(&member.id()).unwrap();
        assert!(server.send(id, "direct", number.to_string().as_bytes()));
    }
    world.settle();
    for (number, member) in members.iter().enumerate().skip(1) {
        assert_eq!(member.texts("hall", "say"), ["to all"], "{number}");
        assert_eq!(member.texts("root", "direct"), [number.to_string()], "{number}");
    }
}

#[test]
fn large_flushes_reports_remaining_connections() {
    let (mut world, members) = hall(2, Faults::none());
    let server = world.server().clone();
    members[0].send("hall", "say", "to all");
    let mut seen = Vec::new();
    while world.step() {
        seen.extend(server.large_flushes().unwrap());
    }
    assert!(seen.is_sorted_by(|before, after| before >= after), "{seen:?}");
    let is_begun = seen.first().is_some_and(|left| (1..MEMBERS).contains(left));
    assert!(is_begun && seen.len() > 1, "{seen:?}");
    assert!(server.large_flushes().unwrap().is_empty());
}
