//! A plan for the whole server, as data: what clients say, which bytes arrive when, who has a
//! turn, what goes wrong. It runs without randomness and shrinks step by step.
//!
//! Connections are named by slot, so that a plan stays meaningful when steps are taken out.

use roomer_hub::Presence;

use crate::hub::plan::{Address, Mode, Payload};
use crate::hub::token_bucket::RateSpec;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub setup: Setup,
    pub scripts: Vec<Script>,
    pub steps: Vec<Step>,
}

/// What the server is built with. Times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    pub mode: Mode,
    pub max_name: usize,
    pub max_rooms: usize,
    /// Messages, bytes and joins that a connection may send, and refusals that it may cause.
    pub rates: [Option<RateSpec>; 4],
    pub shared_room_only: bool,
    pub max_message: usize,
    pub max_backlog: usize,
    /// What is answered about joins, about messages into rooms and about direct messages, if the
    /// application wants to be asked.
    pub authorize: [Option<RuleAnswers>; 3],
    pub hooks: Option<Hooks>,
    /// What members hear of each other, where that is not everything, by name or `prefix*`.
    pub presence_rules: [Option<(&'static str, Presence)>; 2],
    /// What all may hold together, beyond what one may; `None`: as by default.
    pub memory_slack: Option<usize>,
    pub ping: u64,
    pub pong: u64,
    pub write: u64,
    pub handshake: u64,
    pub close: u64,
    pub coalesce: u64,
    /// Connections, and handshakes, that there may be at a time.
    pub caps: [Cap; 2],
    /// What is said to those who ask to come in, if the application wants to be asked.
    pub auth_hook: Option<AuthHook>,
    /// How a drain goes; `None`: as by default.
    pub drain: Option<Drain>,
    /// What makes flushes large; `None`: as by default, with one helper.
    pub flush: Option<Flush>,
    /// Slots of clients that answer neither pings nor close frames, as bits.
    pub mute: u32,
    /// How the last connections end.
    pub ending: Ending,
}

/// What a rule does. Questions are of eight kinds, by what they are about; sets of them are bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleAnswers {
    pub allows: u8,
    /// Those before whose answers it does something, and what.
    pub acting: u8,
    pub action: AppAction,
    /// How long some take, if it is a slow rule, and which.
    pub wait: Option<u32>,
    pub waits: u8,
}

/// How many there may be of something, if they are few: in all, and for each address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    pub total: Option<usize>,
    pub per_address: Option<usize>,
}

impl Cap {
    pub const NONE: Cap = Cap { total: None, per_address: None };
}

/// What is said to those who ask to come in. Sets of slots are bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthHook {
    pub admits: u32,
    /// Those of the others over whom it panics.
    pub panics: u32,
    /// How long some take, if it takes its time, and which.
    pub wait: Option<u32>,
    pub waits: u32,
}

/// How a drain goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// In milliseconds.
    pub deadline: u64,
    pub per_second: usize,
}

/// How large flushes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flush {
    /// Connections that a turn writes to: more of them are a large flush.
    pub max_inline: usize,
    /// Connections that a hand takes at a time.
    pub chunk: usize,
    /// A runtime of one thread may have none.
    pub workers: usize,
}

/// What hooks do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hooks {
    /// Which there are, as bits: for those who connect, join, leave, go.
    pub enabled: u8,
    /// The same of those that do something, for connections of even and of odd numbers; and what.
    pub acting: u8,
    pub action: AppAction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    HangUp,
    Close,
    Shutdown,
    Drain,
}

/// A handler and what it does when it is called, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    pub event: &'static str,
    pub actions: Vec<AppAction>,
}

impl Script {
    /// Whether it takes its time.
    pub fn is_slow(&self) -> bool {
        self.actions.iter().any(|action| matches!(action, AppAction::Pause { .. }))
    }
}

