//! Tests `roomer decode`.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use data_encoding::{BASE64, HEXLOWER};
use roomer_conformance::wire;
use roomer_proto::PacketRef;
use roomer_proto::websocket::deflate::Deflater;
use roomer_proto::websocket::{Kind, packet_frame};
use serde_json::{Value, json};

fn decode(args: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roomer"));
    command.arg("decode").args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[track_caller]
fn lines(done: &Output) -> Vec<Value> {
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    done.stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

const CHAT: PacketRef<'static> =
    PacketRef { room: "lobby", event: "chat", dst: "", src: "ada", payload: b"hello" };

fn packet() -> Vec<u8> {
    let mut out = Vec::new();
    CHAT.encode(&mut out).unwrap();
    out
}

/// Returns the packet in a frame, either as a server sends it, or masked, as a client sends it.
fn frame(is_masked: bool) -> Vec<u8> {
    if is_masked {
        return wire::message(&packet());
    }
    let mut out = Vec::new();
    packet_frame(&CHAT, &mut out).unwrap();
    out
}

fn expected(to: Option<&str>) -> Value {
    let mut value = json!({
        "on": "packet", "room": "lobby", "event": "chat", "dst": "", "src": "ada", "text": "hello",
        "bytes": packet().len()
    });
    if let Some(to) = to {
        value["to"] = to.into();
    }
    value
}

/// Formats bytes as `hexdump -C` and Wireshark do.
fn dump(bytes: &[u8], indent: &str) -> String {
    let line = |(number, line): (usize, &[u8])| {
        let digits: Vec<String> = line
            .chunks(8)
            .map(|half| half.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "))
            .collect();
        let text: String = line
            .iter()
            .map(|byte| if byte.is_ascii_graphic() { *byte as char } else { '.' })
            .collect();
        format!("{indent}{:08x}  {:48}   {text}\n", number * 16, digits.join("  "))
    };
    bytes.chunks(16).enumerate().map(line).collect()
}

#[test]
fn hexadecimal_input_is_decoded_as_packets_or_frames() {
    let spaced: String = packet().iter().map(|byte| format!("0x{byte:02X}, ")).collect();
    let input = format!(
        "{}\n{}\n{}\n\n{spaced}\n",
        HEXLOWER.encode(&packet()),
        HEXLOWER.encode(&frame(false)),
        HEXLOWER.encode(&frame(true))
    );
    let expected =
        [expected(None), expected(Some("client")), expected(Some("server")), expected(None)];
    assert_eq!(lines(&decode(&["--json"], &input)), expected);
    // Begin with a byte order mark, which editors on Windows write.
    let shown = decode(&[], &format!("\u{feff}{}\r\n", HEXLOWER.encode(&frame(true)))).stdout;
    assert_eq!(String::from_utf8(shown).unwrap(), "> lobby chat src=ada hello\n");
}

#[test]
fn help_example_is_valid_packet() {
    let help =
        Command::new(env!("CARGO_BIN_EXE_roomer")).args(["decode", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (_, example) = help.split_once("echo ").unwrap();
    let shown = decode(&[], example.split(' ').next().unwrap()).stdout;
    assert_eq!(String::from_utf8(shown).unwrap(), "< lobby chat hi\n");
}

#[test]
fn control_frames_are_shown() {
    let input = "890161\n8a00\n880a03e9676f20617761792e\n";
    let expected = [
        json!({ "on": "ping", "bytes": 1, "to": "client" }),
        json!({ "on": "pong", "bytes": 0, "to": "client" }),
        json!({ "on": "close", "code": 1001, "reason": "go away.", "to": "client" }),
    ];
    assert_eq!(lines(&decode(&["--json"], input)), expected);
}

#[test]
fn followed_stream_is_decoded_across_blocks() {
    let (client, server) = (frame(true), frame(false));
    let request = b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n".to_vec();
    let response = [b"HTTP/1.1 101 Switching Protocols\r\n\r\n".as_slice(), &server[..9]].concat();
    let input = [
        dump(&request, ""),
        dump(&response, "    "),
        dump(&client, ""),
        dump(&server[9..], "    "),
    ];
    let expected = [expected(Some("server")), expected(Some("client"))];
    assert_eq!(lines(&decode(&["--json"], &input.concat())), expected);
}

#[test]
fn captured_network_packets_are_decoded() {
    // This is the format of `tcpdump -x`. The IPv4 header has 20 bytes, and the TCP header has 32.
    let mut segment = vec![0; 52];
    segment[0] = 0x45;
    segment[9] = 6;
    segment[20..22].copy_from_slice(&40_000_u16.to_be_bytes());
    segment[22..24].copy_from_slice(&8080_u16.to_be_bytes());
    segment[32] = 8 << 4;
    segment.extend(frame(true));
    let length = segment.len() as u16;
    segment[2..4].copy_from_slice(&length.to_be_bytes());
    let mut input = "12:00:01.000001 IP localhost.40000 > localhost.8080: tcp 31\n".to_owned();
    for (number, line) in segment.chunks(16).enumerate() {
        let digits: Vec<String> = line.chunks(2).map(|pair| HEXLOWER.encode(pair)).collect();
        input += &format!("\t0x{:04x}:  {}\n", number * 16, digits.join(" "));
    }
    assert_eq!(lines(&decode(&["--json"], &input)), [expected(Some("server"))]);
}

#[test]
fn browser_export_is_decoded() {
    let data = BASE64.encode(&packet());
    let messages = json!([
        { "type": "send", "time": 1.5, "opcode": 2, "data": data },
        { "type": "receive", "time": 1.6, "opcode": 2, "data": data },
        { "type": "error", "time": 1.7, "opcode": -1, "data": "Invalid frame header" },
    ]);
    let har = json!({ "log": { "entries": [{}, { "_webSocketMessages": messages }] } }).to_string();
    assert_eq!(
        lines(&decode(&["--json"], &har)),
        [expected(Some("server")), expected(Some("client"))]
    );
}

#[test]
fn invalid_input_is_reported() {
    let fails = |input: &str, words: &str| {
        let done = decode(&[], input);
        let error = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(2), "{error}");
        assert!(error.contains(words), "{error}");
    };
    fails("", "there are no bytes in it");
    fails("00\nxyz\n", "standard input: line 2: not hexadecimal digits");
    fails("{}", "no log.entries");
    fails("{", "not JSON");
    fails(r#"{"log":{"entries":[]}}"#, "no request in it has WebSocket messages");
    fails("00000000ff", "one part cannot be decoded");
    let done = decode(&["/nowhere"], "");
    assert!(String::from_utf8_lossy(&done.stderr).contains("/nowhere: "), "{done:?}");
    // A frame that is cut off at the end is reported, but is not an error.
    let half = HEXLOWER.encode(&frame(false)[..12]);
    let done = decode(&["--bytes", "frames"], &half);
    assert!(String::from_utf8_lossy(&done.stderr).contains("1 streams end inside"), "{done:?}");
}

#[test]
fn compressed_messages_are_inflated() {
    let text = "hello ".repeat(50);
    let packet = PacketRef { payload: text.as_bytes(), ..CHAT };
    let mut plain = Vec::new();
    packet.encode(&mut plain).unwrap();
    let mut frame = Vec::new();
    Deflater::new().message_frame(Kind::Binary, &plain, &mut frame);
    assert!(frame.len() < plain.len() / 2 && frame[0] == 0xc2);
    let found = lines(&decode(&["--json"], &HEXLOWER.encode(&frame)));
    assert_eq!((&found[0]["text"], &found[0]["bytes"]), (&json!(text), &json!(plain.len())));
    // Compressed data that is invalid is reported, and the next message is still decoded.
    let broken = [&[0xc2, 3, 0xff, 0xff, 0xff][..], &frame].concat();
    let done = decode(&["--json"], &HEXLOWER.encode(&broken));
    assert_eq!(done.status.code(), Some(2));
    let found: Vec<Value> = String::from_utf8(done.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let why = found[0]["why"].as_str().unwrap();
    assert!(why.starts_with("cannot be inflated on its own: "), "{why}");
    assert_eq!(found[1]["text"], text);
}
