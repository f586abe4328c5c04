//! What a client can know: what it was sent, and nothing else. Each keeps its view of its rooms
//! as the protocol says, and everything that it gets must fit that view.

use roomer_hub::Presence;
use roomer_proto::{JOIN_ACK, LEAVE_ACK, MEMBER_LEFT, NEW_MEMBER, PacketRef};

use super::display::PacketText;
use super::op::Set;
use crate::alphabet::{id_number, identity, room_number};
use crate::fault::{Fault, ensure};

/// Bytes of a snapshot that an id takes: what separates it from the one before, two quotes, it.
pub const ENTRY_LEN: usize = 39;

/// All clients that there ever were, by number.
#[derive(Debug)]
pub struct Clients {
    all: Vec<Client>,
    /// Whether a repeated join is announced again.
    announces_rejoins: bool,
    /// Whether only members can send to a room.
    members_only: bool,
}

#[derive(Debug)]
struct Client {
    id: u16,
    is_connected: bool,
    rooms: Vec<View>,
}

/// An open room: `snapshot + new_member - member_left`. Where members do not hear of each other,
/// the client itself.
#[derive(Debug)]
struct View {
    room: u8,
    members: Set,
}

impl Clients {
    pub fn new(members_only: bool, announces_rejoins: bool) -> Self {
        Clients { all: Vec::new(), announces_rejoins, members_only }
    }

    pub fn open(&mut self, id: u16) {
        self.all.push(Client { id, is_connected: true, rooms: Vec::new() });
    }

    /// From here on it gets nothing.
    pub fn end(&mut self, client: u16) {
        let client = &mut self.all[usize::from(client)];
        client.is_connected = false;
        client.rooms = Vec::new();
    }

    pub fn id(&self, client: u16) -> u16 {
        self.all[usize::from(client)].id
    }

    /// A packet for one client alone.
    /// `shows` is what the room tells its members of each other, where that matters.
    pub fn direct(
        &mut self,
        to: u16,
        packet: &PacketRef<'_>,
        shows: Presence,
    ) -> Result<(), Fault> {
        let (client, shown) = (&mut self.all[usize::from(to)], PacketText(packet));
        ensure!(client.is_connected, "{shown} for a client that is gone");
        let own = &*identity(client.id).text;
        match packet.event {
            JOIN_ACK => {
                ensure!(packet.src == own && packet.dst.is_empty(), "a join_ack that says {shown}");
                let members = match shows {
                    Presence::Full => read_snapshot(packet.payload)?,
                    _ => Set::from_iter([client.id]),
                };
                ensure!(members.contains(client.id), "a join_ack without the joiner: {members:?}");
                let room = number(packet.room)?;
                let Some(view) = client.view(room) else {
                    client.rooms.push(View { room, members });
                    return Ok(());
                };
                let seen = view.members;
                ensure!(seen == members, "a snapshot of {members:?} to one who had seen {seen:?}");
            }
            LEAVE_ACK => {
                ensure!(
                    packet.src == own && packet.dst.is_empty(),
                    "a leave_ack that says {shown}"
                );
                ensure!(packet.payload == own.as_bytes(), "a leave_ack about {:?}", packet.payload);
                let room = room_number(packet.room);
                client.rooms.retain(|view| Some(view.room) != room);
            }
            NEW_MEMBER | MEMBER_LEFT => {
                return Err(Fault::new(format!("a notice for one: {shown}")));
            }
            _ => ensure!(packet.dst == own, "{own} gets a message for {}", packet.dst),
        }
        Ok(())
    }

