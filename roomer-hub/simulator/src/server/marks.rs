//! Coverage marks for the server plans.

use roomer_hub::Permission;

use super::expected::{ExpectedItem, Output};
use super::plan::Violation;

crate::coverage::marks! {
    HandshakeRejected = "a handshake rejected",
    HandshakeTimeout = "a handshake timed out",
    Unavailable = "a handshake rejected by a server that is stopping",
    ServerFull = "a handshake rejected by a full server",
    FullForAddress = "a handshake rejected for the limit of its address",
    FullAfterWait = "a handshake rejected by a server that became full during authorize",
    Unauthorized = "a handshake that the application rejects",
    AuthPanics = "authorize panics",
    AdmittedAfterWait = "a connection accepted after a delay of authorize",
    AuthTooLong = "a handshake that times out during authorize",
    GoneDuringAuth = "gone during authorize",
    UnreadDuringAuth = "more received during authorize than is read",
    Draining = "a drain under way",
    DrainedAtPace = "a drain that closes at its full rate",
    DrainReport = "a drain that closes all in time",
    DrainCuts = "a drain that aborts connections",
    TwoDrains = "two callers of drain",
    OpenedAfterFull = "a connection accepted after the server was full",
    RejectedEarly = "rejected before its handshake",
    ShutdownInHandshake = "a shutdown during a handshake",
    ShutdownWhileStalled = "a shutdown while a client does not read",
    SlotReused = "a slot reused right after a connection closed",
    MessageUnderLimit = "a message one byte under the limit",
    MessageAtLimit = "a message at the limit",
    MessageOverLimit = "a message one byte over the limit",
    Frame125 = "a frame of 125 bytes",
    Frame126 = "a frame of 126 bytes",
    Frame127 = "a frame of 127 bytes",
    Frame65535 = "a frame of 65,535 bytes",
    Frame65536 = "a frame of 65,536 bytes",
    HalfFrameResumed = "a half-written frame",
    LargeRoom = "a broadcast to more than eight",
    LargeFlush = "a flush of more than one poll",
    FlushShared = "a large flush shared with a flush worker",
    TwoFlushes = "two large flushes at the same time",
    InputDuringFlush = "a message sent during a large flush",
    GoneDuringFlush = "a connection closed during a large flush",
    Ping = "a ping",
    Pong = "a pong for a client's ping",
    SoftExactly = "a queue at its soft limit",
    HardExactly = "a queue at its hard limit",
    HardLimit = "a queue above its hard limit",
    WriteTimeout = "a write that took too long",
    CloseTimeout = "a close that took too long",
    OutOfMemory = "a connection closed to save memory",
    SlowClosed = "a slow reader closed among others",
    SenderPaused = "a paused sender",
    SenderResumed = "a paused sender that reads again",
    RawRejected = "a raw message not accepted",
    GoneWithOutputLeft = "gone with output left",
    ClosedByPeer = "closed by its client",
    HandlerPanics = "a handler panics",
    PanicInCrowd = "a handler panics among others",
    HandlerClosesCaller = "a handler closes its caller",
    HandlerClosesOther = "a handler closes another",
    SlowHandler = "a pending handler",
    TwoWait = "two pending handlers",
    MessageBehindSlow = "a message behind a pending handler",
    PingBehindSlow = "a ping behind a pending handler",
    CloseBehindSlow = "a close frame behind a pending handler",
    UnreadBehindSlow = "bytes that are not read while a handler is pending",
    DroppedCall = "a client has closed, and its pending handler takes too long",
    DroppedBehindSlow = "a message that is dropped, since its client closed long ago",
    PingWhileWaiting = "a ping while a handler is pending",
    ProgressCountsAsAlive = "a silent client that reads its output",
    SilentClosed = "a silent client closed",
    SilentWhileWaiting = "silence while a handler is pending",
    ClosedWhileWaiting = "closed while a handler is pending",
    LostWhileWaiting = "lost while a handler is pending",
    AbortedWhileWaiting = "aborted while a handler is pending",
    ShutdownWhileWaiting = "a stop while a handler is pending",
    SlowNeverPolled = "a slow handler dropped before its first poll",
    PanicAfterWait = "a handler panics after a wait",
    ErrorAfterWait = "a handler fails after a wait",
    ClosesCallerAfterWait = "a handler closes its caller after a wait",
    HookPanics = "a hook panics",
    HookPanicsWhileWaiting = "a hook panics while a handler is pending",
    HookCloses = "a hook closes its connection",
    HookActsForGone = "a hook acts for a closed connection",
    CountShown = "a join_ack with a number",
    SelfOnlyShown = "a join_ack with its receiver alone",
    JoinDenied = "a join denied by a rule",
    PublishDenied = "a message denied by a rule",
    DirectDenied = "a direct message denied by a rule",
    SlowRule = "a pending rule",
    AllowedAfterWait = "allowed after a wait",
    DeniedAfterWait = "denied after a wait",
    RulePanics = "a rule panics",
    RulePanicsAfterWait = "a rule panics after a wait",
    AnswerAfterClose = "a rule answers for a closed connection",
    DeniedInside = "a join denied to a client that has joined meanwhile",
    RejectedAfterAllow = "a message that a rule allowed and the hub rejected",
    HandlerAfterRule = "a handler after a rule",
    ClosedForRate = "closed for its rate",
    ClosedForViolations = "closed for too many violations",
    ClosedWithMoreInput = "closed for a limit with more input in the same read",
    ClosedBeforeClose = "closed for a limit just before its own close frame",
    NoSharedRoom = "rejected: no shared room",
    Closed1000 = "close 1000",
    Closed1001 = "close 1001",
    Closed1002 = "close 1002",
    Closed1003 = "close 1003",
    Closed1007 = "close 1007",
    Closed1008 = "close 1008",
    Closed1009 = "close 1009",
    Closed1011 = "close 1011",
    Closed1013 = "close 1013",
    ClosedWithout = "a close without a code",
    CloseOverflowsOther = "a close whose notice exceeds the limit of another connection",
    // One mark for each variant of `Violation`, in the same order.
    BadReservedBits = "reserved bits",
    BadUnmasked = "an unmasked frame",
    BadContinuation = "a continuation without a message",
    BadInside = "a message inside another",
    BadOpcode = "an unknown opcode",
    BadLongPing = "a ping too long",
    BadCutPing = "a fragmented ping",
    BadHalfCode = "half a close code",
    BadWrongCode = "an invalid close code",
    BadCloseText = "a close reason that is not UTF-8",
    BadTextBytes = "a text message that is not UTF-8",
    BadTopBit = "a length with its top bit set",
    BadFragments = "too many fragments",
    BadShortPacket = "a packet cut short",
    BadLongPacket = "a packet with excess bytes",
    BadPastEnd = "a field beyond the packet's end",
    BadNameBytes = "a name that is not UTF-8",
}

