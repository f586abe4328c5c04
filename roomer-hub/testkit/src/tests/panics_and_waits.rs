//! Tests that an application's panics, errors and endless waits fail its test.

use std::future::{pending, poll_fn};
use std::task::{Poll, Waker};
use std::thread;

use super::*;
use roomer_engine::HandlerResult;

/// Builds a server in which the client's query selects the callback that panics.
fn panicking_server() -> Builder {
    let may_panic = |conn: &roomer_engine::Conn, what: &str| {
        assert!(!conn.claims().is_some_and(|claims| claims.contains_key(what)), "panic in {what}");
    };
    Server::builder()
        .authorize(|request| {
            assert!(
                request.path() == "/ws" && request.query("panic").is_none(),
                "panic in authorize"
            );
            Ok(request.query("in").map(|what| (what.into(), String::new())).into_iter().collect())
        })
        .on("sync", |_, _| panic!("panic at once"))
        .on_async("later", async |_, _| panic!("panic later"))
        .on("error", |_, message| Err(message.text()?.into()))
        .may_join(move |conn, _| {
            may_panic(conn, "may_join");
            true
        })
        .may_publish(move |conn, _| {
            may_panic(conn, "may_publish");
            true
        })
        .on_connect(move |conn| may_panic(conn, "on_connect"))
        .on_join(move |conn, _| may_panic(conn, "on_join"))
        .on_leave(move |conn, _| may_panic(conn, "on_leave"))
        .on_disconnect(move |conn, _| may_panic(conn, "on_disconnect"))
        .on_error(move |conn, _, _| may_panic(conn, "on_error"))
}

/// Runs one client that joins, sends, leaves and closes.
fn one_client(target: &str, event: &str, prepare: impl FnOnce(&mut World)) -> World {
    let mut world = World::new(11, panicking_server());
    prepare(&mut world);
    let ann = world.connect_to(target, "");
    ann.join("lobby");
    ann.send("lobby", event, "bad input");
    ann.leave("lobby");
    world.settle();
    ann.close(1000, "");
    world.settle();
    world
}

#[test]
fn application_panic_fails_test_with_message_and_seed() {
    for (target, event, part, panic_message) in [
        ("/ws?panic", "chat", "the hook `authorize` panicked", "panic in authorize"),
        ("/ws", "sync", "the handler or a rule of `sync`, for client 0, panicked", "panic at once"),
        ("/ws", "later", "the handler or a rule of `later`, for client 0, panicked", "panic later"),
        ("/ws?in=may_join", "chat", "a rule of `join`", "panic in may_join"),
        ("/ws?in=may_publish", "chat", "a rule of `chat`", "panic in may_publish"),
        ("/ws?in=on_connect", "chat", "the hook `on_connect`", "panic in on_connect"),
        ("/ws?in=on_join", "chat", "the hook `on_join`", "panic in on_join"),
        ("/ws?in=on_leave", "chat", "the hook `on_leave`", "panic in on_leave"),
        ("/ws?in=on_disconnect", "chat", "the hook `on_disconnect`", "panic in on_disconnect"),
        ("/ws?in=on_error", "error", "the hook `on_error`", "panic in on_error"),
    ] {
        let message = panics(|| drop(one_client(target, event, |_| {})));
        assert!(message.contains("under seed 11"), "{message}");
        assert!(message.contains(part) && message.contains(panic_message), "{message}");

        let world = one_client(target, event, World::allow_panics);
        let found = world.panics();
        assert!(!found.is_empty() && found.iter().all(|panic| panic.is_panic), "{found:?}");
        assert!(found[0].message.contains(panic_message), "{found:?}");
    }
}

#[test]
fn panic_outside_step_fails_test() {
    let message = panics(|| {
        let mut world = World::new(
            12,
            Server::builder().on_join(|_, room| {
                assert_eq!(room, "root", "there is no other room");
            }),
        );
        let ann = world.connect();
        world.settle();
        let id = world.server().conns()[0].id();
        assert!(ann.is_open() && world.server().join(id, "lobby"));
    });
    assert!(message.contains("under seed 12") && message.contains("no other room"), "{message}");
}

#[test]
fn spawned_task_that_panics_fails_test_with_seed() {
    let message = panics(|| {
        let mut world = World::new(13, Server::builder());
        world.spawn(async { panic!("panic in the task") });
        world.settle();
    });
    assert!(
        message.contains("under seed 13") && message.contains("panic in the task"),
        "{message}"
    );
}

#[test]
fn errors_of_handlers_are_recorded() {
    let world = one_client("/ws", "error", |_| {});
    let [error] = &world.errors()[..] else { panic!("one error") };
    assert_eq!((&*error.message, error.is_panic), ("bad input", false));
    assert_eq!(error.to_string(), "the handler of `error` returned an error: bad input");
    assert!(world.panics().is_empty());
}

fn with(handler: impl AsyncHandler) -> (World, Client) {
    let mut world = World::new(14, handler.of(Server::builder()));
    let ann = world.connect();
    ann.send("root", "wait", "");
    (world, ann)
}

/// A type of handler that can register itself with a builder.
trait AsyncHandler {
    fn of(self, builder: Builder) -> Builder;
}