    /// A packet for a room: whoever gets it must have the room open, each once, and the room as
    /// they see it must be those who get it and the one who is left out.
    /// A command may come from outside.
    pub fn broadcast(
        &mut self,
        to: impl Iterator<Item = u16>,
        packet: &PacketRef<'_>,
        is_command: bool,
        shows: Presence,
    ) -> Result<(), Fault> {
        let (room, shown) = (number(packet.room)?, PacketText(packet));
        ensure!(packet.dst.is_empty(), "a message for {} goes to a room", packet.dst);
        let notice = match packet.event {
            NEW_MEMBER | MEMBER_LEFT => Some(subject(packet)?),
            _ => None,
        };
        let src = id_number(packet.src.as_bytes());
        ensure!(src.is_some() || packet.src.is_empty(), "a message from {}", packet.src);
        let is_full = shows == Presence::Full;
        ensure!(is_full || notice.is_none(), "{shown}, though nobody is to hear of it");
        let (mut reached, mut common) = (Set::default(), None);
        for client in to {
            let client = &mut self.all[usize::from(client)];
            let id = client.id;
            ensure!(client.is_connected, "{shown} for a client that is gone");
            ensure!(reached.insert(id), "{shown} twice for {}", identity(id).text);
            // A command may leave out somebody else than the sender, or nobody.
            let is_own = src == Some(id) && !is_command || notice == Some(id);
            ensure!(!is_own, "{} gets back its own {shown}", identity(id).text);
            let Some(view) = client.view(room) else {
                return Err(Fault::new(format!(
                    "{} is not in the room: {shown}",
                    identity(id).text
                )));
            };
            match (packet.event, notice) {
                (NEW_MEMBER, Some(subject)) => {
                    let is_new = view.members.insert(subject);
                    ensure!(is_new || self.announces_rejoins, "{shown}, whom one had seen");
                }
                (_, Some(subject)) => {
                    ensure!(view.members.remove(subject), "{shown}, whom one had not seen");
                }
                _ => {}
            }
            if !is_full {
                continue;
            }
            let seen = *common.get_or_insert(view.members);
            ensure!(seen == view.members, "some see {seen:?}, some {:?}", view.members);
        }
        let Some(mut others) = common else { return Ok(()) };
        if is_command {
            let missed = others.len() - reached.len();
            ensure!(missed <= 1, "{shown} reaches {reached:?}, but {others:?} are in the room");
            return Ok(());
        }
        if let Some(left_out) = src.or(notice) {
            let was_in = others.remove(left_out);
            let from_outside = notice.is_none() && !self.members_only;
            let has_left = packet.event == MEMBER_LEFT;
            ensure!(was_in != has_left || from_outside, "{shown} from outside");
        }
        ensure!(reached == others, "{shown} reaches {reached:?}, but {others:?} are in the room");
        Ok(())
    }

    /// In the end: the rooms that a client has open are these, with these members.
    pub fn agrees(&mut self, client: u16, truth: &[(u8, Set)]) -> Result<(), Fault> {
        let client = &mut self.all[usize::from(client)];
        let (own, open) = (&identity(client.id).text, client.rooms.len());
        ensure!(open == truth.len(), "{own} has {open} rooms open, but is in {}", truth.len());
        for (room, members) in truth {
            let seen = client.view(*room).map(|view| view.members);
            ensure!(seen == Some(*members), "{own} sees {seen:?}, but there are {members:?}");
        }
        Ok(())
    }
}

impl Client {
    fn view(&mut self, room: u8) -> Option<&mut View> {
        self.rooms.iter_mut().find(|view| view.room == room)
    }
}

fn number(room: &str) -> Result<u8, Fault> {
    room_number(room).ok_or_else(|| Fault::new(format!("there never was a room {room:?}")))
}

/// The one that a notice is about.
fn subject(packet: &PacketRef<'_>) -> Result<u16, Fault> {
    let shown = PacketText(packet);
    ensure!(packet.src.is_empty(), "a notice with a sender: {shown}");
    let subject = id_number(packet.payload);
    subject.ok_or_else(|| Fault::new(format!("a notice about nobody: {shown}")))
}

/// The ids in a `join_ack`: a JSON array of strings without blanks, each once.
fn read_snapshot(payload: &[u8]) -> Result<Set, Fault> {
    let mut members = Set::default();
    let mut is_array = payload.last() == Some(&b']');
    let entries = payload.chunks_exact(ENTRY_LEN);
    is_array &= entries.remainder().len() == 1 && entries.len() > 0;
    for (at, entry) in entries.enumerate() {
        let (id, begin) = (&entry[2..ENTRY_LEN - 1], if at == 0 { b"[\"" } else { b",\"" });
        is_array &= entry.starts_with(begin) && entry.ends_with(b"\"");
        is_array &= id_number(id).is_some_and(|id| members.insert(id));
    }
    ensure!(is_array, "no array of different ids: {}", payload.escape_ascii());
    Ok(members)
}
