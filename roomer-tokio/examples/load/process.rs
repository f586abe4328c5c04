//! CPU time and memory of a process, seen from outside (Linux; elsewhere nothing is known).

use std::fs;
use std::time::{Duration, Instant};

use crate::report::Report;

/// How much the counters of ended threads may lag before the precise figure is given up.
const TOLERANCE: f64 = 0.05;

/// The processes of the server, or of a cluster's nodes; none if they are not known.
#[derive(Clone, Debug)]
pub struct Process(Vec<u32>);

#[derive(Clone, Copy, Debug)]
struct Cpu {
    /// The run time of the threads that are alive, to the nanosecond.
    precise: f64,
    /// User and system time of the whole process, in clock ticks of 10 ms.
    coarse: f64,
}

impl Process {
    pub fn new(pids: &[u32]) -> Result<Process, String> {
        match pids.iter().find(|pid| cpu(**pid).is_none()) {
            Some(pid) => Err(format!("there is no process {pid} here")),
            None => Ok(Process(pids.to_vec())),
        }
    }

    fn own() -> Process {
        Process(vec![std::process::id()])
    }

    /// Returns the CPU time of all processes so far.
    fn cpu(&self) -> Option<Cpu> {
        let mut all = self.0.iter().map(|pid| cpu(*pid));
        let sum = |sum: Cpu, one: Option<Cpu>| {
            let one = one?;
            Some(Cpu { precise: sum.precise + one.precise, coarse: sum.coarse + one.coarse })
        };
        let none = Cpu { precise: 0.0, coarse: 0.0 };
        if self.0.is_empty() { None } else { all.try_fold(none, sum) }
    }

    /// Sums a figure over all processes.
    fn status_kib(&self, key: &str) -> Option<u64> {
        let each = self.0.iter().map(|pid| -> Option<u64> {
            let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_ascii_whitespace().next()?.parse().ok()
        });
        if self.0.is_empty() { None } else { each.sum() }
    }

    /// Returns the resident memory in KiB.
    pub fn rss(&self) -> Option<u64> {
        self.status_kib("VmRSS:")
    }

    /// Returns the peak of resident memory since [`forget_peak`](Self::forget_peak), in KiB.
    pub fn peak(&self) -> Option<u64> {
        self.status_kib("VmHWM:")
    }

    /// Resets the peak, where the system allows it.
    pub fn forget_peak(&self) {
        for pid in &self.0 {
            let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
        }
    }

    pub fn threads(&self) -> Option<u64> {
        self.status_kib("Threads:")
    }
}

/// Returns the CPU time of a process so far.
fn cpu(pid: u32) -> Option<Cpu> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may contain anything; user and system time are fields 14 and 15.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    let coarse = (ticks()? + ticks()?) / rustix::param::clock_ticks_per_second() as f64;
    let mut nanos = 0.0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let line = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        nanos += line.split(' ').next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0);
    }
    Some(Cpu { precise: nanos / 1e9, coarse })
}

/// A period of time, and the resources that the server and the generator used in it.
#[derive(Debug)]
pub struct Watch {
    server: Process,
    at: Instant,
    cpu: Option<Cpu>,
    own: Option<Cpu>,
}

impl Watch {
    pub fn start(server: &Process) -> Watch {
        let cpu = server.cpu();
        Watch { server: server.clone(), at: Instant::now(), cpu, own: Process::own().cpu() }
    }

    /// Returns the server's CPU seconds so far.
    pub fn server_cpu(&self) -> Option<f64> {
        used(self.cpu, self.server.cpu())
    }

    pub fn elapsed(&self) -> Duration {
        self.at.elapsed()
    }

    /// Ends the stretch: writes its figures and gives the CPU per unit of work as `cpu_us`.
    pub fn stop(&self, units: u64, report: &mut Report) {
        let wall = self.at.elapsed().as_secs_f64();
        let server = self.server_cpu();
        let own = used(self.own, Process::own().cpu());
        report.put("wall_s", wall);
        report.put("server_cpu_s", server);
        report.put("server_cores", server.map(|cpu| cpu / wall));
        report.put("server_threads", self.server.threads());
        report.put("generator_cores", own.map(|cpu| cpu / wall));
        report.put("cpu_us", server.map(|cpu| cpu / units as f64 * 1e6));
        report.put("generator_us", own.map(|cpu| cpu / units as f64 * 1e6));
    }
}

/// Threads that ended take their precise figure with them; then the coarse one is the better.
fn used(from: Option<Cpu>, to: Option<Cpu>) -> Option<f64> {
    let (from, to) = (from?, to?);
    let (precise, coarse) = (to.precise - from.precise, to.coarse - from.coarse);
    let agree = (precise - coarse).abs() <= TOLERANCE + 0.1 * coarse;
    Some(if agree { precise } else { coarse })
}
