//! A hub whose connections exchange requests, with its actions formatted as lines.

use std::time::Duration;

use roomer_hub::{
    Action, Answer, Command, Config, ConnId, ConnKey, HashKey, Hub, Input, PeerKey, Tables,
};
use roomer_proto::{PacketRef, ROOT};

pub(crate) const NOTHING: [&str; 0] = [];

/// The tag that the peer's ids start with.
pub(crate) const PEER_TAG: [u8; 4] = [0xaa; 4];

pub(crate) struct Exchanges {
    pub(crate) hub: Hub,
    pub(crate) now: Duration,
}

/// Returns the id of the connection with this name. An upper-case name is that of a guest.
pub(crate) fn id(name: char) -> ConnId {
    let mut bytes = [name as u8; 16];
    if name.is_ascii_uppercase() {
        bytes[..4].copy_from_slice(&PEER_TAG);
    }
    ConnId::from_random_bytes(bytes)
}

/// Replaces each `@x` with the id of the connection named `x`.
pub(crate) fn with_ids(text: &str) -> String {
    let mut parts = text.split('@');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let name = part.chars().next().unwrap();
        out += id(name).as_str();
        out += &part[1..];
    }
    out
}

/// Replaces each id with `@` and the name of its connection.
fn short(text: &str) -> String {
    let mut text = text.to_owned();
    for name in ('a'..='z').chain('A'..='Z') {
        text = text.replace(id(name).as_str(), &format!("@{name}"));
    }
    text
}

impl Exchanges {
    pub(crate) fn new(config: Config) -> Self {
        let mut hub = Hub::new(config, HashKey([7; 16]));
        hub.register_request("add").unwrap();
        hub.register_request("sub").unwrap();
        hub.register("add").unwrap();
        Exchanges { hub, now: Duration::ZERO }
    }

    /// Adds peer 0.
    pub(crate) fn peer(&mut self) {
        self.run(Input::PeerUp { peer: PeerKey::new(0), tag: PEER_TAG });
    }

    pub(crate) fn open(&mut self, name: char, extended: bool) -> ConnKey {
        self.run(Input::Open { id: id(name), extended });
        self.hub.tables().find_conn(id(name).as_str()).unwrap()
    }

    /// Sends a packet in `root`. Each `@x` in `dst` is replaced with the id of the connection named
    /// `x`.
    pub(crate) fn send(&mut self, conn: ConnKey, event: &str, dst: &str) -> Vec<String> {
        self.send_in(ROOT, conn, event, dst)
    }

    pub(crate) fn send_in(
        &mut self,
        room: &str,
        conn: ConnKey,
        event: &str,
        dst: &str,
    ) -> Vec<String> {
        let dst = with_ids(dst);
        let packet = PacketRef { room, event, dst: &dst, src: "forged", payload: b"?" };
        self.run(Input::Packet { conn, packet })
    }

    pub(crate) fn answer(&mut self, conn: ConnKey, dst: &str, answer: Answer<'_>) -> Vec<String> {
        self.run(Input::Command(Command::Answer { conn, room: ROOT, dst, answer }))
    }

    pub(crate) fn request(&mut self, conn: ConnKey, number: u64) -> Vec<String> {
        let (room, event, payload) = (ROOT, "where", &b"?"[..]);
        self.run(Input::Command(Command::Request { conn, number, room, event, payload }))
    }

    /// Passes a packet from the peer to the hub.
    pub(crate) fn peer_sends(&mut self, event: &str, src: &str, dst: &str) -> Vec<String> {
        let (src, dst) = (with_ids(src), with_ids(dst));
        let packet = PacketRef { room: ROOT, event, dst: &dst, src: &src, payload: b"?" };
        self.run(Input::PeerDirect { peer: PeerKey::new(0), packet })
    }

    pub(crate) fn run(&mut self, input: Input<'_>) -> Vec<String> {
        let actions = self.hub.handle(self.now, input);
        let tables = actions.tables();
        let lines = actions.filter_map(|action| line(tables, action)).collect();
        self.hub.tables().audit().unwrap();
        lines
    }
}

fn packet(packet: &PacketRef<'_>) -> String {
    let PacketRef { room, event, dst, src, payload } = *packet;
    let text = std::str::from_utf8(payload).unwrap();
    let text = text.split(",\"message\":\"").next().unwrap().trim_start_matches("{\"code\":");
    let names = std::str::from_utf8(payload).unwrap().split_once("\",\"room\":");
    let names = names.map_or(String::new(), |(_, names)| format!(" about {names}"));
    short(&format!("{room} {event} dst={dst} src={src} {text}{names}"))
}

/// Formats an action as a line. Returns `None` for actions about membership.
fn line(tables: &Tables, action: Action<'_>) -> Option<String> {
    let name =
        |conn: ConnKey| tables.conn_id(conn).map_or("gone".to_owned(), |id| short(id.as_str()));
    Some(match action {
        Action::Send { to, packet: of } => format!("{}: {}", name(to), packet(&of)),
        Action::Forward { peer, packet: of } => format!("peer {}: {}", peer.index(), packet(&of)),
        Action::Request { conn, handler, packet: of } => {
            format!("handler {} for {}: {}", handler.index(), name(conn), packet(&of))
        }
        Action::Answered { request, is_error, packet: of } => {
            format!("answered {request}, error {is_error}: {}", packet(&of))
        }
        Action::Unanswered { request, code } => format!("unanswered {request}: {code}"),
        Action::Authorize { permission, packet: of, .. } => {
            format!("authorize {permission:?}: {}", packet(&of))
        }
        Action::Close { code, reason, .. } => format!("close {code} {reason}"),
        Action::Call { conn, .. } => format!("call for {}", name(conn)),
        Action::Broadcast { packet: of, .. }
            if matches!(of.event, "member_left" | "roomer:members") =>
        {
            return None;
        }
        Action::Broadcast { packet: of, .. } => format!("all: {}", packet(&of)),
        _ => return None,
    })
}
