//! Executes the steps of clients: requests, packets and acknowledgements.

use roomer_proto::PacketRef;
use roomer_testkit::frames::first_byte;

use super::application::{SCRIPTS, text};
use super::harness::Harness;
use super::marks::Mark;
use super::plan::{AckKind, ClientAction, ClientPacket, ROOMS, ResumeKind, SLOTS};
use super::session::Packet;
use super::socket::{ClientRequest, Meaning};
use crate::alphabet::noise;
use crate::fault::Fault;

impl Harness<'_> {
    /// Connects a client. The client drops its previous session, if it has one.
    pub fn connect(&mut self, slot: u8, is_extended: bool, user: u8) {
        let device = &mut self.devices[usize::from(slot) % SLOTS];
        (device.is_extended, device.user) = (is_extended, user);
        (device.session, device.acked) = (None, 0);
        let request =
            ClientRequest { is_extended, user, is_denied: false, token: None, resume_kind: None };
        self.open_socket(slot, request);
    }

    /// Makes a client reconnect to resume its session. If it has no session, it opens a new one.
    pub fn return_to_session(&mut self, slot: u8, resume_kind: ResumeKind) {
        let device = &self.devices[usize::from(slot) % SLOTS];
        let (is_extended, user) = (device.is_extended, device.user);
        let known = device.session.filter(|_| is_extended);
        let known = known.filter(|&session| !self.sessions[session].known_tokens.is_empty());
        let Some(number) = known else {
            let request = ClientRequest {
                is_extended,
                user,
                is_denied: false,
                token: None,
                resume_kind: None,
            };
            return self.open_socket(slot, request);
        };
        let others = self.devices.iter().filter_map(|device| device.session);
        let other = { others }.find(|other| *other != number).map(|other| self.sessions[other].id);
        let session = &mut self.sessions[number];
        let tokens = &session.known_tokens;
        let own = tokens[tokens.len() - 1].clone();
        let (mut token, mut count) = (own, Some(session.read_to));
        match resume_kind {
            ResumeKind::Honest | ResumeKind::OtherUser | ResumeKind::Denied => {}
            ResumeKind::Rewound(by) => {
                session.read_to = session.read_to.saturating_sub(by.into());
                count = Some(session.read_to);
            }
            ResumeKind::Ahead => count = Some(session.total() + 1000),
            // Present an older token. It became invalid when a newer one was used.
            ResumeKind::UsedToken => token = tokens[tokens.len().saturating_sub(3)].clone(),
            ResumeKind::Forged => {
                let last = if token.ends_with('0') { '1' } else { '0' };
                token.pop();
                token.push(last);
            }
            ResumeKind::Foreign => {
                if let Some(other) = other {
                    token.replace_range(..36, text(other));
                }
            }
            ResumeKind::Garbage => token.truncate(20),
            ResumeKind::NoCount => count = None,
        }
        let user = if resume_kind == ResumeKind::OtherUser { user + 1 } else { user };
        let (is_denied, token) = (resume_kind == ResumeKind::Denied, Some((token, count)));
        self.open_socket(
            slot,
            ClientRequest { is_extended, user, is_denied, token, resume_kind: Some(resume_kind) },
        );
    }

    /// Executes a step that concerns one client.
    pub fn client_action(&mut self, slot: u8, client_action: ClientAction) -> Result<(), Fault> {
        let device = &self.devices[usize::from(slot) % SLOTS];
        let (session, Some(at)) = (device.session, device.socket) else { return Ok(()) };
        let socket = &mut self.sockets[at];
        match client_action {
            ClientAction::Send(packet) => self.send(slot, packet),
            ClientAction::Ack(kind) => self.acknowledge(slot, kind),
            ClientAction::Close(code) if socket.can_send() && socket.has_response => {
                let what = Meaning::Close(code);
                socket.send(first_byte::CLOSE, &code.to_be_bytes(), what);
                socket.is_closed = true;
            }
            ClientAction::Violate if socket.can_send() && socket.has_response => {
                socket.violate();
                socket.is_closed = true;
            }
            ClientAction::Close(_) | ClientAction::Violate => {}
            ClientAction::Deliver(bytes) => socket.deliver(bytes as usize),
            ClientAction::Take(bytes) => return self.receive(at, bytes as usize),
            ClientAction::Read(on) => {
                socket.is_reading = on && !socket.is_lost;
                if socket.is_reading {
                    return self.receive(at, usize::MAX);
                }
            }
            ClientAction::Space(bytes) => match bytes {
                u32::MAX => socket.peer.set_space(usize::MAX),
                bytes => socket.peer.set_space(bytes as usize),
            },
            ClientAction::Limit { read, write } => {
                socket.peer.max_read(read as usize);
                socket.peer.max_write(write as usize);
                socket.max_write = write.into();
            }
            ClientAction::Break(resume_kind) => {
                if !socket.is_broken {
                    self.break_socket(at, resume_kind);
                }
            }
            ClientAction::Mute(on) => socket.is_mute = on,
            ClientAction::Poll => {
                let task = socket.task;
                self.tasks.poll(task);
                return self.observe(Some(task));
            }
            ClientAction::Abort => {
                if session.is_some_and(|session| self.sessions[session].keeper == at) {
                    socket.is_aborted = true;
                    let task = socket.task;
                    self.tasks.abort(task);
                    return self.observe(Some(task));
                }
            }
            ClientAction::App(what) => {
                let Some(session) = session.map(|session| &self.sessions[session]) else {
                    return Ok(());
                };
                if let Some(conn) = self.server.conn(text(session.id)) {
                    self.marks.mark(session.is_away(), Mark::ActedWhileAway);
                    let is_close = matches!(what, super::plan::AppAction::Close);
                    self.marks.mark(session.is_away() && is_close, Mark::ClosedWhileAway);
                    self.application.client_action(&conn, what.action());
                    return self.observe(None);
                }
            }
        }
        Ok(())
    }

    /// Makes a client send a packet, either now or after it has reconnected.
    fn send(&mut self, slot: u8, packet: ClientPacket) {
        let Some(packet) = self.packet(slot, packet) else { return };
        let device = &self.devices[usize::from(slot) % SLOTS];
        let (Some(session), Some(at)) = (device.session, device.socket) else { return };
        let (number, is_extended) = (self.sessions[session].sent.len(), device.is_extended);
        let socket = &mut self.sockets[at];
        let is_ready = socket.is_ready() && socket.session == Some(session);
        if is_ready {
            socket.send_packet(number, &packet);
        }
        // If the socket is not usable, an extended client sends the packet on its next socket, but
        // for a plain client it is lost.
        if is_ready || is_extended {
            self.sessions[session].sent.push(packet);
        }
    }

    fn packet(&self, slot: u8, packet: ClientPacket) -> Option<Packet> {
        let room = |number: u8| ROOMS[usize::from(number) % ROOMS.len()];
        let bare = PacketRef::default();
        Some(match packet {
            ClientPacket::Join(number) => PacketRef { room: room(number), event: "join", ..bare },
            ClientPacket::Leave(number) => PacketRef { room: room(number), event: "leave", ..bare },
            ClientPacket::ToRoom { room: number, len } => {
                let payload = noise(slot, len.into());
                PacketRef { room: room(number), event: "chat", payload, ..bare }
            }
            ClientPacket::Outside => PacketRef { room: "outside", event: "chat", ..bare },
            ClientPacket::ToPeer { slot: to, len } => {
                let to = self.devices[usize::from(to) % SLOTS].session?;
                let (dst, payload) = (text(self.sessions[to].id), noise(slot, len.into()));
                PacketRef { room: "root", event: "chat", dst, payload, ..bare }
            }
            ClientPacket::Forge(room_number)
                if !self.devices[usize::from(slot) % SLOTS].is_extended =>
            {
                PacketRef { room: room(room_number), event: "roomer:reply", ..bare }
            }
            ClientPacket::Forge(_) => return None,
            ClientPacket::Call(number) => {
                let event = SCRIPTS[usize::from(number) % SCRIPTS.len()].0;
                PacketRef { room: "root", event, payload: noise(slot, 3), ..bare }
            }
        })
    }

    /// Sends an acknowledgement of the packets that a client has received, or a wrong
    /// acknowledgement.
    pub fn acknowledge(&mut self, slot: u8, kind: AckKind) {
        let device = &mut self.devices[usize::from(slot) % SLOTS];
        let (Some(session), Some(at)) = (device.session, device.socket) else { return };
        let (session, socket) = (&self.sessions[session], &mut self.sockets[at]);
        if !device.is_extended || !socket.is_ready() {
            return;
        }
        // After a rewind, the client has processed fewer packets than it had acknowledged.
        let honest = session.read_to.max(device.acked);
        let count = match kind {
            AckKind::Late(by) => honest.saturating_sub(by.into()).max(device.acked),
            AckKind::Beyond => session.total() + 1000,
            AckKind::Back => device.acked.saturating_sub(1),
            _ => honest,
        };
        let is_honest = matches!(kind, AckKind::Honest | AckKind::Late(_) | AckKind::Requesting);
        let times = if let AckKind::Flood(times) = kind { times } else { 1 };
        for _ in 0..times {
            match kind {
                AckKind::Garbage => socket.send_ack(&format!("0{count}x"), false),
                _ => socket.send_ack(&count.to_string(), kind == AckKind::Requesting),
            }
        }
        if is_honest {
            device.acked = count;
        }
    }
}
