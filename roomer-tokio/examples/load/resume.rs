//! The scenario `resume`: all clients lose their sockets at once, and then resume their sessions.
//!
//! This happens, for example, when a load balancer restarts.
//!
//! The clients are in small rooms. In each room there are also two observers, which keep their
//! sockets: one uses the plain protocol, the other the extended protocol. The observers send to the
//! rooms while the clients are disconnected, and must not be notified of any change.

use std::io;
use std::ops::Range;
use std::time::{Duration, Instant};

use roomer_proto::{JOIN_ACK, PacketRef, ROOT};

use crate::Outcome;
use crate::faults::{Faults, show};
use crate::ledger::Ledger;
use crate::listener::{IgnoreAll, Listener, Out};
use crate::members::is_notice;
use crate::net::Net;
use crate::options::Options;
use crate::process::{Process, Watch};
use crate::report::{Progress, Report};
use crate::wire::Stamp;

const EVENT: &str = "m";

/// The event of a message to `root`. No notice about `root` that was sent before it can arrive
/// after it.
const MARK: &str = "mark";

/// The number of rooms that each observer is in. By default, a server permits 1,100.
const ROOMS_EACH: usize = 1000;

/// The maximum number of joins that are in flight.
const JOINS: usize = 64;

/// If the CPU time of the server does not change for this long, the server has noticed all lost
/// sockets.
const QUIET_TIME: Duration = Duration::from_millis(200);

struct Returns {
    names: Vec<String>,
    members: usize,
    /// The number of observers with the plain protocol, which are the first connections. They are
    /// followed by the same number with the extended protocol, and then by the clients.
    observers: usize,
    clients: Range<usize>,
    payload: Vec<u8>,
    joined: usize,
    /// The number of messages that were sent to each room.
    sent: u64,
    received: u64,
    /// The number of [`MARK`]s that were received.
    marks: usize,
    /// True while the observers must not receive any notices.
    is_quiet: bool,
    /// The number of notices that arrived in that time: at plain observers, at extended observers,
    /// and at clients.
    notices: [u64; 3],
    /// The deliveries, with an entry for each observer in each room, and for each client.
    ledger: Ledger,
    faults: Faults,
}

pub fn run(options: &Options) -> Outcome {
    let server = Process::new(&options.pids)?;
    let mut net = Net::new(options)?;
    let mut returns = Returns::new(options);
    let clients = returns.clients.clone();
    let away = clients.len();
    let mut report = Report::default();
    report.put("scenario", options.scenario.name());
    report.put("conns", away);
    report.put("rooms", returns.names.len());

    (net.extended, net.inflight) = (false, JOINS);
    net.open(returns.observers, options.timeout, &mut IgnoreAll)?;
    net.extended = true;
    net.skim = true;
    net.open(returns.observers + away, options.timeout, &mut IgnoreAll)?;
    net.settle(Duration::from_millis(150), options.timeout, &mut IgnoreAll)?;
    net.skim = false;
    returns.join(&mut net, options.timeout)?;
    // When these messages have arrived, no notice about an earlier join can arrive.
    returns.exchange(&mut net, 1, away, options.timeout)?;
    returns.mark(&mut net, options.timeout)?;
    net.settle_sessions(Duration::from_millis(150), &mut returns)?;
    report.put("rss_ready_kib", server.rss());

    // Cut all sockets. Measure what it costs to notice that, and how much memory the sessions need.
    returns.is_quiet = true;
    let watch = Watch::start(&server);
    net.cut(clients.clone())?;
    returns.stand_still(&mut net, &watch, options.timeout)?;
    report.put("cut_cpu_us", watch.server_cpu().map(|cpu| cpu / away as f64 * 1e6));
    report.put("rss_away_kib", server.rss());
    let watch = Watch::start(&server);
    returns.exchange(&mut net, options.meanwhile, 0, options.timeout)?;
    returns.stand_still(&mut net, &watch, options.timeout)?;
    report.put("meanwhile", options.meanwhile);
    report.put("kept_cpu_us", watch.server_cpu().map(|cpu| cpu / away as f64 * 1e6));
    report.put("rss_kept_kib", server.rss());

    // Resume all sessions. Wait until each client has received the messages that it has missed.
    net.inflight = options.inflight;
    let deadline = Instant::now() + options.timeout;
    let (watch, mut progress) = (Watch::start(&server), Progress::new());
    net.resume(clients.clone())?;
    let everything = returns.received_by_all();
    while !net.all_open() || net.sessions.refused == 0 && returns.received < everything {
        progress.show(|| format!("{} of {away} have returned", net.sessions.resumed));
        net.turn(Duration::from_millis(20), &mut returns)?;
        if Instant::now() > deadline {
            break;
        }
    }
    drop(progress);
    watch.stop(away as u64, &mut report);
    report.put("resumed", net.sessions.resumed);
    report.put("refused", net.sessions.refused);
    report.put("rss_back_kib", server.rss());

    // If all sessions were resumed, each member must receive one more message exactly once.
    if net.sessions.refused == 0 {
        returns.exchange(&mut net, 1, away, options.timeout)?;
    }
    returns.mark(&mut net, options.timeout)?;
    net.settle_sessions(Duration::from_millis(150), &mut returns)?;
    report.put("rss_end_kib", server.rss());
    returns.finish(&net, &mut report);
    net.tell_closed(&mut report, &mut returns.faults);
    Ok((report, returns.faults))
}

