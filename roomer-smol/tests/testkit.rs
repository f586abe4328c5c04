//! Tests that the test kit reports handlers waiting for smol's threads.
#![allow(clippy::unwrap_used, reason = "test helpers")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use roomer_smol::testkit::World;
use roomer_smol::{Builder, Server};

fn handlers() -> Builder {
    Server::builder()
        .on_async("timer", |conn, _| async move {
            smol::Timer::after(Duration::from_millis(1)).await;
            conn.send_to_room("root", "done", b"");
            Ok(())
        })
        .on_async("blocking", |conn, _| async move {
            smol::unblock(|| ()).await;
            conn.send_to_room("root", "done", b"");
            Ok(())
        })
        .on_async("channel", |conn, _| async move {
            let (sender, receiver) = smol::channel::bounded(1);
            sender.send("done").await?;
            conn.send_to_room("root", receiver.recv().await?, b"");
            Ok(())
        })
}

#[test]
fn handler_waiting_for_smol_thread_is_reported() {
    for event in ["timer", "blocking"] {
        let scenario = || {
            let mut world = World::new(1, handlers());
            let (ann, bob) = (world.connect(), world.connect());
            world.settle();
            ann.send("root", event, "");
            while bob.texts("root", "done").is_empty() {
                world.settle();
            }
        };
        let panic = catch_unwind(AssertUnwindSafe(scenario)).unwrap_err();
        let message = *panic.downcast::<String>().unwrap();
        let named = format!("the handler of `{event}`, for client 0, waits for something outside");
        assert!(message.contains("under seed 1") && message.contains(&named), "{message}");
    }
}

#[test]
fn handler_without_threads_works() {
    let mut world = World::new(2, handlers());
    let (ann, bob) = (world.connect(), world.connect());
    world.settle();
    ann.send("root", "channel", "");
    world.settle();
    assert_eq!(bob.texts("root", "done"), [""]);
}
