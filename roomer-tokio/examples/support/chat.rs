//! The part of the chat server shared by both runtimes: its flags, its page and its handlers.

use lexopt::prelude::*;
use roomer_engine::cluster::BrokerAddress;
use roomer_engine::{
    Builder, Claims, Cluster, History, Presence, Rejection, Server, Warning, WarningReason,
};

use crate::pages;
use crate::program::{self, Outcome, text, time, value};
use crate::trial;

const HELP: &str = "\
A chat server with its page, and with the JavaScript client's gallery at /gallery/.

    --listen ADDR             the address to listen on (default 127.0.0.1:8080)
    --auth-token TOKEN        admit only clients that send it: as a subprotocol, /ws?token=TOKEN or a
                              header
    --compat                  use the Go original's rules, including its security holes
    --allow-origin ORIGIN     also admit pages from this origin; any: from all (repeatable)
    --trust-proxy ADDR        a proxy whose X-Forwarded-For is trusted (repeatable)
    --proxy-protocol          trusted proxies begin connections with a PROXY protocol header
    --health                  answer health checks at /live and /ready
    --max-message BYTES       the maximum message size (default 16777216)
    --max-rooms N             the maximum number of rooms per client (default 1100)
    --max-backlog BYTES       how much output may be queued for one client (default 1048576)
    --memory-budget BYTES     how much memory all clients' messages may take (default: a quarter of
                              the available memory, at most 1073741824)
    --message-rate N          messages per second from one client, in bursts of 4 N (default: unlimited)
    --byte-rate N             bytes per second from one client, in bursts of 4 N or, if that is larger,
                              of the maximum message size
    --join-rate N             joins per second by one client, in bursts of 4 N
    --no-presence PATTERN     rooms whose members are not shown to each other: root, lobby*, *
                              (repeatable)
    --roommates-only          permit direct messages only between clients that share a room
    --ping-period TIME        how often clients are pinged (default 54s)
    --pong-wait TIME          how long a client may be silent (default 60s)
    --write-wait TIME         how long a client may accept no output (default 10s)
    --handshake-timeout TIME  how long a handshake may take (default 10s)
    --max-connections N       the maximum number of connections (default 100000)
    --max-connections-per-address N
                              the maximum number of connections per address (default 20000)
    --max-handshakes N        the maximum number of clients still connecting (default 16384)
    --max-handshakes-per-address N
                              the maximum number of them per address (default 8192)
    --drain TIME              on shutdown, close 1,000 connections per second for at most this long
                              (default: close all at once)
    --cluster URL             share rooms with other chats through a broker, nats://HOST:PORT or
                              redis://HOST:PORT
    --node NAME               this chat's name in the cluster (default: host name and process id)
    --threads N               worker threads (default 1)
    --coalesce TIME           how long a large room's messages are collected (default 0)
    --deflate BYTES           compress messages to rooms of at least this length (default: none)
    --echo                    run a WebSocket echo server instead, for conformance tests
    --resume-window TIME      how long a session is kept after its connection is lost (default 30s)
    --history N               how many messages each room keeps (default 100; 0: none)
    --trial                   logins by name, request handlers and rooms with history, for tests
    --panic-event             an event `panic` whose handler panics, for tests
    --quiet                   print only the listening address
    -h, --help                print this help
    -V, --version             print the version

TIME is in seconds: 2, 0.5, 2s or 500ms.
";

/// The maximum length of a member's info, in bytes. It is small, because each member of a room
/// receives the info of all others.
const MAX_INFO: usize = 512;

/// A chat server, as configured on its command line.
#[derive(Debug)]
pub struct Chat {
    pub server: Server,
    pub listen: String,
    pub threads: usize,
    pub quiet: bool,
    /// The address of the broker, if the server is a node of a cluster.
    pub broker: Option<BrokerAddress>,
}

