//! Private rooms, which only their owners and the clients that they invite can join.
//!
//! Run `cargo run -p roomer-tokio-examples --example invitation`, then connect to
//! `ws://127.0.0.1:8080/ws`.
//!
//! The first client that joins a room whose name begins with `private:` becomes the owner of the
//! room. To invite another client, the owner sends `invite` with that client's id to the room; the
//! other client receives `invited` with the name of the room. A client that was not invited
//! receives `leave_ack`. When the owner leaves, all members are removed.
#![allow(missing_docs, unreachable_pub, clippy::print_stdout, clippy::print_stderr)]

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};

use roomer_example_support::program::{self, Outcome, Program};
use roomer_tokio::{
    Conn, ConnId, HandlerResult, Message, Server, bind, serve_until, shutdown_signal,
};
use tokio::net::TcpListener;

#[tokio::main]
pub async fn main() -> ExitCode {
    program::finish(start().await)
}

async fn start() -> Outcome {
    let about = "Private rooms: the first client in a room owns it and invites others.";
    let program = Program { about, listen: "127.0.0.1:8080", files: &[] };
    let Some(args) = program.args()? else { return Ok(()) };
    let listener = bind(&args.listen).await?;
    let stop = shutdown_signal();
    println!("listening on ws://{}/ws", listener.local_addr()?);
    run(listener, stop).await
}

/// The state of each private room, by name.
#[derive(Default)]
struct Private(Mutex<BTreeMap<String, Room>>);

struct Room {
    owner: ConnId,
    guests: BTreeSet<ConnId>,
}

impl Private {
    fn rooms(&self) -> MutexGuard<'_, BTreeMap<String, Room>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub async fn run(listener: TcpListener, stop: impl Future) -> Outcome {
    let server = Server::builder()
        .state(Private::default())
        .may_join(may_join)
        .on("invite", invite)
        .on_leave(leave)
        .build()?;
    Ok(serve_until(listener, server, stop).await?)
}

fn may_join(conn: &Conn, room: &str) -> bool {
    if !room.starts_with("private:") {
        return true;
    }
    let mut rooms = conn.state::<Private>().rooms();
    let room = rooms
        .entry(room.to_owned())
        .or_insert_with(|| Room { owner: conn.id(), guests: BTreeSet::new() });
    room.owner == conn.id() || room.guests.contains(&conn.id())
}

fn invite(conn: &Conn, message: &Message<'_>) -> HandlerResult {
    let guest = ConnId::parse(message.text()?).ok_or("the payload of invite must be an id")?;
    let mut rooms = conn.state::<Private>().rooms();
    let room = rooms.get_mut(message.room).filter(|room| room.owner == conn.id());
    room.ok_or("only the owner of a private room may invite")?.guests.insert(guest);
    // Unlock first: the call may run a hook, which locks the state again.
    drop(rooms);
    conn.send_to_client(guest.as_str(), "invited", message.room.as_bytes());
    Ok(())
}

/// Handles a leave. If the owner has left, its invitations expire, and the other members are
/// removed.
fn leave(conn: &Conn, room: &str) {
    let mut rooms = conn.state::<Private>().rooms();
    if rooms.get(room).is_none_or(|private| private.owner != conn.id()) {
        return;
    }
    rooms.remove(room);
    drop(rooms);
    for guest in conn.server().members(room) {
        conn.server().kick(guest, room);
    }
}
