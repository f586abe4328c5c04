//! A soak test of a cluster whose nodes are processes.
//!
//! The nodes and the broker are killed, suspended and restarted.
//!
//! Every client checks what it receives: joins and leaves alternate, messages from the same sender
//! are in order, and if a message is missing, its sender has left and rejoined. At the end, all
//! nodes must agree. `ROOMER_CHAOS_SECONDS=60 ROOMER_CHAOS_SEED=8` runs longer, with the faults in
//! another order.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "test helpers")]

mod cluster_chaos {
    pub(crate) mod node;
    pub(crate) mod witness;
}

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use cluster_chaos::node::Process;
use cluster_chaos::witness::{Knowledge, Witness};
use roomer_conformance::broker::{Broker, Nats, nats_servers};
use roomer_conformance::broker_kind::BrokerKind;
use roomer_conformance::client::Client;
use roomer_conformance::parallel::at_once;
use roomer_conformance::programs::{until, until_within};
use roomer_conformance::redis::Redis;
use roomer_simulator::random::{Random, Source};
use rustix::process::Signal;

/// The number of clients of each node.
const CLIENTS: usize = 3;

/// The time within which the nodes must agree after the last fault. A node that has died many
/// times, as in this test, is readmitted after 30 heartbeats, of which there is one per second. If
/// a heartbeat is missed, the count starts again.
const ADMISSION: Duration = Duration::from_secs(120);

/// The number of bytes that a node may have allocated at the end, in addition to those at the
/// start. Tables and buffers keep their largest capacity, which is about 1 MiB after ten seconds as
/// well as after sixty. The traffic of sixty seconds is several times this limit.
const GROWTH: usize = 2 << 20;

fn nats() -> Nats {
    Nats::start(&nats_servers().pop().unwrap(), &[])
}

#[test]
fn nats_losses_are_visible_and_nodes_converge() {
    losses_are_visible_and_nodes_converge(nats());
}

#[test]
fn redis_losses_are_visible_and_nodes_converge() {
    losses_are_visible_and_nodes_converge(Redis::start(&[]));
}

fn losses_are_visible_and_nodes_converge(mut broker: impl Broker) {
    let mut nodes: Vec<Process> = ["tokio", "smol", "tokio"]
        .into_iter()
        .map(|runtime| Process::start(runtime, &broker.address("")))
        .collect();
    let reported = |node: &Process| Some(node.allocated()).filter(|bytes| *bytes > 0);
    let idle: usize =
        nodes.iter().map(|node| until("a node reports nothing", || reported(node))).max().unwrap();
    let knowledge: Arc<Mutex<Knowledge>> = Arc::default();
    let (ends, is_calm) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = nodes
        .iter()
        .flat_map(|node| [node.addr; CLIENTS])
        .map(|addr| {
            let witness = Witness::new(addr, knowledge.clone(), ends.clone(), is_calm.clone());
            thread::spawn(move || witness.run())
        })
        .collect();

    let secs = std::env::var("ROOMER_CHAOS_SECONDS").map_or(10, |secs| secs.parse().unwrap());
    let deadline = Instant::now() + Duration::from_secs(secs);
    let seed = std::env::var("ROOMER_CHAOS_SEED").map_or(7, |seed| seed.parse().unwrap());
    let random = &mut Random::new(seed);
    while Instant::now() < deadline {
        let node = random.below(3) as usize;
        let short = Duration::from_millis(random.below(3000).into());
        match random.below(6) {
            0 => {
                nodes[node].kill();
                thread::sleep(short);
                nodes[node].restart();
            }
            1 => {
                nodes[node].signal(Signal::STOP);
                // Half of these pauses are longer than the silence timeout.
                thread::sleep(Duration::from_millis((1000 + random.below(7000)).into()));
                nodes[node].signal(Signal::CONT);
            }
            2 => {
                broker.kill();
                thread::sleep(short);
                broker.restart();
            }
            3 => {
                broker.signal(Signal::STOP);
                thread::sleep(short);
                broker.signal(Signal::CONT);
            }
            _ => thread::sleep(short / 2),
        }
    }
    is_calm.store(true, Ordering::Release);
    until_within(ADMISSION, "the nodes do not agree", || {
        assert!(clients.iter().all(|client| !client.is_finished()), "a client has failed");
        knowledge.lock().unwrap().all_agree(3 * CLIENTS).then_some(())
    });
    until("a message does not arrive", || {
        assert!(clients.iter().all(|client| !client.is_finished()), "a client has failed");
        knowledge.lock().unwrap().all_have_received_from_each_other().then_some(())
    });
    ends.store(true, Ordering::Release);
    let checked: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    println!("{checked} messages checked");
    assert!(checked > 1000, "only {checked} messages were checked");
    // None of the nodes may still show a stale member.
    for node in &nodes {
        until("members are left", || (Witness::members(node.addr)?.len() == 1).then_some(()));
        println!("{} bytes at the start, {} in the end", idle, node.allocated());
        until("memory is kept", || (node.allocated() < idle + GROWTH).then_some(()));
    }
}

