//! A plan for sessions, as data.

/// A configuration, and the steps of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub setup: Setup,
    pub steps: Vec<Step>,
}

/// The configuration of the server and the application. Times are in milliseconds. Where 0 is not a
/// valid value for an option, it selects the option's default.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The time for which a session is kept without a socket (`resume_window`); 0 disables
    /// sessions.
    pub window: u32,
    /// The number of bytes of unacknowledged messages that are kept for a client (`resume_buffer`).
    pub buffer: u32,
    /// The server's limit on sessions without a socket.
    pub max_detached: u8,
    /// The server's limit on open connections.
    pub max_connections: u8,
    /// The memory budget, as the amount above its minimum; `None` means the default budget.
    pub memory_slack: Option<u32>,
    /// A connection's high-water mark, in queued bytes (`max_backlog`).
    pub max_backlog: u32,
    /// The time for which a client may be silent (`pong_timeout`).
    pub pong: u32,
    /// The maximum time for which a full socket may accept no bytes (`write_timeout`).
    pub write: u32,
    /// The time for which a slow handler waits.
    pub handler_wait: u16,
    /// The time for which `authorize_async` waits. If this is `None`, the application uses
    /// `authorize`.
    pub auth_wait: Option<u16>,
    /// The time for which a login is valid.
    pub valid_for: u32,
    /// A client sends an acknowledgement after this many packets. If this is 0, it does so only
    /// when requested.
    pub ack_every: u8,
    /// The deadline of a drain, and its rate in connections per second.
    pub drain: (u32, u16),
    pub ending: Ending,
    /// True if rooms other than `root` announce which members are away.
    pub announces_away: bool,
}

/// The way in which a plan ends, after all clients have reconnected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The clients close their connections.
    Close,
    /// All sockets are lost, and the sessions expire later.
    Expire,
    Shutdown,
    Drain,
}

/// The maximum number of clients in a plan.
pub const SLOTS: usize = 6;

#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Connects a client, which starts a new session. If the client is connected already, it
    /// abandons that socket silently.
    Connect {
        slot: u8,
        extended: bool,
        user: u8,
    },
    /// Makes a client resume its session on a new socket. The client abandons the old one.
    Resume {
        slot: u8,
        resume_kind: ResumeKind,
    },
    /// Executes a step about one client.
    Client(u8, ClientAction),
    /// Delivers the bytes in flight on all abandoned sockets.
    DeliverOld,
    PollWoken {
        nth: u8,
    },
    RunUntilIdle,
    /// Advances the clock without polling any task.
    Clock {
        millis: u32,
    },
    /// Advances the time. Stops at each timer, and polls the woken tasks there.
    RunFor {
        millis: u32,
    },
    Shutdown,
    Drain,
}

/// A step that concerns one client, or its socket.
#[derive(Clone, Copy, Debug)]
pub enum ClientAction {
    /// The client sends a packet. If it has no socket, it sends the packet after it has
    /// reconnected.
    Send(ClientPacket),
    Ack(AckKind),
    /// The client sends a close frame.
    Close(u16),
    /// The client sends a frame that violates RFC 6455.
    Violate,
    /// This many of the client's bytes in flight arrive at the server.
    Deliver(u32),
    /// The client reads this many bytes from the network.
    Take(u32),
    /// From now on, the client either reads all bytes as they arrive, or leaves them in the
    /// network.
    Read(bool),
    /// The server's socket accepts this many more bytes; `u32::MAX` removes the limit.
    Space(u32),
    /// Limits how many bytes one read by the server returns, and one write accepts.
    Limit {
        read: u32,
        write: u32,
    },
    Break(Break),
    /// The client stops answering pings, or starts again.
    Mute(bool),
    /// The task that serves the client's socket is polled.
    Poll,
    /// The application performs an action on the client's session, through its handle and outside
    /// any handler.
    App(AppAction),
    /// The task that serves the client's socket is aborted.
    Abort,
}

/// The contents of a client's request to resume its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeKind {
    Honest,
    /// The client has lost this many of the last packets that it received.
    Rewound(u8),
    /// The client claims to have received more packets than were sent.
    Ahead,
    /// The client presents a token that was used before.
    UsedToken,
    /// The client presents a token with a wrong secret.
    Forged,
    /// The client presents the id of another client's session, with the secret of its own session.
    Foreign,
    /// The client presents a text that is not a token.
    Garbage,
    /// The client does not send the number of packets that it has received.
    NoCount,
    /// The client logs in as another user.
    OtherUser,
    /// The client sends credentials that `authorize` rejects.
    Denied,
}

/// A packet that a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientPacket {
    Join(u8),
    Leave(u8),
    /// A message to a room, with a payload of this many bytes.
    ToRoom {
        room: u8,
        len: u16,
    },
    /// A direct message to another client.
    ToPeer {
        slot: u8,
        len: u16,
    },
    /// An event that has a handler, given by the number of the handler's script.
    Call(u8),
    /// A message to a room that has no members.
    Outside,
    /// An event that belongs to the extended protocol, and that plain clients must not send.
    Forge(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckKind {
    Honest,
    /// Acknowledges all packets received, except for this many of the latest.
    Late(u8),
    /// Acknowledges all packets received, and requests an acknowledgement from the server.
    Requesting,
    /// Acknowledges more packets than were sent.
    Beyond,
    /// Acknowledges fewer packets than before.
    Back,
    /// Sends a text that is not a number.
    Garbage,
    /// Sends the same acknowledgement this many times.
    Flood(u8),
}

/// A failure of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// The server's reads and writes fail.
    Reset,
    /// The client ends its stream.
    Fin,
    /// No more bytes arrive in either direction, and neither end is notified.
    Vanish,
    /// The server's writes fail, and its reads stay pending.
    FailWrites,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppAction {
    /// The application sends a message to a room, with the client as the sender.
    ToRoom {
        room: u8,
        len: u16,
    },
    /// The application sends a message to the client.
    ToClient {
        len: u16,
    },
    Join(u8),
    Leave(u8),
    Close,
}

pub const ROOMS: [&str; 3] = ["root", "r", "ro"];
