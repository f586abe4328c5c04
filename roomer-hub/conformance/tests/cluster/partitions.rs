//! Tests partitions of the network, and nodes that leave the cluster and rejoin it.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use roomer_conformance::broker::{Broker, Nats, nats_servers};
use roomer_conformance::broker_kind::BrokerKind;
use roomer_conformance::client::Client;
use roomer_conformance::programs::until;
use roomer_conformance::proxy::Proxy;
use roomer_engine::cluster::{Cluster, GoneReason, PeerEvent};
use roomer_engine::{Builder, Bytes};
use roomer_proto::cluster::{Head, Item, Items};

use super::nodes::{self, Nodes};
use super::tap::Tap;

/// The number of times that a node is declared dead. It is readmitted after 1, 2 and 4 heartbeats.
const DEATHS: u32 = 3;

/// Waits until each client has received this notice about all others in `root`, in any order.
fn expect_all(clients: &mut [Client], event: &str, ids: &[String]) {
    for client in clients {
        let mut seen: Vec<String> = ids
            .iter()
            .map(|_| {
                let packet = client.expect_packet();
                assert_eq!((&*packet.room, &*packet.event), ("root", event));
                String::from_utf8(packet.payload).unwrap()
            })
            .collect();
        seen.sort_unstable();
        let mut expected = ids.to_vec();
        expected.sort_unstable();
        assert_eq!(seen, expected);
    }
}

/// Makes each client send a message. All of these clients must receive it, and no others.
fn talk(clients: &mut [Client]) {
    for at in 0..clients.len() {
        let id = clients[at].id.clone();
        clients[at].send_to_room("root", "chat", b"hello");
        let others = clients.iter_mut().enumerate().filter(|(other, _)| *other != at);
        others.for_each(|(_, client)| client.expect("root", "chat", "", &id, b"hello"));
    }
}

fn ids(clients: &[Client]) -> Vec<String> {
    clients.iter().map(|client| client.id.clone()).collect()
}

pub(crate) fn isolated_node_forms_smaller_room_until_reconnected(nodes: &mut Nodes) {
    let cluster = || Cluster::named("chat");
    let address = nodes.broker.address("");
    (0..2).for_each(|_| _ = nodes.add_with(&|builder| builder, cluster(), &address));
    let proxy = nodes.add_behind_proxy(|builder| builder, cluster());
    nodes.formed();
    let [a, b, c, d] = nodes.clients([0, 1, 2, 2]);
    cut_and_heal(&proxy, [&mut [a, b], &mut [c, d]]);
}

/// The broker consists of two servers that share their subjects. Each of them has two nodes.
#[test]
fn partitioned_rooms_merge_after_broker_heals() {
    let nats: Vec<_> = nats_servers().into_iter().map(BrokerKind::Nats).collect();
    nodes::on(&nats, |kind, runtimes| {
        let BrokerKind::Nats(program) = kind else { return };
        let one = half(program, "");
        let route = one.log().after("Listening for route connections on 127.0.0.1:");
        let proxy = Proxy::start(route.parse().unwrap());
        let other = half(program, &format!("nats://127.0.0.1:{}", proxy.port));
        let at_other = other.address("");
        let mut nodes = Nodes::with(Box::new(one), runtimes);
        let at_one = nodes.broker.address("");
        for address in [&at_one, &at_one, &at_other, &at_other] {
            // Use the default silence timeout, unlike the other tests.
            nodes.add_with(&|builder| builder, Cluster::named("chat"), address);
        }
        nodes.formed();
        let [a, b, c, d] = nodes.clients([0, 1, 2, 3]);
        cut_and_heal(&proxy, [&mut [a, b], &mut [c, d]]);
    });
}

/// Starts one server of a NATS cluster. It must not advertise its address, because clients would
/// then bypass the proxy.
fn half(program: &Path, route: &str) -> Nats {
    let routes = if route.is_empty() { String::new() } else { format!("routes: [\"{route}\"]") };
    let text = format!(
        "cluster {{ name: halves, listen: \"127.0.0.1:-1\", advertise: \"127.0.0.1:1\", {routes} }}"
    );
    Nats::configured(program, &text)
}

