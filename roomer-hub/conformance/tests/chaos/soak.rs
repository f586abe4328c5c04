//! The chaos test: good clients and attackers ones at one server, all at once, drawn from a seed.

use std::collections::{BTreeSet, HashMap};
use std::env;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::attacker::{self, Victims};
use super::delivery_log::{ClientIndex, DeliveryLog, LONGEST, Room};
use super::honest_client::{HonestClient, RoomState, Stage};
use super::peer::ReceiveBuffer;
use super::process::{Process, pause};
use roomer_conformance::client::TIMEOUT;
use roomer_simulator::random::{Random, Source};

/// Good clients, the reference included.
const CLIENTS: usize = 200;

/// Rooms that the reference is in, root included, and rooms that come and go with their members.
const WATCHED: usize = 13;
const UNWATCHED: usize = 6;

/// Waits that are short enough to run out many times in a soak. The pong wait is long enough for
/// a busy machine: who is silent for a moment because it got no time is not to be closed.
const OPTIONS: &str = "handshake=2000 ping=1000 pong=20000 write=8000 close=4000 backlog=4194304";

/// Memory that a soak may leave with the allocator, in KiB, beyond what the first has.
const ALLOCATOR_ALLOWANCE: usize = 40 * 1024;

/// How long the test looks at what was read before it reads on.
const PROCESSING_SLICE: Duration = Duration::from_millis(20);

/// Bytes that may be read and not looked at before the test waits for itself.
const MAX_UNPROCESSED: usize = 4 << 20;

/// How far good clients may be ahead of the reference, in things heard, before they wait for it.
const MAX_AHEAD: usize = 20_000;

struct Soak {
    process: Process,
    rng: Random,
    seed: u64,
    log: DeliveryLog,
    clients: Vec<HonestClient>,
    /// ClientIndex has looked last at what it has read.
    next: usize,
    victims: Victims,
    /// Whether attackers ones have to wait, too.
    hold: Arc<AtomicBool>,
}

#[test]
fn honest_clients_get_all_guarantees_next_to_attackers() {
    let seconds = env::var("ROOMER_CHAOS_SECONDS").map_or(5, |text| text.parse().unwrap());
    let seed = env::var("ROOMER_CHAOS_SEED").map_or_else(
        |_| RandomState::new().hash_one(0),
        |text| text.parse().expect("a seed is a number"),
    );
    let _guide = ReproductionHint(seed, seconds);
    let mut process = Process::start(OPTIONS);
    let start = process.level();
    // What the allocator and the runtime keep is learnt by a first soak of one turn of each kind.
    process = Soak::new(process, seed ^ 1).run(Duration::from_secs(2));
    process.recovers(start, usize::MAX / 2);
    let warm = process.level();
    process = Soak::new(process, seed).run(Duration::from_secs(seconds));
    process.recovers(warm, ALLOCATOR_ALLOWANCE);
    eprintln!("before {start:?}, warm {warm:?}, after {:?}", process.level());
    process.stop();
}

/// Says how to repeat a run that has failed.
struct ReproductionHint(u64, u64);

impl Drop for ReproductionHint {
    fn drop(&mut self) {
        if thread::panicking() {
            let ReproductionHint(seed, seconds) = self;
            eprintln!(
                "to repeat: ROOMER_CHAOS_SEED={seed} ROOMER_CHAOS_SECONDS={seconds} \
                 cargo test -p {} --test chaos soak",
                env!("CARGO_PKG_NAME"),
            );
        }
    }
}

impl Soak {
    fn new(process: Process, seed: u64) -> Soak {
        let watched = (1..WATCHED).map(|room| format!("room-{room}"));
        let unwatched = (0..UNWATCHED).map(|room| format!("unwatched-{room}"));
        let rooms = ["root".into()].into_iter().chain(watched).chain(unwatched).collect();
        let log = DeliveryLog::new(rooms, WATCHED);
        let rng = Random::new(seed);
        let (clients, victims, hold) = (Vec::new(), Victims::default(), Arc::default());
        Soak { process, rng, seed, log, clients, next: 0, victims, hold }
    }

