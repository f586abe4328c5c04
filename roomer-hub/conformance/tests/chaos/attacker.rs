//! Runs the scripts of attackers, many at the same time.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::attack_scripts::SCRIPTS;
use super::peer::{ReceiveBuffer, dial, is_early, reset};
use roomer_conformance::http::HttpRequest;
use roomer_simulator::random::{Random, Source};

/// The maximum number of attackers at the same time.
const MAX_ATTACKERS: usize = 60;

/// The time within which the server must close an attacker's connection after a violation.
const END_TIMEOUT: Duration = Duration::from_secs(20);

/// The time for which an attacker tries to send before it continues with its next step. The server
/// may not be reading.
const SEND_TIMEOUT: Duration = Duration::from_millis(500);

/// A step of a script.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Sends as many of these bytes as the socket accepts, and the rest later.
    Send(Vec<u8>),
    /// Sends the bytes one by one, and pauses before each of them.
    Trickle(Vec<u8>, Duration),
    /// Sends a valid request, and waits for the response.
    Handshake,
    /// Waits until bytes arrive.
    AwaitData,
    /// Pauses. Does not read in the meantime.
    Sleep(Duration),
    /// Reads everything that arrives in this time.
    ReadAll(Duration),
    /// Reads this many bytes every 10 ms, for this time.
    ReadSlowly(usize, Duration),
    /// Requires that the server closes the connection.
    MustEnd,
    ShutdownWrite,
    Reset,
}

/// The targets of a script: the server, and its honest clients.
pub(super) struct Target<'a> {
    pub(super) addr: SocketAddr,
    /// The rooms of the honest clients.
    pub(super) rooms: &'a [String],
    /// The id of an honest client.
    pub(super) victim: String,
}

/// The ids of some honest clients, for scripts that attack a client.
pub(super) type Victims = Arc<Mutex<Vec<String>>>;

struct Attacker {
    kind: &'static str,
    stream: TcpStream,
    steps: VecDeque<Step>,
    step: Option<Step>,
    since: Instant,
    /// The time at which the script continues.
    due: Instant,
}

/// Runs scripts until `stop` is set, and then drops all attackers. Starts no new attackers while
/// `pause_new` is set. Returns the number of attackers by kind.
pub(super) fn run_attackers(
    addr: SocketAddr,
    seed: u64,
    rooms: &[String],
    victims: &Victims,
    [stop, pause_new]: [&AtomicBool; 2],
) -> BTreeMap<&'static str, usize> {
    let mut rng = Random::new(seed);
    let mut counts: BTreeMap<_, _> = SCRIPTS.iter().map(|(kind, _)| (*kind, 0)).collect();
    let mut attackers: Vec<Attacker> = Vec::new();
    // All kinds of attackers take turns. Some are skipped at random.
    let mut turn = rng.below(SCRIPTS.len() as u32) as usize;
    while !stop.load(Ordering::Relaxed) {
        // Start at most four attackers at a time, so that no kind dominates.
        let room =
            if pause_new.load(Ordering::Relaxed) { 0 } else { MAX_ATTACKERS - attackers.len() };
        for _ in 0..room.min(4) {
            let (kind, script) = SCRIPTS[turn % SCRIPTS.len()];
            turn += 1 + rng.below(2) as usize;
            let victims = victims.lock().unwrap();
            let Some(victim) = victims.get(rng.below(victims.len().max(1) as u32) as usize) else {
                break;
            };
            let target = Target { addr, rooms, victim: victim.clone() };
            *counts.get_mut(kind).unwrap() += 1;
            let steps = script(&target, &mut rng).into();
            let now = Instant::now();
            let stream = dial(addr, ReceiveBuffer::Default);
            attackers.push(Attacker { kind, stream, steps, step: None, since: now, due: now });
        }
        attackers.retain_mut(|attacker| attacker.due > Instant::now() || attacker.act(addr));
        thread::sleep(Duration::from_millis(2));
    }
    counts
}

impl Attacker {
    /// Runs a script as far as possible for now. Returns false if it has ended.
    fn act(&mut self, addr: SocketAddr) -> bool {
        loop {
            let now = Instant::now();
            if self.step.is_none() {
                self.step = self.steps.pop_front();
                self.since = now;
                if let Some(Step::Handshake) = self.step {
                    self.step = Some(Step::Send(HttpRequest::upgrade(addr).bytes()));
                    self.steps.push_front(Step::AwaitData);
                }
            }
            let Some(step) = &mut self.step else { return false };
            let left = |time: &Duration| self.since + *time > now;
            let is_pending = match step {
                Step::Handshake => unreachable!("replaced by two other steps"),
                Step::AwaitData => {
                    let peeked = self.stream.peek(&mut [0]);
                    peeked.is_err_and(|error| is_early(&error)) && left(&END_TIMEOUT)
                }
                Step::Send(bytes) => send(&mut self.stream, bytes) && left(&SEND_TIMEOUT),
                Step::Trickle(bytes, pause) => {
                    let mut first = vec![bytes.remove(0)];
                    self.due = now + *pause;
                    let failed = send(&mut self.stream, &mut first);
                    !failed && !bytes.is_empty()
                }
                Step::Sleep(time) => left(time),
                Step::ReadAll(time) => !read(&mut self.stream, 1 << 20) && left(time),
                Step::ReadSlowly(size, time) => !read(&mut self.stream, *size) && left(time),
                Step::MustEnd => {
                    let ended = read(&mut self.stream, 1 << 20);
                    assert!(ended || left(&END_TIMEOUT), "{} was not closed", self.kind);
                    !ended
                }
                Step::ShutdownWrite => {
                    let _ = self.stream.shutdown(Shutdown::Write);
                    false
                }
                Step::Reset => {
                    reset(&self.stream);
                    return false;
                }
            };
            if is_pending {
                // If `Trickle` has set a later time, keep that time.
                self.due = self.due.max(now + Duration::from_millis(10));
                return true;
            }
            self.step = None;
        }
    }
}

/// Sends as many bytes as the socket accepts. Returns true if some are left.
fn send(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> bool {
    match stream.write(bytes) {
        Ok(size) => {
            bytes.drain(..size);
            !bytes.is_empty()
        }
        Err(error) => is_early(&error),
    }
}

/// Reads at most this many of the bytes that have arrived. Returns true if the connection has
/// ended.
fn read(stream: &mut TcpStream, most: usize) -> bool {
    let mut chunk = [0; 64 * 1024];
    let mut left = most;
    while left > 0 {
        match stream.read(&mut chunk[..left.min(64 * 1024)]) {
            Ok(0) => return true,
            Ok(size) => left -= size,
            Err(error) if is_early(&error) => return false,
            Err(_) => return true,
        }
    }
    false
}
