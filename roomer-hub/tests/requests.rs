//! Requests that reach a handler or a client, and answers that reach the requester.

use std::time::Duration;

use crate::support::exchange::{self, Exchanges, NOTHING};
use roomer_hub::{Answer, Command, Config, ConnKey, Input, Rate};
use roomer_proto::PacketRef;
use roomer_proto::extended::ErrorCode;

const OK: Answer<'_> = Answer::Reply(b"5");

fn pair() -> (Exchanges, ConnKey, ConnKey) {
    let mut it = Exchanges::new(Config::default());
    let (ann, bob) = (it.open('a', true), it.open('b', true));
    (it, ann, bob)
}

#[test]
fn request_to_server_is_answered_once() {
    let (mut it, ann, bob) = pair();
    let called = ["handler 0 for @a: root add dst=:7 src=@a ?"];
    assert_eq!(it.send(ann, "add", ":7"), called);
    assert_eq!(it.answer(bob, ":7", OK), NOTHING, "it is not hers");
    assert_eq!(it.answer(ann, ":8", OK), NOTHING);
    assert_eq!(it.answer(ann, ":7", OK), ["@a: root roomer:reply dst=:7 src= 5"]);
    assert_eq!(it.answer(ann, ":7", OK), NOTHING);
    // After the answer, the tag can be used again.
    assert_eq!(it.send(ann, "add", ":7"), called);
    let error = Answer::Error { code: ErrorCode::Failed, message: "no" };
    assert_eq!(it.answer(ann, ":7", error), ["@a: root roomer:error dst=:7 src= \"failed\""]);
    // Without a tag, the packet is a message, and is passed to the message handler.
    assert_eq!(it.send(ann, "add", ""), ["call for @a"]);
    assert_eq!(it.hub.tables().exchange_count(), 0);
}

#[test]
fn rejected_request_is_answered_with_reason() {
    let (mut it, ann, _) = pair();
    let refused = |code: &str| [format!("@a: root roomer:error dst=:7 src= \"{code}\"")];
    assert_eq!(it.send(ann, "mul", ":7"), refused("unknown"));
    it.send(ann, "add", ":7");
    assert_eq!(it.send(ann, "sub", ":7"), refused("invalid"), "the tag is in use");
    let outside = ["@a: hall roomer:error dst=:9 src= \"refused\""];
    assert_eq!(it.send_in("hall", ann, "add", ":9"), outside);
    let no_tag = ["@a: root roomer:error dst= src= \"invalid\" about \"root\",\"event\":\"add\"}"];
    assert_eq!(it.send(ann, "add", ":a-b"), no_tag);
    let long = "x".repeat(4097);
    assert_eq!(
        it.send_in(&long, ann, "add", ":8"),
        ["@a: root roomer:error dst=:8 src= \"invalid\""]
    );
    let rejected = it.hub.rejected_packets();
    assert_eq!((rejected.no_handler, rejected.wrong_tag, rejected.not_member), (1, 2, 1));
}

#[test]
fn plain_clients_cannot_send_requests_and_get_no_errors() {
    let mut it = Exchanges::new(Config::default());
    let (ann, _) = (it.open('a', false), it.open('b', true));
    for dst in [":7", "@b:7", "@z", ":"] {
        assert_eq!(it.send(ann, "add", dst), NOTHING, "{dst}");
    }
    for event in ["roomer:reply", "roomer:error", "roomer:hello"] {
        assert_eq!(it.send(ann, event, "@b:7"), NOTHING, "{event}");
    }
    assert_eq!(it.send_in("hall", ann, "chat", ""), NOTHING);
    let rejected = it.hub.rejected_packets();
    assert_eq!((rejected.unknown_dst, rejected.reserved, rejected.not_member), (4, 3, 1));
}

