//! Runs a plan, and checks the client after each of its steps.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic in a simulation is reported as a fault"
)]

use std::mem::take;
use std::time::Duration;

use roomer_proto::client::{
    Action, Address, Client, Closing, Event, Failure, LostReason, Options, Request, RequestId,
    SendError, State,
};
use roomer_proto::extended::Info;

use super::answers::CLOSES;
use super::check::{Application, Submitted};
use super::hostile;
use super::marks::{Mark, Marks};
use super::plan::{Plan, ROOMS, Server, Step};
use super::server::{ScriptedServer, other_id};
use crate::fault::{Fault, caught, ensure};
use crate::random::{Random, Source};
use crate::simulation::Outcome;
use crate::trace::Trace;

const QUEUE_BYTES: usize = 4096;
const MAX_MESSAGE: usize = 64 * 1024;

/// The maximum number of rounds at one point in time. More rounds mean an endless loop.
const MAX_ROUNDS: usize = 2_000;

pub(super) struct Run<'p> {
    pub(super) plan: &'p Plan,
    pub(super) now: Duration,
    random: Random,
    pub(super) client: Client,
    pub(super) server: ScriptedServer,
    /// The bytes that the client has sent and that have not reached the server.
    in_flight: Vec<u8>,
    is_connected: bool,
    pub(super) is_up: bool,
    pub(super) is_stalled: bool,
    pub(super) app: Application,
    open_requests: Vec<Request>,
    requested: Vec<RequestId>,
    /// For each message that the client has received, in order: the room and the text.
    pub(super) received: Vec<(String, String)>,
    marks: Marks,
    trace: Trace,
}

/// Runs a plan.
pub fn run(plan: &Plan) -> Outcome {
    let mut options = Options::default();
    options.extended = plan.is_extended;
    options.min_delay = Duration::from_millis(100);
    options.max_delay = Duration::from_secs(2);
    options.retries = plan.retries;
    options.queue_messages = 8;
    options.queue_bytes = QUEUE_BYTES;
    options.max_message = MAX_MESSAGE;
    let greets = plan.server != Server::Hostile || !plan.seed.is_multiple_of(3);
    let mut run = Run {
        plan,
        now: Duration::from_secs(1),
        random: Random::new(plan.seed),
        client: Client::new(options),
        server: ScriptedServer::new(plan.server, greets),
        in_flight: Vec::new(),
        is_connected: false,
        is_up: true,
        is_stalled: false,
        app: Application::default(),
        open_requests: Vec::new(),
        requested: Vec::new(),
        received: Vec::new(),
        marks: Marks::default(),
        trace: Trace::new(),
    };
    let fault = caught(|| run.all()).err();
    Outcome {
        steps: plan.steps.len() as u64,
        hash: run.trace.hash(),
        marks: run.marks.0,
        fault: fault.map(|Fault(what)| what),
    }
}

