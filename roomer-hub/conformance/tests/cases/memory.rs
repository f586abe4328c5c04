//! Tests that only the connections that hold the most memory are closed at the memory budget.

use roomer_engine::Builder;
use roomer_engine::ConnId;

use super::test_server::{TestServer, join_all};
use roomer_conformance::client::{Client, Received, TIMEOUT};
use roomer_conformance::programs::until_within;
use roomer_conformance::wire;

pub(crate) const BUDGET: usize = 1024 * 1024;

pub(crate) fn tight(builder: Builder) -> Builder {
    builder
        .max_message(128 * 1024)
        .max_backlog(128 * 1024)
        .memory_budget(BUDGET)
        .close_timeout(TIMEOUT)
}

fn id(client: &Client) -> ConnId {
    ConnId::parse(&client.id).unwrap()
}

/// Returns the first bytes of a message that is never completed.
pub(crate) fn half(size: usize) -> Vec<u8> {
    let mut bytes = wire::to_room("lobby", "half", &wire::filler(size + 1000));
    bytes.truncate(size);
    bytes
}

#[test]
fn budget_closes_largest_unfinished_message_first() {
    let test = TestServer::with(tight);
    let [mut small, mut large] = test.roomless_clients();
    small.send(&half(20_000));
    large.send(&half(120_000));
    let mut others: Vec<Client> = Vec::new();
    while test.server.stats().closes.is_empty() {
        assert!(others.len() < 40, "{:?}", test.server.stats());
        let mut other = test.roomless_client();
        other.send(&half(70_000));
        others.push(other);
        test.roomless_client().expect_nothing();
    }
    assert_eq!(large.expect_close(1013), "out of memory");
    let held = test.server.stats().held_bytes;
    assert!(held <= BUDGET, "{held}");
    // The connection that holds little memory must still be open.
    assert!(test.server.send(id(&small), "still", b"here"));
    let own = small.id.clone();
    small.expect("root", "still", &own, "", b"here");
}

#[test]
fn stalled_readers_stay_within_budget() {
    let test = TestServer::with(tight);
    let stuck: Vec<Client> = (0..16).map(|_| test.roomless_client()).collect();
    let mut prompt = test.roomless_client();
    let other = test.roomless_client();
    let message = wire::filler(16 * 1024);
    for n in 0..400u32 {
        for reader in &stuck {
            test.server.send(id(reader), "flood", &message);
        }
        test.server.send(id(&prompt), "tick", n.to_be_bytes());
        // Bytes that another thread was just writing may not have counted. Each flush counts again.
        until_within(TIMEOUT, "more bytes wait than the budget permits", || {
            let is_within = test.server.stats().queued_bytes <= BUDGET + message.len();
            assert!(is_within || test.server.send(id(&other), "flush", b""));
            is_within.then_some(())
        });
    }
    let own = prompt.id.clone();
    for n in 0..400u32 {
        prompt.expect("root", "tick", &own, "", &n.to_be_bytes());
    }
    prompt.expect_nothing();
    let closes = test.server.stats().closes;
    assert!(closes.get(&1013).is_some_and(|&count| count > 0), "{closes:?}");
}

/// If the message counted once for each member, it would exceed the budget thirtyfold.
#[test]
fn shared_message_counts_once_towards_budget() {
    let test = TestServer::with(tight);
    let mut members: Vec<Client> = (0..40).map(|_| test.roomless_client()).collect();
    join_all("lobby", &mut members);
    let message = wire::filler(900 * 1024);
    test.server.broadcast("lobby", "big", &message);
    for member in &mut members {
        let Received::Packet(packet) = member.receive() else { panic!("no packet") };
        assert!(packet.event == "big" && packet.payload == message);
        member.expect_nothing();
    }
    assert_eq!(test.server.stats().closes.len(), 0);
}

/// Checks that a connection whose socket is too full for a close frame is cut off, and that its
/// memory is freed immediately.
#[test]
fn client_that_cannot_receive_close_frame_is_aborted() {
    let test = TestServer::with(tight);
    let mut witness = test.roomless_client();
    let mut members = [test.roomless_client(), test.roomless_client()];
    join_all("lobby", &mut members);
    let [stuck, mut other] = members;
    test.server.send(id(&stuck), "huge", wire::filler(16 * 1024 * 1024));
    other.expect_member_left("lobby", &stuck.id);
    witness.expect_nothing();
    // What the other clients have received may still be counted, but not for long.
    until_within(TIMEOUT / 3, "memory is held", || {
        (test.server.stats().held_bytes == 0).then_some(())
    });
    test.wait_for_sockets(2, || witness.expect_nothing());
}
