//! Tests clients that reconnect to another node, and users with connections to several nodes.

use std::collections::BTreeSet;
use std::io::Write;

use roomer_conformance::client::{Client, Received};
use roomer_conformance::http::{HttpRequest, dial};
use roomer_conformance::programs::until;
use roomer_engine::{Builder, Claims, SessionStats};
use roomer_proto::extended::{Info, Members};
use serde_json::Value;

use super::nodes::{Nodes, id};

/// Adds an `authorize` hook that takes the user from the query.
pub(super) fn with_users(builder: Builder) -> Builder {
    builder.authorize(|request| {
        let user = request.query("user");
        Ok(user.map_or(Claims::new(), |user| Claims::new().user(user)))
    })
}

impl Nodes {
    /// Connects an extended client to a node. Returns the client, and the payload of its `hello`.
    pub(super) fn greeted(&self, index: usize, query: &str) -> (Client, Value) {
        let addr = self.addr(index);
        let request = HttpRequest::upgrade(addr).target(&format!("/ws?roomer=2{query}"));
        let mut stream = dial(addr);
        stream.write_all(&request.bytes()).unwrap();
        let mut client = Client::unread(stream);
        let hello = client.expect_packet();
        assert_eq!(hello.event, "roomer:hello");
        client.id.clone_from(&hello.src);
        (client, serde_json::from_slice(&hello.payload).unwrap())
    }

    /// Connects a client with a session to a node. Returns the client, and the token of its
    /// session.
    pub(super) fn session(&self, index: usize, query: &str) -> (Client, String) {
        let (mut client, hello) = self.greeted(index, query);
        assert_eq!(hello["resumed"], false);
        assert_eq!(client.expect_packet().event, "join_ack");
        self.shows(&client, "root");
        (client, hello["session"].as_str().unwrap().into())
    }

    pub(super) fn sessions(&self, index: usize) -> SessionStats {
        self.server(index).stats().sessions
    }

    pub(super) fn has_detached(&self, index: usize, sessions: usize) {
        until("other sessions are without a socket", || {
            (self.sessions(index).detached == sessions).then_some(())
        });
    }
}

pub(crate) fn reconnect_to_another_node_leaves_no_ghost(nodes: &mut Nodes) {
    nodes.start_apart(2, with_users);
    let (mut ann, token) = nodes.session(0, "&user=ann");
    ann.join("lobby");
    let [mut near, mut far] = nodes.clients([0, 1]);
    nodes.join("lobby", [&mut near, &mut far]);
    let old = ann.id.clone();
    drop(ann);
    nodes.has_detached(0, 1);

    // With a wrong secret, or as another user, the session must not change, and no member may be
    // notified.
    let last = if token.ends_with('0') { '1' } else { '0' };
    let forged = format!("{}{last}", &token[..token.len() - 1]);
    let tries = [("ann", &forged), ("bob", &token)];
    let mut others = tries.map(|(user, token)| {
        let (other, _) = nodes.session(1, &format!("&user={user}&session={token}&received=2"));
        near.expect_new_member("root", &other.id);
        far.expect_new_member("root", &other.id);
        other
    });
    until("the reports do not come", || (nodes.sessions(0).released.unknown == 2).then_some(()));
    assert_eq!((nodes.sessions(0).detached, nodes.sessions(0).released.detached), (1, 0));

    // With the right secret, the new member joins, and the old one immediately leaves its rooms.
    let (ann, _) = nodes.session(1, &format!("&user=ann&session={token}&received=2"));
    assert_ne!(ann.id, old);
    near.expect_new_member("root", &ann.id);
    far.expect_new_member("root", &ann.id);
    for client in [&mut near, &mut far] {
        let mut rooms = [client.expect_packet(), client.expect_packet()].map(|packet| {
            assert_eq!((&*packet.event, packet.payload), ("member_left", old.clone().into_bytes()));
            packet.room
        });
        rooms.sort();
        assert_eq!(rooms, ["lobby", "root"]);
    }
    let released = nodes.sessions(0).released;
    assert_eq!((released.detached, released.attached, released.unknown), (1, 0, 2));
    assert_eq!((nodes.sessions(0).detached, nodes.sessions(1).refused.other_node), (0, 3));
    assert_eq!(nodes.server(0).stats().lost, 1);
    for other in &mut others {
        other.send_to_room("lobby", "chat", b"");
    }
    near.expect_nothing();
}

pub(crate) fn half_open_socket_closes_when_client_moves_to_another_node(nodes: &mut Nodes) {
    nodes.start_apart(2, with_users);
    let (mut ann, token) = nodes.session(0, "");
    let [mut bob] = nodes.clients([1]);
    let old = ann.id.clone();
    let (again, _) = nodes.session(1, &format!("&session={token}&received=1"));
    bob.expect_new_member("root", &again.id);
    bob.expect_member_left("root", &old);
    let end = loop {
        match ann.receive() {
            Received::Packet(_) => {} // notices about other members
            end => break end,
        }
    };
    assert!(matches!(end, Received::End | Received::Reset), "{end:?}");
    assert_eq!(nodes.sessions(0).released.attached, 1);
}

