//! The command line: commands and their options.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::connect::{Connect, Payload};
use crate::failure::EXIT_CODES;
use crate::serve::config::flags::Flags;

/// Command line for room servers: watch rooms, send messages and requests, chat, measure, and
/// serve.
#[derive(Parser)]
#[command(name = "roomer", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// Print each result as a line of JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Print rooms' messages until stopped, reconnecting after failures.
    #[command(after_help = "\
Examples:
  roomer tail ws://localhost:8080/ws lobby
  roomer tail wss://example.org/ws lobby news --event chat --json | jq .text
  roomer tail ws://localhost:8080/ws news --history 20 --count 20")]
    Tail(Tail),
    /// Send a message to a room, or to one member.
    #[command(after_help = "\
Examples:
  roomer send ws://localhost:8080/ws lobby chat 'hello'
  date | roomer send ws://localhost:8080/ws lobby chat -
  tail -f log | roomer send ws://localhost:8080/ws logs line --lines")]
    Send(Send),
    /// Send a request to the server, or to one member, and print the answer.
    #[command(after_help = "\
Examples:
  roomer request ws://localhost:8080/ws root time
  roomer request ws://localhost:8080/ws game move '{\"x\":3}' --timeout 2")]
    Request(Request),
    /// Print a room's members.
    #[command(after_help = "\
Examples:
  roomer members ws://localhost:8080/ws lobby
  roomer members ws://localhost:8080/ws lobby --watch --json")]
    Members(Members),
    /// Chat in a room, line by line.
    #[command(after_help = "\
Example:
  roomer talk ws://localhost:8080/ws lobby --name Ada

Lines that begin with / are commands: /who, /to ID TEXT, /quit; // sends a line that begins with /.")]
    Talk(Talk),
    /// Print the packets in captured bytes.
    #[command(after_help = "\
The input may be
  - hexadecimal digits, one packet or WebSocket frame per line;
  - a hex dump of a TCP stream (Wireshark: Follow, as Hex Dump), or of packets (tcpdump -x);
  - a HAR file, exported from a browser's network panel.

Examples:
  echo 821f000000056c6f62627900000004636861740000000000000000000000026869 | roomer decode
  tcpdump -x -r capture.pcap | roomer decode
  roomer decode page.har")]
    Decode(Decode),
    /// Run a server, configured by a file, the environment and flags.
    #[command(after_help = "\
A flag overrides the environment (ROOMER_LIMITS_MAX_ROOMS for limits.max_rooms), and the
environment overrides the file. SIGTERM drains the server.

Examples:
  roomer serve
  roomer serve roomer.toml --log-format json
  ROOMER_LISTEN=0.0.0.0:8080 roomer serve roomer.toml
  roomer serve --print-config > roomer.toml")]
    Serve(Serve),
    /// Check a server's configuration, including environment variables.
    #[command(after_help = "\
Each mistake is a line with its place, the key, and what to write instead.

Example:
  roomer check roomer.toml && systemctl restart roomer")]
    Check(Check),
    /// Generate load on a server and measure it (--help lists the scenarios).
    // The load generator has its own `--help`.
    #[command(disable_help_flag = true)]
    Bench {
        /// Arguments for the load generator.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Print the completions for a shell.
    Completions {
        /// The shell to generate completions for.
        shell: Shell,
    },
}

#[derive(clap::Args)]
pub(crate) struct Tail {
    #[command(flatten)]
    pub(crate) connect: Connect,
    /// The rooms' names.
    #[arg(required = true)]
    pub(crate) rooms: Vec<String>,
    /// Only print messages of this event; may be given several times.
    #[arg(long = "event", value_name = "EVENT")]
    pub(crate) events: Vec<String>,
    /// First print the last N messages in the room's history.
    #[arg(long, value_name = "N")]
    pub(crate) history: Option<u32>,
    /// Stop after N messages.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Also print when members join or leave.
    #[arg(long)]
    pub(crate) members: bool,
    /// Keep trying if the server cannot be reached at the start.
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(clap::Args)]
pub(crate) struct Send {
    #[command(flatten)]
    pub(crate) connect: Connect,
    /// The room's name.
    pub(crate) room: String,
    /// The event's name.
    pub(crate) event: String,
    #[command(flatten)]
    pub(crate) payload: Payload,
    /// Send only to this member.
    #[arg(long, value_name = "ID")]
    pub(crate) to: Option<String>,
    /// Send each line of standard input as a message as soon as it is read.
    #[arg(long, conflicts_with = "payload")]
    pub(crate) lines: bool,
    /// Send at most N lines a second, for servers that limit the rate of messages.
    #[arg(long, value_name = "N", requires = "lines", value_parser = rate)]
    pub(crate) rate: Option<f64>,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    // The limits keep the pause between two lines in the range of `Duration`.
    (1e-6..=1e9).contains(&rate).then_some(rate).ok_or_else(|| "not a rate above 0".to_owned())
}

#[derive(clap::Args)]
pub(crate) struct Request {
    #[command(flatten)]
    pub(crate) connect: Connect,
    /// The room's name.
    pub(crate) room: String,
    /// The event's name.
    pub(crate) event: String,
    #[command(flatten)]
    pub(crate) payload: Payload,
    /// Send the request to this member instead of the server.
    #[arg(long, value_name = "ID")]
    pub(crate) to: Option<String>,
}

#[derive(clap::Args)]
pub(crate) struct Members {
    #[command(flatten)]
    pub(crate) connect: Connect,
    /// The room's name.
    pub(crate) room: String,
    /// Keep running, and print when members join or leave.
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(clap::Args)]
pub(crate) struct Talk {
    #[command(flatten)]
    pub(crate) connect: Connect,
    /// The room's name.
    pub(crate) room: String,
    /// The name shown to other members, if the server supports member info.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The event to use for messages.
    #[arg(long, default_value = "chat")]
    pub(crate) event: String,
    /// First print the last N messages in the room's history.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) history: u32,
}

#[derive(clap::Args)]
pub(crate) struct Decode {
    /// The file to read; standard input by default.
    pub(crate) file: Option<PathBuf>,
    /// How to interpret the bytes.
    #[arg(long, value_enum, default_value_t = Bytes::Auto)]
    pub(crate) bytes: Bytes,
}

#[derive(clap::Args)]
pub(crate) struct Serve {
    /// The configuration file, in TOML.
    pub(crate) file: Option<PathBuf>,
    /// Print the whole configuration as a file, and exit.
    #[arg(long)]
    pub(crate) print_config: bool,
    #[command(flatten)]
    pub(crate) flags: Flags,
}

#[derive(clap::Args)]
pub(crate) struct Check {
    /// The configuration file, in TOML.
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) flags: Flags,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bytes {
    /// WebSocket frames if the bytes are whole frames; otherwise a packet.
    Auto,
    /// One or more whole WebSocket frames.
    Frames,
    /// A packet, which is the content of a frame.
    Packet,
}
