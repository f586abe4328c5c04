//! Leaving a room while the client rejoins it, or while the server removes the client from it.

use roomer_proto::client::{Client, Event, LostReason};
use roomer_proto::{JOIN, JOIN_ACK, LEAVE, LEAVE_ACK, PacketRef, ROOT};

use super::support::{ID, NOW, events, receive, sent, upgraded};

fn answer(client: &mut Client, room: &str, event: &str) {
    receive(client, &PacketRef { room, event, src: ID, payload: b"[]", dst: "" });
}

/// Returns a client that has joined the lobby of a plain server.
fn in_lobby() -> Client {
    let mut client = upgraded();
    answer(&mut client, ROOT, JOIN_ACK);
    client.join(NOW, "lobby").unwrap();
    assert_eq!(sent(&mut client), ["lobby join"]);
    answer(&mut client, "lobby", JOIN_ACK);
    events(&mut client);
    client
}

#[test]
fn message_waits_until_room_is_rejoined() {
    let mut client = in_lobby();
    client.leave(NOW, "lobby");
    assert_eq!(sent(&mut client), [format!("lobby {LEAVE}")]);
    client.join(NOW, "lobby").unwrap();
    // If the message were sent now, it would reach the server after the leave request and be
    // dropped.
    client.send(NOW, "lobby", "chat", None, b"hi").unwrap();
    assert!(!client.is_joined("lobby"));
    assert_eq!(sent(&mut client), [""; 0]);
    answer(&mut client, "lobby", LEAVE_ACK);
    assert_eq!(sent(&mut client), [format!("lobby {JOIN}")]);
    answer(&mut client, "lobby", JOIN_ACK);
    assert!(client.is_joined("lobby"));
    assert_eq!(sent(&mut client), ["lobby chat"]);
}

#[test]
fn kick_crossing_leave_reports_earlier_messages() {
    let mut client = in_lobby();
    client.send(NOW, "lobby", "chat", None, b"hi").unwrap();
    client.leave(NOW, "lobby");
    assert_eq!(sent(&mut client), ["lobby chat", "\0probe leave", "lobby leave"]);
    // This acknowledgement reports the removal. The server has therefore dropped the message, and
    // answers the probe and the leave request next.
    answer(&mut client, "lobby", LEAVE_ACK);
    let events = events(&mut client);
    let [Event::Lost(lost), Event::Left { .. }] = &*events else { panic!("{events:?}") };
    assert_eq!((&*lost.packet.payload, lost.reason), (&b"hi"[..], LostReason::Unconfirmed));
    answer(&mut client, "\0probe", LEAVE_ACK);
    answer(&mut client, "lobby", LEAVE_ACK);
    assert_eq!(super::support::events(&mut client), []);
}

#[test]
fn leave_ack_reports_no_lost_messages() {
    let mut client = in_lobby();
    client.send(NOW, "lobby", "chat", None, b"hi").unwrap();
    client.leave(NOW, "lobby");
    assert_eq!(sent(&mut client), ["lobby chat", "\0probe leave", "lobby leave"]);
    answer(&mut client, "\0probe", LEAVE_ACK);
    answer(&mut client, "lobby", LEAVE_ACK);
    assert_eq!(events(&mut client), [Event::Left { room: "lobby".into() }]);
}

#[test]
fn late_join_ack_does_not_match_later_join() {
    let mut client = upgraded();
    answer(&mut client, ROOT, JOIN_ACK);
    client.join(NOW, "lobby").unwrap();
    // The server adds the client to the room before it reads the client's request to join.
    answer(&mut client, "lobby", JOIN_ACK);
    events(&mut client);
    client.leave(NOW, "lobby");
    client.join(NOW, "lobby").unwrap();
    answer(&mut client, "lobby", JOIN_ACK);
    assert_eq!(events(&mut client), [], "the leave is not answered yet");
    answer(&mut client, "lobby", LEAVE_ACK);
    answer(&mut client, "lobby", JOIN_ACK);
    assert_eq!(events(&mut client), [Event::Joined { room: "lobby".into() }]);
}

#[test]
fn leave_ack_before_join_ack_is_rejection() {
    let mut client = upgraded();
    answer(&mut client, ROOT, LEAVE_ACK);
    let events = events(&mut client);
    let [Event::Opened { .. }, Event::Refused { room }] = &*events else { panic!("{events:?}") };
    assert_eq!(room, ROOT);
}

#[test]
fn unwritten_message_of_left_room_is_reported() {
    let mut client = in_lobby();
    // The network accepts nothing, so neither the message nor the leave request is written.
    client.send(NOW, "lobby", "chat", None, b"hi").unwrap();
    client.leave(NOW, "lobby");
    client.disconnected(NOW);
    let events = events(&mut client);
    let lost = events.iter().filter_map(|event| match event {
        Event::Lost(lost) => Some((&*lost.packet.payload, lost.reason)),
        _ => None,
    });
    assert!(lost.eq([(&b"hi"[..], LostReason::Unsent)]), "{events:?}");
}

#[test]
fn answer_to_leave_keeps_room_that_server_reopened() {
    let mut client = in_lobby();
    client.leave(NOW, "lobby");
    assert_eq!(sent(&mut client), ["lobby leave"]);
    // The server removes the client and adds it again before it reads the request to leave.
    answer(&mut client, "lobby", LEAVE_ACK);
    client.join(NOW, "lobby").unwrap();
    assert_eq!(sent(&mut client), ["lobby join"]);
    answer(&mut client, "lobby", JOIN_ACK);
    client.send(NOW, "lobby", "chat", None, b"1").unwrap();
    assert_eq!(sent(&mut client), ["lobby chat"]);
    events(&mut client);
    // This is the answer to the request to leave, but it could also be a removal. The server drops the
    // message if it is a removal.
    answer(&mut client, "lobby", LEAVE_ACK);
    assert!(matches!(&*events(&mut client), [Event::Lost(lost)] if &*lost.packet.payload == b"1"));
    client.send(NOW, "lobby", "chat", None, b"2").unwrap();
    assert_eq!(sent(&mut client), ["\0probe leave"], "the next message waits");
    answer(&mut client, "lobby", JOIN_ACK);
    assert_eq!(sent(&mut client), ["lobby chat"]);
    answer(&mut client, "\0probe", LEAVE_ACK);
    assert_eq!(events(&mut client), []);
    assert!(client.is_joined("lobby"));
    // The answer to the probe has confirmed the join, so this can only be a removal.
    answer(&mut client, "lobby", LEAVE_ACK);
    let events = events(&mut client);
    assert!(matches!(&*events, [Event::Removed { .. }, Event::Lost(_)]), "{events:?}");
}

#[test]
fn removal_soon_after_join_is_reported_after_probe() {
    let mut client = in_lobby();
    answer(&mut client, "lobby", LEAVE_ACK);
    assert_eq!(events(&mut client), []);
    client.send(NOW, "lobby", "chat", None, b"hi").unwrap();
    assert_eq!(sent(&mut client), ["\0probe leave"]);
    answer(&mut client, "\0probe", LEAVE_ACK);
    let events = events(&mut client);
    let [Event::Removed { .. }, Event::Lost(lost)] = &*events else { panic!("{events:?}") };
    assert_eq!(lost.reason, LostReason::Unsent);
}
