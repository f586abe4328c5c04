//! Delivering messages that have a place in their room's order, and signalling lost messages.

use roomer_proto::{ConnId, PacketRef};

use crate::away::end_joined;
use crate::hub::Hub;
use crate::keys::ConnKey;
use crate::member_info::write_conn;
use crate::record::{Context, NoticeKind, RareRecord, Record};
use crate::tables::Tables;

impl Hub {
    /// Delivers a message to a room's members on this node, once it has its place in the order.
    pub(crate) fn ordered<'a>(
        &mut self,
        except: Option<ConnId>,
        packet: PacketRef<'a>,
    ) -> Context<'a> {
        // Without local members there is nothing to send, because each node delivers to its own members.
        if let Some(room) = self.tables.find_room(packet.room)
            && !self.tables.members(room).is_empty()
        {
            // The packet comes from a node, not directly from a client, so its `src` can be trusted.
            self.output.subject = ConnId::parse(packet.src);
            self.output.records.push(Record::Rare(RareRecord::Broadcast(room)));
        }
        let except = except.and_then(|id| self.tables.find_conn(id.as_str()));
        Context { conn: ConnKey::default(), except, packet }
    }

    /// Notifies the members of a room that another member left and rejoined.
    pub(crate) fn renewed<'a>(&mut self, id: ConnId, name: &str) -> Context<'a> {
        let conn = self.tables.find_conn(id.as_str());
        let context =
            Context { conn: ConnKey::default(), except: conn, packet: PacketRef::default() };
        let Some(room) = self.tables.find_room(name) else { return context };
        let is_member = conn.is_some_and(|conn| self.tables.is_member(conn, room));
        let guest = self.tables.find_guest(&id);
        let is_guest =
            guest.is_some_and(|guest| self.tables.guest_seat_index(guest, room).is_some());
        if !(is_member || is_guest) || !self.notifies(room) {
            return context;
        }
        self.output.subject = Some(id);
        let has_plain = self.tables.rooms[room].has_plain_members();
        // A leave followed by a join signals that messages from this member were lost.
        for has_joined in [false, true] {
            if has_plain {
                self.output.records.push(match has_joined {
                    true => Record::NewMember(room),
                    false => Record::MemberLeft(room),
                });
            }
            match conn {
                // The connection is local, so its info is available for the notice.
                Some(conn) if has_joined => {
                    if self.tables.rooms[room].extended_members() > 0 {
                        self.output.notify(room, NoticeKind::Membership, |out| {
                            out.extend_from_slice(b"{\"joined\":[");
                            write_conn(&self.tables, conn, out);
                            let Tables { conns, rooms, .. } = &self.tables;
                            end_joined(&rooms[room], &id, conns[conn].is_away, out);
                        });
                    }
                }
                // A leave notice needs only the id, so a local connection can be announced like a
                // guest.
                _ => self.announce_guest(room, has_joined, &id),
            }
        }
        context
    }
}