pub(crate) fn away_members_are_shown_on_all_nodes(nodes: &mut Nodes) {
    let announce = |builder: Builder| builder.announce_away("root");
    nodes.start_with(2, announce);
    let (ann, token) = nodes.session(0, "");
    let (mut near, _) = nodes.extended_client(0);
    let (mut far, _) = nodes.extended_client(1);
    let id = ann.id.clone();
    drop(ann);
    let change = |kind: &str| format!("{{\"{kind}\":[\"{id}\"]}}");
    let expect = |client: &mut Client, kind: &str| loop {
        let packet = client.expect_packet();
        assert_eq!(packet.event, "roomer:members");
        // In the meantime, other clients join.
        if !packet.payload.starts_with(b"{\"joined\"") {
            return assert_eq!(String::from_utf8(packet.payload).unwrap(), change(kind));
        }
    };
    expect(&mut near, "away");
    expect(&mut far, "away");
    // A node that starts later is informed by the others that the client is away.
    let late = nodes.add(&announce, "chat");
    nodes.formed();
    let (mut carol, list) = nodes.extended_client(late);
    assert!(list.contains(&format!(",\"away\":[\"{id}\"]")), "{list}");

    let addr = nodes.addr(0);
    let target = format!("/ws?roomer=2&session={token}&received=1");
    let mut stream = dial(addr);
    stream.write_all(&HttpRequest::upgrade(addr).target(&target).bytes()).unwrap();
    let mut again = Client::unread(stream);
    let hello = again.expect_packet();
    assert_eq!((&*hello.event, &*hello.src), ("roomer:hello", &*id));
    for client in [&mut near, &mut far, &mut carol] {
        expect(client, "back");
    }
}

pub(crate) fn user_is_reachable_on_all_nodes(nodes: &mut Nodes) {
    nodes.start_with(2, |builder| with_users(builder).max_message(1000));
    let mut clients = [(0, "ann"), (1, "ann"), (1, "ann"), (1, "bob")]
        .map(|(node, user)| nodes.session(node, &format!("&user={user}")).0);
    let bob_id = clients[3].id.clone();
    // Skip notices about other members, which only extended clients receive.
    let next = |client: &mut Client| loop {
        let packet = client.expect_packet();
        if packet.event != "roomer:members" {
            return packet;
        }
    };
    for client in &mut clients[1..] {
        client.send_to_room("lobby", "join", b"");
        let ack = next(client);
        assert_eq!((&*ack.room, &*ack.event), ("lobby", "join_ack"));
        nodes.shows(client, "lobby");
    }
    let ann = nodes.server(0).user("ann");
    let far = clients[1..3].iter().map(id);
    until("its connections elsewhere are not shown", || (ann.count() == 3).then_some(()));
    let ids = ann.ids();
    assert_eq!((ids[0], ids.len(), ann.conns().len()), (id(&clients[0]), 3, 1));
    assert!(far.into_iter().all(|far| ids.contains(&far)), "{ids:?}");
    for (at, event) in ["one", "two"].into_iter().enumerate() {
        assert_eq!(ann.send(event, at.to_string()), 1);
    }
    for client in &mut clients[..3] {
        for (at, event) in ["one", "two"].into_iter().enumerate() {
            let packet = next(client);
            assert_eq!((&*packet.room, &*packet.event, &*packet.src), ("root", event, ""));
            assert_eq!(packet.dst, client.id);
            assert_eq!(packet.payload, at.to_string().into_bytes());
        }
    }
    // Two connections of the user are in the lobby, both on the other node.
    assert_eq!(ann.set_info(Info::string("busy")), Ok(1));
    let mut changed = BTreeSet::new();
    while changed.len() < 2 {
        let packet = clients[2].expect_packet();
        let members = Members::parse(&packet.payload).unwrap_or_default();
        let changes = members.changed.into_iter().filter(|_| packet.room == "lobby");
        for member in changes {
            assert_eq!(member.info, Some(Info::string("busy")));
            changed.insert(member.id);
        }
    }
    assert_eq!(changed, clients[1..3].iter().map(id).collect());
    assert_eq!(ann.send("large", vec![b'x'; 1000]), 0, "no node accepts it");
    assert_eq!(ann.kick("lobby"), 0, "its connection here is not a member");
    for client in &mut clients[1..3] {
        let packet = next(client);
        assert_eq!((&*packet.room, &*packet.event), ("lobby", "leave_ack"));
    }
    assert_eq!(nodes.server(0).user("carol").disconnect(4000, ""), 0);
    assert_eq!(ann.disconnect(4001, "out"), 1);
    for client in &mut clients[..3] {
        let end = loop {
            match client.receive() {
                Received::Packet(packet) => assert_eq!(packet.event, "roomer:members"),
                end => break end,
            }
        };
        assert_eq!(end, Received::Close(Some(4001), "out".into()));
    }
    nodes.counts(0, "root", 1);
    nodes.counts(1, "lobby", 1);
    assert!(nodes.server(1).send(id(&clients[3]), "hello", b""));
    let packet = next(&mut clients[3]);
    assert_eq!((&*packet.event, packet.dst), ("hello", bob_id), "it got nothing of ann's");
}
