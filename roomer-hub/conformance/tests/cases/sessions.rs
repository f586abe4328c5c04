//! Tests sessions of the extended protocol over real sockets.

use std::time::Duration;

use roomer_conformance::client::Client;
use roomer_conformance::http::{HttpRequest, dial};
use serde_json::Value;
use socket2::SockRef;

use super::test_server::TestServer;

/// A client with a session: its current socket, and the payload of its last `hello`.
pub(super) struct Session {
    pub(super) client: Client,
    hello: Value,
    /// The number of packets that the client has received in the session.
    received: u64,
}

impl Session {
    fn open(test: &TestServer, query: &str) -> Session {
        let request = HttpRequest::upgrade(test.addr).target(&format!("/ws?roomer=2{query}"));
        let mut stream = dial(test.addr);
        std::io::Write::write_all(&mut stream, &request.bytes()).unwrap();
        let mut client = Client::unread(stream);
        let hello = client.expect_packet();
        assert_eq!((&*hello.room, &*hello.event, &*hello.dst), ("root", "roomer:hello", ""));
        client.id.clone_from(&hello.src);
        let hello = serde_json::from_slice(&hello.payload).unwrap();
        Session { client, hello, received: 0 }
    }

    pub(super) fn new(test: &TestServer) -> Session {
        let mut session = Session::open(test, "");
        assert_eq!(session.hello["resumed"], false);
        let ack = session.client.expect_packet();
        session.client.root_members = session.client.snapshot("root", ack);
        session.received = 1;
        session
    }

    /// Resumes the session on a new socket.
    fn resume(self, test: &TestServer) -> Session {
        let (id, token) = (self.client.id.clone(), self.token());
        let next = Session::open(test, &format!("&session={token}&received={}", self.received));
        assert_eq!(next.hello["resumed"], true);
        assert_eq!(next.client.id, id);
        Session { received: self.received, ..next }
    }

    fn token(&self) -> String {
        self.hello["session"].as_str().unwrap().into()
    }

    fn expect_chat(&mut self, src: &str, payload: &[u8]) {
        self.client.expect("lobby", "chat", "", src, payload);
        self.received += 1;
    }
}

#[test]
fn hello_is_first_packet_and_contains_limits() {
    let test = TestServer::with(|builder| builder.max_message(70_000).max_rooms(7));
    let session = Session::new(&test);
    let hello = &session.hello;
    assert_eq!((&hello["version"], &hello["received"]), (&2.into(), &0.into()));
    assert_eq!((&hello["heartbeat"], &hello["resume"]), (&25_000.into(), &30_000.into()));
    assert_eq!(hello["limits"]["message"], 70_000);
    assert_eq!(hello["limits"]["rooms"], 7);
    assert_eq!(hello["limits"]["name"], 4096);
    assert_eq!(hello["limits"]["info"], 1024);
    assert_eq!(hello["limits"]["requests"], 64);
}

#[test]
fn session_resumes_after_reset_fin_and_on_second_socket() {
    let test = TestServer::start();
    let mut bob = test.roomless_client();
    bob.join("lobby");
    let mut ann = Session::new(&test);
    let members = ann.client.join("lobby");
    assert_eq!(members.len(), 2);
    ann.received += 1;
    bob.expect_new_member("lobby", &ann.client.id);
    let mut number = 0_u32;
    for way in ["reset", "fin", "nothing"].into_iter().cycle().take(9) {
        match way {
            "reset" => {
                // The assignment below drops the old socket, which sends a reset.
                SockRef::from(&ann.client.stream).set_linger(Some(Duration::ZERO)).unwrap();
                ann.client.stream = dial(test.addr);
            }
            "fin" => ann.client.shutdown_write(),
            _ => {}
        }
        // Some of these messages are sent before the server notices the loss, and some
        // after.
        for _ in 0..20 {
            bob.send_to_room("lobby", "chat", number.to_string().as_bytes());
            number += 1;
        }
        ann = ann.resume(&test);
        for sent in number - 20..number {
            ann.expect_chat(&bob.id, sent.to_string().as_bytes());
        }
        // Bob has not received a notice that Ann was away.
        ann.client.send_to_room("lobby", "chat", b"back");
        bob.expect("lobby", "chat", "", &ann.client.id, b"back");
    }
    assert_eq!(test.server.stats().sessions.resumed, 9);
}

