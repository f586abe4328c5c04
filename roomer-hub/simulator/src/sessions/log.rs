//! Compares the log of the application's actions and the hub's inputs with the model.

use std::time::Duration;

use roomer_engine::RecordedInput;
use roomer_hub::ConnKey;
use roomer_proto::extended::PREFIX;

use super::application::{Action, Event, SCRIPTS, Script, millis, text};
use super::harness::Harness;
use super::item::{Item, What, hello, token};
use super::marks::Mark;
use super::session::{Packet, Place, Session};
use super::socket::{Meaning, Phase};
use crate::alphabet::id_number;
use crate::fault::{Fault, ensure};
use crate::hub::op::{Effect, Op};
use crate::server::expected::{Order, Output};

/// The entries that must follow in the log.
#[derive(Clone, Copy, Debug, Default)]
struct Due {
    call: Option<(u16, Script)>,
    action: Option<(u16, Action)>,
}

impl Harness<'_> {
    /// Checks the entries that were added to the log since the last poll.
    pub fn check_log(&mut self, log: &[Event], polled: Option<usize>) -> Result<(), Fault> {
        let mut due = Due::default();
        for event in log {
            if let Event::Input(input) = *event {
                // A message's handler must be called before the hub gets another input.
                ensure!(due.call.is_none(), "a handler was not called: {due:?}");
                match due.action.take() {
                    Some((by, action)) => self.check_action(by, action, input)?,
                    None => self.check_input(input, polled, &mut due)?,
                }
                continue;
            }
            self.check_event(*event, polled, &mut due)?;
        }
        ensure!(due.call.is_none() && due.action.is_none(), "left out: {due:?}");
        Ok(())
    }

    fn check_event(
        &mut self,
        event: Event,
        polled: Option<usize>,
        due: &mut Due,
    ) -> Result<(), Fault> {
        match event {
            Event::Input(_) => {}
            Event::Forgot { by } => {
                return Err(Fault::new(format!("what connection {by} stored is lost")));
            }
            Event::Called { by, script } => {
                let expected = due.call.take();
                ensure!(expected == Some((by, script)), "{event:?} instead of {expected:?}");
                if script.is_slow() {
                    let session = self.by_id(by)?;
                    self.sessions[session].pending = Some(None);
                    self.called = Some(session);
                }
            }
            Event::Waits { by, until } => {
                let session = self.by_id(by)?;
                let session = &mut self.sessions[session];
                ensure!(session.pending == Some(None), "{event:?}");
                session.pending = Some(Some(until));
            }
            Event::Acts { by, action } => {
                let now = self.now();
                let session = self.by_id(by)?;
                let session = &self.sessions[session];
                if let Some(Some(until)) = session.pending {
                    let keeper = Some(session.keeper);
                    self.marks.mark(session.is_away() && polled == keeper, Mark::HandlerAway);
                    // Other tasks of the application may act at any time. The handler itself may
                    // act only after it has waited.
                    let is_own = polled != keeper || now >= until || polled.is_none();
                    ensure!(is_own, "a handler acts before {until:?}");
                }
                due.action = Some((by, action));
            }
            Event::Returned { by } | Event::Dropped { by } => {
                let session = self.by_id(by)?;
                if let Event::Dropped { .. } = event {
                    self.marks.mark(true, Mark::HandlerDropped);
                    self.dropped.push(session);
                }
                if self.sessions[session].pending.take().is_some() {
                    self.completed = Some(session);
                    if let Some(at) = self.sessions[session].socket() {
                        // While the handler was pending, the server did not read, so the client's
                        // silence counts from now.
                        self.sockets[at].waited = self.clock.now();
                    }
                }
            }
            Event::Connected { by } | Event::Disconnected { by } => {
                let session = self.by_id(by)?;
                let hooks = &mut self.sessions[session].hooks;
                match event {
                    Event::Connected { .. } => hooks.0 += 1,
                    _ => hooks.1 += 1,
                }
            }
        }
        Ok(())
    }

    fn by_id(&self, id: u16) -> Result<usize, Fault> {
        let found = self.sessions.iter().rposition(|session| session.id == id);
        found.ok_or_else(|| Fault::new(format!("an unknown id: {id}")))
    }

    pub(super) fn by_key(&self, key: ConnKey) -> Result<usize, Fault> {
        let found = self.sessions.iter().rposition(|session| session.key == key);
        found.ok_or_else(|| Fault::new(format!("an unknown key: {key:?}")))
    }

    fn check_action(&mut self, by: u16, action: Action, input: RecordedInput) -> Result<(), Fault> {
        let session = self.by_id(by)?;
        let Session { key, client, .. } = self.sessions[session];
        let (expected, op) = match action {
            Action::ToRoom { room, payload } => {
                let (from, except_guest) = (Some(client), None);
                let event = "said";
                (
                    RecordedInput::Broadcast(Some(key)),
                    Op::Broadcast { from, except: from, except_guest, room, event, payload },
                )
            }
            Action::ToClient { payload } => {
                let (from, dst, event) = (None, text(by), "told");
                (RecordedInput::Send(None), Op::Send { from, dst, event, payload })
            }
            Action::Join(room) => (RecordedInput::Join(key), Op::Join { client, room }),
            Action::Leave(room) => (RecordedInput::Leave(key), Op::Leave { client, room }),
            Action::Close(code) => {
                ensure!(input == RecordedInput::Close(key, code), "{action:?} became {input:?}");
                self.keep_close(session, code);
                return self.close(session, code, "bye");
            }
        };
        ensure!(input == expected, "{action:?} became {input:?}");
        self.give(op)
    }

    fn check_input(
        &mut self,
        input: RecordedInput,
        polled: Option<usize>,
        due: &mut Due,
    ) -> Result<(), Fault> {
        match input {
            RecordedInput::Opened(key) => self.check_opened(key, polled),
            RecordedInput::Packet(key) => {
                let number = self.by_key(key)?;
                // The model may ignore this input, so clear the effects of the previous one.
                self.model.effects.clear();
                self.check_packet(number, polled)?;
                let calls = self.model.effects.iter().find_map(|effect| match effect {
                    Effect::Call { handler, .. } => Some(SCRIPTS[*handler].1),
                    _ => None,
                });
                due.call = calls.map(|script| (self.sessions[number].id, script));
                Ok(())
            }
            RecordedInput::Acknowledge(key) => {
                let number = self.by_key(key)?;
                let is_own = polled == Some(self.sessions[number].keeper);
                self.check_reported(number, is_own)
            }
            RecordedInput::Gone(key) => {
                let number = self.by_key(key)?;
                self.check_gone(number, polled)
            }
            RecordedInput::Close(key, code) => {
                let number = self.by_key(key)?;
                self.check_closed(number, code, polled)
            }
            RecordedInput::Away(key, is_away) => self.check_away(key, is_away, polled),
            other => Err(Fault::new(format!("an unexpected input: {other:?}"))),
        }
    }

    fn check_opened(&mut self, key: ConnKey, polled: Option<usize>) -> Result<(), Fault> {
        let at = polled.ok_or_else(|| Fault::new("opened outside a poll".into()))?;
        let (now, random, setup) = (self.now(), self.last_random(), self.plan.setup);
        let socket = &mut self.sockets[at];
        ensure!(socket.phase == Phase::Handshake && socket.has_asked(), "{at} opens twice");
        ensure!(!socket.request.is_denied, "a client is admitted that authorize rejects");
        let is_extended = socket.request.is_extended;
        // For an extended client, the id is drawn first, and then the secret of its session.
        let id = if is_extended { random - 1 } else { random };
        let number = self.sessions.len();
        let client = self.model.clients.len() as u16;
        let mut session = Session::new(key, client, id, is_extended, at);
        session.user = socket.request.user;
        let accepted = socket.accepted_at.unwrap_or(now);
        session.expires = (setup.valid_for > 0).then(|| accepted + millis(setup.valid_for));
        (socket.session, socket.phase, socket.is_counted) = (Some(number), Phase::Open, true);
        if is_extended {
            let token = token(id, random);
            socket.hello = Some(hello(&setup, &token, None, socket.request.user));
            if setup.window > 0 {
                session.tokens = vec![token.clone()];
                socket.token = Some(token);
            }
        }
        self.sessions.push(session);
        self.give(Op::Open { id })
    }

    fn check_packet(&mut self, number: usize, polled: Option<usize>) -> Result<(), Fault> {
        // Frames that the server has read together with the frame that closed the session are still
        // passed to the hub, which ignores them.
        let is_closed = !self.sessions[number].is_open();
        if let Some(at) = polled.filter(|at| is_closed && self.sessions[number].keeper == *at) {
            let skipped = &mut self.sockets[at].outgoing;
            while skipped.front().is_some_and(|sent| !matches!(sent.what, Meaning::Packet(_))) {
                skipped.pop_front();
            }
            ensure!(skipped.pop_front().is_some(), "a packet of a closed session");
            self.messages_in += 1;
            return Ok(());
        }
        let at = self.sessions[number].socket().filter(|at| Some(*at) == polled);
        let at = at.ok_or_else(|| Fault::new(format!("a packet of session {number}")))?;
        ensure!(self.sessions[number].pending.is_none(), "a packet while a handler is pending");
        ensure!(!self.settle(at), "a packet behind a violation");
        let now = self.now();
        let sent = self.sockets[at].outgoing.pop_front();
        let session = &mut self.sessions[number];
        let expected = session.handled;
        let is_next = sent.as_ref().is_some_and(|sent| {
            matches!(sent.what, Meaning::Packet(packet) if packet == expected)
                && sent.end <= self.sockets[at].read.0
        });
        ensure!(is_next, "{sent:?} is handled as packet {expected} of session {number}");
        let packet = session.sent[expected];
        session.on_handled(now, packet.encoded_len());
        self.messages_in += 1;
        let client = session.client;
        let before = self.model.rejected_packets;
        if packet.event.starts_with(PREFIX) {
            self.model.rejected_packets.reserved += 1;
            return Ok(());
        }
        self.give(Op::Packet { client, packet })?;
        let after = self.model.rejected_packets;
        let (code, message) = match () {
            () if after.not_member > before.not_member => ("refused", "not a member of the room"),
            () if after.unknown_dst > before.unknown_dst => ("gone", "the receiver does not exist"),
            () => return Ok(()),
        };
        self.expect_error(number, &packet, code, message);
        Ok(())
    }

    /// Passes an input to the model, and expects the output for its effects.
    fn give(&mut self, op: Op) -> Result<(), Fault> {
        let now = self.now();
        self.model.input(now, op);
        let effects = std::mem::take(&mut self.model.effects);
        let mut left = None;
        for effect in &effects {
            match *effect {
                Effect::Left { room, .. } => left = Some(room),
                Effect::JoinAck { to, room, members, presence, .. } => {
                    let id = text(self.model.clients[usize::from(to)].id);
                    let number = self.model.room(room).map_or(u32::MAX, |room| room.number);
                    let output = Output::JoinAck { room, id, members, presence };
                    let what = match self.is_extended(to) {
                        false => What::Plain(output),
                        true => {
                            let ids = self.sessions.iter().map(|session| session.id);
                            let ids = ids.filter(|&id| members.contains(id));
                            let members = ids.map(|id| self.entry(id)).collect();
                            let away = self.shown_away(room, to);
                            What::Members { room, id, members, away }
                        }
                    };
                    self.expect(now, to, Order::After(number), what);
                }
                Effect::Send { to, packet } => {
                    // As in the engine, a direct message follows all pending room messages to its
                    // receiver, and a `leave_ack` follows the pending messages of its room.
                    let order = match (packet.dst.is_empty(), left) {
                        (false, _) => Order::Barrier,
                        (true, Some(room)) => Order::After(room),
                        (true, None) => Order::Direct,
                    };
                    self.expect(now, to, order, What::Plain(Output::Packet(packet)));
                }
                Effect::Broadcast { room, to, packet, .. } => {
                    for client in 0..self.model.clients.len() {
                        if to.contains(self.model.clients[client].id) {
                            let what = match self.is_extended(client as u16) {
                                true => self.change(packet),
                                false => What::Plain(Output::Packet(packet)),
                            };
                            self.expect(now, client as u16, Order::Room(room), what);
                        }
                    }
                }
                Effect::Rejected => return Err(Fault::new("a duplicate id".into())),
                _ => {}
            }
        }
        self.model.effects = effects;
        Ok(())
    }

    pub(super) fn is_extended(&self, client: u16) -> bool {
        self.sessions
            .iter()
            .rfind(|session| session.client == client)
            .is_some_and(|s| s.is_extended)
    }

    /// Returns the entry of a connection in a member list with info.
    fn entry(&self, id: u16) -> String {
        let user = self.sessions.iter().rfind(|session| session.id == id).map_or(0, |s| s.user);
        match user {
            0 => format!("[\"{}\",null]", text(id)),
            user => format!("[\"{}\",null,\"u{user}\"]", text(id)),
        }
    }

    /// Returns a membership notice in the form that extended clients receive.
    fn change(&self, packet: Packet) -> What {
        let about = id_number(packet.payload).unwrap_or_default();
        let payload = match packet.event {
            "new_member" => {
                let id = format!("\"{}\"", text(about));
                let is_away = self.shown_away(packet.room, u16::MAX).contains(&id);
                let away = if is_away { format!(",\"away\":[{id}]") } else { String::new() };
                format!("{{\"joined\":[{}]{away}}}", self.entry(about))
            }
            "member_left" => format!("{{\"left\":[\"{}\"]}}", text(about)),
            _ => return What::Plain(Output::Packet(packet)),
        };
        What::Extended { room: packet.room, event: "roomer:members", payload }
    }

    pub(super) fn expect(&mut self, now: Duration, client: u16, order: Order, what: What) {
        let buffer = self.plan.setup.buffer;
        let session = self.sessions.iter_mut().rfind(|session| session.client == client);
        if let Some(session) = session {
            self.marks.mark(session.is_away(), Mark::MissedWhileAway);
            session.expect(Item { order, at: now, what }, buffer);
            if let Place::Socket(at) = session.place {
                let outstanding = session.bytes_after(session.got.len());
                let socket = &mut self.sockets[at];
                socket.may_truncate |= outstanding > self.plan.setup.max_backlog.into();
            }
        }
    }

    /// Ends a session and expects a close frame.
    pub fn close(&mut self, number: usize, code: u16, reason: &'static str) -> Result<(), Fault> {
        if self.sessions[number].is_open() {
            self.expect_unreported(number);
        }
        let session = &mut self.sessions[number];
        let client = session.client;
        if let Place::Socket(at) = session.place {
            self.sockets[at].close = Some((code, reason));
            self.sockets[at].may_truncate |= code == 1013;
        }
        if session.is_open() {
            self.closed_by_server += 1;
        }
        session.place = Place::Ended;
        self.ended.push(number);
        self.give(Op::Close { client, code, reason: "" })
    }

    /// Ends a session without a close frame.
    pub fn end(&mut self, number: usize) -> Result<(), Fault> {
        let session = &mut self.sessions[number];
        let client = session.client;
        session.place = Place::Ended;
        self.ended.push(number);
        self.give(Op::Gone { client })
    }
}
