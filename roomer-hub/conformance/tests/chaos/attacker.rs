//! Clients that mean harm: scripts of a few steps, and what plays many of them at once.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::attack_scripts::KINDS;
use super::peer::{Width, dial, is_early, reset};
use roomer_conformance::http::HttpRequest;
use roomer_simulator::random::{Random, Source};

/// How many evil ones there are at any time.
const GANG: usize = 60;

/// How long the server may take to end a connection that it has to end.
const SOON: Duration = Duration::from_secs(20);

/// How long an evil one tries to send before it goes on: the server may not read it.
const EFFORT: Duration = Duration::from_millis(500);

/// What an evil one does next.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Sends, as far as the server takes it.
    Send(Vec<u8>),
    /// Sends a little at a time.
    Trickle(Vec<u8>, Duration),
    /// Comes in like an honest client, and waits for the answer.
    Enter,
    /// Waits until something comes.
    Await,
    /// Reads nothing for this long.
    Sleep(Duration),
    /// Reads everything for this long.
    Swallow(Duration),
    /// Reads so many bytes now and then, for this long.
    Sip(usize, Duration),
    /// The server must end the connection.
    MustEnd,
    HangUp,
    Reset,
}

/// What scripts are written for.
pub(super) struct Scene<'a> {
    pub(super) addr: SocketAddr,
    /// Rooms that good clients are in.
    pub(super) rooms: &'a [String],
    /// A good client's id.
    pub(super) victim: String,
}

/// The ids of some good clients, for those that want to do them harm.
pub(super) type Victims = Arc<Mutex<Vec<String>>>;

struct Villain {
    kind: &'static str,
    stream: TcpStream,
    steps: VecDeque<Step>,
    step: Option<Step>,
    since: Instant,
    /// When it looks again.
    due: Instant,
}

/// Plays scripts until it is told to stop; then all of them are gone. Begins no new ones while it
/// is told to hold. Tells how many there were of each kind.
pub(super) fn rage(
    addr: SocketAddr,
    seed: u64,
    rooms: &[String],
    victims: &Victims,
    [stop, hold]: [&AtomicBool; 2],
) -> BTreeMap<&'static str, usize> {
    let mut dice = Random::new(seed);
    let mut counts: BTreeMap<_, _> = KINDS.iter().map(|(kind, _)| (*kind, 0)).collect();
    let mut gang: Vec<Villain> = Vec::new();
    // Every kind has its turn; then it is chance.
    let mut turn = dice.below(KINDS.len() as u32) as usize;
    while !stop.load(Ordering::Relaxed) {
        // They come a few at a time, so that there are never too many of one kind.
        let room = if hold.load(Ordering::Relaxed) { 0 } else { GANG - gang.len() };
        for _ in 0..room.min(4) {
            let (kind, script) = KINDS[turn % KINDS.len()];
            turn += 1 + dice.below(2) as usize;
            let victims = victims.lock().unwrap();
            let Some(victim) = victims.get(dice.below(victims.len().max(1) as u32) as usize) else {
                break;
            };
            let scene = Scene { addr, rooms, victim: victim.clone() };
            *counts.get_mut(kind).unwrap() += 1;
            let steps = script(&scene, &mut dice).into();
            let now = Instant::now();
            let stream = dial(addr, Width::Usual);
            gang.push(Villain { kind, stream, steps, step: None, since: now, due: now });
        }
        gang.retain_mut(|villain| villain.due > Instant::now() || villain.act(addr));
        thread::sleep(Duration::from_millis(2));
    }
    counts
}

impl Villain {
    /// Goes on with its script. False at its end.
    fn act(&mut self, addr: SocketAddr) -> bool {
        loop {
            let now = Instant::now();
            if self.step.is_none() {
                self.step = self.steps.pop_front();
                self.since = now;
                if let Some(Step::Enter) = self.step {
                    self.step = Some(Step::Send(HttpRequest::upgrade(addr).bytes()));
                    self.steps.push_front(Step::Await);
                }
            }
            let Some(step) = &mut self.step else { return false };
            let left = |time: &Duration| self.since + *time > now;
            let goes_on = match step {
                Step::Enter => unreachable!("it is two other steps"),
                Step::Await => {
                    let peeked = self.stream.peek(&mut [0]);
                    peeked.is_err_and(|error| is_early(&error)) && left(&SOON)
                }
                Step::Send(bytes) => send(&mut self.stream, bytes) && left(&EFFORT),
                Step::Trickle(bytes, pause) => {
                    let mut first = vec![bytes.remove(0)];
                    self.due = now + *pause;
                    let failed = send(&mut self.stream, &mut first);
                    !failed && !bytes.is_empty()
                }
                Step::Sleep(time) => left(time),
                Step::Swallow(time) => !read(&mut self.stream, 1 << 20) && left(time),
                Step::Sip(size, time) => !read(&mut self.stream, *size) && left(time),
                Step::MustEnd => {
                    let ended = read(&mut self.stream, 1 << 20);
                    assert!(ended || left(&SOON), "{} was not ended", self.kind);
                    !ended
                }
                Step::HangUp => {
                    let _ = self.stream.shutdown(Shutdown::Write);
                    false
                }
                Step::Reset => {
                    reset(&self.stream);
                    return false;
                }
            };
            if goes_on {
                self.due = self.due.max(now + Duration::from_millis(10));
                return true;
            }
            self.step = None;
        }
    }
}

/// Sends as much as the socket takes. True while there is more.
fn send(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> bool {
    match stream.write(bytes) {
        Ok(size) => {
            bytes.drain(..size);
            !bytes.is_empty()
        }
        Err(error) => is_early(&error),
    }
}

/// Reads what is there, at most so much. True when the connection has ended.
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
