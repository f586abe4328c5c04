//! Runs a plan on the real hub, and compares the actions of each input with the model.

use roomer_hub::{Action, Answer, Command, ConnKey, HashKey, Hub, Input, PeerKey};
use roomer_proto::extended::{ErrorCode, MEMBERS};
use roomer_proto::{MEMBER_LEFT, NEW_MEMBER, PacketRef};

use super::marks::Mark;
use super::model::{Message, Model};
use super::plan::{Dst, HANDLED, Party, Plan, REQUESTS, Step, guest};
use crate::alphabet::{IDS, identity, tag};
use crate::fault::{Fault, caught, ensure};
use crate::simulation::Outcome;
use crate::trace::Trace;

/// The number of inputs between two audits of the tables.
const AUDIT_INTERVAL: u64 = 4;

const SLOTS: usize = 32;

/// The code with which the application closes connections.
const CODE: u16 = 4000;

struct Run {
    hub: Hub,
    model: Model,
    keys: Vec<ConnKey>,
    /// For each slot, the latest client in it.
    slots: [Option<usize>; SLOTS],
    answers: u8,
    trace: Trace,
    steps: u64,
}

/// Runs a plan.
pub fn run(plan: &Plan) -> Outcome {
    let hub = Hub::new(plan.config(), HashKey([7; 16]));
    let (keys, slots, answers) = (Vec::new(), [None; SLOTS], plan.answers);
    let (model, trace) = (Model::new(plan), Trace::new());
    let mut run = Run { hub, model, keys, slots, answers, trace, steps: 0 };
    let fault = caught(|| run.all(plan)).err();
    let (steps, hash, marks) = (run.steps, run.trace.hash(), run.model.marks.0);
    Outcome { steps, hash, marks, fault: fault.map(|Fault(what)| what) }
}

impl Run {
    fn all(&mut self, plan: &Plan) -> Result<(), Fault> {
        for event in REQUESTS {
            ensure!(self.hub.register_request(event).is_ok(), "{event} is not registered");
        }
        ensure!(self.hub.register(HANDLED).is_ok(), "{HANDLED} is not registered");
        self.input(Input::PeerUp { peer: PeerKey::new(0), tag: tag(0) })?;
        for (at, step) in plan.steps.iter().enumerate() {
            let stepped = self.step(*step);
            stepped.map_err(|Fault(what)| Fault::new(format!("step {at}, {step:?}: {what}")))?;
        }
        // After all clients have left, no request may remain.
        for client in 0..self.keys.len() {
            self.model.gone(client);
            self.input(Input::Gone { conn: self.keys[client] })?;
        }
        let left = self.hub.tables().exchange_count();
        ensure!(left == 0 && self.model.is_idle(), "{left} connections with requests");
        Ok(())
    }

    fn in_slot(&self, slot: u8) -> Option<usize> {
        self.slots[usize::from(slot)]
    }