impl Chat {
    /// Parses the command line. Returns `None` if it only requests the help.
    pub fn from_args() -> Outcome<Option<Chat>> {
        // The page sets its info to a JSON object that contains the name of the user.
        let mut builder = Server::builder()
            .max_info(MAX_INFO)
            .may_set_info(|_, info| info.as_str().starts_with('{'));
        let mut chat = (String::from("127.0.0.1:8080"), 1, false);
        let (mut compat, mut panic_event) = (false, false);
        let (mut max_message, mut byte_rate) = (16 << 20, None);
        let (mut broker, mut node) = (None, None);
        let mut remembered = 100;
        let mut args = lexopt::Parser::from_env();
        while let Some(arg) = program::next(&mut args)? {
            match arg {
                Long("listen") => chat.0 = text(&mut args, "listen")?,
                Long("auth-token") => {
                    let token = text(&mut args, "auth-token")?;
                    if token.is_empty() {
                        return Err(
                            "--auth-token: the token is empty, so any client could present it"
                                .into(),
                        );
                    }
                    builder = builder.authorize(move |request| match request.token() {
                        Some(given) if *given == *token => Ok(Claims::new()),
                        _ => Err(Rejection::unauthorized("wrong or missing token")),
                    });
                }
                Long("compat") => compat = true,
                Long("allow-origin") => {
                    builder = builder.allow_origin(&text(&mut args, "allow-origin")?)
                }
                Long("trust-proxy") => {
                    builder = builder.trust_proxy(&text(&mut args, "trust-proxy")?);
                }
                Long("proxy-protocol") => builder = builder.proxy_protocol(),
                Long("health") => builder = builder.health("/live", "/ready"),
                Long("max-backlog") => {
                    builder = builder.max_backlog(value(&mut args, "max-backlog")?)
                }
                Long("memory-budget") => {
                    builder = builder.memory_budget(value(&mut args, "memory-budget")?)
                }
                Long("max-message") => max_message = value(&mut args, "max-message")?,
                Long("message-rate") => {
                    let rate = value(&mut args, "message-rate")?;
                    builder = builder.message_rate(rate, at_once(rate));
                }
                Long("byte-rate") => byte_rate = Some(value(&mut args, "byte-rate")?),
                Long("join-rate") => {
                    let rate = value(&mut args, "join-rate")?;
                    builder = builder.join_rate(rate, at_once(rate));
                }
                Long("no-presence") => {
                    builder = builder.presence(text(&mut args, "no-presence")?, Presence::Off)
                }
                Long("roommates-only") => builder = builder.shared_room_only(),
                Long("ping-period") => {
                    builder = builder.ping_interval(time(&mut args, "ping-period")?)
                }
                Long("pong-wait") => builder = builder.pong_timeout(time(&mut args, "pong-wait")?),
                Long("write-wait") => {
                    builder = builder.write_timeout(time(&mut args, "write-wait")?)
                }
                Long("handshake-timeout") => {
                    builder = builder.handshake_timeout(time(&mut args, "handshake-timeout")?);
                }
                Long("max-rooms") => builder = builder.max_rooms(value(&mut args, "max-rooms")?),
                Long("max-handshakes") => {
                    builder = builder.max_handshakes(value(&mut args, "max-handshakes")?)
                }
                Long("max-handshakes-per-address") => {
                    builder = builder.max_handshakes_per_address(value(
                        &mut args,
                        "max-handshakes-per-address",
                    )?);
                }
                Long("max-connections") => {
                    builder = builder.max_connections(value(&mut args, "max-connections")?);
                }
                Long("max-connections-per-address") => {
                    builder = builder.max_connections_per_address(value(
                        &mut args,
                        "max-connections-per-address",
                    )?);
                }
                Long("drain") => builder = builder.drain(time(&mut args, "drain")?, 1000),
                Long("coalesce") => builder = builder.coalesce(time(&mut args, "coalesce")?),
                Long("deflate") => builder = builder.deflate("*", value(&mut args, "deflate")?),
                Long("echo") => builder = builder.echo(),
                Long("cluster") => broker = Some(value(&mut args, "cluster")?),
                Long("node") => node = Some(text(&mut args, "node")?),
                Long("resume-window") => {
                    builder = builder.resume_window(time(&mut args, "resume-window")?)
                }
                Long("history") => remembered = value(&mut args, "history")?,
                Long("trial") => builder = trial::add(builder),
                Long("threads") => chat.1 = value(&mut args, "threads")?,
                Long("panic-event") => panic_event = true,
                Long("quiet") => chat.2 = true,
                Short('h') | Long("help") => {
                    print!("{HELP}");
                    return Ok(None);
                }
                Short('V') | Long("version") => {
                    program::version();
                    return Ok(None);
                }
                _ => return Err(program::unknown(&arg.unexpected())),
            }
        }
        builder = builder.max_message(max_message);
        if let Some(rate) = byte_rate {
            let burst = u32::try_from(max_message).map_or(u32::MAX, |most| most.max(at_once(rate)));
            builder = builder.byte_rate(rate, burst);
        }
        // The first matching pattern applies, so add these after the patterns of the trial.
        builder = match compat {
            true => builder.compat(),
            false => remember(builder, remembered),
        };
        if broker.is_none() && node.is_some() {
            return Err("--node names a node of a cluster: add --cluster URL".into());
        }
        if broker.is_some() {
            let cluster = Cluster::named("chat");
            builder = builder.cluster(match node {
                Some(node) => cluster.node(node),
                None => cluster,
            });
        }
        if panic_event {
            builder = builder.on("panic", |_, _| panic!("the event `panic` was sent"));
        }
        let (listen, threads, quiet) = chat;
        if !quiet {
            builder = builder.on_error(|conn, message, error| {
                eprintln!("{} {:?}: {error}", conn.id(), message.event);
            });
            builder = builder.on_warning(|warning| eprintln!("warning: {}", advice(warning)));
        }
        let builder = builder
            .on("chat", |conn, message| {
                conn.send_to_room(message.room, "chat", message.payload);
                Ok(())
            })
            .on("ping", |conn, message| {
                // Reply in this room, whichever room the request names. The quick start of the
                // original in Go does the same.
                let pong = roomer_engine::PacketRef {
                    room: "util",
                    event: "pong",
                    dst: "",
                    src: message.src.as_str(),
                    payload: &[],
                };
                match conn.send_raw(pong.to_bytes()) {
                    true => Ok(()),
                    false => Err("the pong was not queued".into()),
                }
            });
        Ok(Some(Chat { server: pages::add(builder).build()?, listen, threads, quiet, broker }))
    }

