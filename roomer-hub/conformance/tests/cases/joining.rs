//! Tests joining and leaving rooms.

use super::members::Member;
use super::test_server::{TestServer, expect_nothing, join_all};
use roomer_conformance::client::Client;
use roomer_conformance::wire;

#[test]
fn join_creates_room_and_lists_its_members() {
    let test = TestServer::start();
    let mut a = test.roomless_client();
    assert_eq!(test.server.stats().rooms, 0);
    assert_eq!(a.join("lobby"), [&*a.id]);
    assert_eq!(test.server.stats().rooms, 1);
    let mut b = test.roomless_client();
    let mut both = b.join("lobby");
    both.sort_unstable();
    let mut expected = [a.id.clone(), b.id.clone()];
    expected.sort_unstable();
    assert_eq!(both, expected);
    a.expect_new_member("lobby", &b.id);
}

#[test]
fn snapshot_is_json_array_of_strings_without_spaces() {
    let test = TestServer::start();
    let [mut a, _b, mut c] = test.clients_in("lobby");
    c.send_to_room("lobby", "join", b"");
    let ack = c.expect_packet();
    assert_eq!((&*ack.event, &*ack.dst, &ack.src), ("join_ack", "", &c.id));
    let json = String::from_utf8(ack.payload).unwrap();
    let quoted: Vec<String> = json[1..json.len() - 1].split(',').map(str::to_owned).collect();
    assert_eq!(json, format!("[{}]", quoted.join(",")));
    assert_eq!(json.len(), 3 * 38 + 2 + 2, "{json}");
    assert!(quoted.contains(&format!("\"{}\"", a.id)), "{json}");
    a.expect_nothing();
}

#[test]
fn other_fields_of_join_and_leave_are_ignored() {
    let test = TestServer::start();
    let [mut witness, mut client] = test.roomless_clients();
    let (other, own) = (witness.id.clone(), client.id.clone());
    for dst in ["", "nobody", &other, &own] {
        for (src, payload) in [("", &b""[..]), ("forged", b"\xff"), (&other, b"[]"), (&own, b"x")] {
            let request = |event: &[u8]| {
                let fields = [b"lobby", event, dst.as_bytes(), src.as_bytes(), payload];
                wire::message(&wire::packet(fields))
            };
            client.send(&request(b"join"));
            let ack = client.expect_packet();
            assert_eq!(client.snapshot("lobby", ack), [&*own]);
            client.send(&request(b"leave"));
            client.expect_left("lobby");
        }
    }
    witness.expect_nothing();
    assert_eq!(test.server.stats().rooms, 0);
}

#[test]
fn leave_is_acknowledged_and_others_are_notified() {
    let test = TestServer::start();
    let [mut a, mut b, mut c] = test.clients_in("lobby");
    b.leave("lobby");
    a.expect_member_left("lobby", &b.id);
    c.expect_member_left("lobby", &b.id);
    a.send_to_room("lobby", "hello", b"");
    c.expect("lobby", "hello", "", &a.id, b"");
    // A client receives no notices about itself, and none about a room that it has left.
    expect_nothing([&mut a, &mut b, &mut c]);
}

#[test]
fn leave_by_non_member_is_only_acknowledged() {
    let test = TestServer::start();
    let mut member = test.roomless_client();
    member.join("lobby");
    let mut stranger = test.roomless_client();
    stranger.leave("lobby");
    stranger.leave("no such room");
    stranger.leave("root");
    member.expect_nothing();
    assert_eq!(test.server.stats().rooms, 1, "no room was made by leaving it");
    stranger.expect_nothing();
}

#[test]
fn repeated_join_is_acknowledged_but_not_announced() {
    let test = TestServer::start();
    let [mut a, mut b] = test.clients_in("lobby");
    for _ in 0..3 {
        assert_eq!(b.join("lobby").len(), 2);
    }
    a.expect_nothing();
}

#[test]
fn one_leave_undoes_repeated_joins() {
    let test = TestServer::start();
    let [mut a, mut b] = test.clients_in("lobby");
    b.join("lobby");
    b.join("lobby");
    b.leave("lobby");
    a.expect_member_left("lobby", &b.id);
    a.send_to_room("lobby", "hello", b"");
    a.expect_nothing();
    b.expect_nothing();
    b.leave("lobby");
    a.expect_nothing();
}

#[test]
fn root_can_be_left_and_joined_again() {
    let test = TestServer::start();
    let mut a = test.client();
    let mut b = test.client();
    a.expect_new_member("root", &b.id);
    a.leave("root");
    b.expect_member_left("root", &a.id);
    // A client stays connected even if it leaves `root`.
    b.send_to_room("root", "hello", b"1");
    expect_nothing([&mut b, &mut a]);
    assert_eq!(a.join("root").len(), 2);
    b.expect_new_member("root", &a.id);
    b.send_to_room("root", "hello", b"2");
    a.expect("root", "hello", "", &b.id, b"2");
    b.expect_nothing();
}

