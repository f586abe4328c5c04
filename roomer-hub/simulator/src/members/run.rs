//! Runs a plan: passes each step to the model and to the hub, which are then compared.

use std::collections::BTreeSet;
use std::sync::Arc;

use roomer_hub::{
    Command, Config, ConnId, ConnKey, HashKey, Hub, Info, Input, PeerKey, Profile, Rate,
};
use roomer_proto::PacketRef;
use roomer_proto::extended::INFO;

use super::marks::{Mark, Marks};
use super::model::{Model, Room};
use super::plan::{INFOS, INVALID, Plan, ROOMS, Step, USERS};
use super::view::View;
use crate::fault::{Fault, caught, ensure};
use crate::trace::Trace;

/// The tag with which the peer's ids begin.
const TAG: [u8; 4] = [9; 4];

const GUESTS: u8 = 3;

pub struct Run<'p> {
    pub(super) plan: &'p Plan,
    pub(super) hub: Hub,
    pub(super) model: Model,
    pub(super) keys: Vec<ConnKey>,
    pub(super) views: Vec<View>,
    /// The memberships, derived from `Action::Joined` and `Action::Left`.
    pub(super) seats: BTreeSet<(usize, String)>,
    pub(super) authorizations: Vec<(usize, Vec<u8>)>,
    pub trace: Trace,
    pub marks: Marks,
    pub steps: u64,
}

fn id(tag: [u8; 4], number: usize) -> ConnId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&tag);
    bytes[14..].copy_from_slice(&(number as u16).to_be_bytes());
    ConnId::from_random_bytes(bytes)
}

fn guest_id(guest: u8) -> ConnId {
    id(TAG, usize::from(guest % GUESTS))
}

/// Returns the profile for an info index and a user index.
fn profile(info: u8, user: u8) -> Result<Profile, Fault> {
    let (given, user) = (INFOS[usize::from(info) % INFOS.len()].0, usize::from(user));
    let info = Info::new(given).map_err(|error| Fault::new(error.to_string()))?;
    let user = Some(USERS[user % USERS.len()].0).filter(|user| !user.is_empty());
    Ok(Profile::new(Some(info), user))
}

impl<'p> Run<'p> {
    pub fn new(plan: &'p Plan) -> Self {
        let mut config = Config::default();
        (config.authorize_info, config.max_info) = (plan.authorize, plan.max_info);
        config.info_rate = plan.rate.and_then(|(per_second, burst)| Rate::new(per_second, burst));
        // Disable this limit, which other plans check: it would close clients whose views are
        // compared.
        config.violation_rate = None;
        let mut hub = Hub::new(config, HashKey([7; 16]));
        for (pattern, presence) in &plan.presence_rules {
            hub.set_presence(pattern, *presence);
        }
        plan.away_rooms.iter().for_each(|pattern| hub.announce_away(pattern));
        let guests = (0..GUESTS).map(|guest| guest_id(guest).to_string()).collect();
        Run {
            plan,
            hub,
            model: Model::new(plan, guests),
            keys: Vec::new(),
            views: Vec::new(),
            seats: BTreeSet::new(),
            authorizations: Vec::new(),
            trace: Trace::new(),
            marks: Marks::default(),
            steps: 0,
        }
    }

    pub fn run_to_end(&mut self) -> Result<(), Fault> {
        // A panic in the hub counts as a fault. The run is not used again after a panic.
        caught(|| {
            for step in &self.plan.steps {
                self.step(*step)?;
            }
            self.compare_views(None)?;
            for client in 0..self.keys.len() {
                self.end(client, Step::Gone { client: client as u8 })?;
            }
            self.step(Step::PeerGone)?;
            let rooms = self.hub.tables().room_count();
            ensure!(rooms == 0, "{rooms} rooms are left over");
            Ok(())
        })
    }

    /// Returns a client, which may be open or closed.
    fn client(&self, number: u8) -> Option<usize> {
        usize::from(number).checked_rem(self.keys.len())
    }

    fn step(&mut self, step: Step) -> Result<(), Fault> {
        match step {
            Step::Open { extended, info, user } => self.open(extended, info, user),
            Step::Wait { millis } => {
                self.model.now += u64::from(millis);
                Ok(())
            }
            Step::PeerUp
            | Step::PeerGone
            | Step::GuestJoined { .. }
            | Step::GuestProfile { .. }
            | Step::GuestAway { .. }
            | Step::GuestLeft { .. }
            | Step::GuestCount { .. } => self.peer_step(step),
            Step::Answer { is_allowed } => self.answer(is_allowed),
            Step::Join { client, .. }
            | Step::Leave { client, .. }
            | Step::Add { client, .. }
            | Step::Message { client, .. }
            | Step::Direct { from: client, .. }
            | Step::SetInfo { client, .. }
            | Step::SendInfo { client, .. }
            | Step::Away { client, .. }
            | Step::Gone { client }
            | Step::Close { client } => match self.client(client) {
                Some(client) => self.client_step(client, step),
                None => Ok(()),
            },
        }
    }

