//! Tests of the test kit and the engine together, as whole servers and clients in virtual time.

mod away;
mod handshakes;
mod histories;
mod member_changes;
mod members;
mod panics_and_waits;
mod requests;
mod session_closes;
mod session_losses;
mod sessions;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use roomer_proto::PacketRef;
use roomer_proto::websocket::code;

use super::*;
use roomer_engine::{Builder, Rejection, Server};

const MINUTE: Duration = Duration::from_secs(60);

fn chat(seed: u64, faults: Faults) -> World {
    let mut world = World::with_faults(seed, faults, Server::builder());
    let clients: Vec<Client> = (0..4).map(|_| world.connect()).collect();
    for client in &clients {
        client.join("lobby");
        client.send("lobby", "chat", "hello");
        client.leave("lobby");
    }
    world.settle();
    world
}

fn panics(run: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(run)).expect_err("it should panic");
    application::panic_message(&*panic)
}

#[test]
fn run_depends_only_on_seed() {
    for faults in [Faults::none(), Faults::gentle(), Faults::harsh()] {
        let trace = |seed| {
            let mut world = chat(seed, faults);
            world.advance(2 * MINUTE);
            world.trace()
        };
        assert_eq!(trace(5), trace(5));
        assert_ne!(trace(5), trace(6));
    }
}

#[test]
fn seeds_vary_order() {
    let first = |seed| {
        let mut world = World::with_faults(seed, Faults::none(), Server::builder());
        let (ann, bob, eve) = (world.connect(), world.connect(), world.connect());
        world.settle();
        ann.send("root", "chat", "ann");
        bob.send("root", "chat", "bob");
        world.settle();
        eve.texts("root", "chat")
    };
    let orders: Vec<_> = (0..20).map(first).collect();
    assert!(orders.iter().any(|order| order == &["ann", "bob"]));
    assert!(orders.iter().any(|order| order == &["bob", "ann"]));
}

#[test]
fn pings_are_answered_over_virtual_minutes() {
    let mut world = World::new(1, Server::builder());
    let clients: Vec<Client> = (0..10).map(|_| world.connect()).collect();
    world.advance(17 * MINUTE);
    assert_eq!(world.now(), 17 * MINUTE);
    assert!(clients.iter().all(Client::is_open));
    assert_eq!(world.server().stats().connections, 10);
}

#[test]
fn client_receives_messages_sent_to_it() {
    let mut world = World::new(2, Server::builder());
    let (ann, bob) = (world.connect(), world.connect());
    world.settle();
    ann.send_to(&bob.id(), "whisper", "psst");
    ann.ping("are you there");
    world.settle();
    let received = bob.messages("root");
    assert_eq!(received.len(), 1);
    assert_eq!((&*received[0].dst, &*received[0].src), (&*bob.id(), &*ann.id()));
    assert_eq!(ann.pongs(), ["are you there"]);
    bob.clear_messages();
    assert!(bob.messages("root").is_empty());
    ann.close(1000, "bye");
    world.settle();
    assert_eq!(ann.closed().unwrap().code, Some(1000));
    assert_eq!(bob.members("root").unwrap(), [bob.id()]);
}

#[test]
fn rejected_handshake_has_status() {
    let builder = Server::builder().authorize(|request| match request.query("name") {
        Some(name) => Ok([("name".into(), name.into_owned())].into()),
        None => Err(Rejection::unauthorized("who are you?")),
    });
    let mut world = World::new(3, builder);
    let (anonymous, ann) = (world.connect(), world.connect_to("/ws?name=ann", "X-More: 1\r\n"));
    let lost = world.connect_to("/nowhere", "");
    world.settle();
    assert_eq!(
        (anonymous.status(), ann.status(), lost.status()),
        (Some(401), Some(101), Some(404))
    );
    assert!(ann.is_open() && !anonymous.is_open());
}

