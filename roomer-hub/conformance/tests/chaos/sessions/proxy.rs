//! A TCP proxy that resets, cuts, half-closes, stalls and throttles connections at random.
//!
//! A fault may occur at any byte.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use roomer_simulator::random::{Random, Source};

use crate::chaos::peer::{ReceiveBuffer, dial, is_early, reset};

/// The maximum number of bytes that are buffered for one side.
const MAX_WAITING: usize = 32 * 1024;

/// The time for which the sockets of a vanished connection stay open. During this time, both sides
/// can detect the loss only because the other is silent.
const VANISHED: Duration = Duration::from_secs(8);

/// The number of faults, by kind.
pub(super) type FaultCounts = [usize; Fault::NAMES.len()];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Both sides receive a reset.
    Reset,
    /// Both sides receive the end of the stream.
    Cut,
    /// One direction is shut down. The other one keeps working for a while.
    HalfClose,
    /// One or both directions stop for a while.
    Stall,
    /// No more bytes pass, and neither side is notified of the fault.
    Vanish,
    /// Only a few bytes pass at a time.
    Trickle,
}

impl Fault {
    pub(super) const NAMES: [&'static str; 6] =
        ["reset", "cut", "half-close", "stall", "vanish", "trickle"];
    const ALL: [Fault; 6] =
        [Fault::Reset, Fault::Cut, Fault::HalfClose, Fault::Stall, Fault::Vanish, Fault::Trickle];
}

/// One direction of a connection.
#[derive(Default)]
struct Pipe {
    waiting: Vec<u8>,
    /// The number of bytes that pass before the fault occurs; `None` if it does not depend on
    /// bytes.
    left: Option<usize>,
    /// The maximum number of bytes that pass in one turn; `None` for no limit.
    pace: Option<usize>,
    stalled_until: Option<Instant>,
    /// True if the sender has ended its stream.
    is_ending: bool,
    is_ended: bool,
}

struct Pair {
    sides: [TcpStream; 2],
    /// Two pipes: from the client to the server, and back.
    pipes: [Pipe; 2],
    fault: Fault,
    /// The time at which the fault occurs, unless its byte passes before that.
    fault_at: Instant,
    /// The time at which the connection ends, if the fault has not ended it immediately.
    drop_at: Option<Instant>,
}

/// Forwards connections to `server` until `stop` is set.
pub(super) fn run(
    listener: &TcpListener,
    server: SocketAddr,
    seed: u64,
    stop: &AtomicBool,
) -> FaultCounts {
    let mut counts = FaultCounts::default();
    let mut random = Random::new(seed);
    let mut pairs: Vec<Pair> = Vec::new();
    listener.set_nonblocking(true).unwrap();
    while !stop.load(Ordering::Relaxed) {
        let mut has_moved = false;
        while let Ok((client, _)) = listener.accept() {
            client.set_nonblocking(true).unwrap();
            client.set_nodelay(true).unwrap();
            let pair = Pair::new([client, dial(server, ReceiveBuffer::Default)], &mut random);
            pairs.push(pair);
            has_moved = true;
        }
        let now = Instant::now();
        pairs.retain_mut(|pair| {
            let moved = pair.turn(now, &mut random, &mut counts);
            has_moved |= matches!(moved, Ok(true));
            if moved.is_err() {
                // Notify the other side of the failure immediately.
                pair.sides.iter().for_each(reset);
            }
            moved.is_ok() && !pair.is_over(now)
        });
        if !has_moved {
            thread::sleep(Duration::from_millis(1));
        }
    }
    counts
}

impl Pair {
    fn new(sides: [TcpStream; 2], random: &mut Random) -> Pair {
        let fault = random.pick(&Fault::ALL);
        let fault_at = Instant::now() + Duration::from_millis(random.below(1500).into());
        let mut pipes = [Pipe::default(), Pipe::default()];
        // The fault may occur within the request, within `hello`, or within any later frame.
        if !random.one_in(3) {
            let most = random.pick(&[400, 700, 3000, 60_000]);
            pipes[random.below(2) as usize].left = Some(random.below(most) as usize);
        }
        Pair { sides, pipes, fault, fault_at, drop_at: None }
    }

