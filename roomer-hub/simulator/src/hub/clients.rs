//! The clients' views of their rooms, derived only from received packets as the protocol specifies.
//! Each packet must be consistent with the view of its receiver.

use roomer_hub::Presence;
use roomer_proto::{JOIN_ACK, LEAVE_ACK, MEMBER_LEFT, NEW_MEMBER, PacketRef};

use super::display::PacketText;
use super::op::IdSet;
use crate::alphabet::{id_number, identity, room_number};
use crate::fault::{Fault, ensure};

/// The length in bytes of an entry in a snapshot: a separator, two quotes and the id.
pub const ENTRY_LEN: usize = 39;

/// All clients that were ever opened, by number.
#[derive(Debug)]
pub struct Clients {
    all: Vec<Client>,
    /// True if the hub announces a join again when a member repeats it.
    announces_rejoins: bool,
    /// True if only members can send to a room.
    members_only: bool,
}

#[derive(Debug)]
struct Client {
    id: u16,
    is_connected: bool,
    rooms: Vec<View>,
}

/// A client's view of a room that it is in: `snapshot + new_member - member_left`. Without
/// presence, the view contains only the client itself.
#[derive(Debug)]
struct View {
    room: u8,
    members: IdSet,
}

impl Clients {
    pub fn new(members_only: bool, announces_rejoins: bool) -> Self {
        Clients { all: Vec::new(), announces_rejoins, members_only }
    }

    pub fn open(&mut self, id: u16) {
        self.all.push(Client { id, is_connected: true, rooms: Vec::new() });
    }

    /// Marks a client as closed. From now on, any output to it is a fault.
    pub fn end(&mut self, client: u16) {
        let client = &mut self.all[usize::from(client)];
        client.is_connected = false;
        client.rooms = Vec::new();
    }

    pub fn id(&self, client: u16) -> u16 {
        self.all[usize::from(client)].id
    }

    /// Checks a packet to one client. For a `join_ack`, `presence` is the room's presence mode.
    pub fn direct(
        &mut self,
        to: u16,
        packet: &PacketRef<'_>,
        presence: Presence,
    ) -> Result<(), Fault> {
        let (client, shown) = (&mut self.all[usize::from(to)], PacketText(packet));
        ensure!(client.is_connected, "{shown} for a closed client");
        let own = &*identity(client.id).text;
        match packet.event {
            JOIN_ACK => {
                ensure!(
                    packet.src == own && packet.dst.is_empty(),
                    "a malformed join_ack: {shown}"
                );
                let members = match presence {
                    Presence::Full => read_snapshot(packet.payload)?,
                    _ => IdSet::from_iter([client.id]),
                };
                ensure!(members.contains(client.id), "a join_ack without the joiner: {members:?}");
                let room = number(packet.room)?;
                // Since all earlier notices have arrived, the snapshot for a repeated join must
                // equal the view.
                let Some(view) = client.view(room) else {
                    client.rooms.push(View { room, members });
                    return Ok(());
                };
                let seen = view.members;
                ensure!(
                    seen == members,
                    "a snapshot of {members:?}, but the notices so far give {seen:?}"
                );
            }
            LEAVE_ACK => {
                ensure!(
                    packet.src == own && packet.dst.is_empty(),
                    "a malformed leave_ack: {shown}"
                );
                ensure!(packet.payload == own.as_bytes(), "a leave_ack about {:?}", packet.payload);
                let room = room_number(packet.room);
                client.rooms.retain(|view| Some(view.room) != room);
            }
            NEW_MEMBER | MEMBER_LEFT => {
                return Err(Fault::new(format!("a notice for a single client: {shown}")));
            }
            _ => ensure!(packet.dst == own, "{own} receives a message for {}", packet.dst),
        }
        Ok(())
    }

    /// Checks a broadcast. Each receiver must be in the room, and receive it once. In the
    /// receivers' views, the other members must be the excluded sender, and the guests (`abroad`)
    /// that receive the broadcast on another node. A command may broadcast from outside the room.
    pub fn broadcast(
        &mut self,
        to: impl Iterator<Item = u16>,
        packet: &PacketRef<'_>,
        is_command: bool,
        presence: Presence,
        abroad: IdSet,
    ) -> Result<(), Fault> {
        let (room, shown) = (number(packet.room)?, PacketText(packet));
        ensure!(packet.dst.is_empty(), "a message for {} goes to a room", packet.dst);
        let notice = notice(packet)?;
        let src = id_number(packet.src.as_bytes());
        ensure!(src.is_some() || packet.src.is_empty(), "a message from {}", packet.src);
        let is_full = presence == Presence::Full;
        ensure!(
            is_full || notice.is_none(),
            "{shown}, although the room does not announce members"
        );
        let (mut reached, mut common) = (IdSet::default(), None);
        for client in to {
            let client = &mut self.all[usize::from(client)];
            ensure!(reached.insert(client.id), "{shown} twice for {}", identity(client.id).text);
            // A command may exclude any client, or none, not only the sender.
            let is_own = src == Some(client.id) && !is_command || notice == Some(client.id);
            ensure!(!is_own, "{} receives its own {shown}", identity(client.id).text);
            let members = client.receive(room, packet, notice, self.announces_rejoins)?;
            if is_full {
                // Up to this packet all receivers have had the same notices, so their views must be
                // equal.
                let seen = *common.get_or_insert(members);
                ensure!(seen == members, "some clients see {seen:?}, others {members:?}");
            }
        }
        let Some(others) = common else { return Ok(()) };
        self.check_reached(packet, is_command, (reached, others, abroad))
    }

