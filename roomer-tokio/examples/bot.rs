//! A chat bot that answers members that write `!who`, `!count` or `!help`.
//!
//! Start `cargo run -p roomer-tokio --example chat`, and then `cargo run -p roomer-tokio-examples
//! --example bot -- ws://127.0.0.1:8080/ws lobby`. When the server restarts, the bot reconnects.
#![allow(missing_docs, unreachable_pub, clippy::print_stdout, clippy::print_stderr)]

use std::future::Future;
use std::pin::pin;
use std::process::ExitCode;

use roomer_example_support::program::{self, Outcome, Program};
use roomer_tokio::client::{Client, Event, Room};
use roomer_tokio::shutdown_signal;

const NAME: &str = "bot";

const HELP: &str =
    "!who: the number of members. !count: the number of messages that I have received.";

#[tokio::main]
pub async fn main() -> ExitCode {
    program::finish(start().await)
}

async fn start() -> Outcome {
    let about = "A bot in a chat: it answers members that write !who, !count or !help.";
    let program = Program { about, listen: "", files: &["URL", "ROOM"] };
    let Some(args) = program.args()? else { return Ok(()) };
    let [url, room] = [0, 1].map(|at| args.files[at].to_string_lossy());
    run(&url, &room, shutdown_signal()).await
}

pub async fn run(url: &str, room: &str, stop: impl Future) -> Outcome {
    let client = Client::connect(url).map_err(|error| format!("{url}: {error}"))?;
    // Subscribe before the join, so that no event is missed.
    let mut events = client.events();
    let room = client.join(room);
    let mut stop = pin!(stop);
    let mut received = 0;
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            _ = &mut stop => break,
        };
        match event {
            // On the chat page, members announce their names, and do so again on each new
            // connection.
            Some(Event::Joined { room: of } | Event::Rejoined { room: of, .. })
                if *of == *room.name() =>
            {
                room.send("nick", NAME)?;
            }
            Some(Event::MemberJoined { room: of, id }) if *of == *room.name() => {
                room.send_to(id, "nick", NAME)?;
            }
            Some(Event::Message(message))
                if message.room == *room.name() && message.event == *"chat" =>
            {
                received += 1;
                // Other clients may send any bytes.
                let asked = message.text().unwrap_or_default();
                if let Some(answer) = answer(asked, &room, received) {
                    room.send("chat", answer)?;
                }
            }
            Some(Event::Refused { room }) => {
                return Err(format!("the server rejects the join of the room {room:?}").into());
            }
            Some(Event::Closed(closing)) => return Err(format!("closed: {closing:?}").into()),
            None => break,
            // If the connection is lost, the client reconnects automatically.
            Some(_) => {}
        }
    }
    client.close().await;
    Ok(())
}

fn answer(asked: &str, room: &Room, received: u32) -> Option<String> {
    match asked.trim() {
        "!help" => Some(HELP.into()),
        "!who" => Some(format!("{} of us, me included", room.count())),
        "!count" => Some(format!("{received} messages")),
        _ => None,
    }
}
