//! Packets and frames that a correct server never sends, or never sends in this order.

use roomer_proto::PacketRef;

use super::server::{ScriptedServer, other_id};

const ROOMS: [&str; 6] = ["lobby", "other", "root", "", "\0probe", "elsewhere"];

const EVENTS: [&str; 19] = [
    "join_ack",
    "leave_ack",
    "new_member",
    "member_left",
    "roomer:hello",
    "roomer:ack",
    "roomer:members",
    "roomer:reply",
    "roomer:error",
    "roomer:number",
    "roomer:expiring",
    "roomer:away",
    "chat",
    "join_ack",
    "roomer:hello",
    "roomer:ack",
    "join",
    "open",
    "",
];

/// Values of the field `dst`. `OWN` is replaced by the client's id, and `OTHER` by the id of
/// another client.
const RECEIVERS: [&str; 15] = [
    "",
    "",
    "",
    "",
    "OWN",
    "OTHER",
    "?",
    "#1",
    "#2",
    "#18446744073709551615",
    ":0",
    ":1",
    "OWN:0",
    "OWN:a",
    "#",
];

const SENDERS: [&str; 6] = ["", "", "OWN", "OWN", "OTHER", "me"];

pub(super) const PAYLOADS: [&str; 32] = [
    "",
    "[]",
    "[\"OWN\"]",
    "[\"OWN\",\"OTHER\"]",
    "[\"OWN\",\"OTHER\",\"OTHER\",1,null]",
    "OTHER",
    "OWN",
    "0",
    "1",
    "2",
    "7",
    "18446744073709551615",
    "18446744073709551616",
    "-1",
    r#"{"members":[["OWN",null],["OTHER",{"a":1},"ann"]]}"#,
    r#"{"members":[["OWN",null]],"at":[7,9]}"#,
    r#"{"count":3}"#,
    r#"{"joined":[["OTHER",{"a":1}]],"left":["OTHER"],"changed":[["OTHER",null]]}"#,
    r#"{"joined":[["OTHER",null],["OTHER",null]]}"#,
    r#"{"left":["OTHER","OWN"]}"#,
    r#"{"version":2,"session":"a b&c","resumed":false,"received":0,"heartbeat":0,"limits":{"message":30}}"#,
    r#"{"version":2,"session":null,"resumed":true,"received":1,"heartbeat":18446744073709551615}"#,
    r#"{"version":2,"session":"t1","resumed":true,"received":18446744073709551615,"heartbeat":1000}"#,
    r#"{"version":2,"session":"t1","resumed":true,"received":0,"heartbeat":-1,"limits":{"message":-1}}"#,
    r#"{"version":2,"session":"t1","resumed":true,"received":2}"#,
    r#"{"in":18446744073709551615}"#,
    r#"{"code":"busy","message":"no","room":"lobby","event":"chat"}"#,
    r#"{"code":7}"#,
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    "{\"members\":[[\"OWN\",\"\\ud800\"]]}",
    r#"{"members":[["OWN",null]],"at":[18446744073709551615,18446744073709551615],"recovered":true}"#,
    "nothing",
];

/// Frames that violate RFC 6455, and frames that are valid but unusual.
pub(super) const FRAMES: [&[u8]; 24] = [
    b"\x82\x81abcd\x00",                         // masked
    b"\xc2\x01a",                                // a reserved bit
    b"\x81\x02hi",                               // text
    b"\x81\x01\xff",                             // text that is not UTF-8
    b"\x82\x00",                                 // an empty message
    b"\x02\x01a",                                // the start of a message
    b"\x00\x01a",                                // a continuation
    b"\x80\x01a",                                // the end of a message
    b"\x83\x00",                                 // an unknown opcode
    b"\x8b\x00",                                 // an unknown control opcode
    b"\x09\x00",                                 // a control frame in parts
    b"\x89\x7e\x00\x7e",                         // a control frame that is too long
    b"\x89\x02hi",                               // a ping
    b"\x8a\x02hi",                               // a pong without a ping
    b"\x88\x00",                                 // a close frame without a code
    b"\x88\x01\x03",                             // half a code
    b"\x88\x02\x03\xed",                         // 1005, which must not be sent
    b"\x88\x02\xff\xff",                         // an invalid code
    b"\x88\x03\x03\xe8\xff",                     // a reason that is not UTF-8
    b"\x88\x02\x03\xe8",                         // a normal close
    b"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", // the longest length
    b"\x82\x7f\x00\x00\x00\x00\x40\x00\x00\x00", // 1 GiB
    b"\x82\x7e\x00\x05abcde",                    // a length in a longer form than necessary
    b"\x82",                                     // half a header
];

/// Sends a packet. Each number is the index of a field's value in the alphabet of that field.
pub fn packet(server: &mut ScriptedServer, [room, event, dst, src, payload]: [usize; 5]) {
    let (own, other) = (server.id().unwrap_or_default().to_owned(), other_id(1));
    let fill = |text: &str| text.replace("OWN", &own).replace("OTHER", &other);
    let pick = |list: &[&'static str], at: usize| list[at % list.len()];
    let (dst, src) = (fill(pick(&RECEIVERS, dst)), fill(pick(&SENDERS, src)));
    let (payload, room, event) =
        (fill(pick(&PAYLOADS, payload)), pick(&ROOMS, room), pick(&EVENTS, event));
    let packet = PacketRef { room, event, dst: &dst, src: &src, payload: payload.as_bytes() };
    server.send(packet);
}

pub fn frame(server: &mut ScriptedServer, number: usize) {
    server.write_raw(FRAMES[number % FRAMES.len()]);
}
