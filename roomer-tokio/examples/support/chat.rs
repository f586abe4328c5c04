//! What the chat server is on either runtime: its flags, its page, its handlers.

#[path = "pages.rs"]
mod pages;

use std::error::Error;
use std::time::Duration;

use lexopt::prelude::*;
use roomer_hub::server::{Claims, Refusal, Server};

const HELP: &str = "\
A chat server with its page, and the gallery of the JavaScript client at /gallery/.

    --listen ADDR             where to listen (default 127.0.0.1:8080)
    --auth-token TOKEN        let in only who connects to /ws?token=TOKEN
    --compat                  the Go original's rules, holes included
    --allow-origin ORIGIN     also let in pages of this origin; any: of all (repeatable)
    --max-message BYTES       the largest message taken (default 16777216)
    --max-rooms N             rooms of one client (default 1100)
    --max-backlog BYTES       what may wait for one client (default 1048576)
    --memory-budget BYTES     what all may hold together (default 1073741824)
    --message-rate N          messages per second of a client, 4 N at once (default: any)
    --byte-rate N             the same in bytes, at once also the largest message
    --join-rate N             the same for joins
    --roommates-only          direct messages only between clients in a common room
    --ping-period TIME        how often clients are pinged (default 54s)
    --pong-wait TIME          how long a client may be silent (default 60s)
    --write-wait TIME         how long a client may take nothing (default 10s)
    --handshake-timeout TIME  how long a handshake may take (default 10s)
    --max-connections N       how many may be connected (default 100000)
    --max-connections-per-address N
                              how many of them from one address (default 20000)
    --max-handshakes N        how many may be about to connect (default 16384)
    --max-handshakes-per-address N
                              how many of them from one address (default 8192)
    --drain TIME              at the end, close 1,000 connections a second for at most so long
                              (default: all at once)
    --threads N               worker threads (default 1)
    --coalesce TIME           how long a large room's messages are collected (default 0)
    --echo                    a WebSocket echo instead, for conformance tests
    --panic-event             an event `panic` whose handler panics, for tests
    --quiet                   say nothing but where it listens
    --help                    this

TIME is in seconds: 2, 0.5, 2s or 500ms.
";

/// The server that the command line asks for, and how to run it.
#[derive(Debug)]
pub struct Chat {
    pub server: Server,
    pub listen: String,
    pub threads: usize,
    pub quiet: bool,
}

