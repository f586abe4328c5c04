//! Generates the seeds for all fuzz targets: run `cargo run --example seeds` in this folder.
//!
//! The packets are taken from the golden vectors; the frames are generated here.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::Path;

use roomer_testkit::frames as websocket;
use serde_json::Value;

#[path = "seeds/frames.rs"]
mod frames;

const VECTORS: &str = include_str!("../../roomer-proto/tests/vectors.json");

const FIN: u8 = 0x80;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = FIN | 8;
const PING: u8 = FIN | 9;
const PONG: u8 = FIN | 10;

/// The masking key of all frames.
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The sizes of the chunks in the seeds for the websocket target: their number, then each size
/// minus one.
const CUTS: &[u8] = b"\x05\x00\x06\x30\x01\xff";

type Seeds = Vec<(String, Vec<u8>)>;

fn main() -> Result<(), Box<dyn Error>> {
    let vectors: Value = serde_json::from_str(VECTORS)?;
    let packets = packets(&vectors)?;
    let streams = streams(&packets);
    write("decode", packets)?;
    write("websocket", streams)?;
    write("frame", frames::seeds())?;
    write("handshake", requests())?;
    write("nats", servers()?)?;
    write("client", noise(b"client", 30, 600))?;
    write("plan", noise(b"plan", 30, 600))?;
    write("resp", redis_servers()?)?;
    write("snapshot", comings_and_goings())
}

