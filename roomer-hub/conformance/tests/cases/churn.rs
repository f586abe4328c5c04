//! Tests members that join and leave continually: every member's view of the room must be right.

use std::collections::BTreeSet;
use std::thread;

use super::members::Member;
use super::test_server::TestServer;
use roomer_conformance::client::Client;
use roomer_conformance::wire;

/// Makes a client leave in one of four ways. Returns the client if it is still connected.
fn depart(mut client: Client, way: u32) -> Option<Client> {
    match way % 4 {
        0 => {
            client.send_to_room("square", "leave", b"");
            while client.expect_packet().event != "leave_ack" {}
            return Some(client);
        }
        1 => client.reset(),
        // The connection closes while joins are in flight. These joins must not leave a stale
        // member in the room.
        2 => client.send(&wire::to_room("square", "join", b"").repeat(5)),
        _ => client.send(&wire::close(1000, "")),
    }
    None
}

#[test]
fn member_lists_are_correct_after_joins_and_leaves() {
    let test = TestServer::start();
    let mut conductor = Member::join(test.roomless_client(), "square");
    let watchers = [(); 3].map(|()| Member::join(test.roomless_client(), "square"));
    let views: Vec<BTreeSet<String>> = thread::scope(|scope| {
        let watchers = watchers.map(|mut watcher| {
            scope.spawn(move || {
                watcher.read_until("curfew");
                watcher.members
            })
        });
        // This client joins repeatedly, and gets a new snapshot each time.
        let commuter = scope.spawn(|| {
            let mut commuter = Member::join(test.roomless_client(), "square");
            for _ in 0..60 {
                commuter.catch_up();
                commuter.leave();
                commuter.rejoin();
            }
            commuter.client.send_to_room("square", "home", b"");
            commuter.read_until("curfew");
            commuter.members
        });
        let visitors = [0, 1, 2, 3, 4].map(|visitor| {
            let test = &test;
            scope.spawn(move || {
                let mut client = None;
                for visit in 0..40 {
                    let mut guest = client.take().unwrap_or_else(|| test.roomless_client());
                    guest.send_to_room("square", "join", b"");
                    guest.send_to_room("square", "hello", b"");
                    client = depart(guest, visitor + visit);
                }
            })
        });
        visitors.into_iter().for_each(|visitor| visitor.join().unwrap());
        conductor.read_until("home");
        // Clients that have disconnected last may still be joining or leaving.
        test.wait_for_sockets(5, || conductor.catch_up());
        assert_eq!(conductor.members.len(), 5);
        // The snapshot for a new member contains the members in the server's tables.
        let mut newcomer = Member::join(test.roomless_client(), "square");
        conductor.settle(6);
        assert_eq!(newcomer.members, conductor.members);
        newcomer.leave();
        conductor.settle(5);
        conductor.client.send_to_room("square", "curfew", b"");
        let watchers = watchers.into_iter().chain([commuter]);
        watchers.map(|watcher| watcher.join().unwrap()).collect()
    });
    for view in &views {
        assert_eq!(*view, conductor.members);
    }
}

#[test]
fn recreated_room_loses_no_member() {
    // Two clients join and leave, so that the room is created and removed repeatedly.
    let test = TestServer::start();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut member = Member::join(test.roomless_client(), "flicker");
                for _ in 0..150 {
                    member.leave();
                    // `rejoin` checks that the snapshot contains the joining client.
                    member.rejoin();
                    member.client.send_to_room("flicker", "hello", b"");
                }
                member.leave();
            });
        }
    });
    assert_eq!(test.server.stats().rooms, 0);
    let [_a, mut b] = test.clients_in("flicker");
    b.expect_nothing();
}

#[test]
fn disconnect_with_joins_in_flight_leaves_no_member() {
    let test = TestServer::start();
    let joins: Vec<u8> =
        (0..20).flat_map(|n| wire::to_room(&format!("{n}"), "join", b"")).collect();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for visit in 0..25 {
                    let mut client = test.roomless_client();
                    client.send(&joins);
                    if visit % 2 == 0 {
                        client.reset();
                    }
                }
            });
        }
    });
    test.wait_for_drain();
    let stats = test.server.stats();
    assert_eq!((stats.connections, stats.rooms), (0, 0));
}

#[test]
fn simultaneous_joins_of_root_end_with_same_member_list() {
    let test = TestServer::start();
    let members: Vec<Member> = thread::scope(|scope| {
        let newcomers: Vec<_> = (0..24)
            .map(|_| {
                scope.spawn(|| {
                    let client = test.client();
                    let members = client.root_members.iter().cloned().collect();
                    let mut member = Member { client, room: "root", members };
                    member.settle(24);
                    member
                })
            })
            .collect();
        newcomers.into_iter().map(|newcomer| newcomer.join().unwrap()).collect()
    });
    let ids: BTreeSet<String> = members.iter().map(|member| member.client.id.clone()).collect();
    for member in members {
        assert_eq!(member.members, ids);
    }
}