impl Returns {
    fn new(options: &Options) -> Returns {
        let (rooms, observers) = (rooms(options), observers(options));
        let clients = 2 * observers..2 * observers + options.conns;
        Returns {
            names: (0..rooms).map(|room| format!("room-{room}")).collect(),
            members: options.members,
            observers,
            payload: vec![b'.'; options.size],
            joined: 0,
            sent: 0,
            received: 0,
            marks: 0,
            is_quiet: false,
            notices: [0; 3],
            ledger: Ledger::new(2 * rooms + clients.len(), 1),
            clients,
            faults: Faults::default(),
        }
    }

    /// Iterates over the connections in a room: the two observers, and then the clients.
    fn members(&self, room: usize) -> impl Iterator<Item = usize> + use<> {
        let (observer, first) = (room / ROOMS_EACH, self.clients.start + room * self.members);
        let clients = first..(first + self.members).min(self.clients.end);
        [observer, self.observers + observer].into_iter().chain(clients)
    }

    /// Returns the index in the ledger for a member of a room. Returns `None` if the connection is
    /// not a member.
    fn place(&self, room: usize, conn: usize) -> Option<usize> {
        let at = self.members(room).position(|member| member == conn)?;
        Some(match at {
            0 | 1 => 2 * room + at,
            _ => 2 * self.names.len() + conn - self.clients.start,
        })
    }

    fn join(&mut self, net: &mut Net, timeout: Duration) -> io::Result<()> {
        let all: Vec<(usize, usize)> = (0..self.names.len())
            .flat_map(|room| self.members(room).map(move |conn| (room, conn)))
            .collect();
        let (mut asked, deadline) = (0, Instant::now() + timeout);
        while self.joined < all.len() {
            for &(room, conn) in &all[asked..all.len().min(self.joined + JOINS)] {
                net.out().join(conn, &self.names[room]);
                asked += 1;
            }
            net.turn(Duration::from_millis(100), self)?;
            if Instant::now() > deadline {
                let (joined, all) = (self.joined, all.len());
                return Err(io::Error::other(format!(
                    "only {joined} of {all} joins were acknowledged"
                )));
            }
        }
        Ok(())
    }

    /// Makes the plain observers send messages to all rooms. They must arrive at all members that
    /// have a socket: the other observers, and `clients` of the clients.
    fn exchange(
        &mut self,
        net: &mut Net,
        messages: usize,
        clients: usize,
        timeout: Duration,
    ) -> io::Result<()> {
        let deadline = Instant::now() + timeout;
        for _ in 0..messages {
            let due = self.received + (self.names.len() + clients) as u64;
            let number = self.sent;
            self.sent += 1;
            let mut out = net.out();
            for (room, name) in self.names.iter().enumerate() {
                let stamp = Stamp { slot: room as u32, sender: 0, number, due: out.now };
                stamp.write(&mut self.payload);
                let (room, payload) = (room / ROOMS_EACH, &*self.payload);
                out.send(
                    room,
                    &PacketRef { room: name, event: EVENT, payload, ..PacketRef::default() },
                );
            }
            while self.received < due && Instant::now() < deadline {
                net.turn(Duration::from_millis(20), self)?;
            }
        }
        Ok(())
    }

