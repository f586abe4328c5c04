//! JSON payloads: round trips, borrowing and errors.

use std::collections::BTreeMap;
use std::error::Error;

use roomer_proto::extended::Info;
use roomer_proto::{Packet, PacketRef, json};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Move<'a> {
    who: &'a str,
    to: (i32, i32),
}

fn packet(payload: &[u8]) -> PacketRef<'_> {
    PacketRef { room: "arena", event: "move", payload, ..PacketRef::default() }
}

#[test]
fn values_round_trip_without_copy() {
    let payload = json(&Move { who: "ann", to: (3, -4) }).unwrap();
    assert_eq!(payload, br#"{"who":"ann","to":[3,-4]}"#);
    let read: Move<'_> = packet(&payload).json().unwrap();
    assert_eq!(read, Move { who: "ann", to: (3, -4) });
    assert!(payload.as_ptr_range().contains(&read.who.as_ptr()), "the name is a copy");

    let owned = Packet { payload: payload.into(), ..Packet::default() };
    assert_eq!(owned.json::<Move<'_>>().unwrap(), Move { who: "ann", to: (3, -4) });
}

#[test]
fn error_names_fault() {
    let deep = "[".repeat(200) + &"]".repeat(200);
    for (payload, why) in [
        (&b""[..], "EOF"),
        (b"{}", "missing field `who`"),
        (br#"{"who":"ann","to":[3]}"#, "tuple of size 2"),
        (br#"{"who":"ann","to":[3,"x"]}"#, "expected i32 at line 1 column"),
        (br#"{"who":"ann","to":[3,4]} and more"#, "trailing characters"),
        (b"{\"who\":\"\xff\",\"to\":[3,4]}", "unicode"),
    ] {
        let error = packet(payload).json::<Move<'_>>().unwrap_err().to_string();
        assert!(error.starts_with("the payload is not the JSON that was expected: "), "{error}");
        assert!(error.contains(why), "{error} does not say {why}");
    }
    let error = packet(deep.as_bytes()).json::<serde_json::Value>().unwrap_err();
    assert!(error.to_string().contains("recursion limit"), "{error}");
    assert!(error.source().is_none(), "a report of the chain would say it twice");
}

#[test]
fn values_without_json_form_are_error() {
    let map = BTreeMap::from([((1, 2), 3)]);
    let error = json(&map).unwrap_err().to_string();
    assert_eq!(error, "the value cannot be JSON: key must be a string");
}

#[test]
fn info_round_trips() {
    let info = Info::json(&Move { who: "ann", to: (3, -4) }).unwrap();
    assert_eq!(info.as_str(), r#"{"who":"ann","to":[3,-4]}"#);
    assert_eq!(info.parse::<Move<'_>>().unwrap(), Move { who: "ann", to: (3, -4) });
    assert!(info.parse::<u32>().is_err());
    let nested = (0..70).fold(serde_json::Value::Null, |inner, _| vec![inner].into());
    let error = Info::json(&nested).unwrap_err().to_string();
    assert!(error.contains("nested more than 64 deep"), "{error}");
}
