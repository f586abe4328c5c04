//! Models of a writer's queue: the connection's own one, and one shared by a batch's receivers.

use bytes::Bytes;

use super::*;
use crate::outbound::outbox::Queue;

const PUSHES: [Push; 2] =
    [push_own, |writer, bytes| writer.push_batch(&Queue::of_batch(Bytes::from_static(bytes)))];

#[test]
fn concurrent_messages_are_written_whole_in_lock_order() {
    for push in PUSHES {
        model(move || {
            let socket = Socket::with_room(1);
            let writer = writer(&socket, 100);
            let order = Arc::new(Order::default());
            let other = {
                let (order, writer) = (order.clone(), writer.clone());
                thread::spawn(move || send_by(push, &order, &writer, b"ab"))
            };
            let own_task = {
                let writer = writer.clone();
                thread::spawn(move || run_own_task(&writer))
            };
            send_by(push, &order, &writer, b"cd");
            socket.give(2);
            other.join().unwrap();
            writer.finish(b"!"[..].into(), false);
            writer.flush();
            socket.give(2);
            own_task.join().unwrap();
            let due = [&lock(&order)[..], b"!"].concat();
            assert_eq!(socket.taken(), due);
        });
    }
}

#[test]
fn dead_outbox_stays_empty() {
    for push in PUSHES {
        model(move || {
            let socket = Socket::with_room(3);
            let writer = writer(&socket, 100);
            let other = {
                let writer = writer.clone();
                thread::spawn(move || {
                    if push(&writer, b"abcd") {
                        writer.flush();
                    }
                })
            };
            writer.discard();
            other.join().unwrap();
            run_own_task(&writer);
            let status = block_on(poll_fn(|cx| Poll::Ready(writer.poll_status(cx))));
            assert_eq!((status.phase, status.queued), (OutboxPhase::Dead, 0));
        });
    }
}

#[test]
fn budget_matches_held_bytes_and_aborted_connection_is_woken() {
    for push in PUSHES {
        model(move || {
            let socket = Socket::with_room(2);
            let budget =
                Arc::new(MemoryBudget::new(1, WaterMarks { kept: 100, high: 100, max: 200 }));
            let writer = SocketWriter::new(Pipe(socket.clone()), budget.clone());
            let own_task = {
                let writer = writer.clone();
                thread::spawn(move || {
                    writer.set_buffered(7);
                    run_own_task(&writer);
                })
            };
            if push(&writer, b"abcd") {
                writer.flush();
            }
            assert!(budget.held() >= 2 && budget.may_exceed());
            writer.abort();
            own_task.join().unwrap();
            assert_eq!(budget.held(), 0);
        });
    }
}
