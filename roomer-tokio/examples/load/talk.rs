//! The scenarios `fanout`, `rooms` and `slow`, in which members send to rooms.
//!
//! They send to one room, to many small rooms, or to a room in which some members have stopped
//! reading.

use std::io;
use std::time::{Duration, Instant};

use roomer_proto::extended::MEMBERS;
use roomer_proto::{JOIN_ACK, LEAVE_ACK, MEMBER_LEFT, NEW_MEMBER, PacketRef, ROOT};

use crate::Outcome;
use crate::faults::{Faults, show};
use crate::ledger::Ledger;
use crate::listener::{Listener, Out};
use crate::net::Net;
use crate::options::{Options, Scenario};
use crate::process::{Process, Watch};
use crate::report::{Latencies, Progress, Report};
use crate::wire::Stamp;

/// An event for which the server has no handler, so that it sends the message to the room.
const EVENT: &str = "m";

/// The maximum number of joins that are in flight.
const JOINS: usize = 32;

/// If messages are sent at a fixed rate, this many of them in flight mean that the server is
/// overloaded.
const OVERRUN: usize = 1 << 20;

/// A message that is in flight.
struct Slot {
    room: usize,
    /// The number of listeners that have not received the message yet.
    left: usize,
}

struct Talk {
    names: Vec<String>,
    members: usize,
    senders: usize,
    conns: usize,
    /// The number of members that read. All members after them have stopped reading.
    receiving: usize,
    /// True if a message is sent only when an earlier one has reached all members.
    closed_loop: bool,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// For each sender in each room, the number of its messages.
    sent: Vec<u64>,
    turn: Vec<usize>,
    dice: u64,
    payload: Vec<u8>,
    joined: usize,
    patience: Duration,
    delivered: u64,
    completed: u64,
    stopped: bool,
    latencies: Latencies,
    ledger: Ledger,
    faults: Faults,
}

pub fn run(options: &Options) -> Outcome {
    let server = Process::new(&options.pids)?;
    let rate = options.rate;
    let mut net = Net::new(options)?;
    let mut talk = Talk::new(options);
    let mut report = Report::default();
    let rss_start = server.rss();
    net.open(options.connections(), options.timeout, &mut talk)?;
    settle(&mut net, &mut talk)?;
    talk.join(&mut net, options.timeout)?;
    settle(&mut net, &mut talk)?;
    server.forget_peak();

    report.put("scenario", options.scenario.name());
    report.put("members", talk.members);
    report.put("rooms", talk.names.len());
    report.put("senders", talk.senders);
    report.put("size", options.size);
    report.put("rss_start_kib", rss_start);
    report.put("rss_ready_kib", server.rss());

    let mut pace = (rate > 0.0).then(|| Pace { step: (1e9 / rate) as u64, due: net.now() });
    match pace {
        Some(_) => report.put("rate", rate),
        None => report.put("window", options.window),
    }
    talk.fill_window(&mut net, options.window);
    talk.go_on(&mut net, options.warmup, &mut pace)?;
    if options.scenario == Scenario::Slow {
        let (before, watch) = (talk.delivered, Watch::start(&server));
        talk.go_on(&mut net, options.secs / 2, &mut pace)?;
        let delivered = (talk.delivered - before) as f64;
        report.put("before_per_s", delivered / watch.elapsed().as_secs_f64());
        report.put("before_cpu_us", watch.server_cpu().map(|cpu| cpu / delivered * 1e6));
        // Before members stop reading, wait for the messages in flight, which all members must
        // receive.
        talk.drain(&mut net)?;
        talk.receiving = talk.members - options.slow;
        for member in talk.receiving..talk.members {
            net.pause_reading(talk.conn(0, member), true, &mut talk)?;
        }
        talk.stopped = false;
        talk.fill_window(&mut net, options.window);
    }

    talk.latencies.clear();
    let (delivered, completed, reads) = (talk.delivered, talk.completed, net.reads);
    let watch = Watch::start(&server);
    talk.go_on(&mut net, options.secs, &mut pace)?;
    let wall = watch.elapsed().as_secs_f64();
    let delivered = talk.delivered - delivered;
    watch.stop(delivered, &mut report);
    report.put("delivered", delivered);
    report.put("delivered_per_s", delivered as f64 / wall);
    report.put("completed", talk.completed - completed);
    report.put("per_read", delivered as f64 / (net.reads - reads) as f64);
    talk.latencies.put(&mut report);
    talk.drain(&mut net)?;
    report.put("rss_peak_kib", server.peak());
    report.put("rss_end_kib", server.rss());
    let lost = talk.lost(0..talk.receiving);
    report.put("lost_copies", lost);
    report.put("doubled_copies", talk.ledger.again);
    net.tell_closed(&mut report, &mut talk.faults);
    if options.scenario == Scenario::Slow {
        talk.resume_stalled(&mut net, &mut report)?;
    }
    Ok((report, talk.faults))
}

