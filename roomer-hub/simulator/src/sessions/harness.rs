//! Runs the steps of a plan: the real server, the clients, and the network between them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use roomer_engine::{Server, Stats};
use roomer_testkit::{Clock, Tasks, socket};

use super::application::{Application, SCRIPTS, millis};
use super::marks::{Mark, Marks};
use super::plan::{Break, Plan, SLOTS, Step};
use super::session::{AckResult, Place, Session};
use super::socket::{ClientRequest, Meaning, Phase, Sent, Socket};
use crate::fault::{Fault, ensure};
use crate::hub::model::Model;
use crate::server::setup::SimEnvironment;
use crate::trace::Trace;

/// The maximum number of polls at one point in time. More polls mean an endless loop.
const MAX_POLLS: u32 = 100_000;

/// The maximum number of sockets in a plan. Each socket uses up to two ids.
const MAX_SOCKETS: usize = 120;

/// The maximum number of bytes that precede the payload of `hello`: the HTTP response, and the
/// names in the packet.
pub const HANDSHAKE_BYTES: u64 = 300;

/// A client program. It has at most one socket in use and one session at a time.
#[derive(Debug, Default)]
pub struct Device {
    pub is_extended: bool,
    pub user: u8,
    pub socket: Option<usize>,
    pub session: Option<usize>,
    /// The highest number of packets that the client has acknowledged.
    pub acked: usize,
}

pub struct Harness<'p> {
    pub plan: &'p Plan,
    pub clock: Clock,
    pub server: Server,
    pub tasks: Tasks,
    pub application: Application,
    pub model: Model,
    pub devices: [Device; SLOTS],
    pub sockets: Vec<Socket>,
    pub sessions: Vec<Session>,
    ids: Arc<AtomicU32>,
    /// True once a shutdown or drain has begun.
    pub is_closing: bool,
    /// True once a shutdown has begun.
    pub is_shut: bool,
    /// The time up to which a step has advanced the clock without polling.
    pub jumped_at: Duration,
    /// The values that the server's statistics must have.
    pub lost: u64,
    pub closed_by_peer: u64,
    pub closed_by_server: u64,
    pub messages_in: u64,
    /// The server's statistics after the last poll.
    pub stats: Stats,
    /// The session that a reconnection has ended in this poll, since packets that the client needs
    /// had been discarded.
    pub incomplete: Option<usize>,
    /// The session whose slow handler was called in this poll.
    pub called: Option<usize>,
    /// The session whose slow handler has completed in this poll.
    pub completed: Option<usize>,
    /// The sessions whose handlers were dropped in this poll.
    pub dropped: Vec<usize>,
    /// The sessions that have ended in this poll.
    pub ended: Vec<usize>,
    pub steps: u64,
    pub marks: Marks,
    pub trace: Trace,
    pub history: Option<Vec<String>>,
}

impl<'p> Harness<'p> {
    pub fn new(plan: &'p Plan) -> Result<Self, Fault> {
        let clock = Clock::new(0);
        let ids = Arc::new(AtomicU32::new(0));
        let application = Application::default();
        let env = SimEnvironment { clock: clock.clone(), ids: ids.clone() };
        let builder = plan.setup.builder().environment(env);
        let server = application.register(builder, &plan.setup, &clock).build();
        let server = server.map_err(|error| Fault::new(error.to_string()))?;
        server.keep_journal();
        let mut tasks = Tasks::new();
        let (keeper, sleeper) = (server.clone(), clock.clone());
        tasks.spawn(async move { keeper.run_timers(|wait| sleeper.sleep(wait)).await });
        let worker = server.clone();
        tasks.spawn(async move { worker.run_flush_worker().await });
        let handlers = SCRIPTS.iter().map(|(event, _)| *event).collect();
        Ok(Harness {
            plan,
            clock,
            stats: server.stats(),
            server,
            tasks,
            application,
            model: Model::new(roomer_hub::Config::default(), handlers),
            devices: Default::default(),
            sockets: Vec::new(),
            sessions: Vec::new(),
            ids,
            is_closing: false,
            is_shut: false,
            jumped_at: Duration::ZERO,
            lost: 0,
            closed_by_peer: 0,
            closed_by_server: 0,
            messages_in: 0,
            incomplete: None,
            called: None,
            completed: None,
            dropped: Vec::new(),
            ended: Vec::new(),
            steps: 0,
            marks: Marks::default(),
            trace: Trace::new(),
            history: None,
        })
    }

    pub fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Returns the number of the last random value that the server has drawn. Such a value is an
    /// id, or the secret of a session.
    pub fn last_random(&self) -> u16 {
        self.ids.load(Ordering::Relaxed).wrapping_sub(2) as u16
    }

