//! Tests rules for joining, publishing and sending, both synchronous and asynchronous.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};

use super::test_server::{TestServer, expect_nothing, join_all};
use roomer_conformance::client::Client;
use roomer_conformance::wire;

/// A gate at which rules wait until it is opened.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<Mutex<(bool, Vec<Waker>)>>);

impl Gate {
    pub(crate) fn open(&self) {
        let mut gate = self.0.lock().unwrap();
        gate.0 = true;
        let waiting = std::mem::take(&mut gate.1);
        drop(gate);
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Future for Gate {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut gate = self.0.lock().unwrap();
        if gate.0 {
            return Poll::Ready(());
        }
        gate.1.push(cx.waker().clone());
        Poll::Pending
    }
}

#[test]
fn rejected_join_is_answered_with_leave_ack_and_counted() {
    let test = TestServer::with(|builder| builder.may_join(|_, room| room != "cellar"));
    let [mut a, mut b] = test.clients_in("lobby");
    a.send_to_room("cellar", "join", b"");
    a.expect_left("cellar");
    assert_eq!(test.server.member_count("cellar"), 0);
    assert_eq!(test.server.stats().rejected_packets.by_application, 1);
    // The rule is not called when the server itself puts the client into the room.
    assert!(test.server.join(roomer_engine::ConnId::parse(&a.id).unwrap(), "cellar"));
    let ack = a.expect_packet();
    a.snapshot("cellar", ack);
    // The rule is not called if the client is already in the room.
    a.join("cellar");
    expect_nothing([&mut a, &mut b]);
    assert_eq!(test.server.stats().rejected_packets.by_application, 1);
}

#[test]
fn denied_message_reaches_neither_members_nor_handlers() {
    let test = TestServer::with(|builder| {
        let builder = builder.on("shout", |conn, message| {
            conn.send_to_room(message.room, "shouted", message.payload);
            Ok(())
        });
        builder.may_publish(|conn, message| {
            assert_eq!(message.src, conn.id().as_str(), "the rule knows who speaks");
            message.payload != b"swearing"
        })
    });
    let [mut a, mut b] = test.clients_in("lobby");
    let own = a.id.clone();
    for event in ["chat", "shout"] {
        a.send_to_room("lobby", event, b"swearing");
    }
    a.send_to_room("lobby", "chat", b"hi");
    b.expect("lobby", "chat", "", &own, b"hi");
    a.send_to_room("lobby", "shout", b"hi");
    b.expect("lobby", "shouted", "", &own, b"hi");
    expect_nothing([&mut a, &mut b]);
    assert_eq!(test.server.stats().rejected_packets.by_application, 2);
    // If the client is not a member, the hub rejects its message without calling the rule.
    test.roomless_client().send_to_room("lobby", "chat", b"hi");
    expect_nothing([&mut b]);
}

#[test]
fn direct_message_requires_its_rule() {
    let test = TestServer::with(|builder| builder.may_send(|_, message| message.event != "spam"));
    let [mut a, mut b] = test.roomless_clients();
    let (from, to) = (a.id.clone(), b.id.clone());
    a.send_to_client(&to, "x", "spam", b"");
    a.send_to_client(&to, "x", "hello", b"");
    b.expect("x", "hello", &to, &from, b"");
    expect_nothing([&mut a, &mut b]);
    assert_eq!(test.server.stats().rejected_packets.by_application, 1);
}

#[test]
fn rule_panic_closes_requesting_connection() {
    let test = TestServer::with(|builder| {
        builder.may_join(|_, room| room != "trap" || panic!("as planned")).may_publish_async(
            |_, packet| async move { packet.event != "trap" || panic!("as planned") },
        )
    });
    let [mut a, mut b, mut c] = test.clients_in("lobby");
    a.send_to_room("trap", "join", b"");
    a.expect_close(1011);
    b.expect_member_left("lobby", &a.id);
    b.send_to_room("lobby", "trap", b"");
    b.expect_close(1011);
    c.expect_member_left("lobby", &a.id);
    c.expect_member_left("lobby", &b.id);
    expect_nothing([&mut c]);
    assert_eq!(test.server.stats().panics, 2);
}

#[test]
fn pending_join_delays_only_its_own_connection() {
    let (gate, door) = (Gate::default(), Gate::default());
    let (waiting, opened) = (gate.clone(), door.clone());
    let test = TestServer::with(|builder| {
        builder.may_join_async(move |_, room| {
            let (waiting, opened) = (waiting.clone(), opened.clone());
            async move {
                match &*room {
                    "slow" => waiting.await,
                    "slower" => opened.await,
                    _ => {}
                }
                room != "slower"
            }
        })
    });
    let mut members = [test.roomless_client(), test.roomless_client()];
    join_all("lobby", &mut members);
    let [mut a, mut b] = members;
    let own = a.id.clone();
    // In one write, send two joins whose rules are pending, and a message that follows them.
    let sent = [
        wire::to_room("slow", "join", b""),
        wire::to_room("slower", "join", b""),
        wire::to_room("lobby", "chat", b"after"),
    ];
    a.send(&sent.concat());
    b.send_to_room("lobby", "chat", b"meanwhile");
    let other = b.id.clone();
    a.expect("lobby", "chat", "", &other, b"meanwhile");
    assert_eq!(test.server.member_count("slow"), 0);
    gate.open();
    let ack = a.expect_packet();
    a.snapshot("slow", ack);
    door.open();
    a.expect_left("slower");
    b.expect("lobby", "chat", "", &own, b"after");
    expect_nothing([&mut a, &mut b]);
}

#[test]
fn state_is_rechecked_after_rule_resolves() {
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
    a.send_to_room("lobby", "chat", b"too late");
    // The sender ceases to be a member before the rule answers.
    let id = roomer_engine::ConnId::parse(&a.id).unwrap();
    assert!(test.server.kick(id, "lobby"));
    a.expect_left("lobby");
    gate.open();
    b.expect_member_left("lobby", &a.id);
    expect_nothing([&mut a, &mut b]);
    assert_eq!(test.server.stats().rejected_packets.not_member, 1);
}

/// A server whose rule for joins allows each one once the gate is open. The receiver gets a message
/// for each call of the rule.
fn gated_joins(gate: &Gate) -> (TestServer, mpsc::Receiver<()>) {
    let (gate, (started, has_started)) = (gate.clone(), mpsc::channel());
    let test = TestServer::with(|builder| {
        builder.may_join_async(move |_, _| {
            let gate = gate.clone();
            started.send(()).unwrap();
            async move {
                gate.await;
                true
            }
        })
    });
    (test, has_started)
}

#[test]
fn kick_cancels_pending_join() {
    let gate = Gate::default();
    let (test, has_started) = gated_joins(&gate);
    let mut client = test.roomless_client();
    for room in ["staff", "lobby"] {
        client.send_to_room(room, "join", b"");
    }
    has_started.recv().unwrap();
    assert!(test.server.is_joining(&client.id, "staff"));
    assert!(!test.server.is_joining(&client.id, "lobby"));
    assert!(test.server.kick(&client.id, "staff"));
    client.expect_left("staff");
    assert!(!test.server.is_joining(&client.id, "staff"));
    gate.open();
    // The join behind it is decided next.
    let ack = client.expect_packet();
    client.snapshot("lobby", ack);
    client.expect_nothing();
    assert_eq!(test.server.member_count("staff"), 0);
    // The kick does not cause later joins to be rejected.
    client.send_to_room("staff", "join", b"");
    let ack = client.expect_packet();
    client.snapshot("staff", ack);
}

#[test]
fn kick_from_other_room_keeps_pending_join() {
    let gate = Gate::default();
    let (test, has_started) = gated_joins(&gate);
    let mut client = test.roomless_client();
    client.send_to_room("staff", "join", b"");
    has_started.recv().unwrap();
    assert!(test.server.kick(&client.id, "lobby"));
    client.expect_left("lobby");
    gate.open();
    let ack = client.expect_packet();
    client.snapshot("staff", ack);
}

#[test]
fn server_join_after_kick_is_kept() {
    let gate = Gate::default();
    let (test, has_started) = gated_joins(&gate);
    let mut client = test.roomless_client();
    client.send_to_room("staff", "join", b"");
    has_started.recv().unwrap();
    test.server.kick(&client.id, "staff");
    test.server.join(&client.id, "staff");
    client.expect_left("staff");
    let ack = client.expect_packet();
    client.snapshot("staff", ack);
    gate.open();
    client.expect_nothing();
    assert_eq!(test.server.member_count("staff"), 1);
}

#[test]
fn kick_during_rule_call_cancels_join() {
    let test = TestServer::with(|builder| {
        builder.may_join(|conn, room| {
            // Another thread could do the same at this time.
            conn.server().kick(conn.id(), room);
            true
        })
    });
    let mut client = test.roomless_client();
    client.send_to_room("staff", "join", b"");
    client.expect_left("staff");
    client.expect_nothing();
    assert_eq!(test.server.member_count("staff"), 0);
}

#[test]
fn late_denial_does_not_undo_server_side_join() {
    let gate = Gate::default();
    let waiting = gate.clone();
    let test = TestServer::with(|builder| {
        builder.may_join_async(move |_, _| {
            let waiting = waiting.clone();
            async move {
                waiting.await;
                false
            }
        })
    });
    let mut a = test.roomless_client();
    a.send_to_room("lobby", "join", b"");
    assert!(test.server.join(roomer_engine::ConnId::parse(&a.id).unwrap(), "lobby"));
    let ack = a.expect_packet();
    a.snapshot("lobby", ack);
    gate.open();
    let again = a.expect_packet();
    a.snapshot("lobby", again);
    a.expect_nothing();
    assert_eq!(test.server.member_count("lobby"), 1);
}

#[test]
fn connection_closed_while_rule_is_pending_is_released() {
    let gate = Gate::default();
    let waiting = gate.clone();
    let test = TestServer::with(|builder| {
        builder.on_async("wait", move |_, _| {
            let waiting = waiting.clone();
            async move {
                waiting.await;
                Ok(())
            }
        })
    });
    let mut a: Client = test.client();
    a.send_to_room("root", "wait", b"");
    let id = roomer_engine::ConnId::parse(&a.id).unwrap();
    assert!(test.server.disconnect(id, 4000, "out"));
    assert_eq!(a.expect_close(4000), "out");
    test.wait_for_drain();
}
