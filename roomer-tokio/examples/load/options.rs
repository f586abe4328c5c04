//! Parses the command line of the load generator.

use std::error::Error;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::net::ToSocketAddrs as _;
use std::time::Duration;

use lexopt::prelude::*;

use roomer_example_support::program::{self, Outcome, text, time, value};

const HELP: &str = "\
Generates load on a roomer server, and checks what it delivers.

{name} --url URL... [--pid PID...] SCENARIO [options]

    --url URL        ws://HOST:PORT/PATH (default ws://127.0.0.1:8080/ws); repeat it for each node of
                     a cluster, to which connections are assigned in turn
    --pid PID        the process of the server or of each node, to measure CPU and memory (Linux)

fanout     one room; some members send to all others
rooms      many small rooms, in which every member sends
slow       like fanout, but some members stop reading halfway through
    --members N      members per room (100; rooms: 5)
    --rooms N        the number of rooms (rooms: 400)
    --conns N        connections; if fewer than rooms × members, each is in several rooms (rooms)
    --senders N      how many members of a room send, in turn (1; rooms: all)
    --slow N         how many members stop reading (slow: 1)
    --window N       messages in flight; the next is sent once one has reached all members (1)
    --rate N         instead of a window: messages per second, whether or not they arrive
direct     pairs that answer each other's direct messages
    --pairs N        the number of pairs (100)
idle       connections that do nothing, to measure the memory of each
joinstorm  connections that open as fast as they can; each must see all others
    --conns N        the number of connections (idle: 10000, joinstorm: 5000)
    --inflight N     the number of concurrent handshakes (64)
    --leave N        how many leave again at the end (joinstorm: 1 in 50)
churn      connections that join and leave a room, each as soon as it is answered
    --conns N        the number of connections (500)
resume     clients that lose their sockets all at once, and resume their sessions
    --conns N        the number of clients (10000)
    --members N      clients per room, in addition to two observers that stay connected (5)
    --meanwhile N    messages to each room while the clients are away (1)
    --inflight N     the number of concurrent handshakes (all)

    --extended       use the extended protocol (resume: always)
    --size BYTES     the payload size (64, at least 24; slow and idle: 1024)
    --secs TIME      how long to measure (5)
    --warmup TIME    how long to run before measuring (1)
    --timeout TIME   when to give up waiting for the server (120)
    --patience TIME  how long to wait for the next packet before missing ones count as lost (5)
    -h, --help       print this help
    -V, --version    print the version

Prints one line of JSON on stdout. Exits with 1 if the server lost, duplicated or reordered a
message, and with 2 if the run could not be performed.
";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    Fanout,
    Rooms,
    Slow,
    Direct,
    Churn,
    Idle,
    Joinstorm,
    Resume,
}

/// The scenario and its parameters. A parameter of zero means the default of the scenario, which
/// [`Options::from_args`] fills in.
#[derive(Debug)]
pub struct Options {
    pub scenario: Scenario,
    /// The servers: one server, or the nodes of a cluster, to which connections are assigned in
    /// turn.
    pub targets: Vec<Target>,
    pub pids: Vec<u32>,
    pub members: usize,
    pub rooms: usize,
    pub conns: usize,
    pub senders: usize,
    pub slow: usize,
    pub window: usize,
    pub rate: f64,
    pub pairs: usize,
    pub inflight: usize,
    pub leave: usize,
    pub meanwhile: usize,
    pub extended: bool,
    pub size: usize,
    pub secs: Duration,
    pub warmup: Duration,
    pub timeout: Duration,
    /// How long to wait for the next packet while packets are missing.
    pub patience: Duration,
}

/// The address of a server.
#[derive(Clone, Debug)]
pub struct Target {
    pub addr: SocketAddr,
    pub host: String,
    pub path: String,
}

impl Options {
    /// Parses the command line. Returns `None` if it only requests the help.
    pub fn from_args(
        name: &str,
        args: impl IntoIterator<Item = OsString>,
    ) -> Result<Option<Options>, Box<dyn Error>> {
        let mut scenario = None;
        let mut options = Options {
            scenario: Scenario::Fanout,
            targets: Vec::new(),
            pids: Vec::new(),
            members: 0,
            rooms: 0,
            conns: 0,
            senders: 0,
            slow: 0,
            window: 1,
            rate: 0.0,
            pairs: 100,
            inflight: 0,
            leave: usize::MAX,
            meanwhile: 1,
            extended: false,
            size: 0,
            secs: Duration::from_secs(5),
            warmup: Duration::from_secs(1),
            timeout: Duration::from_secs(120),
            patience: Duration::from_secs(5),
        };
        let mut args = lexopt::Parser::from_args(args);
        while let Some(arg) = program::next(&mut args)? {
            match arg {
                Long("url") => {
                    options.targets.push(Target::parse(&text(&mut args, "url")?)?);
                }
                Long("pid") => options.pids.push(value(&mut args, "pid")?),
                Long("members") => options.members = count(&mut args, "members")?,
                Long("rooms") => options.rooms = count(&mut args, "rooms")?,
                Long("conns") => options.conns = count(&mut args, "conns")?,
                Long("senders") => options.senders = count(&mut args, "senders")?,
                Long("slow") => options.slow = count(&mut args, "slow")?,
                Long("window") => options.window = count(&mut args, "window")?,
                Long("rate") => options.rate = value(&mut args, "rate")?,
                Long("pairs") => options.pairs = count(&mut args, "pairs")?,
                Long("inflight") => options.inflight = count(&mut args, "inflight")?,
                Long("leave") => options.leave = value(&mut args, "leave")?,
                Long("meanwhile") => options.meanwhile = value(&mut args, "meanwhile")?,
                Long("extended") => options.extended = true,
                Long("size") => options.size = count(&mut args, "size")?,
                Long("secs") => options.secs = time(&mut args, "secs")?,
                Long("warmup") => options.warmup = time(&mut args, "warmup")?,
                Long("patience") => options.patience = time(&mut args, "patience")?,
                Long("timeout") => options.timeout = time(&mut args, "timeout")?,
                Short('h') | Long("help") => {
                    print!("{}", HELP.replace("{name}", name));
                    return Ok(None);
                }
                Value(name) if scenario.is_none() => {
                    scenario = Some(Scenario::parse(&name.string()?)?)
                }
                Short('V') | Long("version") => {
                    program::version();
                    return Ok(None);
                }
                _ => return Err(program::unknown(&arg.unexpected())),
            }
        }
        if options.targets.is_empty() {
            options.targets.push(Target::parse("ws://127.0.0.1:8080/ws")?);
        }
        options.scenario = scenario.ok_or("the scenario is missing; --help lists them")?;
        options.fill_in()?;
        Ok(Some(options))
    }

