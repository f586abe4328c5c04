//! The chaos test: good clients and evil ones at one server, all at once, drawn from a seed.

use std::collections::{BTreeSet, HashMap};
use std::env;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::attacker::{self as evil, Victims};
use super::delivery_log::{LONGEST, Ledger, Room, Who};
use super::honest_client::{Guest, Seat, Stage};
use super::peer::Width;
use super::process::{Process, pause};
use roomer_conformance::client::TIMEOUT;
use roomer_simulator::random::{Random, Source};

/// Good clients, the witness included.
const GUESTS: usize = 200;

/// Rooms that the witness is in, root included, and rooms that come and go with their members.
const WATCHED: usize = 13;
const FLEETING: usize = 6;

/// Waits that are short enough to run out many times in a storm. The pong wait is long enough for
/// a busy machine: who is silent for a moment because it got no time is not to be closed.
const OPTIONS: &str = "handshake=2000 ping=1000 pong=20000 write=8000 close=4000 backlog=4194304";

/// Memory that a storm may leave with the allocator, in KiB, beyond what the first has.
const GRANT: usize = 40 * 1024;

/// How long the test looks at what was read before it reads on.
const MOMENT: Duration = Duration::from_millis(20);

/// Bytes that may be read and not looked at before the test waits for itself.
const BEHIND: usize = 4 << 20;

/// How far good clients may be ahead of the witness, in things heard, before they wait for it.
const AHEAD: usize = 20_000;

struct Storm {
    process: Process,
    dice: Random,
    seed: u64,
    ledger: Ledger,
    guests: Vec<Guest>,
    /// Who has looked last at what it has read.
    next: usize,
    victims: Victims,
    /// Whether evil ones have to wait, too.
    hold: Arc<AtomicBool>,
}

#[test]
fn good_clients_get_what_is_promised_whatever_evil_ones_do() {
    let seconds = env::var("ROOMER_CHAOS_SECONDS").map_or(5, |text| text.parse().unwrap());
    let seed = env::var("ROOMER_CHAOS_SEED").map_or_else(
        |_| RandomState::new().hash_one(0),
        |text| text.parse().expect("a seed is a number"),
    );
    let _guide = Guide(seed, seconds);
    let mut process = Process::start(OPTIONS);
    let start = process.level();
    // What the allocator and the runtime keep is learnt by a first storm of one turn of each kind.
    process = Storm::new(process, seed ^ 1).blow(Duration::from_secs(2));
    process.recovers(start, usize::MAX / 2);
    let warm = process.level();
    process = Storm::new(process, seed).blow(Duration::from_secs(seconds));
    process.recovers(warm, GRANT);
    eprintln!("before {start:?}, warm {warm:?}, after {:?}", process.level());
    process.stop();
}

/// Says how to repeat a run that has failed.
struct Guide(u64, u64);

impl Drop for Guide {
    fn drop(&mut self) {
        if thread::panicking() {
            let Guide(seed, seconds) = self;
            eprintln!(
                "to repeat: ROOMER_CHAOS_SEED={seed} ROOMER_CHAOS_SECONDS={seconds} \
                 cargo test -p {} --test chaos storm",
                env!("CARGO_PKG_NAME"),
            );
        }
    }
}

impl Storm {
    fn new(process: Process, seed: u64) -> Storm {
        let watched = (1..WATCHED).map(|room| format!("room-{room}"));
        let fleeting = (0..FLEETING).map(|room| format!("fleeting-{room}"));
        let rooms = ["root".into()].into_iter().chain(watched).chain(fleeting).collect();
        let ledger = Ledger::new(rooms, WATCHED);
        let dice = Random::new(seed);
        let (guests, victims, hold) = (Vec::new(), Victims::default(), Arc::default());
        Storm { process, dice, seed, ledger, guests, next: 0, victims, hold }
    }

