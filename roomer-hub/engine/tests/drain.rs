//! Tests of a server's drain: its rate, its deadline, and the counts in its result.
//!
//! They run in virtual time, with an audit whenever the server is idle.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use roomer_engine::{Builder, DrainReport, Server};
use roomer_hub::Presence;
use roomer_testkit::{Client, Faults, World, run};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Starts a drain. Returns its task, and the result once the drain has ended.
fn drain(world: &mut World) -> (usize, Rc<Cell<Option<DrainReport>>>) {
    let (server, result) = (world.server().clone(), Rc::new(Cell::new(None)));
    let shared = result.clone();
    let task = world.spawn(async move { shared.set(Some(server.drain().await)) });
    (task, result)
}

fn world(builder: Builder, clients: usize) -> (World, Vec<Client>) {
    let mut world = World::with_faults(7, Faults::none(), builder);
    let clients = (0..clients).map(|_| {
        let client = world.connect();
        world.settle();
        client
    });
    let clients = clients.collect();
    (world, clients)
}

fn open(clients: &[Client]) -> Vec<bool> {
    clients.iter().map(Client::is_open).collect()
}

fn count(drained: Option<DrainReport>) -> Option<(usize, usize)> {
    drained.map(|drained| (drained.closed, drained.aborted))
}

#[test]
fn drain_closes_at_its_rate_in_slot_order() {
    let (mut world, clients) = world(Server::builder().drain(ms(60_000), 2), 4);
    world.advance(ms(10_000));
    let (_, result) = drain(&mut world);
    let mut seen = Vec::new();
    for _ in 0..4 {
        world.settle();
        seen.push(open(&clients));
        world.advance(ms(500));
    }
    let (yes, no) = (true, false);
    assert_eq!(seen, [[no, yes, yes, yes], [no, no, yes, yes], [no, no, no, yes], [no; 4]]);
    assert_eq!(count(result.get()), Some((4, 0)));
    assert!(clients.iter().all(|client| client.closed().unwrap().code == Some(1001)));
}

#[test]
fn drain_without_rate_closes_all_immediately() {
    let builder = Server::builder().presence("root", Presence::Off);
    let (mut world, clients) = world(builder, 300);
    let (_, result) = drain(&mut world);
    world.settle();
    assert!(clients.iter().all(|client| client.closed().unwrap().code == Some(1001)));
    assert_eq!((world.now(), count(result.get())), (ms(0), Some((300, 0))));
}

#[test]
fn remaining_connections_are_aborted_at_deadline() {
    let builder = Server::builder().drain(ms(2_000), 1).close_timeout(ms(60_000));
    let (mut world, clients) = world(builder, 5);
    clients[0].stall(0);
    let (_, result) = drain(&mut world);
    world.advance(ms(1_999));
    assert_eq!((result.get(), open(&clients)), (None, vec![true, false, true, true, true]));
    world.advance(ms(1));
    // Two connections had been closed, one of which has ended. All others were still open at the
    // deadline.
    assert_eq!(count(result.get()), Some((1, 4)));
    assert_eq!(world.server().stats().sockets, 0);
    assert_eq!(clients[4].closed().unwrap().code, Some(1001));
}

#[test]
fn drain_rejects_new_and_serves_open_connections() {
    let (mut world, clients) = world(Server::builder().drain(ms(60_000), 1), 3);
    let (_, result) = drain(&mut world);
    world.settle();
    assert!(world.server().is_live() && !world.server().is_ready());
    let late = world.connect();
    clients[1].send("root", "chat", "still here");
    world.settle();
    assert_eq!(late.status(), Some(503));
    assert_eq!(clients[2].texts("root", "chat"), ["still here"]);
    world.advance(ms(3_000));
    assert_eq!(count(result.get()), Some((3, 0)));
    assert!(!world.server().is_live());
    let later = world.connect();
    world.settle();
    assert_eq!(later.status(), Some(503), "also after the drain");
}

#[test]
fn drain_counts_leaving_clients_and_ends_with_last() {
    let (mut world, clients) = world(Server::builder().drain(ms(60_000), 1), 3);
    // A connection in its handshake is not counted.
    world.connect_raw(b"GET /ws".to_vec());
    let (_, result) = drain(&mut world);
    world.settle();
    clients[1].close(1000, "");
    clients[2].reset();
    world.settle();
    assert_eq!((world.now(), count(result.get())), (ms(0), Some((3, 0))));
}

#[test]
fn dropped_drain_is_continued_by_next_call() {
    let (mut world, clients) = world(Server::builder().drain(ms(10_000), 1), 4);
    let (task, result) = drain(&mut world);
    world.advance(ms(1_500));
    world.abort(task);
    assert_eq!(open(&clients), [false, false, true, true]);
    world.advance(ms(1_500));
    assert_eq!(open(&clients), [false, false, true, true], "the drain is paused");
    assert_eq!(world.connect().status(), None);
    world.settle();
    assert_eq!(world.clients()[4].status(), Some(503), "new connections are still rejected");
    let (_, again) = drain(&mut world);
    world.advance(ms(500));
    assert_eq!(open(&clients), [false; 4]);
    assert_eq!((result.get(), count(again.get())), (None, Some((4, 0))));
}

#[test]
fn concurrent_drains_are_shared() {
    let (mut world, clients) = world(Server::builder().drain(ms(60_000), 1), 3);
    let (_, one) = drain(&mut world);
    world.advance(ms(500));
    let (_, two) = drain(&mut world);
    world.advance(ms(600));
    assert_eq!(open(&clients), [false, false, true]);
    world.advance(ms(1_000));
    assert_eq!((count(one.get()), count(two.get())), (Some((3, 0)), Some((3, 0))));
}

#[test]
fn shutdown_ends_drain() {
    let (mut world, clients) = world(Server::builder().drain(ms(60_000), 1), 3);
    let (_, result) = drain(&mut world);
    world.settle();
    world.server().shutdown();
    world.settle();
    assert_eq!((open(&clients), count(result.get())), (vec![false; 3], Some((3, 0))));
}

#[test]
fn drain_ends_under_any_faults() {
    run(0..60, |seed| {
        let builder = Server::builder().drain(ms(3_000), 3).max_handshakes(4).max_connections(8);
        let mut world = World::with_faults(seed, Faults::harsh().subset(seed), builder);
        let begin = seed as usize % 20;
        let mut result = None;
        for number in 0..20 {
            if number == begin {
                result = Some(drain(&mut world).1);
            }
            let client = world.connect();
            client.send("root", "chat", "hello");
            world.advance(ms(20 * (seed % 3)));
        }
        world.advance(ms(4_000));
        let drained = result.unwrap().get().expect("the drain ends a second after its deadline");
        assert!(drained.closed + drained.aborted <= 8 + 20, "{drained:?}");
        world.advance(ms(20_000));
        assert_eq!(world.server().stats().sockets, 0);
    });
}
