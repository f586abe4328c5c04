//! Compares the hub's actions with the effects that the model expects.

use roomer_hub::{Action, ConnKey, Members, Presence, RoomKey, Snapshot, Tables};
use roomer_proto::{JOIN_ACK, PacketRef};

use super::checker::{Checker, Expected};
use super::clients::ENTRY_LEN;
use super::display;
use super::guests;
use super::op::{Effect, IdSet};
use crate::alphabet::{id_number, identity};
use crate::fault::{Fault, ensure};

impl Checker {
    /// Compares an action with the next expected effect.
    pub(super) fn action(
        &mut self,
        tables: &Tables,
        action: Action<'_>,
        expected: &mut Expected,
    ) -> Result<(), Fault> {
        let (mut room, mut payload) = (None, None);
        match action {
            Action::Broadcast { members, except, room: key, peers, packet, .. } => {
                self.receive(members, except)?;
                // The model does not list messages that have no receivers.
                if self.receivers.is_empty() && peers.is_empty() {
                    return Ok(());
                }
                (room, payload) = (Some(key), Some(packet.payload));
            }
            Action::Left { room: key, .. } | Action::RoomClosed { room: key } => room = Some(key),
            _ => {}
        }
        let room = match room {
            Some(key) => {
                // Search from the end, since most actions concern recent rooms. The number of a
                // closed room is kept, since its last actions refer to it.
                let number = self.rooms.iter().rposition(|known| *known == key);
                ensure!(number.is_some(), "an action about an unknown room");
                number.map(|number| number as u32)
            }
            None => None,
        };
        let Some(&effect) = expected.next(&self.model.effects, room, payload) else {
            return Err(Fault::new(format!("unexpected: {}", display::action(&action))));
        };
        let is_equal = self.compare(tables, &action, room, &effect)?;
        ensure!(
            is_equal,
            "actual: {}, expected: {}",
            display::action(&action),
            display::effect(&effect)
        );
        Ok(())
    }

    /// Collects the clients that receive a broadcast.
    fn receive(&mut self, members: Members<'_>, except: Option<ConnKey>) -> Result<(), Fault> {
        self.receivers.clear();
        for conn in members.iter().filter(|&conn| Some(conn) != except) {
            let Some(client) = self.client(conn) else {
                return Err(Fault::new(format!("a broadcast to an unknown connection {conn:?}")));
            };
            self.receivers.push(client);
        }
        let count = members.iter().len();
        ensure!(members.len() == count && members.is_empty() == (count == 0), "{count} members");
        Ok(())
    }

    /// Returns true if an action equals an effect. Also checks the action against the clients'
    /// views.
    fn compare(
        &mut self,
        tables: &Tables,
        action: &Action<'_>,
        number: Option<u32>,
        effect: &Effect,
    ) -> Result<bool, Fault> {
        match (*action, *effect) {
            (Action::Opened { conn }, Effect::Opened { client }) => {
                self.open(tables, conn, client)?;
                Ok(true)
            }
            (Action::Rejected, Effect::Rejected) => {
                self.trace.number(1);
                Ok(true)
            }
            (Action::Joined { conn, room, name }, Effect::Joined { client, .. }) => {
                Ok(self.joined(room, name, effect)? && conn == self.key(client))
            }
            (Action::Left { conn, name, .. }, Effect::Left { client, room, name: expected }) => {
                Ok(conn == self.key(client) && number == Some(room) && name == expected)
            }
            (Action::RoomClosed { .. }, Effect::RoomClosed { room }) => Ok(number == Some(room)),
            (
                Action::Close { conn, code, reason },
                Effect::Close { client, code: expected, reason: why },
            ) => {
                // Hash every action, so that any change in the output changes the run's hash.
                self.trace.number(u64::from(code) << 16 | u64::from(client));
                self.trace.bytes(reason.as_bytes());
                self.clients.end(client);
                Ok(conn == self.key(client) && code == expected && reason == why)
            }
            _ => self.compare_packet(tables, action, number, effect),
        }
    }

