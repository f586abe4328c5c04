//! A soak test with attackers.
//!
//! These run next to honest clients on the same server, and all actions are generated from a seed.

use std::collections::{BTreeSet, HashMap};
use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::attacker::{self, Victims};
use super::delivery_log::{ClientIndex, DeliveryLog, LONGEST, Room};
use super::honest_client::{HonestClient, Stage};
use super::peer::ReceiveBuffer;
use super::process::{Process, pause};
use super::view::RoomState;
use roomer_conformance::client::TIMEOUT;
use roomer_simulator::random::{Random, Source};

/// The number of honest clients. It includes the reference client.
const CLIENTS: usize = 200;

/// The number of rooms that the reference client is in. It includes `root`.
const WATCHED: usize = 13;
/// The number of rooms that the reference client is not in. Such a room is removed when its last
/// member leaves.
const UNWATCHED: usize = 6;

/// The timeouts are so short that they expire many times during the test. The pong timeout is
/// longer, so that a client that a busy machine does not run for a while is not closed.
const OPTIONS: &str = "handshake=2000 ping=1000 pong=20000 write=8000 close=4000 backlog=4194304";

/// The memory in KiB that the allocator may keep after the second run, besides what it keeps after
/// the first.
const ALLOCATOR_ALLOWANCE: usize = 40 * 1024;

/// The time for which received frames are handled before the test reads again.
const PROCESSING_SLICE: Duration = Duration::from_millis(20);

/// The maximum number of bytes that were read and not handled yet. If there are more, the clients
/// stop sending.
const MAX_UNPROCESSED: usize = 4 << 20;

/// The number of packets by which the honest clients may be ahead of the reference client. If there
/// are more, they wait.
const MAX_AHEAD: usize = 20_000;

struct Soak {
    process: Process,
    rng: Random,
    seed: u64,
    log: DeliveryLog,
    clients: Vec<HonestClient>,
    /// The index of the client whose received frames are handled next.
    next: usize,
    victims: Victims,
    /// While this is true, no new attackers start.
    pause_new: Arc<AtomicBool>,
}

#[test]
fn honest_clients_keep_guarantees_under_attack() {
    let seconds = env::var("ROOMER_CHAOS_SECONDS").map_or(5, |text| text.parse().unwrap());
    let seed =
        env::var("ROOMER_CHAOS_SEED").map_or(1, |text| text.parse().expect("a seed is a number"));
    let _guide = ReproductionHint(seed, seconds);
    let mut process = Process::start_busy(OPTIONS);
    let start = process.level();
    // The first run, with each kind of attacker, determines how much memory the allocator and the
    // runtime keep. In the second run, memory must not grow much further, whichever the allocator.
    process = Soak::new(process, seed ^ 1).run(Duration::from_secs(2));
    process.recovers(start, usize::MAX / 2);
    let warm = process.level();
    process = Soak::new(process, seed).run(Duration::from_secs(seconds));
    process.recovers(warm, ALLOCATOR_ALLOWANCE);
    eprintln!("before {start:?}, warm {warm:?}, after {:?}", process.level());
    process.stop();
}

/// If the run fails, prints the settings with which it can be repeated.
struct ReproductionHint(u64, u64);

