//! Tests the ticker example with a game between two clients, on either runtime.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;

use crate::client::Client;

/// Receives a tick. Returns its number and the players' positions.
#[track_caller]
fn tick(client: &mut Client) -> (u64, BTreeMap<String, Value>) {
    let packet = client.expect_packet();
    assert_eq!((&*packet.room, &*packet.event, &*packet.src), ("arena", "tick", ""));
    let tick: Value = serde_json::from_slice(&packet.payload).unwrap();
    let players = tick["players"].as_object().unwrap();
    let players = players.iter().map(|(id, place)| (id.clone(), place.clone()));
    (tick["tick"].as_u64().unwrap(), players.collect())
}

/// Receives ticks with consecutive numbers, until `is_due` returns true for the players' positions.
#[track_caller]
fn watch(client: &mut Client, is_due: impl Fn(&BTreeMap<String, Value>) -> bool) {
    let (mut before, mut players) = tick(client);
    for _ in 0..1000 {
        if is_due(&players) {
            return;
        }
        let (number, now) = tick(client);
        assert_eq!(number, before + 1, "a tick is missing");
        (before, players) = (number, now);
    }
    panic!("not reached: {players:?}");
}

pub fn play(addr: SocketAddr) {
    let (mut ann, mut bob) = (Client::connect(addr), Client::connect(addr));
    for player in [&mut ann, &mut bob] {
        assert_eq!(player.root_members, [&*player.id], "root lists other members");
        let snapshot = player.join("arena");
        assert_eq!(snapshot, [&*player.id]);
    }
    let is_at = |id: &str, place: [i32; 2]| {
        let (id, place) = (id.to_owned(), Value::from(place.to_vec()));
        move |players: &BTreeMap<String, Value>| players.get(&id) == Some(&place)
    };
    let (a, b) = (ann.id.clone(), bob.id.clone());
    watch(&mut ann, |players| is_at(&a, [0, 0])(players) && is_at(&b, [0, 0])(players));
    // A move is one step, however long its vector is. Other payloads are ignored.
    for input in [&b"[1, 0]"[..], b"[1, 0]", b"north", b"[-900, 7]", b"[0, 1]"] {
        bob.send_to_room("arena", "move", input);
    }
    ann.send_to_room("arena", "move", b"[0, -1]");
    for player in [&mut ann, &mut bob] {
        watch(player, |players| is_at(&a, [0, -1])(players) && is_at(&b, [1, 2])(players));
    }
    bob.reset();
    watch(&mut ann, |players| players.len() == 1 && is_at(&a, [0, -1])(players));
    // The board contains only members of the room.
    ann.send_to_room("arena", "leave", b"");
    while ann.expect_packet().event != "leave_ack" {}
    ann.send_to_room("root", "move", b"[1, 1]");
    ann.expect_nothing();
}
