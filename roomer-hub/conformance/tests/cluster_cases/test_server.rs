//! Two nodes that replace a single server, with the same interface as `cases/test_server.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use roomer_conformance::broker::nats_servers;
use roomer_conformance::broker_kind::BrokerKind;
use roomer_conformance::client::{Client, Settle};
pub(crate) use roomer_conformance::client::{expect_nothing, join_all};
use roomer_conformance::programs::until;
use roomer_engine::{Builder, ConnId, Server, Stats};

use crate::cluster::nodes::{Nodes, Runtime};

/// Two nodes, their broker and their clients.
pub(crate) struct TestServer {
    pub(crate) server: Arc<Both>,
    nodes: Nodes,
    connected: AtomicUsize,
}

/// The servers of both nodes, which can be used like a single server.
pub(crate) struct Both([Server; 2]);

impl TestServer {
    pub(crate) fn start() -> TestServer {
        TestServer::with(|builder| builder)
    }

    pub(crate) fn compat() -> TestServer {
        TestServer::with(Builder::compat)
    }

    pub(crate) fn with(choose: impl Fn(Builder) -> Builder) -> TestServer {
        // Use the newest version of NATS that is installed.
        let kind = BrokerKind::Nats(nats_servers().pop().unwrap());
        let mut nodes = Nodes::new(&kind, &[Runtime::Tokio, Runtime::Smol]);
        nodes.start_with(2, choose);
        let server = Arc::new(Both([0, 1].map(|index| nodes.server(index).clone())));
        TestServer { server, nodes, connected: AtomicUsize::new(0) }
    }

    /// Connects a client to the node whose turn it is. The client is a member of `root`.
    pub(crate) fn client(&self) -> Client {
        let index = self.connected.fetch_add(1, Ordering::Relaxed) % 2;
        let mut client = Client::connect(self.nodes.nodes[index].as_ref().unwrap().addr);
        client.settle = Some(self.server.clone());
        self.server.joined(&client.id, "root");
        client
    }

    /// Connects a client that has left `root`.
    pub(crate) fn roomless_client(&self) -> Client {
        let mut client = self.client();
        client.leave_root();
        self.server.left(&client.id, Some("root"));
        client
    }

    pub(crate) fn roomless_clients<const N: usize>(&self) -> [Client; N] {
        std::array::from_fn(|_| self.roomless_client())
    }

    /// Connects clients that are members of one room only, and consumes the notices in it.
    pub(crate) fn clients_in<const N: usize>(&self, room: &str) -> [Client; N] {
        let mut members = self.roomless_clients();
        join_all(room, &mut members);
        members
    }
}

impl Both {
    /// Returns the statistics of the first node, but with the rejected packets of both.
    pub(crate) fn stats(&self) -> Stats {
        let [mut all, other] = self.0.each_ref().map(Server::stats);
        let (sum, rejected) = (&mut all.rejected_packets, other.rejected_packets);
        sum.reserved += rejected.reserved;
        sum.not_member += rejected.not_member;
        sum.unknown_dst += rejected.unknown_dst;
        sum.long_name += rejected.long_name;
        all
    }
}

impl Settle for Both {
    fn joined(&self, id: &str, room: &str) {
        let id = ConnId::parse(id).unwrap();
        for node in &self.0 {
            until("a node does not show a member", || {
                node.members(room).contains(&id).then_some(())
            });
        }
    }

    fn left(&self, id: &str, room: Option<&str>) {
        let id = ConnId::parse(id).unwrap();
        for node in &self.0 {
            until("a node shows a member that has left", || {
                let mut rooms = node.rooms();
                rooms.retain(|(name, _)| room.is_none_or(|room| **name == *room));
                let is_there = rooms.iter().any(|(name, _)| node.members(name).contains(&id));
                (!is_there).then_some(())
            });
        }
    }

    fn fence(&self, id: &str) -> usize {
        let id = ConnId::parse(id).unwrap();
        let others = self.0.iter().filter(|node| node.conn(id).is_none());
        others.map(|node| assert!(node.send(id, "fence", b""))).count()
    }
}
