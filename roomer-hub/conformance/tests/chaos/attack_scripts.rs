//! The attackers' scripts, by name.

use std::time::Duration;

use super::attacker::{Step, Target};
use roomer_conformance::http::HttpRequest;
use roomer_conformance::wire::{self, BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT};
use roomer_simulator::random::{Random, Source};

use Step::{Handshake, MustEnd, ReadAll, ReadSlowly, Reset, Send, ShutdownWrite, Sleep, Trickle};

type Script = fn(&Target<'_>, &mut Random) -> Vec<Step>;

/// All scripts, each with the name that the report uses.
pub(super) const SCRIPTS: &[(&str, Script)] = &[
    // Attacks during the handshake.
    ("silent", |_, _| vec![MustEnd]),
    ("connects and vanishes", |_, _| vec![]),
    ("connects and resets", |_, _| vec![Reset]),
    ("trickles its request", |target, _| {
        vec![Trickle(HttpRequest::upgrade(target.addr).bytes(), ms(100)), MustEnd]
    }),
    ("sends half a request", |target, rng| {
        let request = HttpRequest::upgrade(target.addr).bytes();
        let half = rng.below(request.len() as u32) as usize;
        vec![Send(request[..half].to_vec()), one(rng, [ShutdownWrite, Reset, MustEnd]), MustEnd]
    }),
    ("not HTTP", |_, rng| vec![Send(noise(rng, 3000)), MustEnd]),
    ("a TLS hello", |_, rng| {
        vec![
            Send([&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &noise(rng, 505)].concat()),
            MustEnd,
        ]
    }),
    ("a head of 200 KiB", |target, _| {
        let request = HttpRequest::upgrade(target.addr).add("X-Long", &"x".repeat(200 << 10));
        vec![Send(request.bytes()), MustEnd]
    }),
    ("two thousand headers", |target, _| {
        let headers = (0..2000)
            .fold(HttpRequest::upgrade(target.addr), |ask, n| ask.add("X", &n.to_string()));
        vec![Send(headers.bytes()), MustEnd]
    }),
    ("the wrong version", |target, _| {
        vec![
            Send(HttpRequest::upgrade(target.addr).set("Sec-WebSocket-Version", "8").bytes()),
            MustEnd,
        ]
    }),
    ("another page's origin", |target, _| {
        vec![
            Send(HttpRequest::upgrade(target.addr).add("Origin", "https://evil.example").bytes()),
            MustEnd,
        ]
    }),
    ("a request, then a reset", |target, _| {
        vec![Send(HttpRequest::upgrade(target.addr).bytes()), Reset]
    }),
    // Violations of the framing.
    ("unmasked", |_, _| vec![Handshake, Send(vec![FIN | BINARY, 3, 1, 2, 3]), MustEnd]),
    ("reserved bits", |_, rng| {
        let bit = 0x10 << rng.below(3);
        vec![Handshake, Send(wire::frame(FIN | bit | BINARY, b"x")), MustEnd]
    }),
    ("reserved opcodes", |_, rng| {
        let opcode = one(rng, [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]);
        vec![Handshake, Send(wire::frame(FIN | opcode, b"x")), MustEnd]
    }),
    ("a fragmented ping", |_, _| vec![Handshake, Send(wire::frame(PING, b"x")), MustEnd]),
    ("an oversized ping", |_, _| {
        vec![Handshake, Send(wire::frame(FIN | PING, &[0; 126])), MustEnd]
    }),
    ("a continuation of nothing", |_, _| {
        vec![Handshake, Send(wire::frame(FIN | CONTINUATION, b"x")), MustEnd]
    }),
    ("a message inside a message", |_, _| {
        vec![Handshake, Send([wire::frame(BINARY, b"x"), wire::message(b"y")].concat()), MustEnd]
    }),
    ("announces too long a message", |_, rng| {
        let length = one(rng, [16_777_217, 1 << 40, u64::MAX]);
        vec![Handshake, Send(wire::header(FIN | BINARY, length)), MustEnd]
    }),
    ("announces and never sends", |_, _| {
        vec![
            Handshake,
            Send(wire::header(FIN | BINARY, 16_777_216)),
            Send(vec![0; 500]),
            Sleep(ms(2000)),
        ]
    }),
    ("fragments without end", |_, _| {
        vec![Handshake, Send(wire::frame(BINARY, b"x")), Send(fragments(b"y", 2000)), MustEnd]
    }),
    ("empty fragments", |_, _| {
        vec![Handshake, Send(wire::frame(BINARY, b"")), Send(fragments(b"", 20_000)), MustEnd]
    }),
    ("pings and reads no pong", |_, _| {
        vec![
            Handshake,
            Send(wire::frame(FIN | PING, &[7; 125]).repeat(20_000)),
            Sleep(ms(500)),
            Reset,
        ]
    }),
    ("unsolicited pongs", |_, _| {
        vec![Handshake, Send(wire::frame(FIN | PONG, &[7; 125]).repeat(5000)), ReadAll(ms(300))]
    }),
    ("sends after its close frame", |target, _| {
        let more = wire::to_room(&target.rooms[0], "noise", b"after the end").repeat(50);
        vec![Handshake, Send([wire::close(1000, ""), more].concat()), MustEnd]
    }),
    ("bad close codes", |_, rng| {
        vec![
            Handshake,
            Send(wire::close(one(rng, [0, 999, 1004, 1005, 1006, 2999, 65535]), "")),
            MustEnd,
        ]
    }),
    ("half a close code", |_, _| vec![Handshake, Send(wire::frame(FIN | CLOSE, b"x")), MustEnd]),
    ("a close reason that is not UTF-8", |_, _| {
        vec![Handshake, Send(wire::frame(FIN | CLOSE, &[3, 232, 0xff, 0xfe])), MustEnd]
    }),
    ("text", |_, _| vec![Handshake, Send(wire::frame(FIN | TEXT, b"hello")), MustEnd]),
    ("text that is not UTF-8", |_, _| {
        vec![Handshake, Send(wire::frame(FIN | TEXT, &[0xff; 9])), MustEnd]
    }),
    ("garbage for frames", |_, rng| {
        let garbage = noise(rng, 3000);
        vec![Handshake, Send(garbage), ShutdownWrite, MustEnd]
    }),
    ("frames cut short", |target, rng| {
        let frame = wire::to_room(&target.rooms[0], "noise", &noise(rng, 300));
        let cut = rng.below(frame.len() as u32) as usize;
        vec![Handshake, Send(frame[..cut].to_vec()), one(rng, [ShutdownWrite, Reset]), MustEnd]
    }),
    // Invalid packets, and unusual messages.
    ("malformed packets", |_, rng| {
        let packet = noise(rng, 60);
        vec![Handshake, Send(wire::message(&packet)), MustEnd]
    }),
    ("names that are not UTF-8", |_, _| {
        vec![Handshake, Send(wire::message(&wire::packet([&[0xff], b"x", b"", b"", b""]))), MustEnd]
    }),
    ("one bit wrong", |target, rng| {
        let mut bytes = wire::to_room(&target.rooms[1], "join", b"").repeat(3);
        let bit = rng.below(bytes.len() as u32 * 8) as usize;
        bytes[bit / 8] ^= 1 << (bit % 8);
        vec![Handshake, Send(bytes), ShutdownWrite, MustEnd]
    }),
    ("a huge message", |target, _| {
        // Use a room without members, so that no honest client must receive the large packet.
        let packet = [b"nowhere", &b"join"[..], b"", b"", &vec![1; 4 << 20]];
        vec![Handshake, Send(wire::message(&wire::packet(packet))), poke(target), ReadAll(ms(300))]
    }),
    // Attacks on rooms and on their members.
    ("a forged src", |target, rng| {
        let room = room(target, rng);
        let id = target.victim.as_bytes();
        let forged = wire::message(&wire::packet([room.as_bytes(), b"forged", b"", id, id]));
        vec![
            Handshake,
            Send(join(room)),
            Send(forged.repeat(20)),
            ReadAll(ms(200)),
            ShutdownWrite,
            MustEnd,
        ]
    }),
    ("reserved events", |target, rng| {
        let room = room(target, rng);
        let mut bytes = join(room);
        for event in ["join_ack", "leave_ack", "new_member", "member_left", "open", "close"] {
            bytes.extend(wire::to_room(room, event, target.victim.as_bytes()));
            bytes.extend(wire::to_client(&target.victim, room, event, target.victim.as_bytes()));
        }
        vec![Handshake, Send(bytes), ReadAll(ms(200)), Reset]
    }),
    ("foreign rooms", |target, rng| {
        let noise = wire::to_room(room(target, rng), "noise", b"from outside");
        vec![Handshake, Send(leave("root")), Send(noise.repeat(100)), ReadAll(ms(100))]
    }),
    ("pokes a stranger", |target, rng| {
        let strangers = wire::to_client("nobody", room(target, rng), "poke", b"x");
        vec![Handshake, poke(target), Send(strangers.repeat(200)), poke(target), ReadAll(ms(100))]
    }),
    ("long names", |target, _| {
        let name = "n".repeat(5000);
        let bytes =
            [join(&name), wire::to_room(&target.rooms[0], &name, b""), join(&"x".repeat(4096))];
        vec![Handshake, Send(bytes.concat()), ReadAll(ms(200))]
    }),
    ("thousands of rooms", |_, rng| {
        let base = rng.below(1 << 30);
        let joins: Vec<_> = (0..3000).flat_map(|n| join(&format!("evil-{}", base + n))).collect();
        vec![Handshake, Send(joins), ReadAll(ms(500)), one(rng, [ShutdownWrite, Reset]), MustEnd]
    }),
    ("flaps", |target, rng| {
        let room = room(target, rng);
        let flap = [join(room), leave(room)].concat().repeat(40);
        vec![Handshake, Send(flap.clone()), ReadAll(ms(100)), Send(flap), ReadAll(ms(300)), Reset]
    }),
    ("flaps and reads nothing", |target, rng| {
        let room = room(target, rng);
        vec![Handshake, Send([join(room), leave(room)].concat().repeat(100)), Sleep(ms(300)), Reset]
    }),
    ("joins and vanishes", |target, rng| {
        let joins: Vec<_> = target.rooms.iter().flat_map(|room| join(room)).collect();
        vec![Handshake, Send(joins), one(rng, [ShutdownWrite, Reset, Sleep(ms(50))])]
    }),
    ("joins again and again", |target, rng| {
        let room = room(target, rng);
        vec![Handshake, Send(join(room).repeat(100)), ReadAll(ms(300)), ShutdownWrite, MustEnd]
    }),
    // Attackers that do not read.
    ("stuck in every room", |target, _| {
        let joins: Vec<_> = target.rooms.iter().flat_map(|room| join(room)).collect();
        vec![Handshake, Send(joins), Sleep(ms(4000))]
    }),
    ("stuck until it is closed", |target, _| {
        // The attacker neither reads nor sends, so the server must close it because of a timeout or
        // a limit.
        let joins: Vec<_> = target.rooms.iter().flat_map(|room| join(room)).collect();
        vec![Handshake, Send(joins), Sleep(ms(12_000)), MustEnd]
    }),
    ("reads slowly", |target, _| {
        let joins: Vec<_> = target.rooms.iter().flat_map(|room| join(room)).collect();
        vec![Handshake, Send(joins), ReadSlowly(500, ms(3000))]
    }),
    ("silent after joining root", |_, _| {
        vec![Handshake, Sleep(ms(1000)), ReadAll(ms(20)), Sleep(ms(3000))]
    }),
    // Attackers that send too much.
    ("noisy", |target, rng| {
        let room = room(target, rng);
        let noise = wire::to_room(room, "noise", &[3; 60]).repeat(400);
        vec![Handshake, Send(join(room)), Send(noise), ReadAll(ms(300))]
    }),
    ("noisy, and reads nothing", |target, rng| {
        let room = room(target, rng);
        let noise = wire::to_room(room, "noise", &[3; 60]).repeat(200);
        vec![Handshake, Send(join(room)), Send(noise), Sleep(ms(500)), Reset]
    }),
    ("large and noisy", |target, rng| {
        let room = room(target, rng);
        let noise = wire::to_room(room, "noise", &[3; 30_000]).repeat(3);
        vec![Handshake, Send(join(room)), Send(noise), ReadAll(ms(300)), ShutdownWrite, MustEnd]
    }),
    ("floods one client", |target, _| {
        let poke = wire::to_client(&target.victim, "", "poke", &[3; 60]).repeat(1000);
        vec![Handshake, Send(poke), ReadAll(ms(100))]
    }),
    ("half closed", |target, rng| {
        vec![Handshake, Send(join(room(target, rng))), ShutdownWrite, MustEnd]
    }),
];

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

fn one<T, const N: usize>(rng: &mut Random, of: [T; N]) -> T {
    let index = rng.below(N as u32) as usize;
    of.into_iter().nth(index).unwrap()
}

fn noise(rng: &mut Random, most: u32) -> Vec<u8> {
    // Send no line ends, since they could complete the header of a request.
    (0..=rng.below(most)).map(|_| (rng.next_u64() >> 40) as u8 | 0x10).collect()
}

fn room<'s>(target: &'s Target<'_>, rng: &mut Random) -> &'s str {
    &target.rooms[rng.below(target.rooms.len() as u32) as usize]
}

fn join(room: &str) -> Vec<u8> {
    wire::to_room(room, "join", b"")
}

fn leave(room: &str) -> Vec<u8> {
    wire::to_room(room, "leave", b"")
}

fn poke(target: &Target<'_>) -> Step {
    Send(wire::to_client(&target.victim, "root", "poke", b"hello"))
}

fn fragments(payload: &[u8], count: usize) -> Vec<u8> {
    wire::frame(CONTINUATION, payload).repeat(count)
}
