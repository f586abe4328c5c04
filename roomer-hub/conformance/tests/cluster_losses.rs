//! Tests messages that are lost on the way to a node and cannot be repaired.
//!
//! An in-memory carrier drops their frames.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use roomer_conformance::client::Client;
use roomer_conformance::programs::until;
use roomer_engine::Builder;
use roomer_proto::cluster::{FrameKind, Head};
use roomer_tokio::{
    Bytes, Carrier, CarrierEvent, Cluster, Gap, GoneReason, Loss, NodeId, PeerEvent, PeerState,
    Server, Subject,
};

#[derive(Default)]
struct Inbox {
    events: VecDeque<CarrierEvent>,
    waker: Option<Waker>,
}

#[derive(Clone, Default)]
struct Broker(Arc<Mutex<BTreeMap<NodeId, Inbox>>>);

/// A link to the broker. While `loses` is true, it drops the numbered frames of its node, but not
/// the heartbeats.
struct Link {
    broker: Broker,
    node: NodeId,
    loses: Arc<AtomicBool>,
}

impl Carrier for Link {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<CarrierEvent> {
        let mut inboxes = self.broker.0.lock().unwrap();
        let inbox = inboxes.entry(self.node).or_default();
        let Some(event) = inbox.events.pop_front() else {
            inbox.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        Poll::Ready(event)
    }

