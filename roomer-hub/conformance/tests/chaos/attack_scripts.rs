//! Every kind of evil, each a script.

use std::time::Duration;

use super::attacker::{Scene, Step};
use roomer_conformance::http::HttpRequest;
use roomer_conformance::wire::{self, BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT};
use roomer_simulator::random::{Random, Source};

use Step::{Enter, HangUp, MustEnd, Reset, Send, Sip, Sleep, Swallow, Trickle};

type Script = fn(&Scene<'_>, &mut Random) -> Vec<Step>;

/// The kinds by name.
pub(super) const KINDS: &[(&str, Script)] = &[
    // The handshake.
    ("silent", |_, _| vec![MustEnd]),
    ("connects and vanishes", |_, _| vec![]),
    ("connects and resets", |_, _| vec![Reset]),
    ("trickles its request", |scene, _| {
        vec![Trickle(HttpRequest::upgrade(scene.addr).bytes(), ms(100)), MustEnd]
    }),
    ("asks for half of it", |scene, dice| {
        let request = HttpRequest::upgrade(scene.addr).bytes();
        let half = dice.below(request.len() as u32) as usize;
        vec![Send(request[..half].to_vec()), one(dice, [HangUp, Reset, MustEnd]), MustEnd]
    }),
    ("no HTTP", |_, dice| vec![Send(noise(dice, 3000)), MustEnd]),
    ("a TLS hello", |_, dice| {
        vec![
            Send([&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &noise(dice, 505)].concat()),
            MustEnd,
        ]
    }),
    ("a head of 200 KiB", |scene, _| {
        let request = HttpRequest::upgrade(scene.addr).add("X-Long", &"x".repeat(200 << 10));
        vec![Send(request.bytes()), MustEnd]
    }),
    ("two thousand headers", |scene, _| {
        let headers =
            (0..2000).fold(HttpRequest::upgrade(scene.addr), |ask, n| ask.add("X", &n.to_string()));
        vec![Send(headers.bytes()), MustEnd]
    }),
    ("the wrong version", |scene, _| {
        vec![
            Send(HttpRequest::upgrade(scene.addr).set("Sec-WebSocket-Version", "8").bytes()),
            MustEnd,
        ]
    }),
    ("another page's origin", |scene, _| {
        vec![
            Send(HttpRequest::upgrade(scene.addr).add("Origin", "https://evil.example").bytes()),
            MustEnd,
        ]
    }),
    ("a request, and gone", |scene, _| vec![Send(HttpRequest::upgrade(scene.addr).bytes()), Reset]),
    // Frames.
    ("unmasked", |_, _| vec![Enter, Send(vec![FIN | BINARY, 3, 1, 2, 3]), MustEnd]),
    ("reserved bits", |_, dice| {
        let bit = 0x10 << dice.below(3);
        vec![Enter, Send(wire::frame(FIN | bit | BINARY, b"x")), MustEnd]
    }),
    ("reserved opcodes", |_, dice| {
        let opcode = one(dice, [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]);
        vec![Enter, Send(wire::frame(FIN | opcode, b"x")), MustEnd]
    }),
    ("a fragmented ping", |_, _| vec![Enter, Send(wire::frame(PING, b"x")), MustEnd]),
    ("an oversized ping", |_, _| vec![Enter, Send(wire::frame(FIN | PING, &[0; 126])), MustEnd]),
    ("a continuation of nothing", |_, _| {
        vec![Enter, Send(wire::frame(FIN | CONTINUATION, b"x")), MustEnd]
    }),
    ("a message inside a message", |_, _| {
        vec![Enter, Send([wire::frame(BINARY, b"x"), wire::message(b"y")].concat()), MustEnd]
    }),
    ("too long an announcement", |_, dice| {
        let length = one(dice, [16_777_217, 1 << 40, u64::MAX]);
        vec![Enter, Send(wire::header(FIN | BINARY, length)), MustEnd]
    }),
    ("announces and never sends", |_, _| {
        vec![
            Enter,
            Send(wire::header(FIN | BINARY, 16_777_216)),
            Send(vec![0; 500]),
            Sleep(ms(2000)),
        ]
    }),
    ("fragments without end", |_, _| {
        vec![Enter, Send(wire::frame(BINARY, b"x")), Send(fragments(b"y", 2000)), MustEnd]
    }),
    ("empty fragments", |_, _| {
        vec![Enter, Send(wire::frame(BINARY, b"")), Send(fragments(b"", 20_000)), MustEnd]
    }),
    ("pings and reads no pong", |_, _| {
        vec![Enter, Send(wire::frame(FIN | PING, &[7; 125]).repeat(20_000)), Sleep(ms(500)), Reset]
    }),
    ("pongs that nobody asked for", |_, _| {
        vec![Enter, Send(wire::frame(FIN | PONG, &[7; 125]).repeat(5000)), Swallow(ms(300))]
    }),
    ("goes on after its close frame", |scene, _| {
        let more = wire::to_room(&scene.rooms[0], "noise", b"after the end").repeat(50);
        vec![Enter, Send([wire::close(1000, ""), more].concat()), MustEnd]
    }),
    ("bad close codes", |_, dice| {
        vec![
            Enter,
            Send(wire::close(one(dice, [0, 999, 1004, 1005, 1006, 2999, 65535]), "")),
            MustEnd,
        ]
    }),
    ("half a close code", |_, _| vec![Enter, Send(wire::frame(FIN | CLOSE, b"x")), MustEnd]),
    ("a close reason that is no text", |_, _| {
        vec![Enter, Send(wire::frame(FIN | CLOSE, &[3, 232, 0xff, 0xfe])), MustEnd]
    }),
    ("text", |_, _| vec![Enter, Send(wire::frame(FIN | TEXT, b"hello")), MustEnd]),
    ("text that is none", |_, _| vec![Enter, Send(wire::frame(FIN | TEXT, &[0xff; 9])), MustEnd]),
    ("garbage for frames", |_, dice| {
        let garbage = noise(dice, 3000);
        vec![Enter, Send(garbage), HangUp, MustEnd]
    }),
    ("frames cut short", |scene, dice| {
        let frame = wire::to_room(&scene.rooms[0], "noise", &noise(dice, 300));
        let cut = dice.below(frame.len() as u32) as usize;
        vec![Enter, Send(frame[..cut].to_vec()), one(dice, [HangUp, Reset]), MustEnd]
    }),
    // Packets.
    ("malformed packets", |_, dice| {
        let packet = noise(dice, 60);
        vec![Enter, Send(wire::message(&packet)), MustEnd]
    }),
    ("names that are no text", |_, _| {
        vec![Enter, Send(wire::message(&wire::packet([&[0xff], b"x", b"", b"", b""]))), MustEnd]
    }),
    ("one bit wrong", |scene, dice| {
        let mut bytes = wire::to_room(&scene.rooms[1], "join", b"").repeat(3);
        let bit = dice.below(bytes.len() as u32 * 8) as usize;
        bytes[bit / 8] ^= 1 << (bit % 8);
        vec![Enter, Send(bytes), HangUp, MustEnd]
    }),
    ("a huge message", |scene, _| {
        // To a room that nobody is in: the others are not to wait for it.
        let packet = [b"nowhere", &b"join"[..], b"", b"", &vec![1; 4 << 20]];
        vec![Enter, Send(wire::message(&wire::packet(packet))), poke(scene), Swallow(ms(300))]
    }),
    // Rooms.
    ("a forged src", |scene, dice| {
        let room = room(scene, dice);
        let id = scene.victim.as_bytes();
        let forged = wire::message(&wire::packet([room.as_bytes(), b"forged", b"", id, id]));
        vec![Enter, Send(join(room)), Send(forged.repeat(20)), Swallow(ms(200)), HangUp, MustEnd]
    }),
    ("reserved events", |scene, dice| {
        let room = room(scene, dice);
        let mut bytes = join(room);
        for event in ["join_ack", "leave_ack", "new_member", "member_left", "open", "close"] {
            bytes.extend(wire::to_room(room, event, scene.victim.as_bytes()));
            bytes.extend(wire::to_client(&scene.victim, room, event, scene.victim.as_bytes()));
        }
        vec![Enter, Send(bytes), Swallow(ms(200)), Reset]
    }),
    ("foreign rooms", |scene, dice| {
        let noise = wire::to_room(room(scene, dice), "noise", b"from outside");
        vec![Enter, Send(leave("root")), Send(noise.repeat(100)), Swallow(ms(100))]
    }),
    ("pokes a stranger", |scene, dice| {
        let strangers = wire::to_client("nobody", room(scene, dice), "poke", b"x");
        vec![Enter, poke(scene), Send(strangers.repeat(200)), poke(scene), Swallow(ms(100))]
    }),
    ("long names", |scene, _| {
        let name = "n".repeat(5000);
        let bytes =
            [join(&name), wire::to_room(&scene.rooms[0], &name, b""), join(&"x".repeat(4096))];
        vec![Enter, Send(bytes.concat()), Swallow(ms(200))]
    }),
    ("thousands of rooms", |_, dice| {
        let base = dice.below(1 << 30);
        let joins: Vec<_> = (0..3000).flat_map(|n| join(&format!("evil-{}", base + n))).collect();
        vec![Enter, Send(joins), Swallow(ms(500)), one(dice, [HangUp, Reset]), MustEnd]
    }),
    ("flaps", |scene, dice| {
        let room = room(scene, dice);
        let flap = [join(room), leave(room)].concat().repeat(40);
        vec![Enter, Send(flap.clone()), Swallow(ms(100)), Send(flap), Swallow(ms(300)), Reset]
    }),
    ("flaps and reads nothing", |scene, dice| {
        let room = room(scene, dice);
        vec![Enter, Send([join(room), leave(room)].concat().repeat(100)), Sleep(ms(300)), Reset]
    }),
    ("joins and vanishes", |scene, dice| {
        let joins: Vec<_> = scene.rooms.iter().flat_map(|room| join(room)).collect();
        vec![Enter, Send(joins), one(dice, [HangUp, Reset, Sleep(ms(50))])]
    }),
    ("joins again and again", |scene, dice| {
        let room = room(scene, dice);
        vec![Enter, Send(join(room).repeat(100)), Swallow(ms(300)), HangUp, MustEnd]
    }),
    // Readers.
    ("stuck in every room", |scene, _| {
        let joins: Vec<_> = scene.rooms.iter().flat_map(|room| join(room)).collect();
        vec![Enter, Send(joins), Sleep(ms(4000))]
    }),
    ("stuck, and stays", |scene, _| {
        // It takes nothing and sends nothing: whatever comes first, it must be ended.
        let joins: Vec<_> = scene.rooms.iter().flat_map(|room| join(room)).collect();
        vec![Enter, Send(joins), Sleep(ms(12_000)), MustEnd]
    }),
    ("sips", |scene, _| {
        let joins: Vec<_> = scene.rooms.iter().flat_map(|room| join(room)).collect();
        vec![Enter, Send(joins), Sip(500, ms(3000))]
    }),
    ("silent after its welcome", |_, _| {
        vec![Enter, Sleep(ms(1000)), Swallow(ms(20)), Sleep(ms(3000))]
    }),
    // Senders.
    ("noisy", |scene, dice| {
        let room = room(scene, dice);
        let noise = wire::to_room(room, "noise", &[3; 60]).repeat(400);
        vec![Enter, Send(join(room)), Send(noise), Swallow(ms(300))]
    }),
    ("noisy, and reads nothing", |scene, dice| {
        let room = room(scene, dice);
        let noise = wire::to_room(room, "noise", &[3; 60]).repeat(200);
        vec![Enter, Send(join(room)), Send(noise), Sleep(ms(500)), Reset]
    }),
    ("large and noisy", |scene, dice| {
        let room = room(scene, dice);
        let noise = wire::to_room(room, "noise", &[3; 30_000]).repeat(3);
        vec![Enter, Send(join(room)), Send(noise), Swallow(ms(300)), HangUp, MustEnd]
    }),
    ("floods one with pokes", |scene, _| {
        let poke = wire::to_client(&scene.victim, "", "poke", &[3; 60]).repeat(1000);
        vec![Enter, Send(poke), Swallow(ms(100))]
    }),
    ("half closed", |scene, dice| vec![Enter, Send(join(room(scene, dice))), HangUp, MustEnd]),
];

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

fn one<T, const N: usize>(dice: &mut Random, of: [T; N]) -> T {
    let index = dice.below(N as u32) as usize;
    of.into_iter().nth(index).unwrap()
}

fn noise(dice: &mut Random, most: u32) -> Vec<u8> {
    // An end of the head would make something of it.
    (0..=dice.below(most)).map(|_| (dice.next_u64() >> 40) as u8 | 0x10).collect()
}

fn room<'s>(scene: &'s Scene<'_>, dice: &mut Random) -> &'s str {
    &scene.rooms[dice.below(scene.rooms.len() as u32) as usize]
}

fn join(room: &str) -> Vec<u8> {
    wire::to_room(room, "join", b"")
}

fn leave(room: &str) -> Vec<u8> {
    wire::to_room(room, "leave", b"")
}

fn poke(scene: &Scene<'_>) -> Step {
    Send(wire::to_client(&scene.victim, "root", "poke", b"hello"))
}

fn fragments(payload: &[u8], count: usize) -> Vec<u8> {
    wire::frame(CONTINUATION, payload).repeat(count)
}
