//! Tests of clients whose messages wait for a rule, for example one that limits their rate.
//!
//! Their pings are still answered, and their close is still detected.

use std::cell::RefCell;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use roomer_engine::{Builder, Server};
use roomer_testkit::{Client, Faults, Handshake, World};

/// The default of `close_timeout`.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum number of bytes read behind a waiting message.
const READ_AHEAD: u64 = 64 * 1024;

/// Lets a number of messages pass. The next one waits.
#[derive(Clone, Default)]
struct Turnstile(Arc<Mutex<(usize, Vec<Waker>)>>);

impl Turnstile {
    fn permit(&self, messages: usize) {
        let mut state = self.0.lock().unwrap();
        state.0 += messages;
        let waiting = std::mem::take(&mut state.1);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    async fn pass(&self) {
        poll_fn(|cx| {
            let mut state = self.0.lock().unwrap();
            match state.0.checked_sub(1) {
                Some(left) => {
                    state.0 = left;
                    Poll::Ready(())
                }
                None => {
                    state.1.push(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await;
    }
}

/// A room with a sender, whose messages wait at the turnstile, and a receiver.
struct Room {
    world: World,
    turnstile: Turnstile,
    sender: Client,
    receiver: Client,
}

impl Room {
    fn new(connect: impl Fn(&mut World) -> Client) -> Room {
        let turnstile = Turnstile::default();
        let gate = turnstile.clone();
        let builder: Builder = Server::builder().may_publish_async(move |_, _| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                true
            }
        });
        let mut world = World::new(1, builder);
        world.allow_waiting();
        let (sender, receiver) = (connect(&mut world), world.connect());
        world.settle();
        sender.join("lobby");
        receiver.join("lobby");
        world.settle();
        Room { world, turnstile, sender, receiver }
    }

    fn plain() -> Room {
        Room::new(World::connect)
    }

    /// Sends each number of a range as a message.
    fn send(&mut self, numbers: std::ops::Range<u32>) {
        numbers.for_each(|number| self.sender.send("lobby", "chat", number.to_string()));
        self.world.settle();
    }

    fn permit(&mut self, messages: usize) {
        self.turnstile.permit(messages);
        self.world.settle();
    }

    /// Checks that these numbers have arrived, each once and in order.
    #[track_caller]
    fn expect(&self, numbers: std::ops::Range<u32>) {
        let expected: Vec<_> = numbers.map(|number| number.to_string()).collect();
        assert_eq!(self.receiver.texts("lobby", "chat"), expected);
    }

    fn members(&self) -> usize {
        self.world.server().member_count("lobby")
    }
}

#[test]
fn pings_are_answered_behind_deferred_messages() {
    let mut room = Room::plain();
    room.send(0..2);
    room.sender.ping("first");
    room.send(2..4);
    room.sender.ping("second");
    room.world.settle();
    assert_eq!(room.sender.pongs(), ["first", "second"]);
    room.expect(0..0);
    room.permit(4);
    room.expect(0..4);
    assert_eq!(room.sender.pongs().len(), 2);
    assert!(room.sender.is_open());
}

#[test]
fn messages_before_close_are_handled() {
    let mut room = Room::plain();
    room.send(0..5);
    room.sender.close(1000, "done");
    room.world.settle();
    room.world.advance(CLOSE_TIMEOUT / 2);
    room.permit(4);
    room.expect(0..4);
    assert_eq!((room.members(), room.sender.closed()), (2, None));
    room.permit(1);
    room.expect(0..5);
    assert_eq!(room.members(), 1);
    assert_eq!(room.sender.closed().unwrap().code, Some(1000));
    assert_eq!(room.world.server().stats().closed_by_peer, 1);
}

/// Permits two messages, and waits until `close_timeout` has passed since the client's end while a
/// rule is pending.
fn end_late(room: &mut Room) {
    room.world.settle();
    room.permit(2);
    room.world.advance(CLOSE_TIMEOUT - Duration::from_millis(1));
    assert_eq!(room.members(), 2);
    room.world.advance(Duration::from_millis(1));
    room.expect(0..2);
}

#[test]
fn closed_client_is_removed_before_deferred_messages_are_handled() {
    for connect in [World::connect, |world: &mut World| world.connect_extended(Handshake::new())] {
        let mut room = Room::new(connect);
        room.send(0..100);
        room.sender.close(1000, "done");
        end_late(&mut room);
        assert_eq!(room.members(), 1);
        assert_eq!(room.sender.closed().unwrap().code, Some(1000));
        assert_eq!(room.world.server().stats().closed_by_peer, 1);
        // The pending rule was dropped.
        room.permit(1);
        room.expect(0..2);
    }
    let mut room = Room::plain();
    room.send(0..100);
    room.sender.half_close();
    end_late(&mut room);
    assert_eq!((room.members(), room.world.server().stats().lost), (1, 1));
}

#[test]
fn session_keeps_deferred_messages_of_lost_socket() {
    let mut room = Room::new(|world| world.connect_extended(Handshake::new()));
    room.send(0..10);
    room.sender.half_close();
    end_late(&mut room);
    assert_eq!((room.members(), room.world.server().stats().sessions.detached), (2, 1));
    // The pending rule belongs to the session.
    room.permit(1);
    room.expect(0..3);
    room.sender = room.world.reconnect(&room.sender);
    room.permit(7);
    room.expect(0..10);
    assert!(room.sender.is_resumed());
}

/// A client may close its socket right after its close frame, so that the server's next write fails.
#[test]
fn close_frame_ends_session_despite_lost_socket() {
    let mut room = Room::new(|world| world.connect_extended(Handshake::new()));
    room.send(0..3);
    room.sender.close(1000, "done");
    room.world.settle();
    room.sender.reset();
    room.world.server().broadcast("lobby", "chat", "written");
    room.world.settle();
    let stats = room.world.server().stats();
    assert_eq!((room.members(), stats.sessions.detached), (1, 0));
    assert_eq!((stats.closed_by_peer, stats.lost), (1, 0));
}

/// The socket may also be lost while the rule is called for a message that was read together with
/// the close frame.
#[test]
fn close_frame_read_with_message_ends_session_despite_lost_socket() {
    thread_local!(static SENDER: RefCell<Option<Client>> = const { RefCell::new(None) });
    let builder = Server::builder().may_publish_async(|conn, _| {
        SENDER.with_borrow(|sender| sender.as_ref().unwrap().reset());
        conn.send("written", "");
        std::future::pending()
    });
    let mut world = World::with_faults(1, Faults::none(), builder);
    world.allow_waiting();
    let sender = world.connect_extended(Handshake::new());
    world.settle();
    sender.join("lobby");
    world.settle();
    SENDER.set(Some(sender.clone()));
    sender.send("lobby", "chat", "last");
    sender.close(1000, "done");
    world.settle();
    let stats = world.server().stats();
    assert_eq!((stats.closed_by_peer, stats.lost, stats.sessions.detached), (1, 0, 0));
    SENDER.take();
}

#[test]
fn deferred_bytes_are_limited() {
    let mut room = Room::plain();
    room.send(0..1);
    let before = room.world.server().stats().bytes_in;
    for _ in 0..40 {
        room.sender.send("lobby", "large", [7; 4096]);
    }
    room.sender.ping("behind");
    room.world.settle();
    let stats = room.world.server().stats();
    assert_eq!(stats.bytes_in - before, READ_AHEAD);
    // The decoder's buffer grows by doubling.
    let held = stats.held_bytes as u64;
    assert!((READ_AHEAD..=2 * READ_AHEAD + 4096).contains(&held), "{held}");
    assert!(room.sender.pongs().is_empty());
    room.permit(41);
    assert_eq!(room.receiver.texts("lobby", "large").len(), 40);
    assert_eq!((room.sender.pongs().len(), room.world.server().stats().held_bytes), (1, 0));
}

/// JavaScript code cannot observe pings, so the JavaScript client requests an acknowledgement
/// instead, and treats the connection as lost if nothing arrives for 20 seconds.
#[test]
fn session_with_deferred_messages_acknowledges() {
    let mut room = Room::new(|world| world.connect_extended(Handshake::new()));
    // Advance past the time at which the join is acknowledged.
    room.world.advance(Duration::from_secs(6));
    room.send(0..3);
    for _ in 0..3 {
        let written = room.world.server().stats().bytes_out;
        room.world.advance(Duration::from_secs(8));
        room.sender.request_ack();
        room.world.settle();
        room.world.advance(Duration::from_secs(5));
        assert!(room.world.server().stats().bytes_out > written);
        // The first message waits for its rule, and the others for the first.
        assert_eq!(room.sender.unacknowledged(), 2);
    }
    room.permit(3);
    room.expect(0..3);
    assert_eq!(room.sender.unacknowledged(), 0);
}