#[test]
fn only_receiver_can_answer_request() {
    let (mut it, ann, bob) = pair();
    let eve = it.open('e', true);
    assert_eq!(it.send(ann, "where", "@b:x1"), ["@b: root where dst=@b:x1 src=@a ?"]);
    let errors = "src= \"unknown\" about \"root\",\"event\":\"roomer:reply\"}";
    let unasked = |name| [format!("@{name}: root roomer:error dst= {errors}")];
    assert_eq!(it.send(eve, "roomer:reply", "@a:x1"), unasked('e'), "forged");
    assert_eq!(it.send(bob, "roomer:reply", "@a:x2"), unasked('b'), "another tag");
    assert_eq!(it.send(bob, "roomer:reply", "@a:x1"), ["@a: root roomer:reply dst=@a:x1 src=@b ?"]);
    assert_eq!(it.send(bob, "roomer:reply", "@a:x1"), unasked('b'), "a second answer");
    it.send(ann, "where", "@b:x1");
    assert_eq!(it.send(bob, "roomer:error", "@a:x1"), ["@a: root roomer:error dst=@a:x1 src=@b ?"]);
    assert_eq!(it.hub.rejected_packets().unasked, 3);
    // A client may send a request to itself, as it may send itself a direct message.
    assert_eq!(it.send(ann, "where", "@a:1"), ["@a: root where dst=@a:1 src=@a ?"]);
    assert_eq!(it.send(ann, "roomer:reply", "@a:1"), ["@a: root roomer:reply dst=@a:1 src=@a ?"]);
}

#[test]
fn missing_or_plain_receiver_is_error() {
    let (mut it, ann, bob) = pair();
    let carl = it.open('c', false);
    assert_eq!(it.send(ann, "where", "@z:1"), ["@a: root roomer:error dst=@a:1 src= \"gone\""]);
    assert_eq!(it.send(ann, "where", "no:1"), ["@a: root roomer:error dst=@a:1 src= \"gone\""]);
    assert_eq!(it.send(ann, "where", "@c:1"), ["@a: root roomer:error dst=@a:1 src= \"plain\""]);
    it.send(ann, "where", "@b:1");
    it.send(ann, "where", "@b:2");
    it.send(bob, "where", "@b:2");
    it.run(Input::Gone { conn: carl });
    let gone = [
        "@a: root roomer:error dst=@a:1 src= \"gone\"",
        "@a: root roomer:error dst=@a:2 src= \"gone\"",
    ];
    assert_eq!(it.run(Input::Gone { conn: bob }), gone);
    assert_eq!(it.hub.tables().exchange_count(), 0);
}

#[test]
fn errors_keep_order_of_requests() {
    let (mut it, ann, bob) = pair();
    let carl = it.open('c', true);
    it.send(ann, "where", "@b:1");
    it.send(carl, "where", "@b:1");
    it.send(ann, "where", "@b:2");
    it.send(bob, "roomer:reply", "@a:2");
    let gone = [
        "@a: root roomer:error dst=@a:1 src= \"gone\"",
        "@c: root roomer:error dst=@c:1 src= \"gone\"",
    ];
    assert_eq!(it.run(Input::Gone { conn: bob }), gone);
}

#[test]
fn requests_of_disconnected_client_are_released() {
    let (mut it, ann, bob) = pair();
    it.send(ann, "add", ":1");
    it.send(ann, "where", "@b:1");
    assert_eq!(it.request(ann, 0), ["@a: root where dst=@a:0 src= ?"]);
    assert_eq!(it.run(Input::Gone { conn: ann }), ["unanswered 0: gone"]);
    assert_eq!(it.hub.tables().exchange_count(), 0);
    assert_eq!(it.send(bob, "roomer:reply", "@a:1"), NOTHING, "the asker is gone");
    assert_eq!(it.answer(ann, ":1", OK), NOTHING);
    assert_eq!(it.hub.rejected_packets().unknown_dst, 1);
}

