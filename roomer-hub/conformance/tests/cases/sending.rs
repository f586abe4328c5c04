//! Tests sending from handlers, and through the handles of connections.

use std::sync::{Arc, Mutex};

use roomer_engine::{Builder, Conn};

use super::test_server::{TestServer, expect_nothing, join_all};
use roomer_conformance::client::Client;
use roomer_conformance::wire;

/// Keeps the handle of the last connection that has sent the event `keep`.
struct Kept(Arc<Mutex<Option<Conn>>>);

impl Kept {
    fn test(choose: impl FnOnce(Builder) -> Builder) -> (TestServer, Kept) {
        let kept = Arc::new(Mutex::new(None));
        let slot = kept.clone();
        let test = TestServer::with(|builder| {
            choose(builder).on("keep", move |conn, _| {
                *slot.lock().unwrap() = Some(conn.clone());
                Ok(())
            })
        });
        (test, Kept(kept))
    }

    /// Returns the handle of a client's connection. The client must be a member of this room.
    fn handle(&self, client: &mut Client, room: &str) -> Conn {
        client.send_to_room(room, "keep", b"");
        client.expect_nothing();
        self.0.lock().unwrap().take().expect("the handler has run")
    }
}

/// Starts a server with a handler that sends a message to the room in its payload.
fn relay() -> TestServer {
    TestServer::with(|builder| {
        builder.on("relay", |conn, message| {
            let room = std::str::from_utf8(message.payload)?;
            conn.send_to_room(room, "relayed", b"payload");
            Ok(())
        })
    })
}

#[test]
fn send_to_room_reaches_all_members_except_sender() {
    let test = relay();
    let [mut a, mut b, mut c] = test.clients_in("lobby");
    a.send_to_room("lobby", "relay", b"lobby");
    b.expect("lobby", "relayed", "", &a.id, b"payload");
    c.expect("lobby", "relayed", "", &a.id, b"payload");
    expect_nothing([&mut a, &mut b, &mut c]);
}

#[test]
fn send_to_room_needs_no_membership() {
    let test = relay();
    let [mut a] = test.clients_in("lobby");
    let [mut b, mut c] = test.clients_in("elsewhere");
    a.send_to_room("lobby", "relay", b"elsewhere");
    b.expect("elsewhere", "relayed", "", &a.id, b"payload");
    c.expect("elsewhere", "relayed", "", &a.id, b"payload");
    a.expect_nothing();
}

#[test]
fn send_to_unknown_room_is_dropped() {
    let test = relay();
    let [mut a] = test.clients_in("lobby");
    a.send_to_room("lobby", "relay", b"nowhere");
    a.expect_nothing();
    assert_eq!(test.server.stats().rooms, 1);
}

#[test]
fn send_to_client_uses_room_root_and_own_id() {
    let test = TestServer::with(|builder| {
        builder.on("pass", |conn, message| {
            conn.send_to_client(std::str::from_utf8(message.payload)?, "passed", b"payload");
            Ok(())
        })
    });
    let [mut a, mut b] = test.clients_in("lobby");
    let (own, other) = (a.id.clone(), b.id.clone());
    a.send_to_room("lobby", "pass", other.as_bytes());
    b.expect("root", "passed", &other, &own, b"payload");
    a.send_to_room("lobby", "pass", own.as_bytes());
    a.expect("root", "passed", &own, &own, b"payload");
    a.send_to_room("lobby", "pass", b"nobody");
    a.send_to_room("lobby", "pass", other.to_ascii_uppercase().replace('-', "").as_bytes());
    a.expect_nothing();
    b.expect_nothing();
}

#[test]
fn send_raw_sends_bytes_unchanged() {
    let (test, kept) = Kept::test(|builder| builder);
    let mut client = test.client();
    let conn = kept.handle(&mut client, "root");
    for bytes in [&b""[..], b"no packet", &wire::filler(70_000)] {
        assert!(conn.send_raw(bytes));
        assert_eq!(client.expect_message(), bytes);
    }
}

#[test]
fn messages_of_one_handler_arrive_in_order() {
    let test = TestServer::with(|builder| {
        builder.on("go", |conn, message| {
            for n in 0..50u8 {
                conn.send_to_client(message.src, "n", [n]);
                assert!(conn.send_raw(wire::packet([b"raw", b"n", b"", b"", &[n]])));
                conn.send_to_room("lobby", "n", [n]);
            }
            Ok(())
        })
    });
    let [mut a, mut b] = test.clients_in("lobby");
    a.send_to_room("lobby", "go", b"");
    a.send_to_room("lobby", "done", b"");
    let id = a.id.clone();
    for n in 0..50 {
        a.expect("root", "n", &id, &id, &[n]);
        a.expect("raw", "n", "", "", &[n]);
        b.expect("lobby", "n", "", &id, &[n]);
    }
    b.expect("lobby", "done", "", &id, b"");
}

