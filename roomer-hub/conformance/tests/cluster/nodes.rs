//! Starts the nodes of a cluster, each on separate threads of this process, and the broker.

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use roomer_conformance::broker::Broker;
use roomer_conformance::broker_kind::BrokerKind;
use roomer_conformance::client::Client;
use roomer_conformance::parallel::at_once;
use roomer_conformance::programs::until;
use roomer_conformance::proxy::Proxy;
use roomer_engine::cluster::{BrokerAddress, Cluster, PeerState};
use roomer_engine::{Builder, ConnId, Server};
use smol::channel;
use tokio::sync::oneshot;

use super::tap::Tap;

/// The runtime on which a node runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Runtime {
    Tokio,
    Smol,
}

/// The combinations of runtimes under test.
const RUNTIMES: [&[Runtime]; 3] =
    [&[Runtime::Tokio], &[Runtime::Smol], &[Runtime::Tokio, Runtime::Smol]];

/// Runs a test over each broker, with nodes on each runtime and on both. The combinations run at
/// the same time, since they spend most of their time waiting. If one panics, its broker and
/// runtimes are printed.
pub(crate) fn on_all(test: fn(&mut Nodes)) {
    on(&BrokerKind::all(), move |kind, runtimes| test(&mut Nodes::new(kind, runtimes)));
}

