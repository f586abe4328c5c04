//! The table of close codes: the party at fault, and whether and when a client reconnects.
//!
//! A code whose reasons differ has one row for each of them.
//!
//! Most client faults, and all decisions of the application, are final. Environmental causes, such
//! as a suspended client, a stalled network or a restarting server, are not. `close-codes.json`, in
//! this crate's folder, contains the same table for other languages.
//!
//! ```
//! use roomer_proto::close::{self, Wait};
//!
//! let close = close::find(1008, "rate").unwrap();
//! assert_eq!(close.wait, Some(Wait::Slow));
//! // An application code and reason.
//! let close = close::find(4001, "enough for today").unwrap();
//! assert!(close.is_final());
//! ```

pub mod code;

/// One row of the table: a close code, or a code with one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Close {
    /// The close code, or the first of a range.
    pub code: u16,
    /// The last code of a range; equal to `code` for a single code.
    pub last: u16,
    /// The reason in the close frame; `None` matches every reason without its own row.
    pub reason: Option<&'static str>,
    /// The party that usually sends this code.
    pub sender: Sender,
    /// The party at fault.
    pub fault: Fault,
    /// The delay before a client reconnects; `None` if it does not.
    pub wait: Option<Wait>,
    /// True if a client that can get a new token reconnects anyway, after the delay of
    /// [`Wait::Normal`]: a suspended machine could not renew its login in time.
    pub relogin: bool,
    /// A sentence for log files and docs, without a full stop.
    pub means: &'static str,
}

/// The party that sends a close code, or that reports it if none was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sender {
    /// The roomer server itself.
    Server,
    /// The server's application, through `Conn::close` or `Server::disconnect`.
    Application,
    /// The client library or program.
    Client,
    /// A proxy between client and server.
    Proxy,
    /// The client's own WebSocket implementation; the code is never sent.
    Browser,
}

/// The party responsible for closing a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The client violated a rule or exceeded a limit.
    Client,
    /// The server: an error, a restart or a lack of resources.
    Server,
    /// The network, a proxy, or the client's machine.
    Environment,
    /// The application on the server.
    Application,
}

/// The delay before a client reconnects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wait {
    /// The client's ordinary backoff, as after a broken connection.
    Normal,
    /// A longer delay: the client exceeded a rate, and must send more slowly after reconnecting.
    Slow,
}

impl Close {
    /// Returns true if a client does not reconnect, unless [`relogin`](Self::relogin) applies.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        self.wait.is_none()
    }

    /// Returns the code and reason of a close frame. The reason is empty if the row has none.
    #[must_use]
    pub const fn frame(&self) -> (u16, &'static str) {
        match self.reason {
            Some(reason) => (self.code, reason),
            None => (self.code, ""),
        }
    }

    const fn with_reason(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    const fn unless_renewed(mut self) -> Self {
        self.relogin = true;
        self
    }

    const fn up_to(mut self, last: u16) -> Self {
        self.last = last;
        self
    }
}

/// Finds the row for a close code and reason, preferring an exact match of the reason over a row
/// for any reason. Returns `None` for unknown codes, after which a client reconnects.
#[must_use]
pub fn find(code: u16, reason: &str) -> Option<&'static Close> {
    let of_code = || TABLE.iter().filter(|close| (close.code..=close.last).contains(&code));
    // Prefer the exact reason: it determines whether 1008 is final or only slows the client down.
    of_code()
        .find(|close| close.reason == Some(reason))
        .or_else(|| of_code().find(|close| close.reason.is_none()))
}

/// Creates a row of the table, for a close after which a client reconnects.
const fn retry(code: u16, sender: Sender, fault: Fault, wait: Wait, means: &'static str) -> Close {
    Close { code, last: code, reason: None, sender, fault, wait: Some(wait), relogin: false, means }
}

/// Creates a row of the table, for a close after which a client does not reconnect.
const fn give_up(code: u16, sender: Sender, fault: Fault, means: &'static str) -> Close {
    Close { code, last: code, reason: None, sender, fault, wait: None, relogin: false, means }
}

