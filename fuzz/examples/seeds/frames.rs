//! Seeds for the frame target: items of each kind on their own, and short exchanges between nodes.

use std::net::SocketAddr;

use roomer_proto::cluster::{
    Beat, FrameKind, FrameRange, Head, Ids, Item, Lost, Names, NodeId, PeerCommand, StreamEnd,
    StreamEnds, StreamPosition, TunnelItem, TunnelRequest, UserCommand,
};
use roomer_proto::{ConnId, PacketRef};

use super::Seeds;

/// The kinds of steps for the target, by their numbers; see `roomer_fuzz::frame`.
const RAW: u8 = 0;
const CONTROL: u8 = 1;
const STREAM: u8 = 2;
const START: u8 = 3;
const WAIT: u8 = 4;
const CLIENT: u8 = 5;
const LINK: u8 = 6;
const PUBLISH: u8 = 7;

/// A step that opens a connection, which then joins a room.
const OPEN: [u8; 2] = [CLIENT, 0];
const JOIN: [u8; 2] = [CLIENT, 8 + 3];

fn body(items: &[Item<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    items.iter().for_each(|item| item.encode(&mut body));
    body
}

/// Encodes a step that is followed by a part with a length prefix.
fn step(first: &[u8], part: &[u8]) -> Vec<u8> {
    [first, &[part.len() as u8], part].concat()
}

pub(super) fn seeds() -> Seeds {
    // The first peer of the target, and one of the connections to that peer.
    let (peer, me) = (NodeId(2 << 32 | 1), NodeId(1 << 32 | 1));
    let id = peer.tag().id([7; 16]);
    let own = ConnId::from_random_bytes([1; 16]);
    let (room, text) = ("a", id.to_string());
    let packet =
        PacketRef { room, event: "chat", src: &text, payload: b"hi", ..Default::default() };
    let direct = PacketRef { dst: own.as_str(), ..packet };
    let to_user = PacketRef { src: "", room: "root", ..packet };
    let (rooms, ids) = ([room, "root"], [id.to_bytes()]);
    let applied = StreamPosition { stream: 1, number: 1 };
    let ends = [StreamEnd { to: me, stream: 1, last: 3, applied }];
    let beat = Beat {
        oldest_version: 1,
        newest_version: 1,
        name: "peer",
        uptime_ms: 300,
        streams: StreamEnds::new(&ends),
        ..Beat::default()
    };
    let lost = Lost::Some { rooms: Names::new(&rooms), senders: Ids::new(&ids) };
    let (info, user) = (r#"{"n":1}"#, "\"ann\"");
    let request = TunnelRequest {
        id: own,
        proof: [7; 16],
        received: 1,
        sends_compressed: true,
        takes_compressed: false,
        address: Some(SocketAddr::from(([192, 0, 2, 1], 80))),
        valid_ms: Some(1),
        user: Some("ann"),
        claims: Some(Names::new(&["role", "admin"])),
    };
    let accept = TunnelItem::Accept { number: 1, secret: [7; 16], hello: "{}" };
    let data = TunnelItem::Data { number: 1, is_opener: true, bytes: b"bytes" };
    let credit = TunnelItem::Credit { number: 1, is_opener: true, bytes: 1 };
    let items: [(&str, Item<'_>); 39] = [
        ("beat", Item::Beat(beat)),
        ("beat-foreign", Item::Beat(Beat { oldest_version: 7, newest_version: 9, ..beat })),
        ("want", Item::RequestStream { stream: 2, after: applied }),
        ("resend", Item::Resend(FrameRange { stream: 1, first: 1, last: 9 })),
        ("missing", Item::Missing { stream: 1, number: 2 }),
        ("applied", Item::Applied(applied)),
        ("begin-all", Item::Begin { lost: Lost::All, uptime_ms: 1 }),
        ("begin-some", Item::Begin { lost, uptime_ms: 1 }),
        ("members", Item::Members { room, ids: Ids::new(&ids) }),
        ("end", Item::End),
        ("joined", Item::Joined { id, room }),
        ("profile", Item::Profile { id, info, user }),
        ("profile-none", Item::Profile { id, info: "", user: "" }),
        ("profile-bad", Item::Profile { id, info: "{", user: "ann" }),
        ("profiles", Item::Profiles { digest: 1 }),
        ("left", Item::Left { id, room }),
        ("count", Item::Count { members: 300, room: "count" }),
        ("broadcast", Item::Broadcast { except: None, packet }),
        ("broadcast-except", Item::Broadcast { except: Some(own), packet }),
        ("direct", Item::Direct { packet: direct }),
        ("join", Item::Command { id: own, command: PeerCommand::Join { room } }),
        ("leave", Item::Command { id: own, command: PeerCommand::Leave { room } }),
        ("move", Item::Command { id: own, command: PeerCommand::Move { from: "root", to: room } }),
        (
            "close",
            Item::Command { id: own, command: PeerCommand::Close { code: 4000, reason: "x" } },
        ),
        ("away", Item::Away { id, is_away: true }),
        ("back", Item::Away { id, is_away: false }),
        ("elsewhere", Item::Elsewhere { id: own, proof: [7; 16] }),
        ("user-send", Item::User { user: "ann", command: UserCommand::Send { packet: to_user } }),
        ("user-leave", Item::User { user: "ann", command: UserCommand::Leave { room } }),
        (
            "user-close",
            Item::User { user: "ann", command: UserCommand::Close { code: 4000, reason: "x" } },
        ),
        ("user-info", Item::User { user: "ann", command: UserCommand::SetInfo { info: "[1]" } }),
        ("tunnels", Item::Tunnels),
        ("tunnel-open", Item::Tunnel(TunnelItem::Open { number: 1, request })),
        ("tunnel-accept", Item::Tunnel(accept)),
        ("tunnel-data", Item::Tunnel(data)),
        ("tunnel-credit", Item::Tunnel(credit)),
        ("tunnel-refuse", Item::Tunnel(TunnelItem::Refuse { number: 1 })),
        ("tunnel-end", Item::Tunnel(TunnelItem::End { number: 1, is_opener: false })),
        ("bye", Item::Bye),
    ];
    let mut seeds = Seeds::new();
    let mut add = |name: String, steps: &[&[u8]]| seeds.push((name, steps.concat()));
    let joined = step(&[STREAM, 1], &body(&[Item::Joined { id, room }]));
    for (name, item) in &items {
        let kind = FrameKind::Stream { stream: 1, number: 1, more: false };
        let mut frame = Vec::new();
        Head { cluster: 5, from: peer, kind }.encode(&mut frame);
        frame.extend(body(&[*item]));
        add(format!("frame-{name}"), &[&frame]);
        let (control, live) =
            (step(&[CONTROL], &body(&[*item])), step(&[STREAM, 1], &body(&[*item])));
        add(format!("control-{name}"), &[&OPEN, &[START], &JOIN, &control, &[WAIT, 40]]);
        add(format!("live-{name}"), &[&OPEN, &JOIN, &[START], &joined, &live, &[WAIT, 40]]);
    }
    let cast = body(&[Item::Broadcast { except: None, packet }]);
    let (first, second) = cast.split_at(20);
    add(
        "parts".into(),
        &[&[START], &joined, &step(&[STREAM, 129], first), &step(&[STREAM, 1], second)],
    );
    let late = step(&[STREAM, 3], &cast);
    add("hole".into(), &[&[START], &joined, &late, &[WAIT, 10], &late, &[WAIT, 30], &[START]]);
    let profile = step(&[STREAM, 1], &body(&[Item::Profile { id, info, user }]));
    let differs = step(&[CONTROL], &body(&[Item::Profiles { digest: 9 }, Item::Beat(beat)]));
    add(
        "profile-first".into(),
        &[&[START], &profile, &joined, &JOIN, &OPEN, &differs, &[WAIT, 40], &[START]],
    );
    add("infos".into(), &[&OPEN, &JOIN, &[START], &[CLIENT, 6], &[CLIENT, 14], &[PUBLISH, 255]]);
    add(
        "two-peers".into(),
        &[&[START], &[8 | START], &OPEN, &JOIN, &[CLIENT, 8 + 2], &[PUBLISH, 1], &[WAIT, 80]],
    );
    add("silence".into(), &[&OPEN, &JOIN, &[START], &joined, &[WAIT, 90], &[START], &[WAIT, 90]]);
    add(
        "small-payload".into(),
        &[&OPEN, &[START], &[LINK, 0], &JOIN, &[PUBLISH, 255], &[LINK, 60]],
    );
    let bad = step(&[CONTROL], b"\x02\x03abc").repeat(11);
    add(
        "bad-frames".into(),
        &[&[START], &joined, &bad, &[WAIT, 180], &[START], &[WAIT, 20], &[START]],
    );
    add(
        "raw".into(),
        &[&step(&[RAW], b"rm\x02 not of this version, with sender"), &step(&[RAW], b"r")],
    );
    seeds
}
