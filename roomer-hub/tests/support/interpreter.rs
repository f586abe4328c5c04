//! An interpreter for hub commands, one per line. `transcripts.rs` describes the language.

use std::time::Duration;

use roomer_hub::{
    Action, Command, Config, ConnId, ConnKey, HandlerKey, HashKey, Hub, Input, Rate,
    RejectedPackets, RoomKey, Tables,
};
use roomer_proto::{JOIN, JOIN_ACK, LEAVE, PacketRef, ROOT};

use super::check;

#[derive(Default)]
pub(crate) struct Interpreter {
    config: Config,
    /// Created by the first command other than `config`.
    hub: Option<Hub>,
    names: Names,
}

/// The names by which a transcript refers to connections, rooms and handlers, including past ones.
#[derive(Default)]
struct Names {
    ids: Vec<(String, ConnId)>,
    keys: Vec<(ConnId, ConnKey)>,
    rooms: Vec<(RoomKey, String)>,
    handlers: Vec<(HandlerKey, String)>,
}

impl Interpreter {
    /// Runs one command, and returns the hub's actions, one per line.
    pub(crate) fn run(&mut self, line: &str) -> Vec<String> {
        let words = words(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["config", ..] => self.configure(&words[1..]),
            ["register", event] => self.register(event),
            ["show"] => self.show(),
            ["open", name] => {
                let id = self.names.make_id(name);
                self.handle(Input::Open { id, extended: false })
            }
            ["command", ..] => self.command(line, &words[1..]),
            [name, ..] => self.packet(line, name, &words[1..]),
            [] => panic!("an empty line is not a command"),
        }
    }

    /// Checks that the hub's tables are consistent.
    pub(crate) fn check(&mut self) {
        let Some(hub) = &mut self.hub else { return };
        let rooms: Vec<RoomKey> = self.names.rooms.iter().map(|room| room.0).collect();
        check::tables(hub, &self.names.keys, &rooms);
        check::snapshots(hub, &rooms);
    }

    fn configure(&mut self, words: &[&str]) -> Vec<String> {
        assert!(self.hub.is_none(), "too late to change the config");
        match *words {
            ["compat"] => self.config = Config::compat(),
            ["max_rooms", most] => self.config.max_rooms = most.parse().unwrap(),
            ["max_name", most] => self.config.max_name = most.parse().unwrap(),
            ["strikes", burst] => self.config.violation_rate = Rate::new(1, burst.parse().unwrap()),
            ["roommates_only"] => self.config.shared_room_only = true,
            _ => panic!("no such config: {words:?}"),
        }
        Vec::new()
    }

    fn hub(&mut self) -> &mut Hub {
        self.hub.get_or_insert_with(|| Hub::new(self.config, HashKey([0; 16])))
    }

    fn register(&mut self, event: &str) -> Vec<String> {
        match self.hub().register(event) {
            Ok(key) => {
                self.names.handlers.push((key, event.into()));
                vec![format!("handler {}", key.index())]
            }
            Err(error) => vec![format!("error: {error}")],
        }
    }

    fn show(&mut self) -> Vec<String> {
        let tables = self.hub.as_ref().expect("nothing to show yet").tables();
        let alive = self.names.rooms.iter().filter(|room| tables.room_name(room.0).is_some());
        let room = |(key, label): &(RoomKey, String)| {
            let members: Vec<&str> =
                tables.members(*key).iter().map(|member| self.names.name(member)).collect();
            format!("{label}: {}", members.join(" "))
        };
        let counts = format!("{} connections, {} rooms", tables.conn_count(), tables.room_count());
        std::iter::once(counts).chain(alive.map(room)).collect()
    }

    fn packet(&mut self, line: &str, name: &str, words: &[&str]) -> Vec<String> {
        let conn = self.names.key(name);
        let (mut room, event, mut dst, rest) = match words {
            ["gone"] => return self.handle(Input::Gone { conn }),
            ["join", room, rest @ ..] => (*room, JOIN, String::new(), rest),
            ["leave", room, rest @ ..] => (*room, LEAVE, String::new(), rest),
            ["send", room, event, rest @ ..] => (*room, *event, String::new(), rest),
            ["direct", dst, event, rest @ ..] => (ROOT, *event, self.names.with_ids(dst), rest),
            _ => panic!("no such command: {line}"),
        };
        let (mut src, mut payload) = (String::new(), String::new());
        for word in rest {
            match word.split_once('=') {
                Some(("room", value)) => room = value,
                Some(("dst", value)) => dst = self.names.with_ids(value),
                Some(("src", value)) => src = self.names.with_ids(value),
                _ => payload = self.names.with_ids(word),
            }
        }
        let payload = payload.as_bytes();
        let packet = PacketRef { room, event, dst: &dst, src: &src, payload };
        self.handle(Input::Packet { conn, packet })
    }

