//! Tests that clients can exchange a few messages while others flood the server.

use std::io::Write;
use std::sync::mpsc::{self, TryRecvError};
use std::thread;

use super::test_server::TestServer;
use roomer_conformance::client::{Client, TIMEOUT};
use roomer_conformance::wire;

/// The number of messages that the flooding client sends in one write.
const GO: usize = 100;

/// The maximum number of the flood's bytes in flight.
const AFLOAT: usize = 8 << 20;

/// Makes two clients flood a room, or each other, as fast as the receivers read. During the flood,
/// other clients must be able to connect and exchange messages.
fn during_flood(message: impl Fn(&Client) -> Vec<u8>, talk: impl FnOnce(&TestServer)) {
    // Set high limits for slow readers, which are not under test.
    let test =
        TestServer::with(|builder| builder.max_backlog(64 << 20).write_timeout(TIMEOUT * 10));
    let [a, b] = test.clients_in("flooded");
    let floods = [(&a, message(&b)), (&b, message(&a))];
    let floods =
        floods.map(|(client, message)| (client.stream.try_clone().unwrap(), message.repeat(GO)));
    thread::scope(|scope| {
        // Dropping this at the end of the scope stops the flood, even if an assertion fails.
        let mut stops = Vec::new();
        let mut readers = vec![b, a];
        for (mut stream, flood) in floods {
            let (stop, stopped) = mpsc::channel::<()>();
            stops.push(stop);
            let (permit, permits) = mpsc::channel();
            (0..AFLOAT / flood.len()).for_each(|_| permit.send(()).unwrap());
            scope.spawn(move || {
                while stopped.try_recv() == Err(TryRecvError::Empty) && permits.recv().is_ok() {
                    stream.write_all(&flood).unwrap();
                }
                stream.write_all(&wire::to_room("flooded", "end", b"")).unwrap();
            });
            // Each of the two clients receives all messages from the other.
            let mut reader = readers.remove(0);
            scope.spawn(move || {
                let mut received = 0;
                while reader.expect_view().event != b"end" {
                    received += 1;
                    if received % GO == 0 {
                        // The send fails if the flooding thread has ended.
                        let _ = permit.send(());
                    }
                }
                assert_eq!(received % GO, 0, "each go is whole");
            });
        }
        talk(&test);
    });
}

#[test]
fn flood_in_one_room_does_not_starve_another() {
    let noise = |_: &Client| wire::to_room("flooded", "noise", b"x");
    during_flood(noise, |test| {
        let [mut a, mut b] = test.clients_in("quiet");
        for n in 0..20u8 {
            a.send_to_room("quiet", "hello", &[n]);
            b.expect("quiet", "hello", "", &a.id, &[n]);
            b.send_to_room("quiet", "hello", &[n]);
            a.expect("quiet", "hello", "", &b.id, &[n]);
        }
    });
}

#[test]
fn flood_of_direct_messages_does_not_block_handshakes() {
    let noise = |to: &Client| wire::to_client(&to.id, "r", "noise", &wire::filler(500));
    during_flood(noise, |test| {
        for _ in 0..20 {
            test.client().close();
        }
    });
}