impl<F, R> AsyncHandler for F
where
    F: Fn() -> R + Clone + Send + Sync + 'static,
    R: Future<Output = HandlerResult> + Send + 'static,
{
    fn of(self, builder: Builder) -> Builder {
        builder.on_async("wait", move |_, _| self())
    }
}

#[test]
fn handler_that_nothing_can_wake_is_reported() {
    let message = panics(|| with(pending::<HandlerResult>).0.settle());
    let named = "the handler of `wait`, for client 0, waits for something outside this world";
    assert!(message.contains("under seed 14") && message.contains(named), "{message}");

    let (mut world, ann) = with(pending::<HandlerResult>);
    world.allow_waiting();
    world.settle();
    let [waiting] = &world.waiting()[..] else { panic!("one waits") };
    assert_eq!((&*waiting.part, waiting.can_wake), ("the handler of `wait`", false));
    assert_eq!(waiting.conn.unwrap().as_str(), ann.id());
    ann.reset();
    world.advance(2 * MINUTE);
    assert_eq!(world.waiting(), []);
}

#[test]
fn rule_and_hook_that_nothing_can_wake_are_reported() {
    let message = panics(|| {
        let mut world = World::new(15, Server::builder().may_join_async(|_, _| pending()));
        world.connect().join("lobby");
        world.settle();
    });
    assert!(message.contains("the rule about `join`, for client 0, waits"), "{message}");
    let message = panics(|| {
        let mut world = World::new(15, Server::builder().authorize_async(|_| pending()));
        world.connect();
        world.settle();
    });
    assert!(message.contains("the hook `authorize` waits"), "{message}");
}

#[test]
fn handler_woken_by_another_task_may_wait() {
    let waker = std::sync::Arc::new(std::sync::Mutex::new(None::<Waker>));
    let kept = waker.clone();
    let (mut world, _ann) = with(move || {
        let (kept, mut again) = (kept.clone(), false);
        poll_fn(move |cx| match std::mem::replace(&mut again, true) {
            true => Poll::Ready(Ok(())),
            false => {
                *kept.lock().unwrap() = Some(cx.waker().clone());
                Poll::Pending
            }
        })
    });
    world.set_faults(Faults::none());
    world.settle();
    assert!(world.waiting()[0].can_wake);
    waker.lock().unwrap().take().unwrap().wake();
    world.settle();
    assert_eq!(world.waiting(), []);
}

#[test]
fn message_behind_slow_handler_has_full_timeout() {
    let waker = std::sync::Arc::new(std::sync::Mutex::new(None::<Waker>));
    let kept = waker.clone();
    let handler = move || {
        let (kept, mut has_registered) = (kept.clone(), false);
        poll_fn(move |cx| {
            let mut kept = kept.lock().unwrap();
            if std::mem::replace(&mut has_registered, true) && kept.is_none() {
                return Poll::Ready(Ok(()));
            }
            *kept = Some(cx.waker().clone());
            Poll::Pending
        })
    };
    let builder = handler.of(Server::builder().message_timeout(Duration::from_secs(5)));
    let mut world = World::with_faults(14, Faults::none(), builder);
    let (ann, bob) = (world.connect(), world.connect());
    ann.send("root", "wait", "");
    let packet =
        PacketRef { room: "root", event: "chat", payload: b"late", ..PacketRef::default() };
    let mut frame = Vec::new();
    let start = frames::first_byte::FINAL | frames::first_byte::BINARY;
    frames::write(start, &packet.to_bytes(), [1, 2, 3, 4], &mut frame);
    let (first, second) = frame.split_at(9);
    ann.send_bytes(first);
    world.settle();
    world.advance(Duration::from_millis(9900));
    let waker = waker.lock().unwrap().take().unwrap();
    waker.wake();
    world.advance(Duration::from_millis(4900));
    ann.send_bytes(second);
    world.settle();
    assert_eq!(bob.texts("root", "chat"), ["late"]);
    // The timeout also applies to the next message.
    ann.send_bytes(first);
    world.advance(Duration::from_millis(5100));
    assert!(!ann.is_open());
}

#[test]
fn handler_woken_by_another_thread_is_reported() {
    let handler = || {
        // Wake the task from another thread, as a thread pool or a reactor does.
        poll_fn(|cx| {
            let waker = cx.waker();
            thread::scope(|scope| drop(scope.spawn(|| waker.wake_by_ref())));
            Poll::Pending
        })
    };
    let message = panics(|| {
        let (mut world, _ann) = with(handler);
        loop {
            world.settle();
        }
    });
    assert!(message.contains("the handler of `wait`, for client 0, waits"), "{message}");
    assert!(message.contains("another thread has woken it"), "{message}");
}

#[test]
fn busy_looping_handler_is_reported() {
    let handler = || {
        poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    };
    let message = panics(|| with(handler).0.settle());
    assert!(
        message.contains("the handler of `wait`, for client 0, keeps waking itself"),
        "{message}"
    );
}

#[test]
fn sending_to_client_without_id_fails() {
    let message = panics(|| {
        let mut world = World::new(16, Server::builder());
        let (ann, bob) = (world.connect(), world.connect());
        ann.send_to(&bob.id(), "whisper", "psst");
    });
    assert!(message.contains("settle"), "{message}");
}
