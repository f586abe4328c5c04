//! Tests nodes that do not read what the broker sends them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use roomer_conformance::broker::{Broker, Nats};
use roomer_conformance::broker_kind::BrokerKind;
use roomer_conformance::client::Client;
use roomer_conformance::programs::until;
use roomer_conformance::redis::Redis;
use roomer_engine::Builder;
use roomer_engine::cluster::Cluster;

use super::listener::Listener;
use super::nodes::{self, Nodes, Runtime};

/// A silence timeout longer than any of these tests, so that a slow node is never declared dead.
const PEER_TIMEOUT: Duration = Duration::from_secs(120);

/// Sets a backlog that can hold all messages that arrive after a stall, however slowly the test
/// client reads. Disables pings, which clients that wait for messages do not expect.
fn patient(builder: Builder) -> Builder {
    builder.max_backlog(64 << 20).pong_timeout(PEER_TIMEOUT * 10)
}

fn numbered(number: u32, size: usize) -> Vec<u8> {
    let mut payload = number.to_be_bytes().to_vec();
    payload.resize(size, 0);
    payload
}

pub(crate) fn slow_node_costs_bounded_journal_without_delaying_others(nodes: &mut Nodes) {
    const JOURNAL: usize = 256 * 1024;
    const MESSAGE: usize = 4 * 1024;
    // These messages are several times as large as the journal.
    const COUNT: u32 = 1024;
    let options = || {
        let cluster = Cluster::named("chat").beat(Duration::from_secs(1), PEER_TIMEOUT);
        cluster.journal(JOURNAL, PEER_TIMEOUT)
    };
    let address = nodes.broker.address("");
    nodes.add_with(&patient, options(), &address);
    let proxy = nodes.add_behind_proxy(patient, options());
    nodes.formed();
    let [mut a, mut c, mut b] = nodes.clients([0, 0, 1]);
    nodes.join("lobby", [&mut a, &mut c, &mut b]);
    let ids = [a.id.clone(), b.id.clone(), c.id.clone()];
    let ids = ids.each_ref().map(|id| &**id);
    let mut b = Listener::new(b, "lobby", &a, &ids);
    a.send_to_room("lobby", "n", &1_u32.to_be_bytes());
    c.expect("lobby", "n", "", &a.id, &1_u32.to_be_bytes());
    b.receive_up_to(&mut a, 1);

    proxy.stall();
    // Members on the sender's node receive the messages, although the slow node makes the sender
    // pause.
    let mut most = 0;
    for number in 2..=COUNT {
        let payload = numbered(number, MESSAGE);
        a.send_to_room("lobby", "n", &payload);
        c.expect("lobby", "n", "", &a.id, &payload);
        most = most.max(nodes.server(0).stats().cluster.unwrap().unapplied_bytes);
    }
    c.expect_nothing();
    // The node trims the journal every 250 ms.
    assert!((JOURNAL / 2..2 * JOURNAL).contains(&most), "{most} bytes were kept");
    proxy.resume();
    b.receive_up_to(&mut a, COUNT);
}

/// Starts a broker that disconnects any client with more than 1 MiB of pending output.
fn impatient(kind: &BrokerKind) -> Box<dyn Broker> {
    match kind {
        BrokerKind::Nats(program) => {
            let config = "max_pending: 1048576\nwrite_deadline: \"2s\"\n";
            Box::new(Nats::configured(program, config))
        }
        BrokerKind::Redis => {
            let limit = ["--client-output-buffer-limit", "pubsub 1mb 0 0"];
            Box::new(Redis::start(&limit))
        }
    }
}

/// Returns the text that the broker logs when it disconnects a client for being slow.
fn cut_off(kind: &BrokerKind) -> &'static str {
    match kind {
        BrokerKind::Nats(_) => "Slow Consumer",
        BrokerKind::Redis => "overcoming of output buffer limits",
    }
}

#[test]
fn slow_node_cut_off_by_broker_recovers_buffered_frames() {
    nodes::on(&BrokerKind::all(), |kind, runtimes| {
        let (returns, resets) = cut_off_while_others_speak(kind, runtimes, 64 << 20);
        assert_eq!(returns, 0, "{resets}");
    });
}