    fn fill_in(&mut self) -> Result<(), Box<dyn Error>> {
        use Scenario::{Churn, Idle, Joinstorm, Resume, Rooms, Slow};
        let scenario = self.scenario;
        let default = |value: &mut usize, default: usize| {
            if *value == 0 {
                *value = default;
            }
        };
        default(&mut self.members, if matches!(scenario, Rooms | Resume) { 5 } else { 100 });
        default(&mut self.rooms, if scenario == Rooms { 400 } else { 1 });
        let in_rooms = self.rooms * self.members;
        default(
            &mut self.conns,
            match scenario {
                Idle | Resume => 10_000,
                Joinstorm => 5000,
                Churn => 500,
                _ => in_rooms,
            },
        );
        default(&mut self.inflight, if scenario == Resume { self.conns } else { 64 });
        default(&mut self.senders, if scenario == Rooms { self.members } else { 1 });
        default(&mut self.slow, 1);
        default(&mut self.size, if matches!(scenario, Slow | Idle) { 1024 } else { 64 });
        self.extended |= scenario == Resume;
        if self.leave == usize::MAX {
            self.leave = self.conns.div_ceil(50);
        }
        let healthy = self.members - if scenario == Slow { self.slow.min(self.members) } else { 0 };
        for (wrong, why) in [
            (self.members < 2, "a room needs two members"),
            (
                self.conns < self.members && scenario == Rooms,
                "a room has more members than there are connections",
            ),
            (self.size < crate::wire::STAMP, "a payload needs 24 bytes"),
            (self.senders > healthy, "there are more senders than members that read"),
            (healthy < 2, "at least two members must continue to read"),
            (self.leave >= self.conns, "at least one connection must stay"),
            (
                !self.rate.is_finite() || self.rate < 0.0,
                "a rate is a number of messages per second",
            ),
            (self.secs.is_zero(), "measuring takes time: --secs must be more than 0"),
        ] {
            if wrong {
                return Err(why.into());
            }
        }
        Ok(())
    }

    /// Returns the number of connections that a run needs.
    pub fn connections(&self) -> usize {
        match self.scenario {
            Scenario::Fanout | Scenario::Slow => self.members,
            Scenario::Direct => 2 * self.pairs,
            Scenario::Resume => crate::resume::connections(self),
            _ => self.conns,
        }
    }
}

impl Scenario {
    fn parse(name: &str) -> Result<Scenario, String> {
        Ok(match name {
            "fanout" => Scenario::Fanout,
            "rooms" => Scenario::Rooms,
            "slow" => Scenario::Slow,
            "direct" => Scenario::Direct,
            "churn" => Scenario::Churn,
            "idle" => Scenario::Idle,
            "joinstorm" => Scenario::Joinstorm,
            "resume" => Scenario::Resume,
            _ => return Err(format!("there is no scenario {name:?}; --help lists them")),
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Scenario::Fanout => "fanout",
            Scenario::Rooms => "rooms",
            Scenario::Slow => "slow",
            Scenario::Direct => "direct",
            Scenario::Churn => "churn",
            Scenario::Idle => "idle",
            Scenario::Joinstorm => "joinstorm",
            Scenario::Resume => "resume",
        }
    }
}

impl Target {
    fn parse(url: &str) -> Result<Target, Box<dyn Error>> {
        let rest = url.strip_prefix("ws://").ok_or_else(|| {
            format!("{url:?} is not an address: write ws://HOST:PORT/PATH (wss is not supported)")
        })?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let with_port = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        let addr = with_port
            .to_socket_addrs()
            .map_err(|error| format!("{host:?}: {error}"))?
            .next()
            .ok_or_else(|| format!("{host:?} has no address"))?;
        let path = if path.is_empty() { "/" } else { path };
        Ok(Target { addr, host: host.to_owned(), path: path.to_owned() })
    }
}

fn count(args: &mut lexopt::Parser, option: &str) -> Outcome<usize> {
    match value(args, option)? {
        0 => Err(format!("--{option}: 0 is too few").into()),
        count => Ok(count),
    }
}
