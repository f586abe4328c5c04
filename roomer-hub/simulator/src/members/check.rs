//! Compares the packets that clients receive, and the clients' views, with the model.

use std::collections::BTreeMap;
use std::time::Duration;

use roomer_hub::{Action, Audience, ConnKey, Input, Permission, Presence};
use roomer_proto::PacketRef;
use roomer_proto::extended::ERROR;

use super::marks::Mark;
use super::model::{ExpectedPacket, Model, Payload};
use super::plan::ROOMS;
use super::run::Run;
use super::view::RoomView;
use crate::fault::{Fault, ensure};

/// The number of inputs between two audits of the tables, in which all views are also compared.
const AUDIT_INTERVAL: u64 = 8;

/// A packet as received by a client.
type Got = ExpectedPacket;

impl Run<'_> {
    /// Passes an input to the hub, and compares the packets that each client receives with the
    /// model. If `is_any_order` is true, their order does not matter.
    pub(super) fn input(&mut self, input: Input<'_>, is_any_order: bool) -> Result<(), Fault> {
        self.steps += 1;
        // The caller has already passed the input to the model, which now contains the packets due.
        let expected = std::mem::take(&mut self.model.expected);
        let now = Duration::from_millis(self.model.now);
        let Run { hub, keys, seats, authorizations, marks, model, .. } = self;
        let mut got: Vec<(usize, Got)> = Vec::new();
        let mut audiences = (false, false);
        let has_rejected = std::mem::take(&mut model.has_rejected);
        let mut errors = 0;
        let actions = hub.handle(now, input);
        let tables = actions.tables();
        for action in actions {
            match action {
                Action::Opened { conn } => keys.push(conn),
                Action::Joined { conn, name, .. } => {
                    // Derive the memberships from the actions alone, so that actions and packets
                    // are compared with each other, and not only with the model.
                    let is_new = seats.insert((number(keys, conn)?, name.into()));
                    ensure!(is_new, "a member of {name} joins it");
                }
                Action::Left { conn, name, .. } => {
                    let was_in = seats.remove(&(number(keys, conn)?, name.to_owned()));
                    ensure!(was_in, "a connection leaves {name}, where it is not");
                }
                Action::JoinAck { to, id, room, snapshot } => {
                    let to = number(keys, to)?;
                    // The client must join before its `join_ack`, or it would miss messages between
                    // the two.
                    ensure!(seats.contains(&(to, room.into())), "join_ack before the join");
                    let text = snapshot.to_vec();
                    ensure!(snapshot.len() == text.len(), "{} bytes", snapshot.len());
                    let packet =
                        PacketRef { room, event: "join_ack", dst: "", src: id, payload: &text };
                    got.push((to, received(&packet)?));
                }
                // The plans with requests check the contents of errors.
                Action::Send { to, packet } if packet.event == ERROR => {
                    let to = number(keys, to)?;
                    ensure!(
                        has_rejected && model.clients[to].extended,
                        "{packet:?} without a cause"
                    );
                    errors += 1;
                }
                Action::Send { to, packet } => got.push((number(keys, to)?, received(&packet)?)),
                Action::Broadcast { room, members, except, audience, packet, .. }
                | Action::Count { room, members, except, audience, packet } => {
                    let is_notice = packet.event == "roomer:members";
                    audiences.0 |= audience == Audience::Plain;
                    audiences.1 |= audience == Audience::Extended;
                    marks.mark(is_notice && audience == Audience::All, Mark::ExtendedAlone);
                    let members = members.into_iter().map(|conn| number(keys, conn));
                    let members: Vec<usize> = members.collect::<Result<_, Fault>>()?;
                    let except = except.map(|conn| number(keys, conn)).transpose()?;
                    let counted = tables.extended_members(room);
                    let receivers = receivers(model, &members, except, audience, counted)?;
                    ensure!(!receivers.is_empty() || !is_notice, "a notice that no member gets");
                    for member in receivers {
                        got.push((member, received(&packet)?));
                    }
                }
                Action::Authorize { conn, permission: Permission::Info, packet } => {
                    authorizations.push((number(keys, conn)?, packet.payload.to_vec()));
                }
                Action::InfoChanged { .. }
                | Action::AwayChanged { .. }
                | Action::RoomClosed { .. }
                | Action::Close { .. } => {}
                other => return Err(Fault::new(format!("unexpected: {other:?}"))),
            }
        }
        marks.mark(audiences.0 && audiences.1, Mark::BothKinds);
        ensure!(errors <= 1, "{errors} errors about one packet");
        self.compare_questions()?;
        self.compare(expected, got, is_any_order)?;
        self.compare_counts()?;
        if self.steps.is_multiple_of(AUDIT_INTERVAL) {
            self.hub.tables().audit().map_err(Fault::new)?;
            self.compare_views(None)?;
        }
        Ok(())
    }

    fn compare_questions(&self) -> Result<(), Fault> {
        let (found, expected) = (&self.authorizations, &self.model.questions);
        ensure!(found.len() == expected.len(), "{} questions, not {}", found.len(), expected.len());
        let are_expected = found
            .iter()
            .zip(expected)
            .all(|(found, expected)| found.0 == expected.0 && found.1 == expected.1);
        ensure!(are_expected, "other questions: {found:?}");
        Ok(())
    }

    /// Compares the packets that each client receives with the expected ones.
    fn compare(
        &mut self,
        packets: Vec<(usize, ExpectedPacket)>,
        got: Vec<(usize, Got)>,
        is_any_order: bool,
    ) -> Result<(), Fault> {
        let mut expected: BTreeMap<usize, Vec<Got>> = BTreeMap::new();
        for (client, packet) in packets {
            let payload = match &packet.payload {
                Payload::Text(text) => text.clone(),
                Payload::List { room, extended, client } => self.list(room, *extended, *client)?,
            };
            let packet = Got { payload: Payload::Text(payload), ..packet };
            expected.entry(client).or_default().push(packet);
        }
        let mut actual: BTreeMap<usize, Vec<Got>> = BTreeMap::new();
        for (client, packet) in got {
            let Payload::Text(text) = &packet.payload else { continue };
            self.trace.number(client as u64);
            [packet.room, packet.event, text]
                .iter()
                .for_each(|part| self.trace.bytes(part.as_bytes()));
            if self.model.clients[client].extended {
                self.views[client].receive(packet.room, packet.event, text)?;
                self.mark_packet(packet.event, text);
            }
            actual.entry(client).or_default().push(packet);
        }
        // The order is specified only within a room, so sort the packets by room.
        for packets in expected.values_mut().chain(actual.values_mut()) {
            packets.sort_by_key(|packet| packet.room);
        }
        if is_any_order {
            // The guests of a removed peer leave in any order, so ignore the counts in between.
            for packets in expected.values_mut().chain(actual.values_mut()) {
                packets.retain(|packet| !is_count(packet));
                packets.sort_by_key(|packet| format!("{packet:?}"));
            }
            expected.retain(|_, packets| !packets.is_empty());
            actual.retain(|_, packets| !packets.is_empty());
            self.compare_views(None)?;
        } else {
            let clients: Vec<usize> = actual.keys().copied().collect();
            clients.into_iter().try_for_each(|client| self.compare_views(Some(client)))?;
        }
        ensure!(actual == expected, "clients get {actual:#?}, not {expected:#?}");
        Ok(())
    }

    /// Returns a room's member list as the receiver must get it, in the order of the hub's tables.
    fn list(&mut self, name: &str, extended: bool, receiver: usize) -> Result<String, Fault> {
        let tables = self.hub.tables();
        let Some((key, room)) = tables.find_room(name).zip(self.model.room(name)) else {
            return Err(Fault::new(format!("{name} does not exist")));
        };
        let mut members = Vec::new();
        for conn in tables.members(key) {
            // The order of the hub's tables differs from the model's. Use the order of the tables,
            // and compare the members as sets.
            members.extend(self.keys.iter().position(|known| *known == conn));
        }
        let mut sorted = (members.clone(), room.members.clone());
        sorted.0.sort_unstable();
        sorted.1.sort_unstable();
        ensure!(sorted.0 == sorted.1, "{name} has {members:?}");
        let guests: Vec<String> = tables.guests(key).map(|id| id.to_string()).collect();
        ensure!(guests.len() == room.guests.len(), "{name} has {guests:?}");
        let clients = members.iter().map(|member| &self.model.clients[*member]);
        let entries: Vec<String> = match extended {
            true => {
                let entry = |id: &String| self.model.guests.iter().find(|guest| guest.id == *id);
                let guests = guests.iter().filter_map(entry).map(|guest| guest.entry());
                clients.map(|client| client.entry()).chain(guests).collect()
            }
            false => {
                let ids = clients.map(|client| client.id.clone()).chain(guests.clone());
                ids.map(|id| format!("\"{id}\"")).collect()
            }
        };
        if extended {
            self.marks.mark(members.len() == 100, Mark::FullChunk);
            self.marks.mark(members.len() > 100, Mark::SecondChunk);
            self.marks.mark(!guests.is_empty(), Mark::GuestListed);
        }
        let guest = |id: &String| self.model.guests.iter().find(|guest| guest.id == *id);
        let away = members.iter().filter(|member| **member != receiver);
        let away = away.map(|member| &self.model.clients[*member]);
        let away = away.filter(|client| client.is_away).map(|client| &client.id);
        let guests_away = guests.iter().filter_map(guest).filter(|guest| guest.is_away);
        let away: Vec<String> =
            away.chain(guests_away.map(|guest| &guest.id)).map(|id| format!("\"{id}\"")).collect();
        let away = match self.model.announces(name) && !away.is_empty() {
            true => format!(",\"away\":[{}]", away.join(",")),
            false => String::new(),
        };
        Ok(match extended {
            true => format!("{{\"members\":[{}]{away}}}", entries.join(",")),
            false => format!("[{}]", entries.join(",")),
        })
    }

    fn compare_counts(&self) -> Result<(), Fault> {
        let (counted, model) = (self.hub.rejected_packets(), &self.model);
        let counted = [counted.info, counted.reserved, counted.not_member, counted.by_application];
        let expected =
            [model.rejected_info, model.rejected_reserved, model.rejected_not_member, model.denied];
        ensure!(counted == expected, "the hub has counted {counted:?}, not {expected:?}");
        Ok(())
    }

    /// Compares the view of one extended client (or of all, if `one` is `None`) with the model.
    pub(super) fn compare_views(&self, one: Option<usize>) -> Result<(), Fault> {
        for (number, client) in self.model.clients.iter().enumerate() {
            if !client.is_open || !client.extended || one.is_some_and(|one| one != number) {
                continue;
            }
            let view = &self.views[number];
            let rooms = self.model.rooms.iter().filter(|room| room.members.contains(&number));
            ensure!(view.rooms.len() == rooms.clone().count(), "{number} knows {:?}", view.rooms);
            for room in rooms {
                let known = view.rooms.get(room.name).cloned().unwrap_or_default();
                let expected = match self.model.presence(room.name) {
                    Presence::Full => {
                        let members =
                            room.members.iter().map(|member| &self.model.clients[*member]);
                        let members = members.map(|member| (member.id.clone(), member.entry()));
                        let guests = room.guests.iter().map(|guest| &self.model.guests[*guest]);
                        let guests = guests.map(|guest| (guest.id.clone(), guest.entry()));
                        let entries = members.chain(guests).collect();
                        let away = room.members.iter().filter(|member| **member != number);
                        let away = away.map(|member| &self.model.clients[*member]);
                        let away = away.filter(|client| client.is_away).map(|client| &client.id);
                        let guests = room.guests.iter().map(|guest| &self.model.guests[*guest]);
                        let guests = guests.filter(|guest| guest.is_away).map(|guest| &guest.id);
                        let away = away.chain(guests).cloned();
                        let announces = self.model.announces(room.name);
                        let away = away.filter(|_| announces).collect();
                        RoomView { entries, away, count: None }
                    }
                    Presence::Count => {
                        let count = Some(self.model.count(room.name));
                        RoomView { count, ..RoomView::default() }
                    }
                    // Without presence, a view contains only the client itself.
                    _ => {
                        let entries = [(client.id.clone(), client.entry())].into();
                        RoomView { entries, ..RoomView::default() }
                    }
                };
                ensure!(
                    known == expected,
                    "{number} knows {known:?} of {}, not {expected:?}",
                    room.name
                );
            }
        }
        Ok(())
    }
}