    /// All of it once, until nobody is left.
    fn run(mut self, time: Duration) -> Process {
        self.gather();
        let stop = AtomicBool::new(false);
        let counts = thread::scope(|scope| {
            let (addr, seed) = (self.process.addr, self.seed);
            let (rooms, victims) = (self.log.rooms[..].to_vec(), Arc::clone(&self.victims));
            let stop = &stop;
            // However this ends, the attackers ones end too.
            let end = End(stop);
            let hold = Arc::clone(&self.hold);
            let attackers = scope.spawn(move || {
                attacker::run_attackers(addr, seed, &rooms, &victims, [stop, &hold])
            });
            let until = Instant::now() + time;
            while Instant::now() < until && !attackers.is_finished() {
                self.turn();
                self.act_some();
            }
            drop(end);
            attackers.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        self.wait_until_consistent();
        self.probe();
        let numbers = self.process.numbers();
        self.leave_all();
        let attackers: usize = counts.values().sum();
        let never: Vec<_> = counts.iter().filter(|(_, count)| **count == 0).collect();
        eprintln!(
            "seed {}: {:?}, {attackers} attackers clients of {} counts; the server closed {:?}, lost {}",
            self.seed,
            self.log.checked,
            counts.len() - never.len(),
            numbers.closes,
            numbers.lost,
        );
        self.process
    }

    /// The reference comes first, into each room that it watches; then the others.
    fn gather(&mut self) {
        self.clients.push(HonestClient::connect(self.process.addr, ReceiveBuffer::Default, true));
        self.until("the reference is welcome", |soak| soak.clients[0].view.me.is_some());
        for room in 1..WATCHED {
            self.clients[0].join(&self.log, room);
        }
        self.until("the reference is in", |soak| soak.clients[0].view.is_settled(&mut soak.log));
        let addr = self.process.addr;
        self.clients.extend(
            (1..CLIENTS).map(|index| HonestClient::connect(addr, receive_buffer(index), false)),
        );
        self.log.checked.clients += CLIENTS;
        self.until("all are welcome", |soak| {
            soak.clients.iter().all(|client| client.view.me.is_some())
        });
    }

    /// Reads and writes for everybody. Checking takes its time, and nobody may become a slow
    /// reader by it: what is not looked at within a moment waits for the next turn.
    fn turn(&mut self) {
        let mut some = false;
        for client in &mut self.clients {
            some |= client.peer.read();
            client.flush();
        }
        if !some {
            pause();
        }
        let slice_end = Instant::now() + PROCESSING_SLICE;
        for _ in 0..self.clients.len() {
            self.next = (self.next + 1) % self.clients.len();
            let client = &mut self.clients[self.next];
            client.process_input(&mut self.log);
            if client.stage(&self.log) == Stage::Gone {
                self.log.checked.clients += 1;
                let newcomer =
                    HonestClient::connect(self.process.addr, receive_buffer(self.next), false);
                std::mem::replace(client, newcomer).view.end(&mut self.log);
            }
            if Instant::now() > slice_end {
                break;
            }
        }
        self.log.check_suspected_loss();
    }

    /// Turns until something is so, which must be soon.
    #[track_caller]
    fn until(&mut self, what: &str, is_so: impl Fn(&mut Soak) -> bool) {
        let deadline = Instant::now() + TIMEOUT;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "in vain: {what}; {:?}", self.process.numbers());
            self.turn();
        }
    }

    /// Has a few good clients do something, if the test is not behind with its reading.
    fn act_some(&mut self) {
        let unread: usize = self.clients.iter().map(|client| client.peer.unread()).sum();
        let is_behind = unread > MAX_UNPROCESSED;
        self.hold.store(is_behind, Ordering::Relaxed);
        if is_behind || !self.log.settle(MAX_AHEAD) {
            return;
        }
        let mut victims = self.victims.lock().unwrap();
        victims.clear();
        for _ in 0..8 {
            let client = 1 + self.rng.below(CLIENTS as u32 - 1) as usize;
            victims.extend(self.clients[client].view.me.map(|me| self.log.id(me).to_owned()));
        }
        drop(victims);
        for _ in 0..40 {
            self.act();
        }
    }

    fn act(&mut self) {
        let Soak { rng, log, clients, .. } = self;
        let index = 1 + rng.below(CLIENTS as u32 - 1) as usize;
        let other = clients[rng.below(CLIENTS as u32) as usize].view.me;
        let client = &mut clients[index];
        if !client.is_ready() {
            return;
        }
        let room = rng.below(log.rooms.len() as u32) as Room;
        let is_in = client.view.rooms.contains_key(&room);
        match rng.below(200) {
            ..90 if is_in => client.say(log, room, "hello", rng.below(200) as usize),
            ..95 if is_in => client.say(log, room, "hello", rng.below(LONGEST as u32) as usize),
            ..97 if is_in => (0..50).for_each(|_| client.say(log, room, "hello", 30)),
            // More than a narrow socket takes at once.
            ..98 if is_in => (0..40).for_each(|_| client.say(log, room, "hello", 4000)),
            ..105 if is_in => client.join(log, room),
            ..130 if is_in => client.leave(log, room),
            // What is said at once is said as a member.
            ..60 => {
                client.join(log, room);
                (0..rng.below(3)).for_each(|_| client.say(log, room, "hello", 10));
                if rng.one_in(4) {
                    client.leave(log, room);
                }
            }
            150..170 => {
                if let Some(other) = other {
                    let count = if rng.one_in(20) { 50 } else { 1 };
                    (0..count).for_each(|_| client.tell(log, other, rng.below(300) as usize));
                }
            }
            197 => client.close(log),
            198 => client.shutdown_write(log),
            199 => {
                let newcomer =
                    HonestClient::connect(self.process.addr, receive_buffer(index), false);
                log.checked.clients += 1;
                std::mem::replace(client, newcomer).abort(log, rng.one_in(2));
            }
            _ => {}
        }
    }

