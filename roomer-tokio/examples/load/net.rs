//! The connections and the one loop that reads them all.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use roomer_proto::{JOIN_ACK, PacketRef, ROOT};

use crate::alarm::{ALARM, Alarm};
use crate::faults::Faults;
use crate::listener::{Listener, Out};
use crate::opening::{self, Source};
use crate::options::{Options, Target};
use crate::report::{Progress, Report};
use crate::wire::{self, Head};

/// All connections are read into one buffer; each holds only what is incomplete.
const BUFFER: usize = 256 * 1024;

/// What a connection may keep of a buffer that has become empty.
const KEEP: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Connecting,
    Upgrading,
    Joining,
    Open,
    Closed,
}

#[derive(Default)]
struct Conn {
    phase: Phase,
    /// The front of a frame whose rest is yet to come.
    held: Vec<u8>,
    /// The front of a message in several frames.
    parts: Vec<u8>,
    deaf: bool,
}

pub struct Net {
    poll: Poll,
    events: Events,
    alarm: Alarm,
    ready: Vec<(usize, bool, bool, bool)>,
    buffer: Vec<u8>,
    targets: Vec<Target>,
    source: Source,
    start: Instant,
    last_heard: Instant,
    sockets: Vec<TcpStream>,
    conns: Vec<Conn>,
    pending: Vec<Vec<u8>>,
    scratch: Vec<u8>,
    ids: Vec<String>,
    wanted: usize,
    inflight: usize,
    opened: usize,
    /// Only counts messages instead of reading them, for connections that are open.
    pub skim: bool,
    /// How connections ended that the server closed: by the code, or why there was none.
    pub closings: BTreeMap<String, u64>,
    pub reads: u64,
    pub messages: u64,
}

impl Net {
    pub fn new(options: &Options) -> io::Result<Net> {
        let poll = Poll::new()?;
        let alarm = Alarm::new(poll.registry())?;
        let now = Instant::now();
        Ok(Net {
            poll,
            events: Events::with_capacity(1024),
            alarm,
            ready: Vec::new(),
            buffer: vec![0; BUFFER],
            targets: options.targets.clone(),
            source: Source::new(),
            start: now,
            last_heard: now,
            sockets: Vec::new(),
            conns: Vec::new(),
            pending: Vec::new(),
            scratch: Vec::new(),
            ids: Vec::new(),
            wanted: 0,
            inflight: options.inflight,
            opened: 0,
            skim: false,
            closings: BTreeMap::new(),
            reads: 0,
            messages: 0,
        })
    }

    /// Nanoseconds since the generator started.
    pub fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// How many connections the server has closed.
    fn closed(&self) -> u64 {
        self.closings.values().sum()
    }

    /// Tells how many connections the server has closed; each is a fault.
    pub fn tell_closed(&self, report: &mut Report, faults: &mut Faults) {
        report.put("disconnected", self.closed());
        faults.add_many(self.closed(), || format!("connections were closed: {}", self.ways()));
    }

    /// How connections were closed, in words.
    pub fn ways(&self) -> String {
        let ways = self.closings.iter().map(|(how, count)| format!("{how}: {count}"));
        ways.collect::<Vec<_>>().join(", ")
    }

    pub fn is_open(&self, conn: usize) -> bool {
        self.conns[conn].phase == Phase::Open
    }

    /// How long nothing has come.
    pub fn quiet_for(&self) -> Duration {
        self.last_heard.elapsed()
    }

