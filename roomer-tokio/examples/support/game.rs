//! The part of the ticker examples that is the same on both runtimes: the board and its players.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use roomer_engine::{BuildError, ConnId, JsonError, Presence, Server, json};
use serde::Serialize;

/// The time between two ticks, for 30 ticks per second.
pub const PERIOD: Duration = Duration::from_nanos(1_000_000_000 / 30);

const ROOM: &str = "arena";

/// The positions of all players. An input changes the board immediately, but the change is sent
/// only with the next tick.
#[derive(Default)]
struct Board(Mutex<BTreeMap<ConnId, (i32, i32)>>);

impl Board {
    fn players(&self) -> MutexGuard<'_, BTreeMap<ConnId, (i32, i32)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The payload of a tick.
#[derive(Serialize)]
struct Tick<'a> {
    tick: u64,
    players: BTreeMap<&'a str, &'a (i32, i32)>,
}

pub fn server() -> Result<Server, BuildError> {
    Server::builder()
        .state(Board::default())
        // A tick contains all players, so the members need no notices about each other.
        .presence("*", Presence::Off)
        .on_join(|conn, room| {
            if room == ROOM {
                conn.state::<Board>().players().insert(conn.id(), (0, 0));
            }
        })
        .on_leave(|conn, room| {
            if room == ROOM {
                conn.state::<Board>().players().remove(&conn.id());
            }
        })
        .on("move", |conn, message| {
            let (x, y): (i32, i32) = message.json()?;
            // However far the client wants to move, it moves by one step.
            if let Some(place) = conn.state::<Board>().players().get_mut(&conn.id()) {
                place.0 = place.0.saturating_add(x.signum());
                place.1 = place.1.saturating_add(y.signum());
            }
            Ok(())
        })
        .build()
}

/// Sends the board to all players.
pub fn tick(server: &Server, tick: u64) -> Result<(), JsonError> {
    let players = server.state::<Board>().players();
    let state = Tick { tick, players: players.iter().map(|(id, at)| (id.as_str(), at)).collect() };
    let state = json(&state)?;
    drop(players);
    server.broadcast(ROOM, "tick", &state);
    Ok(())
}
