//! A plan for sessions, as data.

/// A configuration and the steps that follow.
#[derive(Clone, Debug)]
pub struct Plan {
    pub setup: Setup,
    pub steps: Vec<Step>,
}

/// The configuration of the server and of the application. Times are milliseconds; 0 leaves an option
/// at its default where it would not be valid.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// `resume_window`; 0 keeps no sessions.
    pub window: u32,
    /// The option `resume_buffer`.
    pub buffer: u32,
    /// The option `max_detached`.
    pub max_detached: u8,
    /// The option `max_connections`.
    pub max_connections: u8,
    /// The memory budget above its minimum.
    pub memory_slack: Option<u32>,
    /// The option `max_backlog`.
    pub max_backlog: u32,
    /// The option `pong_timeout`.
    pub pong: u32,
    /// The option `write_timeout`.
    pub write: u32,
    /// The wait of slow handlers.
    pub handler_wait: u16,
    /// The wait of `authorize_async`; `authorize` without one.
    pub auth_wait: Option<u16>,
    /// The time for which a login is valid.
    pub good_for: u32,
    /// A client acknowledges after this many packets; 0 means that it acknowledges only when it is
    /// asked.
    pub ack_every: u8,
    /// The deadline of a drain, and its rate.
    pub drain: (u32, u16),
    pub ending: Ending,
}

/// The end of a plan, when all clients are back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The clients send close frames.
    Close,
    /// All sockets are lost, and the sessions expire.
    Expire,
    Shutdown,
    Drain,
}

/// The clients that a plan may have.
pub const SLOTS: usize = 6;

#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Connects a client with a new session; one that is connected drops its socket without notice.
    Connect {
        slot: u8,
        extended: bool,
        user: u8,
    },
    /// Lets a client return to its session on a new socket. It no longer uses the old one.
    Return {
        slot: u8,
        how: How,
    },
    /// Something about one client.
    Of(u8, Act),
    /// Delivers what is in flight on all sockets that clients no longer use.
    DeliverOld,
    PollWoken {
        nth: u8,
    },
    RunUntilIdle,
    /// Advances the clock without any poll.
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

/// An event at a client or at its socket.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// The client sends a packet; without a socket, it does so after its return.
    Send(Say),
    Ack(AckKind),
    /// The client sends a close frame.
    Close(u16),
    /// The client sends a frame that violates WebSocket.
    Violate,
    /// Bytes in flight arrive at the server.
    Deliver(u32),
    /// The client reads bytes that wait in the network.
    Take(u32),
    /// From now on the client reads everything at once, or leaves bytes in the network.
    Read(bool),
    /// The server's socket accepts this many bytes more; `u32::MAX` removes the limit.
    Space(u32),
    /// Limits single reads and writes of the server.
    Limit {
        read: u32,
        write: u32,
    },
    Break(Break),
    /// The client stops or resumes answering pings.
    Mute(bool),
    /// The task of the client's socket is polled.
    Poll,
    /// The application acts on the client's session, from outside a handler.
    App(AppAction),
    /// The task of the client's socket is aborted.
    Abort,
}

/// How a client returns to its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Honest,
    /// The client has lost this many of the packets that it received last.
    Rewound(u8),
    /// The client claims to have received packets that were not sent.
    Ahead,
    /// The client presents the token of an earlier connection.
    UsedToken,
    /// The client presents a changed secret.
    Forged,
    /// The client presents the id of another client's session with its own secret.
    Foreign,
    /// The client presents a text that is not a token.
    Garbage,
    /// The client sends no count of received packets.
    NoCount,
    /// The client logs in as another user.
    OtherUser,
    /// The client sends credentials that `authorize` rejects.
    Denied,
}

/// A packet that a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Say {
    Join(u8),
    Leave(u8),
    /// A message to a room, with this many bytes.
    ToRoom {
        room: u8,
        len: u16,
    },
    /// A message to another client.
    ToPeer {
        slot: u8,
        len: u16,
    },
    /// An event with a handler, by the number of its script.
    Call(u8),
    /// An event of the extended protocol, which a plain client may not send.
    Forge(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckKind {
    Honest,
    /// This many packets fewer than were received.
    Late(u8),
    /// Asks for an acknowledgement in return.
    Ask,
    /// More packets than were sent.
    Beyond,
    /// Fewer packets than the client has acknowledged before.
    Back,
    /// A text that is not a count.
    Garbage,
    /// This many acknowledgements of the same packets.
    Flood(u8),
}

/// How a socket is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// The server sees an error when it reads; writes fail too.
    Reset,
    /// The client ends its stream.
    Fin,
    /// Nothing more arrives in either direction, without notice.
    Vanish,
    /// The server's writes fail, and its reads return nothing.
    FailWrites,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppAction {
    /// A message to a room from the client.
    ToRoom {
        room: u8,
        len: u16,
    },
    /// A message to the client.
    ToClient {
        len: u16,
    },
    Join(u8),
    Leave(u8),
    Close,
}

/// The rooms of plans.
pub const ROOMS: [&str; 3] = ["root", "r", "ro"];
