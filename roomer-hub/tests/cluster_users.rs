//! Sessions whose clients reconnect to another node, and commands for all of a user's connections.

use roomer_hub::Info;
use roomer_hub::cluster::{Change, OwnedUserCommand, SessionProof};
use roomer_proto::cluster::{self as wire, FrameKind, Head, Item};
use roomer_proto::{ConnId, NEW_MEMBER, PacketRef, ROOT};

use crate::support::net::Net;

/// Returns a formed cluster of three nodes, with connection 1 on the first node.
fn net() -> Net {
    let mut net = Net::new(3);
    net.open(0, 1);
    net.run(10);
    net
}

fn record(net: &mut Net, node: usize, change: Change<'_>) {
    let (now, node) = (net.now, &mut net.nodes[node]);
    node.cluster.record(now, node.hub.tables(), change);
}

/// Reports that the client of the session `id` has connected to `node`. The report goes to the
/// session's node, identified by the tag of `id`.
fn report(net: &mut Net, node: usize, id: ConnId, secret: [u8; 16]) {
    let tables = net.nodes[node].hub.tables();
    let peer = tables.peers_of(id.as_str()).next().expect("the node of the id");
    let proof = SessionProof::new(&secret, &id, net.nodes[node].cluster.node(), None);
    record(net, node, Change::Elsewhere { peer, id, proof });
}

#[test]
fn moved_client_report_reaches_only_session_node() {
    let mut net = net();
    let (id, from) = (net.nodes[0].id(1), net.nodes[2].cluster.node());
    report(&mut net, 2, id, [9; 16]);
    net.run(10);
    let proof = SessionProof::new(&[9; 16], &id, from, None);
    assert_eq!(net.nodes[0].elsewhere, [(from, id, proof)]);
    assert!(net.nodes[1].elsewhere.is_empty());
    assert!(!net.own_frame(2).windows(16).any(|part| part == [9; 16]), "the secret is in a frame");
}

#[test]
fn report_follows_earlier_items_of_node() {
    let mut net = net();
    net.received(0, 1);
    net.open(2, 2);
    let (id, new) = (net.nodes[0].id(1), net.nodes[2].id(2));
    report(&mut net, 2, id, [9; 16]);
    net.nodes[0].is_up = false; // Frames sent meanwhile stay in the journal, in order.
    net.run(300);
    net.nodes[0].is_up = true;
    net.run(1500);
    assert_eq!(net.received(0, 1), [format!("{NEW_MEMBER} root {new}")]);
    assert_eq!(net.nodes[0].elsewhere.len(), 1);
}

#[test]
fn commands_about_user_reach_all_nodes_in_order() {
    let mut net = net();
    let packet = PacketRef { room: ROOT, event: "mail", payload: b"hi", ..PacketRef::default() };
    let commands = [
        wire::UserCommand::Send { packet },
        wire::UserCommand::Leave { room: "lobby" },
        wire::UserCommand::Close { code: 4000, reason: "out" },
        wire::UserCommand::SetInfo { info: "[1]" },
        wire::UserCommand::SetInfo { info: "" },
    ];
    for command in commands {
        record(&mut net, 1, Change::User { user: "ann", command });
    }
    net.run(10);
    for node in [0, 2] {
        let users = &net.nodes[node].users;
        assert!(users.iter().all(|(user, _)| user == "ann"), "{users:?}");
        let [send, leave, close, info, none] = &users[..] else { panic!("{users:?}") };
        let OwnedUserCommand::Send { packet: bytes } = &send.1 else { panic!("{send:?}") };
        assert_eq!(PacketRef::decode(bytes), Ok(packet));
        assert_eq!(leave.1, OwnedUserCommand::Leave { room: "lobby".into() });
        assert_eq!(close.1, OwnedUserCommand::Close { code: 4000, reason: "out".into() });
        assert_eq!(info.1, OwnedUserCommand::SetInfo { info: Info::new("[1]").ok() });
        assert_eq!(none.1, OwnedUserCommand::SetInfo { info: None });
    }
    assert!(net.nodes[1].users.is_empty());
}