fn settle(net: &mut Net, talk: &mut Talk) -> io::Result<()> {
    net.settle(Duration::from_millis(150), Duration::from_secs(30), talk)
}

/// When the next message is due, if messages are sent at a fixed rate.
struct Pace {
    step: u64,
    due: u64,
}

impl Talk {
    fn new(options: &Options) -> Talk {
        let Options { rooms, members, senders, .. } = *options;
        Talk {
            names: (0..rooms).map(|room| format!("room-{room}")).collect(),
            members,
            senders,
            conns: options.connections(),
            receiving: members,
            closed_loop: options.rate == 0.0,
            slots: Vec::new(),
            free: Vec::new(),
            sent: vec![0; rooms * senders],
            turn: vec![0; rooms],
            dice: 0x2545_f491_4f6c_dd1d,
            payload: vec![b'.'; options.size],
            joined: 0,
            patience: options.patience,
            delivered: 0,
            completed: 0,
            stopped: false,
            latencies: Latencies::new(),
            ledger: Ledger::new(rooms * members, senders),
            faults: Faults::default(),
        }
    }

    /// Returns the connection of a room's member.
    fn conn(&self, room: usize, member: usize) -> usize {
        (room * self.members + member) % self.conns
    }

    /// Returns the index of a connection among the members of a room. Returns `None` if it is not a
    /// member.
    fn member(&self, room: usize, conn: usize) -> Option<usize> {
        let member = (conn + self.conns - room * self.members % self.conns) % self.conns;
        (member < self.members).then_some(member)
    }

    fn join(&mut self, net: &mut Net, timeout: Duration) -> io::Result<()> {
        let (all, deadline) = (self.names.len() * self.members, Instant::now() + timeout);
        let mut asked = 0;
        while self.joined < all {
            while asked < all.min(self.joined + JOINS) {
                let (room, member) = (asked / self.members, asked % self.members);
                net.out().join(self.conn(room, member), &self.names[room]);
                asked += 1;
            }
            net.turn(Duration::from_millis(100), self)?;
            if Instant::now() > deadline {
                let words = format!("only {} of {all} joins were acknowledged", self.joined);
                return Err(io::Error::other(words));
            }
        }
        Ok(())
    }

    /// Sends a message. It was due at `due` or, if that is `None`, is due now.
    fn send(&mut self, out: &mut Out<'_>, due: Option<u64>) {
        let room = match self.names.len() {
            1 => 0,
            rooms => {
                self.dice ^= self.dice << 13;
                self.dice ^= self.dice >> 7;
                self.dice ^= self.dice << 17;
                (self.dice >> 16) as usize % rooms
            }
        };
        let sender = self.turn[room];
        self.turn[room] = (sender + 1) % self.senders;
        let number = &mut self.sent[room * self.senders + sender];
        let slot = self.free.pop().unwrap_or(self.slots.len() as u32);
        let due = due.unwrap_or(out.now);
        Stamp { slot, sender: sender as u32, number: *number, due }.write(&mut self.payload);
        *number += 1;
        let state = Slot { room, left: self.receiving - 1 };
        match self.slots.get_mut(slot as usize) {
            Some(place) => *place = state,
            None => self.slots.push(state),
        }
        let (name, payload) = (&*self.names[room], &*self.payload);
        let packet = PacketRef { room: name, event: EVENT, payload, ..PacketRef::default() };
        out.send(self.conn(room, sender), &packet);
    }

    fn fill_window(&mut self, net: &mut Net, window: usize) {
        if self.closed_loop {
            let mut out = net.out();
            (0..window).for_each(|_| self.send(&mut out, None));
        }
    }

    /// Makes the members send for this time.
    fn go_on(&mut self, net: &mut Net, time: Duration, pace: &mut Option<Pace>) -> io::Result<()> {
        let (start, mut progress, before) = (Instant::now(), Progress::new(), self.delivered);
        while start.elapsed() < time {
            match pace {
                None => net.turn(Duration::from_millis(20), self)?,
                Some(pace) => {
                    // After a delay, send all messages that are overdue. Each has the time at which
                    // it was due, so the delay is part of its latency.
                    while pace.due <= net.now() {
                        self.send(&mut net.out(), Some(pace.due));
                        pace.due += pace.step;
                    }
                    let wait = Duration::from_nanos(pace.due - net.now().min(pace.due));
                    net.exact_turn(wait.min(Duration::from_millis(20)), self)?;
                }
            }
            let under_way = self.under_way();
            if under_way > OVERRUN {
                return Err(io::Error::other("the server cannot keep up with this rate"));
            }
            if under_way > 0 && net.quiet_for() > self.patience {
                self.faults.add(|| format!("{under_way} messages were lost: nothing more arrives"));
                return Ok(());
            }
            progress.show(|| {
                let secs = start.elapsed().as_secs_f64();
                let rate = (self.delivered - before) as f64 / secs / 1000.0;
                format!("{secs:.1} of {time:?}: {rate:.0} thousand deliveries per second")
            });
        }
        Ok(())
    }

