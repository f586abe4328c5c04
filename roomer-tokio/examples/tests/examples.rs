//! Tests the examples over real sockets. The conformance tests cover the TLS example.
#![allow(clippy::unwrap_used, reason = "test helpers")]

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use roomer_conformance::client::{Client, Received};
use roomer_conformance::http::{HttpRequest, HttpResponse, dial};
use roomer_conformance::port::own_port;
use roomer_tokio_examples::{admin, axum, bot, invitation, jwt, ticker};

/// An example that is running.
struct Example {
    addr: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<(), String>>,
}

impl Example {
    /// Starts an example. It runs until the future that is passed to it is ready.
    fn start<E: ToString>(
        run: impl AsyncFnOnce(TcpListener, Stop) -> Result<(), E> + Send + 'static,
    ) -> Example {
        Example::start_at(([127, 0, 0, 1], 0).into(), run)
    }

    fn start_at<E: ToString>(
        addr: SocketAddr,
        run: impl AsyncFnOnce(TcpListener, Stop) -> Result<(), E> + Send + 'static,
    ) -> Example {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind(addr)).unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped: Stop = Box::pin(async { drop(stopped.await) });
        let thread = thread::spawn(move || {
            runtime.block_on(run(listener, stopped)).map_err(|error| error.to_string())
        });
        Example { addr, stop, thread }
    }

    /// Connects a client that leaves `root`, so that it receives no notices about other clients.
    fn roomless_client(&self) -> Client {
        let mut client = Client::connect(self.addr);
        client.send_to_room("root", "leave", b"");
        while client.expect_packet().event != "leave_ack" {}
        client
    }

    fn upgrade(&self, ask: &HttpRequest) -> Client {
        Client::upgrade(dial(self.addr), ask)
    }

    /// Sends an HTTP request. Returns the status and the body of the response.
    fn ask(&self, ask: &HttpRequest, body: &str) -> (u16, String) {
        let ask = ask.clone().add("Connection", "close");
        let ask = ask.add("Content-Length", &body.len().to_string());
        let mut stream = dial(self.addr);
        stream.write_all(&[&ask.bytes(), body.as_bytes()].concat()).unwrap();
        let (answer, mut body) = HttpResponse::read_head(&mut stream);
        stream.read_to_end(&mut body).unwrap();
        (answer.status, String::from_utf8(body).unwrap())
    }

    fn get(&self, target: &str, token: &str) -> (u16, String) {
        self.ask(&bearer(HttpRequest::plain(self.addr).target(target), token), "")
    }

    fn post(&self, target: &str, token: &str, body: &str) -> u16 {
        self.ask(&bearer(HttpRequest::plain(self.addr).target(target).method("POST"), token), body)
            .0
    }

    /// Stops the example, and checks that it closes all of its clients.
    fn stop<const N: usize>(self, clients: [&mut Client; N]) {
        self.stop.send(()).unwrap();
        for client in clients {
            let close = loop {
                match client.receive() {
                    Received::Packet(_) => {}
                    other => break other,
                }
            };
            assert_eq!(close, Received::Close(Some(1001), "server is going away".into()));
            // The connection may have ended before the close frame is sent, so ignore an error.
            let _ = client.stream.write_all(&roomer_conformance::wire::close(1001, ""));
        }
        self.thread.join().unwrap().unwrap();
    }
}

type Stop = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

fn bearer(ask: HttpRequest, token: &str) -> HttpRequest {
    ask.add("Authorization", &format!("Bearer {token}"))
}

#[test]
fn axum_state_and_middleware_are_shared() {
    let example = Example::start(async |listener, stop| {
        axum::run(listener, "let me", stop).await.map_err(|error| error.to_string())
    });
    let mut ann = example.upgrade(&HttpRequest::upgrade(example.addr).add("X-Name", "ann"));
    let mut nobody = Client::connect(example.addr);
    ann.expect_new_member("root", &nobody.id);
    for (client, name) in [(&mut ann, "ann"), (&mut nobody, "nobody")] {
        client.send_to_room("root", "whoami", b"");
        assert_eq!(client.expect_packet().payload, name.as_bytes());
    }
    ann.join("lobby");
    assert_eq!(example.get("/stats", ""), (200, "2 connections in 2 rooms\n".into()));
    example.stop([&mut ann, &mut nobody]);
}

#[test]
fn axum_example_lets_administrators_kick() {
    let example = Example::start(async |listener, stop| {
        axum::run(listener, "let me", stop).await.map_err(|error| error.to_string())
    });
    let (mut ann, mut bob) = (example.roomless_client(), example.roomless_client());
    ann.join("the lobby");
    bob.join("the lobby");
    ann.expect_new_member("the lobby", &bob.id);
    let kick = format!("/rooms/the%20lobby/kick/{}", bob.id);
    for token in ["", "let m", "let me in"] {
        assert_eq!(example.post(&kick, token, ""), 401);
    }
    bob.expect_nothing();
    let stranger = "/rooms/lobby/kick/00000000-0000-4000-8000-000000000000";
    for nobody in [stranger, "/rooms/lobby/kick/bob"] {
        assert_eq!(example.post(nobody, "let me", ""), 404);
    }
    assert_eq!(example.post(&kick, "let me", ""), 204);
    bob.expect_left("the lobby");
    ann.expect_member_left("the lobby", &bob.id);
    example.stop([&mut ann, &mut bob]);
}