    /// The attackers ones have gone: now what everybody knows must come to be the truth.
    fn wait_until_consistent(&mut self) {
        self.until("everything asked is answered and agrees with the reference", |soak| {
            let Soak { clients, log, .. } = soak;
            log.settle(0) && clients.iter_mut().all(|client| client.view.is_settled(log))
        });
        self.until("everybody's view is the truth", Soak::is_true);
        self.until("everything told has come", |soak| {
            soak.clients.iter().all(|client| client.view.is_told(&soak.log))
        });
    }

    fn is_true(&mut self) -> bool {
        let truth = self.truth();
        self.clients.iter().all(|client| {
            client.view.rooms.iter().all(|(room, state)| match state {
                RoomState::In(membership) => membership.members == truth[room],
                _ => false,
            })
        })
    }

    /// ClientIndex is in which room, by what each knows of itself.
    fn truth(&self) -> HashMap<Room, BTreeSet<ClientIndex>> {
        let mut truth: HashMap<Room, BTreeSet<ClientIndex>> = HashMap::new();
        for client in &self.clients {
            for room in client.view.rooms.keys() {
                truth.entry(*room).or_default().extend(client.view.me);
            }
        }
        truth
    }

    /// In each room one says something, which reaches every other member exactly once.
    fn probe(&mut self) {
        let Soak { clients, log, .. } = self;
        let mut spoken = HashMap::new();
        for (index, client) in clients.iter_mut().enumerate().skip(1) {
            for room in client.view.rooms.keys().copied().collect::<Vec<_>>() {
                if let std::collections::hash_map::Entry::Vacant(entry) = spoken.entry(room) {
                    entry.insert(index);
                    client.say(log, room, "probe", 100);
                }
            }
        }
        let due = |index: usize, client: &HonestClient| -> Vec<Room> {
            let rooms = client.view.rooms.keys().copied();
            rooms.filter(|room| spoken.get(room).is_some_and(|by| *by != index)).collect()
        };
        self.until("the probes have come", |soak| {
            let mut clients = soak.clients.iter().enumerate();
            clients.all(|(index, client)| client.view.probes.keys().copied().eq(due(index, client)))
        });
        let Soak { clients, log, .. } = self;
        clients.iter_mut().for_each(|client| client.fence(log));
        self.until("the fences have come", |soak| {
            soak.clients.iter().all(|client| client.view.fences == 1)
        });
        for (index, client) in self.clients.iter().enumerate() {
            assert!(client.view.probes.values().all(|count| *count == 1), "a probe came twice");
            assert_eq!(client.view.probes.len(), due(index, client).len());
        }
    }

    /// Everybody leaves every room, the reference last, and goes.
    fn leave_all(&mut self) {
        let Soak { clients, log, .. } = self;
        for client in &mut clients[1..] {
            for room in client.view.rooms.keys().copied().collect::<Vec<_>>() {
                client.leave(log, room);
            }
        }
        self.until("everybody has left", |soak| {
            soak.log.settle(0)
                && soak.clients[1..].iter().all(|client| client.view.rooms.is_empty())
        });
        self.until("the reference is alone", Soak::is_true);
        self.clients[1..].iter_mut().for_each(|client| client.close(&mut self.log));
        self.clients[0].close(&mut self.log);
        let deadline = Instant::now() + TIMEOUT;
        while !self.clients.is_empty() {
            assert!(Instant::now() < deadline, "{} goodbyes are not answered", self.clients.len());
            self.clients.retain_mut(|client| {
                client.flush();
                client.peer.read();
                client.process_input(&mut self.log);
                client.stage(&self.log) == Stage::There
            });
            pause();
        }
    }
}

/// Every fourth client makes the server wait now and then, though it reads all the time.
fn receive_buffer(index: usize) -> ReceiveBuffer {
    if index.is_multiple_of(4) { ReceiveBuffer::Small } else { ReceiveBuffer::Default }
}

/// Has the attackers ones stop, also when the good ones have failed.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
