//! Tests methods of `Server` that are called outside handlers.

use roomer_engine::Claims;
use roomer_engine::ConnId;

use super::test_server::{TestServer, expect_nothing};
use roomer_conformance::client::Client;
use roomer_conformance::http::{HttpRequest, dial};

fn id(client: &Client) -> ConnId {
    ConnId::parse(&client.id).unwrap()
}

fn stranger() -> ConnId {
    ConnId::from_random_bytes([7; 16])
}

#[test]
fn broadcast_reaches_every_member_or_all_but_one() {
    let test = TestServer::start();
    let [mut a, mut b] = test.clients_in("lobby");
    let mut outside = test.roomless_client();
    test.server.broadcast("lobby", "news", b"one");
    a.expect("lobby", "news", "", "", b"one");
    b.expect("lobby", "news", "", "", b"one");
    test.server.broadcast_except(id(&a), "lobby", "news", b"two");
    b.expect("lobby", "news", "", "", b"two");
    test.server.broadcast_except(stranger(), "lobby", "news", b"three");
    a.expect("lobby", "news", "", "", b"three");
    b.expect("lobby", "news", "", "", b"three");
    test.server.broadcast("nowhere", "news", b"");
    expect_nothing([&mut a, &mut b, &mut outside]);
}

#[test]
fn direct_send_reaches_client_by_id() {
    let test = TestServer::start();
    let [mut a, mut b] = test.roomless_clients();
    assert!(test.server.send(id(&a), "hello", b"you"));
    let own = a.id.clone();
    a.expect("root", "hello", &own, "", b"you");
    assert!(!test.server.send(stranger(), "hello", b""));
    expect_nothing([&mut a, &mut b]);
}

#[test]
fn server_side_join_kick_and_move_send_regular_notices() {
    let test = TestServer::start();
    let [mut a] = test.clients_in("lobby");
    let mut b = test.roomless_client();
    assert!(test.server.join(id(&b), "lobby"));
    let ack = b.expect_packet();
    assert_eq!(b.snapshot("lobby", ack).len(), 2);
    a.expect_new_member("lobby", &b.id);
    assert!(test.server.kick(id(&b), "lobby"));
    b.expect_left("lobby");
    a.expect_member_left("lobby", &b.id);
    // A client that was removed may join again, unless a rule denies it.
    b.join("lobby");
    a.expect_new_member("lobby", &b.id);
    assert!(test.server.move_to(id(&b), "lobby", "garden"));
    b.expect_left("lobby");
    let ack = b.expect_packet();
    assert_eq!(b.snapshot("garden", ack), [b.id.clone()]);
    a.expect_member_left("lobby", &b.id);
    assert!(!test.server.move_to(id(&b), "lobby", "cellar"), "it is not in the lobby");
    for done in [
        test.server.join(stranger(), "lobby"),
        test.server.kick(stranger(), "lobby"),
        test.server.move_to(stranger(), "lobby", "garden"),
        test.server.disconnect(stranger(), 1000, ""),
    ] {
        assert!(!done, "there is no such connection");
    }
    expect_nothing([&mut a, &mut b]);
}

#[test]
fn disconnect_sends_code_and_reason_after_queued_messages() {
    let test = TestServer::start();
    let [mut a, mut b] = test.clients_in("lobby");
    assert!(test.server.send(id(&a), "last", b"words"));
    assert!(test.server.disconnect(id(&a), 4001, "enough"));
    let own = a.id.clone();
    a.expect("root", "last", &own, "", b"words");
    assert_eq!(a.expect_close(4001), "enough");
    b.expect_member_left("lobby", &a.id);
    assert!(!test.server.send(id(&a), "hello", b""));
    assert_eq!(test.server.stats().closes.get(&4001), Some(&1));
}

