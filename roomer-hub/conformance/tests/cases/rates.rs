//! Tests the rate limits of a client, and how the server closes a client that exceeds one.
//!
//! There are limits on messages, bytes, joins and violations.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use roomer_engine::{
    BuildError, Builder, DisconnectReason, Environment, Server, SystemEnvironment,
};

use super::rules_async::Gate;
use super::test_server::{TestServer, expect_nothing};
use roomer_conformance::client::{Client, Received};
use roomer_conformance::wire;

/// The number of messages in a flood. It exceeds the burst of every limit in these tests.
const FLOOD: usize = 500;

/// An environment whose clock stands still, so that no token is refilled.
struct Frozen;

impl Environment for Frozen {
    fn now(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn random(&self) -> [u8; 16] {
        SystemEnvironment::new().random()
    }
}

/// Sends the same message `FLOOD` times in one write.
fn flood(client: &mut Client, message: &[u8]) {
    client.send(&message.repeat(FLOOD));
}

/// Reads until the server closes with 1008. Returns the number of messages before that, and the
/// reason.
#[track_caller]
fn until_closed(client: &mut Client) -> (usize, String) {
    let mut count = 0;
    loop {
        match client.receive() {
            Received::Packet(_) => count += 1,
            Received::Close(code, reason) => {
                assert_eq!(code, Some(1008), "{reason}");
                client.expect_end();
                return (count, reason);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Checks that a client that floods a room is closed after `burst` messages, plus those for which
/// tokens were refilled. The room must receive these messages and a notice that the client has
/// left, and must work after that.
#[track_caller]
fn closes(choose: impl FnOnce(Builder) -> Builder, burst: usize, event: &str) {
    let test = TestServer::with(choose);
    let mut witness = test.roomless_client();
    witness.join("lobby");
    let mut flooder = test.client();
    flooder.join("lobby");
    let id = flooder.id.clone();
    witness.expect_new_member("lobby", &id);
    flood(&mut flooder, &wire::to_room("lobby", event, b"payload"));
    assert_eq!(until_closed(&mut flooder).1, "rate");
    let mut received = 0;
    loop {
        let packet = witness.expect_packet();
        if packet.event == "member_left" {
            assert_eq!(packet.payload, id.as_bytes());
            break;
        }
        assert_eq!((&*packet.event, &*packet.src), (event, &*id));
        received += 1;
    }
    assert!(
        (burst..FLOOD).contains(&received),
        "{received} messages passed, of a burst of {burst}"
    );
    witness.expect_nothing();
    let stats = test.server.stats();
    assert_eq!((stats.rejected_packets.rate, stats.closes.get(&1008)), (1, Some(&1)));
}

#[test]
fn too_many_messages_close_with_1008() {
    // The client's join counts as the first of the thirty messages.
    closes(|builder| builder.message_rate(1, 30), 29, "hello");
}

#[test]
fn too_many_bytes_close_with_1008() {
    let whole = 20 + "lobby".len() + "hello".len() + "payload".len();
    // The join counts as well, but has fewer bytes than these messages.
    closes(|builder| builder.max_message(100).byte_rate(1, 30 * whole as u32), 29, "hello");
}

#[test]
fn join_rate_counts_joins_only() {
    let test = TestServer::with(|builder| builder.join_rate(1, 10));
    let [mut speaker, mut joiner] = test.roomless_clients();
    speaker.join("lobby");
    for _ in 0..FLOOD {
        speaker.send(&wire::to_room("lobby", "hello", b""));
    }
    speaker.expect_nothing();
    // Repeated joins count too, since each of them is answered with a member list.
    flood(&mut joiner, &wire::to_room("garden", "join", b""));
    let (acks, reason) = until_closed(&mut joiner);
    assert_eq!(reason, "rate");
    assert!((10..FLOOD).contains(&acks), "{acks} joins of a burst of 10");
}

#[test]
fn allowed_burst_is_delivered() {
    let test = TestServer::with(|builder| {
        builder.max_message(1000).message_rate(1, 102).byte_rate(1, 103 * 1000).join_rate(1, 2)
    });
    let [mut a, mut b] = test.clients_in("lobby");
    // Each client has sent two messages already: one to leave `root`, and one to join.
    let message = wire::to_room("lobby", "hello", &wire::filler(900));
    a.send(&message.repeat(99));
    for _ in 0..99 {
        let packet = b.expect_packet();
        assert_eq!((&*packet.event, &*packet.src), ("hello", &*a.id));
    }
    expect_nothing([&mut a, &mut b]);
    assert_eq!(test.server.stats().rejected_packets.rate, 0);
}

#[test]
fn tokens_refill_over_time() {
    // The burst is refilled within nanoseconds, but several messages may be handled at the same
    // time.
    let test = TestServer::with(|builder| builder.message_rate(u32::MAX, 50));
    let mut client = test.roomless_client();
    for _ in 0..200 {
        client.expect_nothing();
    }
    assert_eq!(test.server.stats().rejected_packets.rate, 0);
}

#[test]
fn server_messages_and_commands_do_not_count_towards_rates() {
    let test = TestServer::with(|builder| {
        builder.message_rate(1, 4).join_rate(1, 1).on("work", |conn, _| {
            for number in 0..20 {
                conn.join(format!("room {number}"));
                conn.send_to_client(conn.id().as_str(), "done", b"");
            }
            Ok(())
        })
    });
    let mut client = test.client();
    client.send_to_room("root", "work", b"");
    for number in 0..20 {
        let ack = client.expect_packet();
        client.snapshot(&format!("room {number}"), ack);
        let id = client.id.clone();
        client.expect("root", "done", &id, &id, b"");
    }
    client.expect_nothing();
}

#[test]
fn allowed_message_counts_once() {
    let test = TestServer::with(|builder| {
        builder.message_rate(1, 12).may_publish_async(|_, _| std::future::ready(true))
    });
    let [mut a, mut b] = test.clients_in("lobby");
    a.send(&wire::to_room("lobby", "hello", b"").repeat(8));
    for _ in 0..8 {
        b.expect("lobby", "hello", "", &a.id, b"");
    }
    expect_nothing([&mut a, &mut b]);
}

#[test]
fn messages_after_rate_violation_are_not_handled() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (gone, calls) = (heard.clone(), Arc::new(Mutex::new(0)));
    let counted = calls.clone();
    let test = TestServer::with(|builder| {
        builder
            .violation_rate(1, 3)
            .on("work", move |_, _| {
                *counted.lock().unwrap() += 1;
                Ok(())
            })
            .on_disconnect(move |_, reason| gone.lock().unwrap().push(reason))
    });
    let mut client = test.client();
    let mut bytes = wire::to_room("root", "work", b"");
    bytes.extend(wire::to_room("root", "close", b"").repeat(FLOOD));
    bytes.extend(wire::to_room("root", "work", b"").repeat(FLOOD));
    bytes.extend(wire::close(1000, ""));
    client.send(&bytes);
    assert_eq!(client.expect_close(1008), "too many violations");
    drop(client);
    test.wait_for_drain();
    assert_eq!(*calls.lock().unwrap(), 1);
    assert_eq!(*heard.lock().unwrap(), [DisconnectReason::ByServer(1008)]);
    let stats = test.server.stats();
    assert_eq!((stats.rejected_packets.violations, stats.closed_by_peer, stats.lost), (1, 0, 0));
    assert!(stats.messages_in < FLOOD as u64, "{stats:?}");
}

#[test]
fn message_authorized_after_leave_is_not_violation() {
    let gate = Gate::default();
    let waiting = gate.clone();
    let test = TestServer::with(|builder| {
        builder.environment(Frozen).violation_rate(1, 1).may_publish_async(move |conn, _| {
            let waiting = waiting.clone();
            conn.leave("lobby");
            async move {
                waiting.await;
                true
            }
        })
    });
    let [mut a, mut b] = test.clients_in("lobby");
    let mut bytes = wire::to_room("lobby", "open", b"");
    bytes.extend(wire::to_room("lobby", "hello", b""));
    a.send(&bytes);
    a.expect_left("lobby");
    b.expect_member_left("lobby", &a.id);
    gate.open();
    expect_nothing([&mut a, &mut b]);
    let rejected = test.server.stats().rejected_packets;
    assert_eq!((rejected.reserved, rejected.not_member, rejected.violations), (1, 1, 0));
}

#[test]
fn each_kind_of_violation_counts() {
    type Violate = fn(&mut Client);
    let kinds: [(&str, Violate); 2] = [
        ("reserved", |client| client.send(&wire::to_room("root", "open", b"").repeat(FLOOD))),
        ("long_name", |client| {
            client.send(&wire::to_room(&"n".repeat(20), "x", b"").repeat(FLOOD));
        }),
    ];
    for (kind, violate) in kinds {
        let test = TestServer::with(|builder| builder.violation_rate(1, 20).max_name(16));
        let mut client = test.client();
        violate(&mut client);
        assert_eq!(until_closed(&mut client).1, "too many violations", "{kind}");
        let rejected_packets = test.server.stats().rejected_packets;
        let counted = match kind {
            "reserved" => rejected_packets.reserved,
            _ => rejected_packets.long_name,
        };
        assert!((21..FLOOD as u64).contains(&counted), "{kind}: {rejected_packets:?}");
    }
}

#[test]
fn accidental_packets_are_not_violations() {
    let test = TestServer::with(|builder| {
        builder.violation_rate(1, 1).may_publish(|_, message| message.event != "forbidden")
    });
    let mut client = test.roomless_client();
    client.join("lobby");
    let nobody = "00000000-0000-4000-8000-000000000000";
    client.send(&wire::to_client(nobody, "root", "hello", b"").repeat(FLOOD));
    client.send(&wire::to_room("lobby", "forbidden", b"").repeat(FLOOD));
    for _ in 0..20 {
        client.leave("nowhere");
    }
    client.expect_nothing();
    let rejected_packets = test.server.stats().rejected_packets;
    assert_eq!(
        (
            rejected_packets.unknown_dst,
            rejected_packets.by_application,
            rejected_packets.violations
        ),
        (500, 500, 0)
    );
}

#[test]
fn burst_of_256_violations_is_allowed() {
    let test = TestServer::start();
    let mut client = test.client();
    client.send(&wire::to_room("root", "open", b"").repeat(256));
    client.expect_nothing();
    flood(&mut client, &wire::to_room("root", "open", b""));
    assert_eq!(until_closed(&mut client), (0, "too many violations".into()));
    let test = TestServer::with(Builder::unlimited_violations);
    let mut client = test.client();
    flood(&mut client, &wire::to_room("root", "open", b""));
    client.expect_nothing();
}

/// Messages are not violations if the client sends them before it is notified that it was kicked or
/// moved, or that the receiver has left. The client cannot avoid them, however many there are.
#[test]
fn messages_crossing_kick_are_not_violations() {
    let test = TestServer::with(|builder| builder.violation_rate(1, 1).shared_room_only());
    let [mut a, mut b] = test.clients_in("lobby");
    let flood = |room: &str, to: &str| match to {
        "" => wire::to_room(room, "hello", b"").repeat(FLOOD),
        to => wire::to_client(to, room, "hello", b"").repeat(FLOOD),
    };
    assert!(test.server.kick(&b.id, "lobby"));
    b.expect_left("lobby");
    b.send(&flood("lobby", ""));
    a.expect_member_left("lobby", &b.id);
    a.send(&flood("lobby", &b.id));
    expect_nothing([&mut a, &mut b]);
    b.join("lobby");
    a.expect_new_member("lobby", &b.id);
    assert!(test.server.move_to(&b.id, "lobby", "hall"));
    b.expect_left("lobby");
    let ack = b.expect_packet();
    b.snapshot("hall", ack);
    b.send(&flood("lobby", ""));
    a.expect_member_left("lobby", &b.id);
    expect_nothing([&mut a, &mut b]);
    let rejected = test.server.stats().rejected_packets;
    let flood = FLOOD as u64;
    assert_eq!((rejected.not_member, rejected.no_shared_room), (2 * flood, flood));
    assert_eq!(rejected.violations, 0);
}

/// A client may reconnect to a server with a lower limit, and rejoin all of its rooms.
#[test]
fn joins_above_room_limit_are_not_violations() {
    let test = TestServer::with(|builder| builder.violation_rate(1, 1).max_rooms(3));
    let mut client = test.client();
    client.join("first");
    client.join("second");
    for number in 0..20 {
        let room = format!("room-{number}");
        client.send(&wire::to_room(&room, "join", b""));
        client.expect_left(&room);
    }
    client.expect_nothing();
    assert_eq!(test.server.stats().rejected_packets.too_many_rooms, 20);
}

#[test]
fn shared_room_can_be_required_for_direct_messages() {
    let test = TestServer::with(|builder| builder.shared_room_only().compat());
    let (mut a, mut b) = (test.client(), test.client());
    let (to_a, to_b) = (a.id.clone(), b.id.clone());
    a.expect_new_member("root", &to_b);
    a.send_to_client(&to_b, "root", "hello", b"only root in common");
    b.join("lobby");
    a.send_to_client(&to_b, "lobby", "hello", b"no room in common");
    expect_nothing([&mut a, &mut b]);
    a.join("lobby");
    b.expect_new_member("lobby", &to_a);
    a.send_to_client(&to_b, "elsewhere", "hello", b"");
    b.expect("elsewhere", "hello", &to_b, &to_a, b"");
    b.send_to_client(&to_a, "lobby", "hello", b"");
    a.expect("lobby", "hello", &to_a, &to_b, b"");
    b.leave("lobby");
    a.expect_member_left("lobby", &to_b);
    b.send_to_client(&to_a, "lobby", "hello", b"no longer");
    expect_nothing([&mut a, &mut b]);
    assert_eq!(test.server.stats().rejected_packets.no_shared_room, 3);
}

#[test]
fn unusable_rates_are_rejected_by_build() {
    type Choose = fn(Builder) -> Builder;
    let zeros: [(&str, Choose); 4] = [
        ("message_rate", |builder| builder.message_rate(0, 1)),
        ("byte_rate", |builder| builder.byte_rate(1, 0)),
        ("join_rate", |builder| builder.join_rate(1, 0)),
        ("violation_rate", |builder| builder.violation_rate(0, 1)),
    ];
    for (option, choose) in zeros {
        let error = choose(Server::builder()).build().err();
        assert_eq!(error, Some(BuildError::Zero { option }));
    }
    let with = |burst| Server::builder().max_message(1000).byte_rate(1, burst).build().err();
    assert_eq!(with(1000), None);
    let error = with(999).unwrap();
    assert_eq!(error, BuildError::ByteBurst { burst: 999, max_message: 1000 });
    assert!(error.to_string().contains("raise one or lower the other"), "{error}");
}