impl Chat {
    /// Reads the command line. `None` when it only asked for help.
    pub fn from_args() -> Result<Option<Chat>, Box<dyn Error>> {
        let mut builder = Server::builder();
        let mut chat = (String::from("127.0.0.1:8080"), 1, false);
        let (mut compat, mut panic_event) = (false, false);
        let (mut max_message, mut byte_rate) = (16 << 20, None);
        let mut args = lexopt::Parser::from_env();
        while let Some(arg) = args.next()? {
            match arg {
                Long("listen") => chat.0 = args.value()?.string()?,
                Long("auth-token") => {
                    let token = args.value()?.string()?;
                    builder = builder.authorize(move |request| match request.query("token") {
                        Some(given) if *given == *token => Ok(Claims::new()),
                        _ => Err(Refusal::unauthorized("wrong or missing token")),
                    });
                }
                Long("compat") => compat = true,
                Long("allow-origin") => builder = builder.allow_origin(&args.value()?.string()?),
                Long("max-backlog") => builder = builder.max_backlog(args.value()?.parse()?),
                Long("memory-budget") => builder = builder.memory_budget(args.value()?.parse()?),
                Long("max-message") => max_message = args.value()?.parse()?,
                Long("message-rate") => {
                    let rate = args.value()?.parse()?;
                    builder = builder.message_rate(rate, at_once(rate));
                }
                Long("byte-rate") => byte_rate = Some(args.value()?.parse()?),
                Long("join-rate") => {
                    let rate = args.value()?.parse()?;
                    builder = builder.join_rate(rate, at_once(rate));
                }
                Long("roommates-only") => builder = builder.roommates_only(),
                Long("ping-period") => builder = builder.ping_period(time(&mut args)?),
                Long("pong-wait") => builder = builder.pong_wait(time(&mut args)?),
                Long("write-wait") => builder = builder.write_wait(time(&mut args)?),
                Long("handshake-timeout") => {
                    builder = builder.handshake_timeout(time(&mut args)?);
                }
                Long("max-rooms") => builder = builder.max_rooms(args.value()?.parse()?),
                Long("max-handshakes") => builder = builder.max_handshakes(args.value()?.parse()?),
                Long("max-handshakes-per-address") => {
                    builder = builder.max_handshakes_per_address(args.value()?.parse()?);
                }
                Long("max-connections") => {
                    builder = builder.max_connections(args.value()?.parse()?);
                }
                Long("max-connections-per-address") => {
                    builder = builder.max_connections_per_address(args.value()?.parse()?);
                }
                Long("drain") => builder = builder.drain(time(&mut args)?, 1000),
                Long("coalesce") => builder = builder.coalesce(time(&mut args)?),
                Long("echo") => builder = builder.echo(),
                Long("threads") => chat.1 = args.value()?.parse()?,
                Long("panic-event") => panic_event = true,
                Long("quiet") => chat.2 = true,
                Long("help") => {
                    print!("{HELP}");
                    return Ok(None);
                }
                _ => return Err(arg.unexpected().into()),
            }
        }
        builder = builder.max_message(max_message);
        if let Some(rate) = byte_rate {
            let burst = u32::try_from(max_message).map_or(u32::MAX, |most| most.max(at_once(rate)));
            builder = builder.byte_rate(rate, burst);
        }
        if compat {
            builder = builder.compat();
        }
        if panic_event {
            builder = builder.on("panic", |_, _| panic!("the event `panic` was sent"));
        }
        let (listen, threads, quiet) = chat;
        if !quiet {
            builder = builder.on_error(|conn, message, error| {
                eprintln!("{} {:?}: {error}", conn.id(), message.event);
            });
        }
        let builder = builder
            .on("chat", |conn, message| {
                conn.send_to_room(message.room, "chat", message.payload);
                Ok(())
            })
            .on("ping", |conn, message| {
                // The Go original's quick start answers in this room, whatever room was asked.
                let pong = roomer_hub::server::PacketRef {
                    room: "util",
                    event: "pong",
                    dst: "",
                    src: message.src.as_str(),
                    payload: &[],
                };
                match conn.try_send(pong.to_bytes()) {
                    true => Ok(()),
                    false => Err("the pong was not taken".into()),
                }
            });
        Ok(Some(Chat { server: pages::add(builder).build()?, listen, threads, quiet }))
    }

    /// Says where the server listens, for people and for tests that wait for this line.
    pub fn announce(&self, addr: std::net::SocketAddr) {
        println!("listening on http://{addr}");
        if !self.quiet {
            eprintln!("open it, or /gallery/ there, in two windows; Ctrl-C ends it");
        }
    }

    /// Says how it ended.
    pub fn farewell(&self) {
        if !self.quiet {
            eprintln!("stopped");
        }
    }
}

/// What a rate allows after a pause: four seconds' worth.
fn at_once(per_second: u32) -> u32 {
    per_second.saturating_mul(4)
}

/// Reads `2`, `0.5`, `2s` or `500ms`.
fn time(args: &mut lexopt::Parser) -> Result<Duration, Box<dyn Error>> {
    let text = args.value()?.string()?;
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (text.strip_suffix('s').unwrap_or(&text), 1.0),
    };
    let seconds: f64 = number.parse().map_err(|_| format!("{text:?} is no time; write 2s"))?;
    Duration::try_from_secs_f64(seconds * unit).map_err(|error| format!("{text:?}: {error}").into())
}
