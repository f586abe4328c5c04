//! The server process. Tests control it through pipes and signals, and measure it through `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::serve::{LISTENING, OPTIONS, STATS_LINE};
use roomer_conformance::client::{Client, TIMEOUT};

/// A lock for tests that keep all cores busy, so that they run one after another. If they ran at
/// the same time on a machine with few cores, they would slow each other down and time out.
static BUSY: Mutex<()> = Mutex::new(());

/// A running server process. Dropping this value kills the process.
pub(crate) struct Process {
    /// The lock that a busy test holds.
    _turn: Option<MutexGuard<'static, ()>>,
    pub(crate) addr: SocketAddr,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// The statistics that the server process reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerStats {
    pub(crate) connections: usize,
    pub(crate) rooms: usize,
    pub(crate) memberships: usize,
    /// The number of sockets. It includes sockets in handshakes, and closing connections.
    pub(crate) sockets: usize,
    pub(crate) queued: usize,
    pub(crate) bytes_in: usize,
    /// The number of connections that have ended without a close frame.
    pub(crate) lost: usize,
    /// The number of clients that could not resume a session, by reason. The first one is that the
    /// session is unknown.
    pub(crate) refused: [usize; 5],
    /// The number of connections that the server has closed, by close code.
    pub(crate) closes: BTreeMap<u16, usize>,
}

/// The resources of the operating system that a process uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resources {
    pub(crate) descriptors: usize,
    /// Resident memory, in KiB.
    pub(crate) memory: usize,
}

impl Process {
    /// Starts a server with options for [`serve`](super::serve), given as `name=value` and
    /// separated by spaces.
    pub(crate) fn start(options: &str) -> Process {
        Process::spawn(options, None)
    }

    /// Starts a server for a test that keeps all cores busy. Waits until no other such test is
    /// running.
    pub(crate) fn start_busy(options: &str) -> Process {
        Process::spawn(options, Some(BUSY.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    fn spawn(options: &str, turn: Option<MutexGuard<'static, ()>>) -> Process {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "chaos::serve::serve",
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(OPTIONS, options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this executable runs");
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let addr = SocketAddr::from(([0; 4], 0));
        let mut process = Process { _turn: turn, addr, child, input, output };
        process.addr = process.read_line(LISTENING).parse().expect("an address");
        process
    }

    /// Waits for the next line that begins with `beginning`. Returns the rest of that line.
    fn read_line(&mut self, beginning: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            let size = self.output.read_line(&mut line).expect("the server writes");
            assert_ne!(size, 0, "the server has ended: {:?}", self.child.wait());
            if let Some((_, rest)) = line.split_once(beginning) {
                return rest.trim_end().into();
            }
        }
    }

    /// Connects a client, which is then a member of `root`.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.addr)
    }

    pub(crate) fn numbers(&mut self) -> ServerStats {
        self.input.write_all(b"\n").expect("the server reads");
        let line = self.read_line(STATS_LINE);
        let mut words = line.split(' ').filter(|word| !word.is_empty());
        let mut next = || words.next().unwrap().parse().unwrap();
        let [connections, rooms, memberships, sockets, queued, bytes_in, lost] =
            [(); 7].map(|()| next());
        let refused = [(); 5].map(|()| next());
        let closes = words.map(|word| {
            let (code, count) = word.split_once(':').unwrap();
            (code.parse().unwrap(), count.parse().unwrap())
        });
        let closes = closes.collect();
        ServerStats {
            connections,
            rooms,
            memberships,
            sockets,
            queued,
            bytes_in,
            lost,
            refused,
            closes,
        }
    }

    /// Requests statistics until `is_so` returns true for them, for [`TIMEOUT`] at most.
    #[track_caller]
    pub(crate) fn until(&mut self, is_so: impl Fn(&ServerStats) -> bool) -> ServerStats {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let numbers = self.numbers();
            if is_so(&numbers) {
                return numbers;
            }
            assert!(Instant::now() < deadline, "still {numbers:?}");
            pause();
        }
    }

    /// Waits until no connection is left, and then until the descriptors and the memory are back at
    /// `before`, plus the KiB of memory that the allocator may keep (`grant`).
    ///
    /// The allowance must be valid for any allocator, which may keep pages that the server has
    /// freed. Each caller therefore chooses an allowance far above what allocators keep after its
    /// load, and far below what the attack would leave behind if the server did not free it.
    #[track_caller]
    pub(crate) fn recovers(&mut self, before: Resources, grant: usize) {
        let now = self.returns_to(before, grant);
        assert!(now.is_ok(), "it was {before:?} and is {now:?}");
    }

    /// Like `recovers`, but returns the current resources as an error if they stay above the limit.
    #[track_caller]
    pub(crate) fn returns_to(&mut self, before: Resources, grant: usize) -> Result<(), Resources> {
        self.until(|numbers| numbers.sockets == 0);
        let numbers = self.numbers();
        let tables = (numbers.connections, numbers.rooms, numbers.memberships, numbers.queued);
        assert_eq!(tables, (0, 0, 0, 0), "the tables are not empty");
        let deadline = Instant::now() + TIMEOUT / 6;
        loop {
            let now = self.level();
            let is_back = now.memory <= before.memory + grant;
            if is_back && now.descriptors <= before.descriptors {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(now);
            }
            pause();
        }
    }

    pub(crate) fn level(&self) -> Resources {
        let descriptors = fs::read_dir(self.proc("fd")).expect("the test needs Linux").count();
        Resources { descriptors, memory: self.status("VmRSS:") }
    }

    /// Returns the peak of resident memory since [`forget_peak`](Self::forget_peak), in KiB.
    pub(crate) fn peak(&self) -> usize {
        self.status("VmHWM:")
    }

    pub(crate) fn forget_peak(&self) {
        fs::write(self.proc("clear_refs"), "5").expect("a child process");
    }

    /// Returns true if a thread of the process is runnable.
    pub(crate) fn is_runnable(&self) -> bool {
        let threads = fs::read_dir(self.proc("task")).expect("the test needs Linux").flatten();
        // If a thread has just ended, its file no longer exists.
        let stats =
            threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
        stats
            .filter_map(|stat| stat.rsplit_once(") ").map(|(_, rest)| rest.starts_with('R')))
            .any(|is| is)
    }

    /// Returns the CPU time that the process has used in user and in kernel mode.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(self.proc("stat")).unwrap();
        // The name in parentheses may contain any characters. The times are fields 14 and 15.
        let fields = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().skip(11);
        let ticks: u64 = fields.take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_secs(ticks) / rustix::param::clock_ticks_per_second() as u32
    }

    fn status(&self, key: &str) -> usize {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.split_ascii_whitespace().next().unwrap().parse().unwrap()
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a child process");
    }

    /// Waits until the process has exited. Returns its status.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            pause();
        }
    }

    /// Ends the process with SIGTERM. The process must exit successfully.
    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        assert!(self.ended().success(), "the process failed");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The kill fails if the process has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Pauses between two checks. Polling is necessary because the server process cannot notify the
/// test.
pub(crate) fn pause() {
    thread::sleep(Duration::from_millis(10));
}
