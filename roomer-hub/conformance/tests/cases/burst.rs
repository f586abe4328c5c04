//! Tests that sufficiently fast readers receive a burst completely.

use std::io::Write;
use std::thread;

use super::test_server::TestServer;
use roomer_conformance::client::Client;
use roomer_conformance::wire;

/// Sends all bytes in one write, while `read` runs.
fn send_at_once(sender: &Client, bytes: Vec<u8>, read: impl FnOnce() + Send) {
    let mut writer = sender.stream.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || writer.write_all(&bytes).unwrap());
        read();
    });
}

#[test]
fn burst_of_5000_messages_arrives_in_order() {
    let test = TestServer::start();
    let [mut a, mut b] = test.clients_in("lobby");
    let messages = (0..5000u32).map(|n| wire::to_room("lobby", "n", &n.to_be_bytes()));
    let (from, bytes) = (a.id.clone(), messages.collect::<Vec<_>>().concat());
    send_at_once(&a, bytes, || {
        for n in 0..5000u32 {
            b.expect("lobby", "n", "", &from, &n.to_be_bytes());
        }
    });
    a.expect_nothing();
    b.expect_nothing();
}

#[test]
fn burst_of_5000_direct_messages_arrives_in_order() {
    let test = TestServer::start();
    let [mut a, mut b] = test.roomless_clients();
    let (from, to) = (a.id.clone(), b.id.clone());
    let messages = (0..5000u32).map(|n| wire::to_client(&to, "r", "n", &n.to_be_bytes()));
    let bytes = messages.collect::<Vec<_>>().concat();
    send_at_once(&a, bytes, || {
        for n in 0..5000u32 {
            b.expect("r", "n", &to, &from, &n.to_be_bytes());
        }
    });
    a.expect_nothing();
    b.expect_nothing();
}

#[test]
fn burst_of_2000_messages_reaches_room_of_30_in_order() {
    let test = TestServer::start();
    let mut members: [Client; 30] = test.clients_in("lobby");
    let (a, others) = members.split_first_mut().unwrap();
    let messages = (0..2000u32).map(|n| wire::to_room("lobby", "n", &n.to_be_bytes()));
    let (from, bytes) = (&a.id, messages.collect::<Vec<_>>().concat());
    send_at_once(a, bytes, || {
        thread::scope(|scope| {
            for other in others {
                scope.spawn(move || {
                    for n in 0..2000u32 {
                        other.expect("lobby", "n", "", from, &n.to_be_bytes());
                    }
                    other.expect_nothing();
                });
            }
        });
    });
    a.expect_nothing();
}

#[test]
fn burst_above_backlog_reaches_prompt_reader() {
    let test = TestServer::start();
    let [mut a, mut b] = test.clients_in("lobby");
    let payload = wire::filler(100_000);
    let bytes = wire::to_room("lobby", "large", &payload).repeat(200);
    let from = a.id.clone();
    send_at_once(&a, bytes, || {
        for _ in 0..200 {
            let view = b.expect_view();
            assert!(view.src == from.as_bytes() && view.payload == payload);
        }
    });
    a.expect_nothing();
    b.expect_nothing();
}

#[test]
fn disconnect_from_1000_shared_rooms_closes_no_other_client() {
    let test = TestServer::start();
    let [mut a, mut b] = test.roomless_clients();
    let names: Vec<String> = (0..1000).map(|n| format!("{n}")).collect();
    let joins: Vec<u8> = names.iter().flat_map(|name| wire::to_room(name, "join", b"")).collect();
    a.send(&joins);
    names.iter().for_each(|name| assert_eq!(a.expect_packet().room, *name));
    b.send(&joins);
    let id = b.id.clone();
    for name in &names {
        assert_eq!(b.expect_packet().room, *name);
        a.expect_new_member(name, &id);
    }
    b.close();
    let mut left: Vec<String> = (0..1000)
        .map(|_| {
            let packet = a.expect_packet();
            assert_eq!((&*packet.event, &*packet.payload), ("member_left", id.as_bytes()));
            packet.room
        })
        .collect();
    left.sort_unstable();
    left.dedup();
    assert_eq!(left.len(), 1000);
    a.expect_nothing();
}
