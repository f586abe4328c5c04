//! `roomer send`: messages to a room, or to one member.

use std::time::Duration;

use roomer_proto::ConnId;
use roomer_tokio::client::{Event, Events, LostReason, Room, SendError};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::args::Send;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::output::Output;

/// The delay before another attempt to queue a message, while the queue is full.
const RETRY: Duration = Duration::from_millis(10);

pub(crate) async fn run(args: Send, output: &Output) -> Result<(), Failure> {
    let to = args.connect.receiver(args.to.as_deref())?;
    // Before there is a connection that would wait for the input.
    let payload = if args.lines { None } else { Some(args.payload.read()?) };
    let Connection { client, events } = args.connect.open().await?;
    let mut sender = Sender { room: args.connect.join(&client, &args.room).await?, to, events };
    let mut sent = 0_u64;
    match payload {
        Some(payload) => {
            sender.send(&args.event, &payload).await?;
            sent = 1;
        }
        None => {
            let mut lines = BufReader::new(tokio::io::stdin()).lines();
            loop {
                let line = lines.next_line().await;
                let line =
                    line.map_err(|error| Failure::Input(format!("standard input: {error}")))?;
                let Some(line) = line else { break };
                sender.send(&args.event, line.as_bytes()).await?;
                sent += 1;
            }
        }
    }
    // Returns when the server has handled all messages.
    client.close().await;
    while let Some(event) = sender.events.next().await {
        check(&event)?;
    }
    if output.is_json {
        output.line(&json!({ "on": "sent", "messages": sent }).to_string())?;
    }
    Ok(())
}

struct Sender {
    room: Room,
    to: Option<ConnId>,
    events: Events,
}

impl Sender {
    /// Sends a message, as soon as there is room in the client's queue.
    async fn send(&mut self, event: &str, payload: &[u8]) -> Result<(), Failure> {
        loop {
            let sent = match self.to {
                Some(to) => self.room.send_to(to, event, payload),
                None => self.room.send(event, payload),
            };
            match sent {
                Ok(_) => return Ok(()),
                Err(SendError::Full) => tokio::time::sleep(RETRY).await,
                Err(error @ (SendError::TooLarge | SendError::Reserved)) => {
                    return Err(Failure::Input(format!("event {event:?}: {error}")));
                }
                Err(error) => return Err(Failure::Refused(error.to_string())),
            }
        }
    }
}

/// Returns what an event means for the messages.
fn check(event: &Event) -> Result<(), Failure> {
    match event {
        Event::Error(error) => Err(Failure::Refused(format!(
            "the server refuses it: {}: {}",
            error.code, error.message
        ))),
        Event::Lost(lost) if lost.reason == LostReason::Unsent => {
            Err(Failure::Refused("the connection ended before the message was sent".into()))
        }
        Event::Lost(_) => {
            Err(Failure::Refused("the connection ended: the message may not have arrived".into()))
        }
        Event::Removed { room } => Err(Failure::Refused(format!(
            "the server has removed this client from the room {room:?}"
        ))),
        _ => Ok(()),
    }
}
