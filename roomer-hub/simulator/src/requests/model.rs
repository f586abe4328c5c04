//! The naive model of requests: flat lists that are searched from the start.
//!
//! It returns the output lines that each step must produce.

use std::collections::BTreeMap;
use std::time::Duration;

use super::marks::{Mark, Marks};
use super::plan::{HANDLED, MAX_NAME, MAX_ROOMS, Plan, REQUESTS};
use crate::alphabet::RESERVED;
use crate::hub::token_bucket::{Bucket, Quota, RateSpec};

/// The minimum age at which a pending request may be dropped in favour of a new one.
pub(super) const OVERDUE_AGE: Duration = Duration::from_secs(60);
const ERRORS: RateSpec = (16, 16);

#[derive(Debug)]
pub struct Client {
    pub id: &'static str,
    pub extended: bool,
    pub open: bool,
    rooms: Vec<&'static str>,
    /// The token buckets for messages, violations and errors.
    buckets: [Option<Bucket>; 3],
    /// The packets rejected without an error since the last error was sent: the error about the
    /// first of them, and their number.
    pub(super) unreported: Option<(String, u64)>,
}

/// A request from one client to another that has not been answered.
#[derive(Debug)]
pub(super) struct PendingRequest {
    pub(super) from: usize,
    pub(super) to: String,
    pub(super) tag: &'static str,
    pub(super) at: Duration,
}

/// A packet whose receiver is given as text.
#[derive(Clone, Debug)]
pub struct Message {
    pub room: &'static str,
    pub event: &'static str,
    pub dst: String,
}

/// The reason for rejecting a packet: the counter's name, the error code, and true if it counts as
/// a violation.
#[derive(Clone, Copy, Debug)]
pub struct Reason(pub &'static str, &'static str, bool);

const NO_HANDLER: Reason = Reason("no_handler", "unknown", true);
const NOT_MEMBER: Reason = Reason("not_member", "refused", false);
pub(super) const TOO_MANY: Reason = Reason("too_many_requests", "busy", true);
pub(super) const WRONG_TAG: Reason = Reason("wrong_tag", "invalid", true);
pub(super) const UNSOLICITED: Reason = Reason("unasked", "unknown", true);
pub(super) const LATE: Reason = Reason("late", "unknown", false);
pub(super) const UNKNOWN_DST: Reason = Reason("unknown_dst", "gone", false);
pub(super) const PLAIN: Reason = Reason("plain_receiver", "plain", false);
pub(super) const NOT_SHARED: Reason = Reason("no_shared_room", "refused", false);
pub(super) const RESERVED_EVENT: Reason = Reason("reserved", "refused", true);
pub(super) const LONG: Reason = Reason("long_name", "invalid", true);
const ROOMS: Reason = Reason("too_many_rooms", "refused", false);

#[derive(Debug)]
pub struct Model {
    pub(super) plan: Plan,
    pub now: Duration,
    pub clients: Vec<Client>,
    /// The requests to the server that have not been answered, each with its client and tag.
    pub(super) calls: Vec<(usize, &'static str)>,
    pub(super) pending: Vec<PendingRequest>,
    /// The requests by the server that have not been answered, each with its client and number.
    pub numbers: Vec<(usize, u64)>,
    /// The number that the server's next request will have.
    pub next: u64,
    /// The number of clients' packets that were rejected, by counter.
    pub rejected: BTreeMap<&'static str, u64>,
    /// The number of the peer's packets that were rejected, by counter.
    pub rejected_of_peer: BTreeMap<&'static str, u64>,
    /// The output lines that the last input must produce.
    pub lines: Vec<String>,
    /// The packet about which the application must still decide, with its client.
    pub question: Option<(usize, Message)>,
    pub marks: Marks,
}

/// Parses a tag. Returns `None` if the text is not a valid tag.
pub(super) fn tag_of(text: &str) -> Option<&'static str> {
    const KNOWN: [&str; 9] = ["0", "1", "2", "3", "4", "a", "B", "0123456789abcdef", "01"];
    KNOWN.into_iter().find(|known| *known == text)
}

pub(super) fn is_guest(id: &str) -> bool {
    id.starts_with("b0b0b0")
}

impl Model {
    pub fn new(plan: &Plan) -> Self {
        Model {
            plan: Plan { steps: Vec::new(), ..plan.clone() },
            now: Duration::from_secs(1000),
            clients: Vec::new(),
            calls: Vec::new(),
            pending: Vec::new(),
            numbers: Vec::new(),
            next: 0,
            rejected: BTreeMap::new(),
            rejected_of_peer: BTreeMap::new(),
            lines: Vec::new(),
            question: None,
            marks: Marks::default(),
        }
    }

    pub(super) fn mark(&mut self, mark: Mark) {
        self.marks.mark(true, mark);
    }