fn received(packet: &PacketRef<'_>) -> Result<Got, Fault> {
    let known = |text: &str| {
        let all = ["join_ack", "leave_ack", "new_member", "member_left", "roomer:members", "chat"];
        all.into_iter().chain(ROOMS).find(|known| *known == text)
    };
    let names = known(packet.room).zip(known(packet.event));
    let payload = std::str::from_utf8(packet.payload);
    match (names, payload) {
        (Some((room, event)), Ok(payload)) => {
            let (src, payload) = (packet.src.into(), Payload::Text(payload.into()));
            Ok(ExpectedPacket { room, event, src, payload })
        }
        _ => Err(Fault::new(format!("a packet {packet:?}"))),
    }
}

fn is_count(packet: &Got) -> bool {
    matches!(&packet.payload, Payload::Text(text) if text.starts_with("{\"count\""))
}

/// Returns the number of a connection.
fn number(keys: &[ConnKey], conn: ConnKey) -> Result<usize, Fault> {
    let number = keys.iter().position(|key| *key == conn);
    number.ok_or_else(|| Fault::new(format!("an unknown connection {conn:?}")))
}

/// Returns the members that receive a broadcast. `counted` is the number of extended members that the
/// hub has counted.
fn receivers(
    model: &Model,
    members: &[usize],
    except: Option<usize>,
    audience: Audience,
    counted: usize,
) -> Result<Vec<usize>, Fault> {
    let is_extended = |member: &usize| model.clients[*member].extended;
    let extended = members.iter().filter(|member| is_extended(member)).count();
    let plain = members.len() - extended;
    ensure!(
        // `Plain` and `Extended` are used only if the room has both kinds of members. With `All`, a
        // driver need not look up each member's kind.
        audience == Audience::All || plain > 0 && extended > 0,
        "{audience:?} of {plain} plain and {extended} extended members"
    );
    ensure!(counted == extended, "{counted} extended members of {extended}");
    let is_for = |member: &usize| match audience {
        Audience::All => true,
        Audience::Plain => !is_extended(member),
        Audience::Extended => is_extended(member),
    };
    let others = members.iter().copied().filter(|member| Some(*member) != except);
    Ok(others.filter(is_for).collect())
}
