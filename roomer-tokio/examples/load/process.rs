//! The CPU time and the memory of processes, measured from outside. They are known only on Linux.

use std::fs;
use std::time::{Duration, Instant};

use crate::report::Report;

/// If the precise CPU time differs from the coarse one by more than this fraction, threads have
/// ended, and the precise time is wrong.
const TOLERANCE: f64 = 0.05;

/// The process of the server, or the processes of a cluster's nodes. Empty if they are not known.
#[derive(Clone, Debug)]
pub struct Process(Vec<u32>);

#[derive(Clone, Copy, Debug)]
struct Cpu {
    /// The time in seconds for which the threads that still exist have run, with a resolution of
    /// nanoseconds.
    precise: f64,
    /// The time in seconds that the whole process has used, in user and in kernel mode, with a
    /// resolution of 10 ms.
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

    /// Returns the CPU time that all processes have used so far.
    fn cpu(&self) -> Option<Cpu> {
        let mut all = self.0.iter().map(|pid| cpu(*pid));
        let sum = |sum: Cpu, one: Option<Cpu>| {
            let one = one?;
            Some(Cpu { precise: sum.precise + one.precise, coarse: sum.coarse + one.coarse })
        };
        let none = Cpu { precise: 0.0, coarse: 0.0 };
        if self.0.is_empty() { None } else { all.try_fold(none, sum) }
    }

    /// Returns the sum of a value in `/proc/PID/status` over all processes.
    fn status_kib(&self, key: &str) -> Option<u64> {
        let each = self.0.iter().map(|pid| -> Option<u64> {
            let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_ascii_whitespace().next()?.parse().ok()
        });
        if self.0.is_empty() { None } else { each.sum() }
    }

    /// Returns the resident memory of all processes, in KiB.
    pub fn rss(&self) -> Option<u64> {
        self.status_kib("VmRSS:")
    }

    /// Returns the peak of the resident memory since [`forget_peak`](Self::forget_peak), in KiB.
    pub fn peak(&self) -> Option<u64> {
        self.status_kib("VmHWM:")
    }

    /// Resets the peak of the resident memory, if the system permits that.
    pub fn forget_peak(&self) {
        for pid in &self.0 {
            let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
        }
    }

    pub fn threads(&self) -> Option<u64> {
        self.status_kib("Threads:")
    }
}

/// Returns the CPU time that a process has used so far.
fn cpu(pid: u32) -> Option<Cpu> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may contain any characters. Fields 14 and 15 are the user and the
    // system time.
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

/// Measures the resources that the server and the generator use in a period of time.
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

    /// Returns the CPU time that the server has used so far, in seconds.
    pub fn server_cpu(&self) -> Option<f64> {
        used(self.cpu, self.server.cpu())
    }

    pub fn elapsed(&self) -> Duration {
        self.at.elapsed()
    }

    /// Ends the period. Adds its measurements to the report, and the CPU time per unit of work as
    /// `cpu_us`.
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

/// Returns the CPU time between two measurements, in seconds. If threads have ended in between,
/// their time is missing in the precise values, so the coarse ones are used.
fn used(from: Option<Cpu>, to: Option<Cpu>) -> Option<f64> {
    let (from, to) = (from?, to?);
    let (precise, coarse) = (to.precise - from.precise, to.coarse - from.coarse);
    let agree = (precise - coarse).abs() <= TOLERANCE + 0.1 * coarse;
    Some(if agree { precise } else { coarse })
}