    /// Sends a message to `root`, and waits until all other connections have received it. All
    /// earlier notices have arrived before it.
    fn mark(&mut self, net: &mut Net, timeout: Duration) -> io::Result<()> {
        let deadline = Instant::now() + timeout;
        let all = self.marks + self.clients.end - 1;
        net.out().send(0, &PacketRef { room: ROOT, event: MARK, ..PacketRef::default() });
        while self.marks < all && Instant::now() < deadline {
            net.turn(Duration::from_millis(20), self)?;
        }
        let missing = all.saturating_sub(self.marks) as u64;
        self.faults.add_many(missing, || format!("{missing} messages of root are missing"));
        Ok(())
    }

    /// Waits until the server is idle. If its process id is not known, waits for a fixed time.
    fn stand_still(&mut self, net: &mut Net, watch: &Watch, timeout: Duration) -> io::Result<()> {
        let deadline = Instant::now() + timeout;
        loop {
            let before = watch.server_cpu().unwrap_or_default();
            net.settle(QUIET_TIME, timeout, self)?;
            let used = watch.server_cpu().unwrap_or_default() - before;
            if used < 0.002 || Instant::now() > deadline {
                return Ok(());
            }
        }
    }

    /// Returns the number of deliveries that complete the run: those of all messages to every member
    /// except the senders.
    fn received_by_all(&self) -> u64 {
        self.sent * (self.names.len() + self.clients.len()) as u64
    }

    /// Counts the messages that are missing, and those that should not have arrived.
    fn finish(&mut self, net: &Net, report: &mut Report) {
        let mut missing = 0;
        for room in 0..self.names.len() {
            // Skip the plain observer, which has sent the messages.
            for place in self.members(room).skip(1).filter_map(|conn| self.place(room, conn)) {
                missing += self.ledger.missing(place, 0, self.sent);
            }
        }
        self.faults.add_many(missing, || format!("{missing} messages are missing"));
        self.faults.add_many(net.sessions.refused, || "sessions were not continued".into());
        let [plain, extended, clients] = self.notices;
        self.faults.add_many(plain + extended + clients, || {
            format!(
                "{plain} plain and {extended} extended notices arrived, {clients} at the clients"
            )
        });
        report.put("plain_notices", plain);
        report.put("extended_notices", extended);
        report.put("client_notices", clients);
        report.put("received", self.received);
        report.put("lost_copies", self.ledger.lost + missing);
        report.put("doubled_copies", self.ledger.again);
    }

    /// Records a message to a room. Returns `None` if it should not have reached this member.
    fn record(&mut self, out: &Out<'_>, conn: usize, packet: &PacketRef<'_>) -> Option<()> {
        let stamp = Stamp::read(packet.payload)?;
        let room = stamp.slot as usize;
        let is_from = out.ids.get(room / ROOMS_EACH).is_some_and(|id| packet.src == id);
        let is_in = self.names.get(room).is_some_and(|name| packet.room == name);
        let place =
            (is_from && is_in && stamp.number < self.sent).then(|| self.place(room, conn))?;
        let is_new = self.ledger.record(place?, 0, stamp.number, &mut self.faults);
        self.received += u64::from(is_new);
        Some(())
    }
}

impl Listener for Returns {
    fn packet(&mut self, out: &mut Out<'_>, conn: usize, packet: &PacketRef<'_>) {
        if is_notice(packet) {
            let kind = (conn / self.observers).min(2);
            self.notices[kind] += u64::from(self.is_quiet);
            return;
        }
        match packet.event {
            JOIN_ACK if packet.room != ROOT => self.joined += 1,
            MARK if packet.room == ROOT => self.marks += 1,
            EVENT if self.record(out, conn, packet).is_some() => {}
            _ => self.faults.add(|| {
                format!("connection {conn} received an unexpected packet: {}", show(packet))
            }),
        }
    }

    fn resumed(&mut self, _: &mut Out<'_>, conn: usize, received: u64) {
        // A client has sent only one packet, its join.
        if received != 1 {
            self.faults
                .add(|| format!("connection {conn}: {received} packets were handled instead of 1"));
        }
    }
}

fn rooms(options: &Options) -> usize {
    options.conns.div_ceil(options.members)
}

/// Returns the number of observers with each protocol.
fn observers(options: &Options) -> usize {
    rooms(options).div_ceil(ROOMS_EACH)
}

/// Returns the number of connections that a run needs.
pub fn connections(options: &Options) -> usize {
    options.conns + 2 * observers(options)
}