    fn id(&self, who: Party) -> &'static str {
        match who {
            Party::Server => "",
            Party::Slot(slot) => {
                self.in_slot(slot).map_or("nobody", |at| self.model.clients[at].id)
            }
            Party::Guest(number) => guest(number),
            Party::Unknown => &identity(IDS as u16 - 1).text,
        }
    }

    fn dst(&self, dst: Dst) -> String {
        match dst {
            Dst::Nothing => String::new(),
            Dst::Id(who) => self.id(who).to_owned(),
            Dst::Tagged(who, tag) => format!("{}:{tag}", self.id(who)),
        }
    }

    fn step(&mut self, step: Step) -> Result<(), Fault> {
        // Call the model first in each case: `input` compares the hub's actions with the lines that
        // the model expects.
        match step {
            Step::Open { slot, extended } => self.open(slot, extended),
            Step::Gone { slot } => {
                let Some(client) = self.in_slot(slot) else { return Ok(()) };
                self.model.gone(client);
                self.input(Input::Gone { conn: self.keys[client] })
            }
            Step::Packet { slot, room, event, dst } => {
                let Some(client) = self.in_slot(slot) else { return Ok(()) };
                let message = Message { room, event, dst: self.dst(dst) };
                self.model.packet(client, &message, false);
                let packet = packet(&message);
                self.input(Input::Packet { conn: self.keys[client], packet })?;
                self.decide()
            }
            Step::Acknowledge { slot } => {
                let Some(client) = self.in_slot(slot) else { return Ok(()) };
                self.model.report_rest(client, Mark::ToldBeforeAck);
                self.input(Input::Acknowledge { conn: self.keys[client] })
            }
            Step::Close { slot }
            | Step::Answer { slot, .. }
            | Step::Request { slot }
            | Step::Withdraw { slot, .. } => {
                let Some(client) = self.in_slot(slot) else { return Ok(()) };
                self.command(client, step)
            }
            Step::Peer { event, src, dst } => {
                let (src, dst) = (self.id(src), self.dst(dst));
                self.model.peer(event, src, &dst);
                let packet = PacketRef { room: "root", event, dst: &dst, src, payload: b"?" };
                self.input(Input::PeerDirect { peer: PeerKey::new(0), packet })
            }
            Step::Clock { millis } => {
                self.model.now += std::time::Duration::from_millis(millis.into());
                Ok(())
            }
        }
    }

    fn open(&mut self, slot: u8, extended: bool) -> Result<(), Fault> {
        if self.in_slot(slot).is_some_and(|at| self.model.clients[at].open) {
            return Ok(());
        }
        let identity = identity(self.keys.len() as u16);
        self.slots[usize::from(slot)] = Some(self.keys.len());
        self.model.open(&identity.text, extended);
        self.input(Input::Open { id: identity.id, extended })?;
        // `line` omits the action that contains the new connection's key, so look it up.
        let key = self.hub.tables().find_conn(&identity.text);
        ensure!(key.is_some(), "{} is not open", identity.text);
        self.keys.extend(key);
        Ok(())
    }

    /// Executes a step in which the application gives the hub a command about a client.
    fn command(&mut self, client: usize, step: Step) -> Result<(), Fault> {
        let conn = self.keys[client];
        match step {
            Step::Close { .. } => {
                self.model.close(client, &format!("{CODE} bye"));
                self.input(Input::Command(Command::Close { conn, code: CODE, reason: "bye" }))
            }
            Step::Answer { tag, is_error, .. } => {
                self.model.answer(client, tag, is_error);
                let dst = format!(":{tag}");
                let answer = match is_error {
                    false => Answer::Reply(b"42"),
                    true => Answer::Error { code: ErrorCode::Failed, message: "no" },
                };
                let answer = Command::Answer { conn, room: "root", dst: &dst, answer };
                self.input(Input::Command(answer))
            }
            Step::Request { .. } => {
                let number = self.model.next;
                self.model.request(client);
                let (room, event, payload) = ("root", "where", &b"?"[..]);
                self.input(Input::Command(Command::Request { conn, number, room, event, payload }))
            }
            Step::Withdraw { ago, .. } => {
                let Some(number) = self.model.next.checked_sub(u64::from(ago) + 1) else {
                    return Ok(());
                };
                self.model.withdraw(client, number);
                self.input(Input::Command(Command::Withdraw { conn, number }))
            }
            _ => Ok(()),
        }
    }

    /// Passes the application's decision to the hub, if a question is pending.
    fn decide(&mut self) -> Result<(), Fault> {
        let Some((client, message)) = self.model.question.take() else { return Ok(()) };
        self.answers = self.answers.rotate_left(1);
        let (conn, packet) = (self.keys[client], packet(&message));
        // Each decision consumes one bit of the plan's answers, which are reused in a cycle.
        if self.answers & 1 == 0 {
            self.model.denied(client, &message);
            return self.input(Input::Denied { conn, packet });
        }
        self.model.packet(client, &message, true);
        self.input(Input::Allowed { conn, packet })
    }

    /// Passes an input to the hub, and compares the resulting lines with the model's.
    fn input(&mut self, input: Input<'_>) -> Result<(), Fault> {
        self.steps += 1;
        let actions = self.hub.handle(self.model.now, input);
        let keys = &self.keys;
        let lines: Vec<String> = actions.filter_map(|it| line(keys, &it)).collect();
        let expected = std::mem::take(&mut self.model.lines);
        ensure!(lines == expected, "the hub's lines are {lines:#?}, not {expected:#?}");
        lines.iter().for_each(|line| self.trace.bytes(line.as_bytes()));
        if self.steps.is_multiple_of(AUDIT_INTERVAL) {
            let audit = self.hub.tables().audit();
            ensure!(audit.is_ok(), "{audit:?}");
        }
        for (name, count) in self.hub.rejected_packets().iter() {
            let expected = self.model.rejected.get(name).copied().unwrap_or_default();
            ensure!(count == expected, "{count} packets are rejected as {name}, not {expected}");
        }
        for (name, count) in self.hub.rejected_peer_inputs().iter() {
            let expected = self.model.rejected_of_peer.get(name).copied().unwrap_or_default();
            ensure!(count == expected, "{count} of the peer as {name}, not {expected}");
        }
        let numbers = self.hub.tables().server_requests();
        ensure!(numbers == self.model.numbers.len(), "{numbers} requests of the server");
        Ok(())
    }
}

