//! The soak test of clients with sessions.
//!
//! A seed generates all of the clients' actions and the proxy's faults. The clients' views are
//! checked at the end.

use std::collections::{BTreeSet, HashMap};
use std::env;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use roomer_conformance::client::TIMEOUT;
use roomer_simulator::random::{Random, Source};
use serde_json::Value;

use super::client::{Client, Stage};
use super::proxy::{self, Fault};
use crate::chaos::delivery_log::{ClientIndex, DeliveryLog, Room};
use crate::chaos::process::{Process, pause};
use crate::chaos::view::{ROOT, RoomState};

/// The number of rooms that the reference client is in, including `root`.
const ROOMS: usize = 8;

/// With these options, the server must be able to resume every session: a session outlasts each
/// disconnection, and keeps all packets that the client misses. The server considers a client lost
/// after three seconds of silence. This happens often.
const OPTIONS: &str = "handshake=60000 ping=1000 pong=3000 write=2000 close=4000 backlog=8388608 \
    window=120000 keep=67108864 detached=10000 requests=1";

/// The average number of actions per second for each client.
const ACTIONS: u32 = 10;

/// The maximum number of actions after one turn, however long the turn took.
const MAX_ACTIONS: u32 = 60;

struct Soak {
    process: Process,
    proxy: std::net::SocketAddr,
    rng: Random,
    log: DeliveryLog,
    /// The first client is the reference client: it is in all rooms, and does not use the proxy.
    /// See [`DeliveryLog`].
    clients: Vec<Client>,
    sums: Sums,
}

/// The numbers of the clients' actions, by kind.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    clients: usize,
    returns: usize,
    sent_again: usize,
    answered: usize,
    failed: usize,
}

