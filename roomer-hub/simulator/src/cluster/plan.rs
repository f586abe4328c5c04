//! A cluster plan, as data.

use roomer_hub::cluster::Loss;

/// The setup of a cluster, and the steps of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub setup: Setup,
    pub ops: Vec<Op>,
}

/// The configuration of a run, which its steps do not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The seed for the delays and losses at the broker.
    pub seed: u64,
    pub nodes: u8,
    /// The maximum delay of a frame, in milliseconds.
    pub max_delay: u32,
    /// The number of frames in a thousand that the broker delivers twice.
    pub repeated: u32,
    /// The maximum time in milliseconds until a subscription takes effect.
    pub late_interest: u32,
    pub journal_bytes: usize,
    pub journal_ms: u32,
    pub backlog_bytes: usize,
    pub held_bytes: usize,
    pub max_payload: usize,
    pub loss: Loss,
    /// True if some rooms are ordered: on all nodes, their messages are delivered in the same
    /// order.
    pub has_order: bool,
    /// True if clients have info that changes, and some clients are extended and receive it.
    pub has_info: bool,
    /// True if all rooms announce which members are away.
    pub has_away: bool,
    /// True if the first two nodes have the same tag.
    pub shares_tag: bool,
}

/// A step. Nodes and clients are given by number, taken modulo the number of existing nodes or
/// clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Advances the clock by this many milliseconds.
    Wait(u32),
    /// A client connects to a node.
    Open {
        node: u8,
    },
    /// A client's connection ends.
    Close {
        client: u16,
    },
    Join {
        client: u16,
        room: u8,
    },
    Leave {
        client: u16,
        room: u8,
    },
    /// A client moves from one room to another atomically.
    Move {
        client: u16,
        from: u8,
        to: u8,
    },
    /// A client's info changes.
    SetInfo {
        client: u16,
        by: u8,
    },
    /// A client loses its socket, or resumes its session.
    Away {
        client: u16,
        is_away: bool,
    },
    /// A client sends a message to a room. In the payload, `size` bytes follow the message's
    /// numbers.
    Send {
        client: u16,
        room: u8,
        size: u32,
    },
    /// A client sends a direct message to another client.
    Direct {
        client: u16,
        to: u16,
    },
    /// A node's application sends a message to a room, except to one client.
    ServerSend {
        node: u8,
        room: u8,
        except: u16,
    },
    /// A node's application removes a client from a room.
    Kick {
        node: u8,
        client: u16,
        room: u8,
    },
    /// A node's application closes a client's connection.
    Disconnect {
        node: u8,
        client: u16,
    },
    /// A client loses its socket and reconnects to a node, where it starts a new session.
    Reconnect {
        client: u16,
        node: u8,
        token: Token,
    },
    /// A node's application sends a message to all of a user's connections, removes them from a
    /// room, or closes them.
    ToUser {
        node: u8,
        user: u8,
        what: ToUser,
    },
    /// A node's link to the broker breaks.
    LinkDown {
        node: u8,
    },
    /// The link between a node and the broker is restored.
    LinkUp {
        node: u8,
    },
    /// The broker crashes and loses the frames in it. The links of all nodes break.
    BrokerDown,
    /// All nodes' links are restored.
    BrokerUp,
    /// From this step until [`Heal`](Op::Heal), frames between two nodes are lost.
    Partition {
        one: u8,
        other: u8,
    },
    /// Ends the losses caused by [`Partition`](Op::Partition).
    Heal,
    /// From this step on, the broker loses this many frames in a thousand.
    LossRate {
        of_thousand: u32,
    },
    /// The broker stops accepting frames from a node, or accepts all of them again.
    Refuse {
        node: u8,
        on: bool,
    },
    Crash {
        node: u8,
    },
    /// A node that has ended starts again under its previous name.
    Restart {
        node: u8,
    },
    /// A node is suspended: it processes no input until it resumes.
    Suspend {
        node: u8,
    },
    /// A suspended node continues to run.
    Resume {
        node: u8,
    },
    /// A node shuts down cleanly.
    Stop {
        node: u8,
    },
    /// A node receives a frame from another cluster, a frame of another version, or bytes that are
    /// not a frame.
    Noise {
        node: u8,
        kind: u8,
    },
}

/// The token with which a client reconnects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// The client's own token, with its own user.
    Right,
    /// A token with a wrong secret.
    Forged,
    /// The client's own token, with another client's user.
    OtherUser,
}

/// An application command for all of a user's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToUser {
    Send,
    Leave { room: u8 },
    Close,
}

/// The plans' rooms. The first three have full presence; of the others, one has counts and one has
/// no presence.
pub const ROOMS: [&str; 5] = ["root", "a", "b", "count", "off"];

/// Patterns that match the rooms that may be ordered: `a` and `count`.
pub const ORDERED: [&str; 2] = ["a", "co*"];

impl Setup {
    /// Returns true if the messages of a room are delivered in the same order on all nodes.
    pub fn orders(&self, room: usize) -> bool {
        self.has_order && matches!(ROOMS[room], "a" | "count")
    }
}
