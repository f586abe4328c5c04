//! The table of options. Each option is a key in the file, an environment variable and a flag.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use roomer_tokio::BrokerAddress;

use crate::serve::config::setting::{Rate, Setting, Size, choice};
use crate::serve::config::values::{Problem, Values};
use crate::serve::rights::Pattern;

/// An option in the table.
pub(crate) struct Entry {
    /// The key in the file, such as `limits.max_message`.
    pub(crate) key: &'static str,
    /// The placeholder for the value in the help.
    pub(crate) form: &'static str,
    /// True if the option takes several values.
    pub(crate) is_list: bool,
    /// The default as text; empty if there is no default.
    pub(crate) default: &'static str,
    pub(crate) help: &'static str,
}

impl Entry {
    pub(crate) fn flag(&self) -> String {
        self.key.replace(['.', '_'], "-")
    }

    pub(crate) fn variable(&self) -> String {
        format!("ROOMER_{}", self.key.replace('.', "_").to_uppercase())
    }

    /// Returns true if the value is the path of a file, or may be one.
    pub(crate) fn is_path(&self) -> bool {
        self.form == <PathBuf as Setting>::FORM || self.key == "jwt.jwks"
    }

    /// Splits the key into the section in the file, and the name in that section. At the top level
    /// of the file, the section is empty.
    pub(crate) fn split(&self) -> (&'static str, &'static str) {
        self.key.split_once('.').unwrap_or(("", self.key))
    }
}

choice! {
    /// The format of the lines in the log.
    LogFormat { Plain = "plain", Json = "json" }
}

choice! {
    /// The lowest level of events that are logged.
    LogLevel { Error = "error", Warn = "warn", Info = "info", Debug = "debug" }
}

choice! {
    /// The kinds of events that can be sent to the webhook for events.
    EventKind {
        Connected = "connected",
        Joined = "joined",
        Left = "left",
        Disconnected = "disconnected",
        /// Not enabled by default, because there is an event for each message.
        Message = "message",
    }
}

macro_rules! options {
    ($($key:literal $field:ident: $type:ty = $default:literal, $help:literal;)*) => {
        /// The values of all options.
        pub(crate) struct Options {
            $(pub(crate) $field: $type,)*
        }

        /// All options, in the order in which they are printed.
        pub(crate) const TABLE: &[Entry] = &[$(Entry {
            key: $key,
            form: <$type as Setting>::FORM,
            is_list: <$type as Setting>::IS_LIST,
            default: $default,
            help: $help,
        }),*];

        impl Options {
            /// Parses all values. Adds a problem for each invalid one.
            pub(crate) fn read(values: &Values, problems: &mut Vec<Problem>) -> Option<Options> {
                // Parse all values before using any, so that each problem is reported.
                $(let $field = values.get::<$type>($key, problems);)*
                Some(Options { $($field: $field?),* })
            }
        }
    };
}

