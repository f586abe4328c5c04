//! Frames between nodes: all items survive encoding and decoding, and no input causes a panic.

use proptest::prelude::*;
use roomer_proto::cluster::{
    Beat, FrameError, FrameKind, FrameRange, HEAD_MAX, Head, Ids, Item, Items, Lost, Names, NodeId,
    Nodes, OrderItem, PeerCommand, StreamEnd, StreamEnds, StreamPosition, Subject, Subjects,
    TUNNEL_DATA, TunnelItem, TunnelRequest, UserCommand, VERSION,
};
use roomer_proto::{ConnId, PacketRef};

const IDS: [[u8; 16]; 2] = [[7; 16], [0xab; 16]];

fn id() -> ConnId {
    ConnId::from_bytes(IDS[0])
}

/// Calls `check` with an item of each kind and variant.
fn with_each_item(mut check: impl FnMut(Item<'_>)) {
    let ends = [
        StreamEnd {
            to: NodeId(1),
            stream: 3,
            last: 0,
            applied: StreamPosition { stream: 4, number: 1 << 40 },
        },
        StreamEnd {
            to: NodeId(u64::MAX),
            stream: u32::MAX,
            last: 300,
            applied: StreamPosition::default(),
        },
    ];
    let long = "n".repeat(4096);
    let src = id();
    let packet = PacketRef {
        room: "lobby",
        event: "chat",
        dst: "",
        src: src.as_str(),
        payload: &[0xff; 300],
    };
    let beat = Beat {
        oldest_version: 1,
        newest_version: 2,
        name: "ann's",
        uptime_ms: 1 << 33,
        connections: 50_000,
        rooms: 1,
        settings: 5,
        digest: u64::MAX,
        streams: StreamEnds::new(&ends),
    };
    let rooms = ["", "lobby", &long];
    let lost = Lost::Some { rooms: Names::new(&rooms), senders: Ids::new(&IDS) };
    let items = [
        Item::Beat(beat),
        Item::Beat(Beat::default()),
        Item::RequestStream { stream: 1, after: StreamPosition::default() },
        Item::RequestStream { stream: 2, after: StreamPosition { stream: 1, number: 9 } },
        Item::Applied(StreamPosition { stream: u32::MAX, number: 1 << 63 }),
        Item::Resend(FrameRange { stream: 1, first: 2, last: 1 << 60 }),
        Item::Missing { stream: 7, number: 1 << 50 },
        Item::Bye,
        Item::Begin { lost: Lost::All, uptime_ms: 1 << 40 },
        Item::Begin { lost, uptime_ms: 0 },
        Item::Begin {
            lost: Lost::Some { rooms: Names::default(), senders: Ids::default() },
            uptime_ms: 7,
        },
        Item::Members { room: "ä", ids: Ids::new(&IDS) },
        Item::Members { room: "", ids: Ids::default() },
        Item::End,
        Item::Joined { id: id(), room: "lobby" },
        Item::Left { id: id(), room: &long },
        Item::Profiles { digest: u64::MAX - 1 },
        Item::Profile { id: id(), info: "{\"name\":1}", user: "\"ann\"" },
        Item::Profile { id: id(), info: "", user: "" },
        Item::Count { members: 0, room: "" },
        Item::Count { members: u32::MAX, room: "root" },
        Item::Broadcast { except: None, packet },
        Item::Broadcast { except: Some(id()), packet },
        Item::Direct { packet },
        Item::Command { id: id(), command: PeerCommand::Join { room: "a" } },
        Item::Command { id: id(), command: PeerCommand::Leave { room: "" } },
        Item::Command { id: id(), command: PeerCommand::Move { from: "a", to: "b" } },
        Item::Command { id: id(), command: PeerCommand::Close { code: 4000, reason: "bye" } },
        Item::Away { id: id(), is_away: true },
        Item::Away { id: id(), is_away: false },
        Item::Elsewhere { id: id(), proof: [0xa5; 16] },
        Item::User { user: "", command: UserCommand::Send { packet } },
        Item::User { user: &long, command: UserCommand::Leave { room: "lobby" } },
        Item::User { user: "änn", command: UserCommand::Leave { room: "" } },
        Item::User { user: "ann", command: UserCommand::Close { code: 4000, reason: "bye" } },
        Item::User { user: "ann", command: UserCommand::SetInfo { info: "{\"name\":1}" } },
        Item::User { user: "ann", command: UserCommand::SetInfo { info: "" } },
    ];
    items.into_iter().for_each(&mut check);
    let request = TunnelRequest {
        id: id(),
        proof: [0xa5; 16],
        received: 1 << 40,
        sends_compressed: false,
        takes_compressed: false,
        address: None,
        valid_ms: None,
        user: None,
        claims: None,
    };
    let address = "[2001:db8::1]:443".parse().ok();
    let (user, claims) = (Some("änn"), Some(Names::new(&["role", "admin"])));
    let full = TunnelRequest { sends_compressed: true, address, user, claims, ..request };
    let valid = TunnelRequest {
        takes_compressed: true,
        valid_ms: Some(1 << 50),
        address: "192.0.2.1:80".parse().ok(),
        ..request
    };
    let tunnels = [
        TunnelItem::Open { number: 1, request },
        TunnelItem::Open { number: u64::MAX, request: valid },
        TunnelItem::Open { number: 2, request: full },
        TunnelItem::Accept { number: 2, secret: [3; 16], hello: "{}" },
        TunnelItem::Accept { number: 2, secret: [0; 16], hello: "" },
        TunnelItem::Data { number: 2, is_opener: false, bytes: b"bytes" },
        TunnelItem::Data { number: 2, is_opener: true, bytes: &[7; TUNNEL_DATA] },
        TunnelItem::Credit { number: 3, is_opener: true, bytes: 1 << 20 },
        TunnelItem::Refuse { number: 4 },
        TunnelItem::End { number: 4, is_opener: false },
    ];
    tunnels.into_iter().map(Item::Tunnel).for_each(&mut check);
    check(Item::Tunnels);
    let (home, node, nodes) = (NodeId(1 << 60), NodeId(2), [[7; 8], [9; 8]]);
    let submit = |is_final, to| OrderItem::Submit {
        room: "ä",
        number: 300,
        epoch: 1,
        home,
        is_final,
        to: Nodes::new(to),
    };
    let orders = [
        OrderItem::Message { number: 1, except: None, packet },
        OrderItem::Message { number: u64::MAX, except: Some(id()), packet },
        submit(false, &[]),
        submit(true, &nodes),
        OrderItem::Place { room: "lobby", node, number: 1 << 40, epoch: 0 },
        OrderItem::Return { room: "", number: 5, home },
        OrderItem::Since { number: 1 << 63 },
        OrderItem::Term { room: &long, epoch: 1 << 20, home },
    ];
    orders.into_iter().map(Item::Order).for_each(check);
}

/// Formats an item with the contents of its lists. The lists themselves cannot be compared: those
/// of the original are borrowed from the caller, and those of the decoded item from the frame.
fn debug(item: &Item<'_>) -> String {
    match item {
        Item::Beat(beat) => {
            let streams: Vec<_> = beat.streams.iter().collect();
            format!("{:?} {streams:?}", Beat { streams: StreamEnds::default(), ..*beat })
        }
        Item::Begin { lost: Lost::Some { rooms, senders }, uptime_ms } => {
            let (rooms, senders): (Vec<_>, Vec<_>) =
                (rooms.iter().collect(), senders.iter().collect());
            format!("{uptime_ms} {rooms:?} {senders:?}")
        }
        Item::Tunnel(TunnelItem::Open { number, request }) => {
            let claims: Vec<_> = request.claims.iter().flat_map(Names::iter).collect();
            format!("{number} {:?} {claims:?}", TunnelRequest { claims: None, ..*request })
        }
        item => format!("{item:?}"),
    }
}

#[test]
fn items_round_trip() {
    let (mut body, mut expected) = (Vec::new(), Vec::new());
    with_each_item(|item| {
        let start = body.len();
        item.encode(&mut body);
        assert_eq!(body.len() - start, item.encoded_len(), "{item:?}");
        expected.push(debug(&item));
        for end in start..body.len() {
            let cut: Result<Vec<_>, _> = Items::new(&body[start..end]).collect();
            assert!(end == start || cut.is_err(), "{item:?} cut to {} bytes", end - start);
        }
    });
    let decoded: Vec<String> =
        Items::new(&body).map(|item| debug(&item.expect("an item"))).collect();
    assert_eq!(decoded, expected);
}

#[test]
fn unknown_items_are_skipped_and_trailing_bytes_are_error() {
    let mut body = vec![99, 3, 1, 2, 3];
    Item::End.encode(&mut body);
    assert_eq!(Items::new(&body).collect::<Vec<_>>(), [Ok(Item::End)]);
    let (kind, wrong_len) = (body[5], 1);
    let body = [kind, wrong_len, 0, kind, 0];
    let items: Vec<_> = Items::new(&body).collect();
    assert_eq!(items, [Err(FrameError::TrailingBytes { extra: 1 })]);
    // Encode a user command from a later release.
    let mut body = Vec::new();
    let command = UserCommand::Close { code: 1, reason: "" };
    Item::User { user: "ann", command }.encode(&mut body);
    let at = body.len() - 3;
    assert_eq!(body[at], 2);
    body[at] = 99;
    Item::End.encode(&mut body);
    assert_eq!(Items::new(&body).collect::<Vec<_>>(), [Ok(Item::End)]);
}

#[test]
fn tunnel_items_are_bounded_and_unknown_kinds_skipped() {
    let too_long = [7; TUNNEL_DATA + 1];
    let mut body = Vec::new();
    let data = TunnelItem::Data { number: 1, is_opener: true, bytes: &too_long };
    Item::Tunnel(data).encode(&mut body);
    let error = FrameError::Impossible { what: "data of a tunnel" };
    assert_eq!(Items::new(&body).collect::<Vec<_>>(), [Err(error)]);
    let mut body = Vec::new();
    Item::Tunnel(TunnelItem::End { number: 1, is_opener: true }).encode(&mut body);
    body[2] = 99;
    Item::End.encode(&mut body);
    assert_eq!(Items::new(&body).collect::<Vec<_>>(), [Ok(Item::End)]);
    // Encode a tunnel request with a flag that a later release added.
    let request = TunnelRequest {
        id: id(),
        proof: [0xa5; 16],
        received: 0,
        sends_compressed: false,
        takes_compressed: false,
        address: None,
        valid_ms: None,
        user: None,
        claims: None,
    };
    let mut body = Vec::new();
    Item::Tunnel(TunnelItem::Open { number: 1, request }).encode(&mut body);
    *body.last_mut().unwrap() = 64;
    Item::End.encode(&mut body);
    assert_eq!(Items::new(&body).collect::<Vec<_>>(), [Ok(Item::End)]);
}

#[test]
fn heads_round_trip() {
    let stream = |more| FrameKind::Stream { stream: 2, number: u64::MAX, more };
    for kind in [FrameKind::Control, stream(false), stream(true)] {
        let head = Head { cluster: 77, from: NodeId(5), kind };
        let mut frame = Vec::new();
        head.encode(&mut frame);
        assert!(frame.len() <= HEAD_MAX);
        for end in 0..frame.len() {
            assert!(Head::decode(&frame[..end]).is_err(), "{end} bytes");
        }
        frame.push(42);
        assert_eq!(Head::decode(&frame), Ok((head, &[42][..])));
        frame[2] = VERSION + 1;
        let error = FrameError::Version { version: VERSION + 1, cluster: 77, from: NodeId(5) };
        assert_eq!(Head::decode(&frame), Err(error));
        frame[0] = b'x';
        assert_eq!(Head::decode(&frame), Err(FrameError::NotAFrame));
    }
}

#[test]
fn tag_is_prefix_of_node_ids() {
    let node = NodeId(0x0123_4567_89ab_cdef);
    let id = node.tag().id([0xff; 16]);
    assert_eq!(id.as_str(), "01234567-ffff-4fff-bfff-ffffffffffff");
    assert!(node.tag().is_of(&id));
    assert!(!NodeId(0).tag().is_of(&id));
    assert_eq!(ConnId::from_bytes(id.to_bytes()), id);
}

#[test]
fn node_id_text_is_unique() {
    let node = NodeId(0xabc);
    assert_eq!(node.to_string().parse(), Ok(node));
    for text in ["", "abc", "0000000000000ABC", "+000000000000abc", "00000000000000abc"] {
        assert!(text.parse::<NodeId>().is_err(), "{text}");
    }
}

#[test]
fn prefix_with_broker_wildcards_is_rejected() {
    let node = NodeId(1);
    for prefix in ["roomer", "roomer.main", "a-b_c.D9"] {
        let subjects = Subjects::new(prefix, node).expect(prefix);
        assert_eq!(subjects.name(Subject::Node(NodeId(2))), format!("{prefix}.n.{}", NodeId(2)));
    }
    let long = "x".repeat(101);
    for prefix in ["", ".", "a.", ".a", "a..b", "a.*", "a.>", "a b", "a\r\nPUB", "ä", "$SYS", &long]
    {
        let error = Subjects::new(prefix, node).expect_err(prefix).to_string();
        assert!(error.contains("letters, digits") && error.len() < 300, "{error}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0..30_u8) {
        let _ = Head::decode(&bytes);
        for item in Items::new(&bytes).flatten() {
            let _ = debug(&item);
        }
        let mut body = vec![kind, bytes.len().min(127) as u8];
        body.extend_from_slice(&bytes[..bytes.len().min(127)]);
        for item in Items::new(&body).flatten() {
            // A decoded item must survive another round trip.
            let mut again = Vec::new();
            item.encode(&mut again);
            let decoded: Vec<String> = Items::new(&again).flatten().map(|item| debug(&item)).collect();
            prop_assert_eq!(decoded, [debug(&item)]);
        }
    }
}