    pub fn step(&mut self, step: &Step) -> Result<(), Fault> {
        self.steps += 1;
        if let Some(history) = &mut self.history {
            history.push(format!("{:?} {step:?}", self.clock.now()));
        }
        match *step {
            Step::Connect { slot, extended, user } => {
                self.connect(slot, extended, user);
                Ok(())
            }
            Step::Resume { slot, resume_kind } => {
                self.return_to_session(slot, resume_kind);
                Ok(())
            }
            Step::PollWoken { nth } => {
                let woken = self.tasks.woken_count();
                let task = (woken > 0).then(|| self.tasks.poll_nth_woken(usize::from(nth) % woken));
                self.observe(task.flatten())
            }
            Step::RunUntilIdle => self.run_until_idle(),
            Step::Clock { millis: by } => {
                self.clock.advance_to(self.now() + millis(by));
                self.jumped_at = self.now();
                Ok(())
            }
            Step::RunFor { millis: by } => self.run_for(millis(by)),
            Step::DeliverOld => {
                let old = self.sockets.iter_mut().filter(|socket| socket.is_abandoned);
                old.for_each(|socket| socket.deliver(usize::MAX));
                Ok(())
            }
            Step::Shutdown => {
                (self.is_closing, self.is_shut) = (true, true);
                self.server.shutdown();
                self.observe(None)
            }
            Step::Drain => {
                self.is_closing = true;
                let server = self.server.clone();
                self.tasks.spawn(async move { _ = server.drain().await });
                Ok(())
            }
            Step::Client(slot, client_action) => self.client_action(slot, client_action),
        }
    }

    /// Opens a socket for a client, and sends the client's request on it.
    pub fn open_socket(&mut self, slot: u8, request: ClientRequest) {
        if self.sockets.len() >= MAX_SOCKETS {
            return;
        }
        let (socket, peer) = socket();
        let task = self.tasks.spawn(self.server.connect(socket, None));
        let device = &mut self.devices[usize::from(slot)];
        // The client now uses only the new socket, but the server may notice the end of the old one
        // later.
        if let Some(before) = device.socket.replace(self.sockets.len()) {
            self.sockets[before].is_abandoned = true;
        }
        self.sockets.push(Socket::new(peer, task, slot, request, self.clock.now()));
    }

    /// Breaks a socket in the given way.
    pub fn break_socket(&mut self, at: usize, resume_kind: Break) {
        let socket = &mut self.sockets[at];
        match resume_kind {
            Break::Fin => {
                socket.is_ending = true;
                socket.deliver(0);
                return;
            }
            Break::Reset => {
                socket.peer.end_stream(Err(std::io::ErrorKind::ConnectionReset));
                socket.peer.fail_writes(std::io::ErrorKind::ConnectionReset);
                socket.is_broken = true;
            }
            Break::FailWrites => {
                socket.peer.fail_writes(std::io::ErrorKind::BrokenPipe);
                socket.is_broken = true;
            }
            Break::Vanish => {}
        }
        socket.is_lost = true;
        socket.in_flight.clear();
        // Keep the frames that have arrived in part: the server may have read their first bytes.
        let read = socket.peer.bytes_read() + socket.peer.unread() as u64;
        // A reset discards the bytes that have arrived but that the server has not read.
        if resume_kind == Break::Reset {
            socket.peer.discard_unread();
        }
        socket.outgoing.retain(|sent| sent.end - sent.len < read);
    }

    pub fn run_until_idle(&mut self) -> Result<(), Fault> {
        let mut polls = 0;
        while let Some(task) = self.tasks.poll_nth_woken(0) {
            polls += 1;
            ensure!(polls < MAX_POLLS, "the server does not become idle");
            self.observe(Some(task))?;
        }
        self.check_idle()
    }

    /// Advances the time. Stops at each timer, and polls the woken tasks there.
    pub fn run_for(&mut self, span: Duration) -> Result<(), Fault> {
        let end = self.now() + span;
        self.run_until_idle()?;
        while let Some(due) = self.clock.next_deadline().filter(|due| *due <= end) {
            self.clock.advance_to(due);
            self.run_until_idle()?;
        }
        self.clock.advance_to(end);
        self.run_until_idle()
    }

