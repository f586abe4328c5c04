//! Tests that attackers do not affect the honest clients next to them.

use std::io::Write;

use super::alone::{allocated, alone};
use super::members::Member;
use super::test_server::TestServer;
use roomer_conformance::client::Client;
use roomer_conformance::http::{HttpRequest, dial};
use roomer_conformance::wire::{self, BINARY, CONTINUATION, FIN, PING, TEXT};

/// Runs attackers that are members of a room. The honest members must be notified when an attacker
/// leaves, and must be able to exchange messages after that.
fn affects_no_other(attackers: impl IntoIterator<Item = Box<dyn FnOnce(Client)>>) {
    let test = TestServer::start();
    let [mut a, mut b] = test.clients_in("lobby");
    for (round, evil) in attackers.into_iter().enumerate() {
        let mut stranger = test.roomless_client();
        stranger.join("lobby");
        let id = stranger.id.clone();
        a.expect_new_member("lobby", &id);
        b.expect_new_member("lobby", &id);
        evil(stranger);
        a.expect_member_left("lobby", &id);
        b.expect_member_left("lobby", &id);
        let (payload, to) = (round.to_be_bytes(), b.id.clone());
        a.send_to_room("lobby", "hello", &payload);
        b.expect("lobby", "hello", "", &a.id, &payload);
        a.send_to_client(&to, "lobby", "hello", &payload);
        b.expect("lobby", "hello", &to, &a.id, &payload);
    }
    a.expect_nothing();
    b.expect_nothing();
    assert_eq!(test.server.stats().connections, 2);
}

fn evil(act: impl FnOnce(Client) + 'static) -> Box<dyn FnOnce(Client)> {
    Box::new(act)
}

/// Returns an attacker that sends bytes, of which the server may read only a part. The attacker
/// then waits for the end of the stream, or for a reset.
fn send(bytes: Vec<u8>) -> Box<dyn FnOnce(Client)> {
    evil(move |mut client| {
        let _ = client.stream.write_all(&bytes);
        client.shutdown_write();
    })
}

/// Returns pseudorandom bytes, which are the same in each run.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn garbage() {
    affects_no_other((0..40).map(|seed| send(noise(seed, 1 + seed as usize * 97))));
}

#[test]
fn garbage_in_valid_frames() {
    affects_no_other((0..40).map(|seed| send(wire::message(&noise(seed, 1 + seed as usize * 97)))));
}

#[test]
fn single_bit_flips_in_valid_conversation() {
    // Whichever bit is changed, the other members may be notified only that the attacker has left.
    let talk = wire::to_room("elsewhere", "join", b"").repeat(2);
    let bits = 0..talk.len() * 8;
    affects_no_other(bits.step_by(5).map(|bit| {
        let mut bytes = talk.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        send(bytes)
    }));
}

#[test]
fn frames_truncated_by_fin() {
    let frame = wire::to_room("lobby", "hello", &wire::filler(200));
    affects_no_other((0..frame.len()).step_by(7).map(|cut| send(frame[..cut].to_vec())));
}

#[test]
fn frames_truncated_by_reset() {
    let frame = wire::to_room("lobby", "hello", &wire::filler(200));
    affects_no_other((0..frame.len()).step_by(7).map(|cut| {
        let part = frame[..cut].to_vec();
        evil(move |mut client| {
            client.send(&part);
            client.reset();
        })
    }));
}

#[test]
fn announced_lengths_above_limit() {
    let headers = [
        wire::header(FIN | BINARY, 16_777_217),
        wire::header(FIN | BINARY, 1 << 40),
        wire::header(FIN | BINARY, u64::MAX),
        wire::header(FIN | TEXT, 1 << 32),
        wire::header(FIN | PING, 1 << 32),
        [wire::frame(BINARY, b"x"), wire::header(FIN | CONTINUATION, 16_777_216)].concat(),
    ];
    // The client sends nothing after the header and does not close, so the server must close
    // because of the header alone.
    affects_no_other(headers.map(|header| {
        evil(move |mut client: Client| {
            client.send(&header);
            assert!(matches!(
                client.receive(),
                roomer_conformance::client::Received::Close(Some(_), _)
            ));
        })
    }));
}

#[test]
fn announced_lengths_without_payload() {
    affects_no_other([1000, 70_000, 16_777_216].map(|length| {
        evil(move |mut client: Client| {
            client.send(&wire::header(FIN | BINARY, length));
            client.send(b"the first few bytes");
            client.reset();
        })
    }));
}

#[test]
fn memory_follows_received_not_announced_bytes() {
    alone("memory_follows_received_not_announced_bytes", || {
        let test = TestServer::start();
        let mut witness = test.roomless_client();
        let before = allocated();
        let mut liars: [Client; 100] = test.roomless_clients();
        for liar in &mut liars {
            liar.send(&wire::header(FIN | BINARY, 16_777_216));
            liar.send(&[0; 100]);
        }
        witness.expect_nothing();
        let grown = allocated().saturating_sub(before);
        assert!(grown < 1 << 20, "{grown} bytes for 100 promises of 16 MiB");
    });
}

#[test]
fn flood_of_pings_and_empty_fragments() {
    let pings = wire::frame(FIN | PING, &wire::filler(125)).repeat(2000);
    let mut empty = wire::frame(BINARY, b"");
    empty.extend(wire::frame(CONTINUATION, b"").repeat(100_000));
    affects_no_other([send(pings), send(empty)]);
}

#[test]
fn disconnect_at_every_byte_of_handshake() {
    let test = TestServer::start();
    let mut witness = test.client();
    let request = HttpRequest::upgrade(test.addr).bytes();
    for cut in (0..request.len()).step_by(9) {
        dial(test.addr).write_all(&request[..cut]).unwrap();
    }
    for seed in 0..20 {
        let mut stream = dial(test.addr);
        stream.write_all(&noise(seed, 300)).unwrap();
    }
    let mut after = test.client();
    witness.expect_new_member("root", &after.id);
    witness.expect_nothing();
    after.expect_nothing();
}

#[test]
fn disconnect_after_request_leaves_no_state() {
    let test = TestServer::start();
    let request = HttpRequest::upgrade(test.addr).bytes();
    for _ in 0..200 {
        let mut stream = dial(test.addr);
        stream.write_all(&request).unwrap();
    }
    // The server accepts this client after the attackers. In the meantime it notices that they have
    // ended.
    let client = test.client();
    let members = client.root_members.iter().cloned().collect();
    let mut after = Member { client, room: "root", members };
    test.wait_for_sockets(1, || after.catch_up());
    assert_eq!(after.members.len(), 1, "a client was left in root");
}