    /// Forwards bytes in both directions. Returns true if there were any, and an error if one side
    /// has failed.
    fn turn(
        &mut self,
        now: Instant,
        random: &mut Random,
        counts: &mut FaultCounts,
    ) -> io::Result<bool> {
        let mut has_moved = false;
        for direction in 0..2 {
            let (from, to) = (&self.sides[direction], &self.sides[1 - direction]);
            has_moved |= self.pipes[direction].pass(now, from, to)?;
        }
        let is_due = now >= self.fault_at || self.pipes.iter().any(|pipe| pipe.left == Some(0));
        if is_due && self.drop_at.is_none() {
            counts[self.fault as usize] += 1;
            self.fail(now, random);
        }
        Ok(has_moved)
    }

    fn fail(&mut self, now: Instant, random: &mut Random) {
        let soon = now + Duration::from_millis(random.below(600).into());
        let one = random.below(2) as usize;
        let which = if random.one_in(2) { one..one + 1 } else { 0..2 };
        match self.fault {
            Fault::Reset => {
                self.sides.iter().for_each(reset);
                self.drop_at = Some(now);
            }
            Fault::Cut => self.drop_at = Some(now),
            Fault::HalfClose => {
                let _ = self.sides[one].shutdown(Shutdown::Write);
                self.pipes[1 - one].is_ended = true;
                self.pipes[one].left = None;
                self.drop_at = Some(soon);
            }
            Fault::Stall => {
                let until = now + Duration::from_millis(random.below(1500).into());
                self.pipes[which].iter_mut().for_each(|pipe| pipe.stalled_until = Some(until));
                self.go_on(now, random);
            }
            Fault::Vanish => {
                let for_ever = now + VANISHED;
                self.pipes[which].iter_mut().for_each(|pipe| pipe.stalled_until = Some(for_ever));
                self.drop_at = Some(for_ever);
            }
            Fault::Trickle => {
                let pace = 1 + random.below(40) as usize;
                self.pipes[which].iter_mut().for_each(|pipe| pipe.pace = Some(pace));
                self.go_on(now, random);
            }
        }
    }

    /// Determines the next fault of a connection that still works after the last one.
    fn go_on(&mut self, now: Instant, random: &mut Random) {
        self.pipes.iter_mut().for_each(|pipe| pipe.left = None);
        self.fault = random.pick(&[Fault::Reset, Fault::Cut, Fault::HalfClose, Fault::Vanish]);
        self.fault_at = now + Duration::from_millis(random.below(1500).into());
    }

    fn is_over(&self, now: Instant) -> bool {
        self.drop_at.is_some_and(|at| now >= at) || self.pipes.iter().all(|pipe| pipe.is_ended)
    }
}

impl Pipe {
    /// Forwards bytes in one direction. Returns true if there were any.
    fn pass(&mut self, now: Instant, mut from: &TcpStream, mut to: &TcpStream) -> io::Result<bool> {
        if self.is_ended || self.stalled_until.is_some_and(|until| now < until) {
            return Ok(false);
        }
        let mut chunk = [0; 16 * 1024];
        let mut has_moved = false;
        if !self.is_ending && self.waiting.len() < MAX_WAITING {
            match from.read(&mut chunk) {
                Ok(0) => self.is_ending = true,
                Ok(size) => self.waiting.extend_from_slice(&chunk[..size]),
                Err(error) if is_early(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let most = self.waiting.len().min(self.left.unwrap_or(usize::MAX));
        let most = most.min(self.pace.unwrap_or(usize::MAX));
        if most > 0 {
            match to.write(&self.waiting[..most]) {
                Ok(size) => {
                    self.waiting.drain(..size);
                    self.left = self.left.map(|left| left - size);
                    has_moved = true;
                }
                Err(error) if is_early(&error) || error.kind() == ErrorKind::NotConnected => {}
                Err(error) => return Err(error),
            }
        }
        if self.is_ending && self.waiting.is_empty() {
            let _ = to.shutdown(Shutdown::Write);
            self.is_ended = true;
        }
        Ok(has_moved)
    }
}
