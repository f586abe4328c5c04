//! Tests two servers that are connected by the official client and a real NATS server.
#![allow(clippy::unwrap_used, reason = "test helpers")]

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use roomer_async_nats::NatsCarrier;
use roomer_conformance::broker::{Broker, Nats, nats_servers};
use roomer_conformance::client::Client;
use roomer_conformance::programs::until;
use roomer_tokio::{Cluster, PeerState, Server};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

struct Node {
    server: Server,
    addr: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

fn start(name: &str, address: String) -> Node {
    // A busy machine may not run the broker or a node for a while, and starts the broker slowly.
    let cluster = Cluster::named("chat").beat(Duration::from_secs(1), Duration::from_secs(120));
    let cluster = cluster.repair_timeout(Duration::from_secs(10)).node(name);
    let server = Server::builder().cluster(cluster).build().unwrap();
    let subjects = server.cluster_subjects().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let (stop, stopped) = oneshot::channel();
    let own = server.clone();
    let run = async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        sender.send(listener.local_addr().unwrap()).unwrap();
        let (carrier, link) = (NatsCarrier::connect(&address, subjects), server.clone());
        tokio::spawn(async move {
            link.run_cluster(carrier, tokio::time::sleep, |it| drop(tokio::spawn(it))).await
        });
        roomer_tokio::serve_until(listener, server, stopped).await.unwrap();
    };
    let thread = thread::spawn(move || {
        tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(run);
    });
    Node { server: own, addr: receiver.recv().unwrap(), stop, thread }
}

fn formed(nodes: &[Node]) {
    for node in nodes {
        until("the nodes do not find each other", || {
            let info = node.server.cluster()?;
            (info.is_up && info.peers_in(PeerState::Live) == 1).then_some(())
        });
    }
}

fn talk(one: &mut Client, other: &mut Client, size: usize) {
    let payload: Vec<u8> = (0..size).map(|at| (at * 7) as u8).collect();
    one.send_to_room("root", "chat", &payload);
    other.expect("root", "chat", "", &one.id, &payload);
}

#[test]
fn two_servers_share_rooms_over_official_client() {
    let program = nats_servers().pop().unwrap();
    let mut broker = Nats::start(&program, &[]);
    let nodes = ["one", "two"].map(|name| start(name, broker.address("")));
    formed(&nodes);
    let mut a = Client::connect(nodes[0].addr);
    until("a node does not show a member", || {
        (nodes[1].server.member_count("root") == 1).then_some(())
    });
    let mut b = Client::connect(nodes[1].addr);
    a.expect_new_member("root", &b.id);
    talk(&mut a, &mut b, 5);
    // The message is longer than a frame may be, so it is sent in parts.
    talk(&mut b, &mut a, 900_000);
    for _ in 0..100 {
        talk(&mut a, &mut b, 100);
    }

    broker.kill();
    until("the end of the broker is not noticed", || {
        nodes.iter().all(|node| !node.server.cluster().unwrap().is_up).then_some(())
    });
    // The journal keeps the message until the link is up again.
    a.send_to_room("root", "chat", b"meanwhile");
    broker.restart();
    formed(&nodes);
    b.expect("root", "chat", "", &a.id, b"meanwhile");
    talk(&mut b, &mut a, 5);

    // A node that stops notifies the others.
    let [one, two] = nodes;
    assert!(two.stop.send(()).is_ok());
    b.expect_close(1001);
    let gone = b.id.clone();
    drop(b);
    two.thread.join().unwrap();
    a.expect_member_left("root", &gone);
    let stats = one.server.stats().cluster.unwrap();
    until("the stop is not reported", || {
        one.server.stats().cluster?.gone.contains_key("bye").then_some(())
    });
    assert_eq!((stats.resets.len(), stats.refused.len()), (0, 0));
    assert!(one.stop.send(()).is_ok());
    a.expect_close(1001);
    drop(a);
    one.thread.join().unwrap();
}