    fn command(&mut self, line: &str, words: &[&str]) -> Vec<String> {
        let payload = |at: usize| self.names.with_ids(words.get(at).unwrap_or(&""));
        let from = |name: &str| (name != "nobody").then(|| self.names.key(name));
        match *words {
            ["broadcast", sender, room, event, ..] => {
                let (from, payload) = (from(sender), payload(4));
                let payload = payload.as_bytes();
                self.handle(Input::Command(Command::Broadcast {
                    from,
                    except: from,
                    except_guest: None,
                    room,
                    event,
                    payload,
                }))
            }
            ["send", sender, dst, event, ..] => {
                let (from, dst, payload) = (from(sender), self.names.with_ids(dst), payload(4));
                let (dst, payload) = (&*dst, payload.as_bytes());
                self.handle(Input::Command(Command::Send { from, dst, room: ROOT, event, payload }))
            }
            ["join", name, room] => {
                let conn = self.names.key(name);
                self.handle(Input::Command(Command::Join { conn, room }))
            }
            ["leave", name, room] => {
                let conn = self.names.key(name);
                self.handle(Input::Command(Command::Leave { conn, room }))
            }
            ["close", name, code, reason] => {
                let (conn, code) = (self.names.key(name), code.parse().unwrap());
                self.handle(Input::Command(Command::Close { conn, code, reason }))
            }
            _ => panic!("no such command: {line}"),
        }
    }

    fn handle(&mut self, input: Input<'_>) -> Vec<String> {
        self.hub();
        let hub = self.hub.as_mut().unwrap();
        let before = hub.rejected_packets();
        let opening = if let Input::Open { id, .. } = input { Some(id) } else { None };
        let mut lines = Vec::new();
        let actions = hub.handle(Duration::ZERO, input);
        let tables = actions.tables();
        for action in actions {
            if let (Action::Opened { conn }, Some(id)) = (action, opening) {
                self.names.keys.push((id, conn));
            }
            lines.push(self.names.action(tables, action));
        }
        lines.extend(counted(before, hub.rejected_packets()));
        if lines.is_empty() {
            lines.push("nothing".into());
        }
        lines
    }
}

impl Names {
    /// Returns the id for a name. The same names always have the same ids, which contain letters.
    fn make_id(&mut self, name: &str) -> ConnId {
        if let Some(known) = self.ids.iter().find(|known| known.0 == name) {
            return known.1;
        }
        let id = ConnId::from_random_bytes([0xa1 + self.ids.len() as u8; 16]);
        self.ids.push((name.into(), id));
        id
    }

    /// Returns the key of the last connection with this name. The key may be stale.
    fn key(&self, name: &str) -> ConnKey {
        let id = self.ids.iter().find(|known| known.0 == name).map(|known| known.1);
        let of = |id| self.keys.iter().rev().find(|key| key.0 == id);
        id.and_then(of).unwrap_or_else(|| panic!("no connection is named {name}")).1
    }

    fn name(&self, conn: ConnKey) -> &str {
        let id = self.keys.iter().find(|key| key.1 == conn).map(|key| key.0);
        let name = |id| self.ids.iter().find(|known| known.1 == id);
        &id.and_then(name).unwrap_or_else(|| panic!("an unknown key: {conn:?}")).0
    }

    /// Replaces names with ids: a whole word that is a name, and `$name` within text.
    fn with_ids(&self, word: &str) -> String {
        let mut text = String::from(word);
        for (name, id) in &self.ids {
            if word == name {
                return id.to_string();
            }
            text = text.replace(&format!("${name}"), id.as_str());
            let upper = id.as_str().to_uppercase();
            text = text.replace(&format!("${}", name.to_uppercase()), &upper);
        }
        text
    }

    /// Replaces ids with names. This is the inverse of `with_ids`.
    fn with_names(&self, text: &str) -> String {
        let mut shown = String::from(text);
        for (name, id) in &self.ids {
            if text == id.as_str() {
                return name.clone();
            }
            shown = shown.replace(id.as_str(), &format!("${name}"));
            let upper = id.as_str().to_uppercase();
            shown = shown.replace(&upper, &format!("${}", name.to_uppercase()));
        }
        format!("{shown:?}")
    }

