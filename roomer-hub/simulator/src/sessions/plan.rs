//! A plan for sessions, as data.

/// A run's configuration and steps.
#[derive(Clone, Debug)]
pub struct Plan {
    pub setup: Setup,
    pub steps: Vec<Step>,
}

/// The server's and the application's configuration. Times are in milliseconds; 0 selects an
/// option's default if it is not a valid value.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The `resume_window` option; 0 disables sessions.
    pub window: u32,
    /// The `resume_buffer` option.
    pub buffer: u32,
    /// The `max_detached` option.
    pub max_detached: u8,
    /// The `max_connections` option.
    pub max_connections: u8,
    /// The memory budget above its minimum.
    pub memory_slack: Option<u32>,
    /// The `max_backlog` option.
    pub max_backlog: u32,
    /// The `pong_timeout` option.
    pub pong: u32,
    /// The `write_timeout` option.
    pub write: u32,
    /// How long slow handlers wait.
    pub handler_wait: u16,
    /// How long `authorize_async` waits; `None` uses `authorize`.
    pub auth_wait: Option<u16>,
    /// How long a login is valid.
    pub good_for: u32,
    /// A client acknowledges after this many packets; 0 means only on request.
    pub ack_every: u8,
    /// A drain's deadline, and its rate in connections per second.
    pub drain: (u32, u16),
    pub ending: Ending,
    /// True if rooms other than `root` announce which members are away.
    pub announces_away: bool,
}

/// How a plan ends, once all clients have reconnected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The clients close their connections.
    Close,
    /// All sockets are lost, and the sessions expire.
    Expire,
    Shutdown,
    Drain,
}

/// The maximum number of clients in a plan.
pub const SLOTS: usize = 6;

#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Connects a client with a new session. If it is already connected, it drops its socket
    /// silently.
    Connect {
        slot: u8,
        extended: bool,
        user: u8,
    },
    /// Resumes a client's session on a new socket, and abandons the old one.
    Return {
        slot: u8,
        how: How,
    },
    /// Executes a step about one client.
    Of(u8, Act),
    /// Delivers the bytes in flight on all abandoned sockets.
    DeliverOld,
    PollWoken {
        nth: u8,
    },
    RunUntilIdle,
    /// Advances the clock without polling.
    Clock {
        millis: u32,
    },
    /// Advances the time, stopping at each timer.
    RunFor {
        millis: u32,
    },
    Shutdown,
    Drain,
}

/// A step about one client or its socket.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// The client sends a packet; without a socket, it does so after reconnecting.
    Send(Say),
    Ack(AckKind),
    /// The client sends a close frame.
    Close(u16),
    /// The client sends a frame that violates the WebSocket protocol.
    Violate,
    /// This many bytes in flight arrive at the server.
    Deliver(u32),
    /// The client reads this many bytes from the network.
    Take(u32),
    /// From now on, the client reads all bytes immediately, or leaves them in the network.
    Read(bool),
    /// The server's socket accepts this many more bytes; `u32::MAX` removes the limit.
    Space(u32),
    /// Limits the size of the server's single reads and writes.
    Limit {
        read: u32,
        write: u32,
    },
    Break(Break),
    /// The client stops or resumes answering pings.
    Mute(bool),
    /// The task that serves the client's socket is polled.
    Poll,
    /// The application performs an action on the client's session, outside any handler.
    App(AppAction),
    /// The task that serves the client's socket is aborted.
    Abort,
}

/// What a client's resume request contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Honest,
    /// The client has lost this many of its most recently received packets.
    Rewound(u8),
    /// The client claims more packets than were sent.
    Ahead,
    /// The client presents a token that it has already used.
    UsedToken,
    /// The client presents a wrong secret.
    Forged,
    /// The client presents the id of another client's session with its own session's secret.
    Foreign,
    /// The client presents text that does not parse as a token.
    Garbage,
    /// The client omits the count of received packets.
    NoCount,
    /// The client logs in as another user.
    OtherUser,
    /// The client presents credentials that `authorize` rejects.
    Denied,
}

/// A packet that a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Say {
    Join(u8),
    Leave(u8),
    /// A message of this many bytes to a room.
    ToRoom {
        room: u8,
        len: u16,
    },
    /// A direct message to another client.
    ToPeer {
        slot: u8,
        len: u16,
    },
    /// An event with a handler. The number identifies the handler's script.
    Call(u8),
    /// An extended-protocol event, which a plain client may not send.
    Forge(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckKind {
    Honest,
    /// Acknowledges this many packets fewer than were received.
    Late(u8),
    /// Also requests an acknowledgement from the server.
    Ask,
    /// Acknowledges more packets than were sent.
    Beyond,
    /// Acknowledges fewer packets than before.
    Back,
    /// Sends text that does not parse as a count.
    Garbage,
    /// Acknowledges the same packets this many times.
    Flood(u8),
}

/// How a socket fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// The server's reads and writes fail.
    Reset,
    /// The client ends its stream cleanly.
    Fin,
    /// No more bytes arrive in either direction, without any error.
    Vanish,
    /// The server's writes fail, and its reads stay pending.
    FailWrites,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppAction {
    /// The application sends a message to a room on the client's behalf.
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

/// The plans' rooms.
pub const ROOMS: [&str; 3] = ["root", "r", "ro"];