#[test]
fn requests_are_bounded_in_each_direction() {
    let mut config = Config::default();
    config.max_requests = 2;
    let mut it = Exchanges::new(config);
    let (ann, bob) = (it.open('a', true), it.open('b', true));
    for tag in [":1", ":2"] {
        assert_eq!(it.send(ann, "add", tag).len(), 1);
    }
    assert_eq!(it.send(ann, "add", ":3"), ["@a: root roomer:error dst=:3 src= \"busy\""]);
    it.send(ann, "where", "@b:1");
    it.send(ann, "where", "@b:2");
    assert_eq!(it.send(ann, "where", "@b:3"), ["@a: root roomer:error dst=@a:3 src= \"busy\""]);
    assert_eq!([0, 1].map(|number| it.request(ann, number).len()), [1, 1]);
    assert_eq!(it.request(ann, 2), ["unanswered 2: busy"]);
    // A request that is a minute old is dropped for a new one.
    it.now = Duration::from_secs(59);
    assert_eq!(it.send(ann, "where", "@b:3"), ["@a: root roomer:error dst=@a:3 src= \"busy\""]);
    it.now = Duration::from_secs(60);
    assert_eq!(it.send(ann, "where", "@b:3"), ["@b: root where dst=@b:3 src=@a ?"]);
    assert_eq!(it.send(bob, "roomer:reply", "@a:1")[0].split(' ').nth(2), Some("roomer:error"));
    assert_eq!(it.hub.rejected_packets().too_many_requests, 3);
}

#[test]
fn requests_to_one_client_are_bounded() {
    let mut config = Config::default();
    config.max_requests = 1;
    let mut it = Exchanges::new(config);
    it.open('a', true);
    let askers: Vec<ConnKey> = ('b'..='r').map(|name| it.open(name, true)).collect();
    let answers: Vec<usize> = askers
        .iter()
        .map(|&asker| it.send(asker, "where", "@a:1")[0].matches("busy").count())
        .collect();
    assert_eq!(answers.iter().sum::<usize>(), 1);
    assert_eq!(answers.last(), Some(&1), "16 times the bound of one asker");
}

#[test]
fn server_requests_client() {
    let (mut it, ann, bob) = pair();
    let carl = it.open('c', false);
    assert_eq!(it.request(carl, 0), ["unanswered 0: plain"]);
    assert_eq!(it.request(ann, 1), ["@a: root where dst=@a:1 src= ?"]);
    assert_eq!(it.request(bob, 2), ["@b: root where dst=@b:2 src= ?"]);
    let unasked =
        "root roomer:error dst= src= \"unknown\" about \"root\",\"event\":\"roomer:reply\"}";
    assert_eq!(it.send(ann, "roomer:reply", ":3"), [format!("@a: {unasked}")], "a guess");
    assert_eq!(it.send(ann, "roomer:reply", ":01"), [format!("@a: {unasked}")]);
    assert_eq!(it.send(ann, "roomer:reply", ":2"), NOTHING, "asked of another client");
    let answered = "answered 1, error false: root roomer:reply dst=:1 src=@a ?";
    assert_eq!(it.send(ann, "roomer:reply", ":1"), [answered]);
    assert_eq!(it.send(ann, "roomer:reply", ":1"), NOTHING, "only once");
    it.run(Input::Command(Command::Withdraw { conn: bob, number: 2 }));
    assert_eq!(it.send(bob, "roomer:error", ":2"), NOTHING, "late");
    assert_eq!(it.request(bob, 3), ["@b: root where dst=@b:3 src= ?"]);
    let failed = "answered 3, error true: root roomer:error dst=:3 src=@b ?";
    assert_eq!(it.send(bob, "roomer:error", ":3"), [failed]);
    it.run(Input::Gone { conn: carl });
    assert_eq!(it.request(carl, 4), ["unanswered 4: gone"]);
    let rejected = it.hub.rejected_packets();
    assert_eq!((rejected.unasked, rejected.late), (2, 3));
}

#[test]
fn rules_apply_to_requests_but_not_answers() {
    let mut config = Config::default();
    (config.authorize_publish, config.authorize_direct) = (true, true);
    let mut it = Exchanges::new(config);
    let (ann, bob) = (it.open('a', true), it.open('b', true));
    assert_eq!(it.send(ann, "add", ":1"), ["authorize Publish: root add dst=:1 src=@a ?"]);
    let packet = PacketRef { room: "root", event: "add", dst: ":1", ..PacketRef::default() };
    let refused = ["@a: root roomer:error dst=:1 src= \"refused\""];
    assert_eq!(it.run(Input::Denied { conn: ann, packet }), refused);
    let called = ["handler 0 for @a: root add dst=:1 src=@a "];
    assert_eq!(it.run(Input::Allowed { conn: ann, packet }), called);
    assert_eq!(it.send(ann, "where", "@b:1"), ["authorize Direct: root where dst=@b:1 src=@a ?"]);
    let dst = exchange::with_ids("@b:1");
    let packet = PacketRef { room: "root", event: "where", dst: &dst, ..PacketRef::default() };
    let refused = ["@a: root roomer:error dst=@a:1 src= \"refused\""];
    assert_eq!(it.run(Input::Denied { conn: ann, packet }), refused);
    assert_eq!(it.run(Input::Allowed { conn: ann, packet }), ["@b: root where dst=@b:1 src=@a "]);
    assert_eq!(it.send(bob, "roomer:reply", "@a:1"), ["@a: root roomer:reply dst=@a:1 src=@b ?"]);
}