impl Drop for ReproductionHint {
    fn drop(&mut self) {
        if thread::panicking() {
            let ReproductionHint(seed, seconds) = self;
            eprintln!(
                "to repeat: ROOMER_CHAOS_SEED={seed} ROOMER_CHAOS_SECONDS={seconds} \
                 cargo test -p {} --test tokio_chaos soak # or smol_chaos",
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
        let (clients, victims, pause_new) = (Vec::new(), Victims::default(), Arc::default());
        Soak { process, rng, seed, log, clients, next: 0, victims, pause_new }
    }

    /// Runs the whole test. At its end, no client is left.
    fn run(mut self, time: Duration) -> Process {
        self.gather();
        let stop = AtomicBool::new(false);
        let counts = thread::scope(|scope| {
            let (addr, seed) = (self.process.addr, self.seed);
            let (rooms, victims) = (self.log.rooms[..].to_vec(), Arc::clone(&self.victims));
            let stop = &stop;
            // Stop the attackers even if the test fails.
            let end = StopOnDrop(stop);
            let pause_new = Arc::clone(&self.pause_new);
            let attackers = scope.spawn(move || {
                attacker::run_attackers(addr, seed, &rooms, &victims, [stop, &pause_new])
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
            "seed {}: {:?}, {attackers} attackers of {} kinds; the server closed {:?}, lost {}",
            self.seed,
            self.log.checked,
            counts.len() - never.len(),
            numbers.closes,
            numbers.lost,
        );
        self.process
    }

    /// Connects the reference client, which joins the watched rooms. Then connects the other
    /// clients.
    fn gather(&mut self) {
        self.clients.push(HonestClient::connect(self.process.addr, ReceiveBuffer::Default, true));
        self.until("the reference client is connected", |soak| soak.clients[0].view.me.is_some());
        for room in 1..WATCHED {
            self.clients[0].join(&self.log, room);
        }
        self.until("the reference client has joined", |soak| {
            soak.clients[0].view.is_settled(&mut soak.log)
        });
        let addr = self.process.addr;
        self.clients.extend(
            (1..CLIENTS).map(|index| HonestClient::connect(addr, receive_buffer(index), false)),
        );
        self.log.checked.clients += CLIENTS;
        self.until("all clients are connected", |soak| {
            soak.clients.iter().all(|client| client.view.me.is_some())
        });
    }

    /// Reads and writes once for each client. Checks are slow: input that was not handled within
    /// [`PROCESSING_SLICE`] waits until the next turn, so that no client becomes a slow reader.
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

    /// Runs turns until a condition holds. A busy machine may need a while to handle all packets.
    #[track_caller]
    fn until(&mut self, what: &str, is_so: impl Fn(&mut Soak) -> bool) {
        let deadline = Instant::now() + 4 * TIMEOUT;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "not reached: {what}; {:?}", self.process.numbers());
            self.turn();
        }
    }

    /// Makes a few honest clients act, unless too much input is still unhandled.
    fn act_some(&mut self) {
        let unread: usize = self.clients.iter().map(|client| client.peer.unread()).sum();
        let is_behind = unread > MAX_UNPROCESSED;
        self.pause_new.store(is_behind, Ordering::Relaxed);
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
            // This is more than a small receive buffer can hold.
            ..98 if is_in => (0..40).for_each(|_| client.say(log, room, "hello", 4000)),
            ..105 if is_in => client.join(log, room),
            ..130 if is_in => client.leave(log, room),
            // Messages that directly follow a join are sent as a member.
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

    /// Waits until the view of every client is right. Requires that the attackers have stopped.
    fn wait_until_consistent(&mut self) {
        self.until("all requests are answered and all logs agree", |soak| {
            let Soak { clients, log, .. } = soak;
            log.settle(0) && clients.iter_mut().all(|client| client.view.is_settled(log))
        });
        self.until("all views are correct", Soak::is_true);
        self.until("all direct messages have arrived", |soak| {
            soak.clients.iter().all(|client| client.view.has_all_direct(&soak.log))
        });
    }

    fn is_true(&mut self) -> bool {
        let expected_members = self.expected_members();
        self.clients.iter().all(|client| {
            client.view.rooms.iter().all(|(room, state)| match state {
                RoomState::In(membership) => membership.members == expected_members[room],
                _ => false,
            })
        })
    }

    /// Returns the members of each room, according to the rooms of each client.
    fn expected_members(&self) -> HashMap<Room, BTreeSet<ClientIndex>> {
        let mut expected_members: HashMap<Room, BTreeSet<ClientIndex>> = HashMap::new();
        for client in &self.clients {
            for room in client.view.rooms.keys() {
                expected_members.entry(*room).or_default().extend(client.view.me);
            }
        }
        expected_members
    }

    /// Sends a message to each room. Every other member must receive it exactly once.
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
        self.until("the probes have arrived", |soak| {
            let mut clients = soak.clients.iter().enumerate();
            clients.all(|(index, client)| client.view.probes.keys().copied().eq(due(index, client)))
        });
        let Soak { clients, log, .. } = self;
        clients.iter_mut().for_each(|client| client.fence(log));
        self.until("the fences have arrived", |soak| {
            soak.clients.iter().all(|client| client.view.fences == 1)
        });
        for (index, client) in self.clients.iter().enumerate() {
            assert!(client.view.probes.values().all(|count| *count == 1), "a probe arrived twice");
            assert_eq!(client.view.probes.len(), due(index, client).len());
        }
    }

    /// Makes all clients leave all rooms and close. The reference client is the last.
    fn leave_all(&mut self) {
        let Soak { clients, log, .. } = self;
        for client in &mut clients[1..] {
            for room in client.view.rooms.keys().copied().collect::<Vec<_>>() {
                client.leave(log, room);
            }
        }
        self.until("all clients have left", |soak| {
            soak.log.settle(0)
                && soak.clients[1..].iter().all(|client| client.view.rooms.is_empty())
        });
        self.until("the reference client is alone", Soak::is_true);
        self.clients[1..].iter_mut().for_each(|client| client.close(&mut self.log));
        self.clients[0].close(&mut self.log);
        let deadline = Instant::now() + TIMEOUT;
        while !self.clients.is_empty() {
            assert!(
                Instant::now() < deadline,
                "{} close frames are not answered",
                self.clients.len()
            );
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

/// Returns the size of a client's receive buffer. Every fourth is small, so that the server
/// sometimes has to wait for these clients.
fn receive_buffer(index: usize) -> ReceiveBuffer {
    if index.is_multiple_of(4) { ReceiveBuffer::Small } else { ReceiveBuffer::Default }
}

/// Stops the attackers when it is dropped, even if an honest client has failed.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
