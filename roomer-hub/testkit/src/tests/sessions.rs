//! Tests of extended sessions: the state that survives a lost socket, and the state that does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use roomer_proto::extended::ACK;
use roomer_proto::{PacketRef, ROOT};

use super::*;
use roomer_engine::{Claims, Server, close};

const WINDOW: Duration = Duration::from_secs(30);

/// Connects an extended and a plain client, both in the room `lobby`.
fn two(world: &mut World) -> (Client, Client) {
    let ann = world.connect_extended(Handshake::new());
    let bob = world.connect();
    ann.join("lobby");
    bob.join("lobby");
    world.settle();
    (ann, bob)
}

pub(super) fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[test]
fn session_survives_lost_socket_without_loss() {
    let mut world = World::new(1, Server::builder());
    let (ann, bob) = two(&mut world);
    let id = ann.id();
    bob.send("lobby", "chat", "0");
    ann.send("lobby", "chat", "0");
    world.settle();
    ann.reset();
    // Ann's socket is lost, so the server keeps messages from Bob for her.
    ann.send("lobby", "chat", "1");
    bob.send("lobby", "chat", "1");
    bob.send_to(&id, "chat", "direct");
    world.settle();
    let stats = world.server().stats();
    assert_eq!((stats.sessions.detached, stats.connections, stats.sockets), (1, 2, 1));
    let ann = world.reconnect(&ann);
    world.settle();
    ann.send("lobby", "chat", "2");
    bob.send("lobby", "chat", "2");
    world.settle();
    assert!(ann.is_resumed());
    assert_eq!(ann.id(), id);
    assert_eq!(ann.texts("lobby", "chat"), ["1", "2"], "the first came before");
    assert_eq!(ann.texts("root", "chat"), ["direct"]);
    assert_eq!(bob.texts("lobby", "chat"), numbers(0..3));
    // No member has left: Bob sees both members throughout.
    assert_eq!(bob.members("lobby").map(|members| members.len()), Some(2));
    assert_eq!(bob.members("root").map(|members| members.len()), Some(2));
    let stats = world.server().stats();
    assert_eq!((stats.connections, stats.lost, stats.opened), (2, 0, 2));
    assert_eq!((stats.sessions.detached, stats.sessions.resumed), (0, 1));
}

#[test]
fn session_resumes_before_old_socket_is_lost() {
    let mut world = World::new(1, Server::builder());
    let (ann, bob) = two(&mut world);
    // As with a phone that switches networks, the stream neither ends nor is reset.
    ann.unplug();
    bob.send("lobby", "chat", "0");
    world.settle();
    let again = world.reconnect(&ann);
    world.settle();
    assert!(again.is_resumed());
    assert_eq!(again.texts("lobby", "chat"), ["0"]);
    // This socket works, but the client abandons it anyway.
    let last = world.reconnect(&again);
    world.settle();
    assert!(last.is_resumed() && last.texts("lobby", "chat").is_empty());
    assert!(!again.is_open());
    let stats = world.server().stats();
    assert_eq!((stats.connections, stats.sockets, stats.sessions.resumed), (2, 2, 2));
}

#[test]
fn session_ends_after_window() {
    let mut world = World::new(1, Server::builder().resume_window(WINDOW));
    let (ann, bob) = two(&mut world);
    ann.reset();
    world.settle();
    world.advance(WINDOW - Duration::from_secs(1));
    assert_eq!(bob.members("lobby").map(|members| members.len()), Some(2));
    world.advance(Duration::from_secs(2));
    assert_eq!(bob.members("lobby").map(|members| members.len()), Some(1));
    assert_eq!(world.server().stats().lost, 1);
    let again = world.reconnect(&ann);
    world.settle();
    assert!(!again.is_resumed() && again.is_open());
    assert_ne!(again.id(), ann.id());
    assert_eq!(again.rooms(), ["root"]);
    assert_eq!(world.server().stats().sessions.refused.unknown, 1);
}

#[test]
fn session_ends_when_buffer_overflows() {
    let mut world = World::new(1, Server::builder().resume_buffer(10_000));
    let (ann, bob) = two(&mut world);
    ann.reset();
    world.settle();
    bob.send("lobby", "chat", [b'x'; 9000]);
    world.settle();
    assert_eq!(world.server().stats().connections, 2);
    bob.send("lobby", "chat", [b'x'; 1000]);
    world.settle();
    assert_eq!(world.server().stats().connections, 1);
    assert_eq!(bob.members("lobby").map(|members| members.len()), Some(1));
    let again = world.reconnect(&ann);
    world.settle();
    assert!(!again.is_resumed() && again.is_open());
}

#[test]
fn close_by_either_side_ends_session() {
    let mut world = World::new(1, Server::builder());
    let (ann, _bob) = two(&mut world);
    ann.close(1000, "");
    world.settle();
    assert_eq!(world.server().stats().connections, 1);
    let again = world.reconnect(&ann);
    world.settle();
    assert!(!again.is_resumed());
    // The session is detached, then closed by the application.
    again.reset();
    world.settle();
    world.server().disconnect(again.id(), 1013, "later");
    world.settle();
    let stats = world.server().stats();
    assert_eq!((stats.connections, stats.sessions.detached), (1, 0));
    let last = world.reconnect(&again);
    world.settle();
    assert!(!last.is_resumed());
    assert_eq!(world.server().stats().sessions.refused.unknown, 2);
}

