//! An honest client with a session.
//!
//! Its packets are converted to the plain protocol, so that they can be checked by the same rules
//! as a plain client's.

use std::collections::HashMap;
use std::net::SocketAddr;

use roomer_conformance::wire::{self, PacketView};
use serde_json::{Value, json};

use super::requests::{Handled, Requests};
use super::session::Session;
use crate::chaos::delivery_log::{ClientIndex, DeliveryLog, Room};
use crate::chaos::view::{RoomState, View};

/// If the client has sent more than this number of packets that are not acknowledged, it stops
/// sending.
const MAX_AHEAD: usize = 200;

/// By id, the info of the members of a room.
type Infos = HashMap<String, Value>;

pub(super) struct Client {
    pub(super) session: Session,
    pub(super) view: View,
    pub(super) requests: Requests,
    infos: HashMap<Room, Infos>,
    /// The info that the client last set.
    pub(super) info: Value,
    changes: u64,
    pub(super) stage: Stage,
    /// True once the client has sent a close frame.
    has_closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Open,
    /// The client reconnects one last time, without the proxy, and then closes.
    Retiring,
    /// The client has sent a close frame.
    Closing,
    Closed,
}

impl Client {
    pub(super) fn connect(server: SocketAddr, proxy: SocketAddr, is_reference: bool) -> Client {
        Client {
            session: Session::new(server, proxy, is_reference),
            view: View::new(is_reference),
            requests: Requests::default(),
            infos: HashMap::new(),
            info: Value::Null,
            changes: 0,
            stage: Stage::Open,
            has_closed: false,
        }
    }

    /// Describes what the client is currently waiting for.
    pub(super) fn state(&self) -> String {
        let Client { session, requests, stage, .. } = self;
        let (hello, pending) = (session.has_hello, requests.pending());
        let sent = session.unacknowledged();
        format!("{stage:?}, hello {hello}, {pending} requests, {sent} packets not acknowledged")
    }

    /// Returns true if the client has joined `root`, is not closing, and does not have many
    /// unacknowledged packets.
    pub(super) fn is_ready(&self) -> bool {
        self.view.me.is_some()
            && self.stage == Stage::Open
            && self.session.unacknowledged() < MAX_AHEAD
    }

    pub(super) fn send(&mut self, packet: Option<Vec<u8>>) {
        packet.into_iter().for_each(|packet| self.session.send(packet));
    }

    pub(super) fn join(&mut self, log: &DeliveryLog, room: Room) {
        let packet = self.view.join(log, room);
        self.send(packet);
    }

    pub(super) fn say(&mut self, log: &mut DeliveryLog, room: Room, event: &str, filler: usize) {
        let packet = self.view.say(log, room, event, filler);
        self.send(packet);
    }

    pub(super) fn tell(&mut self, log: &mut DeliveryLog, to: ClientIndex, filler: usize) {
        let packet = self.view.tell(log, to, filler);
        self.send(packet);
    }

    pub(super) fn leave(&mut self, log: &mut DeliveryLog, room: Room) {
        let packet = self.view.leave(log, room);
        self.send(packet);
    }

    /// Changes the info of the client itself.
    pub(super) fn change_info(&mut self) {
        self.changes += 1;
        self.info = json!({ "n": self.changes });
        let info = self.info.to_string();
        self.session.send(wire::to_room("root", "roomer:info", info.as_bytes()));
    }

    /// Sends a request to the server or, if `to` is given, to a client.
    pub(super) fn ask(&mut self, log: &DeliveryLog, to: Option<ClientIndex>, event: &str) {
        let Some(me) = self.view.me else { return };
        let to = to.map(|to| log.id(to));
        let packet = self.requests.ask(log.id(me), to, event);
        self.send(packet);
    }

    /// Sends the answers that were postponed.
    pub(super) fn answer_postponed(&mut self) {
        let answers = self.requests.take_postponed();
        answers.into_iter().for_each(|answer| self.session.send(answer));
    }

    /// Reconnects without the proxy, in order to close after that.
    pub(super) fn retire(&mut self) {
        self.stage = Stage::Retiring;
        self.session.is_direct = true;
        self.session.reconnect(false);
    }

