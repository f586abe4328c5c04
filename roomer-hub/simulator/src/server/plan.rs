//! A plan for the whole server, as plain data: frames, deliveries, polls and faults.
//!
//! Its run uses no randomness, and it can be shrunk step by step.
//!
//! Steps refer to connections by slot, so a plan stays meaningful when steps are removed.

use roomer_hub::Presence;

use crate::hub::plan::{Address, Mode, Payload};
use crate::hub::token_bucket::RateSpec;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub setup: Setup,
    pub scripts: Vec<Script>,
    pub steps: Vec<Step>,
}

/// The configuration of the server. All times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    pub mode: Mode,
    pub max_name: usize,
    pub max_rooms: usize,
    /// The rates of a connection for messages, bytes, joins and violations, in this order.
    pub rates: [Option<RateSpec>; 4],
    pub shared_room_only: bool,
    pub max_message: usize,
    pub max_backlog: usize,
    /// The behaviour of the permission rules for joins, messages to rooms, and direct messages.
    pub authorize: [Option<RuleAnswers>; 3],
    pub hooks: Option<Hooks>,
    /// The presence modes that differ from `Full`, each with the pattern of its rooms: a name, or
    /// `prefix*`.
    pub presence_rules: [Option<(&'static str, Presence)>; 2],
    /// The memory budget, as the amount above the minimum for one connection. `None` means the
    /// default budget.
    pub memory_slack: Option<usize>,
    pub ping: u64,
    pub pong: u64,
    pub write: u64,
    pub handshake: u64,
    pub close: u64,
    pub coalesce: u64,
    /// The limits on connections, followed by the limits on handshakes.
    pub caps: [Cap; 2],
    /// The behaviour of the `authorize` hook; `None` if the plan has no hook.
    pub auth_hook: Option<AuthHook>,
    /// The settings for draining; `None` means the defaults.
    pub drain: Option<Drain>,
    /// The settings for large flushes; `None` means the defaults, with one worker.
    pub flush: Option<Flush>,
    /// A bit set of the slots whose clients answer neither pings nor close frames.
    pub mute: u32,
    /// The way in which connections end if they are still open after the last step.
    pub ending: Ending,
}

/// The behaviour of a permission rule. Questions are divided into eight kinds by their hash, and a
/// set of kinds is a bitmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleAnswers {
    pub allows: u8,
    /// The kinds for which the rule performs `action` before it answers.
    pub acting: u8,
    pub action: AppAction,
    /// The delay of a slow rule in milliseconds.
    pub wait: Option<u32>,
    /// The kinds to which the delay applies.
    pub waits: u8,
}

/// Limits on a number, in total and per client address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    pub total: Option<usize>,
    pub per_address: Option<usize>,
}

impl Cap {
    pub const NONE: Cap = Cap { total: None, per_address: None };
}

/// The behaviour of the `authorize` hook. A set of slots is a bitmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthHook {
    pub admits: u32,
    /// The rejected slots for which the hook panics instead.
    pub panics: u32,
    /// The delay of a slow hook in milliseconds.
    pub wait: Option<u32>,
    /// The slots to which the delay applies.
    pub waits: u32,
}

/// The settings for draining.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// The time limit for the drain, in milliseconds.
    pub deadline: u64,
    pub per_second: usize,
}

/// The settings for large flushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flush {
    /// The maximum number of connections to which one poll writes. A flush to more connections is
    /// large.
    pub max_inline: usize,
    /// The number of connections that a task takes from a large flush at a time.
    pub chunk: usize,
    /// The number of flush workers. It may be 0, as on a single-threaded runtime.
    pub workers: usize,
}

/// The behaviour of the hooks for connects, joins, leaves and disconnects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hooks {
    /// A bit set of the hooks that are registered: connect, join, leave, disconnect.
    pub enabled: u8,
    /// A bit set of the hooks that perform the action: the low four bits for connections with even
    /// id numbers, the high four for odd ones.
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