#[test]
fn receiver_protocol_is_hidden_without_shared_room() {
    let mut config = Config::default();
    config.shared_room_only = true;
    let mut it = Exchanges::new(config);
    let (ann, bob, carl) = (it.open('a', true), it.open('b', true), it.open('c', false));
    for dst in ["@b:1", "@c:1"] {
        assert_eq!(it.send(ann, "where", dst), ["@a: root roomer:error dst=@a:1 src= \"refused\""]);
    }
    for conn in [ann, bob, carl] {
        it.send_in("hall", conn, "join", "");
    }
    assert_eq!(it.send(ann, "where", "@c:1"), ["@a: root roomer:error dst=@a:1 src= \"plain\""]);
    it.send(ann, "where", "@b:1");
    // An answer to an open request is delivered, even if the clients no longer share a room.
    it.send_in("hall", ann, "leave", "");
    assert_eq!(it.send(bob, "roomer:reply", "@a:1"), ["@a: root roomer:reply dst=@a:1 src=@b ?"]);
}

#[test]
fn rejection_errors_are_limited_to_16_per_second() {
    let (mut it, ann, _) = pair();
    let about = |room: &str, event: &str, code: &str| {
        [format!(
            "@a: root roomer:error dst= src= \"{code}\" about \"{room}\",\"event\":\"{event}\"}}"
        )]
    };
    assert_eq!(it.send_in("hall", ann, "chat", ""), about("hall", "chat", "refused"));
    assert_eq!(it.send(ann, "chat", "@z"), about("root", "chat", "gone"));
    assert_eq!(it.send(ann, "member_left", ""), about("root", "member_left", "refused"));
    assert_eq!(it.send(ann, "roomer:news", ""), about("root", "roomer:news", "refused"));
    let long = "x".repeat(4097);
    assert_eq!(it.send(ann, &long, ""), about("root", &long[..4096], "invalid"));
    let errors: usize = (0..50).map(|_| it.send_in("hall", ann, "chat", "").len()).sum();
    assert_eq!(errors, 11);
    it.now = Duration::from_millis(500);
    let errors: usize = (0..50).map(|_| it.send_in("hall", ann, "chat", "").len()).sum();
    assert_eq!(errors, 8);
    // Errors that answer requests are not limited by the error rate.
    assert_eq!(it.send(ann, "mul", ":1").len(), 1);
}

#[test]
fn unreported_rejections_are_counted_in_next_error() {
    let (mut it, ann, _) = pair();
    let flood = |it: &mut Exchanges, count: usize| -> usize {
        (0..count).map(|_| it.send_in("hall", ann, "chat", "").len()).sum()
    };
    let about = |more: &str| {
        let names = "\"hall\",\"event\":\"chat\"";
        [format!("@a: root roomer:error dst= src= \"refused\" about {names}{more}}}")]
    };
    assert_eq!(flood(&mut it, 40), 16);
    // Before an acknowledgement, one error reports all of them, whatever the rate.
    assert!(it.hub.tables().has_unreported(ann));
    assert_eq!(it.run(Input::Acknowledge { conn: ann }), about(",\"more\":23"));
    assert!(!it.hub.tables().has_unreported(ann));
    assert_eq!(it.run(Input::Acknowledge { conn: ann }), NOTHING);
    // A single packet needs no number.
    assert_eq!(it.send(ann, "chat", "@z"), NOTHING);
    let gone = "@a: root roomer:error dst= src= \"gone\" about \"root\",\"event\":\"chat\"}";
    assert_eq!(it.run(Input::Acknowledge { conn: ann }), [gone]);
    // The next error also counts them.
    assert_eq!(flood(&mut it, 5), 0);
    it.now = Duration::from_secs(1);
    assert_eq!(it.send_in("hall", ann, "chat", ""), about(",\"more\":5"));
    assert_eq!(it.send_in("hall", ann, "chat", ""), about(""));
    // A close also reports them.
    assert_eq!(flood(&mut it, 20), 14);
    let close = Input::Command(Command::Close { conn: ann, code: 4000, reason: "bye" });
    let lines = it.run(close);
    let last = about(",\"more\":5")[0].replace("@a", "gone");
    assert_eq!(lines, [last, "close 4000 bye".into()]);
    assert_eq!(it.run(Input::Acknowledge { conn: ann }), NOTHING);
}