#[test]
fn sessions_survive_proxy_dropping_connections() {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let seconds = number("ROOMER_CHAOS_SECONDS").unwrap_or(3);
    let clients = number("ROOMER_CHAOS_CLIENTS").unwrap_or(40);
    let seed = number("ROOMER_CHAOS_SEED").unwrap_or(1);
    eprintln!("ROOMER_CHAOS_SEED={seed} ROOMER_CHAOS_CLIENTS={clients} for {seconds} s");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let process = Process::start_busy(OPTIONS);
    let (addr, stop) = (process.addr, AtomicBool::new(false));
    let proxy = listener.local_addr().unwrap();
    let (soak, faults) = thread::scope(|scope| {
        let stop_too = &stop;
        let proxy_thread = scope.spawn(move || proxy::run(&listener, addr, !seed, stop_too));
        // Stop the proxy even if the test fails.
        let end = StopOnDrop(&stop);
        let mut soak = Soak::new(process, proxy, seed);
        soak.gather(clients as usize);
        soak.run(Duration::from_secs(seconds));
        soak.reconnect_all();
        drop(end);
        (soak, proxy_thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let process = soak.finish();
    let faults: Vec<_> = Fault::NAMES.iter().zip(faults).collect();
    assert!(seconds < 30 || faults.iter().all(|(_, count)| *count > 0), "{faults:?}");
    eprintln!("faults of connections: {faults:?}");
    process.stop();
}

impl Soak {
    fn new(process: Process, proxy: std::net::SocketAddr, seed: u64) -> Soak {
        let rooms =
            ["root".into()].into_iter().chain((1..ROOMS).map(|room| format!("room-{room}")));
        let log = DeliveryLog::new(rooms.collect(), ROOMS);
        let clients = vec![Client::connect(process.addr, proxy, true)];
        Soak { process, proxy, rng: Random::new(seed), log, clients, sums: Sums::default() }
    }

    /// Connects the reference client, which joins all rooms. Then connects the other clients.
    fn gather(&mut self, clients: usize) {
        self.until("the reference client is connected", |soak| soak.clients[0].view.me.is_some());
        for room in 1..ROOMS {
            self.clients[0].join(&self.log, room);
        }
        self.until("the reference client has joined", |soak| {
            soak.clients[0].view.is_settled(&mut soak.log)
        });
        let (server, proxy) = (self.process.addr, self.proxy);
        let newcomers = (0..clients).map(|_| Client::connect(server, proxy, false));
        self.clients.extend(newcomers);
        self.until("all clients are connected", |soak| {
            soak.clients.iter().all(|client| client.view.me.is_some())
        });
        // The first connections do not use the proxy, so end them now.
        for client in &mut self.clients[1..] {
            client.session.reconnect(self.rng.one_in(2));
        }
    }

    fn run(&mut self, time: Duration) {
        let (begin, mut done) = (Instant::now(), 0);
        while begin.elapsed() < time {
            self.turn();
            let due =
                begin.elapsed().as_millis() as u64 * u64::from(ACTIONS) * self.clients.len() as u64
                    / 1000;
            let now = (due - done).min(MAX_ACTIONS.into());
            (0..now).for_each(|_| self.act());
            done = due;
        }
    }

    /// Reads and writes once for each client.
    fn turn(&mut self) {
        let mut some = false;
        for index in 0..self.clients.len() {
            let client = &mut self.clients[index];
            some |= client.session.turn();
            let (is_late, by_reset) = (self.rng.one_in(3), self.rng.one_in(2));
            client.process_input(&mut self.log, is_late, by_reset);
            if let Some(failure) = &client.session.failure {
                panic!("{failure}: {:?}", self.process.numbers());
            }
            if client.stage == Stage::Closed {
                let newcomer = Client::connect(self.process.addr, self.proxy, false);
                let client = std::mem::replace(client, newcomer);
                self.sums.add(&client);
                client.view.end(&mut self.log);
            }
        }
        self.log.settle(0);
        self.log.check_suspected_loss();
        if !some {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Runs turns until a condition holds. A busy machine may need a while to handle all packets.
    #[track_caller]
    fn until(&mut self, what: &str, is_so: impl Fn(&mut Soak) -> bool) {
        let deadline = Instant::now() + 4 * TIMEOUT;
        while !is_so(self) {
            if Instant::now() >= deadline {
                let states = self.clients.iter().map(Client::state);
                let states: BTreeSet<String> = states.collect();
                panic!("not reached: {what}; {:?}; {states:#?}", self.process.numbers());
            }
            self.turn();
        }
    }

    fn act(&mut self) {
        let Soak { rng, log, clients, .. } = self;
        let many = clients.len() as u32;
        let index = 1 + rng.below(many - 1) as usize;
        let other = clients[rng.below(many) as usize].view.me;
        let client = &mut clients[index];
        if !client.is_ready() {
            return;
        }
        let room = rng.below(log.rooms.len() as u32) as Room;
        let is_in = client.view.rooms.contains_key(&room);
        match rng.below(200) {
            ..60 if is_in => client.say(log, room, "hello", rng.below(300) as usize),
            ..64 if is_in => client.say(log, room, "hello", rng.below(6000) as usize),
            ..66 if is_in => (0..20).for_each(|_| client.say(log, room, "hello", 30)),
            ..72 if is_in => client.join(log, room),
            // Requests are sent in `root`, so no client may leave it.
            ..84 if is_in && room != ROOT => client.leave(log, room),
            ..50 => {
                client.join(log, room);
                client.say(log, room, "hello", 10);
            }
            84..110 => {
                if let Some(other) = other {
                    client.tell(log, other, rng.below(300) as usize);
                }
            }
            110..125 => client.ask(log, None, "echo"),
            125..135 => client.ask(log, None, "ask back"),
            135..160 if other.is_some() => client.ask(log, other, "question"),
            160..170 => client.change_info(),
            170..185 => client.answer_postponed(),
            185..190 => client.session.ask_to_acknowledge(),
            190..196 => client.session.acknowledge(),
            // Reconnect although the connection works, as when a client changes its network.
            196..199 => client.session.reconnect(rng.one_in(2)),
            199 if rng.one_in(4) => client.retire(),
            _ => {}
        }
    }

    /// Makes all clients reconnect without the proxy.
    fn reconnect_all(&mut self) {
        self.until("all clients are connected", |soak| {
            let mut clients = soak.clients.iter();
            clients.all(|client| client.view.me.is_some() && client.stage == Stage::Open)
        });
        for client in &mut self.clients {
            client.session.is_direct = true;
            client.session.reconnect(false);
        }
        self.until("all clients are back", |soak| {
            soak.clients.iter().all(|client| client.session.has_hello)
        });
    }

    /// Checks that no message and no answer is missing, and closes all clients.
    fn finish(mut self) -> Process {
        self.until("all requests are answered", |soak| {
            soak.clients.iter_mut().for_each(Client::answer_postponed);
            soak.clients.iter().all(|client| client.requests.pending() == 0)
        });
        self.until("all joins and leaves are answered, and all logs agree", |soak| {
            let Soak { clients, log, .. } = soak;
            log.settle(0) && clients.iter_mut().all(|client| client.view.is_settled(log))
        });
        self.until("all views are correct", Soak::is_true);
        self.until("all direct messages have arrived", |soak| {
            soak.clients.iter().all(|client| client.view.has_all_direct(&soak.log))
        });
        for client in &mut self.clients {
            let fence = client.view.fence(&self.log);
            client.session.send(fence);
        }
        self.until("the fences have arrived", |soak| {
            soak.clients.iter().all(|client| client.view.fences == 1)
        });
        assert!(self.is_true(), "a packet came late");
        self.clients.iter().for_each(|client| self.sums.add(client));
        eprintln!("{:?}, {:?}", self.sums, self.log.checked);
        let numbers = self.process.numbers();
        assert!(numbers.closes.is_empty(), "the server has closed clients: {numbers:?}");
        let ghosts = self.ghosts().len();
        let [unknown, others @ ..] = numbers.refused;
        assert!(ghosts <= unknown && others == [0; 4], "{ghosts} ghosts, {numbers:?}");
        self.close_all();
        self.process
    }

    /// Closes all clients. Waits until the server has no sessions except those of ghosts.
    fn close_all(&mut self) {
        for client in &mut self.clients {
            client.stage = Stage::Retiring;
        }
        let deadline = Instant::now() + TIMEOUT;
        while !self.clients.is_empty() {
            assert!(Instant::now() < deadline, "{} clients are open", self.clients.len());
            for client in &mut self.clients {
                client.session.turn();
                client.process_input(&mut self.log, false, false);
            }
            self.clients.retain(|client| client.stage != Stage::Closed);
            pause();
        }
        self.process
            .until(|numbers| numbers.sockets == 0 && numbers.connections <= numbers.refused[0]);
    }

    /// Returns true if all clients agree on the members and their info, and each member is either a
    /// client or a ghost.
    fn is_true(&mut self) -> bool {
        let mut members: HashMap<Room, BTreeSet<ClientIndex>> = HashMap::new();
        let mut infos: HashMap<String, Value> = HashMap::new();
        for client in &self.clients {
            for room in client.view.rooms.keys() {
                members.entry(*room).or_default().extend(client.view.me);
            }
            let id = client.view.me.map(|me| self.log.id(me).to_owned());
            infos.extend(id.map(|id| (id, client.info.clone())));
        }
        for ghost in self.ghosts() {
            members.entry(ROOT).or_default().insert(ghost);
            infos.insert(self.log.id(ghost).to_owned(), Value::Null);
        }
        self.clients.iter().all(|client| {
            client.knows(&infos)
                && client.view.rooms.iter().all(|(room, state)| match state {
                    RoomState::In(membership) => membership.members == members[room],
                    _ => false,
                })
        })
    }

    /// Returns the ghosts: members of `root` that are not clients. If a delayed request with an
    /// outdated token arrives after its client has already reconnected, it starts a session that no
    /// client uses.
    fn ghosts(&self) -> Vec<ClientIndex> {
        let clients: BTreeSet<_> =
            self.clients.iter().filter_map(|client| client.view.me).collect();
        match self.clients[0].view.rooms.get(&ROOT) {
            Some(RoomState::In(membership)) => &membership.members - &clients,
            _ => BTreeSet::new(),
        }
        .into_iter()
        .collect()
    }
}

impl Sums {
    fn add(&mut self, client: &Client) {
        self.clients += 1;
        self.returns += client.session.returns;
        self.sent_again += client.session.sent_again;
        self.answered += client.requests.answered;
        self.failed += client.requests.failed;
    }
}

/// Stops the proxy when it is dropped, even if the test has failed.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