    /// For sending outside of a [`Listener`].
    pub fn out(&mut self) -> Out<'_> {
        let now = self.now();
        Out {
            sockets: &self.sockets,
            pending: &mut self.pending,
            scratch: &mut self.scratch,
            ids: &self.ids,
            now,
        }
    }

    /// Asks for more connections; they come up in the following turns.
    pub fn want(&mut self, more: usize) -> io::Result<()> {
        self.wanted += more;
        self.start_more()
    }

    /// Opens so many connections and waits until all are in `root`.
    pub fn open(
        &mut self,
        more: usize,
        timeout: Duration,
        listener: &mut impl Listener,
    ) -> io::Result<()> {
        let (deadline, mut progress) = (Instant::now() + timeout, Progress::new());
        self.want(more)?;
        while self.opened < self.wanted {
            if Instant::now() > deadline {
                return Err(io::Error::other(format!(
                    "only {} of {} connections were open after {timeout:?} (does the server lack file \
                     descriptors?)",
                    self.opened, self.wanted
                )));
            }
            progress.say(|| format!("{} of {} connections are open", self.opened, self.wanted));
            self.turn(Duration::from_millis(100), listener)?;
        }
        Ok(())
    }

    /// Waits until nothing has come for some time, but not for ever.
    pub fn settle(
        &mut self,
        quiet: Duration,
        timeout: Duration,
        listener: &mut impl Listener,
    ) -> io::Result<()> {
        let start = Instant::now();
        while start.elapsed() < timeout && (start.elapsed() < quiet || self.quiet_for() < quiet) {
            self.turn(quiet / 4, listener)?;
        }
        Ok(())
    }

    /// Waits for the server, at most this long, and handles what it sent.
    pub fn turn(&mut self, wait: Duration, listener: &mut impl Listener) -> io::Result<()> {
        self.wait(Some(wait), listener)
    }

    /// The same with a wait that is exact below milliseconds too.
    pub fn exact_turn(&mut self, wait: Duration, listener: &mut impl Listener) -> io::Result<()> {
        let wait = self.alarm.set(wait)?;
        self.wait(wait, listener)
    }

    fn wait(&mut self, wait: Option<Duration>, listener: &mut impl Listener) -> io::Result<()> {
        match self.poll.poll(&mut self.events, wait) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            done => done?,
        }
        let mut ready = std::mem::take(&mut self.ready);
        ready.extend(self.events.iter().filter(|event| event.token() != ALARM).map(|event| {
            let ended = event.is_read_closed() || event.is_error();
            (event.token().0, event.is_readable() || ended, event.is_writable(), ended)
        }));
        for (conn, readable, writable, ended) in ready.drain(..) {
            if writable || ended {
                self.write(conn)?;
            }
            if readable {
                self.read(conn, ended, listener)?;
            }
        }
        self.ready = ready;
        self.start_more()
    }

    /// The server of a connection.
    fn target(&self, conn: usize) -> &Target {
        &self.targets[conn % self.targets.len()]
    }

    fn start_more(&mut self) -> io::Result<()> {
        while self.sockets.len() < self.wanted.min(self.opened + self.inflight) {
            let conn = self.sockets.len();
            let mut socket = opening::connect(self.target(conn), self.source, conn)?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut socket, Token(conn), interest)?;
            self.sockets.push(socket);
            self.conns.push(Conn::default());
            self.pending.push(Vec::new());
            self.ids.push(String::new());
        }
        Ok(())
    }

    fn write(&mut self, conn: usize) -> io::Result<()> {
        let socket = &self.sockets[conn];
        if self.conns[conn].phase == Phase::Connecting {
            if let Some(error) = socket.take_error()? {
                return Err(opening::explain(error, self.target(conn)));
            }
            if socket.peer_addr().is_err() {
                return Ok(());
            }
            self.conns[conn].phase = Phase::Upgrading;
            self.pending[conn] = opening::request(self.target(conn));
        }
        let pending = &mut self.pending[conn];
        while !pending.is_empty() {
            let mut socket = socket;
            match socket.write(pending) {
                Ok(written) => drop(pending.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // If it is more than a full buffer, reading returns the error.
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// Stops or resumes reading from a connection.
    pub fn set_deaf(&mut self, conn: usize, deaf: bool, l: &mut impl Listener) -> io::Result<()> {
        self.conns[conn].deaf = deaf;
        self.read(conn, true, l)
    }

    /// Ends a connection without a word.
    pub fn hang_up(&mut self, conn: usize) {
        self.conns[conn].phase = Phase::Closed;
        let _ = self.poll.registry().deregister(&mut self.sockets[conn]);
        let _ = self.sockets[conn].shutdown(Shutdown::Both);
    }

    /// Reads until there is no more; a short read says so too, unless the end may be behind it.
    fn read(&mut self, conn: usize, to_the_end: bool, l: &mut impl Listener) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = loop {
            let state = &mut self.conns[conn];
            if state.deaf || matches!(state.phase, Phase::Closed | Phase::Connecting) {
                break Ok(());
            }
            let got = match (&self.sockets[conn]).read(&mut buffer) {
                Ok(0) => break self.ended(conn, "end of stream"),
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => break self.ended(conn, &error.kind().to_string()),
            };
            self.reads += 1;
            self.last_heard = Instant::now();
            let mut held = std::mem::take(&mut state.held);
            let taken = if held.is_empty() {
                self.take(conn, &buffer[..got], l).map(|used| held.extend(&buffer[used..got]))
            } else {
                held.extend(&buffer[..got]);
                self.take(conn, &held, l).map(|used| drop(held.drain(..used)))
            };
            if held.is_empty() && held.capacity() > KEEP {
                held = Vec::new();
            }
            self.conns[conn].held = held;
            if taken.is_err() || got < buffer.len() && !to_the_end {
                break taken;
            }
        };
        self.buffer = buffer;
        result
    }

    /// Takes the whole frames at the front of `data`; returns how many bytes they are.
    fn take(&mut self, conn: usize, data: &[u8], l: &mut impl Listener) -> io::Result<usize> {
        let mut at = 0;
        if self.conns[conn].phase == Phase::Upgrading {
            let Some(head) = opening::response(data, self.target(conn))? else { return Ok(0) };
            at = head;
            self.conns[conn].phase = Phase::Joining;
        }
        let now = self.last_heard.duration_since(self.start).as_nanos() as u64;
        while let Some(head) = Head::read(&data[at..]) {
            let start = at + head.bytes;
            let Some(body) = data.get(start..start + head.length) else { break };
            at = start + head.length;
            match head.opcode {
                wire::PING => {
                    wire::control(wire::PONG, body, &mut self.pending[conn]);
                    self.write(conn)?;
                }
                wire::PONG => {}
                wire::CLOSE => {
                    let code = body.first_chunk().map(|code| u16::from_be_bytes(*code).to_string());
                    self.ended(conn, code.as_deref().unwrap_or("no code"))?;
                    return Ok(data.len());
                }
                opcode if head.last && opcode != wire::CONTINUATION => {
                    self.message(conn, body, now, l)?;
                }
                _ => {
                    let mut parts = std::mem::take(&mut self.conns[conn].parts);
                    parts.extend(body);
                    if head.last {
                        self.message(conn, &parts, now, l)?;
                        parts.clear();
                    }
                    self.conns[conn].parts = parts;
                }
            }
        }
        Ok(at)
    }

    fn message(
        &mut self,
        conn: usize,
        body: &[u8],
        now: u64,
        listener: &mut impl Listener,
    ) -> io::Result<()> {
        self.messages += 1;
        let phase = &mut self.conns[conn].phase;
        if self.skim && *phase == Phase::Open {
            return Ok(());
        }
        let packet = PacketRef::decode(body).map_err(|error| {
            io::Error::other(format!("connection {conn} got what is no packet: {error}"))
        })?;
        if *phase == Phase::Open {
            let Net { sockets, pending, scratch, ids, .. } = self;
            listener.packet(&mut Out { sockets, pending, scratch, ids, now }, conn, &packet);
        } else if packet.event == JOIN_ACK && packet.room == ROOT {
            *phase = Phase::Open;
            self.opened += 1;
            self.ids[conn] = packet.src.to_owned();
            listener.opened(conn, &packet);
        } else {
            return Err(io::Error::other(format!(
                "connection {conn} got {:?} of {:?} before its join_ack of root",
                packet.event, packet.room
            )));
        }
        Ok(())
    }

    fn ended(&mut self, conn: usize, how: &str) -> io::Result<()> {
        if self.conns[conn].phase != Phase::Open {
            let words = format!("connection {conn} ended while it came up: {how}");
            return Err(io::Error::other(words));
        }
        self.hang_up(conn);
        *self.closings.entry(how.to_owned()).or_default() += 1;
        Ok(())
    }
}
