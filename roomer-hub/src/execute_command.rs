//! Executes commands from handlers and from the application.

use roomer_proto::PacketRef;
use roomer_proto::extended::Info;

use crate::hub::Hub;
use crate::input::Command;
use crate::keys::ConnKey;
use crate::record::{Context, RareRecord, Record};

impl Hub {
    /// Executes a command, unless the connection it names was removed.
    pub(crate) fn command<'a>(&mut self, command: Command<'a>) -> Context<'a> {
        let empty = PacketRef::default();
        match command {
            Command::Broadcast { from, except, except_guest, room, event, payload } => {
                // A handler may still run after its connection has closed. The members have already
                // been notified of the close, and must not receive later messages from that
                // connection.
                if self.may_act_for(from)
                    && let Some(room) = self.tables.find_room(room)
                {
                    let record = match except_guest {
                        None => Record::Broadcast(room),
                        Some(id) => {
                            self.output.except_guest = Some(id);
                            Record::Rare(RareRecord::BroadcastExcept(room))
                        }
                    };
                    self.broadcast(room, &PacketRef { event, payload, ..empty }, except, record);
                }
                // A command without a sender has the null key, which matches no connection.
                let packet = PacketRef { room, event, payload, ..empty };
                Context { conn: from.unwrap_or_default(), except, packet }
            }
            Command::Send { from, dst, room, event, payload } => {
                if self.may_act_for(from) {
                    match self.tables.find_conn(dst) {
                        Some(to) => self.output.records.push(Record::Direct(to)),
                        // If no peer has that tag, the message has no receiver and is dropped.
                        None => self.forward(dst),
                    }
                }
                let packet = PacketRef { room, event, dst, payload, ..empty };
                Context { conn: from.unwrap_or_default(), except: None, packet }
            }
            Command::Join { conn, room } => {
                if self.set_subject(conn) {
                    self.join_as_server(conn, room);
                }
                Context::of(conn, PacketRef { room, ..empty })
            }
            Command::Leave { conn, room } => {
                if self.set_subject(conn) {
                    self.leave(conn, room);
                }
                Context::of(conn, PacketRef { room, ..empty })
            }
            Command::SetInfo { conn, info } => {
                self.set_info_of(conn, info);
                Context::of(conn, empty)
            }
            Command::Answer { conn, room, dst, answer } => {
                self.handler_answer(conn, room, dst, answer)
            }
            Command::Request { conn, number, room, event, payload } => {
                self.server_request(conn, number);
                Context { conn, except: None, packet: PacketRef { room, event, payload, ..empty } }
            }
            Command::Withdraw { conn, number } => {
                self.tables.end_request(conn, number);
                Context::of(conn, empty)
            }
            Command::Close { conn, code, reason } => {
                self.report_before_close(conn);
                // Report the close only if the connection still exists: a second close, or one that
                // races with the client's own, has no effect.
                if self.remove(conn) {
                    self.output.records.push(Record::Close(code));
                }
                Context::of(conn, PacketRef { payload: reason.as_bytes(), ..empty })
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn set_info_of(&mut self, conn: ConnKey, info: Option<&Info>) {
        if self.set_subject(conn) {
            self.set_info(conn, info.cloned());
        }
    }

    /// Makes a command's sender, if any, the subject. Returns false if the sender was removed.
    fn may_act_for(&mut self, from: Option<ConnKey>) -> bool {
        from.is_none_or(|conn| self.set_subject(conn))
    }
}
