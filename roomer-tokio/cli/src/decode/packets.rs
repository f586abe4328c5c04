//! Decodes captured bytes into lines of output.

use std::collections::BTreeMap;

use anstyle::AnsiColor;
use roomer_proto::PacketRef;
use roomer_proto::websocket::deflate::Inflater;
use roomer_proto::websocket::{Decoder, Event, Limits};
use serde_json::{Value, json};

use super::source::{Direction, Piece};
use crate::failure::Failure;
use crate::output::{Output, escape, put_payload, readable, styled};

/// The maximum length of a reassembled message, in bytes. It is far more than a person would read.
const MAX_MESSAGE: usize = 64 << 20;

pub(super) struct Reader<'a> {
    output: &'a Output,
    streams: BTreeMap<(u64, Direction), Stream>,
    /// The number of parts that could not be decoded.
    wrong: usize,
}

/// The decoder for one direction of a stream.
struct Stream {
    /// The bytes of an HTTP head that is not complete yet.
    head: Vec<u8>,
    is_open: bool,
    decoder: Frames,
    inflater: Inflater,
    /// True after a violation of the protocol. The boundaries of later frames are then unknown.
    is_broken: bool,
}

enum Frames {
    OfClient(Decoder<false>),
    OfServer(Decoder<true>),
}

/// A part of a stream that is reported: a message, a control frame or an error.
enum Item {
    Message(Vec<u8>),
    Control(Value, String),
    Wrong(String),
}

impl<'a> Reader<'a> {
    pub(super) fn new(output: &'a Output) -> Self {
        Reader { output, streams: BTreeMap::new(), wrong: 0 }
    }

    pub(super) fn read(&mut self, piece: Piece) -> Result<(), Failure> {
        match piece {
            Piece::Message(direction, bytes) => self.message(direction, &bytes),
            Piece::Stream(number, direction, bytes) => {
                let stream = self.streams.entry((number, direction));
                let items = stream.or_insert_with(|| Stream::new(direction)).read(&bytes);
                items.into_iter().try_for_each(|item| match item {
                    Item::Message(data) => self.message(Some(direction), &data),
                    Item::Control(value, text) => self.control(direction, value, &text),
                    Item::Wrong(why) => self.wrong(Some(direction), &why),
                })
            }
        }
    }

    /// Reports the streams that end within a frame or message. Fails if any part could not be
    /// decoded.
    pub(super) fn end(self) -> Result<(), Failure> {
        let open = self.streams.values().filter(|stream| stream.is_inside()).count();
        if open > 0 {
            // Most captures end in the middle of a stream, so this is not a failure.
            self.output.notice(&format!("{open} streams end inside a frame or message"));
        }
        match self.wrong {
            0 => Ok(()),
            1 => Err(Failure::Input("one part cannot be decoded".into())),
            wrong => Err(Failure::Input(format!("{wrong} parts cannot be decoded"))),
        }
    }

    fn message(&mut self, direction: Option<Direction>, bytes: &[u8]) -> Result<(), Failure> {
        let packet = match PacketRef::decode(bytes) {
            Ok(packet) => packet,
            Err(error) => return self.wrong(direction, &format!("{error}: {}", readable(bytes))),
        };
        let PacketRef { room, event, dst, src, payload } = packet;
        let mut value = json!({
            "on": "packet", "room": room, "event": event, "dst": dst, "src": src, "bytes": bytes.len()
        });
        put_direction(&mut value, direction);
        put_payload(&mut value, payload);
        self.output.either(&value, || {
            let ends = [("dst", dst), ("src", src)].map(|(name, id)| match id {
                "" => String::new(),
                id => format!(" {name}={}", escape(id)),
            });
            format!(
                "{}{} {}{} {}",
                arrow(direction),
                escape(room),
                styled(&escape(event), AnsiColor::Cyan.on_default()),
                ends.concat(),
                readable(payload)
            )
        })
    }

    fn control(&self, direction: Direction, mut value: Value, text: &str) -> Result<(), Failure> {
        put_direction(&mut value, Some(direction));
        self.output.either(&value, || {
            let text = styled(text, AnsiColor::Yellow.on_default());
            format!("{}{text}", arrow(Some(direction)))
        })
    }

    fn wrong(&mut self, direction: Option<Direction>, why: &str) -> Result<(), Failure> {
        // Continue decoding, since other messages in the capture are often intact.
        self.wrong += 1;
        let mut value = json!({ "on": "wrong", "why": why });
        put_direction(&mut value, direction);
        self.output.either(&value, || {
            let red = AnsiColor::Red.on_default();
            // Escape the reason, which may contain captured bytes, and thus control sequences for
            // the terminal.
            format!("{}{}", arrow(direction), styled(&escape(why), red))
        })
    }
}