#[test]
fn root_is_removed_when_empty_and_recreated() {
    let test = TestServer::start();
    let mut a = test.roomless_client();
    assert_eq!(test.server.stats().rooms, 0);
    let b = test.client();
    assert_eq!(b.root_members, [&*b.id]);
    a.expect_nothing();
}

#[test]
fn room_ends_when_its_last_member_leaves() {
    let test = TestServer::start();
    let [mut a, mut b] = test.clients_in("lobby");
    a.leave("lobby");
    b.expect_member_left("lobby", &a.id);
    assert_eq!(test.server.stats().rooms, 1);
    b.leave("lobby");
    assert_eq!(test.server.stats().rooms, 0);
    assert_eq!(a.join("lobby"), [&*a.id], "the next join makes a new one");
    b.expect_nothing();
}

#[test]
fn room_ends_when_its_last_member_disconnects() {
    let test = TestServer::start();
    let [a, mut b] = test.clients_in("lobby");
    let mut c = test.roomless_client();
    let id = a.id.clone();
    a.close();
    b.expect_member_left("lobby", &id);
    b.close();
    assert_eq!(test.server.stats().rooms, 0);
    assert_eq!(c.join("lobby"), [&*c.id]);
}

#[test]
fn rooms_of_one_client_are_independent() {
    let test = TestServer::start();
    let [mut a, mut b, mut c] = test.roomless_clients();
    a.join("x");
    a.join("y");
    b.join("x");
    a.expect_new_member("x", &b.id);
    c.join("y");
    a.expect_new_member("y", &c.id);
    a.send_to_room("x", "hello", b"1");
    a.send_to_room("y", "hello", b"2");
    b.expect("x", "hello", "", &a.id, b"1");
    c.expect("y", "hello", "", &a.id, b"2");
    b.leave("x");
    a.expect_member_left("x", &b.id);
    expect_nothing([&mut a, &mut b, &mut c]);
}

#[test]
fn rooms_of_every_size_up_to_thirty_work() {
    // The engine flushes small and large rooms in different ways, which clients must not be able to
    // tell apart.
    let test = TestServer::start();
    let mut members = Vec::new();
    for size in 1..=30 {
        members.push(test.roomless_client());
        let (newest, earlier) = members.split_last_mut().unwrap();
        assert_eq!(newest.join("lobby").len(), size);
        for member in &mut *earlier {
            member.expect_new_member("lobby", &newest.id);
        }
        newest.send_to_room("lobby", "hello", &[size as u8]);
        newest.expect_nothing();
        for member in &mut *earlier {
            member.expect("lobby", "hello", "", &newest.id, &[size as u8]);
        }
    }
    while let Some(mut leaver) = members.pop() {
        leaver.leave("lobby");
        for member in &mut members {
            member.expect_member_left("lobby", &leaver.id);
        }
        leaver.expect_nothing();
    }
    assert_eq!(test.server.stats().rooms, 0);
}

#[test]
fn large_room_snapshots_are_correct_after_every_leave() {
    let test = TestServer::start();
    let mut asker = Member::join(test.roomless_client(), "lobby");
    let mut others: Vec<Client> = (0..230).map(|_| test.roomless_client()).collect();
    let check = |asker: &mut Member| {
        // The answer to a repeated join is a complete snapshot.
        let view = std::mem::take(&mut asker.members);
        asker.rejoin();
        assert_eq!(asker.members, view);
    };
    // All other members leave and join again, in a different order each time.
    for step in [7, 1, 101] {
        for (n, other) in others.iter_mut().enumerate() {
            other.send_to_room("lobby", "join", b"");
            asker.settle(n + 2);
        }
        check(&mut asker);
        for n in 0..others.len() {
            let place = n * step % others.len();
            others[place].send_to_room("lobby", "leave", b"");
            asker.settle(others.len() - n);
            if n % 9 == 0 {
                check(&mut asker);
            }
        }
        check(&mut asker);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let test = TestServer::start();
    let [mut a, mut b] = test.roomless_clients();
    join_all("b", std::slice::from_mut(&mut a));
    let requests = [("a", "join"), ("b", "join"), ("a", "leave"), ("c", "leave"), ("a", "join")];
    b.send(&requests.map(|(room, event)| wire::to_room(room, event, b"")).concat());
    for (room, event) in requests {
        let ack = b.expect_packet();
        assert_eq!((&*ack.room, &*ack.event), (room, &*format!("{event}_ack")));
    }
    a.expect_new_member("b", &b.id);
    b.expect_nothing();
}