/// A handler for an event, given by the actions that it performs in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    pub event: &'static str,
    pub actions: Vec<AppAction>,
}

impl Script {
    /// Returns true if the handler is asynchronous.
    pub fn is_slow(&self) -> bool {
        self.actions.iter().any(|action| matches!(action, AppAction::Pause { .. }))
    }
}

/// An action that application code performs on a connection, through the connection's handle.
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
    /// Adds the connection to a room, or removes it from a room. No permission rule is called.
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
    /// Closes the connection in a slot, provided that it has called a handler before.
    CloseOther {
        slot: u8,
        code: u16,
        reason: &'static str,
    },
    /// Waits for this time in milliseconds; 0 yields once.
    Pause {
        millis: u32,
    },
    /// Makes the handler return an error.
    Fail,
    Panic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Connects a client in a slot, and sends its request. If the slot has a connection already,
    /// that connection stays open, but no further steps refer to it.
    Connect {
        slot: u8,
        request: RequestKind,
    },
    /// Makes a client send a frame. The frame's bytes are in flight until they are delivered.
    Send {
        slot: u8,
        frame: ClientFrame,
    },
    /// Delivers this many of a client's bytes in flight.
    Deliver {
        slot: u8,
        bytes: u32,
    },
    /// Polls one of the woken tasks.
    PollWoken {
        nth: u8,
    },
    /// Polls a connection's task, woken or not.
    Poll {
        slot: u8,
    },
    /// Polls woken tasks until none is left.
    RunUntilIdle,
    /// Limits how many bytes the socket accepts from now on; `u32::MAX` removes the limit.
    SocketSpace {
        slot: u8,
        bytes: u32,
    },
    /// Limits how many bytes one read returns, and one write accepts.
    LimitIo {
        slot: u8,
        read: u32,
        write: u32,
    },
    /// Makes the next write fail as interrupted.
    Interrupt {
        slot: u8,
    },
    /// During the next write, sends three messages to a room through the handle of the connection
    /// in another slot.
    SendDuringWrite {
        slot: u8,
        sender: u8,
        room: &'static str,
        payload: Payload,
    },
    /// Wakes the task as if the socket were writable, whether or not it is.
    SpuriousWritable {
        slot: u8,
    },
    /// Ends the client's stream.
    HalfClose {
        slot: u8,
    },
    /// Breaks the connection. The data in flight is lost, and the server is notified.
    Reset {
        slot: u8,
    },
    /// Breaks the connection. The data in flight is lost, and the server is not notified.
    Vanish {
        slot: u8,
    },
    /// Makes all further writes by the server fail, while reads still succeed.
    FailWrites {
        slot: u8,
    },
    /// Drops the task of a connection, as a runtime does when it aborts a task.
    Abort {
        slot: u8,
    },
    /// Advances the clock without polling any task.
    AdvanceClock {
        millis: u32,
    },
    /// Advances the clock. Stops at each timer, and polls the woken tasks there.
    RunFor {
        millis: u32,
    },
    /// Performs an action through the handle of a connection, outside any handler.
    App {
        slot: u8,
        action: AppAction,
    },
    Shutdown,
    /// Starts to drain the server. If a drain is in progress, waits for that one.
    Drain,
}

/// The request that a client sends.
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

/// A frame that a client sends.
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
    /// A close frame with this code; without a code if it is 0.
    Close(u16),
    Violation(Violation),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    Bytes(Payload),
    /// The maximum size of a message, plus this number, which may be negative.
    Limit(i8),
    /// The size that fills the queue of this slot's connection up to its soft or hard limit, plus
    /// `more`.
    Queue {
        slot: u8,
        hard: bool,
        more: i8,
    },
    /// The size for which the packet that the server sends to another client has this length.
    Frame(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Whole,
    Text,
    Fragmented(u8),
    /// Fragments of the message, with a ping before the last of them.
    FragmentedWithPing(u8),
}

/// A violation of the protocol by a client.
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