#[test]
fn jwt_example_accepts_only_valid_tokens() {
    let secret = b"a secret of the test's";
    let example = Example::start(async |listener, stop| {
        jwt::run(listener, b"a secret of the test's", stop).await.map_err(|e| e.to_string())
    });
    let now = jsonwebtoken::get_current_timestamp();
    let good = jwt::issue(secret, "ann", now + 3600).unwrap();
    let plain = HttpRequest::upgrade(example.addr);
    let by_query = plain.clone().target(&format!("/ws?token={good}"));
    for ask in [by_query, bearer(plain.clone(), &good)] {
        let mut ann = example.upgrade(&ask);
        ann.send_to_room("root", "whoami", b"");
        assert_eq!(ann.expect_packet().payload, b"ann");
        ann.close();
    }
    let (head, body_and_signature) = good.split_once('.').unwrap();
    let (body, signature) = body_and_signature.split_once('.').unwrap();
    let other = jwt::issue(secret, "eve", now + 3600).unwrap();
    let others_body = other.split('.').nth(1).unwrap();
    // The header of the token is `{"alg":"none"}`.
    let none = format!("eyJhbGciOiJub25lIn0.{body}.");
    for (what, token) in [
        ("expired", jwt::issue(secret, "ann", now - 3600).unwrap()),
        ("signed with another secret", jwt::issue(b"another secret", "ann", now + 3600).unwrap()),
        ("of another's claims", format!("{head}.{others_body}.{signature}")),
        ("unsigned", none),
        ("cut", format!("{head}.{body}")),
        ("none at all", String::new()),
    ] {
        let answer = bearer(plain.clone(), &token).rejected(example.addr);
        assert_eq!(answer.status, 401, "{what}");
        let answer = plain.clone().target(&format!("/ws?token={token}")).rejected(example.addr);
        assert_eq!(answer.status, 401, "{what}");
    }
    assert_eq!(plain.rejected(example.addr).body, b"a token, please\n");
    example.stop([]);
}

#[test]
fn private_room_admits_invited_clients() {
    let example = Example::start(async |listener, stop| {
        invitation::run(listener, stop).await.map_err(|error| error.to_string())
    });
    let [mut ann, mut bob, mut eve] = std::array::from_fn(|_| example.roomless_client());
    let den = "private:den";
    ann.join(den);
    for uninvited in [&mut bob, &mut eve] {
        uninvited.send_to_room(den, "join", b"");
        uninvited.expect_left(den);
    }
    // Only the owner can invite clients, and only by their ids.
    ann.send_to_room(den, "invite", b"bob");
    ann.send_to_room(den, "invite", bob.id.as_bytes());
    bob.expect("root", "invited", &bob.id.clone(), &ann.id, den.as_bytes());
    assert_eq!(bob.join(den).len(), 2);
    ann.expect_new_member(den, &bob.id);
    bob.send_to_room(den, "invite", eve.id.as_bytes());
    bob.expect_nothing();
    eve.send_to_room(den, "join", b"");
    eve.expect_left(den);
    // A guest may join again after a leave. Other rooms are open to all clients.
    bob.send_to_room(den, "leave", b"");
    bob.expect_left(den);
    ann.expect_member_left(den, &bob.id);
    assert_eq!(bob.join(den).len(), 2);
    ann.expect_new_member(den, &bob.id);
    eve.join("lobby");
    // When the owner leaves, the room and its invitations end. The next client that joins becomes
    // the owner.
    ann.send_to_room(den, "leave", b"");
    ann.expect_left(den);
    bob.expect_member_left(den, &ann.id);
    bob.expect_left(den);
    eve.join(den);
    bob.send_to_room(den, "join", b"");
    bob.expect_left(den);
    example.stop([&mut ann, &mut bob, &mut eve]);
}