#[test]
fn handle_works_from_any_thread() {
    let (test, kept) = Kept::test(|builder| builder);
    let [mut a, mut b] = test.clients_in("lobby");
    let conn = kept.handle(&mut a, "lobby");
    assert_eq!(conn.id().to_string(), a.id);
    let (own, other) = (a.id.clone(), b.id.clone());
    let to = other.clone();
    std::thread::spawn(move || {
        conn.send_to_room("lobby", "timer", b"1");
        conn.send_to_client(&to, "timer", b"2");
        assert!(conn.send_raw(wire::packet([b"r", b"e", b"", b"", b"3"])));
    })
    .join()
    .unwrap();
    b.expect("lobby", "timer", "", &own, b"1");
    b.expect("root", "timer", &other, &own, b"2");
    a.expect("r", "e", "", "", b"3");
}

#[test]
fn handle_can_close_connection() {
    let (test, kept) = Kept::test(|builder| builder);
    let [mut witness, mut client] = test.clients_in("lobby");
    let conn = kept.handle(&mut client, "lobby");
    conn.close(4000, "kicked");
    assert_eq!(client.expect_close(4000), "kicked");
    witness.expect_member_left("lobby", &client.id);
    conn.close(4001, "again");
    witness.expect_nothing();
}

#[test]
fn handle_of_closed_connection_is_inert() {
    let (test, kept) = Kept::test(|builder| builder);
    let [mut a, mut b] = test.clients_in("lobby");
    let conn = kept.handle(&mut a, "lobby");
    let (own, other) = (a.id.clone(), b.id.clone());
    a.close();
    b.expect_member_left("lobby", &own);
    conn.send_to_room("lobby", "ghost", b"");
    conn.send_to_client(&other, "ghost", b"");
    assert!(!conn.send_raw(b"ghost"));
    conn.close(4000, "");
    b.expect_nothing();
}

#[test]
fn send_raw_returns_false_when_queue_is_full() {
    let (test, kept) = Kept::test(|builder| builder.max_backlog(100_000));
    let mut client = test.client();
    let conn = kept.handle(&mut client, "root");
    let chunk = wire::filler(50_000);
    // Besides the backlog, the buffers of the kernel accept a few megabytes at most.
    let taken = (0..10_000).take_while(|_| conn.send_raw(&chunk)).count();
    assert!(taken >= 2, "less than the backlog was taken: {taken}");
    assert!(taken < 2_000, "without end");
    drop(client);
    test.wait_for_drain();
}

/// Starts a server with a handler in which another member sends to the lobby. The server handles
/// that message together with the calling client's next request. Returns the server, the client,
/// the sender and the other members.
fn puppets(others: usize) -> (TestServer, Client, Client, Vec<Client>) {
    let kept: Arc<Mutex<Option<Conn>>> = Arc::default();
    let slot = kept.clone();
    let test = TestServer::with(|builder| {
        builder
            .on("keep", move |conn, _| {
                *slot.lock().unwrap() = Some(conn.clone());
                Ok(())
            })
            .on("pull", move |_, message| {
                let speaker = kept.lock().unwrap();
                speaker.as_ref().ok_or("nobody")?.send_to_room("lobby", "said", message.payload);
                Ok(())
            })
    });
    let mut all: Vec<Client> = (0..others + 2).map(|_| test.roomless_client()).collect();
    join_all("lobby", &mut all);
    let (mut puppeteer, mut speaker) = (all.remove(0), all.remove(0));
    puppeteer.join("strings");
    speaker.send_to_room("lobby", "keep", b"");
    speaker.expect_nothing();
    (test, puppeteer, speaker, all)
}

#[test]
fn leave_ack_follows_all_earlier_messages() {
    for others in [0, 20] {
        let (_site, mut puppeteer, speaker, others) = puppets(others);
        let talk = [
            wire::to_room("lobby", "pull", b"in lobby"),
            wire::to_room("lobby", "leave", b""),
            wire::to_room("strings", "pull", b"in strings"),
        ];
        puppeteer.send(&talk.concat());
        puppeteer.expect("lobby", "said", "", &speaker.id, b"in lobby");
        puppeteer.expect_left("lobby");
        puppeteer.expect_nothing();
        for mut other in others {
            other.expect("lobby", "said", "", &speaker.id, b"in lobby");
            other.expect_member_left("lobby", &puppeteer.id);
            other.expect("lobby", "said", "", &speaker.id, b"in strings");
        }
    }
}

#[test]
fn joining_client_receives_no_earlier_messages() {
    for others in [0, 20] {
        let (_site, mut puppeteer, mut speaker, others) = puppets(others);
        puppeteer.leave("lobby");
        speaker.expect_member_left("lobby", &puppeteer.id);
        let talk = [
            wire::to_room("strings", "pull", b"in strings"),
            wire::to_room("lobby", "join", b""),
            wire::to_room("lobby", "pull", b"in lobby"),
        ];
        puppeteer.send(&talk.concat());
        let ack = puppeteer.expect_packet();
        assert_eq!(puppeteer.snapshot("lobby", ack).len(), others.len() + 2);
        puppeteer.expect("lobby", "said", "", &speaker.id, b"in lobby");
        puppeteer.expect_nothing();
        for mut other in others {
            other.expect_member_left("lobby", &puppeteer.id);
            other.expect("lobby", "said", "", &speaker.id, b"in strings");
            other.expect_new_member("lobby", &puppeteer.id);
            other.expect("lobby", "said", "", &speaker.id, b"in lobby");
        }
    }
}