/// Returns upgrade requests, both valid and invalid.
fn requests() -> Seeds {
    const LINES: [&str; 6] = [
        "GET /ws HTTP/1.1",
        "Host: example.com",
        "Connection: keep-alive, Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let good = LINES.join("\r\n") + "\r\n\r\n";
    let hello = String::from_utf8_lossy(&frame(FIN | PING, b"")).into_owned();
    let with = |line: &str| good.replacen("\r\n", &format!("\r\n{line}\r\n"), 1);
    let mut seeds: Vec<(String, String)> = vec![
        ("good".into(), good.clone()),
        ("good-and-more".into(), good.clone() + &hello),
        ("bare-newlines".into(), good.replace("\r\n", "\n")),
        ("blank-lines-first".into(), format!("\r\n\r\n{good}")),
        ("twice".into(), good.repeat(2)),
        ("half".into(), good[..good.len() / 2].into()),
        ("no-end".into(), good.trim_end().into()),
        ("empty".into(), String::new()),
        ("no-http".into(), "\0\u{1}\u{2} hello\r\n\r\n".into()),
        ("page".into(), "GET / HTTP/1.1\r\n\r\n".into()),
        ("page-head".into(), "HEAD / HTTP/1.1\r\n\r\n".into()),
        ("no-page".into(), "GET /nowhere?x=%00 HTTP/1.1\r\n\r\n".into()),
        ("old".into(), good.replace("HTTP/1.1", "HTTP/1.0")),
        ("newer".into(), good.replace("HTTP/1.1", "HTTP/2.0")),
        ("absolute".into(), good.replace("/ws", "http://example.com/ws")),
        ("post".into(), good.replace("GET", "POST")),
        ("version-8".into(), good.replace(": 13", ": 8")),
        ("short-key".into(), good.replace("dGhl", "")),
        ("two-keys".into(), with(LINES[5])),
        ("same-origin".into(), with("Origin: http://example.com")),
        ("other-origin".into(), with("Origin: https://example.org")),
        ("two-origins".into(), with("Origin: http://example.com\r\nOrigin: null")),
        ("many-headers".into(), with(&"X: y\r\n".repeat(120))),
        ("long-header".into(), with(&format!("X: {}", "y".repeat(17_000)))),
        ("long-target".into(), good.replace("/ws", &format!("/{}", "w".repeat(17_000)))),
        ("folded".into(), with("X: y\r\n z")),
    ];
    for (at, line) in LINES.iter().enumerate().skip(1) {
        seeds.push((format!("without-{at}"), good.replace(&format!("{line}\r\n"), "")));
    }
    let seeds = seeds.into_iter();
    seeds.map(|(name, request)| (name, [CUTS, request.as_bytes()].concat())).collect()
}

/// Returns input from NATS servers: some was recorded, and some is constructed.
fn servers() -> Result<Seeds, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("../roomer-hub/engine/src/cluster/nats/connection/transcripts");
    let mut seeds = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).ok_or("no name")?;
        let bytes = fs::read(&path)?;
        seeds.push((
            format!("server-{name}"),
            [b"\x05\x00\x00\x06\x30\x01\xff", &bytes[..]].concat(),
        ));
    }
    // These follow a greeting with a `max_payload` of 100.
    let up: [(&str, String); 24] = [
        ("frame", "MSG chat.all 1 5\r\nhello\r\n".into()),
        ("frames", "MSG chat.all 1 1\r\na\r\nMSG chat.n.0 2 2\r\nbc\r\n".into()),
        ("frame-empty", "MSG chat.all 2 0\r\n\r\n".into()),
        ("frame-reply", "MSG chat.all 1 reply.to 1\r\nx\r\n".into()),
        ("frame-of-lines", "MSG chat.all 1 8\r\n\r\nPING\r\n\r\n".into()),
        ("frame-longest", format!("MSG chat.all 1 100\r\n{}\r\n", "x".repeat(100))),
        ("frame-too-long", format!("MSG chat.all 1 101\r\n{}\r\n", "x".repeat(101))),
        ("frame-huge", "MSG chat.all 1 18446744073709551615\r\n".into()),
        ("frame-overflow", "MSG chat.all 1 18446744073709551616\r\n".into()),
        ("frame-negative", "MSG chat.all 1 -1\r\n".into()),
        ("frame-without-end", "MSG chat.all 1 1\r\nxx\r\n".into()),
        ("frame-half", "MSG chat.all 1 50\r\nxx".into()),
        ("frame-unasked", "MSG chat.all 3 1\r\nx\r\n".into()),
        ("spaces", "MSG  chat.all   1  1\r\nx\r\n".into()),
        ("headers", "HMSG chat.all 1 12 13\r\nNATS/1.0\r\n\r\nx\r\n".into()),
        ("pings", "PING\r\nPING\r\n".into()),
        ("ok", "+OK\r\nPONG\r\nPING\r\n".into()),
        ("error", "-ERR 'Slow Consumer'\r\nPING\r\n".into()),
        ("error-quote", "-ERR '\r\n".into()),
        ("error-empty", "-ERR\r\n".into()),
        ("info", "INFO {\"max_payload\":3}\r\nMSG a 1 4\r\nabcd\r\n".into()),
        ("info-deep", format!("INFO {}\r\n", "[".repeat(200))),
        ("newline", "PING\n".into()),
        ("http", "HTTP/1.1 400 Bad Request\r\n\r\n".into()),
    ];
    seeds.extend(up.map(|(name, text)| {
        (format!("up-{name}"), [b"\x05\x01\x00\x06\x30\x01\xff", text.as_bytes()].concat())
    }));
    let first = [
        ("pong", "PONG\r\n"),
        ("message", "MSG a 1 0\r\n\r\n"),
        ("tls", "INFO {\"max_payload\":3,\"tls_required\":true}\r\n"),
        ("tls-and-more", "INFO {\"max_payload\":3,\"tls_required\":true}\r\nPONG\r\n"),
        ("info-empty", "INFO {}\r\n"),
        ("info-negative", "INFO {\"max_payload\":-1}\r\n"),
        ("info-fraction", "INFO {\"max_payload\":1.5}\r\n"),
        ("error", "-ERR 'maximum connections exceeded'\r\n"),
    ];
    seeds.extend(first.map(|(name, text)| {
        (format!("first-{name}"), [b"\x05\x00\x00\x06\x30\x01\xff", text.as_bytes()].concat())
    }));
    Ok(seeds)
}