    /// Returns true if no request is pending.
    pub fn is_idle(&self) -> bool {
        self.calls.is_empty() && self.pending.is_empty() && self.numbers.is_empty()
    }

    pub(super) fn count(&mut self, name: &'static str) {
        *self.rejected.entry(name).or_default() += 1;
    }

    pub(super) fn count_of_peer(&mut self, name: &'static str) {
        *self.rejected_of_peer.entry(name).or_default() += 1;
    }

    pub(super) fn find(&self, id: &str) -> Option<usize> {
        self.clients.iter().position(|client| client.open && client.id == id)
    }

    fn take(&mut self, client: usize, bucket: usize, rate: Option<RateSpec>) -> bool {
        let (now, slot) = (self.now, &mut self.clients[client].buckets[bucket]);
        rate.is_none_or(|rate| Bucket::take(slot, Quota::Messages, rate, now, 1).is_granted())
    }

    pub(super) fn send(&mut self, to: usize, packet: [&str; 5]) {
        self.lines.push(format!("c{to}: {packet:?}"));
    }

    pub fn open(&mut self, id: &'static str, extended: bool) {
        let rooms = vec!["root"];
        let (open, buckets, unreported) = (true, [None; 3], None);
        self.clients.push(Client { id, extended, open, rooms, buckets, unreported });
    }

    pub fn packet(&mut self, client: usize, message: &Message, is_allowed: bool) {
        if !self.clients[client].open {
            return;
        }
        if !is_allowed && !self.take(client, 0, self.plan.message_rate) {
            self.count("rate");
            if self.clients[client].extended {
                self.mark(Mark::RateTold);
            }
            self.report(client, message, "busy");
            return self.close(client, "1008 rate");
        }
        let Err(reason) = self.rules(client, message, is_allowed) else { return };
        self.reject(client, message, reason);
    }

    fn reject(&mut self, client: usize, message: &Message, reason: Reason) {
        let Reason(counter, code, is_violation) = reason;
        self.count(counter);
        if is_violation || !message.event.starts_with("roomer:") {
            self.report(client, message, code);
        }
        if is_violation && !self.take(client, 1, self.plan.violation_rate) {
            self.count("violations");
            self.mark(Mark::Violations);
            self.close(client, "1008 too many violations");
        }
    }

    /// Reports the rejection of a packet to its sender, if that is an extended client.
    fn report(&mut self, client: usize, message: &Message, code: &str) {
        let Client { extended, id, .. } = self.clients[client];
        if !extended {
            return self.mark(Mark::PlainSilent);
        }
        let Message { room, event, dst } = message;
        let is_request = !matches!(*event, "join" | "leave") && !event.starts_with("roomer:");
        let tag = dst.split_once(':').filter(|_| is_request);
        if let Some((to, tag)) = tag.and_then(|(to, tag)| Some((to, tag_of(tag)?))) {
            let dst = format!("{}:{tag}", if to.is_empty() { "" } else { id });
            let room = if room.len() > MAX_NAME { "root" } else { room };
            return self.send(client, [room, "roomer:error", &dst, "", code]);
        }
        let cut = |name: &'static str| &name[..name.len().min(MAX_NAME)];
        let mut text = format!("{code} {} {}", cut(room), cut(event));
        if !self.take(client, 2, Some(ERRORS)) {
            self.clients[client].unreported.get_or_insert((text, 0)).1 += 1;
            return self.mark(Mark::Unreported);
        }
        self.mark(Mark::RejectionError);
        if let Some((_, count)) = self.clients[client].unreported.take() {
            self.mark(Mark::CountedError);
            text += &format!(" and {count}");
        }
        // If a join is rejected, the error must precede the `leave_ack`, so that the client knows
        // the reason when it leaves.
        let leave_ack = self.lines.pop_if(|line| line.contains("leave_ack"));
        self.marks.mark(leave_ack.is_some(), Mark::JoinError);
        self.send(client, ["root", "roomer:error", "", "", &text]);
        self.lines.extend(leave_ack);
    }

    /// Reports the packets that were rejected without an error, if there are any.
    pub fn report_rest(&mut self, client: usize, mark: Mark) {
        let Some((mut text, count)) = self.clients[client].unreported.take() else { return };
        self.mark(mark);
        if count > 1 {
            text += &format!(" and {}", count - 1);
        }
        self.send(client, ["root", "roomer:error", "", "", &text]);
    }