    /// Compares an action that contains a packet with an effect.
    fn compare_packet(
        &mut self,
        tables: &Tables,
        action: &Action<'_>,
        number: Option<u32>,
        effect: &Effect,
    ) -> Result<bool, Fault> {
        match (*action, *effect) {
            (
                Action::JoinAck { to, id, room, snapshot },
                Effect::JoinAck { to: client, room: name, presence, members, count },
            ) => {
                let own = &*identity(self.clients.id(client)).text;
                let fits = to == self.key(client) && id == own && room == name;
                Ok(fits
                    && self.join_ack(
                        tables,
                        client,
                        name,
                        &snapshot,
                        (presence, members, count),
                    )?)
            }
            (Action::Send { to, packet }, Effect::Send { to: client, packet: expected }) => {
                let fits = to == self.key(client) && packet == expected;
                Ok(fits && self.sent(client, &packet)?)
            }
            (
                Action::Broadcast { packet, peers, except_guest: left_out, .. },
                Effect::Broadcast { room, to, packet: expected, peers: abroad, except_guest },
            ) => {
                let fits = self.reached()? == to && packet == expected && number == Some(room);
                let fits_abroad = self.sent_abroad(peers, left_out, abroad, except_guest)?;
                Ok(fits && fits_abroad && self.broadcast(room, &packet)?)
            }
            (Action::Forward { peer, packet }, Effect::Forward { peer: to, packet: expected }) => {
                // In the trace, the upper bits distinguish the kinds of actions.
                self.encode(1 << 40 | u64::from(to), &packet)?;
                Ok(peer == guests::op::key(to) && packet == expected)
            }
            (
                Action::Call { conn, handler, packet },
                Effect::Call { client, handler: index, packet: expected },
            ) => {
                self.encode(u64::from(client) << 16, &packet)?;
                Ok(conn == self.key(client) && handler.index() == index && packet == expected)
            }
            (
                Action::Authorize { conn, permission, packet },
                Effect::Authorize { client, permission: wanted, packet: expected },
            ) => {
                self.encode(u64::from(client) << 8, &packet)?;
                Ok(conn == self.key(client) && permission == wanted && packet == expected)
            }
            _ => Ok(false),
        }
    }

    /// Compares a join with its effect. If the join has created the room, records the room's key.
    /// Returns true if they agree.
    fn joined(&mut self, room: RoomKey, name: &str, effect: &Effect) -> Result<bool, Fault> {
        let Effect::Joined { room: number, name: expected, .. } = *effect else {
            return Ok(false);
        };
        ensure!(name == expected, "{name:?} is joined instead of {expected:?}");
        // Rooms are numbered in the order of creation, so the next number means a new room.
        if number as usize == self.rooms.len() {
            ensure!(!self.rooms.contains(&room), "a room's key is used again");
            self.rooms.push(room);
        }
        Ok(room == self.rooms[number as usize])
    }

    /// Checks a packet sent to a single client.
    fn sent(&mut self, client: u16, packet: &PacketRef<'_>) -> Result<bool, Fault> {
        self.encode(u64::from(client), packet)?;
        // The receiver would mistake a notice that the application imitates for a real one, and its
        // view would become wrong.
        if !self.imitates_built_in {
            self.clients.direct(client, packet, Presence::Full)?;
        }
        Ok(true)
    }

    /// Returns the ids of the clients that the broadcast reaches. They must be unique.
    fn reached(&self) -> Result<IdSet, Fault> {
        let mut reached = IdSet::default();
        for &client in &self.receivers {
            let is_new = reached.insert(self.clients.id(client));
            ensure!(is_new, "a broadcast reaches a client twice");
        }
        Ok(reached)
    }

    /// Checks a packet sent to the receivers of a broadcast.
    fn broadcast(&mut self, room: u32, packet: &PacketRef<'_>) -> Result<bool, Fault> {
        self.encode(u64::from(room) << 32, packet)?;
        for &client in &self.receivers {
            self.trace.number(client.into());
        }
        if !self.imitates_built_in {
            let receivers = self.receivers.iter().copied();
            let presence = self.model.presence(packet.room);
            let room = self.model.room(packet.room);
            let abroad = room.map_or(self.leaving, |room| room.abroad.ids().union(self.leaving));
            self.clients.broadcast(receivers, packet, self.is_command, presence, abroad)?;
        }
        Ok(true)
    }