    /// Prints the URL of the server, for people, and for tests that wait for this line.
    pub fn announce(&self, addr: std::net::SocketAddr) {
        println!("listening on http://{addr}");
        if !self.quiet {
            eprintln!("memory budget: {} MiB", self.server.memory_budget() >> 20);
            eprintln!("open it, or /gallery/ there, in two windows; Ctrl-C ends it");
        }
    }

    /// After the server has ended, prints a summary.
    pub fn farewell(&self) {
        if !self.quiet {
            eprintln!("stopped");
        }
    }
}

/// Enables a history, but not in the rooms of the gallery, where an old position or count is
/// useless.
fn remember(builder: Builder, messages: usize) -> Builder {
    builder.history("gallery *", History::last(0)).history("*", History::last(messages))
}

/// Returns the burst of a rate: as many tokens as are refilled in four seconds.
fn at_once(per_second: u32) -> u32 {
    per_second.saturating_mul(4)
}

/// Formats a warning. If an option can help, the text contains this program's flag for it.
fn advice(warning: &Warning) -> String {
    let flag = match &warning.reason {
        WarningReason::Origin { origin, .. } if origin == "null" => "--allow-origin any".into(),
        WarningReason::Origin { origin, .. } => format!("--allow-origin {origin}"),
        WarningReason::Full { option, .. } => format!("--{} N", option.replace('_', "-")),
        WarningReason::Descriptors { .. } => "--max-connections N".into(),
        WarningReason::Subprotocol { .. } => "offer `roomer`, alone or beside a token".into(),
        WarningReason::AuthorizeTimeout => "--handshake-timeout TIME".into(),
        _ => return warning.to_string(),
    };
    format!("{warning} (here: {flag})")
}
