//! The table of options. Each is a key in the file, an environment variable and a flag.

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
    /// The placeholder for the value in help texts.
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

    /// Splits the key into the file's section and the name within it. The section is empty at the
    /// top level.
    pub(crate) fn split(&self) -> (&'static str, &'static str) {
        self.key.split_once('.').unwrap_or(("", self.key))
    }
}

choice! {
    /// The format of log lines.
    LogFormat { Plain = "plain", Json = "json" }
}

choice! {
    /// The lowest level of logged events.
    LogLevel { Error = "error", Warn = "warn", Info = "info", Debug = "debug" }
}

choice! {
    /// A kind of event sent to the events webhook.
    EventKind {
        Connected = "connected",
        Joined = "joined",
        Left = "left",
        Disconnected = "disconnected",
        /// Not enabled by default, since it occurs for each message.
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
            /// Parses all values, and reports each invalid one.
            pub(crate) fn read(values: &Values, problems: &mut Vec<Problem>) -> Option<Options> {
                // Parse all values before a missing one returns `None` so that each error is
                // reported.
                $(let $field = values.get::<$type>($key, problems);)*
                Some(Options { $($field: $field?),* })
            }
        }
    };
}

options! {
    // Reachable only from this machine by default, since no login is configured.
    "listen" listen: SocketAddr = "127.0.0.1:8080",
        "where clients connect";
    "path" path: String = "/ws",
        "the path of the WebSocket";
    "threads" threads: usize = "1",
        "worker threads; one is best as long as one core is enough";
    "anonymous" anonymous: Option<bool> = "",
        "whether clients without a token may connect; without a value, only if no login is configured \
         and `listen` is an address of this machine alone";
    "origins" origins: Vec<String> = "",
        "pages that may connect, as https://example.com, besides those of the same host; any: all";
    "trust_proxy" trust_proxy: Vec<String> = "",
        "proxies whose X-Forwarded-For counts, as 10.0.0.1 or 10.0.0.0/8";
    "proxy_protocol" proxy_protocol: bool = "false",
        "trusted proxies begin connections with a header of the PROXY protocol";
    "extended" extended: bool = "true",
        "clients may use the extended protocol: sessions, infos, history, requests";
    "compat" compat: bool = "false",
        "the rules of the Go original, its holes included";
    "client_info" client_info: bool = "false",
        "clients may set their own info, such as a name that other members see";
    "shared_room_only" shared_room_only: bool = "false",
        "direct messages only between clients in a common room";
    "drain" drain: Duration = "20s",
        "how long the end may take after SIGTERM, before connections are cut";
    "drain_rate" drain_rate: usize = "1000",
        "connections that are closed per second then";

    "operator.listen" operator_listen: Option<SocketAddr> = "",
        "where /metrics, /live and /ready are, for operators; nowhere without a value";
    "operator.page" operator_page: bool = "false",
        "whether /admin there is a page for people, who need a key of [[api_key]] with the right to read";

    "tls.certificate" tls_certificate: Option<PathBuf> = "",
        "the certificate and its chain, in PEM; with tls.key, clients connect by wss://";
    "tls.key" tls_key: Option<PathBuf> = "",
        "the private key of the certificate, in PEM";

    "log.format" log_format: LogFormat = "plain",
        "lines for people, or lines of JSON";
    "log.level" log_level: LogLevel = "info",
        "debug has a line for each connection";

    "jwt.secret" jwt_secret: Option<PathBuf> = "",
        "the file with the secret of HS256, of 32 bytes or more; with any key of [jwt], clients need tokens";
    "jwt.keys" jwt_keys: Vec<PathBuf> = "",
        "files with public keys in PEM: RSA (RS256), P-256 (ES256), Ed25519 (EdDSA)";
    "jwt.jwks" jwt_jwks: Option<String> = "",
        "a set of JSON Web Keys: a file, or https://HOST/PATH";
    "jwt.refresh" jwt_refresh: Duration = "10m",
        "how often the set is read from its address, besides when a token has an unknown key";
    "jwt.issuer" jwt_issuer: Option<String> = "",
        "the `iss` that tokens must have; without a value, any";
    "jwt.audience" jwt_audience: Option<String> = "",
        "the `aud` that tokens must have; without a value, any";
    "jwt.leeway" jwt_leeway: Duration = "5s",
        "how far clocks may differ";
    "jwt.user_claim" jwt_user_claim: String = "sub",
        "the claim with the name of the user";
    "jwt.info_claim" jwt_info_claim: String = "info",
        "the claim with the info that other members see";
    "jwt.rooms_claim" jwt_rooms_claim: String = "rooms",
        "the claim with the rooms: a list of patterns, or an object with the rights for each";

    "webhooks.secret" webhooks_secret: Option<PathBuf> = "",
        "the file with the secret that signs requests to webhooks, of 32 bytes or more";
    "webhooks.authorize" webhooks_authorize: Option<String> = "",
        "the address that decides about each client instead of a token: https://HOST/PATH";
    "webhooks.may_join" webhooks_may_join: Option<String> = "",
        "the address that decides about joins which the rules of rooms permit";
    "webhooks.events" webhooks_events: Option<String> = "",
        "the address that gets events of connections and members";
    "webhooks.headers" webhooks_headers: Vec<String> = "",
        "headers of a client's request that the first one gets, as Cookie";
    "webhooks.rooms" webhooks_rooms: Vec<Pattern> = "",
        "patterns of rooms of which the other two learn; without one, all";
    "webhooks.kinds" webhooks_kinds: Vec<EventKind> = "connected, joined, left, disconnected",
        "the events that are told; with message, also what clients send to rooms";
    "webhooks.message_events" webhooks_message_events: Vec<Pattern> = "",
        "patterns of the events of these messages; without one, all";
    "webhooks.plain_http" webhooks_plain_http: bool = "false",
        "permits http:// to other machines, as within a network of containers";
    "webhooks.timeout" webhooks_timeout: Duration = "5s",
        "how long one request may take, and at the end of the server, the events that are left";
    "webhooks.concurrency" webhooks_concurrency: usize = "64",
        "requests to one address at one time; more wait";
    "webhooks.queue" webhooks_queue: usize = "10000",
        "events that may wait; more are dropped and counted";
    "webhooks.queue_bytes" webhooks_queue_bytes: Size = "16 MiB",
        "the same in bytes of messages";
    "webhooks.batch" webhooks_batch: usize = "100",
        "events in one request";
    "webhooks.retries" webhooks_retries: usize = "5",
        "how often a request with events is repeated before they are dropped and counted";
    "webhooks.retry_after" webhooks_retry_after: Duration = "500ms",
        "the pause before the first repetition; each further one is twice as long, up to 30s";

    "cluster.url" cluster_url: Option<BrokerAddress> = "",
        "the broker by which servers share their rooms: nats://HOST, tls://HOST, redis://HOST, rediss://HOST";
    "cluster.name" cluster_name: String = "roomer",
        "servers of the same name share their rooms";
    "cluster.node" cluster_node: Option<String> = "",
        "the name of this server among them; without a value, host and process";

    "limits.max_message" max_message: Size = "64 KiB",
        "one message of a client";
    "limits.max_name" max_name: Size = "256",
        "the name of a room or an event";
    "limits.max_rooms" max_rooms: usize = "1100",
        "rooms of one client";
    "limits.max_info" max_info: Size = "1 KiB",
        "the info of a member";
    "limits.max_backlog" max_backlog: Size = "1 MiB",
        "what may wait for one client";
    "limits.memory_budget" memory_budget: Option<Size> = "",
        "what all clients together may hold; without a value, a quarter of the memory, at most 1 GiB";
    "limits.max_history" max_history: Option<Size> = "",
        "what all rooms together remember; without a value, 64 MiB, at most a quarter of the budget";
    "limits.max_connections" max_connections: usize = "100000",
        "connections at one time";
    "limits.max_connections_per_address" max_connections_per_address: Option<usize> = "",
        "of them from one address; without a value, 20000, at most all";
    "limits.max_connections_per_user" max_connections_per_user: Option<usize> = "",
        "of them of one user: a newer one replaces the oldest; without a value, any number";
    "limits.max_handshakes" max_handshakes: usize = "16384",
        "clients that are about to connect";
    "limits.max_handshakes_per_address" max_handshakes_per_address: Option<usize> = "",
        "of them from one address; without a value, 8192, at most all";
    "limits.max_requests" max_requests: usize = "64",
        "requests of one client that wait for their answers";
    "limits.max_detached" max_detached: usize = "20000",
        "sessions that wait for their clients to return";
    "limits.resume_buffer" resume_buffer: Size = "256 KiB",
        "what is kept for one of them";

    "rates.messages" message_rate: Option<Rate> = "",
        "messages of one client a second; above it, it is disconnected";
    "rates.bytes" byte_rate: Option<Rate> = "",
        "the same in bytes; the burst must not be below limits.max_message";
    "rates.joins" join_rate: Option<Rate> = "",
        "the same for joins";
    "rates.infos" info_rate: Rate = "1 burst 16",
        "changes of a client's info a second; more are dropped";
    "rates.violations" violation_rate: Rate = "1 burst 256",
        "rejected messages of one client a second; above it, it is disconnected";

    "timeouts.handshake" handshake_timeout: Duration = "10s",
        "how long a client may take to connect";
    "timeouts.ping" ping_interval: Option<Duration> = "",
        "how often clients are pinged; without a value, nine tenths of timeouts.silence";
    "timeouts.silence" pong_timeout: Duration = "60s",
        "how long a client may be silent";
    "timeouts.write" write_timeout: Duration = "10s",
        "how long a client may take nothing of what is sent to it";
    "timeouts.message" message_timeout: Duration = "30s",
        "how long each 64 KiB of a client's message may take";
    "timeouts.close" close_timeout: Duration = "5s",
        "how long a closing connection may take nothing";
    "timeouts.resume" resume_window: Duration = "30s",
        "how long the session of a lost connection is kept";
    "timeouts.retry" retry_window: Duration = "10s",
        "over which time clients return after the server has ended";
}