#[test]
fn shutdown_ends_sessions_without_socket() {
    let mut world = World::new(1, Server::builder());
    let (ann, bob) = two(&mut world);
    ann.reset();
    world.settle();
    world.server().shutdown();
    world.settle();
    assert_eq!(bob.closed().and_then(|closed| closed.code), Some(1001));
    world.advance(MINUTE);
    let stats = world.server().stats();
    assert_eq!((stats.connections, stats.sockets, stats.sessions.detached), (0, 0, 0));
}

#[test]
fn sessions_without_socket_are_bounded() {
    let mut world = World::new(1, Server::builder().max_detached_sessions(2));
    let (_, bob) = two(&mut world);
    for _ in 0..4 {
        let client = world.connect_extended(Handshake::new());
        world.settle();
        client.reset();
        world.settle();
    }
    let stats = world.server().stats();
    assert_eq!((stats.sessions.detached, stats.connections, stats.lost), (2, 4, 2));
    assert_eq!(bob.members("root").map(|members| members.len()), Some(4));
    world.advance(WINDOW);
    assert_eq!(world.server().stats().sessions.detached, 0);
}

#[test]
fn drain_sends_reconnect_hint() {
    let mut world = World::new(1, Server::builder().retry_window(Duration::from_secs(4)));
    let plain = world.connect();
    let clients: Vec<_> = (0..8).map(|_| world.connect_extended(Handshake::new())).collect();
    world.settle();
    let server = world.server().clone();
    world.spawn(async move {
        let report = server.drain().await;
        assert_eq!((report.closed, report.aborted), (9, 0));
    });
    world.advance(Duration::from_secs(10));
    assert_eq!(plain.closed().map(|closed| closed.code), Some(Some(1001)));
    let mut waits = Vec::new();
    for client in &clients {
        let closed = client.closed().expect("it is closed");
        assert_eq!(closed.code, Some(1012));
        let wait = closed.reason.strip_prefix("retry=").expect("a hint");
        waits.push(wait.parse::<u64>().expect("milliseconds") / 1000);
    }
    waits.sort_unstable();
    assert_eq!(waits, [0, 0, 1, 1, 2, 2, 3, 3], "spread over the window");
}

#[test]
fn kicks_and_moves_while_away_are_replayed() {
    let mut world = World::new(1, Server::builder());
    let (ann, bob) = two(&mut world);
    ann.reset();
    world.settle();
    world.server().kick(ann.id(), "lobby");
    bob.send("lobby", "chat", "not for Ann");
    world.settle();
    let ann = world.reconnect(&ann);
    world.settle();
    assert!(ann.is_resumed());
    assert_eq!(ann.rooms(), ["root"]);
    assert!(ann.texts("lobby", "chat").is_empty());
}