#[test]
fn user_command_is_expanded_per_connection() {
    let mut net = net();
    let packet = PacketRef { room: ROOT, event: "mail", payload: b"hi", ..PacketRef::default() };
    let mut bytes = Vec::new();
    packet.encode(&mut bytes).expect("a packet");
    let (id, conn) = (net.nodes[0].id(1), net.nodes[0].key(1));
    let run = |net: &mut Net, command: &OwnedUserCommand| {
        let now = net.now;
        let command = command.for_conn(net.nodes[0].hub.tables(), conn, &id)?;
        net.nodes[0].hub(now, roomer_hub::Input::Command(command));
        Some(())
    };
    assert_eq!(run(&mut net, &OwnedUserCommand::Send { packet: bytes.into() }), Some(()));
    assert_eq!(net.received(0, 1), ["mail root hi"]);
    let leave = OwnedUserCommand::Leave { room: "lobby".into() };
    assert_eq!(run(&mut net, &leave), None, "it is not a member");
    net.say(0, 1, "lobby", "join", "");
    assert_eq!(run(&mut net, &leave), Some(()));
    assert_eq!(net.received(0, 1), [format!("leave_ack lobby {id}")]);
    let info = Info::new("[1]").ok();
    assert_eq!(run(&mut net, &OwnedUserCommand::SetInfo { info: info.clone() }), Some(()));
    assert_eq!(net.nodes[0].hub.tables().info(conn), info.as_ref());
    assert_eq!(run(&mut net, &OwnedUserCommand::Close { code: 4000, reason: "".into() }), Some(()));
    assert!(net.nodes[0].hub.tables().find_conn(id.as_str()).is_none());
}

#[test]
fn items_rejected_by_peers_are_not_sent() {
    let mut net = net();
    let long = "x".repeat(4097);
    let payload = vec![0; 1 << 20];
    let packet = PacketRef { room: ROOT, event: "mail", payload: &payload, ..PacketRef::default() };
    let close = |reason| wire::UserCommand::Close { code: 4000, reason };
    let reason = "x".repeat((1 << 20) + 70_000);
    let changes = [
        ("ann", wire::UserCommand::Send { packet }),
        ("ann", wire::UserCommand::Leave { room: &long }),
        ("ann", close(&reason)),
        (&*long, close("")),
        ("ann", wire::UserCommand::SetInfo { info: &long }),
    ];
    for (user, command) in changes {
        record(&mut net, 1, Change::User { user, command });
    }
    assert_eq!(net.nodes[1].cluster.statistics().unsendable, 5);
    net.run(10);
    assert!(net.nodes[0].users.is_empty());
}

#[test]
fn user_message_with_reserved_event_is_dropped() {
    let mut net = net();
    let packet = PacketRef { room: ROOT, event: NEW_MEMBER, ..PacketRef::default() };
    let command = wire::UserCommand::Send { packet };
    record(&mut net, 1, Change::User { user: "ann", command });
    net.run(10);
    assert!(net.nodes[0].users.is_empty());
    assert_eq!(net.nodes[1].cluster.statistics().unsendable, 1);
    // A faulty peer might send this packet anyway.
    let mut bytes = Vec::new();
    packet.encode(&mut bytes).expect("a packet");
    let (id, conn) = (net.nodes[0].id(1), net.nodes[0].key(1));
    let command = OwnedUserCommand::Send { packet: bytes.into() };
    assert!(command.for_conn(net.nodes[0].hub.tables(), conn, &id).is_none());
}

#[test]
fn peer_sending_invalid_info_is_restarted() {
    let mut net = net();
    let command = wire::UserCommand::SetInfo { info: "x" };
    record(&mut net, 1, Change::User { user: "ann", command });
    net.run(10);
    assert!(net.nodes[0].users.is_empty());
    assert_eq!(net.nodes[0].cluster.statistics().resets.len(), 1);
}

/// Earlier releases skip items that they do not know, just as this release skips items that later
/// releases added.
#[test]
fn unknown_item_in_stream_does_not_end_it() {
    let mut net = net();
    net.received(0, 1);
    net.change = Box::new(|from, frame| {
        let Ok((Head { kind: FrameKind::Stream { more: false, .. }, .. }, body)) =
            Head::decode(frame)
        else {
            return frame.clone();
        };
        if from != 1 {
            return frame.clone();
        }
        let head = frame.len() - body.len();
        let mut changed = frame[..head].to_vec();
        changed.extend([120, 3, 1, 2, 3]);
        changed.extend_from_slice(body);
        changed.into()
    });
    net.open(1, 2);
    let id = net.nodes[0].id(1);
    report(&mut net, 1, id, [9; 16]);
    net.run(10);
    assert_eq!(net.nodes[0].elsewhere.len(), 1);
    assert_eq!(net.received(0, 1).len(), 1);
    assert!(net.nodes[0].cluster.statistics().resets.is_empty());
    let mut item = Vec::new();
    Item::Elsewhere { id, proof: [0; 16] }.encode(&mut item);
    assert_eq!(item.len(), 34);
}