fn put_direction(value: &mut Value, direction: Option<Direction>) {
    match direction {
        Some(Direction::ToServer) => value["to"] = "server".into(),
        Some(Direction::ToClient) => value["to"] = "client".into(),
        None => {}
    }
}

fn arrow(direction: Option<Direction>) -> &'static str {
    match direction {
        Some(Direction::ToServer) => "> ",
        Some(Direction::ToClient) => "< ",
        None => "",
    }
}

impl Stream {
    fn new(direction: Direction) -> Stream {
        // The capture may begin after the handshake, so always accept compressed frames.
        let decoder = match direction {
            Direction::ToServer => {
                let mut decoder = Decoder::new();
                decoder.accept_compressed();
                Frames::OfClient(decoder)
            }
            Direction::ToClient => {
                let mut decoder = Decoder::client();
                decoder.accept_compressed();
                Frames::OfServer(decoder)
            }
        };
        let (head, inflater) = (Vec::new(), Inflater::new());
        Stream { head, is_open: false, decoder, inflater, is_broken: false }
    }

    /// Returns true if the capture ends within a frame, a message or an HTTP head.
    fn is_inside(&self) -> bool {
        let held = match &self.decoder {
            Frames::OfClient(decoder) => decoder.held(),
            Frames::OfServer(decoder) => decoder.held(),
        };
        !self.is_broken && (held > 0 || !self.head.is_empty())
    }

    fn read(&mut self, bytes: &[u8]) -> Vec<Item> {
        let mut items = Vec::new();
        // The decoder unmasks the bytes in place, so copy them.
        let mut bytes = bytes.to_vec();
        if !self.is_open {
            self.head.append(&mut bytes);
            if !is_head(&self.head) {
                // There is no HTTP head: the capture begins after the handshake.
                bytes = std::mem::take(&mut self.head);
            } else if let Some(end) = end_of_head(&self.head) {
                bytes = self.head.split_off(end);
                self.head.clear();
            } else {
                return items;
            }
            self.is_open = true;
        }
        if self.is_broken {
            return items;
        }
        let mut limits = Limits::default();
        limits.max_message = MAX_MESSAGE;
        match &mut self.decoder {
            Frames::OfClient(decoder) => {
                let mut feed = decoder.feed(&limits, &mut bytes);
                while let Some(event) = feed.next() {
                    self.is_broken |= push(event, &mut self.inflater, &mut items);
                }
            }
            Frames::OfServer(decoder) => {
                let mut feed = decoder.feed(&limits, &mut bytes);
                while let Some(event) = feed.next() {
                    self.is_broken |= push(event, &mut self.inflater, &mut items);
                }
            }
        }
        items
    }
}

/// Appends the item that reports an event. Returns true if the stream is broken.
fn push(
    event: Result<Event<'_>, roomer_proto::websocket::Violation>,
    inflater: &mut Inflater,
    items: &mut Vec<Item>,
) -> bool {
    items.push(match event {
        Ok(Event::Message { data, .. }) => Item::Message(data.to_vec()),
        Ok(Event::Compressed { kind, data }) => match inflater.inflate(kind, data, MAX_MESSAGE) {
            Ok(data) => Item::Message(data),
            // A compressed message from another server may refer to earlier messages, so it cannot
            // be decoded alone.
            Err(violation) => {
                Item::Wrong(format!("cannot be inflated on its own: {}", violation.reason))
            }
        },
        Ok(Event::Ping(data)) => Item::Control(
            json!({ "on": "ping", "bytes": data.len() }),
            format!("ping, {} bytes", data.len()),
        ),
        Ok(Event::Pong(data)) => Item::Control(
            json!({ "on": "pong", "bytes": data.len() }),
            format!("pong, {} bytes", data.len()),
        ),
        Ok(Event::Close { code, reason }) => {
            let shown = code.map_or_else(String::new, |code| format!(" {code}"));
            Item::Control(
                json!({ "on": "close", "code": code, "reason": reason }),
                format!("close{shown} {}", escape(reason)),
            )
        }
        Err(violation) => {
            let why = format!("breaks the WebSocket protocol: {}", violation.reason);
            items.push(Item::Wrong(why));
            return true;
        }
    });
    false
}

/// Returns true if the bytes are an HTTP request or response, or may be the beginning of one.
fn is_head(bytes: &[u8]) -> bool {
    ["GET ", "HTTP/1."].iter().any(|start| {
        let common = start.len().min(bytes.len());
        bytes[..common] == start.as_bytes()[..common]
    })
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}
