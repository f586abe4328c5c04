//! Tests handlers that stay pending for a long time.

use std::io::Write;
use std::time::Duration;

use roomer_engine::HandlerPanic;

use super::rules_async::Gate;
use super::test_server::{TestServer, expect_nothing};
use roomer_conformance::client::{Client, Received};
use roomer_conformance::http::{HttpRequest, dial};
use roomer_conformance::wire;

#[test]
fn messages_behind_pending_handler_keep_order() {
    let gate = Gate::default();
    let waiting = gate.clone();
    let test = TestServer::with(|builder| {
        builder.on_async("slow", move |conn, message| {
            let waiting = waiting.clone();
            async move {
                conn.send_to_room(&message.room, "begun", &message.payload);
                waiting.await;
                conn.send_to_room(&message.room, "done", &message.payload);
                Ok(())
            }
        })
    });
    let [mut a, mut b] = test.clients_in("lobby");
    let own = a.id.clone();
    // After the message whose handler is slow, send complete messages and then half of another one,
    // in one write or in parts.
    let mut sent = wire::to_room("lobby", "slow", b"1");
    for n in 0..100u32 {
        sent.extend(wire::to_room("lobby", "chat", &n.to_be_bytes()));
    }
    let last = wire::to_room("lobby", "slow", &[b'2'; 300]);
    sent.extend(&last[..150]);
    a.send(&sent);
    b.expect("lobby", "begun", "", &own, b"1");
    b.expect_nothing();
    a.send(&last[150..]);
    gate.open();
    b.expect("lobby", "done", "", &own, b"1");
    for n in 0..100u32 {
        b.expect("lobby", "chat", "", &own, &n.to_be_bytes());
    }
    b.expect("lobby", "begun", "", &own, &[b'2'; 300]);
    b.expect("lobby", "done", "", &own, &[b'2'; 300]);
    expect_nothing([&mut a, &mut b]);
}

#[test]
fn client_with_pending_handler_is_pinged() {
    let gate = Gate::default();
    let waiting = gate.clone();
    let test = TestServer::with(|builder| {
        builder
            .ping_interval(Duration::from_millis(60))
            .pong_timeout(Duration::from_millis(100))
            .on_async("slow", move |conn, message| {
                let waiting = waiting.clone();
                async move {
                    waiting.await;
                    conn.send_to_client(message.src, "done", b"");
                    Ok(())
                }
            })
    });
    // Send the message together with the request, so that its handler starts long before the pong
    // timeout.
    let mut stream = dial(test.addr);
    let request = HttpRequest::upgrade(test.addr).bytes();
    stream.write_all(&[request, wire::to_room("root", "slow", b"")].concat()).unwrap();
    let mut a = Client::established(stream);
    // This takes much longer than the pong timeout. The client answers no ping, and the server
    // could not read an answer.
    for _ in 0..5 {
        assert!(matches!(a.receive(), Received::Ping(_)));
    }
    gate.open();
    let own = a.id.clone();
    loop {
        match a.receive() {
            Received::Ping(_) => {}
            Received::Packet(packet) => {
                assert_eq!((&*packet.event, &*packet.dst), ("done", &*own));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn pings_are_answered_while_rule_is_pending() {
    let gate = Gate::default();
    let waiting = gate.clone();
    let test = TestServer::with(|builder| {
        builder.may_publish_async(move |_, _| {
            let waiting = waiting.clone();
            async move {
                waiting.await;
                true
            }
        })
    });
    let [mut a, mut b] = test.clients_in("lobby");
    let own = a.id.clone();
    let message = |n: u32| wire::to_room("lobby", "chat", &n.to_be_bytes());
    let ping = |payload: &[u8]| wire::frame(wire::FIN | wire::PING, payload);
    // The first ping is in the same write as the waiting message, and the others follow later.
    a.send(&[message(0), ping(b"0"), message(1)].concat());
    assert_eq!(a.receive(), Received::Pong(b"0".to_vec()));
    for n in 1..10 {
        a.send(&[ping(&[n]), message(u32::from(n) + 1)].concat());
        assert_eq!(a.receive(), Received::Pong(vec![n]));
    }
    a.send(&wire::close(1000, ""));
    gate.open();
    for n in 0..11 {
        b.expect("lobby", "chat", "", &own, &u32::to_be_bytes(n));
    }
    b.expect_member_left("lobby", &own);
    a.expect_close(1000);
}

#[test]
fn closed_client_is_removed_before_its_handler_completes() {
    let test = TestServer::with(|builder| {
        builder.close_timeout(Duration::from_millis(100)).on_async(
            "stuck",
            async |conn, message| {
                conn.send_to_room(&message.room, "begun", b"");
                std::future::pending::<()>().await
            },
        )
    });
    let [mut a, mut b, mut watcher] = test.clients_in("lobby");
    for client in [&mut a, &mut b] {
        client.send_to_room("lobby", "stuck", b"");
        watcher.expect("lobby", "begun", "", &client.id, b"");
    }
    b.expect("lobby", "begun", "", &a.id, b"");
    a.send(&wire::close(1000, ""));
    watcher.expect_member_left("lobby", &a.id);
    b.expect_member_left("lobby", &a.id);
    // The other client's socket ends without a close frame.
    let id = b.id.clone();
    drop(b);
    watcher.expect_member_left("lobby", &id);
}

#[test]
fn errors_and_panics_of_async_handlers_are_reported() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let gate = Gate::default();
    let waiting = gate.clone();
    let test = TestServer::with(|builder| {
        builder
            .on_async("fail", move |_, message| {
                let waiting = waiting.clone();
                async move {
                    waiting.await;
                    match message.text()? {
                        "panic" => panic!("as planned"),
                        text => Err(text.into()),
                    }
                }
            })
            .on_error(move |conn, message, error| {
                let is_panic = error.downcast_ref::<HandlerPanic>().is_some();
                let entry = (conn.id().to_string(), message.event.to_owned(), error.to_string());
                sender.lock().unwrap().send((entry, is_panic)).unwrap();
            })
    });
    let [mut a] = test.roomless_clients();
    a.send_to_room("root", "join", b"");
    let ack = a.expect_packet();
    a.snapshot("root", ack);
    gate.open();
    a.send_to_room("root", "fail", b"no");
    a.send_to_room("root", "fail", b"\xff");
    a.expect_nothing();
    a.send_to_room("root", "fail", b"panic");
    a.expect_close(1011);
    let next = || receiver.recv_timeout(roomer_conformance::client::TIMEOUT).unwrap();
    let entry = |text: &str| (a.id.clone(), "fail".to_owned(), text.to_owned());
    assert_eq!(next(), (entry("no"), false));
    assert!(!next().1, "a text message that is not UTF-8");
    assert_eq!(next(), (entry("the handler panicked: as planned"), true));
    let stats = test.server.stats();
    assert_eq!((stats.handler_errors, stats.panics), (2, 1));
}
