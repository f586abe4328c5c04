//! `roomer send`: sends messages to a room, or to one member.

use std::time::Duration;

use roomer_proto::ConnId;
use roomer_tokio::client::{Closing, Event, Events, LostReason, Room, SendError};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::time::{Instant, sleep_until};

use crate::args::Send;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::input::{check_line, room_in_line};
use crate::output::Output;

/// The delay between two attempts to queue a message while the client's queue is full.
const RETRY: Duration = Duration::from_millis(10);

pub(crate) async fn run(args: &Send, output: &Output) -> Result<(), Failure> {
    let to = args.connect.receiver(args.to.as_deref())?;
    // Read the payload before connecting: reading may take a long time, during which the connection
    // would be idle.
    let payload = if args.lines { None } else { Some(args.payload.read()?) };
    let Connection { client, events } = args.connect.open().await?;
    let room = args.connect.join(&client, &args.room).await?;
    let url = &args.connect.url;
    let pause = args.rate.map(|rate| Duration::from_secs(1).div_f64(rate));
    let mut sender =
        Sender { url, room, to, events, is_lines: args.lines, pause, lost: None, output };
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
    if let Some((lost, count)) = sender.lost {
        if count > 1 {
            output.notice(&format!("{count} messages may not have arrived"));
        }
        return Err(lost);
    }
    if output.is_json {
        output.line(&json!({ "on": "sent", "messages": sent }).to_string())?;
    }
    Ok(())
}

struct Sender<'a> {
    url: &'a str,
    room: Room,
    to: Option<ConnId>,
    events: Events,
    /// True if lines of standard input are sent. Sending then continues after a loss.
    is_lines: bool,
    /// The minimum time between two lines.
    pause: Option<Duration>,
    /// The first loss that was reported, which determines the exit code, and the number of losses.
    lost: Option<(Failure, u64)>,
    output: &'a Output,
}

impl Sender<'_> {
    /// Sends each line of standard input, and returns the number of lines. Events are read at the
    /// same time: the input may never end, and messages from other clients would push errors out of
    /// the buffer.
    async fn lines(&mut self, event: &str) -> Result<u64, Failure> {
        let mut input = BufReader::new(tokio::io::stdin());
        let mut line = Vec::new();
        let mut sent = 0;
        let mut next = Instant::now();
        loop {
            let read = loop {
                // Compute the limit again: an interrupted read may have filled part of the line.
                let mut rest = (&mut input).take(room_in_line(&line));
                tokio::select! {
                    // Events take precedence so that endless input does not hide an error.
                    biased;
                    Some(event) = self.events.next() => self.note(&event)?,
                    // Bytes read before an event interrupted the read are kept in `line`.
                    read = rest.read_until(b'\n', &mut line) => break read,
                }
            };
            read.and_then(|_| check_line(&line))
                .map_err(|error| Failure::Input(format!("standard input: {error}")))?;
            // At the end of the input, `line` may contain bytes that were read before an event.
            if line.is_empty() {
                return Ok(sent);
            }
            if let Some(pause) = self.pause {
                self.wait_until(next).await?;
                next = next.max(Instant::now()) + pause;
            }
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            self.send(event, text).await?;
            sent += 1;
            line.clear();
        }
    }

    /// Handles events until the time of the next line.
    async fn wait_until(&mut self, time: Instant) -> Result<(), Failure> {
        loop {
            tokio::select! {
                Some(event) = self.events.next() => self.note(&event)?,
                () = sleep_until(time) => return Ok(()),
            }
        }
    }

    /// If an event reports a loss, records it. Returns an error for events that end the command.
    fn note(&mut self, event: &Event) -> Result<(), Failure> {
        match (event, self.check(event)) {
            // Do not return yet: if the client will not reconnect, a later event contains the reason,
            // which determines the exit code.
            (Event::Lost(_), Err(failure)) => match &mut self.lost {
                Some((_, count)) => *count += 1,
                None => {
                    if self.is_lines {
                        self.output.notice(&failure.to_string());
                    }
                    self.lost = Some((failure, 1));
                }
            },
            (event, checked) => {
                checked?;
                if self.is_lines {
                    self.output.connection(event);
                }
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

    /// Returns an error if the event reports lost messages.
    fn check(&self, event: &Event) -> Result<(), Failure> {
        match event {
            Event::Error(error) => {
                let hint = match &*error.code {
                    "busy" => ": send fewer messages a second (--lines with --rate N)",
                    _ => "",
                };
                let (code, message) = (&error.code, &error.message);
                Err(Failure::Refused(format!("the server rejects it: {code}: {message}{hint}")))
            }
            Event::Lost(lost) if lost.reason == LostReason::Unsent => {
                Err(Failure::Refused("the connection ended before the message was sent".into()))
            }
            Event::Lost(lost) if lost.reason == LostReason::TooLarge => {
                Err(Failure::Input(SendError::TooLarge.to_string()))
            }
            Event::Lost(_) => Err(Failure::Refused(
                "the connection ended: the message may not have arrived".into(),
            )),
            Event::Removed { room } => Err(Failure::removed(room)),
            Event::Closed(closing @ (Closing::Final(_) | Closing::GaveUp(_))) => {
                Err(Failure::closed(self.url, closing))
            }
            _ => Ok(()),
        }
    }
}