    /// Checks that a broadcast has reached all members in the receivers' views (`others`), except
    /// the excluded one and the guests.
    fn check_reached(
        &self,
        packet: &PacketRef<'_>,
        is_command: bool,
        (reached, mut others, abroad): (IdSet, IdSet, IdSet),
    ) -> Result<(), Fault> {
        let shown = PacketText(packet);
        let src = id_number(packet.src.as_bytes());
        let notice = notice(packet)?;
        // Check this before the guests are subtracted, since the sender may be a guest.
        let was_in = src.or(notice).is_some_and(|id| others.contains(id));
        others.subtract(abroad);
        if is_command {
            // The packet does not contain the excluded member. Only the number of excluded members
            // is checked here; the model checks which member it is.
            let missed = others.len() - reached.len();
            ensure!(missed <= 1, "{shown} reaches {reached:?}, but {others:?} are in the room");
            return Ok(());
        }
        if let Some(left_out) = src.or(notice) {
            others.remove(left_out);
            let from_outside = notice.is_none() && !self.members_only;
            let has_left = packet.event == MEMBER_LEFT;
            // The receivers have already applied the notice: a new member is in their views by now,
            // and a member that has left is not.
            ensure!(was_in != has_left || from_outside, "{shown} from outside");
        }
        ensure!(reached == others, "{shown} reaches {reached:?}, but {others:?} are in the room");
        Ok(())
    }

    /// At the end of a plan, compares a client's rooms and their members with the model.
    pub fn agrees(&mut self, client: u16, expected: &[(u8, IdSet)]) -> Result<(), Fault> {
        let client = &mut self.all[usize::from(client)];
        let (own, open) = (&identity(client.id).text, client.rooms.len());
        ensure!(
            open == expected.len(),
            "{own} has {open} rooms open, but is in {}",
            expected.len()
        );
        for (room, members) in expected {
            let seen = client.view(*room).map(|view| view.members);
            ensure!(seen == Some(*members), "{own} sees {seen:?}, but there are {members:?}");
        }
        Ok(())
    }
}

impl Client {
    /// Applies a packet to a client's view of its room, if it is a membership notice. Returns the
    /// members in the view.
    fn receive(
        &mut self,
        room: u8,
        packet: &PacketRef<'_>,
        notice: Option<u16>,
        announces_rejoins: bool,
    ) -> Result<IdSet, Fault> {
        let (own, shown) = (&identity(self.id).text, PacketText(packet));
        ensure!(self.is_connected, "{shown} for a closed client");
        let Some(view) = self.view(room) else {
            return Err(Fault::new(format!("{own} is not in the room: {shown}")));
        };
        match (packet.event, notice) {
            (NEW_MEMBER, Some(subject)) => {
                let is_new = view.members.insert(subject);
                ensure!(is_new || announces_rejoins, "{shown}, a known member");
            }
            (_, Some(subject)) => {
                ensure!(view.members.remove(subject), "{shown}, an unknown member");
            }
            _ => {}
        }
        Ok(view.members)
    }

    fn view(&mut self, room: u8) -> Option<&mut View> {
        self.rooms.iter_mut().find(|view| view.room == room)
    }
}

/// Returns the member that a notice is about, or `None` if the packet is not a notice.
fn notice(packet: &PacketRef<'_>) -> Result<Option<u16>, Fault> {
    match packet.event {
        NEW_MEMBER | MEMBER_LEFT => subject(packet).map(Some),
        _ => Ok(None),
    }
}

fn number(room: &str) -> Result<u8, Fault> {
    room_number(room).ok_or_else(|| Fault::new(format!("an unknown room {room:?}")))
}

/// Returns the number of the client named in a notice.
fn subject(packet: &PacketRef<'_>) -> Result<u16, Fault> {
    let shown = PacketText(packet);
    ensure!(packet.src.is_empty(), "a notice with a sender: {shown}");
    let subject = id_number(packet.payload);
    subject.ok_or_else(|| Fault::new(format!("a notice about an unknown id: {shown}")))
}

/// Parses the ids in a `join_ack`: a JSON array of unique strings, without spaces.
fn read_snapshot(payload: &[u8]) -> Result<IdSet, Fault> {
    let mut members = IdSet::default();
    // Split by the fixed length of an entry, because a JSON parser would also accept spaces and
    // escapes.
    let mut is_array = payload.last() == Some(&b']');
    let entries = payload.chunks_exact(ENTRY_LEN);
    is_array &= entries.remainder().len() == 1 && entries.len() > 0;
    for (at, entry) in entries.enumerate() {
        let (id, begin) = (&entry[2..ENTRY_LEN - 1], if at == 0 { b"[\"" } else { b",\"" });
        is_array &= entry.starts_with(begin) && entry.ends_with(b"\"");
        is_array &= id_number(id).is_some_and(|id| members.insert(id));
    }
    ensure!(is_array, "not an array of unique ids: {}", payload.escape_ascii());
    Ok(members)
}
