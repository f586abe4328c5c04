//! The connections, and the poll loop that reads from all of them.

mod receive;
mod session;

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::alarm::{ALARM, Alarm};
use crate::faults::Faults;
use crate::listener::{Listener, Out};
use crate::opening::{self, Source};
use crate::options::{Options, Target};
use crate::report::{Progress, Report};
use crate::wire;
use session::{Session, Sessions};

/// The size of the read buffer, which all connections share. A connection itself keeps only
/// incomplete frames.
const BUFFER: usize = 256 * 1024;

/// The maximum capacity of an empty buffer that a connection keeps.
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
    /// The first bytes of a frame that is not complete yet.
    held: Vec<u8>,
    /// The earlier fragments of a message that is not complete yet.
    parts: Vec<u8>,
    deaf: bool,
    /// The session, if the connection uses the extended protocol.
    session: Option<Box<Session>>,
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
    /// The maximum number of handshakes at the same time.
    pub inflight: usize,
    /// The number of connections that are open.
    opened: usize,
    /// The number of connections that are being opened.
    starting: usize,
    /// True if new connections use the extended protocol.
    pub extended: bool,
    /// True if an extended connection acknowledges the first packet of its session immediately, so
    /// that the server need not keep it.
    pub eager_acks: bool,
    pub sessions: Sessions,
    /// If true, messages on open connections are only counted, and not parsed.
    pub skim: bool,
    /// The number of connections that the server has closed, by close code or, without one, by how
    /// they ended.
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
            starting: 0,
            extended: options.extended,
            eager_acks: false,
            sessions: Sessions::default(),
            skim: false,
            closings: BTreeMap::new(),
            reads: 0,
            messages: 0,
        })
    }

    /// Returns the time in nanoseconds since the generator started.
    pub fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Returns the number of connections that the server has closed.
    fn closed(&self) -> u64 {
        self.closings.values().sum()
    }

    /// Reports how many connections the server has closed. Each of them is a fault.
    pub fn tell_closed(&self, report: &mut Report, faults: &mut Faults) {
        report.put("disconnected", self.closed());
        faults.add_many(self.closed(), || format!("connections were closed: {}", self.ways()));
    }

    /// Describes how the connections have ended.
    pub fn ways(&self) -> String {
        let ways = self.closings.iter().map(|(how, count)| format!("{how}: {count}"));
        ways.collect::<Vec<_>>().join(", ")
    }

    pub fn is_open(&self, conn: usize) -> bool {
        self.conns[conn].phase == Phase::Open
    }

    /// Returns the time since the last packet arrived.
    pub fn quiet_for(&self) -> Duration {
        self.last_heard.elapsed()
    }

    /// Returns a sender, for use outside a [`Listener`].
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

    /// Requests `more` connections. They are opened in the turns that follow.
    pub fn want(&mut self, more: usize) -> io::Result<()> {
        self.wanted += more;
        self.start_more()
    }

    /// Opens `more` connections, and waits until all of them have joined `root`.
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
            progress.show(|| format!("{} of {} connections are open", self.opened, self.wanted));
            self.turn(Duration::from_millis(100), listener)?;
        }
        Ok(())
    }

    /// Waits until nothing has arrived for a while, but not longer than a limit.
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

    /// Waits for the server for at most `wait`, and handles the packets that arrive.
    pub fn turn(&mut self, wait: Duration, listener: &mut impl Listener) -> io::Result<()> {
        self.wait(Some(wait), listener)
    }

    /// Like [`turn`](Self::turn), but with a resolution of less than a millisecond.
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
        self.send_acks();
        self.start_more()
    }

    /// Returns the server to which a connection belongs.
    fn target(&self, conn: usize) -> &Target {
        &self.targets[conn % self.targets.len()]
    }

    fn start_more(&mut self) -> io::Result<()> {
        while self.starting < self.inflight {
            let conn = match self.sessions.returning.next() {
                Some(conn) => conn,
                None if self.sockets.len() < self.wanted => self.sockets.len(),
                None => break,
            };
            let mut socket = opening::connect(self.target(conn), self.source, conn)?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut socket, Token(conn), interest)?;
            self.starting += 1;
            if conn < self.sockets.len() {
                self.sockets[conn] = socket;
                self.conns[conn].phase = Phase::Connecting;
                continue;
            }
            self.sockets.push(socket);
            let session = self.extended.then(Box::default);
            self.conns.push(Conn { session, ..Conn::default() });
            self.pending.push(Vec::new());
            self.ids.push(String::new());
        }
        Ok(())
    }

    /// Records that a connection is open.
    fn is_up(&mut self, conn: usize) {
        self.conns[conn].phase = Phase::Open;
        self.opened += 1;
        self.starting -= 1;
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
            self.pending[conn] = self.request(conn);
        }
        let pending = &mut self.pending[conn];
        while !pending.is_empty() {
            let mut socket = socket;
            match socket.write(pending) {
                Ok(written) => drop(pending.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // If bytes are left that do not fit into the buffer, the error is returned by the
                // next read.
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// Stops reading from a connection, or starts again.
    pub fn pause_reading(
        &mut self,
        conn: usize,
        deaf: bool,
        l: &mut impl Listener,
    ) -> io::Result<()> {
        self.conns[conn].deaf = deaf;
        self.read(conn, true, l)
    }

    /// Closes a connection. If it has a session, sends a close frame first: otherwise the server
    /// would keep the session.
    pub fn leave(&mut self, conn: usize) -> io::Result<()> {
        if self.conns[conn].session.is_some() {
            wire::control(wire::CLOSE, &1000u16.to_be_bytes(), &mut self.pending[conn]);
            self.write(conn)?;
        }
        self.disconnect(conn);
        Ok(())
    }

    /// Closes a connection without a close frame.
    pub fn disconnect(&mut self, conn: usize) {
        self.conns[conn].phase = Phase::Closed;
        let _ = self.poll.registry().deregister(&mut self.sockets[conn]);
        let _ = self.sockets[conn].shutdown(Shutdown::Both);
    }
}