/// Returns input from Redis servers: some was recorded, and some is constructed.
fn redis_servers() -> Result<Seeds, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("../roomer-hub/engine/src/cluster/redis/connection/transcripts");
    let mut seeds = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).ok_or("no name")?;
        let bytes = fs::read(&path)?;
        let seed = [b"\x05\x00\x00\x06\x30\x01\xff", &bytes[..]].concat();
        seeds.push((format!("server-{name}"), seed));
    }
    let message = ">3\r\n$7\r\nmessage\r\n$8\r\nchat.all\r\n";
    let other = ">3\r\n$7\r\nmessage\r\n$4\r\nchat\r\n";
    // These follow a greeting.
    let up: [(&str, String); 28] = [
        ("frame", format!("{message}$5\r\nhello\r\n")),
        ("frames", format!("{message}$1\r\na\r\n:1\r\n{message}$2\r\nbc\r\n")),
        ("frame-empty", format!("{message}$0\r\n\r\n")),
        ("frame-of-lines", format!("{message}$8\r\n\r\n+OK\r\n\r\n\r\n")),
        ("frame-too-long", format!("{message}$2000000\r\n")),
        ("frame-huge", format!("{message}$18446744073709551615\r\n")),
        ("frame-overflow", format!("{message}$18446744073709551616\r\n")),
        ("frame-negative", format!("{message}$-1\r\n")),
        ("frame-without-end", format!("{message}$1\r\nxyz")),
        ("frame-half", format!("{message}$50\r\nxx")),
        ("frame-number", format!("{message}:1\r\n")),
        ("frame-list", format!("{message}*0\r\n{message}*1\r\n:1\r\n")),
        ("frame-unasked", format!("{other}$1\r\nx\r\n")),
        ("frame-pattern", ">4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\na\r\n$1\r\nb\r\n".into()),
        ("push-other", ">2\r\n$10\r\ninvalidate\r\n_\r\n>0\r\n".into()),
        ("answers", ":1\r\n+PONG\r\n:0\r\n".into()),
        ("answers-too-many", ":1\r\n:1\r\n:1\r\n:1\r\n".into()),
        ("error", "-LOADING Redis is loading\r\n:1\r\n".into()),
        ("error-empty", "-\r\n".into()),
        ("error-long", "!5\r\nERR x\r\n".into()),
        ("deep", "*1\r\n".repeat(40) + ":1\r\n"),
        ("deeper", "*1\r\n".repeat(800)),
        ("list-huge", "*1000000000\r\n".into()),
        ("kinds", ">8\r\n#t\r\n,1.5\r\n(12\r\n_\r\n=5\r\ntxt:x\r\n~1\r\n:1\r\n%0\r\n*0\r\n".into()),
        ("attribute", "|1\r\n+a\r\n+b\r\n:1\r\n".into()),
        ("stream", "$?\r\n;1\r\nx\r\n;0\r\n".into()),
        ("newline", "+OK\n:1\r\n".into()),
        ("line-long", format!("+{}", "x".repeat(3000))),
    ];
    seeds.extend(up.map(|(name, text)| {
        (format!("up-{name}"), [b"\x05\x01\x00\x06\x30\x01\xff", text.as_bytes()].concat())
    }));
    let first = [
        ("old", "-ERR unknown command 'HELLO'\r\n"),
        ("message", ">3\r\n$7\r\nmessage\r\n$8\r\nchat.all\r\n$0\r\n\r\n"),
        ("list", "*2\r\n$6\r\nserver\r\n$5\r\nredis\r\n"),
        ("tls", "\x15\x03\x03\x00\x02\x02\x28"),
        ("http", "HTTP/1.1 400 Bad Request\r\n\r\n"),
        ("hello", "HELLO 3\r\n"),
    ];
    seeds.extend(first.map(|(name, text)| {
        (format!("first-{name}"), [b"\x05\x00\x00\x06\x30\x01\xff", text.as_bytes()].concat())
    }));
    Ok(seeds)
}

