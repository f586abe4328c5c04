//! Tests handlers: when they are called, their arguments, and their failures.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use roomer_engine::{BuildError, Builder, Server};

use super::test_server::TestServer;
use roomer_conformance::client::{Client, TIMEOUT};
use roomer_conformance::http::{HttpRequest, dial};
use roomer_conformance::wire;

#[test]
fn registered_event_is_handled_and_not_forwarded() {
    let (seen, calls) = mpsc::channel();
    let seen = Mutex::new(seen);
    let test = TestServer::with(|builder| {
        builder.on("chat", move |conn, message| {
            let m = message;
            let names = [m.room, m.event, m.dst, m.src.as_str()].map(str::to_owned);
            let call = (conn.id().to_string(), names, m.payload.to_vec());
            seen.lock().unwrap().send(call)?;
            Ok(())
        })
    });
    let [mut a, mut b] = test.clients_in("lobby");
    let (own, other) = (a.id.clone(), b.id.clone());
    a.send(&wire::message(&wire::packet([b"lobby", b"chat", b"", other.as_bytes(), b"\xff!"])));
    let (id, names, payload) = calls.recv_timeout(TIMEOUT).unwrap();
    assert_eq!(id, own);
    assert_eq!(names, ["lobby", "chat", "", &own], "src is the caller's, whatever it wrote");
    assert_eq!(payload, b"\xff!");
    a.expect_nothing();
    b.expect_nothing();
    // A handler is called only for events with exactly its name.
    for event in ["Chat", "chat ", "cha"] {
        a.send_to_room("lobby", event, b"");
        b.expect("lobby", event, "", &own, b"");
    }
    assert!(calls.try_recv().is_err());
}

#[test]
fn handlers_run_once_for_each_message_in_order() {
    let count = AtomicU32::new(0);
    let test = TestServer::with(|builder| {
        builder.on("count", move |conn, message| {
            let n = count.fetch_add(1, Ordering::SeqCst).to_be_bytes();
            conn.send_to_client(message.src, "counted", [&n, message.payload].concat());
            Ok(())
        })
    });
    let mut a = test.client();
    let mut bytes = Vec::new();
    for n in 0..500u32 {
        bytes.extend(wire::to_room("root", "count", &n.to_be_bytes()));
    }
    a.send(&bytes);
    let id = a.id.clone();
    for n in 0..500u32 {
        let n = n.to_be_bytes();
        a.expect("root", "counted", &id, &id, &[n, n].concat());
    }
    a.expect_nothing();
}

#[test]
fn handler_does_not_run_for_non_members() {
    let test = TestServer::with(|builder| builder.on("chat", |_, _| panic!("a handler runs")));
    let [mut member] = test.clients_in("lobby");
    let mut stranger = test.roomless_client();
    stranger.send_to_room("lobby", "chat", b"");
    stranger.send_to_room("nowhere", "chat", b"");
    stranger.expect_nothing();
    member.expect_nothing();
}

#[test]
fn claims_come_from_authorize() {
    let test = TestServer::with(|builder| {
        builder
            .authorize(|request| {
                assert_eq!(request.path(), "/ws");
                let peer = request.peer().expect("a TCP connection has an address");
                let name = request.query("name").unwrap_or_default().into_owned();
                Ok([("name".into(), name), ("ip".into(), peer.ip().to_string())].into())
            })
            .on("who", |conn, message| {
                let claims = conn.claims().ok_or("no claims")?;
                let text = format!("{} at {}", &claims["name"], &claims["ip"]);
                conn.send_to_client(message.src, "you", text.as_bytes());
                Ok(())
            })
    });
    for name in ["ann", "bob"] {
        let ask = HttpRequest::upgrade(test.addr).target(&format!("/ws?name={name}"));
        let mut client = Client::upgrade(dial(test.addr), &ask);
        let id = client.id.clone();
        client.send_to_room("root", "who", b"");
        client.expect("root", "you", &id, &id, format!("{name} at 127.0.0.1").as_bytes());
        client.close();
    }
}

#[test]
fn claims_are_empty_without_authorize() {
    let test = TestServer::with(|builder| {
        builder.on("who", |conn, message| {
            let text = if conn.claims().is_none() { "none" } else { "some" };
            conn.send_to_client(message.src, "you", text.as_bytes());
            Ok(())
        })
    });
    let mut client = test.client();
    let id = client.id.clone();
    client.send_to_room("root", "who", b"");
    client.expect("root", "you", &id, &id, b"none");
}

