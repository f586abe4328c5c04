//! Joining and leaving rooms (sections 5 and 6).

use super::members::Member;
use super::site::{Site, gather, hear_nothing};
use roomer_conformance::client::Client;
use roomer_conformance::wire;

#[test]
fn a_join_makes_the_room_and_tells_who_is_in() {
    let site = Site::open();
    let mut a = site.loner();
    assert_eq!(site.server.stats().rooms, 0);
    assert_eq!(a.join("lobby"), [&*a.id]);
    assert_eq!(site.server.stats().rooms, 1);
    let mut b = site.loner();
    let mut both = b.join("lobby");
    both.sort_unstable();
    let mut expected = [a.id.clone(), b.id.clone()];
    expected.sort_unstable();
    assert_eq!(both, expected);
    a.expect_new_member("lobby", &b.id);
}

#[test]
fn a_snapshot_is_a_json_array_of_strings_without_spaces() {
    let site = Site::open();
    let [mut a, _b, mut c] = site.room("lobby");
    c.say("lobby", "join", b"");
    let ack = c.packet();
    assert_eq!((&*ack.event, &*ack.dst, &ack.src), ("join_ack", "", &c.id));
    let json = String::from_utf8(ack.payload).unwrap();
    let quoted: Vec<String> = json[1..json.len() - 1].split(',').map(str::to_owned).collect();
    assert_eq!(json, format!("[{}]", quoted.join(",")));
    assert_eq!(json.len(), 3 * 38 + 2 + 2, "{json}");
    assert!(quoted.contains(&format!("\"{}\"", a.id)), "{json}");
    a.expect_nothing();
}

#[test]
fn whatever_else_a_request_holds_means_nothing() {
    let site = Site::open();
    let [mut witness, mut client] = site.loners();
    let (other, own) = (witness.id.clone(), client.id.clone());
    for dst in ["", "nobody", &other, &own] {
        for (src, payload) in [("", &b""[..]), ("forged", b"\xff"), (&other, b"[]"), (&own, b"x")] {
            let request = |event: &[u8]| {
                let fields = [b"lobby", event, dst.as_bytes(), src.as_bytes(), payload];
                wire::message(&wire::packet(fields))
            };
            client.send(&request(b"join"));
            let ack = client.packet();
            assert_eq!(client.snapshot("lobby", ack), [&*own]);
            client.send(&request(b"leave"));
            client.expect_left("lobby");
        }
    }
    witness.expect_nothing();
    assert_eq!(site.server.stats().rooms, 0);
}

#[test]
fn leave_is_acknowledged_to_the_leaver_and_told_to_the_others() {
    let site = Site::open();
    let [mut a, mut b, mut c] = site.room("lobby");
    b.leave("lobby");
    a.expect_member_left("lobby", &b.id);
    c.expect_member_left("lobby", &b.id);
    a.say("lobby", "hello", b"");
    c.expect("lobby", "hello", "", &a.id, b"");
    // Nobody hears of itself, and who has left hears nothing.
    hear_nothing([&mut a, &mut b, &mut c]);
}

#[test]
fn leaving_a_room_one_is_not_in_is_acknowledged_and_nothing_else() {
    let site = Site::open();
    let mut member = site.loner();
    member.join("lobby");
    let mut stranger = site.loner();
    stranger.leave("lobby");
    stranger.leave("no such room");
    stranger.leave("root");
    member.expect_nothing();
    assert_eq!(site.server.stats().rooms, 1, "no room was made by leaving it");
    stranger.expect_nothing();
}

#[test]
fn a_repeated_join_is_acknowledged_in_full_and_not_announced() {
    let site = Site::open();
    let [mut a, mut b] = site.room("lobby");
    for _ in 0..3 {
        assert_eq!(b.join("lobby").len(), 2);
    }
    a.expect_nothing();
}

#[test]
fn membership_is_a_set_one_leave_ends_it() {
    let site = Site::open();
    let [mut a, mut b] = site.room("lobby");
    b.join("lobby");
    b.join("lobby");
    b.leave("lobby");
    a.expect_member_left("lobby", &b.id);
    a.say("lobby", "hello", b"");
    a.expect_nothing();
    b.expect_nothing();
    b.leave("lobby");
    a.expect_nothing();
}

