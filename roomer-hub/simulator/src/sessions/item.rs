//! The packets that a client must receive, and how they are encoded.

use std::collections::BTreeSet;
use std::time::Duration;

use roomer_proto::PacketRef;
use roomer_testkit::frames::Frame;

use super::plan::Setup;
use super::session::frame_len;
use crate::alphabet::identity;
use crate::server::expected::{Order, Output};

#[derive(Clone, Debug)]
pub struct Item {
    pub order: Order,
    pub at: Duration,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    /// A packet that has the same form for plain and extended clients.
    Plain(Output),
    /// A packet that only extended clients receive: a change in the members of a room, or the error
    /// for a rejected packet.
    Extended { room: &'static str, event: &'static str, payload: String },
    /// The member list of a room, in the form for extended clients.
    Members {
        room: &'static str,
        id: &'static str,
        members: BTreeSet<String>,
        /// The ids of the members that are away.
        away: BTreeSet<String>,
    },
}

impl What {
    /// Returns the size in bytes of the frame for the packet.
    pub fn len(&self) -> u64 {
        let around = 20;
        match self {
            What::Plain(output) => output.len(),
            What::Extended { room, event, payload } => {
                frame_len(around + room.len() + event.len() + payload.len())
            }
            What::Members { room, id, members, away } => {
                let sum = |list: &BTreeSet<String>| list.iter().map(|item| item.len() + 1).sum();
                let (listed, mut away_len): (usize, usize) = (sum(members), sum(away));
                if away_len > 0 {
                    away_len += ",\"away\":[]".len() - 1;
                }
                let payload = "{\"members\":[".len() + listed - 1 + "]}".len() + away_len;
                frame_len(around + room.len() + "join_ack".len() + id.len() + payload)
            }
        }
    }

    pub fn is(&self, frame: &Frame<'_>) -> bool {
        let (What::Extended { room, .. } | What::Members { room, .. }) = self else {
            let What::Plain(output) = self else { return false };
            return output.is(frame);
        };
        let Frame::Binary(data) = *frame else { return false };
        let Ok(packet) = PacketRef::decode(data) else { return false };
        match self {
            What::Plain(_) => false,
            What::Extended { payload, event, .. } => {
                let payload = payload.as_bytes();
                packet == PacketRef { room, event, dst: "", src: "", payload }
            }
            What::Members { id, members, away, .. } => {
                let is_ack = (packet.room, packet.event, packet.dst, packet.src)
                    == (*room, "join_ack", "", *id);
                let payload = std::str::from_utf8(packet.payload).unwrap_or_default();
                let (listed, found_away) = match payload.split_once("]],\"away\":[") {
                    Some((listed, away)) => (listed, away.strip_suffix("]}")),
                    None => (payload.strip_suffix("]]}").unwrap_or_default(), None),
                };
                let found_away = found_away.iter().flat_map(|ids| ids.split(','));
                let is_away = found_away.map(str::to_owned).collect::<BTreeSet<_>>() == *away;
                let listed = listed.strip_prefix("{\"members\":[[");
                let Some(listed) = listed.filter(|_| is_ack && is_away) else { return false };
                let found: Vec<_> =
                    listed.split("],[").map(|member| format!("[{member}]")).collect();
                found.len() == members.len()
                    && found.into_iter().collect::<BTreeSet<_>>() == *members
            }
        }
    }
}

/// Returns the token of a session: the session's id, and the secret with this number.
pub fn token(id: u16, secret: u16) -> String {
    format!("{}.a0{:02x}{:02x}07{:0>24}", identity(id).text, secret as u8, secret >> 8, "f")
}

/// Returns the payload of `hello`. `handled` is `Some` if the session is being resumed.
pub fn hello(setup: &Setup, token: &str, handled: Option<usize>, user: u8) -> String {
    let session = match setup.window {
        0 => "null".to_owned(),
        _ => format!("\"{token}\""),
    };
    let user = match user {
        1.. if handled.is_none() => format!(",\"user\":\"u{user}\""),
        _ => String::new(),
    };
    let (resumed, received) = (handled.is_some(), handled.unwrap_or_default());
    format!(
        "{{\"version\":2,\"session\":{session},\"resumed\":{resumed},\"received\":{received},\
         \"heartbeat\":25000,\"resume\":{},\
         \"limits\":{{\"message\":8192,\"name\":4096,\"rooms\":1100,\"info\":1024,\"requests\":64}}{user}}}",
        setup.window
    )
}
