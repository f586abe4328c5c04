//! Tests final closes of sessions whose clients return to another node before the close arrives.

use std::io::Write;

use roomer_conformance::client::{Client, Received, TIMEOUT};
use roomer_conformance::http::{HttpRequest, dial};
use roomer_conformance::wire;
use roomer_engine::ConnId;

use super::device::{Device, has_forwarded, start};
use super::nodes::Nodes;
use super::returns::with_users;

impl Device {
    fn conn_id(&self) -> ConnId {
        ConnId::parse(self.id()).unwrap()
    }

    /// Connects to a node with the session's token, where the client must be closed. Returns the
    /// socket, which has not answered the close frame.
    fn is_closed(&self, nodes: &Nodes, index: usize, close: (u16, &str)) -> Client {
        let Device { token, received, query, .. } = self;
        let target = format!("/ws?roomer=2{query}&session={token}&received={received}");
        let addr = nodes.addr(index);
        let mut stream = dial(addr);
        stream.write_all(&HttpRequest::upgrade(addr).target(&target).bytes()).unwrap();
        let mut client = Client::unread(stream);
        let (code, reason) = close;
        assert_eq!(client.receive(), Received::Close(Some(code), reason.into()));
        client
    }
}

/// Answers a close frame, and waits until the server has received the answer.
fn answer(mut client: Client, code: u16) {
    client.send(&wire::close(code, ""));
    client.expect_end();
}

pub(crate) fn final_close_reaches_client_at_another_node_until_answered(nodes: &mut Nodes) {
    start(nodes, 3, with_users);
    let ann = Device::connect(nodes, 0, "&user=ann");
    let mut bob = nodes.client(1);
    ann.client.shutdown_write();
    nodes.has_detached(0, 1);
    // The application may run on any node.
    assert!(nodes.server(2).disconnect(ann.conn_id(), 4001, "banned"));
    bob.expect_member_left("root", ann.id());
    let close = (4001, "banned");
    // Each time, the socket is lost before the client has answered.
    for index in [1, 2, 0, 1] {
        ann.is_closed(nodes, index, close).reset();
    }
    // An answer with another code may be a close frame that the client has sent before.
    answer(ann.is_closed(nodes, 2, close), 1000);
    answer(ann.is_closed(nodes, 1, close), 4001);
    let _new = ann.starts_over(nodes, 2, "&user=ann");
    assert_eq!((nodes.sessions(0).refused.closed, nodes.sessions(0).refused.unknown), (6, 1));
    assert_eq!(
        (nodes.sessions(1).refused.other_node, nodes.sessions(2).refused.other_node),
        (0, 1)
    );
    has_forwarded(nodes, 1, 0);
    has_forwarded(nodes, 2, 0);
    assert_eq!(nodes.server(0).stats().connections, 0);
}

pub(crate) fn final_close_requires_token_and_user_at_another_node(nodes: &mut Nodes) {
    start(nodes, 2, with_users);
    let mut ann = Device::connect(nodes, 0, "&user=ann");
    ann.client.shutdown_write();
    nodes.has_detached(0, 1);
    assert!(nodes.server(0).disconnect(ann.conn_id(), 4001, "banned"));
    let _new = ann.starts_over_with_wrong_proofs(nodes, 1);
    let refused = nodes.sessions(0).refused;
    assert_eq!((refused.unknown, refused.other_user, refused.closed), (1, 2, 0));
    answer(ann.is_closed(nodes, 1, (4001, "banned")), 4001);
}

pub(crate) fn final_close_over_tunnel_is_kept_until_answered(nodes: &mut Nodes) {
    start(nodes, 2, with_users);
    for answers in [false, true] {
        let mut ann = Device::connect(nodes, 0, "&user=ann");
        ann.client.shutdown_write();
        nodes.has_detached(0, 1);
        ann.returns(nodes, 1);
        has_forwarded(nodes, 1, 1);
        assert!(nodes.server(0).disconnect(ann.conn_id(), 4000, "out"));
        let end = loop {
            match ann.client.receive() {
                Received::Packet(_) => {}
                end => break end,
            }
        };
        assert_eq!(end, Received::Close(Some(4000), "out".into()));
        if answers {
            ann.client.send(&wire::close(4000, ""));
            ann.client.expect_end();
            let _new = ann.starts_over(nodes, 1, "&user=ann");
        } else {
            ann.client.shutdown_write();
            answer(ann.is_closed(nodes, 1, (4000, "out")), 4000);
        }
        has_forwarded(nodes, 1, 0);
    }
}

pub(crate) fn further_return_ends_earlier_tunnel_with_final_close(nodes: &mut Nodes) {
    start(nodes, 2, |builder| with_users(builder).close_timeout(TIMEOUT * 10));
    let ann = Device::connect(nodes, 0, "&user=ann");
    ann.client.shutdown_write();
    nodes.has_detached(0, 1);
    assert!(nodes.server(0).disconnect(ann.conn_id(), 4001, "banned"));
    let close = (4001, "banned");
    // None of the sockets answers the close frame, except the last.
    let sockets: Vec<_> = (0..4).map(|_| ann.is_closed(nodes, 1, close)).collect();
    has_forwarded(nodes, 1, 1);
    answer(sockets.into_iter().last().unwrap(), 4001);
    has_forwarded(nodes, 1, 0);
}

pub(crate) fn full_node_closes_client_at_another_node(nodes: &mut Nodes) {
    start(nodes, 2, |builder| with_users(builder).max_connections(1));
    let ann = Device::connect(nodes, 0, "&user=ann");
    ann.client.shutdown_write();
    nodes.has_detached(0, 1);
    assert!(nodes.server(0).disconnect(ann.conn_id(), 4001, "banned"));
    let _other = nodes.client(0);
    answer(ann.is_closed(nodes, 1, (4001, "banned")), 4001);
}
