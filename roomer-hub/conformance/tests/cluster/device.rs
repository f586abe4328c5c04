//! A client that keeps its session over several sockets, and functions that wait for handovers.

use roomer_conformance::client::{Client as RawClient, Received};
use roomer_conformance::programs::until;
use roomer_conformance::wire::Packet;
use roomer_engine::Builder;

use super::nodes::Nodes;

/// A client that keeps its session over several sockets.
pub(super) struct Device {
    pub(super) client: RawClient,
    pub(super) token: String,
    /// The number of packets that the client has received in the session.
    pub(super) received: u64,
    pub(super) query: &'static str,
}

impl Device {
    pub(super) fn connect(nodes: &Nodes, index: usize, query: &'static str) -> Device {
        let (client, token) = nodes.session(index, query);
        Device { client, token, received: 1, query }
    }

    pub(super) fn id(&self) -> &str {
        &self.client.id
    }

    /// Reconnects to a node with the session's token. Returns the number of packets that the server
    /// has received, and the previous socket.
    pub(super) fn returns(&mut self, nodes: &Nodes, index: usize) -> (u64, RawClient) {
        let Device { token, received, query, .. } = self;
        let query = format!("{query}&session={token}&received={received}");
        let (client, hello) = nodes.greeted(index, &query);
        assert_eq!(hello["resumed"], true, "{hello}");
        assert_eq!(client.id, self.client.id);
        *token = hello["session"].as_str().unwrap().into();
        let old = std::mem::replace(&mut self.client, client);
        (hello["received"].as_u64().unwrap(), old)
    }

    /// Connects to a node with the session's token, where a new session must start.
    pub(super) fn starts_over(&self, nodes: &Nodes, index: usize, query: &str) -> RawClient {
        let Device { token, received, .. } = self;
        let query = format!("{query}&session={token}&received={received}");
        let (client, _) = nodes.session(index, &query);
        assert_ne!(client.id, self.client.id);
        client
    }

    /// Connects to a node three times, with a forged token, as another user, and without a user. Each
    /// time a new session must start.
    pub(super) fn starts_over_with_wrong_proofs(
        &mut self,
        nodes: &Nodes,
        index: usize,
    ) -> [RawClient; 3] {
        let right = self.token.clone();
        let last = if right.ends_with('0') { '1' } else { '0' };
        self.token = format!("{}{last}", &right[..right.len() - 1]);
        let forged = self.starts_over(nodes, index, "&user=ann");
        self.token = right;
        let other_user = self.starts_over(nodes, index, "&user=bob");
        [forged, other_user, self.starts_over(nodes, index, "")]
    }

    /// Returns the next packet that counts in the session.
    pub(super) fn packet(&mut self) -> Packet {
        loop {
            let packet = self.client.expect_packet();
            if packet.event != "roomer:ack" {
                self.received += 1;
                return packet;
            }
        }
    }

    #[track_caller]
    pub(super) fn expect(&mut self, event: &str, src: &str, payload: &[u8]) {
        let packet = self.packet();
        assert_eq!((&*packet.event, &*packet.src, &*packet.payload), (event, src, payload));
    }

    pub(super) fn join(&mut self, nodes: &Nodes, room: &str) {
        self.client.send_to_room(room, "join", b"");
        while self.packet().event != "join_ack" {}
        nodes.shows(&self.client, room);
    }
}

pub(super) fn start(nodes: &mut Nodes, count: usize, options: impl Fn(Builder) -> Builder) {
    nodes.start_with(count, options);
    wait_for_heartbeats(nodes);
}

/// Waits until each node has received a heartbeat from every other node, which states that the
/// node accepts tunnels.
pub(super) fn wait_for_heartbeats(nodes: &Nodes) {
    for node in nodes.nodes.iter().flatten() {
        until("a node sends no heartbeats", || {
            let peers = node.server.cluster()?.peers;
            peers.iter().all(|peer| !peer.name.is_empty()).then_some(())
        });
    }
}

/// Waits for the end of a socket, however it ends.
pub(super) fn expect_end(client: &mut RawClient) {
    while let Received::Packet(_) = client.receive() {}
}

/// Waits until a node has this many sockets that belong to sessions on other nodes.
pub(super) fn has_forwarded(nodes: &Nodes, index: usize, sockets: usize) {
    until("a node has other sockets of other nodes' sessions", || {
        (nodes.sessions(index).forwarded == sockets).then_some(())
    });
}
