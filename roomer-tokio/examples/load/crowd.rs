//! The scenarios with many connections in `root`.
//!
//! They measure what an idle connection costs, and check whether member lists converge while
//! connections join as fast as they can.

use std::io;
use std::time::{Duration, Instant};

use roomer_proto::{PacketRef, ROOT};

use crate::Outcome;
use crate::faults::{Faults, show};
use crate::listener::{IgnoreAll, Listener, Out};
use crate::members::{Change, changes, is_notice, listed};
use crate::net::Net;
use crate::options::Options;
use crate::process::{Process, Watch};
use crate::report::{Progress, Report};

/// The maximum number of messages in flight while direct messages wake idle connections.
const MAX_PENDING: usize = 256;

/// A set of ids, represented by their number and the sum of their hashes. If an id is missing or
/// duplicated, both change. Ten thousand sets of ten thousand ids fit into 160 KB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Set {
    count: u64,
    sum: u64,
}

impl Set {
    fn add(&mut self, id: &[u8]) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(hash(id));
    }

    fn remove(&mut self, id: &[u8]) {
        self.count = self.count.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(hash(id));
    }
}

/// Returns a hash of an id. It needs no key, because no attacker chooses the ids.
fn hash(id: &[u8]) -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    for chunk in id.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        state =
            (state.rotate_left(23) ^ u64::from_le_bytes(word)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        state ^= state >> 32;
    }
    state
}

/// For each connection, the members of `root` that it has been notified of.
struct Lists {
    lists: Vec<Set>,
    notices: u64,
    faults: Faults,
}

impl Listener for Lists {
    fn opened(&mut self, conn: usize, packet: &PacketRef<'_>) {
        let list = &mut self.lists[conn];
        listed(packet.payload).for_each(|id| list.add(id));
    }

    fn packet(&mut self, _: &mut Out<'_>, conn: usize, packet: &PacketRef<'_>) {
        let Lists { lists, notices, faults } = self;
        if !is_notice(packet) {
            faults.add(|| {
                format!("connection {conn} received an unexpected packet: {}", show(packet))
            });
        }
        changes(packet, |change, id| match change {
            Change::Joined => lists[conn].add(id),
            Change::Left => lists[conn].remove(id),
        });
        *notices += 1;
    }
}

impl Lists {
    /// Returns the number of connections whose set of members is correct.
    fn count_correct(&self, conns: std::ops::Range<usize>, expected: Set) -> usize {
        self.lists[conns].iter().filter(|list| **list == expected).count()
    }

    /// Waits until the sets of all connections are correct, or until packets stop arriving.
    fn converge(
        &mut self,
        net: &mut Net,
        conns: std::ops::Range<usize>,
        options: &Options,
    ) -> io::Result<usize> {
        let (all, mut progress) = (conns.len(), Progress::new());
        let deadline = Instant::now() + options.timeout;
        let mut expected = Set::default();
        net.ids()[conns.clone()].iter().for_each(|id| expected.add(id.as_bytes()));
        loop {
            let know = self.count_correct(conns.clone(), expected);
            if know == all || net.quiet_for() > options.patience || Instant::now() > deadline {
                let wrong = (all - know) as u64;
                self.faults.add_many(wrong, || format!("{wrong} of {all} member lists are wrong"));
                return Ok(know);
            }
            progress.show(|| format!("{know} of {all} know all others"));
            net.turn(Duration::from_millis(5), self)?;
        }
    }
}

pub fn joinstorm(options: &Options) -> Outcome {
    let server = Process::new(&options.pids)?;
    let (conns, rss) = (options.conns, server.rss());
    let mut net = Net::new(options)?;
    let mut lists =
        Lists { lists: vec![Set::default(); conns], notices: 0, faults: Faults::default() };
    server.forget_peak();
    let watch = Watch::start(&server);
    net.open(conns, options.timeout, &mut lists)?;
    let open = watch.elapsed().as_secs_f64();
    let know = lists.converge(&mut net, 0..conns, options)?;
    let seen = watch.elapsed().as_secs_f64();

    let mut report = Report::default();
    report.put("scenario", options.scenario.name());
    report.put("conns", conns);
    report.put("all_open_s", open);
    report.put("all_see_all_s", seen);
    report.put("seen_fraction", know as f64 / conns as f64);
    report.put("notices", lists.notices);
    report.put("per_read", net.messages as f64 / net.reads as f64);
    watch.stop(lists.notices, &mut report);
    report.put("rss_start_kib", rss);
    report.put("rss_peak_kib", server.peak());
    report.put("rss_end_kib", server.rss());

    // Some connections leave, and all others must be notified of that.
    let stay = conns - options.leave;
    for conn in stay..conns {
        net.leave(conn)?;
    }
    let know = lists.converge(&mut net, 0..stay, options)?;
    report.put("leave", options.leave);
    report.put("seen_fraction_after", know as f64 / stay as f64);
    net.tell_closed(&mut report, &mut lists.faults);
    Ok((report, lists.faults))
}

