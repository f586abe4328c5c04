//! A plan, as data.

use roomer_hub::cluster::Loss;

/// A cluster, and the steps that it goes through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub setup: Setup,
    pub ops: Vec<Op>,
}

/// The properties of a run that stay the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The seed of the broker's delays and losses.
    pub seed: u64,
    pub nodes: u8,
    /// The longest delay of a frame, in milliseconds.
    pub max_delay: u32,
    /// Of a thousand frames, the number that the broker delivers twice.
    pub repeated: u32,
    /// The longest time until a subscription is effective, in milliseconds.
    pub late_interest: u32,
    pub journal_bytes: usize,
    pub journal_ms: u32,
    pub backlog_bytes: usize,
    pub held_bytes: usize,
    pub max_payload: usize,
    pub loss: Loss,
    /// True if the messages of some rooms have one order on all nodes.
    pub has_order: bool,
    /// True if clients have info, which changes, and some see that of others.
    pub has_info: bool,
    /// True if the first two nodes have the same tag.
    pub shares_tag: bool,
}

/// One step. Numbers of nodes and clients are taken modulo the existing ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Lets some milliseconds pass.
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
    /// A client leaves one room and joins another in one step.
    Move {
        client: u16,
        from: u8,
        to: u8,
    },
    /// The info of a client changes.
    SetInfo {
        client: u16,
        by: u8,
    },
    /// A client sends to a room; `size` bytes follow the message's numbers.
    Say {
        client: u16,
        room: u8,
        size: u32,
    },
    /// A client sends to another one.
    Direct {
        client: u16,
        to: u16,
    },
    /// A node's application sends to a room, and not to one client.
    ServerSay {
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
    /// A node's application closes a client.
    Disconnect {
        node: u8,
        client: u16,
    },
    /// A client's socket is lost, and it returns to a node, where it gets a new session.
    Return {
        client: u16,
        node: u8,
        token: Token,
    },
    /// A node's application sends to all connections of a user, removes them from a room or closes them.
    ToUser {
        node: u8,
        user: u8,
        what: ToUser,
    },
    /// The link of a node to the broker breaks.
    Cut {
        node: u8,
    },
    /// The link of a node is there again.
    Mend {
        node: u8,
    },
    /// The broker ends and loses its frames; the links of all nodes break.
    BrokerDown,
    /// The links of all nodes are there again.
    BrokerUp,
    /// Frames between two nodes are lost from now on.
    Part {
        one: u8,
        other: u8,
    },
    /// No frames are lost between nodes because of [`Part`](Op::Part).
    Unite,
    /// From now on, this many frames of a thousand are lost.
    Lose {
        of_thousand: u32,
    },
    /// From now on the broker takes nothing from a node, or everything again.
    Refuse {
        node: u8,
        on: bool,
    },
    /// A node crashes.
    Crash {
        node: u8,
    },
    /// A node that has ended starts again under its old name.
    Restart {
        node: u8,
    },
    /// A node is suspended: it handles nothing until it wakes up.
    Sleep {
        node: u8,
    },
    /// A node wakes up.
    Wake {
        node: u8,
    },
    /// A node stops in an orderly way.
    Stop {
        node: u8,
    },
    /// A frame of another cluster, of another version, or no frame at all comes to a node.
    Noise {
        node: u8,
        kind: u8,
    },
}

/// The token that a returning client presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// The token of its session, as its user.
    Right,
    /// One with another secret.
    Forged,
    /// The right one, as the user of another client.
    OtherUser,
}

/// A command of an application about all connections of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToUser {
    Send,
    Leave { room: u8 },
    Close,
}

/// The rooms of plans: the first three have full presence, the others counts or none.
pub const ROOMS: [&str; 5] = ["root", "a", "b", "count", "off"];

/// The patterns of rooms that may have one order on all nodes: `a` and `count`.
pub const ORDERED: [&str; 2] = ["a", "co*"];

impl Setup {
    /// Returns true if the messages of a room have one order on all nodes.
    pub fn orders(&self, room: usize) -> bool {
        self.has_order && matches!(ROOMS[room], "a" | "count")
    }
}