#[test]
fn slow_node_cut_off_by_broker_reports_losses() {
    nodes::on(&BrokerKind::all(), |kind, runtimes| {
        let (returns, resets) = cut_off_while_others_speak(kind, runtimes, 256 << 10);
        assert_ne!(returns, 0, "{resets}");
    });
}

/// Returns how many times a member on the slow node has seen the sender leave and rejoin, and the
/// reasons for which nodes have started their streams over.
fn cut_off_while_others_speak(
    kind: &BrokerKind,
    runtimes: &'static [Runtime],
    journal: usize,
) -> (usize, String) {
    const MESSAGE: usize = 32 * 1024;
    // More than the buffers of the broker and of the sockets can hold together.
    const MAX_FRAMES: u32 = 512;
    let mut nodes = Nodes::with(impatient(kind), runtimes);
    let options = || {
        let cluster = Cluster::named("chat").beat(Duration::from_secs(1), PEER_TIMEOUT);
        cluster.journal(journal, PEER_TIMEOUT)
    };
    let address = nodes.broker.address("");
    nodes.add_with(&patient, options(), &address);
    let warnings = Arc::new(Mutex::new(String::new()));
    let kept = warnings.clone();
    let warned = move |builder: Builder| {
        let kept = kept.clone();
        patient(builder)
            .on_warning(move |warning| kept.lock().unwrap().push_str(&warning.to_string()))
    };
    let proxy = nodes.add_behind_proxy(warned, options());
    nodes.add_with(&patient, options(), &address);
    nodes.formed();
    let [mut a, mut b, mut c] = nodes.clients([0, 1, 2]);
    nodes.join("lobby", [&mut a, &mut b, &mut c]);
    let ids = [a.id.clone(), b.id.clone(), c.id.clone()];
    let mut b = Listener::new(b, "lobby", &a, &ids.each_ref().map(|id| &**id));
    let number = |number: u32| number.to_be_bytes();
    a.send_to_room("lobby", "n", &number(1));
    c.expect("lobby", "n", "", &a.id, &number(1));
    b.receive_up_to(&mut a, 1);

    let is_cut_off = || nodes.broker.log().contains(cut_off(kind));
    let is_linked = || nodes.server(1).cluster().is_some_and(|info| info.is_up);
    // Do not wait for a warning about this outage: none is emitted shortly after the warning about
    // the outage at the start.
    let has_given_up = || !is_linked();
    let mut last = 1;
    // Wait until a third node has received the message, so that few bytes are on their way to the
    // broker. The slow node, when it returns, would receive these before those that it has missed,
    // and can hold only 1 MiB.
    let say = |a: &mut Client, c: &mut Client, last: u32| {
        let payload = numbered(last + 1, MESSAGE);
        a.send_to_room("lobby", "n", &payload);
        c.expect("lobby", "n", "", &a.id, &payload);
        last + 1
    };
    loop {
        proxy.stall();
        // Before NATS disconnects a slow node, it throttles the senders for a while.
        for _ in 0..MAX_FRAMES {
            if is_cut_off() || has_given_up() {
                break;
            }
            last = say(&mut a, &mut c, last);
        }
        until("the broker keeps the slow node", || (is_cut_off() || has_given_up()).then_some(()));
        if is_cut_off() {
            break;
        }
        // After four seconds without an answer, the node itself has given up its link. A busy machine
        // may not have filled the buffers by then, so try again.
        proxy.resume();
        until("the link does not come back", || is_linked().then_some(()));
        let sent = last;
        last = b.receive_up_to(&mut a, sent);
        (sent + 1..=last).for_each(|next| c.expect("lobby", "n", "", &a.id, &number(next)));
    }
    for _ in 0..16 {
        last = say(&mut a, &mut c, last);
    }
    proxy.resume();
    b.receive_up_to(&mut a, last);
    // The node must react as it does to a restart of the broker.
    let warnings = warnings.lock().unwrap();
    assert!(warnings.contains("broker cannot be reached"), "the link was never down: {warnings}");
    let resets = [0, 1].map(|node| nodes.server(node).stats().cluster.unwrap().resets);
    (b.returns, format!("{resets:?}"))
}