    /// Records a connection that was opened. Its key must be new.
    fn open(&mut self, tables: &Tables, conn: ConnKey, client: u16) -> Result<(), Fault> {
        // Compare with all earlier keys: if a key were used again, a stale copy of it would become
        // valid.
        let is_new = !self.keys.contains(&conn) && conn != ConnKey::default();
        ensure!(is_new, "a connection's key is used again");
        // The tables store the time as 64 bits of nanoseconds, which suffice for 584 years.
        let nanos = u64::try_from(self.now.as_nanos()).unwrap_or(u64::MAX);
        let opened_at = Some(std::time::Duration::from_nanos(nanos));
        ensure!(tables.opened_at(conn) == opened_at, "opened at {:?}", tables.opened_at(conn));
        self.keys.push(conn);
        self.numbers.insert(conn, client);
        let id = self.model.clients[usize::from(client)].id;
        self.clients.open(id);
        self.trace.number(conn.as_u64());
        Ok(())
    }

    /// Compares a snapshot with the expected members. Its order must be that of the hub's list.
    fn join_ack(
        &mut self,
        tables: &Tables,
        client: u16,
        room: &str,
        snapshot: &Snapshot<'_>,
        (presence, expected, count): (Presence, IdSet, u64),
    ) -> Result<bool, Fault> {
        // Keep the buffer between inputs, because each join needs it.
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        for run in snapshot.runs() {
            run.chunks().iter().for_each(|chunk| text.extend_from_slice(chunk));
            run.write_tail(&mut text);
        }
        ensure!(snapshot.len() == text.len(), "a snapshot of {} bytes", snapshot.len());
        let own = &*identity(self.clients.id(client)).text;
        let fixed_text = match presence {
            Presence::Full => None,
            Presence::Off => Some(format!("[\"{own}\"]")),
            _ => Some(count.to_string()),
        };
        let is_equal = match fixed_text {
            Some(fixed) => {
                ensure!(text == fixed.as_bytes(), "not {fixed} but {}", text.escape_ascii());
                true
            }
            None => match self.listed(tables, room, &text)? {
                Some(listed) => listed == expected,
                None => return Ok(false),
            },
        };
        let packet = PacketRef { room, event: JOIN_ACK, dst: "", src: own, payload: &text };
        self.encode(client.into(), &packet)?;
        self.clients.direct(client, &packet, presence)?;
        self.text = text;
        Ok(is_equal)
    }

    /// Returns the ids in a snapshot, whose order must be that of the hub's members. Returns `None`
    /// if an id is unknown.
    fn listed(&self, tables: &Tables, room: &str, text: &[u8]) -> Result<Option<IdSet>, Fault> {
        let members = tables.find_room(room).map(|room| tables.members(room));
        let mut listed = IdSet::default();
        let mut entries = text.chunks(ENTRY_LEN);
        for conn in members.into_iter().flat_map(|members| members.iter()) {
            let Some(id) = self.id(conn) else { return Ok(None) };
            let entry = entries.next().and_then(|entry| entry.get(2..ENTRY_LEN - 1));
            let is_next = entry == Some(identity(id).text.as_bytes());
            // The hub updates the snapshot in parallel with its table of members, so both must have
            // the same order.
            ensure!(is_next && listed.insert(id), "a snapshot in another order than its room");
        }
        for guest in tables.find_room(room).into_iter().flat_map(|room| tables.guests(room)) {
            let entry = entries.next().and_then(|entry| entry.get(2..ENTRY_LEN - 1));
            let id = id_number(guest.as_str().as_bytes());
            let is_next = entry == Some(guest.as_str().as_bytes());
            ensure!(
                is_next && id.is_some_and(|id| listed.insert(id)),
                "a snapshot without {guest}"
            );
        }
        // Nothing but the closing bracket may remain.
        ensure!(entries.len() == 1, "a snapshot with more entries than members and guests");
        Ok(Some(listed))
    }

    /// Encodes a packet and adds its bytes to the run's trace.
    fn encode(&mut self, to: u64, packet: &PacketRef<'_>) -> Result<(), Fault> {
        self.wire.clear();
        let encoded = packet.encode(&mut self.wire);
        ensure!(encoded.is_ok(), "{encoded:?}");
        self.trace.number(to);
        self.trace.bytes(&self.wire);
        Ok(())
    }
}
