//! `roomer send`: sends messages to a room, or to one member.

use std::time::Duration;

use roomer_proto::ConnId;
use roomer_tokio::client::{Closing, Event, Events, LostReason, Room, SendError};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::args::Send;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::output::Output;

/// While the client's queue is full, the delay between two attempts to queue a message.
const RETRY: Duration = Duration::from_millis(10);

pub(crate) async fn run(args: Send, output: &Output) -> Result<(), Failure> {
    let to = args.connect.receiver(args.to.as_deref())?;
    // Read the payload before connecting: the input may take long, and the connection would be
    // idle.
    let payload = if args.lines { None } else { Some(args.payload.read()?) };
    let Connection { client, events } = args.connect.open().await?;
    let room = args.connect.join(&client, &args.room).await?;
    let mut sender = Sender { room, to, events, goes_on: args.lines, lost: None, output };
    let sent = match payload {
        Some(payload) => sender.send(&args.event, &payload).await.map(|()| 1),
        None => sender.lines(&args.event).await,
    };
    // The close completes when the server has handled all messages, including those before a
    // rejected one.
    client.close().await;
    while let Some(event) = sender.events.next().await {
        sender.note(&event)?;
    }
    let sent = sent?;
    if let Some(lost) = sender.lost {
        return Err(lost);
    }
    if output.is_json {
        output.line(&json!({ "on": "sent", "messages": sent }).to_string())?;
    }
    Ok(())
}

struct Sender<'a> {
    room: Room,
    to: Option<ConnId>,
    events: Events,
    /// True if, after a message was lost, the next ones are still sent.
    goes_on: bool,
    /// The first loss that was reported. It determines the exit code.
    lost: Option<Failure>,
    output: &'a Output,
}

impl Sender<'_> {
    /// Sends each line of standard input, and returns the number of lines. Events are read at the
    /// same time: the input may never end, and messages of other clients would push errors out of
    /// the buffer.
    async fn lines(&mut self, event: &str) -> Result<u64, Failure> {
        let mut input = BufReader::new(tokio::io::stdin());
        let mut line = Vec::new();
        let mut sent = 0;
        loop {
            let read = loop {
                tokio::select! {
                    // Handle events first, so that an error is noticed even if the input never
                    // ends.
                    biased;
                    Some(event) = self.events.next() => self.note(&event)?,
                    // If an event interrupts the read, the bytes read so far stay in `line`.
                    read = input.read_until(b'\n', &mut line) => break read,
                }
            };
            read.map_err(|error| Failure::Input(format!("standard input: {error}")))?;
            // When the input ends, `line` may still contain bytes that were read before an event.
            if line.is_empty() {
                return Ok(sent);
            }
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            self.send(event, text).await?;
            sent += 1;
            line.clear();
        }
    }

    /// Updates the state of the messages that were sent when an event reports a loss.
    fn note(&mut self, event: &Event) -> Result<(), Failure> {
        let checked = check(event);
        if !self.goes_on {
            return checked;
        }
        match (event, checked) {
            (Event::Lost(_), Err(failure)) => {
                self.output.notice(&failure.to_string());
                self.lost.get_or_insert(failure);
            }
            (event, checked) => {
                checked?;
                self.output.connection(event);
            }
        }
        Ok(())
    }

    /// Queues a message. Waits while the client's queue is full.
    async fn send(&mut self, event: &str, payload: &[u8]) -> Result<(), Failure> {
        loop {
            let sent = match self.to {
                Some(to) => self.room.send_to(to, event, payload),
                None => self.room.send(event, payload),
            };
            match sent {
                Ok(_) => return Ok(()),
                Err(SendError::Full) => tokio::select! {
                    Some(event) = self.events.next() => self.note(&event)?,
                    () = tokio::time::sleep(RETRY) => {}
                },
                Err(error @ (SendError::TooLarge | SendError::Reserved)) => {
                    return Err(Failure::Input(format!("event {event:?}: {error}")));
                }
                Err(error) => return Err(Failure::Refused(error.to_string())),
            }
        }
    }
}

/// Returns an error if the event reports lost messages.
fn check(event: &Event) -> Result<(), Failure> {
    match event {
        Event::Error(error) => Err(Failure::Refused(format!(
            "the server refuses it: {}: {}",
            error.code, error.message
        ))),
        Event::Lost(lost) if lost.reason == LostReason::Unsent => {
            Err(Failure::Refused("the connection ended before the message was sent".into()))
        }
        Event::Lost(lost) if lost.reason == LostReason::TooLarge => {
            Err(Failure::Input("the message is larger than the server accepts".into()))
        }
        Event::Lost(_) => {
            Err(Failure::Refused("the connection ended: the message may not have arrived".into()))
        }
        Event::Removed { room } => Err(Failure::removed(room)),
        Event::Closed(Closing::Final(failure) | Closing::GaveUp(failure)) => {
            Err(Failure::Refused(format!("the connection ended: {failure}")))
        }
        _ => Ok(()),
    }
}
