//! Tests authentication with an asynchronous hook.

use std::io::{Read, Write};
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use roomer_engine::{Builder, Claims, Rejection};

use super::rules_async::Gate;
use super::test_server::TestServer;
use roomer_conformance::client::{Client, TIMEOUT};
use roomer_conformance::http::{HttpRequest, HttpResponse, dial};
use roomer_conformance::programs::until;
use roomer_conformance::wire;

/// A guard that sends a notification when it is dropped.
struct Last(Sender<()>);

impl Drop for Last {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// A hook that accepts or rejects a client by its name. It accepts `anybody` immediately; for any
/// other name, it waits until the gate is open.
fn slow(gate: &Gate) -> impl FnOnce(Builder) -> Builder + use<> {
    let gate = gate.clone();
    move |builder| {
        builder.authorize_async(move |request| {
            let gate = gate.clone();
            async move {
                let name = request.query("name").unwrap_or_default().into_owned();
                if name != "anybody" {
                    gate.await;
                }
                match &*name {
                    "eve" => Err(Rejection::forbidden("not you")),
                    "bug" => panic!("a bug in the hook"),
                    _ => Ok(Claims::from([("name".into(), name)])),
                }
            }
        })
    }
}

fn ask(test: &TestServer, name: &str) -> HttpRequest {
    HttpRequest::upgrade(test.addr).target(&format!("/ws?name={name}"))
}

#[test]
fn pending_authorize_delays_only_its_own_client() {
    let gate = Gate::default();
    let hook = slow(&gate);
    let test = TestServer::with(|builder| {
        hook(builder).on("who", |conn, message| {
            let name = &conn.claims().ok_or("no claims")?["name"];
            conn.send_to_client(message.src, "you", name.as_bytes());
            Ok(())
        })
    });
    let mut ann = dial(test.addr);
    ann.write_all(&ask(&test, "ann").bytes()).unwrap();
    let mut witness = Client::upgrade(dial(test.addr), &ask(&test, "anybody"));
    witness.expect_nothing();
    assert_eq!((test.server.stats().handshakes, test.server.stats().connections), (1, 1));
    gate.open();
    let mut ann = Client::established(ann);
    ann.send_to_room("root", "who", b"");
    assert_eq!(ann.expect_packet().payload, b"ann");
    witness.expect_new_member("root", &ann.id);
}

#[test]
fn rejection_is_403_and_panic_is_500() {
    let gate = Gate::default();
    let test = TestServer::with(slow(&gate));
    gate.open();
    let answer = ask(&test, "eve").rejected(test.addr);
    assert_eq!((answer.status, &*answer.body), (403, &b"not you\n"[..]));
    assert_eq!(ask(&test, "bug").rejected(test.addr).status, 500);
    assert_eq!(ask(&test, "ann").head(test.addr).status, 101);
    let rejected = test.server.stats().rejected_requests;
    assert_eq!(rejected.into_iter().collect::<Vec<_>>(), [(403, 1), (500, 1)]);
}

#[test]
fn panic_before_first_await_is_500() {
    let test = TestServer::with(|builder| {
        builder.authorize_async(|request| {
            assert!(request.query("name").is_some(), "a bug in the hook");
            async { Ok(Claims::new()) }
        })
    });
    assert_eq!(HttpRequest::upgrade(test.addr).rejected(test.addr).status, 500);
    assert_eq!(ask(&test, "ann").head(test.addr).status, 101);
}

#[test]
fn hook_runs_before_other_checks() {
    let gate = Gate::default();
    let test = TestServer::with(slow(&gate));
    gate.open();
    let plain = |name| HttpRequest::plain(test.addr).target(&format!("/ws?name={name}"));
    assert_eq!(plain("eve").rejected(test.addr).status, 403);
    assert_eq!(plain("ann").rejected(test.addr).status, 400);
    assert_eq!(plain("eve").method("POST").rejected(test.addr).status, 405);
    assert_eq!(plain("eve").target("/elsewhere").rejected(test.addr).status, 404);
}

#[test]
fn hook_is_bounded_by_handshake_timeout() {
    let (sender, dropped) = mpsc::channel();
    let test = TestServer::with(|builder| {
        builder.handshake_timeout(Duration::from_secs(2)).authorize_async(move |_| {
            let last = Last(sender.clone());
            async move {
                let _last = last;
                std::future::pending().await
            }
        })
    });
    let status = until("no request arrives in time", || {
        let status = HttpRequest::upgrade(test.addr).rejected(test.addr).status;
        // A request that arrives after the timeout, as on a busy machine, gets 408.
        (status != 408).then_some(status)
    });
    assert_eq!(status, 503);
    dropped.recv_timeout(TIMEOUT).unwrap();
    test.wait_for_drain();
}

#[test]
fn hook_is_dropped_when_client_disconnects() {
    let ((sender, dropped), (begin, begun)) = (mpsc::channel(), mpsc::channel());
    let test = TestServer::with(|builder| {
        builder.handshake_timeout(TIMEOUT * 10).authorize_async(move |_| {
            let (last, begin) = (Last(sender.clone()), begin.clone());
            async move {
                let _last = last;
                begin.send(()).unwrap();
                std::future::pending().await
            }
        })
    });
    for behind in [&b""[..], b"something behind the request"] {
        let mut stream = dial(test.addr);
        stream.write_all(&HttpRequest::upgrade(test.addr).bytes()).unwrap();
        stream.write_all(behind).unwrap();
        begun.recv_timeout(TIMEOUT).unwrap();
        assert!(dropped.try_recv().is_err());
        drop(stream);
        dropped.recv_timeout(TIMEOUT).unwrap();
    }
    test.wait_for_drain();
}

#[test]
fn pending_hook_does_not_delay_shutdown() {
    let (called, calls) = mpsc::channel();
    let mut test = TestServer::with(|builder| {
        builder.handshake_timeout(TIMEOUT * 10).close_timeout(TIMEOUT * 2).authorize_async(
            move |_| {
                called.send(()).unwrap();
                std::future::pending::<Result<Claims, Rejection>>()
            },
        )
    });
    let mut stream = dial(test.addr);
    stream.write_all(&ask(&test, "ann").bytes()).unwrap();
    // If the server reads the request only after the stop, the response is 503, and the connection
    // may stay open until the close timeout.
    calls.recv_timeout(TIMEOUT).unwrap();
    test.stop();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 101"), "{}", answer.escape_ascii());
}

#[test]
fn bytes_after_request_are_buffered_and_handled_in_order() {
    let gate = Gate::default();
    let test = TestServer::with(slow(&gate));
    let mut stream = dial(test.addr);
    let mut sent = ask(&test, "ann").bytes();
    // Send more than the server buffers before the client is authorized.
    for n in 0..1_000u32 {
        sent.extend(wire::to_room("echo", "join", &wire::filler(50)));
        sent.extend(wire::to_room("echo", "leave", &n.to_be_bytes()));
    }
    stream.write_all(&sent).unwrap();
    Client::upgrade(dial(test.addr), &ask(&test, "anybody")).close();
    gate.open();
    let mut ann = Client::established(stream);
    for _ in 0..1_000 {
        let ack = ann.expect_packet();
        assert_eq!(ann.snapshot("echo", ack), [&*ann.id]);
        ann.expect_left("echo");
    }
}

#[test]
fn bytes_received_while_hook_is_pending_are_kept() {
    let gate = Gate::default();
    let test = TestServer::with(slow(&gate));
    let mut stream = dial(test.addr);
    stream.write_all(&ask(&test, "ann").bytes()).unwrap();
    for room in ["one", "two", "three"] {
        // When the server handles this client, it has handled the other client's early bytes.
        Client::upgrade(dial(test.addr), &ask(&test, "anybody")).close();
        stream.write_all(&wire::to_room(room, "join", b"")).unwrap();
    }
    Client::upgrade(dial(test.addr), &ask(&test, "anybody")).close();
    gate.open();
    let mut ann = Client::established(stream);
    for room in ["one", "two", "three"] {
        let ack = ann.expect_packet();
        assert_eq!(ann.snapshot(room, ack), [&*ann.id]);
    }
}

#[test]
fn handshake_that_loses_last_slot_is_rejected() {
    let gate = Gate::default();
    let hook = slow(&gate);
    let test = TestServer::with(|builder| hook(builder.max_connections(1)));
    let mut ann = dial(test.addr);
    ann.write_all(&ask(&test, "ann").bytes()).unwrap();
    let _client = Client::upgrade(dial(test.addr), &ask(&test, "anybody"));
    gate.open();
    assert_eq!(HttpResponse::read(&mut ann, false).status, 503);
}
