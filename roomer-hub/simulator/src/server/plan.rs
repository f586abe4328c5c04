//! A plan for the whole server, as plain data: the frames that clients send, the order of
//! deliveries and polls, and the faults. Running it uses no randomness, and it can be shrunk step
//! by step.
//!
//! Connections are identified by slot so that a plan stays meaningful when steps are removed.

use roomer_hub::Presence;

use crate::hub::plan::{Address, Mode, Payload};
use crate::hub::token_bucket::RateSpec;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub setup: Setup,
    pub scripts: Vec<Script>,
    pub steps: Vec<Step>,
}

/// The server's configuration. Times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    pub mode: Mode,
    pub max_name: usize,
    pub max_rooms: usize,
    /// A connection's rates, in the order messages, bytes, joins, violations.
    pub rates: [Option<RateSpec>; 4],
    pub shared_room_only: bool,
    pub max_message: usize,
    pub max_backlog: usize,
    /// The permission rules for joins, messages to rooms, and direct messages.
    pub authorize: [Option<RuleAnswers>; 3],
    pub hooks: Option<Hooks>,
    /// The presence modes other than `Full`, by name or `prefix*`.
    pub presence_rules: [Option<(&'static str, Presence)>; 2],
    /// The memory budget beyond one connection's limit; `None` means the default budget.
    pub memory_slack: Option<usize>,
    pub ping: u64,
    pub pong: u64,
    pub write: u64,
    pub handshake: u64,
    pub close: u64,
    pub coalesce: u64,
    /// The limits on connections, and those on handshakes.
    pub caps: [Cap; 2],
    /// How the `authorize` hook behaves, if there is one.
    pub auth_hook: Option<AuthHook>,
    /// The drain settings; `None` means the defaults.
    pub drain: Option<Drain>,
    /// The settings for large flushes; `None` means the defaults, with one worker.
    pub flush: Option<Flush>,
    /// The slots of clients that answer neither pings nor close frames, as a bit set.
    pub mute: u32,
    /// How the last connections end.
    pub ending: Ending,
}

/// How a permission rule behaves. Questions are divided into eight kinds by their hash; sets of
/// kinds are bitmaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleAnswers {
    pub allows: u8,
    /// The kinds for which the rule performs an action before it answers, followed by that action.
    pub acting: u8,
    pub action: AppAction,
    /// The delay of a slow rule in milliseconds, followed by the kinds that are delayed.
    pub wait: Option<u32>,
    pub waits: u8,
}

/// A total limit and a limit per address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    pub total: Option<usize>,
    pub per_address: Option<usize>,
}

impl Cap {
    pub const NONE: Cap = Cap { total: None, per_address: None };
}

/// How the `authorize` hook behaves. Sets of slots are bitmaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthHook {
    pub admits: u32,
    /// The slots for which it panics instead of rejecting.
    pub panics: u32,
    /// The delay of a slow hook in milliseconds, followed by the slots that are delayed.
    pub wait: Option<u32>,
    pub waits: u32,
}

/// Drain settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// The deadline in milliseconds.
    pub deadline: u64,
    pub per_second: usize,
}

/// Settings for large flushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flush {
    /// The maximum number of connections that one poll writes to. A flush to more is a large one.
    pub max_inline: usize,
    /// The number of connections that a worker takes at a time.
    pub chunk: usize,
    /// The number of flush workers; may be 0, as on a single-threaded runtime.
    pub workers: usize,
}

/// How the `on_connect`, join, leave and disconnect hooks behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hooks {
    /// The registered hooks, as a bit set: connect, join, leave, disconnect.
    pub enabled: u8,
    /// The hooks that perform the action, as a bit set: the low four bits for even ids, the high four
    /// for odd ids.
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

/// A handler for an event, with its actions in order.
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

/// An action that application code performs with a connection's handle.
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
    /// Adds the connection to a room or removes it, without calling a permission rule.
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
    /// Closes the connection in a slot, if it has called a handler before.
    CloseOther {
        slot: u8,
        code: u16,
        reason: &'static str,
    },
    /// Waits for a time; 0 yields once.
    Pause {
        millis: u32,
    },
    /// Returns an error.
    Fail,
    Panic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Connects a client and sends its request. The slot's previous connection stays open, but no
    /// further steps refer to it.
    Connect {
        slot: u8,
        request: RequestKind,
    },
    /// Sends a frame. Its bytes are then in flight.
    Send {
        slot: u8,
        frame: ClientFrame,
    },
    /// Delivers bytes in flight.
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
    /// Limits the bytes that the socket accepts; `u32::MAX` means unlimited.
    SocketSpace {
        slot: u8,
        bytes: u32,
    },
    /// Limits the bytes per read and per write.
    LimitIo {
        slot: u8,
        read: u32,
        write: u32,
    },
    /// Interrupts the next write.
    Interrupt {
        slot: u8,
    },
    /// Sends three messages to a room during the next write, through the handle of another slot's
    /// connection.
    SendDuringWrite {
        slot: u8,
        sender: u8,
        room: &'static str,
        payload: Payload,
    },
    /// Reports the socket as writable, whether or not it is.
    SpuriousWritable {
        slot: u8,
    },
    /// Closes the client's sending direction.
    HalfClose {
        slot: u8,
    },
    /// Loses the connection and the data in flight, and reports the loss to the server.
    Reset {
        slot: u8,
    },
    /// Loses the connection and the data in flight, without reporting the loss to the server.
    Vanish {
        slot: u8,
    },
    /// Makes all further writes fail, while reads still succeed.
    FailWrites {
        slot: u8,
    },
    /// Drops the connection's task, as a runtime does when it aborts a task.
    Abort {
        slot: u8,
    },
    /// Advances the clock without polling.
    AdvanceClock {
        millis: u32,
    },
    /// Advances the clock, stopping at each timer.
    RunFor {
        millis: u32,
    },
    /// Performs an action outside any handler.
    App {
        slot: u8,
        action: AppAction,
    },
    Shutdown,
    /// Drains the server, or waits for the drain in progress.
    Drain,
}

/// The kind of a client's request.
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
    /// A close frame; 0 means without a code.
    Close(u16),
    Violation(Violation),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    Bytes(Payload),
    /// The size limit plus this difference, which may be negative.
    Limit(i8),
    /// The length that fills this slot's queue up to its soft or hard limit, plus this difference.
    Queue {
        slot: u8,
        hard: bool,
        more: i8,
    },
    /// The length for which the server's frame to another client has this size.
    Frame(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Whole,
    Text,
    Fragmented(u8),
    /// Fragments, with a ping before the last one.
    FragmentedWithPing(u8),
}

/// A protocol violation.
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
