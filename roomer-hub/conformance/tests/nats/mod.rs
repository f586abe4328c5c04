//! The carrier over NATS with real servers of two versions: `tests/tokio_nats.rs` and
//! `tests/smol_nats.rs` include this file.

mod faults;
mod frames;
mod logins;
mod tls;

use std::future::poll_fn;
use std::path::Path;

use roomer_conformance::broker::{Nats, nats_servers};
use roomer_engine::Bytes;
use roomer_engine::cluster::{BrokerAddress, Carrier, CarrierEvent, NodeId, Subject, Subjects};

use crate::Runtime;

/// The runtime under test.
pub(crate) trait Harness {
    fn carrier(subjects: Subjects, address: BrokerAddress) -> Box<dyn Carrier>;

    /// Runs a future for a bounded time.
    fn run<T>(future: impl Future<Output = T>) -> T;
}

/// A link of one node.
struct Node {
    id: NodeId,
    carrier: Box<dyn Carrier>,
    notices: Vec<String>,
}

impl Node {
    fn new(id: u64, address: &str) -> Node {
        Node::of("chat", id, address)
    }

    fn of(cluster: &str, id: u64, address: &str) -> Node {
        let id = NodeId(id);
        let subjects = Subjects::new(cluster, id).unwrap();
        let carrier = Runtime::carrier(subjects, address.parse().unwrap());
        Node { id, carrier, notices: Vec::new() }
    }

    /// Creates a node whose link is up.
    async fn up(id: u64, address: &str) -> Node {
        let mut node = Node::new(id, address);
        node.expect_up().await;
        node
    }

    /// Returns the next event that is not a notice.
    async fn event(&mut self) -> CarrierEvent {
        loop {
            match poll_fn(|cx| self.carrier.poll_event(cx)).await {
                CarrierEvent::Notice(text) => self.notices.push(text),
                event => return event,
            }
        }
    }

    /// The link must be up next; returns the largest frame.
    async fn expect_up(&mut self) -> usize {
        match self.event().await {
            CarrierEvent::Up { max_payload } => max_payload,
            other => panic!("not up: {other:?}"),
        }
    }

    /// The link must be down next; returns the reason.
    async fn expect_down(&mut self) -> String {
        match self.event().await {
            CarrierEvent::Down(reason) => reason,
            other => panic!("not down: {other:?}"),
        }
    }

    async fn frame(&mut self) -> Bytes {
        match self.event().await {
            CarrierEvent::Frame(frame) => frame,
            other => panic!("not a frame: {other:?}"),
        }
    }

    /// Publishes a frame as soon as the carrier takes it.
    async fn publish(&mut self, to: Subject, frame: impl Into<Bytes>) {
        let frame = frame.into();
        while !self.carrier.publish(to, frame.clone()) {
            self.flush().await;
        }
    }

    async fn flush(&mut self) {
        poll_fn(|cx| self.carrier.poll_flush(cx)).await;
    }
}

/// Runs a test with each installed server, whose name is printed with a failure.
#[allow(clippy::print_stdout, reason = "helpers of tests")]
fn each_server(test: impl AsyncFn(&Path)) {
    for program in nats_servers() {
        println!("{}", program.display());
        Runtime::run(test(&program));
    }
}

/// Bytes that show a shift or a mix-up.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 251 + length) as u8).collect()
}