    /// Checks everything that a poll, or a call from outside, has caused.
    pub fn observe(&mut self, task: Option<usize>) -> Result<(), Fault> {
        let polled = task
            .and_then(|task| self.sockets.binary_search_by_key(&task, |socket| socket.task).ok());
        // Collect the inputs first, so that the log contains all inputs of this poll, in order.
        self.application.collect(&self.server);
        let log = std::mem::take(&mut self.application.state().log);
        let now = self.now();
        if let Some(at) = polled {
            let socket = &mut self.sockets[at];
            let read = socket.peer.bytes_read();
            if read > socket.read.0 {
                socket.read = (read, now);
            }
            if socket.is_broken {
                socket.ended_at.get_or_insert(now);
            }
            // In a poll, the server writes to a socket that was full before it decides anything
            // else.
            if socket.is_filled && socket.peer.bytes_written() > socket.written.0 {
                socket.unblocked_at = now;
            }
        }
        if let (Some(history), false) = (&mut self.history, log.is_empty()) {
            history.push(format!("    poll of {polled:?}: {log:?}"));
        }
        let before = std::mem::replace(&mut self.stats, self.server.stats());
        (self.incomplete, self.called, self.completed) = (None, None, None);
        // A login is valid from the time at which the hook decides, not from the end of the
        // handshake.
        if std::mem::take(&mut self.application.state().authorized) > 0
            && let Some(at) = polled
        {
            self.sockets[at].accepted_at.get_or_insert(now);
        }
        // Check this before the log: its inputs belong to the session that the socket has now.
        self.check_resumed(&before, polled)?;
        self.check_log(&log, polled)?;
        self.after_poll(&before, polled)?;
        self.ended.clear();
        if let Some(at) = polled {
            self.sockets[at].read_before = self.sockets[at].read.0;
        }
        for at in 0..self.sockets.len() {
            let socket = &mut self.sockets[at];
            socket.on_written(now);
            if socket.peer.available() > 0 && socket.is_reading {
                self.receive(at, usize::MAX)?;
            }
        }
        Ok(())
    }

    /// Returns the session that is attached to a socket, or `None` if it was detached, moved or
    /// ended.
    pub fn session_on(&self, at: usize) -> Option<usize> {
        let session = self.sockets[at].session?;
        (self.sessions[session].place == Place::Socket(at)).then_some(session)
    }

    /// Returns the session to which the token in a socket's request belongs.
    pub fn target(&self, at: usize) -> Option<usize> {
        let (token, _) = self.sockets[at].request.token.as_ref()?;
        self.sessions.iter().position(|session| session.accepts(token) != Some(false))
    }

    /// Returns the session that the client on a socket may resume: the token, the user and the
    /// request must be valid.
    pub fn resumable(&self, at: usize) -> Option<usize> {
        let ClientRequest { user, is_denied, ref token, .. } = self.sockets[at].request;
        let has_count = token.as_ref().is_some_and(|(_, count)| count.is_some());
        let target = self.target(at).filter(|_| has_count && !is_denied)?;
        (self.sessions[target].user == user && self.sessions[target].is_open()).then_some(target)
    }

    /// Returns true if a later request, on another socket, waits for the same session and takes
    /// precedence.
    pub fn is_superseded(&self, session: usize, except: usize) -> bool {
        (0..self.sockets.len()).any(|at| {
            let socket = &self.sockets[at];
            at != except
                && socket.phase == Phase::Handshake
                && socket.accepted_at.is_some()
                && !socket.is_overtaken
                && !self.tasks.is_done(socket.task)
                && self.resumable(at) == Some(session)
        })
    }

    /// Records that a client waits for a session on a new socket. Earlier sockets on which it
    /// waited no longer get the session.
    pub fn overtake(&mut self, number: usize) {
        let waiting = self.sockets.iter_mut().filter(|socket| socket.waits_for == Some(number));
        waiting.for_each(|socket| socket.is_overtaken = true);
    }

    /// Returns the maximum number of bytes that may be queued for a socket: the frames that the
    /// session's client has not processed, and the handshake's response.
    pub fn outstanding(&self, session: usize, at: usize) -> u64 {
        let (session, socket) = (&self.sessions[session], &self.sockets[at]);
        let hello = socket.hello.as_ref().map_or(0, |hello| hello.len() as u64 + HANDSHAKE_BYTES);
        session.bytes_after(session.read_to) + hello
    }

    /// Handles the acknowledgements and pongs that the server has read since its last packet.
    /// Returns true if the next frame is a violation, for which the session must be closed.
    pub fn settle(&mut self, at: usize) -> bool {
        let (now, buffer) = (self.now(), self.plan.setup.buffer);
        let Some(number) = self.session_on(at) else { return false };
        let (socket, session) = (&mut self.sockets[at], &mut self.sessions[number]);
        let read = socket.read.0;
        // The server detects a violation before it has read the whole frame.
        let is_read = |sent: &&Sent| match sent.what {
            Meaning::Violation => sent.end - sent.len < read,
            _ => sent.end <= read,
        };
        while let Some(sent) = socket.outgoing.front().filter(is_read) {
            match sent.what {
                Meaning::Pong => {}
                Meaning::Ack(count, asks) => {
                    if session.on_ack(now, count, buffer) == AckResult::Wrong {
                        socket.outgoing.clear();
                        self.marks.mark(true, Mark::WrongAck);
                        socket.outgoing.push_back(Sent {
                            end: 0,
                            len: 0,
                            what: Meaning::Violation,
                        });
                        return true;
                    }
                    session.is_asked |= asks;
                }
                Meaning::Violation => return true,
                Meaning::Packet(_) | Meaning::Close(_) => return false,
            }
            socket.outgoing.pop_front();
        }
        false
    }
}