#[test]
fn only_stalled_client_is_closed() {
    let mut world = World::new(4, Server::builder().max_backlog(1000));
    let (ann, bob, eve) = (world.connect(), world.connect(), world.connect());
    world.settle();
    bob.stall(10);
    for _ in 0..20 {
        ann.send("root", "chat", [b'x'; 100]);
    }
    world.advance(Duration::from_secs(3));
    bob.resume();
    world.settle();
    assert_eq!(bob.closed().unwrap().code, Some(code::TRY_AGAIN_LATER));
    assert_eq!(eve.messages("root").len(), 20);
    assert!(ann.is_open());
}

#[test]
fn stopped_server_closes_its_clients() {
    let mut world = World::new(5, Server::builder());
    let (ann, bob) = (world.connect(), world.connect());
    world.settle();
    world.server().shutdown();
    world.advance(MINUTE);
    for client in [ann, bob] {
        assert_eq!(client.closed().unwrap().code, Some(code::GOING_AWAY));
    }
    assert_eq!(world.server().stats().sockets, 0);
}

#[test]
fn vanished_client_times_out_and_reset_client_leaves_immediately() {
    let mut world = World::new(6, Server::builder());
    let (ann, bob, eve) = (world.connect(), world.connect(), world.connect());
    world.settle();
    bob.unplug();
    eve.reset();
    world.settle();
    assert_eq!(ann.members("root").unwrap().len(), 2);
    world.advance(3 * MINUTE);
    assert_eq!(ann.members("root").unwrap(), [ann.id()]);
}

#[test]
fn half_closed_connection_ends() {
    let mut world = World::new(7, Server::builder());
    let (ann, bob) = (world.connect(), world.connect());
    world.settle();
    bob.send("root", "chat", "goodbye");
    bob.half_close();
    world.settle();
    assert_eq!(ann.texts("root", "chat"), ["goodbye"]);
    assert_eq!(ann.members("root").unwrap(), [ann.id()]);
    assert!(!bob.is_open());
}

/// Builds a server whose handler forwards the payload unchanged, whether or not it is a valid
/// packet.
fn forging_server() -> Builder {
    Server::builder().on("forge", |conn, message| {
        let _ = conn.send_raw(message.payload);
        Ok(())
    })
}

#[test]
fn contract_violation_is_reported_with_seed() {
    let message = panics(|| {
        let mut world = World::new(8, forging_server());
        let ann = world.connect();
        world.settle();
        let id = ann.id();
        let payload = id.as_bytes();
        let notice = PacketRef { room: "root", event: "new_member", payload, ..Default::default() };
        ann.send("root", "forge", notice.to_bytes());
        world.settle();
    });
    assert!(message.contains("under seed 8") && message.contains("client 0"), "{message}");
}

#[test]
fn non_packet_message_is_kept_unchanged() {
    let mut world = World::new(9, forging_server());
    let ann = world.connect();
    ann.send("root", "forge", "no packet");
    world.settle();
    assert_eq!(ann.raw(), ["no packet"]);
}

#[test]
fn harsh_faults_close_connections_until_calm() {
    let (mut lost, mut closed) = (0, 0);
    run(0..100, |seed| {
        let mut world = chat(seed, Faults::harsh().subset(seed));
        world.advance(2 * MINUTE);
        world.heal();
        let open: Vec<_> = world.clients().iter().filter(|client| client.is_open()).collect();
        for client in &open {
            assert_eq!(client.members("root").unwrap().len(), open.len());
        }
        assert_eq!(world.server().stats().connections, open.len());
    });
    for seed in 0..100 {
        let mut world = chat(seed, Faults::harsh().subset(seed));
        world.advance(2 * MINUTE);
        lost += world.clients().iter().filter(|client| client.state().is_lost).count();
        closed += world.clients().iter().filter(|client| !client.is_open()).count();
    }
    assert!(lost > 5 && closed > lost, "{lost} lost, {closed} closed");
}

#[test]
fn failing_scenario_reports_its_seed() {
    let fails = |seed| assert!(seed < 7, "too large");
    assert_eq!(find(0..7, fails), None);
    let failure = find(0..100, fails).unwrap();
    assert_eq!((failure.seed, &*failure.message), (7, "too large"));
    let message = panics(|| run(5..9, fails));
    assert!(message.starts_with("seed 7 fails; ROOMER_SEED=7"), "{message}");
}