/// The server is shutting down or being drained.
pub const SHUTDOWN: Close = retry(
    code::GOING_AWAY,
    Sender::Server,
    Fault::Server,
    Wait::Normal,
    "the server is shutting down or being drained",
)
.with_reason("server is going away");

/// The client broke the WebSocket protocol or the packet format; the reason says where.
pub const PROTOCOL: Close = give_up(
    code::PROTOCOL,
    Sender::Server,
    Fault::Client,
    "the client broke the WebSocket protocol or the packet format; the reason says where",
);

/// The client sent a text message.
pub const TEXT: Close =
    give_up(code::UNSUPPORTED, Sender::Server, Fault::Client, "the client sent a text message")
        .with_reason("text is not served here; send binary");

/// The client sent text or a name that is not UTF-8; the close reason says where.
pub const INVALID_PAYLOAD: Close = give_up(
    code::INVALID_PAYLOAD,
    Sender::Server,
    Fault::Client,
    "the client sent text or a name that is not UTF-8; the reason says where",
);

/// The client sent or joined faster than message_rate, byte_rate or join_rate allow.
pub const RATE: Close = retry(
    code::POLICY,
    Sender::Server,
    Fault::Client,
    Wait::Slow,
    "the client sent or joined faster than message_rate, byte_rate or join_rate allow",
)
.with_reason("rate");

/// The client kept sending rejected packets that it could have avoided (violation_rate).
pub const VIOLATIONS: Close = give_up(
    code::POLICY,
    Sender::Server,
    Fault::Client,
    "the client kept sending rejected packets that it could have avoided (violation_rate)",
)
.with_reason("too many violations");

/// The user's login has expired (Claims::valid_for); the user must log in again.
pub const LOGIN_EXPIRED: Close = give_up(
    code::POLICY,
    Sender::Server,
    Fault::Client,
    "the user's login has expired (Claims::valid_for); the user must log in again",
)
.with_reason("login expired")
.unless_renewed();

/// The close that older servers send to a client that is suspended or offline. This server sends
/// [`SILENT`].
const SILENT_FOR_OLDER: Close = retry(
    code::POLICY,
    Sender::Server,
    Fault::Environment,
    Wait::Normal,
    "the client is suspended or offline, as older servers report it",
)
.with_reason("no sign of life");

/// A newer connection by the same user replaced this one (max_connections_per_user).
pub const REPLACED: Close = give_up(
    code::POLICY,
    Sender::Server,
    Fault::Client,
    "a newer connection by the same user replaced this one (max_connections_per_user)",
)
.with_reason("replaced by a newer connection");

/// A client message exceeds max_message or has too many fragments; that message is lost.
pub const TOO_BIG: Close = retry(
    code::TOO_BIG,
    Sender::Server,
    Fault::Client,
    Wait::Normal,
    "a client message exceeds max_message or has too many fragments; that message is lost",
);

/// An application handler or rule panicked.
pub const HANDLER_FAILED: Close = retry(
    code::INTERNAL,
    Sender::Server,
    Fault::Application,
    Wait::Normal,
    "an application handler or rule panicked",
)
.with_reason("handler failed");

/// An application hook panicked.
pub const HOOK_FAILED: Close = retry(
    code::INTERNAL,
    Sender::Server,
    Fault::Application,
    Wait::Normal,
    "an application hook panicked",
)
.with_reason("a hook failed");

/// The server or a proxy restarts. For extended clients, a server sends the reason `retry=MS`
/// instead.
pub const RESTART: Close =
    retry(1012, Sender::Proxy, Fault::Server, Wait::Normal, "the server or a proxy restarts");

/// Messages from another cluster node may be missing (Loss::Close).
pub const MESSAGES_LOST: Close = retry(
    code::SERVICE_RESTART,
    Sender::Server,
    Fault::Environment,
    Wait::Normal,
    "messages from another cluster node may be missing (Loss::Close)",
)
.with_reason("messages may be missing");