impl Marks {
    /// Sets the mark for a violation that has closed a connection.
    pub fn violation(&mut self, violation: Violation) {
        self.0 |= 1 << (Mark::BadReservedBits as u8 + violation as u8);
    }

    /// Sets the marks for a rule's answer.
    pub fn rule(&mut self, about: Permission, is_allowed: bool, has_waited: bool) {
        let denied = match about {
            Permission::Join => Mark::JoinDenied,
            Permission::Publish => Mark::PublishDenied,
            _ => Mark::DirectDenied,
        };
        self.mark(!is_allowed, denied);
        let after = if is_allowed { Mark::AllowedAfterWait } else { Mark::DeniedAfterWait };
        self.mark(has_waited, after);
    }

    /// Sets the marks for an item that a client has received.
    pub fn frame(&mut self, item: &ExpectedItem) {
        let mark = match item.output {
            Output::Packet(packet) => match packet.encoded_len() {
                125 => Mark::Frame125,
                126 => Mark::Frame126,
                127 => Mark::Frame127,
                65535 => Mark::Frame65535,
                65536 => Mark::Frame65536,
                _ => return,
            },
            Output::Response(503) => return,
            Output::Response(408) => Mark::HandshakeTimeout,
            Output::Response(status) if status >= 400 => Mark::HandshakeRejected,
            _ => return,
        };
        self.mark(true, mark);
    }

    /// Sets the marks for a close frame that a client has received.
    pub fn close(&mut self, code: Option<u16>) {
        let mark = match code {
            Some(1000) => Mark::Closed1000,
            Some(1001) => Mark::Closed1001,
            Some(1002) => Mark::Closed1002,
            Some(1003) => Mark::Closed1003,
            Some(1007) => Mark::Closed1007,
            Some(1008) => Mark::Closed1008,
            Some(1009) => Mark::Closed1009,
            Some(1011) => Mark::Closed1011,
            Some(1013) => Mark::Closed1013,
            None => Mark::ClosedWithout,
            Some(_) => return,
        };
        self.mark(true, mark);
    }
}