#[test]
fn rejected_join_error_precedes_leave_ack() {
    let mut config = Config::default();
    config.max_rooms = 2;
    let mut it = Exchanges::new(config);
    let ann = it.open('a', true);
    it.send_in("one", ann, "join", "");
    let lines = it.send_in("two", ann, "join", "");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("refused") && lines[0].contains("\"event\":\"join\""), "{lines:?}");
    assert!(lines[1].starts_with("@a: two leave_ack"), "{lines:?}");
    let packet = PacketRef { room: "three", event: "join", ..PacketRef::default() };
    let lines = it.run(Input::Denied { conn: ann, packet });
    assert!(lines[0].contains("refused") && lines[1].contains("leave_ack"), "{lines:?}");
}

#[test]
fn rate_error_precedes_close() {
    let mut config = Config::default();
    config.message_rate = Rate::new(1, 2);
    let mut it = Exchanges::new(config);
    let (ann, bob) = (it.open('a', true), it.open('b', true));
    it.send(bob, "where", "@a:9");
    it.send(ann, "add", ":1");
    it.send(ann, "add", ":2");
    let lines = it.send(ann, "add", ":3");
    let expected = [
        "gone: root roomer:error dst=:3 src= \"busy\"",
        "@b: root roomer:error dst=@b:9 src= \"gone\"",
        "close 1008 rate",
    ];
    assert_eq!(lines, expected);
    assert_eq!(it.hub.tables().exchange_count(), 0);
}

#[test]
fn only_receiver_on_other_node_can_answer() {
    let (mut it, ann, bob) = pair();
    it.peer();
    let carl = it.open('c', false);
    assert_eq!(it.send(ann, "where", "@G:1"), ["peer 0: root where dst=@G:1 src=@a ?"]);
    assert_eq!(it.peer_sends("roomer:reply", "@H", "@a:1"), NOTHING, "forged");
    assert_eq!(it.peer_sends("roomer:reply", "@G", "@a:2"), NOTHING, "not asked");
    let reply = ["@a: root roomer:reply dst=@a:1 src=@G ?"];
    assert_eq!(it.peer_sends("roomer:reply", "@G", "@a:1"), reply);
    assert_eq!(it.peer_sends("roomer:reply", "@G", "@a:1"), NOTHING, "twice");
    // If the receiver has disconnected, its server answers in its place.
    it.send(ann, "where", "@G:2");
    assert_eq!(
        it.peer_sends("roomer:error", "", "@a:2"),
        ["@a: root roomer:error dst=@a:2 src= ?"]
    );
    assert_eq!(it.hub.rejected_peer_inputs().unasked, 3);
    // Send a request in the opposite direction, from the peer's guest.
    assert_eq!(it.peer_sends("where", "@G", "@b:1"), ["@b: root where dst=@b:1 src=@G ?"]);
    assert_eq!(
        it.send(bob, "roomer:reply", "@G:1"),
        ["peer 0: root roomer:reply dst=@G:1 src=@b ?"]
    );
    let plain = ["peer 0: root roomer:error dst=@G:2 src= \"plain\""];
    assert_eq!(it.peer_sends("where", "@G", "@c:2"), plain);
    let gone = ["peer 0: root roomer:error dst=@G:3 src= \"gone\""];
    assert_eq!(it.peer_sends("where", "@G", "@z:3"), gone);
    assert_eq!(it.peer_sends("where", "", "@b:1"), NOTHING, "servers do not ask other nodes");
    it.run(Input::Gone { conn: carl });
}