/// Runs a test over each broker, with two nodes: both on tokio, both on smol, and one on each.
fn on_all(test: fn(&dyn Broker, [&'static str; 2])) {
    let runtimes = [["tokio", "tokio"], ["smol", "smol"], ["tokio", "smol"]];
    let cases = BrokerKind::all().into_iter().flat_map(|kind| {
        runtimes.map(|runtimes| (format!("{kind}, {runtimes:?}"), (kind.clone(), runtimes)))
    });
    at_once(cases, move |(kind, runtimes)| test(&*kind.start(), runtimes));
}

#[test]
fn members_of_paused_node_leave_and_return_once() {
    on_all(|broker, [one, other]| {
        let start = |runtime| Process::start(runtime, &broker.address(""));
        let (first, second) = (start(one), start(other));
        let mut a = Client::connect(first.addr);
        let mut b = Client::connect(second.addr);
        // The notice arrives when the nodes have discovered each other.
        a.expect_new_member("root", &b.id);
        if !b.root_members.contains(&a.id) {
            b.expect_new_member("root", &a.id);
        }
        // The suspension is longer than the silence timeout.
        second.signal(Signal::STOP);
        a.expect_member_left("root", &b.id);
        second.signal(Signal::CONT);
        a.expect_new_member("root", &b.id);
        b.send_to_room("root", "chat", b"awake");
        a.expect("root", "chat", "", &b.id, b"awake");
        // After it resumes, the node must not mistake its own suspension for silence of its peer.
        // Messages that it has missed are reported as a leave and a rejoin of the sender. These may
        // also account for messages sent at that time.
        let (mut said, mut received, mut shown) = (0_u8, 0, Vec::new());
        let mut say = |a: &mut Client| {
            said += 1;
            a.send_to_room("root", "chat", &[said]);
            said
        };
        let mut last = say(&mut a);
        while received < last {
            let packet = b.expect_packet();
            match &*packet.event {
                "chat" => received = packet.payload[0],
                event => shown.push(event.to_owned()),
            }
            if packet.event == "new_member" {
                last = say(&mut a);
            }
        }
        assert!(shown.is_empty() || shown == ["member_left", "new_member"], "{shown:?}");
        a.expect_nothing();
        b.expect_nothing();
    });
}

#[test]
fn members_of_killed_node_leave_once() {
    on_all(|broker, [one, other]| {
        let start = |runtime| Process::start(runtime, &broker.address(""));
        let (first, mut second) = (start(one), start(other));
        let (mut a, b) = (Client::connect(first.addr), Client::connect(second.addr));
        a.expect_new_member("root", &b.id);
        second.kill();
        a.expect_member_left("root", &b.id);
        second.restart();
        let c = Client::connect(second.addr);
        a.expect_new_member("root", &c.id);
        a.expect_nothing();
    });
}