    fn open(&mut self, extended: bool, info: u8, user: u8) -> Result<(), Fault> {
        let id = id([0; 4], self.keys.len());
        let profile = profile(info, user)?;
        self.model.open(id.to_string(), extended, info, user);
        self.views.push(View::default());
        let input = match profile.is_empty() {
            true => Input::Open { id, extended },
            false => Input::OpenWithProfile { id, extended, profile: &profile },
        };
        self.input(input, false)
    }

    fn client_step(&mut self, client: usize, step: Step) -> Result<(), Fault> {
        let (conn, is_open) = (self.keys[client], self.model.clients[client].is_open);
        let room_of = |room: u8| ROOMS[usize::from(room) % ROOMS.len()];
        let packet = |room, event| PacketRef { room, event, ..PacketRef::default() };
        let input = match step {
            Step::Join { room, .. } => {
                self.mark_join(client, room_of(room), is_open);
                if is_open {
                    self.model.join(client, room_of(room));
                }
                Input::Packet { conn, packet: packet(room_of(room), "join") }
            }
            Step::Add { room, .. } => {
                if is_open {
                    self.model.join(client, room_of(room));
                }
                Input::Command(Command::Join { conn, room: room_of(room) })
            }
            Step::Leave { room, .. } => {
                self.mark_leave(client, room_of(room));
                if is_open {
                    self.model.leave(client, room_of(room));
                }
                Input::Packet { conn, packet: packet(room_of(room), "leave") }
            }
            Step::Message { room, .. } => {
                if is_open {
                    self.model.message(client, room_of(room));
                }
                let packet = PacketRef { payload: b"hi", ..packet(room_of(room), "chat") };
                Input::Packet { conn, packet }
            }
            Step::Direct { to, .. } => return self.direct(client, to),
            Step::Away { is_away, .. } => {
                if is_open {
                    self.model.away(client, is_away);
                }
                self.mark_away(client, is_away);
                Input::Away { conn, is_away }
            }
            Step::SetInfo { info, .. } => return self.set_info(client, info),
            Step::SendInfo { info, .. } => return self.send_info(client, info),
            step => return self.end(client, step),
        };
        self.input(input, false)
    }

    fn direct(&mut self, client: usize, to: u8) -> Result<(), Fault> {
        let to = self.client(to).unwrap_or_default();
        // Skip messages to ids without a connection, which other plans send.
        if !self.model.clients[to].is_open {
            return Ok(());
        }
        if self.model.clients[client].is_open {
            self.model.direct(client, to);
        }
        let dst = self.model.clients[to].id.clone();
        let (room, event, payload) = ("root", "chat", b"hi");
        let packet = PacketRef { room, event, dst: &dst, payload, ..PacketRef::default() };
        self.input(Input::Packet { conn: self.keys[client], packet }, false)
    }

    fn send_info(&mut self, client: usize, info: u8) -> Result<(), Fault> {
        let is_open = self.model.clients[client].is_open;
        let index = usize::from(info) % (INFOS.len() + INVALID.len());
        let payload = match index.checked_sub(INFOS.len()) {
            None => INFOS[index].0.as_bytes(),
            Some(invalid) => INVALID[invalid],
        };
        self.mark_sent(client, payload, is_open);
        if is_open {
            self.model.send_info(client, payload);
        }
        let packet = PacketRef { room: "root", event: INFO, payload, ..PacketRef::default() };
        self.input(Input::Packet { conn: self.keys[client], packet }, false)
    }

    fn set_info(&mut self, client: usize, info: u8) -> Result<(), Fault> {
        let conn = self.keys[client];
        let (given, value) = INFOS[usize::from(info) % INFOS.len()];
        self.mark_change(client, value);
        if self.model.clients[client].is_open {
            self.model.set_info(client, value);
        }
        let info = Info::new(given).map_err(|error| Fault::new(error.to_string()))?;
        // Setting `null` is equivalent to setting no info.
        let info = Some(&info).filter(|_| value != "null" || given != "null");
        self.input(Input::Command(Command::SetInfo { conn, info }), false)
    }

    /// Ends a connection, because its socket is lost or because the server closes it.
    fn end(&mut self, client: usize, step: Step) -> Result<(), Fault> {
        let conn = self.keys[client];
        if self.model.clients[client].is_open {
            let shared = self.model.rooms.iter().filter(|room| {
                room.members.contains(&client)
                    && room.members.iter().any(|other| self.model.clients[*other].extended)
            });
            self.marks.mark(shared.count() >= 3, Mark::GoneFromMany);
            self.model.gone(client);
        }
        let close = Command::Close { conn, code: 1000, reason: "" };
        self.input(
            match step {
                Step::Close { .. } => Input::Command(close),
                _ => Input::Gone { conn },
            },
            false,
        )
    }