fn packet(message: &Message) -> PacketRef<'_> {
    let Message { room, event, dst } = message;
    // The hub must replace this value with the client's id.
    PacketRef { room, event, dst, src: "forged", payload: b"?" }
}

/// Formats an action as an output line. Returns `None` for actions about memberships.
fn line(keys: &[ConnKey], action: &Action<'_>) -> Option<String> {
    // The lines contain clients' numbers, because the model does not use keys.
    let name = |conn: ConnKey| keys.iter().position(|key| *key == conn).unwrap_or(keys.len());
    let fields =
        |of: &PacketRef<'_>| format!("{:?}", [of.room, of.event, of.dst, of.src, &text(of)]);
    Some(match action {
        Action::Send { to, packet } => format!("c{}: {}", name(*to), fields(packet)),
        Action::Forward { packet, .. } => format!("peer: {}", fields(packet)),
        Action::Broadcast { packet, .. } | Action::Count { packet, .. }
            if [MEMBERS, MEMBER_LEFT, NEW_MEMBER].contains(&packet.event) =>
        {
            return None;
        }
        Action::Broadcast { packet: of, .. } => format!("all: {} {} {}", of.room, of.event, of.src),
        Action::Call { conn, packet, .. } => format!("call c{} {}", name(*conn), packet.event),
        Action::Request { conn, handler, packet: of } => {
            let (handler, conn) = (handler.index(), name(*conn));
            format!("request {handler} c{conn} {} {} {}", of.room, of.dst, of.src)
        }
        Action::Answered { request, is_error, packet: of } => {
            format!("answered {request} {is_error} {} {} {}", of.room, of.dst, of.src)
        }
        Action::Unanswered { request, code } => format!("unanswered {request} {code}"),
        Action::Authorize { conn, permission, .. } => {
            format!("authorize {permission:?} c{}", name(*conn))
        }
        Action::Close { conn, code, reason } => format!("close c{} {code} {reason}", name(*conn)),
        _ => return None,
    })
}

/// Formats a payload. For an error from the server, only the code and the names in it are shown.
fn text(packet: &PacketRef<'_>) -> String {
    let text = String::from_utf8_lossy(packet.payload).into_owned();
    let (text, more) = match text.split_once(",\"more\":") {
        Some((text, more)) => (format!("{text}}}"), format!(" and {}", more.trim_end_matches('}'))),
        None => (text, String::new()),
    };
    let parts: Vec<&str> = text.split('"').collect();
    match parts[..] {
        ["{", "code", ":", code, ",", "message", ":", _, "}"] => code.into(),
        [
            "{",
            "code",
            ":",
            code,
            ",",
            "message",
            ":",
            _,
            ",",
            "room",
            ":",
            room,
            ",",
            "event",
            ":",
            event,
            "}",
        ] => format!("{code} {room} {event}{more}"),
        _ => text,
    }
}
