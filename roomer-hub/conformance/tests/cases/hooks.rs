//! Tests the hooks for connects, joins, leaves and disconnects.

use std::sync::{Arc, Mutex};

use roomer_engine::ConnId;
use roomer_engine::{Builder, DisconnectReason};

use super::test_server::TestServer;
use roomer_conformance::client::{Client, Received};
use roomer_conformance::wire;

/// The calls of hooks in order, each with the id of its connection.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<(ConnId, String)>>>);

impl Diary {
    fn note(&self, who: ConnId, what: impl Into<String>) {
        self.0.lock().unwrap().push((who, what.into()));
    }

    fn of(&self, who: &str) -> Vec<String> {
        let diary = self.0.lock().unwrap();
        let entries = diary.iter().filter(|entry| entry.0.as_str() == who);
        entries.map(|entry| entry.1.clone()).collect()
    }

    fn kept_by(&self, builder: Builder) -> Builder {
        let [a, b, c, d] = [(); 4].map(|()| self.clone());
        builder
            .on_connect(move |conn| a.note(conn.id(), "connect"))
            .on_join(move |conn, room| b.note(conn.id(), format!("join {room}")))
            .on_leave(move |conn, room| c.note(conn.id(), format!("leave {room}")))
            .on_disconnect(move |conn, reason| d.note(conn.id(), reason.to_string()))
    }
}

#[test]
fn hooks_run_in_order_of_events() {
    let diary = Diary::default();
    let test = TestServer::with(|builder| diary.kept_by(builder));
    let mut a = test.client();
    a.join("lobby");
    a.leave("lobby");
    a.join("garden");
    let id = a.id.clone();
    a.close();
    test.wait_for_drain();
    let received = diary.of(&id);
    let due = ["connect", "join root", "join lobby", "leave lobby", "join garden"];
    assert_eq!(received[..5], due);
    let mut left = received[5..7].to_vec();
    left.sort_unstable();
    assert_eq!(left, ["leave garden", "leave root"]);
    assert_eq!(received[7..], ["closed by the client with 1000"]);
}

#[test]
fn disconnect_hook_gets_reason() {
    let diary = Diary::default();
    let test =
        TestServer::with(|builder| diary.kept_by(builder).on("fail", |_, _| panic!("as planned")));
    type End = fn(&mut Client);
    let ends: [(&str, End); 4] = [
        ("closed by the client without a code", |client| client.send(&wire::frame(0x88, b""))),
        ("the connection was lost", |client| client.shutdown_write()),
        ("closed by the server with 1002", |client| client.send(&wire::frame(0x83, b""))),
        ("closed by the server with 1011", |client| client.send_to_room("root", "fail", b"")),
    ];
    for (reason, end) in ends {
        let mut client = test.client();
        end(&mut client);
        while !matches!(client.receive(), Received::End | Received::Reset) {}
        let id = client.id.clone();
        drop(client);
        test.wait_for_drain();
        assert_eq!(diary.of(&id).last().map(String::as_str), Some(reason));
    }
    let by_code = DisconnectReason::ByServer(4321).to_string();
    let mut client = test.client();
    assert!(test.server.disconnect(ConnId::parse(&client.id).unwrap(), 4321, ""));
    client.expect_close(4321);
    let id = client.id.clone();
    drop(client);
    test.wait_for_drain();
    assert_eq!(diary.of(&id).last(), Some(&by_code));
}

#[test]
fn hooks_may_send_and_use_server() {
    let test = TestServer::with(|builder| {
        builder.on_connect(|conn| conn.send_to_client(conn.id().as_str(), "welcome", b"")).on_join(
            |conn, room| {
                if room == "lobby" {
                    conn.join("garden");
                    conn.server().broadcast("garden", "came", conn.id().as_str().as_bytes());
                }
            },
        )
    });
    let mut a = test.client();
    let id = a.id.clone();
    a.expect("root", "welcome", &id, &id, b"");
    a.join("lobby");
    let ack = a.expect_packet();
    a.snapshot("garden", ack);
    a.expect("garden", "came", "", "", id.as_bytes());
    a.expect_nothing();
}

#[test]
fn hook_panic_closes_its_connection() {
    let test = TestServer::with(|builder| {
        builder.on_join(|_, room| assert_ne!(room, "trap", "as planned"))
    });
    let [mut a, mut b] = test.roomless_clients();
    a.send_to_room("trap", "join", b"");
    let ack = a.expect_packet();
    a.snapshot("trap", ack);
    a.expect_close(1011);
    b.expect_nothing();
    assert_eq!(test.server.stats().panics, 1);
}

#[test]
fn shutdown_calls_disconnect_hook() {
    let diary = Diary::default();
    let mut test = TestServer::with(|builder| diary.kept_by(builder));
    let mut a = test.client();
    test.server.shutdown();
    a.expect_close(1001);
    test.stop();
    assert_eq!(diary.of(&a.id).last().map(String::as_str), Some("closed by the server with 1001"));
}