    fn under_way(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Stops sending, and waits until the messages in flight have arrived.
    fn drain(&mut self, net: &mut Net) -> io::Result<()> {
        self.stopped = true;
        let start = Instant::now();
        while self.under_way() > 0 && net.quiet_for().min(start.elapsed()) < self.patience {
            net.turn(Duration::from_millis(20), self)?;
        }
        Ok(())
    }

    /// Counts the deliveries that these members of all rooms have not received. Each of them is a
    /// fault.
    fn lost(&mut self, members: std::ops::Range<usize>) -> u64 {
        let mut missing = 0;
        for room in 0..self.names.len() {
            for member in members.clone() {
                for sender in (0..self.senders).filter(|sender| *sender != member) {
                    let sent = self.sent[room * self.senders + sender];
                    missing += self.ledger.missing(room * self.members + member, sender, sent);
                }
            }
        }
        self.faults.add_many(missing, || format!("{missing} copies are missing"));
        self.ledger.lost + missing
    }

    /// Resumes reading at the members that had stopped. They must receive either everything, or the
    /// first part and then a close.
    fn resume_stalled(&mut self, net: &mut Net, report: &mut Report) -> io::Result<()> {
        let stuck = self.receiving..self.members;
        report.put("stuck", stuck.len());
        let before = net.messages;
        for member in stuck.clone() {
            net.pause_reading(self.conn(0, member), false, self)?;
        }
        net.settle(Duration::from_secs(2), Duration::from_secs(30), self)?;
        report.put("stuck_got", net.messages - before);
        for member in stuck {
            if net.is_open(self.conn(0, member)) {
                self.lost(member..member + 1);
            }
        }
        let closed = |code: &str| net.closings.get(code).copied().unwrap_or(0);
        report.put("closed_1013", closed("1013"));
        report.put("closings", &*net.ways());
        Ok(())
    }

    /// Handles a message: finds its sender, checks that it should have arrived, and records whether
    /// this was its last delivery.
    #[inline]
    fn record(&mut self, out: &mut Out<'_>, conn: usize, packet: &PacketRef<'_>) -> Option<()> {
        let stamp = Stamp::read(packet.payload)?;
        let room: usize = packet.room.strip_prefix("room-")?.parse().ok()?;
        let (slot, sender) = (stamp.slot as usize, stamp.sender as usize);
        let member = self.member(room, conn)?;
        let from = out.ids.get(self.conn(room, sender))?;
        let known = room < self.names.len() && sender < self.senders && sender != member;
        let whole = packet.payload.len() == self.payload.len();
        if !known || !whole || packet.src != from || stamp.slot as usize >= self.slots.len() {
            return None;
        }
        let listener = room * self.members + member;
        let new = self.ledger.record(listener, sender, stamp.number, &mut self.faults);
        let state = &mut self.slots[slot];
        // This delivery does not complete the message if the member had stopped reading, or if the
        // slot now belongs to another message.
        if !new || member >= self.receiving || state.room != room || state.left == 0 {
            return Some(());
        }
        state.left -= 1;
        let last = state.left == 0;
        self.delivered += 1;
        self.latencies.add(out.now.saturating_sub(stamp.due));
        if last {
            self.free.push(stamp.slot);
            self.completed += 1;
            if self.closed_loop && !self.stopped {
                self.send(out, None);
            }
        }
        Some(())
    }
}

impl Listener for Talk {
    #[inline]
    fn packet(&mut self, out: &mut Out<'_>, conn: usize, packet: &PacketRef<'_>) {
        match packet.event {
            EVENT => {
                if self.record(out, conn, packet).is_none() {
                    self.faults.add(|| {
                        format!(
                            "connection {conn} received what no connection sent to it: {}",
                            show(packet)
                        )
                    });
                }
            }
            JOIN_ACK if packet.room != ROOT => self.joined += 1,
            NEW_MEMBER | MEMBER_LEFT | MEMBERS => {}
            LEAVE_ACK => {
                self.faults.add(|| format!("connection {conn} was removed from {:?}", packet.room))
            }
            _ => self.faults.add(|| {
                format!("connection {conn} received an unexpected packet: {}", show(packet))
            }),
        }
    }
}
