//! The scenario `direct`: pairs of connections exchange direct messages without a delay.

use std::time::{Duration, Instant};

use roomer_proto::{JOIN_ACK, PacketRef, ROOT};

use crate::Outcome;
use crate::faults::{Faults, show};
use crate::ledger::Ledger;
use crate::listener::{Listener, Out};
use crate::members::is_notice;
use crate::net::Net;
use crate::options::Options;
use crate::process::{Process, Watch};
use crate::report::{Latencies, Progress, Report};
use crate::wire::Stamp;

const EVENT: &str = "m";

struct Pairs {
    payload: Vec<u8>,
    sent: Vec<u64>,
    got: u64,
    stopped: bool,
    patience: Duration,
    trips: Latencies,
    ledger: Ledger,
    faults: Faults,
}

pub fn run(options: &Options) -> Outcome {
    let server = Process::new(&options.pids)?;
    let conns = options.connections();
    let mut net = Net::new(options)?;
    let mut pairs = Pairs {
        payload: vec![b'.'; options.size],
        sent: vec![0; conns],
        got: 0,
        stopped: false,
        patience: options.patience,
        trips: Latencies::new(),
        ledger: Ledger::new(conns, 1),
        faults: Faults::default(),
    };
    net.open(conns, options.timeout, &mut pairs)?;
    net.settle(Duration::from_millis(150), Duration::from_secs(30), &mut pairs)?;
    let mut out = net.out();
    let now = out.now;
    for conn in (0..conns).step_by(2) {
        pairs.send(&mut out, conn, now);
    }
    pairs.go_on(&mut net, options.warmup)?;
    pairs.trips.clear();
    let (before, watch) = (pairs.got, Watch::start(&server));
    pairs.go_on(&mut net, options.secs)?;
    let got = pairs.got - before;
    let wall = watch.elapsed().as_secs_f64();

    let mut report = Report::default();
    report.put("scenario", options.scenario.name());
    report.put("pairs", options.pairs);
    report.put("size", options.size);
    watch.stop(got, &mut report);
    report.put("delivered", got);
    report.put("delivered_per_s", got as f64 / wall);
    // Report the latencies of the round trips.
    pairs.trips.put(&mut report);
    pairs.stopped = true;
    while pairs.missing() > 0 && net.quiet_for() < options.patience {
        net.turn(Duration::from_millis(20), &mut pairs)?;
    }
    let missing = pairs.missing();
    pairs.faults.add_many(missing, || format!("{missing} messages are missing"));
    report.put("lost_copies", pairs.ledger.lost + missing);
    net.tell_closed(&mut report, &mut pairs.faults);
    Ok((report, pairs.faults))
}

impl Pairs {
    fn send(&mut self, out: &mut Out<'_>, conn: usize, due: u64) {
        let number = &mut self.sent[conn];
        Stamp { slot: conn as u32, sender: 0, number: *number, due }.write(&mut self.payload);
        *number += 1;
        let (dst, payload) = (&*out.ids[conn ^ 1], &*self.payload);
        out.send(conn, &PacketRef { room: ROOT, event: EVENT, dst, src: "", payload });
    }

    /// Returns the number of messages that are in flight.
    fn missing(&self) -> u64 {
        let to = |conn: usize| self.ledger.missing(conn, 0, self.sent[conn ^ 1]);
        (0..self.sent.len()).map(to).sum()
    }

    fn go_on(&mut self, net: &mut Net, time: Duration) -> std::io::Result<()> {
        let (start, mut progress, before) = (Instant::now(), Progress::new(), self.got);
        while start.elapsed() < time {
            net.turn(Duration::from_millis(20), self)?;
            if net.quiet_for() > self.patience {
                self.faults.add(|| "all messages were lost: nothing more arrives".into());
                break;
            }
            progress.show(|| {
                let secs = start.elapsed().as_secs_f64();
                let rate = (self.got - before) as f64 / secs / 1000.0;
                format!("{secs:.1} of {time:?}: {rate:.0} thousand messages per second")
            });
        }
        Ok(())
    }
}

impl Listener for Pairs {
    fn packet(&mut self, out: &mut Out<'_>, conn: usize, packet: &PacketRef<'_>) {
        if packet.event == JOIN_ACK || is_notice(packet) {
            return;
        }
        let mate = conn ^ 1;
        let stamp = Stamp::read(packet.payload).filter(|stamp| {
            packet.event == EVENT && packet.src == out.ids[mate] && stamp.slot as usize == mate
        });
        let Some(stamp) = stamp else {
            return self.faults.add(|| {
                format!("connection {conn} received what its peer did not send: {}", show(packet))
            });
        };
        if !self.ledger.record(conn, 0, stamp.number, &mut self.faults) {
            return;
        }
        self.got += 1;
        // The first connection of a pair starts each round trip, and measures how long it takes.
        let due = if conn.is_multiple_of(2) {
            self.trips.add(out.now.saturating_sub(stamp.due));
            out.now
        } else {
            stamp.due
        };
        if !self.stopped {
            self.send(out, conn, due);
        }
    }
}