/// No bytes were received or accepted for pong_timeout: the client is suspended or offline.
pub const SILENT: Close = retry(
    code::TRY_AGAIN_LATER,
    Sender::Server,
    Fault::Environment,
    Wait::Normal,
    "no bytes were received or accepted for pong_timeout: the client is suspended or offline",
)
.with_reason("no sign of life");

/// The client does not read fast enough (max_backlog, write_timeout).
pub const TOO_SLOW: Close = retry(
    code::TRY_AGAIN_LATER,
    Sender::Server,
    Fault::Environment,
    Wait::Normal,
    "the client does not read fast enough (max_backlog, write_timeout)",
)
.with_reason("too slow");

/// A message from the client has stalled, or is arriving too slowly (message_timeout).
pub const UNFINISHED: Close = retry(
    code::TRY_AGAIN_LATER,
    Sender::Server,
    Fault::Environment,
    Wait::Normal,
    "a message from the client has stalled, or is arriving too slowly (message_timeout)",
)
.with_reason("unfinished message");

/// The server or a proxy is temporarily overloaded.
pub const OVERLOADED: Close = retry(
    code::TRY_AGAIN_LATER,
    Sender::Proxy,
    Fault::Environment,
    Wait::Normal,
    "the server or a proxy is temporarily overloaded",
);

/// All connections together hold more than memory_budget, and this one holds the most.
pub const OUT_OF_MEMORY: Close = retry(
    code::TRY_AGAIN_LATER,
    Sender::Server,
    Fault::Server,
    Wait::Normal,
    "all connections together hold more than memory_budget, and this one holds the most",
)
.with_reason("out of memory");

/// Every close code that a client may receive, and the client's reaction. Rows with a reason
/// precede the row for any other reason of the same code.
pub const TABLE: &[Close] = &[
    give_up(
        code::NORMAL,
        Sender::Application,
        Fault::Application,
        "the application is done with the connection",
    ),
    SHUTDOWN,
    retry(
        code::GOING_AWAY,
        Sender::Proxy,
        Fault::Environment,
        Wait::Normal,
        "a proxy shuts down, or a browser leaves the page",
    ),
    PROTOCOL,
    TEXT,
    give_up(
        code::UNSUPPORTED,
        Sender::Application,
        Fault::Client,
        "the client sent an unsupported kind of message",
    ),
    retry(
        1005,
        Sender::Proxy,
        Fault::Environment,
        Wait::Normal,
        "the close frame had no code; never on the wire",
    ),
    retry(
        1006,
        Sender::Browser,
        Fault::Environment,
        Wait::Normal,
        "the connection broke, or was refused, without a close frame; never on the wire",
    ),
    INVALID_PAYLOAD,
    RATE,
    VIOLATIONS,
    LOGIN_EXPIRED,
    SILENT_FOR_OLDER,
    REPLACED,
    give_up(
        code::POLICY,
        Sender::Application,
        Fault::Application,
        "the application's rules forbid the connection",
    ),
    TOO_BIG,
    give_up(
        1010,
        Sender::Client,
        Fault::Client,
        "the client needs an extension that the server does not have",
    ),
    HANDLER_FAILED,
    HOOK_FAILED,
    retry(
        code::INTERNAL,
        Sender::Application,
        Fault::Server,
        Wait::Normal,
        "an error inside the server or a proxy",
    ),
    MESSAGES_LOST,
    RESTART,
    SILENT,
    TOO_SLOW,
    UNFINISHED,
    OUT_OF_MEMORY,
    OVERLOADED,
    retry(
        1014,
        Sender::Proxy,
        Fault::Environment,
        Wait::Normal,
        "a proxy received no valid response from the server",
    ),
    retry(
        1015,
        Sender::Browser,
        Fault::Environment,
        Wait::Normal,
        "the TLS handshake failed; never on the wire",
    ),
    give_up(3000, Sender::Application, Fault::Application, "the application's own codes")
        .up_to(4999),
];