/// What code of an application's does with a connection's handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppAction {
    ToRoom {
        room: &'static str,
        event: &'static str,
        payload: Payload,
    },
    ToClient {
        dst: Address,
        event: &'static str,
        payload: Payload,
    },
    Raw(Payload),
    /// The connection is put into a room, or taken out of one, no rule being asked.
    Join {
        room: &'static str,
    },
    Leave {
        room: &'static str,
    },
    Close {
        code: u16,
        reason: &'static str,
    },
    /// The same for the one in a slot, if it has called a handler before.
    CloseOther {
        slot: u8,
        code: u16,
        reason: &'static str,
    },
    /// Time passes; 0: somebody else has a turn, or not even that.
    Pause {
        millis: u32,
    },
    /// An error is returned.
    Fail,
    Panic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A client comes, and begins with a request; whoever is in the slot stays, out of reach.
    Connect {
        slot: u8,
        request: RequestKind,
    },
    /// A client says something; it is under way from here on.
    Send {
        slot: u8,
        frame: ClientFrame,
    },
    /// The next bytes that are under way arrive.
    Deliver {
        slot: u8,
        bytes: u32,
    },
    /// One of the tasks that have been woken has its turn.
    PollWoken {
        nth: u8,
    },
    /// A connection's task has a turn, woken or not.
    Poll {
        slot: u8,
    },
    /// Tasks have their turns until none is woken.
    RunUntilIdle,
    /// The socket takes so many bytes more, and no more; `u32::MAX` is any number.
    SocketSpace {
        slot: u8,
        bytes: u32,
    },
    /// The most bytes of one read and of one write.
    LimitIo {
        slot: u8,
        read: u32,
        write: u32,
    },
    /// The next write is interrupted.
    Interrupt {
        slot: u8,
    },
    /// While the next write is under way, somebody speaks in a room, three times, with the handle
    /// of the one in another slot.
    SendDuringWrite {
        slot: u8,
        sender: u8,
        room: &'static str,
        payload: Payload,
    },
    /// The socket says that there is room, whether there is or not.
    SpuriousWritable {
        slot: u8,
    },
    /// The client says no more.
    HalfClose {
        slot: u8,
    },
    /// The connection breaks: what is under way is lost, and the server hears of it.
    Reset {
        slot: u8,
    },
    /// The connection breaks, and the server does not hear of it.
    Vanish {
        slot: u8,
    },
    /// Writes fail from now on; reads do not, yet.
    FailWrites {
        slot: u8,
    },
    /// The runtime drops the connection's task.
    Abort {
        slot: u8,
    },
    /// The clock goes on, and nobody has a turn.
    AdvanceClock {
        millis: u32,
    },
    /// The clock goes on, stopping wherever somebody wants to be woken.
    RunFor {
        millis: u32,
    },
    /// The application does something with a connection outside any handler.
    App {
        slot: u8,
        action: AppAction,
    },
    Shutdown,
    /// The server is drained, by one more who waits for that.
    Drain,
}

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    Upgrade,
    WrongPath,
    Post,
    NoUpgrade,
    OldVersion,
    BadKey,
    BadOrigin,
    Http10,
}

/// What a client says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientFrame {
    Packet {
        room: &'static str,
        event: &'static str,
        dst: Address,
        src: Address,
        payload: Size,
        form: Form,
    },
    Ping(u8),
    Pong(u8),
    /// 0 is no code.
    Close(u16),
    Violation(Violation),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    Bytes(Payload),
    /// So many that the message is this much longer than the longest that is allowed.
    Limit(i8),
    /// So many that the queue of the receiver, which is in this slot, comes to be this much longer
    /// than its soft or hard limit.
    Queue {
        slot: u8,
        hard: bool,
        more: i8,
    },
    /// So many that the server's frame for somebody else has a length of this.
    Frame(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Whole,
    Text,
    Fragmented(u8),
    /// Pieces with a ping before the last.
    FragmentedWithPing(u8),
}

/// What no client may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    ReservedBits,
    Unmasked,
    Continuation,
    Inside,
    Opcode,
    LongPing,
    CutPing,
    HalfCode,
    WrongCode,
    CloseText,
    TextBytes,
    TopBit,
    Fragments,
    ShortPacket,
    LongPacket,
    PastEnd,
    NameBytes,
}

pub const VIOLATIONS: [Violation; 17] = [
    Violation::ReservedBits,
    Violation::Unmasked,
    Violation::Continuation,
    Violation::Inside,
    Violation::Opcode,
    Violation::LongPing,
    Violation::CutPing,
    Violation::HalfCode,
    Violation::WrongCode,
    Violation::CloseText,
    Violation::TextBytes,
    Violation::TopBit,
    Violation::Fragments,
    Violation::ShortPacket,
    Violation::LongPacket,
    Violation::PastEnd,
    Violation::NameBytes,
];