/// Returns arbitrary bytes. Any bytes are a valid plan.
fn noise(word: &[u8], count: u8, longest: usize) -> Seeds {
    let seed = |number: u8| {
        let mut state = word.iter().chain([&number]).fold(0xcbf2_9ce4_8422_2325, mix);
        let bytes = (0..longest / (1 + usize::from(number % 4))).map(|_| {
            state = mix(state, &number);
            (state >> 56) as u8
        });
        (format!("noise-{number:02}"), bytes.collect())
    };
    (0..count).map(seed).collect()
}

/// Returns the state after one step of FNV-1a.
fn mix(state: u64, byte: &u8) -> u64 {
    (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
}

/// Returns arbitrary events for rooms. At the start, a room has about as many members as a chunk of
/// the snapshot.
fn comings_and_goings() -> Seeds {
    let sizes = [0, 1, 2, 5, 98, 99, 100, 101, 102, 150, 198, 199, 200, 201, 202, 250, 254, 255];
    let mut seeds = noise(b"snapshot", sizes.len() as u8, 400);
    for (seed, size) in seeds.iter_mut().zip(sizes) {
        seed.0 = format!("crowd-{size:03}");
        seed.1.insert(0, size);
    }
    // All clients leave, in ascending or in descending order, and some of them join again.
    let ends = |order: &dyn Fn(u8) -> u8| {
        let gone = (0..=200).flat_map(|at| [3, order(at)]);
        [205].into_iter().chain(gone).chain([0, 1, 0, 2, 0, 3]).collect()
    };
    seeds.push(("all-leave-forward".into(), ends(&|at| at)));
    seeds.push(("all-leave-backward".into(), ends(&|at| 204 - at)));
    seeds
}

/// Writes the seeds of a target. Other files in its corpus, such as findings, are kept.
fn write(target: &str, seeds: Seeds) -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder)?;
    let (mut files, mut bytes) = (BTreeSet::new(), 0);
    for (name, seed) in seeds {
        bytes += seed.len();
        fs::write(folder.join(format!("{name}.bin")), seed)?;
        assert!(files.insert(name), "two seeds of one name");
    }
    println!("{target}: {} files, {bytes} bytes", files.len());
    Ok(())
}

/// Returns all valid packets in the vectors, and an invalid packet for each error of the decoder.
fn packets(vectors: &Value) -> Result<Seeds, Box<dyn Error>> {
    let mut seeds = Vec::new();
    let mut reasons = BTreeSet::new();
    for (section, key) in [
        ("valid", "frame_hex"),
        ("non_utf8", "frame_hex"),
        ("rewrite", "in_hex"),
        ("invalid", "frame_hex"),
    ] {
        let entries = vectors[section].as_array().ok_or("no such section")?;
        for (index, entry) in entries.iter().enumerate() {
            if entry["why"].is_string() && !reasons.insert(entry["why"].to_string()) {
                continue;
            }
            let digits = entry[key].as_str().ok_or("no bytes")?;
            let bytes: Result<Vec<u8>, _> = (0..digits.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&digits[at..at + 2], 16))
                .collect();
            seeds.push((format!("{section}-{index:02}"), bytes?));
        }
    }
    Ok(seeds)
}

/// Encodes a masked frame. Its length has the shortest form.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    websocket::write(first, payload, KEY, &mut out);
    out
}

/// Encodes the header of a frame, without the masking key.
fn header(first: u8, length: u64) -> Vec<u8> {
    let mut out = Vec::new();
    websocket::write_head(first, length, KEY, &mut out);
    out.truncate(out.len() - KEY.len());
    out
}