    /// Returns a room's name. Appends a number if an earlier room had the same name.
    fn label(&mut self, tables: &Tables, room: RoomKey) -> &str {
        let known = self.rooms.iter().position(|known| known.0 == room);
        let at = known.unwrap_or_else(|| {
            let name = plain(tables.room_name(room).expect("a key of no room"));
            let same = |label: &str| label == name || label.starts_with(&format!("{name}#"));
            let label = match self.rooms.iter().filter(|room| same(&room.1)).count() {
                0 => name,
                before => format!("{name}#{}", before + 1),
            };
            self.rooms.push((room, label));
            self.rooms.len() - 1
        });
        &self.rooms[at].1
    }

    /// Formats an action as a line.
    fn action(&mut self, tables: &Tables, action: Action<'_>) -> String {
        match action {
            Action::Opened { conn } => format!("opened {}", self.name(conn)),
            Action::Rejected => "refused".into(),
            Action::Joined { conn, room, .. } => {
                format!("joined {} {}", self.name(conn).to_owned(), self.label(tables, room))
            }
            Action::Left { conn, room, .. } => {
                format!("left {} {}", self.name(conn).to_owned(), self.label(tables, room))
            }
            Action::RoomClosed { room } => format!("gone room {}", self.label(tables, room)),
            Action::JoinAck { to, id, room, snapshot } => {
                let payload = &snapshot.to_vec();
                let packet = PacketRef { room, event: "join_ack", dst: "", src: id, payload };
                format!("send to {}: {}", self.name(to), self.packet(packet))
            }
            Action::Send { to, packet } => {
                format!("send to {}: {}", self.name(to), self.packet(packet))
            }
            Action::Broadcast { room, members, except, packet, .. } => {
                assert_eq!(tables.room_name(room), Some(packet.room), "a packet of another room");
                let to = members.iter().filter(|&member| Some(member) != except);
                let mut to: Vec<&str> = to.map(|member| self.name(member)).collect();
                if to.is_empty() {
                    to.push("nobody");
                }
                format!("broadcast to {}: {}", to.join(" "), self.packet(packet))
            }
            Action::Call { conn, handler, packet } => {
                let handler = self.handlers.iter().find(|known| known.0 == handler).unwrap();
                format!("call {} for {}: {}", handler.1, self.name(conn), self.packet(packet))
            }
            Action::Close { conn, code, reason } => {
                format!("close {} {code} {reason:?}", self.name(conn))
            }
            other => panic!("an unknown action: {other:?}"),
        }
    }

    fn packet(&self, packet: PacketRef<'_>) -> String {
        let mut line = format!("{} {}", plain(packet.room), plain(packet.event));
        for (field, id) in [("dst", packet.dst), ("src", packet.src)] {
            if !id.is_empty() {
                line.push_str(&format!(" {field}={}", self.with_names(id)));
            }
        }
        let payload = std::str::from_utf8(packet.payload).unwrap();
        if packet.event == JOIN_ACK {
            let mut ids = String::from(payload);
            for (name, id) in &self.ids {
                ids = ids.replace(id.as_str(), name);
            }
            line.push_str(&format!(" {ids}"));
        } else if !payload.is_empty() {
            line.push_str(&format!(" {}", self.with_names(payload)));
        }
        line
    }
}

/// Returns the counters of rejected packets that have changed, as text.
fn counted(before: RejectedPackets, after: RejectedPackets) -> Vec<String> {
    let counters = [
        ("reserved", before.reserved, after.reserved),
        ("not_member", before.not_member, after.not_member),
        ("long_name", before.long_name, after.long_name),
        ("too_many_rooms", before.too_many_rooms, after.too_many_rooms),
        ("unknown_dst", before.unknown_dst, after.unknown_dst),
        ("no_common_room", before.no_shared_room, after.no_shared_room),
        ("by_rule", before.by_application, after.by_application),
        ("rate", before.rate, after.rate),
        ("strikes", before.violations, after.violations),
    ];
    let changed = counters.into_iter().filter(|(_, before, after)| after != before);
    changed.map(|(name, before, after)| format!("counted {name} +{}", after - before)).collect()
}

/// Returns a name, quoted if it is empty or contains invisible characters.
fn plain(name: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_graphic() && letter != '"';
    if !name.is_empty() && name.chars().all(is_plain) { name.into() } else { format!("{name:?}") }
}

/// Splits a line at spaces outside quotes. Within quotes, a backslash escapes the next
/// character, and `\0` is the null character.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' if quoted => {
                let escaped = letters.next().map(|next| if next == '0' { '\0' } else { next });
                word.get_or_insert_default().extend(escaped);
            }
            ' ' if !quoted => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    assert!(!quoted, "an open quote: {line}");
    words.extend(word);
    words
}