#[test]
fn root_can_be_left_and_joined_again() {
    let site = Site::open();
    let mut a = site.client();
    let mut b = site.client();
    a.expect_new_member("root", &b.id);
    a.leave("root");
    b.expect_member_left("root", &a.id);
    // The connection stays up, and is out of root.
    b.say("root", "hello", b"1");
    hear_nothing([&mut b, &mut a]);
    assert_eq!(a.join("root").len(), 2);
    b.expect_new_member("root", &a.id);
    b.say("root", "hello", b"2");
    a.expect("root", "hello", "", &b.id, b"2");
    b.expect_nothing();
}

#[test]
fn root_ends_like_any_room_and_newcomers_make_it_anew() {
    let site = Site::open();
    let mut a = site.loner();
    assert_eq!(site.server.stats().rooms, 0);
    let b = site.client();
    assert_eq!(b.welcome, [&*b.id]);
    a.expect_nothing();
}

#[test]
fn when_the_last_member_leaves_the_room_is_gone() {
    let site = Site::open();
    let [mut a, mut b] = site.room("lobby");
    a.leave("lobby");
    b.expect_member_left("lobby", &a.id);
    assert_eq!(site.server.stats().rooms, 1);
    b.leave("lobby");
    assert_eq!(site.server.stats().rooms, 0);
    assert_eq!(a.join("lobby"), [&*a.id], "the next join makes a new one");
    b.expect_nothing();
}

#[test]
fn when_the_last_member_disconnects_the_room_is_gone() {
    let site = Site::open();
    let [a, mut b] = site.room("lobby");
    let mut c = site.loner();
    let id = a.id.clone();
    a.goodbye();
    b.expect_member_left("lobby", &id);
    b.goodbye();
    assert_eq!(site.server.stats().rooms, 0);
    assert_eq!(c.join("lobby"), [&*c.id]);
}

#[test]
fn a_client_may_be_in_many_rooms_and_they_are_apart() {
    let site = Site::open();
    let [mut a, mut b, mut c] = site.loners();
    a.join("x");
    a.join("y");
    b.join("x");
    a.expect_new_member("x", &b.id);
    c.join("y");
    a.expect_new_member("y", &c.id);
    a.say("x", "hello", b"1");
    a.say("y", "hello", b"2");
    b.expect("x", "hello", "", &a.id, b"1");
    c.expect("y", "hello", "", &a.id, b"2");
    b.leave("x");
    a.expect_member_left("x", &b.id);
    hear_nothing([&mut a, &mut b, &mut c]);
}

#[test]
fn rooms_of_every_size_up_to_thirty_work() {
    // The engine treats small and large rooms differently; nobody must notice.
    let site = Site::open();
    let mut members = Vec::new();
    for size in 1..=30 {
        members.push(site.loner());
        let (newest, earlier) = members.split_last_mut().unwrap();
        assert_eq!(newest.join("lobby").len(), size);
        for member in &mut *earlier {
            member.expect_new_member("lobby", &newest.id);
        }
        newest.say("lobby", "hello", &[size as u8]);
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
    assert_eq!(site.server.stats().rooms, 0);
}

#[test]
fn snapshots_of_a_room_of_hundreds_are_right_whoever_leaves() {
    let site = Site::open();
    let mut asker = Member::join(site.loner(), "lobby");
    let mut others: Vec<Client> = (0..230).map(|_| site.loner()).collect();
    let check = |asker: &mut Member| {
        // A repeated join is answered in full.
        let view = std::mem::take(&mut asker.members);
        asker.rejoin();
        assert_eq!(asker.members, view);
    };
    // In and out again, from all over the room, in another order each time.
    for step in [7, 1, 101] {
        for (n, other) in others.iter_mut().enumerate() {
            other.say("lobby", "join", b"");
            asker.settle(n + 2);
        }
        check(&mut asker);
        for n in 0..others.len() {
            let place = n * step % others.len();
            others[place].say("lobby", "leave", b"");
            asker.settle(others.len() - n);
            if n % 9 == 0 {
                check(&mut asker);
            }
        }
        check(&mut asker);
    }
}

#[test]
fn requests_sent_in_one_go_are_answered_in_their_order() {
    let site = Site::open();
    let [mut a, mut b] = site.loners();
    gather("b", std::slice::from_mut(&mut a));
    let requests = [("a", "join"), ("b", "join"), ("a", "leave"), ("c", "leave"), ("a", "join")];
    b.send(&requests.map(|(room, event)| wire::to_room(room, event, b"")).concat());
    for (room, event) in requests {
        let ack = b.packet();
        assert_eq!((&*ack.room, &*ack.event), (room, &*format!("{event}_ack")));
    }
    a.expect_new_member("b", &b.id);
    b.expect_nothing();
}
