//! Tests of away members, in rooms that announce them.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use roomer_engine::{Builder, Presence, Server};
use roomer_proto::ROOT;
use roomer_proto::extended::MEMBERS;

use crate::{Client, Handshake, World};

const WINDOW: Duration = Duration::from_secs(30);

fn world(builder: Builder) -> World {
    World::new(1, builder.announce_away("team").resume_window(WINDOW))
}

/// Connects extended clients that join these rooms.
fn enter(world: &mut World, count: usize, rooms: &[&str]) -> Vec<Client> {
    let clients: Vec<_> = (0..count).map(|_| world.connect_extended(Handshake::new())).collect();
    clients.iter().for_each(|client| rooms.iter().for_each(|room| client.join(room)));
    world.settle();
    clients
}

/// Counts the membership changes that a client receives from now on.
fn changes(client: &Client) -> Rc<Cell<u32>> {
    let count = Rc::new(Cell::new(0));
    let counted = count.clone();
    client.on(MEMBERS, move |_, _| counted.set(counted.get() + 1));
    count
}

#[test]
fn members_are_away_until_resume() {
    let mut world = world(Server::builder());
    let clients = enter(&mut world, 2, &["team"]);
    let plain = world.connect();
    plain.join("team");
    world.settle();
    let [ann, bob] = &clients[..] else { panic!() };
    ann.reset();
    world.settle();
    assert!(bob.is_member_away("team", &ann.id()));
    assert!(!bob.is_member_away(ROOT, &ann.id()), "root does not announce it");
    // Connect a new member. Also repeat a join: the client compares its list with the changes so
    // far.
    let [eve] = &enter(&mut world, 1, &["team"])[..] else { panic!() };
    assert!(eve.is_member_away("team", &ann.id()));
    bob.join("team");
    world.settle();
    let again = world.reconnect(ann);
    world.settle();
    assert!(again.is_resumed());
    for client in [bob, eve] {
        assert!(!client.is_member_away("team", &ann.id()));
        assert_eq!(client.members("team").unwrap().len(), 4);
    }
    assert!(!again.is_member_away("team", &ann.id()));
    assert_eq!(plain.members("team").unwrap().len(), 4);
}

#[test]
fn away_members_leave_when_session_ends() {
    let mut world = world(Server::builder());
    let clients = enter(&mut world, 2, &["team"]);
    let [ann, bob] = &clients[..] else { panic!() };
    ann.reset();
    world.settle();
    assert!(bob.is_member_away("team", &ann.id()));
    world.advance(WINDOW);
    assert_eq!(bob.members("team"), Some(vec![bob.id()]));
    assert!(!bob.is_member_away("team", &ann.id()));
}

#[test]
fn client_changing_network_is_never_away() {
    let mut world = world(Server::builder());
    let clients = enter(&mut world, 2, &["team"]);
    let [ann, bob] = &clients[..] else { panic!() };
    let changes = changes(bob);
    // Reconnect while the old socket still looks open.
    let again = world.reconnect(ann);
    world.settle();
    assert!(again.is_resumed());
    assert_eq!(changes.get(), 0);
}

#[test]
fn client_without_session_leaves_immediately() {
    let builder = Server::builder().announce_away("*").resume_window(Duration::ZERO);
    let mut world = World::new(1, builder);
    let clients = enter(&mut world, 2, &["team"]);
    clients[0].reset();
    world.settle();
    assert_eq!(clients[1].members("team"), Some(vec![clients[1].id()]));
}

#[test]
fn client_joined_by_server_while_away_is_away_in_room() {
    let mut world = world(Server::builder());
    let clients = enter(&mut world, 2, &[]);
    let [ann, bob] = &clients[..] else { panic!() };
    bob.join("team");
    ann.reset();
    world.settle();
    let conn = world.server().conn(ann.id()).unwrap();
    conn.join("team");
    world.settle();
    assert!(bob.is_member_away("team", &ann.id()));
    let again = world.reconnect(ann);
    world.settle();
    // The lists that Ann receives must not show her as away, which her view checks.
    assert_eq!(again.members("team").unwrap().len(), 2);
    assert!(!bob.is_member_away("team", &ann.id()));
}

#[test]
fn rooms_without_full_presence_do_not_announce_away() {
    for presence in [Presence::Count, Presence::Off] {
        let mut world = world(Server::builder().presence("team", presence));
        let clients = enter(&mut world, 2, &["team"]);
        let changes = changes(&clients[1]);
        clients[0].reset();
        world.settle();
        assert_eq!(changes.get(), 0);
    }
}