/// Counts the direct messages that were received.
#[derive(Default)]
struct Woken {
    got: usize,
    faults: Faults,
}

impl Listener for Woken {
    fn packet(&mut self, out: &mut Out<'_>, conn: usize, packet: &PacketRef<'_>) {
        if is_notice(packet) {
            return;
        }
        self.got += 1;
        if packet.event != "m" || packet.src != out.ids[(conn + 1) % out.ids.len()] {
            self.faults.add(|| {
                format!("connection {conn} received an unexpected packet: {}", show(packet))
            });
        }
    }
}

pub fn idle(options: &Options) -> Outcome {
    let server = Process::new(&options.pids)?;
    let conns = options.conns;
    let mut report = Report::default();
    report.put("scenario", options.scenario.name());
    report.put("conns", conns);
    let start_kib = server.rss();
    let each = |kib: Option<u64>| Some((kib? as f64 - start_kib? as f64) * 1024.0 / conns as f64);
    let mut net = Net::new(options)?;
    // Each new connection is announced to all earlier ones. Do not parse the notices, since only
    // the memory of the server matters here.
    net.skim = true;
    // A session keeps packets until they are acknowledged, for up to 5 s. They must not count as
    // the cost of an idle connection.
    net.eager_acks = true;
    let watch = Watch::start(&server);
    net.open(conns, options.timeout, &mut IgnoreAll)?;
    report.put("open_s", watch.elapsed().as_secs_f64());
    net.settle(Duration::from_secs(1), Duration::from_secs(60), &mut IgnoreAll)?;
    report.put("connect_cpu_us", watch.server_cpu().map(|cpu| cpu / conns as f64 * 1e6));
    // A connection is not idle as long as it has packets that are not acknowledged.
    net.settle_sessions(Duration::from_millis(200), &mut IgnoreAll)?;
    let idle_kib = server.rss();
    report.put("rss_start_kib", start_kib);
    report.put("rss_idle_kib", idle_kib);
    report.put("rss_per_idle_conn_bytes", each(idle_kib));

    // Each connection now receives a message, and sends one.
    net.skim = false;
    let mut woken = Woken::default();
    let (payload, mut sent) = (vec![b'.'; options.size], 0);
    let mut progress = Progress::new();
    while woken.got < conns && net.quiet_for() < options.patience {
        let mut out = net.out();
        while sent < conns.min(woken.got + MAX_PENDING) {
            let (dst, payload) = (&*out.ids[(sent + conns - 1) % conns], &*payload);
            out.send(sent, &PacketRef { room: ROOT, event: "m", dst, src: "", payload });
            sent += 1;
        }
        progress.show(|| format!("{} of {conns} have received data", woken.got));
        net.turn(Duration::from_millis(100), &mut woken)?;
    }
    drop(progress);
    let missing = (conns - woken.got) as u64;
    woken.faults.add_many(missing, || format!("{missing} direct messages are missing"));
    net.settle(Duration::from_millis(500), Duration::from_secs(10), &mut woken)?;
    report.put("rss_per_active_conn_bytes", each(server.rss()));

    let rest = Watch::start(&server);
    net.settle(Duration::from_secs(1), Duration::from_secs(1), &mut woken)?;
    let rest_s = rest.elapsed().as_secs_f64();
    report.put("rest_cores", rest.server_cpu().map(|cpu| cpu / rest_s));
    net.tell_closed(&mut report, &mut woken.faults);
    Ok((report, woken.faults))
}