#[test]
fn extended_members_get_info_and_plain_members_plain_notices() {
    let test = TestServer::start();
    let mut bob = test.client();
    let mut ann = Session::new(&test);
    let id = ann.client.id.clone();
    bob.expect_new_member("root", &id);
    let info = roomer_engine::Info::new(r#"{"name":"Bob"}"#).unwrap();
    assert_eq!(test.server.set_info(&*bob.id, info), Ok(true));
    let changed = format!(r#"{{"changed":[["{}",{{"name":"Bob"}}]]}}"#, bob.id);
    ann.client.expect("root", "roomer:members", "", "", changed.as_bytes());
    bob.send_to_room("root", "leave", b"");
    let left = format!(r#"{{"left":["{}"]}}"#, bob.id);
    ann.client.expect("root", "roomer:members", "", "", left.as_bytes());
    bob.expect_left("root");
    bob.join("root");
    let joined = format!(r#"{{"joined":[["{}",{{"name":"Bob"}}]]}}"#, bob.id);
    ann.client.expect("root", "roomer:members", "", "", joined.as_bytes());
    ann.client.close();
    bob.expect_member_left("root", &id);
}

#[test]
fn session_expires_after_window() {
    let test = TestServer::with(|builder| builder.resume_window(Duration::from_millis(50)));
    let mut bob = test.roomless_client();
    bob.join("lobby");
    let mut ann = Session::new(&test);
    ann.client.join("lobby");
    bob.expect_new_member("lobby", &ann.client.id);
    let (id, token) = (ann.client.id.clone(), ann.token());
    ann.client.reset();
    bob.expect_member_left("lobby", &id);
    let again = Session::open(&test, &format!("&session={token}&received=2"));
    assert_eq!(again.hello["resumed"], false);
    assert_ne!(again.client.id, id);
}

#[test]
fn returning_client_gets_final_close_of_its_session() {
    let test = TestServer::start();
    for is_detached in [false, true] {
        let ann = Session::new(&test);
        let (id, token) = (ann.client.id.clone(), ann.token());
        if is_detached {
            ann.client.reset();
            while test.server.stats().sessions.detached == 0 {
                std::thread::yield_now();
            }
        }
        assert!(test.server.disconnect(&*id, 4001, "banned"));
        let target = format!("/ws?roomer=2&session={token}&received=1");
        let mut stream = dial(test.addr);
        let request = HttpRequest::upgrade(test.addr).target(&target);
        std::io::Write::write_all(&mut stream, &request.bytes()).unwrap();
        assert_eq!(Client::unread(stream).expect_close(4001), "banned");
    }
    assert_eq!(test.server.stats().sessions.refused.closed, 2);
}

#[test]
fn close_frame_ends_session_immediately() {
    let test = TestServer::start();
    let mut bob = test.roomless_client();
    bob.join("lobby");
    let mut ann = Session::new(&test);
    ann.client.join("lobby");
    bob.expect_new_member("lobby", &ann.client.id);
    let id = ann.client.id.clone();
    ann.client.close();
    bob.expect_member_left("lobby", &id);
}

#[test]
fn shutdown_sends_reconnect_hint_to_extended_clients() {
    let mut test = TestServer::start();
    let mut bob = test.roomless_client();
    let mut ann = Session::new(&test);
    test.server.shutdown();
    let reason = ann.client.expect_close(1012);
    let wait: u64 = reason.strip_prefix("retry=").unwrap().parse().unwrap();
    assert!(wait <= 10_000);
    bob.expect_close(1001);
    drop((ann, bob));
    test.stop();
}
