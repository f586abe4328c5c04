//! The scenario `churn`: connections join new rooms and leave them, as fast as the server answers.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use roomer_proto::{JOIN_ACK, LEAVE_ACK, PacketRef, ROOT};

use crate::Outcome;
use crate::faults::{Faults, show};
use crate::listener::{IgnoreAll, Listener, Out};
use crate::members::listed;
use crate::net::Net;
use crate::options::Options;
use crate::process::{Process, Watch};
use crate::report::{Progress, Report};

struct Churn {
    /// For each connection, its current room, and the number of rooms before that one.
    rooms: Vec<(String, u64)>,
    inside: Vec<bool>,
    stopped: bool,
    patience: Duration,
    unanswered: usize,
    joins: u64,
    leaves: u64,
    faults: Faults,
}

pub fn run(options: &Options) -> Outcome {
    let server = Process::new(&options.pids)?;
    let mut net = Net::new(options)?;
    net.open(options.conns, options.timeout, &mut IgnoreAll)?;
    net.settle(Duration::from_millis(150), Duration::from_secs(30), &mut IgnoreAll)?;
    let rss = server.rss();
    let mut churn = Churn {
        rooms: (0..options.conns).map(|conn| (format!("{conn}-0"), 0)).collect(),
        inside: vec![false; options.conns],
        stopped: false,
        patience: options.patience,
        unanswered: options.conns,
        joins: 0,
        leaves: 0,
        faults: Faults::default(),
    };
    let mut out = net.out();
    for (conn, (room, _)) in churn.rooms.iter().enumerate() {
        out.join(conn, room);
    }
    churn.go_on(&mut net, options.warmup)?;
    // Measure only what happens after the warm-up.
    let (joins, leaves, watch) = (churn.joins, churn.leaves, Watch::start(&server));
    churn.go_on(&mut net, options.secs)?;
    let (joins, leaves) = (churn.joins - joins, churn.leaves - leaves);
    let wall = watch.elapsed().as_secs_f64();
    let mut report = Report::default();
    report.put("scenario", options.scenario.name());
    report.put("conns", options.conns);
    watch.stop(joins + leaves, &mut report);
    report.put("joins", joins);
    report.put("leaves", leaves);
    report.put("ops_per_s", (joins + leaves) as f64 / wall);
    report.put("rss_ready_kib", rss);
    report.put("rss_end_kib", server.rss());
    // Wait for the operations in flight: if one is not answered, that is a fault.
    churn.stopped = true;
    while churn.unanswered > 0 && net.quiet_for() < options.patience {
        net.turn(Duration::from_millis(20), &mut churn)?;
    }
    let unanswered = churn.unanswered as u64;
    churn.faults.add_many(unanswered, || format!("{unanswered} acknowledgements are missing"));
    net.tell_closed(&mut report, &mut churn.faults);
    Ok((report, churn.faults))
}

impl Churn {
    fn go_on(&mut self, net: &mut Net, time: Duration) -> std::io::Result<()> {
        let (start, mut progress, before) = (Instant::now(), Progress::new(), self.joins);
        while start.elapsed() < time {
            net.turn(Duration::from_millis(20), self)?;
            if net.quiet_for() > self.patience {
                self.faults.add(|| "acknowledgements were lost: nothing more arrives".into());
                break;
            }
            progress.show(|| {
                let secs = start.elapsed().as_secs_f64();
                let rate = (self.joins - before) as f64 / secs / 1000.0;
                format!("{secs:.1} of {time:?}: {rate:.0} thousand joins per second")
            });
        }
        Ok(())
    }
}

impl Listener for Churn {
    fn packet(&mut self, out: &mut Out<'_>, conn: usize, packet: &PacketRef<'_>) {
        if packet.room == ROOT {
            return;
        }
        let (room, times) = &mut self.rooms[conn];
        let id = &*out.ids[conn];
        match packet.event {
            JOIN_ACK if !self.inside[conn] && packet.room == room => {
                if !listed(packet.payload).eq([id.as_bytes()]) {
                    self.faults.add(|| {
                        format!("connection {conn} is not alone in {room}: {}", show(packet))
                    });
                }
                self.inside[conn] = true;
                self.joins += 1;
                match self.stopped {
                    false => out.leave(conn, room),
                    true => self.unanswered -= 1,
                }
            }
            LEAVE_ACK if self.inside[conn] && packet.room == room => {
                self.inside[conn] = false;
                self.leaves += 1;
                *times += 1;
                room.clear();
                let _ = write!(room, "{conn}-{times}");
                match self.stopped {
                    false => out.join(conn, room),
                    true => self.unanswered -= 1,
                }
            }
            _ => self.faults.add(|| {
                format!("connection {conn}, room {room}: unexpected packet {}", show(packet))
            }),
        }
    }
}