/// Returns streams from clients, both valid and invalid. The target's limits are messages of 1,000
/// bytes, and 5 fragments plus one per 200 bytes.
fn streams(packets: &Seeds) -> Seeds {
    let mut seeds: Vec<(String, Vec<Vec<u8>>)> = Vec::new();
    let mut add = |name: &str, frames: &[Vec<u8>]| seeds.push((name.to_owned(), frames.to_vec()));

    let valid = packets.iter().filter(|(name, _)| name.starts_with("valid"));
    for (name, packet) in valid.clone().step_by(9) {
        add(&format!("packet-{name}"), &[frame(FIN | BINARY, packet)]);
    }
    let many: Vec<_> = valid.take(12).map(|(_, packet)| frame(FIN | BINARY, packet)).collect();
    add("many-packets", &many);

    add("empty", &[]);
    for length in [0, 1, 7, 8, 9, 125, 126, 999, 1000, 1001] {
        add(&format!("binary-{length}"), &[frame(FIN | BINARY, &vec![b'x'; length])]);
    }
    add("text", &[frame(FIN | TEXT, "é€🏠".as_bytes())]);
    add("text-latin1", &[frame(FIN | TEXT, b"caf\xe9")]);
    add("text-split-character", &[frame(TEXT, b"\xf0\x9f"), frame(FIN, b"\x8f\xa0")]);
    let twice = [&b"a\xc3"[..], b"\xa9\xe2\x82\xac\xf0", b"\x9f\x8f\xa0"];
    add("text-split-twice", &[frame(TEXT, twice[0]), frame(0, twice[1]), frame(FIN, twice[2])]);
    add("text-broken-early", &[frame(TEXT, b"\xe2\x82"), frame(0, b"(")]);
    add("fragments", &[frame(BINARY, b"ab"), frame(PING, b"p"), frame(0, b""), frame(FIN, b"c")]);
    add("fragments-5", &[frame(BINARY, b"a"), frame(0, b"b").repeat(3), frame(FIN, b"c")]);
    add("fragments-6", &[frame(BINARY, b"a"), frame(0, b"b").repeat(4), frame(FIN, b"c")]);
    add("fragments-7", &[frame(BINARY, &[1; 400]), frame(0, b"").repeat(5), frame(FIN, b"")]);
    add("fragments-8", &[frame(BINARY, &[1; 399]), frame(0, b"").repeat(5), frame(FIN, b"")]);
    add("fragments-1000", &[frame(BINARY, &[1; 600]), frame(FIN, &[2; 400])]);
    add("fragments-1001", &[frame(BINARY, &[1; 600]), frame(FIN, &[2; 401])]);
    add("controls", &[frame(PING, b""), frame(PONG, b"x"), frame(PING, &[7; 125])]);
    add("control-126", &[frame(PING, &[7; 126])]);
    add("control-long-form", &[vec![PING, 0xfe, 0, 1, 0, 0, 0, 0, b'x']]);
    add("control-fragmented", &[frame(9, b"x")]);
    add("close", &[frame(CLOSE, b""), frame(FIN | BINARY, b"behind")]);
    add("close-1000", &[frame(CLOSE, b"\x03\xe8bye")]);
    add("close-4999", &[frame(CLOSE, b"\x13\x87")]);
    add("close-1005", &[frame(CLOSE, b"\x03\xed")]);
    add("close-1015", &[frame(CLOSE, b"\x03\xf7")]);
    add("close-half", &[frame(CLOSE, b"\x03")]);
    add("close-latin1", &[frame(CLOSE, b"\x03\xe8\xe9")]);
    add("close-inside-message", &[frame(BINARY, b"a"), frame(CLOSE, b"\x03\xe9")]);
    add("unmasked", &[b"\x82\x02hi".to_vec()]);
    add("reserved-bit", &[frame(0x40 | FIN | BINARY, b"x")]);
    add("unknown-opcode", &[frame(FIN | 3, b"x")]);
    add("continuation-alone", &[frame(FIN, b"x")]);
    add("message-inside-message", &[frame(BINARY, b"a"), frame(FIN | BINARY, b"b")]);
    add("length-top-bit", &[header(FIN | BINARY, 1 << 63), vec![0; 4]]);
    add("length-huge", &[header(FIN | BINARY, u64::MAX >> 1), vec![0; 4]]);
    add("length-long-form", &[vec![FIN | BINARY, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, b'x']]);
    add("header-alone", &[header(FIN | BINARY, 900)]);

    seeds.into_iter().map(|(name, frames)| (name, [CUTS, &frames.concat()].concat())).collect()
}