impl Run<'_> {
    fn all(&mut self) -> Result<(), Fault> {
        self.settle()?;
        for step in &self.plan.steps {
            self.step(*step)?;
            self.settle()?;
        }
        self.finish()
    }

    fn step(&mut self, step: Step) -> Result<(), Fault> {
        match step {
            Step::Handle(most) => {
                self.server.handle(most)?;
            }
            Step::Reject(room, is_rejected) => self.server.reject(room, is_rejected),
            Step::Kick(room) => {
                let is_leaving = !self.client.rooms().any(|name| name == ROOMS[room]);
                let was_in = self.server.kick(room);
                self.marks.mark(was_in && is_leaving, Mark::KickedWhileLeaving);
            }
            Step::Move(room) => {
                self.marks.mark(!self.server.rooms().contains(ROOMS[room]), Mark::Moved);
                self.server.move_to(room);
            }
            Step::ToggleMember(room, other) => self.server.member(room, other),
            Step::PeerMessage(room) => self.server.send_message(room),
            Step::Ack => self.server.acknowledge(if self.random.one_in(2) { "?" } else { "" }),
            Step::Ping => self.server.ping(),
            Step::CloseWith(number) => {
                let (code, reason) = CLOSES[number];
                self.server.close(code, reason);
            }
            Step::End => self.server.end(),
            Step::Restart => self.server.restart(),
            Step::Respond(response) => self.server.respond(response),
            Step::Packet(fields) => hostile::packet(&mut self.server, fields),
            Step::Frame(number) => hostile::frame(&mut self.server, number),
            Step::Reachable(is_up) => self.is_up = is_up,
            Step::Stall(is_stalled) => self.is_stalled = is_stalled,
            Step::Advance(span) => self.advance(span)?,
            step => self.apply(step)?,
        }
        Ok(())
    }

    /// Applies a step of the plan to the client, the server or the network.
    fn apply(&mut self, step: Step) -> Result<(), Fault> {
        let (now, client) = (self.now, &mut self.client);
        let is_closed = matches!(client.state(), State::Closing | State::Closed);
        match step {
            Step::Join(room) => {
                let joined = client.join(now, ROOMS[room]);
                ensure!(joined.is_err() == is_closed, "join: {joined:?}");
            }
            Step::JoinWithHistory(room, last) => {
                let joined = client.join_with_history(now, ROOMS[room], last);
                ensure!(joined.is_err() == is_closed, "join: {joined:?}");
            }
            Step::Leave(room) => {
                self.app.left.insert(ROOMS[room].into());
                client.leave(now, ROOMS[room]);
            }
            Step::Send(room) => self.send(room, None)?,
            Step::SendTo(room) => self.send(room, Some(&other_id(0)))?,
            Step::Request { room, is_direct, limit } => {
                self.request(room, is_direct, Duration::from_millis(limit))?;
            }
            Step::Cancel => {
                if let Some(number) = self.requested.pop() {
                    client.cancel(number);
                    self.app.requests.remove(&number);
                }
            }
            Step::Reply | Step::Fail if self.open_requests.is_empty() => {}
            Step::Reply => self.answer(false)?,
            Step::Fail => self.answer(true)?,
            Step::Renew => {
                let _ = client.renew(now, "a new token");
            }
            Step::SetInfo => client.set_info(now, "{\"name\":\"ann\"}".parse::<Info>().ok()),
            Step::Wake => client.wake(now),
            Step::Close => {
                client.close(now);
                self.marks.mark(true, Mark::Closed);
            }
            _ => {}
        }
        Ok(())
    }

    fn request(&mut self, room: usize, is_direct: bool, limit: Duration) -> Result<(), Fault> {
        let to = other_id(0);
        let to = is_direct.then_some(&*to);
        let request = self.client.request(self.now, ROOMS[room], "question", to, b"?", limit);
        if let Ok(number) = request {
            ensure!(self.app.requests.insert(number), "{number:?} is used again");
            self.requested.push(number);
        }
        Ok(())
    }

    /// Answers the oldest open request.
    fn answer(&mut self, is_error: bool) -> Result<(), Fault> {
        let (now, client) = (self.now, &mut self.client);
        let request = self.open_requests.remove(0);
        let answer = match is_error {
            false => client.reply(now, &request, b"!"),
            true => client.fail(now, &request, "refused", "no"),
        };
        let again = client.reply(now, &request, b"!");
        ensure!(answer.is_err() || again == Err(SendError::NotAsked), "answered twice: {again:?}");
        Ok(())
    }

    fn send(&mut self, room: usize, to: Option<&str>) -> Result<(), Fault> {
        let text = format!("c{}", self.app.messages.len());
        let is_wished = self.client.rooms().any(|name| name == ROOMS[room]);
        match self.client.send(self.now, ROOMS[room], "chat", to, text.as_bytes()) {
            Ok(_) => {
                self.app.messages.push(Submitted { room, is_direct: to.is_some(), lost: None })
            }
            Err(error) => {
                let is_full = error == SendError::Full;
                self.marks.mark(is_full, Mark::Full);
                let is_closed = matches!(self.client.state(), State::Closing | State::Closed);
                let is_right =
                    is_full || is_closed || !is_wished || self.plan.server == Server::Hostile;
                ensure!(is_right, "not accepted: {error}");
            }
        }
        Ok(())
    }

    /// Exchanges bytes until neither side has anything left to do at this time.
    pub(super) fn settle(&mut self) -> Result<(), Fault> {
        for _ in 0..MAX_ROUNDS {
            if !self.exchange()? {
                return self.app.compare(&self.client);
            }
        }
        Err(Fault::new("the client does not come to rest".into()))
    }

    /// Advances the clock by `span`. Stops at each deadline of the client, and exchanges bytes
    /// there.
    pub(super) fn advance(&mut self, span: Duration) -> Result<(), Fault> {
        let end = self.now + span;
        for _ in 0..MAX_ROUNDS {
            self.settle()?;
            let due = self.client.deadline(self.now);
            ensure!(due.is_none_or(|due| due > self.now), "the deadline {due:?} is over");
            self.now = due.unwrap_or(end).min(end);
            if self.now == end {
                return self.settle();
            }
        }
        Err(Fault::new(format!("too many deadlines within {span:?}")))
    }

    /// Moves some bytes in both directions. Returns true if anything happened.
    fn exchange(&mut self) -> Result<bool, Fault> {
        let mut has_moved = false;
        while let Some(need) = {
            let random = self.random.next_u64();
            self.client.poll(self.now, random)
        } {
            has_moved = true;
            match need {
                Action::Connect if self.is_up => {
                    ensure!(!self.is_connected, "a second connection");
                    let address: Address = "ws://test/ws".parse().unwrap();
                    self.client.connected(&address, [7; 16]);
                    self.server.connect();
                    self.is_connected = true;
                    self.in_flight.clear();
                }
                Action::Connect => self.client.failed(self.now, "it is down"),
                Action::Disconnect => {
                    self.transmit();
                    self.server.receive(&mut take(&mut self.in_flight))?;
                    self.drop_connection();
                }
                _ => unreachable!(),
            }
            self.events()?;
        }
        if !self.is_stalled {
            has_moved |= self.transmit();
            has_moved |= self.upstream()?;
        }
        has_moved |= self.downstream();
        self.events()?;
        let held = self.client.held();
        ensure!(held <= 8 * QUEUE_BYTES + 2 * MAX_MESSAGE, "the client holds {held} bytes");
        Ok(has_moved)
    }

    fn transmit(&mut self) -> bool {
        let random = &mut self.random;
        let key = &mut || (random.next_u64() as u32).to_be_bytes();
        self.client.transmit(self.now, &mut self.in_flight, key)
    }

    /// Delivers some of the client's bytes to the server. Returns true if there were any.
    fn upstream(&mut self) -> Result<bool, Fault> {
        if self.in_flight.is_empty() || !self.is_connected {
            return Ok(false);
        }
        let most = self.in_flight.len();
        let size =
            if self.random.one_in(2) { most } else { 1 + self.random.below(most as u32) as usize };
        let mut bytes: Vec<u8> = self.in_flight.drain(..size).collect();
        self.client.progressed(self.now);
        self.server.receive(&mut bytes)?;
        Ok(true)
    }

    /// Delivers some of the server's bytes to the client. The end of the stream follows the last
    /// byte.
    fn downstream(&mut self) -> bool {
        let Some((out, is_ended)) = self.server.out().filter(|_| self.is_connected) else {
            return false;
        };
        if out.is_empty() {
            if is_ended {
                self.drop_connection();
                self.client.disconnected(self.now);
            }
            return is_ended;
        }
        let most = out.len();
        let size =
            if self.random.one_in(2) { most } else { 1 + self.random.below(most as u32) as usize };
        let mut bytes: Vec<u8> = out.drain(..size).collect();
        self.client.receive(self.now, &mut bytes);
        true
    }

    fn drop_connection(&mut self) {
        self.is_connected = false;
        self.in_flight.clear();
        self.server.disconnect();
    }

    fn events(&mut self) -> Result<(), Fault> {
        while let Some(event) = self.client.next_event() {
            self.trace.bytes(format!("{event:?}").as_bytes());
            self.mark(&event);
            self.app.event(&event)?;
            match event {
                Event::Request(request) => self.open_requests.push(request),
                Event::Message(message) => {
                    let text = String::from_utf8_lossy(&message.payload).into_owned();
                    self.received.push((message.room.to_string(), text));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn mark(&mut self, event: &Event) {
        let is_first = self.server.sessions() < 2;
        let mark = match event {
            Event::Opened { is_resumed: true, .. } => Mark::Resumed,
            Event::Opened { .. } if is_first => Mark::Opened,
            Event::Opened { .. } => Mark::Ended,
            Event::Suspended(Failure::Rejected { .. }) => Mark::Rejected,
            Event::Suspended(Failure::Violation(_)) => Mark::Violation,
            Event::Suspended(Failure::Closed { reason, .. }) if reason == "rate" => Mark::Slow,
            Event::Closed(Closing::Final(_)) => Mark::Final,
            Event::Closed(Closing::GaveUp(_)) => Mark::GaveUp,
            Event::Refused { .. } => Mark::Refused,
            Event::Removed { .. } => Mark::Kicked,
            Event::Missed { .. } => Mark::Missed,
            Event::Raw(_) => Mark::Raw,
            Event::Lost(lost) if lost.reason == LostReason::Unsent => Mark::Unsent,
            Event::Lost(_) => Mark::Lost,
            Event::Answered { result: Ok(_), .. } => Mark::Answered,
            Event::Answered { .. } => Mark::Unanswered,
            Event::Request(_) => Mark::Asked,
            Event::Error(_) => Mark::Error,
            Event::Expiring { .. } => Mark::Expiring,
            _ => return,
        };
        self.marks.mark(true, mark);
    }
}