#[test]
fn rooms_members_and_claims_can_be_queried() {
    let test = TestServer::with(|builder| {
        builder.authorize(|request| {
            let name = request.query("name").unwrap_or_default();
            Ok(Claims::from([("name".into(), name.into_owned())]))
        })
    });
    let mut ann =
        Client::upgrade(dial(test.addr), &HttpRequest::upgrade(test.addr).target("/ws?name=ann"));
    let [bob] = test.clients_in("lobby");
    ann.expect_new_member("root", &bob.id);
    ann.expect_member_left("root", &bob.id);
    ann.join("lobby");
    let server = &test.server;
    assert_eq!(server.rooms(), [("lobby".to_owned(), 2), ("root".to_owned(), 1)]);
    assert_eq!((server.member_count("lobby"), server.member_count("nowhere")), (2, 0));
    let mut members = server.members("lobby");
    members.sort_unstable();
    let mut due = [id(&ann), id(&bob)];
    due.sort_unstable();
    assert_eq!(members, due);
    assert!(server.members("nowhere").is_empty());
    let conn = server.conn(id(&ann)).unwrap();
    assert_eq!(&conn.claims().unwrap()["name"], "ann");
    assert_eq!(conn.peer(), Some(ann.stream.local_addr().unwrap()));
    assert_eq!(conn.rooms(), ["root", "lobby"]);
    assert!(conn.is_open());
    assert!(server.conn(stranger()).is_none());
    let mut all: Vec<ConnId> = server.conns().iter().map(|conn| conn.id()).collect();
    all.sort_unstable();
    assert_eq!(all, due);
    ann.close();
    assert!(!conn.is_open());
    assert!(conn.rooms().is_empty());
    assert_eq!(&conn.claims().unwrap()["name"], "ann", "the handle remembers");
}

#[test]
fn connection_data_and_server_state_are_kept() {
    #[derive(Debug, PartialEq)]
    struct Score(u32);
    struct Bonus(u32);
    let test = TestServer::with(|builder| {
        builder.state(Bonus(10)).on("win", |conn, message| {
            let before = conn.get::<Score>().map_or(0, |score| score.0);
            conn.set(Score(before + conn.state::<Bonus>().0));
            conn.send_to_client(message.src, "score", conn.get::<Score>().unwrap().0.to_be_bytes());
            Ok(())
        })
    });
    let mut a = test.client();
    for score in [10u32, 20] {
        a.send_to_room("root", "win", b"");
        let own = a.id.clone();
        a.expect("root", "score", &own, &own, &score.to_be_bytes());
    }
    let conn = test.server.conn(id(&a)).unwrap();
    assert_eq!(conn.get::<Score>().as_deref(), Some(&Score(20)));
    assert_eq!(conn.set(Score(1)).as_deref(), Some(&Score(20)));
    assert!(conn.get::<String>().is_none());
    assert_eq!(test.server.state::<Bonus>().0, 10);
}

#[test]
fn servers_in_one_process_are_isolated() {
    let [one, other] = [TestServer::start(), TestServer::start()];
    let mut a = one.client();
    let mut b = other.client();
    assert_eq!((a.root_members.len(), b.root_members.len()), (1, 1));
    assert!(!one.server.send(id(&b), "hello", b""));
    one.server.broadcast("root", "news", b"");
    a.expect("root", "news", "", "", b"");
    expect_nothing([&mut a, &mut b]);
}

#[test]
fn delivered_messages_are_counted() {
    let test = TestServer::with(|builder| builder.on("fail", |_, _| Err("no".into())));
    let [mut a, mut b] = test.clients_in("lobby");
    let before = test.server.stats();
    assert_eq!((before.connections, before.rooms, before.memberships), (2, 1, 2));
    a.send_to_room("lobby", "chat", b"hi");
    let own = a.id.clone();
    b.expect("lobby", "chat", "", &own, b"hi");
    a.send_to_room("lobby", "fail", b"");
    expect_nothing([&mut a]);
    let after = test.server.stats();
    // The server has received the chat message, the message whose handler fails, and the fence. It
    // has sent the first and the last of them.
    assert_eq!(after.messages_in - before.messages_in, 3);
    assert_eq!(after.messages_out - before.messages_out, 2);
    assert_eq!(after.handler_errors, 1);
    let chat = roomer_conformance::wire::to_room("lobby", "chat", b"hi").len() as u64;
    assert!(after.bytes_in - before.bytes_in > chat);
    assert_eq!(after.opened, 2);
    a.close();
    b.reset();
    test.wait_for_drain();
    let last = test.server.stats();
    assert_eq!((last.closed_by_peer, last.lost), (1, 1));
    assert!(last.bytes_out - before.bytes_out > chat, "counted once the sockets have taken it");
    assert_eq!(last.queued_bytes, 0);
    assert!(test.server.slowest(10).is_empty());
}
