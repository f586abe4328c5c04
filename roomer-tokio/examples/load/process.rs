//! A process's CPU time and memory, measured from outside (Linux only; unknown on other systems).

use std::fs;
use std::time::{Duration, Instant};

use crate::report::Report;

/// If the precise CPU time differs from the coarse one by more than this, it is discarded, since
/// threads have ended.
const TOLERANCE: f64 = 0.05;

/// The server's processes, or those of a cluster's nodes. Empty if unknown.
#[derive(Clone, Debug)]
pub struct Process(Vec<u32>);

#[derive(Clone, Copy, Debug)]
struct Cpu {
    /// The run time of the live threads in seconds, with nanosecond resolution.
    precise: f64,
    /// The user and system time of the whole process in seconds, with a resolution of 10 ms.
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

    /// Returns the CPU time used by all processes so far.
    fn cpu(&self) -> Option<Cpu> {
        let mut all = self.0.iter().map(|pid| cpu(*pid));
        let sum = |sum: Cpu, one: Option<Cpu>| {
            let one = one?;
            Some(Cpu { precise: sum.precise + one.precise, coarse: sum.coarse + one.coarse })
        };
        let none = Cpu { precise: 0.0, coarse: 0.0 };
        if self.0.is_empty() { None } else { all.try_fold(none, sum) }
    }

    /// Sums a value of `/proc/PID/status` over all processes.
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

    /// Resets the peak, if the system permits it.
    pub fn forget_peak(&self) {
        for pid in &self.0 {
            let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
        }
    }

    pub fn threads(&self) -> Option<u64> {
        self.status_kib("Threads:")
    }
}

/// Returns the CPU time used by a process so far.
fn cpu(pid: u32) -> Option<Cpu> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may contain any character. User and system time are fields 14 and 15.
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

/// A period, and the resources that the server and the generator used during it.
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

    /// Returns the CPU time used by the server so far, in seconds.
    pub fn server_cpu(&self) -> Option<f64> {
        used(self.cpu, self.server.cpu())
    }

    pub fn elapsed(&self) -> Duration {
        self.at.elapsed()
    }

    /// Ends the period: reports its measurements, and the CPU time per unit of work as `cpu_us`.
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

/// Returns the CPU time between two measurements, in seconds. If threads have ended in between, the
/// precise values lack them, so the coarse values are used.
fn used(from: Option<Cpu>, to: Option<Cpu>) -> Option<f64> {
    let (from, to) = (from?, to?);
    let (precise, coarse) = (to.precise - from.precise, to.coarse - from.coarse);
    let agree = (precise - coarse).abs() <= TOLERANCE + 0.1 * coarse;
    Some(if agree { precise } else { coarse })
}