options! {
    // No login is configured by default, so the server is reachable only from this machine.
    "listen" listen: SocketAddr = "127.0.0.1:8080",
        "the address for clients";
    "path" path: String = "/ws",
        "the WebSocket's path";
    "threads" threads: usize = "1",
        "worker threads; one is best as long as one core is enough";
    "anonymous" anonymous: Option<bool> = "",
        "whether clients without a token may connect; default: only if no login is configured and \
         `listen` is an address on this machine";
    "origins" origins: Vec<String> = "",
        "other origins whose pages may connect, such as https://example.com or \
         http://localhost:5173, or any; pages on the same host always may";
    "trust_proxy" trust_proxy: Vec<String> = "",
        "proxies whose X-Forwarded-For is trusted, such as 10.0.0.1 or 10.0.0.0/8";
    "proxy_protocol" proxy_protocol: bool = "false",
        "whether trusted proxies begin connections with a PROXY protocol header";
    "extended" extended: bool = "true",
        "whether clients may use the extended protocol: sessions, info, history, requests";
    "compat" compat: bool = "false",
        "whether to use the Go original's rules, including its security holes";
    "client_info" client_info: bool = "false",
        "whether clients may set their own info, such as a name that other members see";
    "shared_room_only" shared_room_only: bool = "false",
        "whether to permit direct messages only between clients that share a room";
    "drain" drain: Duration = "20s",
        "how long a shutdown after SIGTERM may take before connections are cut";
    "drain_rate" drain_rate: usize = "1000",
        "how many connections are closed per second during a shutdown";

    "operator.listen" operator_listen: Option<SocketAddr> = "",
        "the address for operators, with /metrics, /live and /ready; default: none";
    "operator.page" operator_page: bool = "false",
        "whether to serve a page at /admin, which asks for a key from [[api_key]] with the right \
         to read";

    "tls.certificate" tls_certificate: Option<PathBuf> = "",
        "a PEM file with the certificate and its chain; with tls.key, clients connect through \
         wss://";
    "tls.key" tls_key: Option<PathBuf> = "",
        "a PEM file with the certificate's private key";

    "log.format" log_format: LogFormat = "plain",
        "plain for people, or json for programs";
    "log.level" log_level: LogLevel = "info",
        "the lowest level to log; debug logs a line for each connection";

    "jwt.secret" jwt_secret: Option<PathBuf> = "",
        "a file with the secret for HS256, of at least 32 bytes; with any key in [jwt], clients \
         need tokens";
    "jwt.keys" jwt_keys: Vec<PathBuf> = "",
        "PEM files with public keys: RSA (RS256), P-256 (ES256), Ed25519 (EdDSA)";
    "jwt.jwks" jwt_jwks: Option<String> = "",
        "a JSON Web Key set: a file, or https://HOST/PATH";
    "jwt.refresh" jwt_refresh: Duration = "10m",
        "how often the set is fetched from its URL; it is also fetched when a token names an \
         unknown key";
    "jwt.issuer" jwt_issuer: Option<String> = "",
        "the `iss` that tokens must have; default: any";
    "jwt.audience" jwt_audience: Option<String> = "",
        "the `aud` that tokens must have; default: any";
    "jwt.leeway" jwt_leeway: Duration = "5s",
        "how far clocks may differ";
    "jwt.user_claim" jwt_user_claim: String = "sub",
        "the claim with the user's name";
    "jwt.info_claim" jwt_info_claim: String = "info",
        "the claim with the info that other members see";
    "jwt.rooms_claim" jwt_rooms_claim: String = "rooms",
        "the claim with the rooms: a list of patterns, or an object with the rights in each";

    "webhooks.secret" webhooks_secret: Option<PathBuf> = "",
        "a file with the secret for signing requests to webhooks, of at least 32 bytes";
    "webhooks.authorize" webhooks_authorize: Option<String> = "",
        "the URL that authorizes each client, instead of a token: https://HOST/PATH";
    "webhooks.may_join" webhooks_may_join: Option<String> = "",
        "the URL that must also approve joins that the room rules permit";
    "webhooks.events" webhooks_events: Option<String> = "",
        "the URL that receives connection and member events";
    "webhooks.headers" webhooks_headers: Vec<String> = "",
        "headers of a client's request to pass to webhooks.authorize, such as Cookie";
    "webhooks.rooms" webhooks_rooms: Vec<Pattern> = "",
        "patterns of the rooms for the other two webhooks; default: all";
    "webhooks.kinds" webhooks_kinds: Vec<EventKind> = "connected, joined, left, disconnected",
        "the kinds of events to send; message adds the messages that clients send to rooms";
    "webhooks.message_events" webhooks_message_events: Vec<Pattern> = "",
        "patterns of the message events to send; default: all";
    "webhooks.plain_http" webhooks_plain_http: bool = "false",
        "whether http:// is permitted to other machines, for example in a container network";
    "webhooks.timeout" webhooks_timeout: Duration = "5s",
        "how long a request may take; also how long a shutdown waits for the remaining events";
    "webhooks.concurrency" webhooks_concurrency: usize = "64",
        "the maximum number of concurrent requests per URL; further ones wait";
    "webhooks.queue" webhooks_queue: usize = "10000",
        "the maximum number of queued events; further ones are dropped and counted";
    "webhooks.queue_bytes" webhooks_queue_bytes: Size = "16 MiB",
        "the maximum number of message bytes in queued events";
    "webhooks.batch" webhooks_batch: usize = "100",
        "the maximum number of events per request";
    "webhooks.retries" webhooks_retries: usize = "5",
        "how many times a request with events is repeated before they are dropped and counted";
    "webhooks.retry_after" webhooks_retry_after: Duration = "500ms",
        "the delay before the first repetition; it doubles with each further one, up to 30s";

    "cluster.url" cluster_url: Option<BrokerAddress> = "",
        "the broker through which servers share their rooms: nats://HOST, tls://HOST, \
         redis://HOST, rediss://HOST";
    "cluster.name" cluster_name: String = "roomer",
        "the cluster's name; servers with the same name share their rooms";
    "cluster.node" cluster_node: Option<String> = "",
        "this server's name in the cluster; default: host name and process id";

    "limits.max_message" max_message: Size = "64 KiB",
        "the maximum size of a client's message";
    "limits.max_name" max_name: Size = "256",
        "the maximum length of a room or event name";
    "limits.max_rooms" max_rooms: usize = "1100",
        "the maximum number of rooms per client";
    "limits.max_info" max_info: Size = "1 KiB",
        "the maximum length of a member's info";
    "limits.max_backlog" max_backlog: Size = "1 MiB",
        "how much output may be queued for one client";
    "limits.memory_budget" memory_budget: Option<Size> = "",
        "how much memory all clients' unsent and unfinished messages may take; default: a quarter \
         of the available memory, at most 1 GiB";
    "limits.max_history" max_history: Option<Size> = "",
        "the maximum size of all room histories; default: 64 MiB, at most a quarter of the budget";
    "limits.max_connections" max_connections: usize = "100000",
        "the maximum number of connections";
    "limits.max_connections_per_address" max_connections_per_address: Option<usize> = "",
        "the maximum number of connections per address; default: 20000, at most \
         limits.max_connections";
    "limits.max_connections_per_user" max_connections_per_user: Option<usize> = "",
        "the maximum number of connections per user; a newer one replaces the oldest; default: \
         unlimited";
    "limits.max_handshakes" max_handshakes: usize = "16384",
        "the maximum number of clients that are still connecting";
    "limits.max_handshakes_per_address" max_handshakes_per_address: Option<usize> = "",
        "the maximum number of them per address; default: 8192, at most limits.max_handshakes";
    "limits.max_requests" max_requests: usize = "64",
        "the maximum number of unanswered requests per client";
    "limits.max_detached" max_detached: usize = "20000",
        "the maximum number of sessions whose clients have lost their connections";
    "limits.resume_buffer" resume_buffer: Size = "256 KiB",
        "how many bytes of packets are kept for each such session";

    "rates.messages" message_rate: Option<Rate> = "",
        "messages per second from one client, which is disconnected above the rate";
    "rates.bytes" byte_rate: Option<Rate> = "",
        "bytes per second in messages from one client, which is disconnected above the rate; the \
         burst must be at least limits.max_message";
    "rates.joins" join_rate: Option<Rate> = "",
        "joins per second by one client, which is disconnected above the rate";
    "rates.infos" info_rate: Rate = "1 burst 16",
        "info changes per second by one client; changes above the rate are rejected";
    "rates.violations" violation_rate: Rate = "1 burst 256",
        "rejected messages per second from one client, which is disconnected above the rate";

    "timeouts.handshake" handshake_timeout: Duration = "10s",
        "how long a client may take to connect";
    "timeouts.ping" ping_interval: Option<Duration> = "",
        "how often clients are pinged; default: nine tenths of timeouts.silence";
    "timeouts.silence" pong_timeout: Duration = "60s",
        "how long a client may be silent";
    "timeouts.write" write_timeout: Duration = "10s",
        "how long a client may accept no output";
    "timeouts.message" message_timeout: Duration = "30s",
        "how long each 64 KiB of a client's message may take";
    "timeouts.close" close_timeout: Duration = "5s",
        "how long a closing connection may accept no output";
    "timeouts.resume" resume_window: Duration = "30s",
        "how long a session is kept after its connection is lost";
    "timeouts.retry" retry_window: Duration = "10s",
        "the period over which clients reconnect after a shutdown";
}