#[test]
fn handler_error_is_reported_without_closing() {
    let reports = Arc::new(Mutex::new(Vec::new()));
    let log = reports.clone();
    let test = TestServer::with(|builder| {
        builder.on("fail", |_, _| Err("a test's own".into())).on_error(
            move |conn, message, error| {
                let report = (conn.id().to_string(), message.payload.to_vec(), error.to_string());
                log.lock().unwrap().push(report);
            },
        )
    });
    let mut client = test.client();
    client.send_to_room("root", "fail", b"1");
    client.send_to_room("root", "fail", b"2");
    client.expect_nothing();
    let report = |n: &[u8]| (client.id.clone(), n.to_vec(), "a test's own".to_owned());
    assert_eq!(*reports.lock().unwrap(), [report(b"1"), report(b"2")]);
}

#[test]
fn handler_error_without_hook_is_ignored() {
    let test = TestServer::with(|builder| builder.on("fail", |_, _| Err("a test's own".into())));
    let mut client = test.client();
    client.send_to_room("root", "fail", b"");
    client.expect_nothing();
}

/// Checks that a panic in a handler, or in the hook that reports handler errors, closes only the
/// connection of the client whose message caused the call.
fn panics(choose: impl FnOnce(Builder) -> Builder) {
    let test = TestServer::with(|builder| {
        choose(builder).on("ping", |conn, message| {
            conn.send_to_client(message.src, "pong", b"");
            Ok(())
        })
    });
    let [mut witness, mut caller] = test.clients_in("lobby");
    for _ in 0..3 {
        // Messages that follow the fatal message in the same read are not handled.
        let mut bytes = wire::to_room("lobby", "before", b"");
        bytes.extend(wire::to_room("lobby", "fatal", b""));
        bytes.extend(wire::to_room("lobby", "after", b""));
        caller.send(&bytes);
        assert!(!caller.expect_close(1011).is_empty());
        witness.expect("lobby", "before", "", &caller.id, b"");
        witness.expect_member_left("lobby", &caller.id);
        // The handlers of other connections still run.
        let id = witness.id.clone();
        witness.send_to_room("lobby", "ping", b"");
        witness.expect("root", "pong", &id, &id, b"");
        caller = test.roomless_client();
        assert_eq!(caller.join("lobby").len(), 2);
        witness.expect_new_member("lobby", &caller.id);
    }
}

#[test]
fn handler_panic_closes_only_its_caller_with_1011() {
    panics(|builder| builder.on("fatal", |_, _| panic!("a test's own")));
}

#[test]
fn error_hook_panic_closes_caller_with_1011() {
    panics(|builder| {
        builder.on("fatal", |_, _| Err("x".into())).on_error(|_, _, _| panic!("a test's own"))
    });
}

#[test]
fn handler_can_close_its_caller() {
    let test = TestServer::with(|builder| {
        builder.on("quit", |conn, _| {
            conn.send_to_room("lobby", "last", b"words");
            conn.close(4321, "as you wish");
            conn.send_to_room("lobby", "too", b"late");
            Ok(())
        })
    });
    let [mut witness, mut caller] = test.clients_in("lobby");
    caller.send_to_room("lobby", "quit", b"");
    assert_eq!(caller.expect_close(4321), "as you wish");
    witness.expect("lobby", "last", "", &caller.id, b"words");
    witness.expect_member_left("lobby", &caller.id);
    witness.expect_nothing();
}

#[test]
fn unreachable_handlers_are_rejected_by_build() {
    let on = |event: &str| Server::builder().on(event, |_, _| Ok(()));
    let rejected = |builder: Builder| match builder.build() {
        Err(BuildError::Register(error)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(rejected(on("")).contains("name"), "an event without a name");
    assert!(
        rejected(on("chat").on("chat", |_, _| Ok(()))).contains("chat"),
        "the same event twice"
    );
    let ours =
        ["join", "join_ack", "leave", "leave_ack", "member_left", "new_member", "open", "close"];
    for event in ours {
        assert!(rejected(on(event)).contains(event), "{event} belongs to the protocol");
    }
    assert!(on("Join").on("chat", |_, _| Ok(())).on("Chat", |_, _| Ok(())).build().is_ok());
}
