//! Tests of the application's closes that clients without a socket cannot receive.

use std::time::Duration;

use roomer_engine::{Claims, HandshakeRequest, Server};

use crate::{Client, Handshake, World};

fn start() -> (World, Client) {
    let builder = Server::builder()
        .authorize(|request| Ok(Claims::default().user(request.query("user").unwrap_or_default())));
    let mut world = World::new(1, builder);
    let ann = world.connect_extended(Handshake::new().query("user", "ann"));
    world.settle();
    (world, ann)
}

/// Returns the code and reason with which a client was closed.
fn closed(client: &Client) -> (Option<u16>, String) {
    let closed = client.closed().expect("the client is closed");
    (closed.code, closed.reason)
}

#[test]
fn returning_client_gets_final_close_until_it_has_answered() {
    let (mut world, ann) = start();
    ann.reset();
    world.settle();
    assert!(world.server().disconnect(ann.id(), 4000, "enough"));
    world.settle();
    // Another user with the same token does not get the close.
    let eve = world.reconnect_with(&ann, Handshake::new().query("user", "eve"));
    world.settle();
    assert!(eve.is_open() && !eve.is_resumed());
    // The client does not read the close frame, and its socket is lost.
    let lost = world.reconnect(&ann);
    lost.stall(0);
    world.settle();
    lost.reset();
    world.settle();
    assert_eq!(closed(&lost).0, None);
    let again = world.reconnect(&ann);
    world.settle();
    assert_eq!(closed(&again), (Some(4000), "enough".into()));
    let last = world.reconnect(&ann);
    world.settle();
    assert!(last.is_open() && !last.is_resumed());
    let stats = world.server().stats();
    assert_eq!((stats.sessions.refused.closed, stats.sessions.refused.unknown), (2, 2));
    assert_eq!((stats.connections, stats.sockets), (2, 2));
}

#[test]
fn client_with_socket_that_has_answered_gets_new_session() {
    let (mut world, ann) = start();
    world.server().disconnect(ann.id(), 4000, "enough");
    world.settle();
    assert_eq!(closed(&ann), (Some(4000), "enough".into()));
    let again = world.reconnect(&ann);
    world.settle();
    assert!(again.is_open() && !again.is_resumed());
    assert_eq!(world.server().stats().sessions.refused.closed, 0);
}

#[test]
fn returning_client_gets_final_close_from_full_server() {
    for asynchronous in [false, true] {
        let claims = |request: &HandshakeRequest| {
            Ok(Claims::default().user(request.query("user").unwrap_or_default()))
        };
        let builder = Server::builder().max_connections(1);
        let builder = match asynchronous {
            false => builder.authorize(claims),
            true => builder.authorize_async(move |request| async move { claims(&request) }),
        };
        let mut world = World::new(1, builder);
        let as_user = |user| Handshake::new().query("user", user);
        let ann = world.connect_extended(as_user("ann"));
        world.settle();
        ann.reset();
        world.settle();
        world.server().disconnect(ann.id(), 4000, "enough");
        let bob = world.connect_extended(as_user("bob"));
        world.settle();
        let eve = world.reconnect_with(&ann, as_user("eve"));
        let again = world.reconnect(&ann);
        world.settle();
        assert_eq!((eve.status(), bob.is_open()), (Some(503), true));
        assert_eq!(closed(&again), (Some(4000), "enough".into()));
        let late = world.reconnect(&ann);
        world.settle();
        assert_eq!(late.status(), Some(503));
        let stats = world.server().stats();
        assert_eq!((stats.sessions.refused.closed, stats.sockets, stats.handshakes), (1, 1, 0));
    }
}

#[test]
fn close_of_user_and_long_reason_reach_returning_client() {
    let (mut world, ann) = start();
    ann.reset();
    world.settle();
    assert_eq!(world.server().user("ann").disconnect(1000, &"é".repeat(100)), 1);
    world.settle();
    let again = world.reconnect(&ann);
    world.settle();
    assert_eq!(closed(&again), (Some(1000), "é".repeat(61)));
}

#[test]
fn client_whose_old_socket_looks_open_gets_final_close() {
    for polls_first in [false, true] {
        let (mut world, ann) = start();
        let again = polls_first.then(|| world.reconnect(&ann));
        world.server().disconnect(ann.id(), 4000, "enough");
        let again = again.unwrap_or_else(|| world.reconnect(&ann));
        world.settle();
        assert_eq!(closed(&again), (Some(4000), "enough".into()));
    }
}

#[test]
fn client_gets_new_session_after_other_close_or_window() {
    for (code, window) in [(1013, 0), (1001, 0), (4000, 30)] {
        let (mut world, ann) = start();
        ann.reset();
        world.settle();
        world.server().disconnect(ann.id(), code, "later");
        world.advance(Duration::from_secs(window));
        let again = world.reconnect(&ann);
        world.settle();
        assert!(again.is_open() && !again.is_resumed(), "{code}");
    }
}