    fn answer(&mut self, is_allowed: bool) -> Result<(), Fault> {
        if self.model.questions.is_empty() {
            return Ok(());
        }
        let (client, payload) = self.model.questions.remove(0);
        // `input` has compared the hub's questions with the model's, so the same question can be
        // removed from both lists.
        self.authorizations.remove(0);
        let is_open = self.model.clients[client].is_open;
        self.marks.mark(!is_open, Mark::AnswerTooLate);
        self.marks.mark(is_open && is_allowed, Mark::Allowed);
        self.marks.mark(is_open && !is_allowed, Mark::Denied);
        self.model.answer(client, payload, is_allowed);
        let conn = self.keys[client];
        let packet = PacketRef { room: "root", event: INFO, payload, ..PacketRef::default() };
        self.input(
            match is_allowed {
                true => Input::Allowed { conn, packet },
                false => Input::Denied { conn, packet },
            },
            false,
        )
    }

    fn guest_joined(
        &mut self,
        guest: u8,
        room: &'static str,
        info: u8,
        user: u8,
    ) -> Result<(), Fault> {
        self.model.guest_joined(usize::from(guest % GUESTS), room, (info, user));
        let profile = Arc::new(profile(info, user)?);
        let (peer, id, profile) = (PeerKey::new(0), guest_id(guest), Some(&profile));
        self.input(Input::GuestJoined { peer, room, id, profile }, false)
    }

    fn guest_profile(&mut self, guest: u8, info: u8, user: u8) -> Result<(), Fault> {
        let (number, id) = (usize::from(guest % GUESTS), guest_id(guest));
        let is_known = self.model.is_guest(number);
        let is_shown = self.model.guest_profile(number, (info, user));
        self.marks.mark(is_shown, Mark::GuestChanged);
        self.marks.mark(!is_known, Mark::ChangedOfNone);
        let profile = Arc::new(profile(info, user)?);
        let (peer, profile) = (PeerKey::new(0), Some(&profile));
        self.input(Input::GuestProfile { peer, id, profile }, false)
    }

    fn peer_step(&mut self, step: Step) -> Result<(), Fault> {
        let peer = PeerKey::new(0);
        let room_of = |room: u8| ROOMS[usize::from(room) % ROOMS.len()];
        let has_extended = |run: &Self, room: &str| {
            let room = run.model.room(room);
            room.is_some_and(|room| room.members.iter().any(|c| run.model.clients[*c].extended))
        };
        let (input, is_any_order) = match step {
            Step::PeerUp => {
                self.model.is_peer_up = true;
                (Input::PeerUp { peer, tag: TAG }, false)
            }
            Step::PeerGone => {
                let is_shown =
                    |room: &Room| !room.guests.is_empty() && has_extended(self, room.name);
                let shares = self.model.rooms.iter().any(is_shown);
                self.marks.mark(shares, Mark::PeerGone);
                self.model.peer_gone();
                (Input::PeerGone { peer }, true)
            }
            Step::GuestJoined { guest, room, info, user } => {
                let room = room_of(room);
                let is_shown = self.model.is_peer_up && has_extended(self, room);
                self.marks.mark(is_shown, Mark::GuestJoined);
                return self.guest_joined(guest, room, info, user);
            }
            Step::GuestProfile { guest, info, user } => {
                return self.guest_profile(guest, info, user);
            }
            Step::GuestAway { guest, is_away } => {
                self.model.guest_away(usize::from(guest % GUESTS), is_away);
                self.marks.mark(!self.model.expected.is_empty(), Mark::GuestAway);
                (Input::GuestAway { peer, id: guest_id(guest), is_away }, false)
            }
            Step::GuestLeft { guest, room } => {
                let (room, id) = (room_of(room), guest_id(guest));
                let number = usize::from(guest % GUESTS);
                let is_there =
                    self.model.room(room).is_some_and(|room| room.guests.contains(&number));
                self.marks.mark(is_there && has_extended(self, room), Mark::GuestLeft);
                self.model.guest_left(number, room);
                (Input::GuestLeft { peer, room, id }, false)
            }
            Step::GuestCount { room, members } => {
                let room = room_of(room);
                self.model.guest_count(room, members);
                self.marks.mark(!self.model.expected.is_empty(), Mark::CountChanged);
                (Input::GuestCount { peer, room, members }, false)
            }
            _ => return Ok(()),
        };
        self.input(input, is_any_order)
    }
}