#[test]
fn pending_handler_runs_once_across_sockets() {
    let runs = Arc::new(AtomicU32::new(0));
    let counted = runs.clone();
    let release = Arc::new(AtomicU32::new(0));
    let released = release.clone();
    let builder = Server::builder().on_async("work", move |conn, message| {
        counted.fetch_add(1, Ordering::SeqCst);
        let released = released.clone();
        async move {
            std::future::poll_fn(|cx| match released.load(Ordering::SeqCst) {
                0 => {
                    cx.waker().wake_by_ref();
                    std::task::Poll::Pending
                }
                _ => std::task::Poll::Ready(()),
            })
            .await;
            conn.reply(&message, "done", &message.payload);
            Ok(())
        }
    });
    let mut world = World::new(1, builder);
    let ann = world.connect_extended(Handshake::new());
    // The pending handler keeps waking its task, so the world would never settle.
    let steps = |world: &mut World| (0..400).for_each(|_| _ = world.step());
    steps(&mut world);
    ann.send(ROOT, "work", "1");
    ann.send(ROOT, "work", "2");
    steps(&mut world);
    ann.reset();
    steps(&mut world);
    let ann = world.reconnect(&ann);
    steps(&mut world);
    release.store(1, Ordering::SeqCst);
    world.settle();
    assert_eq!(ann.texts(ROOT, "done"), ["1", "2"]);
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

#[test]
fn false_acknowledgements_close_connection() {
    for (payload, is_wrong) in [("1", false), ("2", true), ("01", true), ("", true), ("-1", true)] {
        let mut world = World::new(1, Server::builder());
        let ann = world.connect_extended(Handshake::new());
        world.settle();
        let payload = payload.as_bytes();
        let ack = PacketRef { room: ROOT, event: ACK, payload, ..PacketRef::default() };
        ann.send_frame(0x82, &ack.to_bytes());
        world.settle();
        let code = ann.closed().and_then(|closed| closed.code);
        assert_eq!(code, is_wrong.then_some(close::code::PROTOCOL), "{payload:?}");
        if is_wrong {
            let again = world.reconnect(&ann);
            world.settle();
            assert!(!again.is_resumed(), "the session has ended with it");
        }
    }
}

#[test]
fn endless_acknowledgements_close_connection() {
    let mut world = World::new(1, Server::builder());
    let [patient, busy, hasty] = [(); 3].map(|()| world.connect_extended(Handshake::new()));
    world.settle();
    for _ in 0..200 {
        patient.request_ack();
        world.advance(Duration::from_secs(2));
    }
    for _ in 0..200 {
        busy.send(ROOT, "chat", "x");
        busy.request_ack();
    }
    world.settle();
    assert!(patient.is_open() && busy.is_open());
    (0..200).for_each(|_| hasty.request_ack());
    world.settle();
    assert_eq!(hasty.closed().and_then(|closed| closed.code), Some(close::code::PROTOCOL));
}

#[test]
fn foreign_wrong_and_used_tokens_open_new_sessions() {
    let builder = Server::builder()
        .authorize(|request| Ok(Claims::default().user(request.query("user").unwrap_or_default())));
    let mut world = World::new(1, builder);
    let ann = world.connect_extended(Handshake::new().query("user", "ann"));
    world.settle();
    let token = ann.session_token();
    let refused = |world: &World| world.server().stats().sessions.refused;
    // A login as another user neither resumes Ann's session nor ends it.
    let eve = Handshake::new().query("user", "eve");
    let eve = eve.query("session", &token).query("received", "1");
    let eve = world.connect_extended(eve);
    world.settle();
    assert!(eve.is_open() && !eve.is_resumed() && ann.is_open());
    assert_eq!(refused(&world).other_user, 1);
    // This token differs only in its last digit.
    let last = if token.ends_with('0') { "1" } else { "0" };
    let wrong = format!("{}{last}", &token[..token.len() - 1]);
    for bad in [wrong.as_str(), "", "x", &token.to_uppercase()] {
        let eve = Handshake::new().query("user", "ann");
        let eve = world.connect_extended(eve.query("session", bad).query("received", "1"));
        world.settle();
        assert!(eve.is_open() && !eve.is_resumed() && ann.is_open(), "{bad}");
    }
    assert_eq!(refused(&world).unknown, 4);
    // Once the client has used its new token, the old one is invalid.
    let again = world.reconnect(&ann);
    world.settle();
    again.request_ack();
    world.settle();
    let replayed = Handshake::new().query("user", "ann");
    let replayed = world.connect_extended(replayed.query("session", &token).query("received", "1"));
    world.settle();
    assert!(again.is_open() && !replayed.is_resumed());
    assert_eq!(refused(&world).unknown, 5);
}

#[test]
fn session_survives_socket_lost_before_hello() {
    let mut world = World::new(1, Server::builder());
    let (ann, bob) = two(&mut world);
    ann.reset();
    bob.send("lobby", "chat", "0");
    world.settle();
    for _ in 0..3 {
        // The server issues a new token, which never reaches the client.
        let lost = world.reconnect(&ann);
        lost.stall(0);
        world.settle();
        lost.reset();
        world.settle();
    }
    let ann = world.reconnect(&ann);
    world.settle();
    assert!(ann.is_resumed());
    assert_eq!(ann.texts("lobby", "chat"), ["0"]);
}

#[test]
fn plain_clients_cannot_send_extended_events() {
    let mut world = World::new(1, Server::builder());
    let (ann, bob) = two(&mut world);
    for event in ["roomer:ack", "roomer:hello", "roomer:reply", "roomer:x"] {
        bob.send("lobby", event, "1");
        bob.send_to(&ann.id(), event, "1");
    }
    world.settle();
    assert!(ann.messages("lobby").is_empty() && ann.messages("root").is_empty());
    assert_eq!(world.server().stats().rejected_packets.reserved, 8);
    assert!(bob.is_open());
}

#[test]
fn plain_server_ignores_extended_query_and_events() {
    for builder in [Server::builder().compat(), Server::builder().extended(false)] {
        let mut world = World::new(1, builder);
        let ann = world.connect_to("/ws?roomer=2", "");
        let bob = world.connect();
        world.settle();
        bob.send(ROOT, "roomer:ack", "7");
        world.settle();
        assert_eq!(ann.texts(ROOT, "roomer:ack"), ["7"]);
    }
}

#[test]
fn idle_client_gets_packet_within_heartbeat() {
    let mut world = World::new(1, Server::builder());
    let ann = world.connect_extended(Handshake::new());
    world.settle();
    ann.send(ROOT, "chat", "0");
    world.settle();
    assert_eq!(ann.unacknowledged(), 1);
    world.advance(Duration::from_secs(5));
    assert_eq!(ann.unacknowledged(), 0, "acknowledged after 5 s");
    for _ in 0..3 {
        let before = world.server().stats().bytes_out;
        world.advance(Duration::from_secs(25));
        assert!(world.server().stats().bytes_out > before);
    }
    (0..64).for_each(|_| ann.send(ROOT, "chat", "0"));
    world.settle();
    assert_eq!(ann.unacknowledged(), 0, "acknowledged after 64 packets");
}