    /// Handles the frames that were received, and reconnects if the socket is lost. If `is_late` is
    /// true, answers to requests are postponed.
    pub(super) fn process_input(&mut self, log: &mut DeliveryLog, is_late: bool, by_reset: bool) {
        let Client { session, view, requests, infos, stage, .. } = self;
        let mut answers = Vec::new();
        loop {
            let more = session.next(|opcode, payload| match opcode {
                wire::BINARY => {
                    let packet = PacketView::decode(payload);
                    let me = view.me.map_or("", |me| log.id(me));
                    match requests.on_packet(packet, me, is_late) {
                        Some(Handled::Answer(answer)) => answers.push(answer),
                        Some(Handled::Nothing) => {}
                        None => on_packet(view, infos, log, packet),
                    }
                }
                wire::CLOSE if *stage == Stage::Closing => {
                    assert_eq!(payload, 1000u16.to_be_bytes(), "closed with another code");
                    *stage = Stage::Closed;
                }
                _ => panic!("{} gets {opcode}: {}", view.name(log), payload.escape_ascii()),
            });
            if !more {
                break;
            }
        }
        answers.into_iter().for_each(|answer| self.session.send(answer));
        if self.has_closed && self.session.failure.take().is_some() {
            // The server's close frame has arrived.
            self.stage = Stage::Closed;
        }
        match self.stage {
            Stage::Open | Stage::Retiring if self.session.is_lost() => {
                self.session.reconnect(by_reset);
            }
            Stage::Retiring if self.session.has_hello => {
                self.view.record_leaves(log);
                log.note(self.view.me, "sent a close frame");
                self.session.close();
                self.has_closed = true;
                self.stage = Stage::Closing;
            }
            // A delayed request took over the session. The server therefore dropped this socket
            // before it had read the close frame.
            Stage::Closing if self.session.has_ended() => {
                self.session.reconnect(by_reset);
                self.stage = Stage::Retiring;
            }
            _ => {}
        }
    }

    /// Returns true if the members' info in the client's view is current.
    pub(super) fn knows(&self, expected: &HashMap<String, Value>) -> bool {
        self.view.rooms.keys().all(|room| {
            let known = self.infos.get(room).into_iter().flatten();
            { known }.all(|(id, info)| expected.get(id) == Some(info))
        })
    }
}

/// Handles a packet that is not part of a request.
fn on_packet(
    view: &mut View,
    infos: &mut HashMap<Room, Infos>,
    log: &mut DeliveryLog,
    packet: PacketView<'_>,
) {
    let room = log.room(packet.room);
    match packet.event {
        b"join_ack" => {
            let payload: Value = serde_json::from_slice(packet.payload).unwrap();
            let members: Infos =
                payload["members"].as_array().unwrap().iter().map(member).collect();
            let ids: Vec<_> = members.keys().collect();
            let payload = serde_json::to_vec(&ids).unwrap();
            if let Some(RoomState::In(_) | RoomState::Leaving(_)) = view.rooms.get(&room) {
                assert_eq!(infos[&room], members, "the infos of the members are wrong");
            }
            infos.insert(room, members);
            view.packet(log, PacketView { payload: &payload, ..packet });
        }
        b"roomer:members" => {
            let changes: Value = serde_json::from_slice(packet.payload).unwrap();
            let list = |key: &str| changes[key].as_array().cloned().unwrap_or_default();
            let known = infos.get_mut(&room).expect("a room that it has joined");
            for id in list("left") {
                let id = id.as_str().unwrap();
                assert!(known.remove(id).is_some(), "{id} leaves twice");
                let payload = id.as_bytes();
                view.packet(log, PacketView { event: b"member_left", payload, ..packet });
            }
            for (id, info) in list("joined").iter().map(member) {
                assert!(known.insert(id.clone(), info).is_none(), "{id} joins twice");
                let payload = id.as_bytes();
                view.packet(log, PacketView { event: b"new_member", payload, ..packet });
            }
            for (id, info) in list("changed").iter().map(member) {
                let before = known.insert(id.clone(), info.clone()).expect("a member");
                let number = |info: &Value| info["n"].as_u64().unwrap_or(0);
                // No change may be missing.
                assert_eq!(number(&info), number(&before) + 1, "{id}: {info} after {before}");
            }
        }
        b"leave_ack" => {
            infos.remove(&room);
            view.packet(log, packet);
        }
        // The receiver of the direct message has closed in the meantime.
        b"roomer:error" => {
            let error: Value = serde_json::from_slice(packet.payload).unwrap();
            assert_eq!(
                (&error["code"], &error["event"]),
                (&"gone".into(), &"direct".into()),
                "{error}"
            );
        }
        b"new_member" | b"member_left" => panic!("a notice for plain members"),
        _ => view.packet(log, packet),
    }
}

/// Returns the id and the info in an entry of a member list.
fn member(entry: &Value) -> (String, Value) {
    (entry[0].as_str().expect("an id").into(), entry[1].clone())
}