/// Like [`on_all`], but only over brokers of these kinds.
pub(crate) fn on(
    kinds: &[BrokerKind],
    test: impl Fn(&BrokerKind, &'static [Runtime]) + Clone + Send + 'static,
) {
    let cases = kinds.iter().flat_map(|kind| {
        RUNTIMES.map(|runtimes| (format!("{kind}, {runtimes:?}"), (kind.clone(), runtimes)))
    });
    at_once(cases, move |(kind, runtimes)| test(&kind, runtimes));
}

/// Returns cluster options for tests in which no node is cut off: a node that the machine does not
/// run for some seconds is not declared dead.
pub(crate) fn patient(name: &str) -> Cluster {
    Cluster::named(name).beat(Duration::from_secs(1), Duration::from_secs(120))
}

/// A node of the cluster that is running.
pub(crate) struct Node {
    pub(crate) server: Server,
    pub(crate) addr: SocketAddr,
    stop: Box<dyn FnOnce()>,
    thread: JoinHandle<()>,
}

/// A broker and the nodes that use it. New nodes run on the runtimes in turn.
pub(crate) struct Nodes {
    runtimes: &'static [Runtime],
    pub(crate) broker: Box<dyn Broker>,
    /// The tap for the links of nodes that are added from now on.
    pub(crate) tap: Tap,
    pub(crate) nodes: Vec<Option<Node>>,
}

impl Nodes {
    /// Starts a broker of this kind. Its nodes will run on these runtimes.
    pub(crate) fn new(kind: &BrokerKind, runtimes: &'static [Runtime]) -> Nodes {
        Nodes::with(kind.start(), runtimes)
    }

    /// Uses a broker that is running already. Its nodes will run on these runtimes.
    pub(crate) fn with(broker: Box<dyn Broker>, runtimes: &'static [Runtime]) -> Nodes {
        Nodes { runtimes, broker, tap: Tap::default(), nodes: Vec::new() }
    }

    /// Starts this many nodes, and waits until each shows the members of all others.
    pub(crate) fn start(&mut self, count: usize) {
        self.start_with(count, |builder| builder);
    }

    pub(crate) fn start_with(&mut self, count: usize, options: impl Fn(Builder) -> Builder) {
        for _ in 0..count {
            self.add(&options, "chat");
        }
        self.formed();
    }

    /// Starts this many nodes that do not hand over clients to each other.
    pub(crate) fn start_apart(&mut self, count: usize, options: impl Fn(Builder) -> Builder) {
        let address = self.broker.address("");
        for _ in 0..count {
            let cluster = Cluster::named("chat").hand_over(false);
            self.add_with(&options, cluster, &address);
        }
        self.formed();
    }

    /// Starts this many nodes, with these cluster options.
    pub(crate) fn start_cluster(&mut self, count: usize, options: impl Fn(Cluster) -> Cluster) {
        let address = self.broker.address("");
        for _ in 0..count {
            self.add_with(&|builder| builder, options(patient("chat")), &address);
        }
        self.formed();
    }

    /// Starts another node, which connects to the broker through a proxy.
    pub(crate) fn add_behind_proxy(
        &mut self,
        options: impl Fn(Builder) -> Builder,
        cluster: Cluster,
    ) -> Proxy {
        let (proxy, address) = self.proxy();
        self.add_with(&options, cluster, &address);
        proxy
    }

    /// Starts a proxy to the broker. Returns the proxy and its address.
    pub(crate) fn proxy(&self) -> (Proxy, String) {
        let port = self.broker.port();
        let proxy = Proxy::start(port);
        let address = self.broker.address("").replace(&port.to_string(), &proxy.port.to_string());
        (proxy, address)
    }

    /// Starts another node, in the cluster of this name.
    pub(crate) fn add(&mut self, options: &impl Fn(Builder) -> Builder, cluster: &str) -> usize {
        let address = self.broker.address("");
        self.add_at(options, cluster, &address)
    }

    pub(crate) fn add_at(
        &mut self,
        options: &impl Fn(Builder) -> Builder,
        cluster: &str,
        address: &str,
    ) -> usize {
        self.add_with(options, patient(cluster), address)
    }

    pub(crate) fn add_with(
        &mut self,
        options: &impl Fn(Builder) -> Builder,
        cluster: Cluster,
        address: &str,
    ) -> usize {
        let cluster = cluster.node(format!("node {}", self.nodes.len()));
        self.add_named(options, cluster, address)
    }

    /// Starts another node with these cluster options, which include the cluster's name.
    pub(crate) fn add_named(
        &mut self,
        options: &impl Fn(Builder) -> Builder,
        cluster: Cluster,
        address: &str,
    ) -> usize {
        let index = self.nodes.len();
        // By default, a frame counts as lost after half a second. A busy machine may not run the
        // broker or a node for longer than that.
        let cluster = cluster.repair_timeout(Duration::from_secs(10));
        let cluster = cluster.formation_timeout(Duration::from_millis(50));
        let server = options(Server::builder().cluster(cluster)).build().unwrap();
        let runtime = self.runtimes[index % self.runtimes.len()];
        self.nodes.push(Some(Node::start(
            runtime,
            server,
            address.parse().unwrap(),
            self.tap.clone(),
        )));
        index
    }

    /// Waits until each node shows the members of all others.
    pub(crate) fn formed(&self) {
        let running = self.nodes.iter().flatten().count();
        for node in self.nodes.iter().flatten() {
            until("the nodes do not find each other", || {
                let info = node.server.cluster()?;
                (info.peers_in(PeerState::Live) + 1 == running).then_some(())
            });
        }
    }

    pub(crate) fn server(&self, index: usize) -> &Server {
        &self.nodes[index].as_ref().unwrap().server
    }

    pub(crate) fn addr(&self, index: usize) -> SocketAddr {
        self.nodes[index].as_ref().unwrap().addr
    }

    /// Connects a client to a node, and waits until all nodes show the client in `root`.
    pub(crate) fn client(&self, index: usize) -> Client {
        let client = Client::connect(self.addr(index));
        self.shows(&client, "root");
        client
    }

    /// Connects a client to each of these nodes, and consumes all notices in `root`.
    pub(crate) fn clients<const N: usize>(&self, indices: [usize; N]) -> [Client; N] {
        let mut clients = indices.map(|index| self.client(index));
        let ids: Vec<String> = clients.iter().map(|client| client.id.clone()).collect();
        for (at, client) in clients.iter_mut().enumerate() {
            for id in &ids[at + 1..] {
                client.expect_new_member("root", id);
            }
        }
        clients
    }

    /// Makes the clients join a room, one after another, and consumes all notices.
    pub(crate) fn join<const N: usize>(&self, room: &str, mut clients: [&mut Client; N]) {
        for at in 0..N {
            clients[at].join(room);
            self.shows(clients[at], room);
            let id = clients[at].id.clone();
            clients[..at].iter_mut().for_each(|client| client.expect_new_member(room, &id));
        }
    }

    /// Waits until all nodes show a client as a member of a room.
    pub(crate) fn shows(&self, client: &Client, room: &str) {
        let id = ConnId::parse(&client.id).unwrap();
        for node in self.nodes.iter().flatten() {
            until("a node does not show a member", || {
                node.server.members(room).contains(&id).then_some(())
            });
        }
    }

    /// Waits until a node counts this number of members in a room.
    pub(crate) fn counts(&self, index: usize, room: &str, members: usize) {
        until("a node counts other members", || {
            (self.server(index).member_count(room) == members).then_some(())
        });
    }

    /// Stops a node cleanly, with a goodbye.
    pub(crate) fn stop(&mut self, index: usize) {
        self.nodes[index].take().unwrap().stop();
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        self.nodes.drain(..).flatten().for_each(Node::stop);
    }
}

impl Node {
    fn start(runtime: Runtime, server: Server, broker: BrokerAddress, tap: Tap) -> Node {
        let (sender, receiver) = std::sync::mpsc::channel();
        let (own, linked) = (server.clone(), server.clone());
        let subjects = server.cluster_subjects().unwrap();
        let (stop, thread): (Box<dyn FnOnce()>, _) = match runtime {
            Runtime::Tokio => {
                let (stop, stopped) = oneshot::channel::<()>();
                let run = async move {
                    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                    sender.send(listener.local_addr().unwrap()).unwrap();
                    let link = tap.wrap(roomer_tokio::broker_carrier(subjects, broker));
                    let spawn = |connection| drop(tokio::spawn(connection));
                    tokio::spawn(async move {
                        linked.run_cluster(link, tokio::time::sleep, spawn).await;
                    });
                    roomer_tokio::serve_until(listener, server, stopped).await.unwrap();
                };
                let mut builder = tokio::runtime::Builder::new_current_thread();
                let thread =
                    thread::spawn(move || builder.enable_all().build().unwrap().block_on(run));
                (Box::new(|| _ = stop.send(())), thread)
            }
            Runtime::Smol => {
                let (stop, stopped) = channel::bounded::<()>(1);
                let run = async move {
                    let listener = smol::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                    sender.send(listener.local_addr().unwrap()).unwrap();
                    let executor: &'static smol::Executor<'static> =
                        Box::leak(Box::new(smol::Executor::new()));
                    let link = tap.wrap(roomer_smol::broker_carrier(subjects, broker));
                    let sleep = smol::Timer::after;
                    let spawn = |connection| executor.spawn(connection).detach();
                    executor
                        .spawn(async move { linked.run_cluster(link, sleep, spawn).await })
                        .detach();
                    let serve = roomer_smol::serve_on(executor, listener, server, stopped.recv());
                    executor.run(serve).await.unwrap();
                };
                let thread = thread::spawn(move || smol::block_on(run));
                (Box::new(move || _ = stop.close()), thread)
            }
        };
        Node { server: own, addr: receiver.recv().unwrap(), stop, thread }
    }

    fn stop(self) {
        (self.stop)();
        // If the test has failed already, its message is more useful than this one.
        let ended = self.thread.join();
        assert!(ended.is_ok() || thread::panicking(), "a node has panicked");
    }
}

pub(crate) fn id(client: &Client) -> ConnId {
    ConnId::parse(&client.id).unwrap()
}