#[test]
fn administrators_list_rooms_kick_and_disconnect() {
    let example = Example::start(async |listener, stop| {
        admin::run(listener, "secret", stop).await.map_err(|error| error.to_string())
    });
    let (status, page) = example.get("/admin", "");
    assert!(status == 200 && page.contains("<title>Rooms</title>") && !page.contains("secret"));
    let odd = "<b>a/b</b> \"ü\"";
    let [mut ann, mut bob] = std::array::from_fn(|_| example.roomless_client());
    ann.join(odd);
    bob.join(odd);
    ann.expect_new_member(odd, &bob.id);
    let (kick, end) = (format!("/admin/kick/{}", bob.id), format!("/admin/disconnect/{}", bob.id));
    assert_eq!(example.get("/admin/state", "wrong").0, 401);
    assert_eq!(example.post(&kick, "wrong", odd), 401);
    assert_eq!(example.post(&end, "", ""), 401);
    let (status, state) = example.get("/admin/state", "secret");
    let state: Value = serde_json::from_str(&state).unwrap();
    assert_eq!((status, &state["connections"], &state["rooms"]), (200, &2.into(), &1.into()));
    let room = &state["largest"][0];
    assert_eq!((&room["name"], &room["count"]), (&odd.into(), &2.into()));
    let members = room["members"].as_array().unwrap();
    assert!(members.contains(&(&*ann.id).into()) && members.contains(&(&*bob.id).into()));
    // A client may read bytes before the server has counted them as written, so ask repeatedly.
    let has_no_slow_connections = |_| {
        let (_, state) = example.get("/admin/state", "secret");
        let state: Value = serde_json::from_str(&state).unwrap();
        state["slowest"] == Value::Array(Vec::new())
    };
    assert!((0..1000).any(has_no_slow_connections));
    assert_eq!(example.post(&kick, "secret", odd), 204);
    bob.expect_left(odd);
    ann.expect_member_left(odd, &bob.id);
    assert_eq!(example.post(&end, "secret", ""), 204);
    assert_eq!(bob.expect_close(4000), "by an administrator");
    assert_eq!(example.post(&end, "secret", ""), 404);
    drop(bob);
    example.stop([&mut ann]);
}

#[test]
fn administrators_see_slow_connections() {
    let example = Example::start(async |listener, stop| {
        admin::run(listener, "secret", stop).await.map_err(|error| error.to_string())
    });
    let (stuck, mut sender) = (example.roomless_client(), example.roomless_client());
    // Send more bytes than the sockets buffer, but fewer than the server may queue.
    let is_shown = (0..100).any(|_| {
        sender.send_to_client(&stuck.id, "root", "note", &[0; 128 * 1024]);
        sender.expect_nothing();
        let (_, state) = example.get("/admin/state", "secret");
        let state: Value = serde_json::from_str(&state).unwrap();
        let mut slowest = state["slowest"].as_array().unwrap().iter();
        slowest.any(|slow| slow["id"] == *stuck.id && slow["bytes"].as_u64() > Some(0))
    });
    assert!(is_shown);
    drop(stuck);
    example.stop([&mut sender]);
}

#[test]
fn ticker_sends_ticks() {
    let example = Example::start(async |listener, stop| {
        ticker::run(listener, stop).await.map_err(|error| error.to_string())
    });
    roomer_conformance::game::play(example.addr);
    example.stop([]);
}

/// Serves the chat to which the bot connects.
async fn chat(listener: TcpListener, stop: Stop) -> std::io::Result<()> {
    roomer_tokio::serve_until(listener, roomer_tokio::Server::builder().build().unwrap(), stop)
        .await
}

#[test]
fn bot_answers_and_reconnects() {
    // Later in the test, another server is started at the same address.
    let server = Example::start_at(([127, 0, 0, 1], own_port()).into(), chat);
    let addr = server.addr;
    let (stop, stopped) = oneshot::channel::<()>();
    let bot = thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let ran = runtime.block_on(bot::run(&format!("ws://{addr}/ws"), "lobby", stopped));
        ran.map_err(|error| error.to_string())
    });
    let ask = |client: &mut Client, text: &str| {
        client.send_to_room("lobby", "chat", text.as_bytes());
        loop {
            let packet = client.expect_packet();
            if packet.event == "chat" {
                return String::from_utf8(packet.payload.to_vec()).unwrap();
            }
        }
    };
    let enter = |server: &Example| {
        let mut client = server.roomless_client();
        client.send_to_room("lobby", "join", b"");
        // The bot announces its name to all members when it joins, and to each member that joins
        // later.
        loop {
            let packet = client.expect_packet();
            if packet.event == "nick" {
                assert_eq!(packet.payload, b"bot"[..]);
                return client;
            }
        }
    };
    let mut ann = enter(&server);
    ann.send_to_room("lobby", "chat", b"hello");
    assert_eq!(ask(&mut ann, "!count"), "2 messages");
    assert_eq!(ask(&mut ann, "!who"), "2 of us, me included");
    assert!(ask(&mut ann, "!help").contains("!who"));
    server.stop([&mut ann]);

    let again = Example::start_at(addr, chat);
    let mut ben = enter(&again);
    assert_eq!(ask(&mut ben, "!who"), "2 of us, me included");
    // The bot keeps its count when it reconnects.
    assert_eq!(ask(&mut ben, "!count"), "6 messages");
    drop(stop);
    bot.join().unwrap().unwrap();
    again.stop([&mut ben]);
}
