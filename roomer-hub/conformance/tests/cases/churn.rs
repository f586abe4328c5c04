//! Coming and going without end: every view of a room must be true (sections 7 and 12).

use std::collections::BTreeSet;
use std::thread;

use super::members::Member;
use super::site::Site;
use roomer_conformance::client::Client;
use roomer_conformance::wire;

/// The ways in which a visitor ends its visit.
fn depart(mut client: Client, way: u32) -> Option<Client> {
    match way % 4 {
        0 => {
            client.say("square", "leave", b"");
            while client.packet().event != "leave_ack" {}
            return Some(client);
        }
        1 => client.reset(),
        // With joins in flight, so that there is something to be left behind as a ghost.
        2 => client.send(&wire::to_room("square", "join", b"").repeat(5)),
        _ => client.send(&wire::close(1000, "")),
    }
    None
}

#[test]
fn every_view_is_the_true_list_of_members_whoever_comes_and_goes() {
    let site = Site::open();
    let mut conductor = Member::join(site.loner(), "square");
    let watchers = [(); 3].map(|()| Member::join(site.loner(), "square"));
    let views: Vec<BTreeSet<String>> = thread::scope(|scope| {
        let watchers = watchers.map(|mut watcher| {
            scope.spawn(move || {
                watcher.hear_until("curfew");
                watcher.members
            })
        });
        // One that comes back again and again, and starts from a snapshot each time.
        let commuter = scope.spawn(|| {
            let mut commuter = Member::join(site.loner(), "square");
            for _ in 0..60 {
                commuter.catch_up();
                commuter.leave();
                commuter.rejoin();
            }
            commuter.client.say("square", "home", b"");
            commuter.hear_until("curfew");
            commuter.members
        });
        let visitors = [0, 1, 2, 3, 4].map(|visitor| {
            let site = &site;
            scope.spawn(move || {
                let mut client = None;
                for visit in 0..40 {
                    let mut guest = client.take().unwrap_or_else(|| site.loner());
                    guest.say("square", "join", b"");
                    guest.say("square", "hello", b"");
                    client = depart(guest, visitor + visit);
                }
            })
        });
        visitors.into_iter().for_each(|visitor| visitor.join().unwrap());
        conductor.hear_until("home");
        // The last visitors may still be on their way in, and out.
        site.settled(5, || conductor.catch_up());
        assert_eq!(conductor.members.len(), 5);
        // A newcomer's snapshot is the truth, as the server sees it.
        let mut newcomer = Member::join(site.loner(), "square");
        conductor.settle(6);
        assert_eq!(newcomer.members, conductor.members);
        newcomer.leave();
        conductor.settle(5);
        conductor.client.say("square", "curfew", b"");
        let watchers = watchers.into_iter().chain([commuter]);
        watchers.map(|watcher| watcher.join().unwrap()).collect()
    });
    for view in &views {
        assert_eq!(*view, conductor.members);
    }
}

#[test]
fn a_room_that_ends_and_begins_again_loses_nobody() {
    // Two come and go so that the room is made and unmade all the time.
    let site = Site::open();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut member = Member::join(site.loner(), "flicker");
                for _ in 0..150 {
                    member.leave();
                    // That the snapshot has the joiner in it is checked here.
                    member.rejoin();
                    member.client.say("flicker", "hello", b"");
                }
                member.leave();
            });
        }
    });
    assert_eq!(site.server.stats().rooms, 0);
    let [_a, mut b] = site.room("flicker");
    b.expect_nothing();
}

#[test]
fn who_disconnects_with_joins_in_flight_leaves_no_ghost() {
    let site = Site::open();
    let joins: Vec<u8> =
        (0..20).flat_map(|n| wire::to_room(&format!("{n}"), "join", b"")).collect();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for visit in 0..25 {
                    let mut client = site.loner();
                    client.send(&joins);
                    if visit % 2 == 0 {
                        client.reset();
                    }
                }
            });
        }
    });
    site.drained();
    let stats = site.server.stats();
    assert_eq!((stats.connections, stats.rooms), (0, 0));
}

#[test]
fn simultaneous_newcomers_to_root_all_end_with_the_same_list() {
    let site = Site::open();
    let members: Vec<Member> = thread::scope(|scope| {
        let newcomers: Vec<_> = (0..24)
            .map(|_| {
                scope.spawn(|| {
                    let client = site.client();
                    let members = client.welcome.iter().cloned().collect();
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
