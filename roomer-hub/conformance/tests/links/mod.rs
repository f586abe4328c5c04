//! The links between nodes and brokers. This module is shared by the tests of all brokers.

pub(crate) mod authority;

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use roomer_conformance::wire;
use roomer_engine::Bytes;
use roomer_engine::cluster::{BrokerAddress, Carrier, CarrierEvent, NodeId, Subject, Subjects};

use super::Runtime;

/// The runtime under test.
pub(crate) trait Harness {
    fn carrier(subjects: Subjects, address: BrokerAddress) -> Box<dyn Carrier>;

    /// Runs a future. Panics if it takes too long.
    fn run<T>(future: impl Future<Output = T>) -> T;
}

/// A node that consists only of its link.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) carrier: Box<dyn Carrier>,
    pub(crate) notices: Vec<String>,
}

impl Node {
    pub(crate) fn new(id: u64, address: &str) -> Node {
        Node::of("chat", id, address)
    }

    pub(crate) fn of(cluster: &str, id: u64, address: &str) -> Node {
        let id = NodeId(id);
        let subjects = Subjects::new(cluster, id).unwrap();
        let carrier = Runtime::carrier(subjects, address.parse().unwrap());
        Node { id, carrier, notices: Vec::new() }
    }

    /// Creates a node, and waits until its link is up.
    pub(crate) async fn up(id: u64, address: &str) -> Node {
        let mut node = Node::new(id, address);
        node.expect_up().await;
        node
    }

    /// Returns the next event. Stores the notices that precede it.
    pub(crate) async fn event(&mut self) -> CarrierEvent {
        loop {
            match poll_fn(|cx| self.carrier.poll_event(cx)).await {
                CarrierEvent::Notice(text) => self.notices.push(text),
                event => return event,
            }
        }
    }

    /// Requires that the next event is that the link is up. Returns the maximum size of a frame.
    pub(crate) async fn expect_up(&mut self) -> usize {
        loop {
            match self.event().await {
                CarrierEvent::Up { max_payload } => return max_payload,
                // The node tries again.
                CarrierEvent::Down(reason) if is_late(&reason) => {}
                other => panic!("not up: {other:?}"),
            }
        }
    }

    /// Requires that the next event is that the link is down. Returns the reason.
    pub(crate) async fn expect_down(&mut self) -> String {
        match self.event().await {
            CarrierEvent::Down(reason) => reason,
            other => panic!("not down: {other:?}"),
        }
    }

    pub(crate) async fn frame(&mut self) -> Bytes {
        match self.event().await {
            CarrierEvent::Frame(frame) => frame,
            other => panic!("not a frame: {other:?}"),
        }
    }

    /// Publishes a frame. Waits until the carrier accepts it.
    pub(crate) async fn publish(&mut self, to: Subject, frame: impl Into<Bytes>) {
        let frame = frame.into();
        while !self.carrier.publish(to, frame.clone()) {
            self.flush().await;
        }
    }

    pub(crate) async fn flush(&mut self) {
        poll_fn(|cx| self.carrier.poll_flush(cx)).await;
    }
}

/// The maximum number of attempts to connect on a busy machine.
const MAX_ATTEMPTS: usize = 20;

/// Connects to a server until the attempt fails for another reason than the speed of the machine.
/// Returns that reason.
pub(crate) async fn rejection(address: &str) -> String {
    for _ in 0..MAX_ATTEMPTS {
        let reason = Node::new(1, address).expect_down().await;
        if !is_late(&reason) {
            return reason;
        }
    }
    panic!("{address} does not answer");
}

/// Returns true if a busy machine has not run the node or the server for so long that the attempt
/// to connect took too long.
fn is_late(reason: &str) -> bool {
    reason.contains(" within 2 s")
}

/// Returns the reason for which a link goes down if the server sends these bytes, and then only
/// reads.
pub(crate) fn reason_of(scheme: &str, bytes: &'static [u8]) -> String {
    for _ in 0..MAX_ATTEMPTS {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("{scheme}://{}", listener.local_addr().unwrap());
        // The thread ends when the node has dropped the connection.
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // On a busy machine, the node may have dropped the connection already.
            _ = stream.write_all(bytes);
            _ = stream.read_to_end(&mut Vec::new());
        });
        let reason = Runtime::run(async { Node::new(1, &address).expect_down().await });
        server.join().unwrap();
        // If the server sends nothing, the attempt must take too long.
        if bytes.is_empty() || !is_late(&reason) {
            return reason.strip_prefix(&format!("{address}: ")).unwrap().to_owned();
        }
    }
    panic!("the node does not react to {}", bytes.escape_ascii());
}

/// Returns bytes whose values depend on their position and on the length, so that shifted or swapped
/// bytes and frames are detected.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    let skipped = length % 251;
    wire::filler(skipped + length).split_off(skipped)
}