    fn rules(&mut self, client: usize, message: &Message, is_allowed: bool) -> Result<(), Reason> {
        let Message { room, event, dst } = message;
        let (id, rooms) = (self.clients[client].id, &mut self.clients[client].rooms);
        match *event {
            "join" if rooms.contains(room) => return Ok(()),
            "join" if room.len() > MAX_NAME || rooms.len() >= MAX_ROOMS => {
                self.send(client, [room, "leave_ack", "", id, id]);
                return Err(if room.len() > MAX_NAME { LONG } else { ROOMS });
            }
            "join" => {
                rooms.push(room);
                return Ok(());
            }
            "leave" => {
                rooms.retain(|other| other != room);
                self.send(client, [room, "leave_ack", "", id, id]);
                return Ok(());
            }
            "roomer:reply" | "roomer:error" => return self.client_answers(client, message),
            _ if RESERVED.contains(event) || event.starts_with("roomer:") => {
                return Err(RESERVED_EVENT);
            }
            _ => {}
        }
        if room.len().max(event.len()) > MAX_NAME {
            return Err(LONG);
        }
        if dst.is_empty() {
            return self.room_message(client, message, is_allowed);
        }
        let Some((to, tag)) = dst.split_once(':').filter(|_| self.clients[client].extended) else {
            self.marks.mark(dst.contains(':'), Mark::PlainAsker);
            return self.direct(client, message, dst, is_allowed);
        };
        let Some(tag) = tag_of(tag) else {
            self.mark(Mark::NoTag);
            return Err(WRONG_TAG);
        };
        match to {
            "" => self.call(client, message, tag, is_allowed),
            _ => self.ask(client, message, (to, tag), is_allowed),
        }
    }

    pub(super) fn ask_application(&mut self, client: usize, message: &Message, about: &str) {
        self.lines.push(format!("authorize {about} c{client}"));
        self.question = Some((client, message.clone()));
    }

    fn room_message(
        &mut self,
        client: usize,
        message: &Message,
        is_allowed: bool,
    ) -> Result<(), Reason> {
        let Message { room, event, .. } = message;
        if !self.clients[client].rooms.contains(room) {
            return Err(NOT_MEMBER);
        }
        if self.plan.authorize[0] && !is_allowed {
            self.ask_application(client, message, "Publish");
        } else if *event == HANDLED {
            self.lines.push(format!("call c{client} {event}"));
        } else {
            self.lines.push(format!("all: {room} {event} {}", self.clients[client].id));
        }
        Ok(())
    }

    pub(super) fn shares(&self, one: usize, other: usize) -> bool {
        let rooms = &self.clients[other].rooms;
        let is_shared = |room: &&str| *room != "root" && rooms.contains(room);
        one == other || self.clients[one].rooms.iter().any(is_shared)
    }

    fn direct(
        &mut self,
        client: usize,
        message: &Message,
        to: &str,
        is_allowed: bool,
    ) -> Result<(), Reason> {
        let Message { room, event, dst } = message;
        let receiver = self.find(to);
        match receiver {
            None if !is_guest(to) || to.contains(':') || self.plan.shared_room_only => {
                return Err(UNKNOWN_DST);
            }
            Some(other) if self.plan.shared_room_only && !self.shares(client, other) => {
                return Err(NOT_SHARED);
            }
            _ => {}
        }
        if self.plan.authorize[1] && !is_allowed {
            self.ask_application(client, message, "Direct");
            return Ok(());
        }
        let id = self.clients[client].id;
        match receiver {
            Some(receiver) => self.send(receiver, [room, event, dst, id, "?"]),
            None => self.lines.push(format!("peer: {:?}", [room, event, dst.as_str(), id, "?"])),
        }
        Ok(())
    }

    /// Predicts the output lines for a client's request to the server.
    fn call(
        &mut self,
        client: usize,
        message: &Message,
        tag: &'static str,
        is_allowed: bool,
    ) -> Result<(), Reason> {
        let Message { room, event, dst } = message;
        let own = self.calls.iter().filter(|call| call.0 == client);
        if own.clone().any(|call| call.1 == tag) {
            self.mark(Mark::TagInUse);
            return Err(WRONG_TAG);
        }
        if own.count() >= self.plan.max_requests {
            self.mark(Mark::Busy);
            return Err(TOO_MANY);
        }
        if !self.clients[client].rooms.contains(room) {
            self.mark(Mark::NotMember);
            return Err(NOT_MEMBER);
        }
        let Some(handler) = REQUESTS.iter().position(|known| known == event) else {
            self.mark(Mark::Unknown);
            return Err(NO_HANDLER);
        };
        if self.plan.authorize[0] && !is_allowed {
            self.ask_application(client, message, "Publish");
            return Ok(());
        }
        self.mark(Mark::Called);
        self.calls.push((client, tag));
        let id = self.clients[client].id;
        self.lines.push(format!("request {handler} c{client} {room} {dst} {id}"));
        Ok(())
    }

    /// Predicts the output lines for a packet that the application rejects.
    pub fn denied(&mut self, client: usize, message: &Message) {
        if !self.clients[client].open {
            return;
        }
        self.count("by_application");
        let mark = if message.dst.contains(':') { Mark::RequestDenied } else { Mark::ToldDenied };
        self.mark(mark);
        self.report(client, message, "refused");
    }
}
