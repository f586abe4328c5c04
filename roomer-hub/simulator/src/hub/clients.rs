//! The clients' views, derived only from received packets. Each client tracks its rooms as the
//! protocol specifies, and each packet must be consistent with its view.

use roomer_hub::Presence;
use roomer_proto::{JOIN_ACK, LEAVE_ACK, MEMBER_LEFT, NEW_MEMBER, PacketRef};

use super::display::PacketText;
use super::op::IdSet;
use crate::alphabet::{id_number, identity, room_number};
use crate::fault::{Fault, ensure};

/// Bytes of one id in a snapshot: a separator, two quotes and the id.
pub const ENTRY_LEN: usize = 39;

/// All clients that were ever opened, by number.
#[derive(Debug)]
pub struct Clients {
    all: Vec<Client>,
    /// True if a repeated join is announced again.
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

/// The view of a joined room: `snapshot + new_member - member_left`. Without presence, it contains
/// only the client itself.
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

    /// Marks a client as closed so that any later output to it is a fault.
    pub fn end(&mut self, client: u16) {
        let client = &mut self.all[usize::from(client)];
        client.is_connected = false;
        client.rooms = Vec::new();
    }

    pub fn id(&self, client: u16) -> u16 {
        self.all[usize::from(client)].id
    }

    /// Checks a direct packet. `shows` is the room's presence mode, used for a `join_ack`.
    pub fn direct(
        &mut self,
        to: u16,
        packet: &PacketRef<'_>,
        shows: Presence,
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
                let members = match shows {
                    Presence::Full => read_snapshot(packet.payload)?,
                    _ => IdSet::from_iter([client.id]),
                };
                ensure!(members.contains(client.id), "a join_ack without the joiner: {members:?}");
                let room = number(packet.room)?;
                // A repeated join must confirm the view, since all earlier notices have arrived.
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

    /// Checks a broadcast. Each receiver must be in the room and receive it once. The members in
    /// the receivers' views must be the receivers, the excluded sender and the guests (`abroad`),
    /// which receive it on another node. A command may send from outside the room.
    pub fn broadcast(
        &mut self,
        to: impl Iterator<Item = u16>,
        packet: &PacketRef<'_>,
        is_command: bool,
        shows: Presence,
        abroad: IdSet,
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
        ensure!(
            is_full || notice.is_none(),
            "{shown}, although the room does not announce members"
        );
        let (mut reached, mut common) = (IdSet::default(), None);
        for client in to {
            let client = &mut self.all[usize::from(client)];
            ensure!(reached.insert(client.id), "{shown} twice for {}", identity(client.id).text);
            // A command may exclude a client other than the sender, or none.
            let is_own = src == Some(client.id) && !is_command || notice == Some(client.id);
            ensure!(!is_own, "{} receives its own {shown}", identity(client.id).text);
            let members = client.receive(room, packet, notice, self.announces_rejoins)?;
            if is_full {
                // All receivers got the same notices before this packet, so their views are equal.
                let seen = *common.get_or_insert(members);
                ensure!(seen == members, "some clients see {seen:?}, others {members:?}");
            }
        }
        let Some(mut others) = common else { return Ok(()) };
        // Check this before the guests are subtracted: the sender may be one of them.
        let was_in = src.or(notice).is_some_and(|id| others.contains(id));
        others.subtract(abroad);
        if is_command {
            // The packet does not name the excluded member, so check only the number here; the
            // model checks the member.
            let missed = others.len() - reached.len();
            ensure!(missed <= 1, "{shown} reaches {reached:?}, but {others:?} are in the room");
            return Ok(());
        }
        if let Some(left_out) = src.or(notice) {
            others.remove(left_out);
            let from_outside = notice.is_none() && !self.members_only;
            let has_left = packet.event == MEMBER_LEFT;
            // The receivers have applied the notice: their views contain a new member by now, and
            // no longer contain one that has left.
            ensure!(was_in != has_left || from_outside, "{shown} from outside");
        }
        ensure!(reached == others, "{shown} reaches {reached:?}, but {others:?} are in the room");
        Ok(())
    }

    /// Compares a client's rooms and members with the model, at the end of a plan.
    pub fn agrees(&mut self, client: u16, truth: &[(u8, IdSet)]) -> Result<(), Fault> {
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
    /// Applies a room's packet, which may be a membership notice. Returns the members in the
    /// client's view.
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

/// Parses the ids of a `join_ack`: a JSON array of unique strings without spaces.
fn read_snapshot(payload: &[u8]) -> Result<IdSet, Fault> {
    let mut members = IdSet::default();
    // Split by the fixed length of an entry: a JSON parser would also accept blanks and escapes.
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
