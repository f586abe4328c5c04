//! Tests of random joins, leaves, info changes and lost sockets.
//!
//! Plain and extended members are in one room.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use roomer_engine::{Builder, Info, Server};

const ROOMS: [&str; 2] = ["lobby", "hall"];

/// Builds a server whose handler sets a client's info to a number and then sends the number to the
/// room. When the message arrives, a receiver must already have that number as the sender's info.
fn numbered() -> Builder {
    Server::builder().on("say", |conn, message| {
        conn.set_info(Info::new(message.text()?)?)?;
        conn.send_to_room(message.room, "said", message.payload);
        Ok(())
    })
}

/// Fails the test if a message arrives while its sender's info is not the number in the message.
fn watch(client: &Client, seed: u64) {
    client.on("said", move |client, packet| {
        let said = String::from_utf8_lossy(&packet.payload).into_owned();
        let known = client.member_info(&packet.room, &packet.src);
        assert_eq!(known, Some(said), "seed {seed}, of {} in {}", packet.src, packet.room);
    });
}

#[test]
fn member_views_match_server_and_changes_are_ordered() {
    for seed in 0..150 {
        let faults = [Faults::none(), Faults::gentle()][seed as usize % 2];
        let mut world = World::with_faults(seed, faults, numbered());
        let mut clients: Vec<Client> = Vec::new();
        for index in 0..5 {
            let client = match index < 3 {
                true => world.connect_extended(Handshake::new()),
                false => world.connect(),
            };
            if index < 3 {
                watch(&client, seed);
            }
            clients.push(client);
        }
        world.settle();
        let mut said = 0;
        for _ in 0..80 {
            let who = world.rng().below(5);
            let room = ROOMS[world.rng().below(2)];
            let client = clients[who].clone();
            match world.rng().below(12) {
                0..=2 => client.join(room),
                3 => client.leave(room),
                4..=6 => {
                    said += 1;
                    client.send(room, "say", said.to_string());
                }
                7 => client.send(room, "chat", "hello"),
                8 if who < 3 => {
                    match world.rng().below(2) {
                        0 => client.reset(),
                        _ => client.unplug(),
                    }
                    let next = world.reconnect(&client);
                    client.stall(usize::MAX);
                    watch(&next, seed);
                    clients[who] = next;
                }
                9 => world.advance(Duration::from_millis(100)),
                _ => (0..world.rng().below(20)).for_each(|_| _ = world.step()),
            }
        }
        world.heal();
        world.advance(Duration::from_secs(6));
        let truth: BTreeMap<String, Option<String>> = world
            .server()
            .conns()
            .iter()
            .map(|conn| (conn.id().to_string(), conn.info().map(|info| info.to_string())))
            .collect();
        assert_eq!(truth.len(), 5, "seed {seed}");
        for client in &clients[..3] {
            assert!(client.is_open(), "seed {seed}");
            for room in client.rooms() {
                let members = world.server().members(&room);
                assert_eq!(client.members(&room).map(|m| m.len()), Some(members.len()));
                for id in members.iter().map(ToString::to_string) {
                    assert_eq!(client.member_info(&room, &id), truth[&id], "seed {seed}, {room}");
                }
            }
        }
        for client in &clients[3..] {
            for room in client.rooms() {
                let members = world.server().members(&room).len();
                assert_eq!(client.members(&room).map(|known| known.len()), Some(members));
            }
        }
    }
}
