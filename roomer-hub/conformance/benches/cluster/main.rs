//! Compares the cost of messages between nodes with a bare loop over the same broker.
//!
//! Both run in the same process: `cargo bench -p roomer-conformance --bench cluster`. Linux only.
//!
//! Each end of a measurement is a thread, and a figure is the CPU time of that thread. The bare
//! loop writes bytes prepared in advance, and skips the payloads that it reads. The sending node
//! handles a client's message up to the write to the broker, and the receiving node handles a frame
//! up to the output for its members. Nodes and bare loop take turns, and medians are printed.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark, whose standard output is its result"
)]

mod bare;
mod latency;
mod node;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Barrier};
use std::thread;

use roomer_conformance::broker::{Nats, nats_servers};
use roomer_proto::{PacketRef, ROOT};

const ROUNDS: usize = 5;

/// A load: the payload's bytes, the messages per frame, the frames per write, and the number of
/// messages.
#[derive(Clone, Copy, Debug)]
struct Load {
    payload: usize,
    in_frame: usize,
    in_write: usize,
    messages: usize,
}

const LOADS: [Load; 5] = [
    Load { payload: 64, in_frame: 1, in_write: 1, messages: 32_000 },
    Load { payload: 64, in_frame: 1, in_write: 32, messages: 64_000 },
    Load { payload: 64, in_frame: 16, in_write: 1, messages: 160_000 },
    Load { payload: 1024, in_frame: 1, in_write: 1, messages: 16_000 },
    Load { payload: 1024, in_frame: 1, in_write: 32, messages: 32_000 },
];

fn main() {
    let program = nats_servers().pop().unwrap();
    let broker = Nats::start(&program, &[]);
    println!("CPU per message in ns, {}; load of the machine {}", program.display(), load());
    println!("payload, messages in a frame, frames in a write: sender bare, node, ratio; receiver");
    for load in LOADS {
        let mut figures = [(); 4].map(|()| Vec::new());
        for round in 0..ROUNDS {
            let bare = both(bare::send(broker.port, load), bare::receive(broker.port, load));
            let (send, receive) = (node::send, node::receive);
            node::FORMED.store(0, Ordering::SeqCst);
            let node = both(send(broker.port, round, load), receive(broker.port, round, load));
            for (figures, spent) in figures.iter_mut().zip([bare.0, node.0, bare.1, node.1]) {
                figures.push(spent as f64 / load.messages as f64);
            }
        }
        let [bare_send, send, bare_receive, receive] = figures.map(median);
        println!(
            "{}, {}, {}: {bare_send:.0}, {send:.0}, {:.2}; {bare_receive:.0}, {receive:.0}, {:.2}",
            load.payload,
            load.in_frame,
            load.in_write,
            send / bare_send,
            receive / bare_receive
        );
    }
    latency::compare(&broker);
}

/// One end of a measurement. It waits for the other end at the start and at the end, and returns
/// its CPU time in nanoseconds.
type End = Box<dyn FnOnce(&Barrier) -> u64 + Send>;

fn both(send: End, receive: End) -> (u64, u64) {
    let barrier = Arc::new(Barrier::new(2));
    let other = barrier.clone();
    let receiver = thread::spawn(move || receive(&other));
    let spent = send(&barrier);
    (spent, receiver.join().unwrap())
}

/// Returns the packet that a client sends.
fn packet(payload: &[u8]) -> PacketRef<'_> {
    PacketRef { room: ROOT, event: "chat", payload, ..PacketRef::default() }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Returns this thread's CPU time in nanoseconds.
fn cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap();
    text.split(' ').next().unwrap().to_owned()
}
