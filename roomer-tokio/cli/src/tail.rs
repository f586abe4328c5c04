//! `roomer tail`: prints the messages of rooms as they arrive.

use roomer_tokio::client::{Event, Room};

use crate::args::Tail;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::output::Output;
use crate::stop::Stop;

pub(crate) async fn run(args: &Tail, output: &Output) -> Result<(), Failure> {
    let url = &args.connect.url;
    let Connection { client, mut events } =
        if args.wait { args.connect.start()? } else { args.connect.open().await? };
    let mut stop = Stop::new();
    let join = |room: &String| match args.history {
        Some(last) => client.join_with_history(room, last),
        None => client.join(room),
    };
    let rooms: Vec<Room> = args.rooms.iter().map(join).collect();
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        let event = tokio::select! {
            event = events.next() => event,
            () = stop.wait() => break,
        };
        let Some(event) = event else { break };
        match &event {
            Event::Message(message) if args.wants(&message.room, &message.event) => {
                output.message(message)?;
                left -= 1;
            }
            Event::Refused { room } => {
                return Err(Failure::Refused(format!(
                    "the server rejects the join of the room {room:?}"
                )));
            }
            Event::Removed { room } if args.rooms.iter().any(|known| **known == **room) => {
                return Err(Failure::removed(room));
            }
            Event::Closed(closing) => return Err(Failure::closed(url, closing)),
            Event::MemberJoined { room, .. }
            | Event::MemberChanged { room, .. }
            | Event::MemberLeft { room, .. } => {
                let room = rooms.iter().find(|known| *known.name() == **room);
                if let Some(room) = room.filter(|_| args.members) {
                    output.members(&event, room)?;
                }
            }
            // Every client is in `root`, so an event may be about `root` even if `root` is not an
            // argument.
            Event::Missed { room } | Event::Removed { room }
                if !args.rooms.iter().any(|known| **known == **room) => {}
            event => output.connection(event),
        }
        let missed = events.take_missed();
        if missed > 0 {
            output.notice(&format!("the output is too slow: {missed} events were left out"));
        }
    }
    stop.close(&client).await;
    Ok(())
}

impl Tail {
    fn wants(&self, room: &str, event: &str) -> bool {
        self.rooms.iter().any(|wanted| wanted == room)
            && (self.events.is_empty() || self.events.iter().any(|wanted| wanted == event))
    }
}
