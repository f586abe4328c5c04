//! The server's process, seen from outside.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::serve::{LISTENING, NUMBERS, OPTIONS};
use roomer_conformance::client::{Client, TIMEOUT};

/// A running server. It ends with this.
pub(crate) struct Process {
    pub(crate) addr: SocketAddr,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// How much there is of everything in the server, by its own word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) connections: usize,
    pub(crate) rooms: usize,
    pub(crate) memberships: usize,
    /// Handshakes and those being closed included.
    pub(crate) sockets: usize,
    pub(crate) queued: usize,
    pub(crate) bytes_in: usize,
    /// Cut without a close frame.
    pub(crate) lost: usize,
    /// Closed by the server, by close code.
    pub(crate) closes: BTreeMap<u16, usize>,
}

/// What a process has of the system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level {
    pub(crate) descriptors: usize,
    /// KiB of memory in use.
    pub(crate) memory: usize,
}

impl Process {
    /// Starts a server with options of [`serve`](super::serve), as `name=value` with spaces.
    pub(crate) fn start(options: &str) -> Process {
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
        let mut process = Process { addr, child, input, output };
        process.addr = process.hear(LISTENING).parse().expect("an address");
        process
    }

    /// The rest of the next line that begins so.
    fn hear(&mut self, beginning: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            let size = self.output.read_line(&mut line).expect("the server speaks");
            assert_ne!(size, 0, "the server has ended: {:?}", self.child.wait());
            if let Some((_, rest)) = line.split_once(beginning) {
                return rest.trim_end().into();
            }
        }
    }

    /// Somebody new, in root.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.addr)
    }

    pub(crate) fn numbers(&mut self) -> Numbers {
        self.input.write_all(b"\n").expect("the server listens");
        let line = self.hear(NUMBERS);
        let mut words = line.split(' ').filter(|word| !word.is_empty());
        let mut next = || words.next().unwrap().parse().unwrap();
        let [connections, rooms, memberships, sockets, queued, bytes_in, lost] =
            [(); 7].map(|()| next());
        let closes = words.map(|word| {
            let (code, count) = word.split_once(':').unwrap();
            (code.parse().unwrap(), count.parse().unwrap())
        });
        let closes = closes.collect();
        Numbers { connections, rooms, memberships, sockets, queued, bytes_in, lost, closes }
    }

    /// Asks for the numbers until they are as they should be, which must be soon.
    #[track_caller]
    pub(crate) fn until(&mut self, is_so: impl Fn(&Numbers) -> bool) -> Numbers {
        let start = Instant::now();
        loop {
            let numbers = self.numbers();
            if is_so(&numbers) {
                return numbers;
            }
            assert!(start.elapsed() < TIMEOUT, "still {numbers:?}");
            pause();
        }
    }

    /// Waits until nobody is left, then until descriptors and memory are back at a level: so many
    /// KiB more memory are granted to the allocator.
    #[track_caller]
    pub(crate) fn recovers(&mut self, before: Level, grant: usize) {
        let now = self.comes_back(before, grant);
        assert!(now.is_ok(), "it was {before:?} and is {now:?}");
    }

    /// The same, or at which level it stays.
    #[track_caller]
    pub(crate) fn comes_back(&mut self, before: Level, grant: usize) -> Result<(), Level> {
        self.until(|numbers| numbers.sockets == 0);
        let numbers = self.numbers();
        let tables = (numbers.connections, numbers.rooms, numbers.memberships, numbers.queued);
        assert_eq!(tables, (0, 0, 0, 0), "something is left");
        let start = Instant::now();
        loop {
            let now = self.level();
            let is_back = now.memory <= before.memory + grant;
            if is_back && now.descriptors <= before.descriptors {
                return Ok(());
            }
            if start.elapsed() >= TIMEOUT / 6 {
                return Err(now);
            }
            pause();
        }
    }

    pub(crate) fn level(&self) -> Level {
        let descriptors = fs::read_dir(self.proc("fd")).expect("the test needs Linux").count();
        Level { descriptors, memory: self.status("VmRSS:") }
    }

    /// The most memory that was in use since [`forget_peak`](Self::forget_peak), in KiB.
    pub(crate) fn peak(&self) -> usize {
        self.status("VmHWM:")
    }

    pub(crate) fn forget_peak(&self) {
        fs::write(self.proc("clear_refs"), "5").expect("one's own child");
    }

    /// Whether one of its threads has something to do.
    pub(crate) fn is_runnable(&self) -> bool {
        let threads = fs::read_dir(self.proc("task")).expect("the test needs Linux").flatten();
        // One may have ended meanwhile.
        let stats =
            threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
        stats
            .filter_map(|stat| stat.rsplit_once(") ").map(|(_, rest)| rest.starts_with('R')))
            .any(|is| is)
    }

    /// CPU time so far, user's and system's.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(self.proc("stat")).unwrap();
        // The name in parentheses may contain anything; the times are fields 14 and 15.
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
        kill_process(Pid::from_child(&self.child), signal).expect("one's own child");
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < TIMEOUT, "it does not end");
            pause();
        }
    }

    /// Ends it as an operator does; it must end well.
    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        assert!(self.ended().success(), "it ended badly");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Between two looks at something that tells nobody when it changes: the server's process.
pub(crate) fn pause() {
    thread::sleep(Duration::from_millis(10));
}