    fn publish(&mut self, to: Subject, frame: Bytes) -> bool {
        let is_numbered = Head::decode(&frame).unwrap().0.kind != FrameKind::Control;
        if is_numbered && self.loses.load(Ordering::SeqCst) {
            return true;
        }
        for (node, inbox) in self.broker.0.lock().unwrap().iter_mut() {
            if to == Subject::All || to == Subject::Node(*node) {
                inbox.events.push_back(CarrierEvent::Frame(frame.clone()));
                inbox.waker.take().into_iter().for_each(Waker::wake);
            }
        }
        true
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

struct Node {
    server: Server,
    addr: SocketAddr,
    loses: Arc<AtomicBool>,
}

/// Starts a node. Its thread ends together with the test process.
fn start(broker: &Broker, name: &str, loss: Loss, options: impl Fn(Builder) -> Builder) -> Node {
    let cluster = Cluster::named("chat")
        .node(name)
        .loss(loss)
        .beat(Duration::from_millis(100), Duration::from_secs(60))
        .repair_timeout(Duration::from_millis(50));
    let server = options(Server::builder().cluster(cluster)).build().unwrap();
    let node = server.cluster().unwrap().node;
    let up = CarrierEvent::Up { max_payload: 1 << 20 };
    broker.0.lock().unwrap().insert(node, Inbox { events: [up].into(), waker: None });
    let loses = Arc::new(AtomicBool::new(false));
    let link = Link { broker: broker.clone(), node, loses: loses.clone() };
    let (sender, receiver) = std::sync::mpsc::channel();
    let (own, linked) = (server.clone(), server.clone());
    thread::spawn(move || {
        let run = async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            sender.send(listener.local_addr().unwrap()).unwrap();
            tokio::spawn(async move {
                linked.run_cluster(link, tokio::time::sleep, |it| drop(tokio::spawn(it))).await
            });
            roomer_tokio::serve(listener, server).await.unwrap();
        };
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run)
    });
    Node { server: own, addr: receiver.recv().unwrap(), loses }
}

fn formed(nodes: [&Node; 2]) {
    for node in nodes {
        until("the nodes do not find each other", || {
            let info = node.server.cluster()?;
            let is_named = info.peers.iter().all(|peer| !peer.name.is_empty());
            (info.peers_in(PeerState::Live) == 1 && is_named).then_some(())
        });
    }
}

/// Connects a client, and waits until both nodes show the client in all of its rooms.
fn client(nodes: [&Node; 2], at: usize, rooms: &[&str]) -> Client {
    let mut client = Client::connect(nodes[at].addr);
    rooms.iter().for_each(|room| drop(client.join(room)));
    for (node, room) in nodes.iter().flat_map(|node| rooms.iter().map(move |room| (node, room))) {
        until("a node does not show a member", || {
            let members = node.server.members(room);
            members.iter().any(|id| client.id == id.as_str()).then_some(())
        });
    }
    client
}

/// Sends a message from the first node to `lobby` that is lost permanently.
fn lose([from, to]: [&Node; 2], sender: &mut Client) {
    from.loses.store(true, Ordering::SeqCst);
    sender.send_to_room("lobby", "chat", b"lost");
    until("the loss is not found", || {
        let stats = to.server.stats().cluster?;
        stats.resets.contains_key("gap").then_some(())
    });
    from.loses.store(false, Ordering::SeqCst);
}

fn quiet_root(builder: Builder) -> Builder {
    builder.presence("root", roomer_tokio::Presence::Off)
}

#[test]
fn loss_policy_close_closes_members_and_calls_hooks() {
    let broker = Broker::default();
    let (gaps, peers) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let one = start(&broker, "one", Loss::Close, quiet_root);
    let (kept_gaps, kept_peers) = (gaps.clone(), peers.clone());
    let two = start(&broker, "two", Loss::Close, move |builder| {
        let (gaps, peers) = (kept_gaps.clone(), kept_peers.clone());
        quiet_root(builder)
            .on_peer(move |server, event: &PeerEvent| {
                server.broadcast("root", "news", event.name.as_bytes());
                peers.lock().unwrap().push(event.clone());
            })
            .on_gap(move |_, gap: &Gap| {
                gaps.lock().unwrap().push(gap.clone());
                panic!("the hook panics");
            })
    });
    let nodes = [&one, &two];
    formed(nodes);
    let mut a = client(nodes, 0, &["lobby"]);
    let mut b = client(nodes, 1, &["lobby"]);
    let mut c = client(nodes, 1, &[]);
    a.expect_new_member("lobby", &b.id);
    lose(nodes, &mut a);
    assert_eq!(b.expect_close(1012), "messages may be missing");
    a.expect_member_left("lobby", &b.id);
    c.send_to_room("root", "chat", b"fence");
    a.expect("root", "chat", "", &c.id, b"fence");

    let seen = gaps.lock().unwrap().clone();
    assert_eq!(seen.len(), 1);
    assert_eq!((&*seen[0].name, seen[0].room.as_deref()), ("one", Some("lobby")));
    assert_eq!((seen[0].node, seen[0].frames), (one.server.cluster().unwrap().node, Some(1)));
    let stats = two.server.stats();
    assert_eq!((stats.panics, stats.cluster.unwrap().gaps), (1, 1));
    let state = |events: &[PeerEvent]| {
        events.iter().map(|event| (event.name.clone(), event.gone)).collect::<Vec<_>>()
    };
    assert_eq!(state(&peers.lock().unwrap()), [("one".to_owned(), None)]);
    one.server.shutdown();
    until("the end of a node is not reported", || {
        let events = state(&peers.lock().unwrap());
        let ends = [("one".to_owned(), None), ("one".to_owned(), Some(GoneReason::Bye))];
        (events == ends).then_some(())
    });
    // Messages that a hook sends are written immediately, so this one must have arrived.
    c.expect("root", "news", "", "", b"one");
}

#[test]
fn counted_loss_is_invisible_to_clients() {
    let broker = Broker::default();
    let nodes = ["one", "two"].map(|name| start(&broker, name, Loss::Count, quiet_root));
    let nodes = [&nodes[0], &nodes[1]];
    formed(nodes);
    let mut a = client(nodes, 0, &["lobby"]);
    let mut b = client(nodes, 1, &["lobby"]);
    lose(nodes, &mut a);
    until("the stream does not start over", || {
        (nodes[1].server.stats().cluster?.gaps == 1).then_some(())
    });
    a.send_to_room("lobby", "chat", b"next");
    b.expect("lobby", "chat", "", &a.id, b"next");
}