fn cut_and_heal(proxy: &Proxy, [one, other]: [&mut [Client]; 2]) {
    for _ in 0..2 {
        proxy.cut();
        expect_all(one, "member_left", &ids(other));
        expect_all(other, "member_left", &ids(one));
        // Clients in the same half can still exchange messages.
        talk(one);
        talk(other);
        proxy.heal();
        expect_all(one, "new_member", &ids(other));
        expect_all(other, "new_member", &ids(one));
        let (first, rest) = one.split_first_mut().unwrap();
        first.send_to_room("root", "chat", b"together");
        for client in rest.iter_mut().chain(other.iter_mut()) {
            client.expect("root", "chat", "", &first.id, b"together");
        }
        for client in one.iter_mut().chain(other.iter_mut()) {
            client.expect_nothing();
        }
    }
}

/// Returns a tap that counts the heartbeats that a node receives from other nodes.
fn counting(beats: &Arc<AtomicUsize>) -> Tap {
    let beats = beats.clone();
    let received = move |frame: Bytes| {
        let (_, body) = Head::decode(&frame).unwrap();
        let is_beat = Items::new(body).any(|item| matches!(item, Ok(Item::Beat(_))));
        beats.fetch_add(usize::from(is_beat), Ordering::SeqCst);
        frame
    };
    Tap { received: Arc::new(received), ..Tap::default() }
}

pub(crate) fn flapping_node_is_readmitted_with_backoff(nodes: &mut Nodes) {
    const BEAT: Duration = Duration::from_millis(500);
    let cluster = || Cluster::named("chat").beat(BEAT, 8 * BEAT);
    let beats = Arc::new(AtomicUsize::new(0));
    // The number of heartbeats that had been received at each death and at each readmission.
    let events = Arc::new(Mutex::new(Vec::new()));
    let (kept, kept_beats) = (events.clone(), beats.clone());
    let hooked = move |builder: Builder| {
        let (events, beats) = (kept.clone(), kept_beats.clone());
        builder.on_peer(move |_, event: &PeerEvent| {
            events.lock().unwrap().push((event.gone, beats.load(Ordering::SeqCst)));
        })
    };
    let address = nodes.broker.address("");
    nodes.tap = counting(&beats);
    nodes.add_with(&hooked, cluster(), &address);
    nodes.tap = Tap::default();
    let proxy = nodes.add_behind_proxy(|builder| builder, cluster());
    nodes.formed();
    let [mut a, b] = nodes.clients([0, 1]);
    // The hook is called when the node's name has arrived. The name may arrive after the node's
    // members.
    until("the node is not reported", || events.lock().unwrap().pop());
    for _ in 0..DEATHS {
        proxy.cut();
        a.expect_member_left("root", &b.id);
        proxy.heal();
        a.expect_new_member("root", &b.id);
    }
    a.expect_nothing();
    let events = until("a return is not reported", || {
        let events = events.lock().unwrap();
        (events.len() == 2 * DEATHS as usize).then(|| events.clone())
    });
    for (death, pair) in events.chunks(2).enumerate() {
        let [(gone, before), (None, after)] = *pair else { panic!("{events:?}") };
        assert_eq!(gone, Some(GoneReason::Silent));
        assert!(after - before >= 1 << death, "death {death}: {events:?}");
    }
}

pub(crate) fn restarted_node_ends_wait_for_predecessor(nodes: &mut Nodes) {
    // The silence timeout is longer than the test.
    let cluster = || Cluster::named("chat").beat(Duration::from_secs(1), Duration::from_secs(600));
    let address = nodes.broker.address("");
    nodes.add_with(&|builder| builder, cluster(), &address);
    let (proxy, behind) = nodes.proxy();
    nodes.add_named(&|builder| builder, cluster().node("twin"), &behind);
    nodes.formed();
    let [mut a, b] = nodes.clients([0, 1]);
    until("the name of a node does not arrive", || {
        nodes.server(0).cluster()?.peers.iter().any(|peer| peer.name == "twin").then_some(())
    });
    proxy.cut();
    let twin = nodes.add_named(&|builder| builder, cluster().node("twin"), &address);
    a.expect_member_left("root", &b.id);
    let c = Client::connect(nodes.addr(twin));
    a.expect_new_member("root", &c.id);
    a.expect_nothing();
}