    /// All of it once, until nobody is left.
    fn blow(mut self, time: Duration) -> Process {
        self.gather();
        let stop = AtomicBool::new(false);
        let kinds = thread::scope(|scope| {
            let (addr, seed) = (self.process.addr, self.seed);
            let (rooms, victims) = (self.ledger.rooms[..].to_vec(), Arc::clone(&self.victims));
            let stop = &stop;
            // However this ends, the evil ones end too.
            let end = End(stop);
            let hold = Arc::clone(&self.hold);
            let evil = scope.spawn(move || evil::rage(addr, seed, &rooms, &victims, [stop, &hold]));
            let until = Instant::now() + time;
            while Instant::now() < until && !evil.is_finished() {
                self.turn();
                self.talk();
            }
            drop(end);
            evil.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        self.calm_down();
        self.probe();
        let numbers = self.process.numbers();
        self.part();
        let evil: usize = kinds.values().sum();
        let never: Vec<_> = kinds.iter().filter(|(_, count)| **count == 0).collect();
        eprintln!(
            "seed {}: {:?}, {evil} evil clients of {} kinds; the server closed {:?}, lost {}",
            self.seed,
            self.ledger.checked,
            kinds.len() - never.len(),
            numbers.closes,
            numbers.lost,
        );
        self.process
    }

    /// The witness comes first, into each room that it watches; then the others.
    fn gather(&mut self) {
        self.guests.push(Guest::arrive(self.process.addr, Width::Usual, true));
        self.until("the witness is welcome", |storm| storm.guests[0].mind.me.is_some());
        for room in 1..WATCHED {
            self.guests[0].join(&self.ledger, room);
        }
        self.until("the witness is in", |storm| storm.guests[0].mind.is_settled(&mut storm.ledger));
        let addr = self.process.addr;
        self.guests.extend((1..GUESTS).map(|index| Guest::arrive(addr, width(index), false)));
        self.ledger.checked.clients += GUESTS;
        self.until("all are welcome", |storm| {
            storm.guests.iter().all(|guest| guest.mind.me.is_some())
        });
    }

    /// Reads and writes for everybody. Checking takes its time, and nobody may become a slow
    /// reader by it: what is not looked at within a moment waits for the next turn.
    fn turn(&mut self) {
        let mut some = false;
        for guest in &mut self.guests {
            some |= guest.peer.read();
            guest.flush();
        }
        if !some {
            pause();
        }
        let start = Instant::now();
        for _ in 0..self.guests.len() {
            self.next = (self.next + 1) % self.guests.len();
            let guest = &mut self.guests[self.next];
            guest.think(&mut self.ledger);
            if guest.stage(&self.ledger) == Stage::Gone {
                self.ledger.checked.clients += 1;
                let newcomer = Guest::arrive(self.process.addr, width(self.next), false);
                std::mem::replace(guest, newcomer).mind.end(&mut self.ledger);
            }
            if start.elapsed() > MOMENT {
                break;
            }
        }
        self.ledger.check_doubt();
    }

    /// Turns until something is so, which must be soon.
    #[track_caller]
    fn until(&mut self, what: &str, is_so: impl Fn(&mut Storm) -> bool) {
        let start = Instant::now();
        while !is_so(self) {
            assert!(start.elapsed() < TIMEOUT, "in vain: {what}; {:?}", self.process.numbers());
            self.turn();
        }
    }

    /// Has a few good clients do something, if the test is not behind with its reading.
    fn talk(&mut self) {
        let unread: usize = self.guests.iter().map(|guest| guest.peer.unread()).sum();
        let is_behind = unread > BEHIND;
        self.hold.store(is_behind, Ordering::Relaxed);
        if is_behind || !self.ledger.settle(AHEAD) {
            return;
        }
        let mut victims = self.victims.lock().unwrap();
        victims.clear();
        for _ in 0..8 {
            let guest = 1 + self.dice.below(GUESTS as u32 - 1) as usize;
            victims.extend(self.guests[guest].mind.me.map(|me| self.ledger.id(me).to_owned()));
        }
        drop(victims);
        for _ in 0..40 {
            self.act();
        }
    }

    fn act(&mut self) {
        let Storm { dice, ledger, guests, .. } = self;
        let index = 1 + dice.below(GUESTS as u32 - 1) as usize;
        let other = guests[dice.below(GUESTS as u32) as usize].mind.me;
        let guest = &mut guests[index];
        if !guest.is_ready() {
            return;
        }
        let room = dice.below(ledger.rooms.len() as u32) as Room;
        let is_in = guest.mind.seats.contains_key(&room);
        match dice.below(200) {
            ..90 if is_in => guest.say(ledger, room, "hello", dice.below(200) as usize),
            ..95 if is_in => guest.say(ledger, room, "hello", dice.below(LONGEST as u32) as usize),
            ..97 if is_in => (0..50).for_each(|_| guest.say(ledger, room, "hello", 30)),
            // More than a narrow socket takes at once.
            ..98 if is_in => (0..40).for_each(|_| guest.say(ledger, room, "hello", 4000)),
            ..105 if is_in => guest.join(ledger, room),
            ..130 if is_in => guest.leave(ledger, room),
            // What is said at once is said as a member.
            ..60 => {
                guest.join(ledger, room);
                (0..dice.below(3)).for_each(|_| guest.say(ledger, room, "hello", 10));
                if dice.one_in(4) {
                    guest.leave(ledger, room);
                }
            }
            150..170 => {
                if let Some(other) = other {
                    let count = if dice.one_in(20) { 50 } else { 1 };
                    (0..count).for_each(|_| guest.tell(ledger, other, dice.below(300) as usize));
                }
            }
            197 => guest.close(ledger),
            198 => guest.hang_up(ledger),
            199 => {
                let newcomer = Guest::arrive(self.process.addr, width(index), false);
                ledger.checked.clients += 1;
                std::mem::replace(guest, newcomer).vanish(ledger, dice.one_in(2));
            }
            _ => {}
        }
    }

    /// The evil ones have gone: now what everybody knows must come to be the truth.
    fn calm_down(&mut self) {
        self.until("everything asked is answered and agrees with the witness", |storm| {
            let Storm { guests, ledger, .. } = storm;
            ledger.settle(0) && guests.iter_mut().all(|guest| guest.mind.is_settled(ledger))
        });
        self.until("everybody's view is the truth", Storm::is_true);
        self.until("everything told has come", |storm| {
            storm.guests.iter().all(|guest| guest.mind.is_told(&storm.ledger))
        });
    }

    fn is_true(&mut self) -> bool {
        let truth = self.truth();
        self.guests.iter().all(|guest| {
            guest.mind.seats.iter().all(|(room, seat)| match seat {
                Seat::In(stay) => stay.members == truth[room],
                _ => false,
            })
        })
    }

    /// Who is in which room, by what each knows of itself.
    fn truth(&self) -> HashMap<Room, BTreeSet<Who>> {
        let mut truth: HashMap<Room, BTreeSet<Who>> = HashMap::new();
        for guest in &self.guests {
            for room in guest.mind.seats.keys() {
                truth.entry(*room).or_default().extend(guest.mind.me);
            }
        }
        truth
    }

    /// In each room one says something, which reaches every other member exactly once.
    fn probe(&mut self) {
        let Storm { guests, ledger, .. } = self;
        let mut spoken = HashMap::new();
        for (index, guest) in guests.iter_mut().enumerate().skip(1) {
            for room in guest.mind.seats.keys().copied().collect::<Vec<_>>() {
                if let std::collections::hash_map::Entry::Vacant(entry) = spoken.entry(room) {
                    entry.insert(index);
                    guest.say(ledger, room, "probe", 100);
                }
            }
        }
        let due = |index: usize, guest: &Guest| -> Vec<Room> {
            let rooms = guest.mind.seats.keys().copied();
            rooms.filter(|room| spoken.get(room).is_some_and(|by| *by != index)).collect()
        };
        self.until("the probes have come", |storm| {
            let mut guests = storm.guests.iter().enumerate();
            guests.all(|(index, guest)| guest.mind.probes.keys().copied().eq(due(index, guest)))
        });
        let Storm { guests, ledger, .. } = self;
        guests.iter_mut().for_each(|guest| guest.fence(ledger));
        self.until("the fences have come", |storm| {
            storm.guests.iter().all(|guest| guest.mind.fences == 1)
        });
        for (index, guest) in self.guests.iter().enumerate() {
            assert!(guest.mind.probes.values().all(|count| *count == 1), "a probe came twice");
            assert_eq!(guest.mind.probes.len(), due(index, guest).len());
        }
    }

    /// Everybody leaves every room, the witness last, and goes.
    fn part(&mut self) {
        let Storm { guests, ledger, .. } = self;
        for guest in &mut guests[1..] {
            for room in guest.mind.seats.keys().copied().collect::<Vec<_>>() {
                guest.leave(ledger, room);
            }
        }
        self.until("everybody has left", |storm| {
            storm.ledger.settle(0)
                && storm.guests[1..].iter().all(|guest| guest.mind.seats.is_empty())
        });
        self.until("the witness is alone", Storm::is_true);
        self.guests[1..].iter_mut().for_each(|guest| guest.close(&mut self.ledger));
        self.guests[0].close(&mut self.ledger);
        let start = Instant::now();
        while !self.guests.is_empty() {
            assert!(start.elapsed() < TIMEOUT, "{} goodbyes are not answered", self.guests.len());
            self.guests.retain_mut(|guest| {
                guest.flush();
                guest.peer.read();
                guest.think(&mut self.ledger);
                guest.stage(&self.ledger) == Stage::There
            });
            pause();
        }
    }
}

/// Every fourth guest makes the server wait now and then, though it reads all the time.
fn width(index: usize) -> Width {
    if index.is_multiple_of(4) { Width::Narrow } else { Width::Usual }
}

/// Has the evil ones stop, also when the good ones have failed.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
