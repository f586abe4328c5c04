//! Tests malformed packets in valid messages.

use super::test_server::TestServer;
use roomer_conformance::wire;

#[test]
fn malformed_packet_is_1002_and_affects_no_other_client() {
    let test = TestServer::start();
    let mut witness = test.roomless_client();
    witness.join("room");
    let good = wire::packet([b"room", b"event", b"", b"", b"payload"]);
    let mut bad = vec![Vec::new(), vec![0; 19], vec![0; 21], [&good[..], b"x"].concat()];
    // Truncate the packet at every length shorter than the whole.
    bad.extend((0..good.len()).map(|length| good[..length].to_vec()));
    // Let one field of the packet claim to be longer than the message.
    let mut at = 0;
    for field in ["room", "event", "", "", "payload"] {
        for claim in [field.len() as u32 + 1000, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
            let mut packet = good.clone();
            packet[at..at + 4].copy_from_slice(&claim.to_be_bytes());
            bad.push(packet);
        }
        at += 4 + field.len();
    }
    for packet in bad {
        let mut culprit = test.roomless_client();
        culprit.join("room");
        witness.expect_new_member("room", &culprit.id);
        culprit.send(&wire::message(&packet));
        let reason = culprit.expect_close(1002);
        assert!(!reason.is_empty(), "{}", packet.escape_ascii());
        witness.expect_member_left("room", &culprit.id);
    }
    witness.expect_nothing();
}

#[test]
fn shortest_packet_is_20_zero_bytes() {
    let test = TestServer::start();
    let [mut a, mut b] = test.clients_in("");
    a.send(&wire::message(&[0; 20]));
    b.expect("", "", "", &a.id, b"");
    a.expect_nothing();
}

#[test]
fn payload_may_be_any_bytes() {
    let test = TestServer::start();
    let [mut a, mut b] = test.clients_in("room");
    let all: Vec<u8> = (0..=255).collect();
    for payload in [&b""[..], b"\0", b"\xff\xfe\xc3\x28", &all, &wire::packet([b"a"; 5])] {
        a.send_to_room("room", "bytes", payload);
        b.expect("room", "bytes", "", &a.id, payload);
    }
}

#[test]
fn non_utf8_names_are_1007() {
    let test = TestServer::start();
    for bad in [&b"\xff"[..], b"cut \xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"] {
        for place in 0..4 {
            let mut fields = [&b"room"[..], b"event", b"", b"", b""];
            fields[place] = bad;
            let mut client = test.roomless_client();
            client.send(&wire::message(&wire::packet(fields)));
            client.expect_close(1007);
        }
    }
}
