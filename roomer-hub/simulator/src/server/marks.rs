//! The situations that full plans have to get into.

use roomer_hub::Permission;

use super::expected::{ExpectedItem, Output};
use super::plan::Violation;

crate::coverage::marks! {
    HandshakeRejected = "a handshake refused",
    HandshakeTimeout = "a handshake timed out",
    Unavailable = "a handshake refused by a server that stops",
    ServerPlans = "a handshake refused by a full server",
    FullForAddress = "a handshake refused since there are enough from its address",
    FullAfterWait = "a handshake refused by a server that is full once the application has agreed",
    Unauthorized = "a handshake that the application refuses",
    AuthPanics = "the application panics over a handshake",
    AdmittedAfterWait = "one that comes in after the application has taken its time",
    AuthTooLong = "a handshake that the application takes too long over",
    GoneDuringAuth = "gone while the application decides who comes in",
    UnreadDuringAuth = "more said while the application decides than is read",
    Draining = "a drain under way",
    DrainedAtPace = "a drain that closes as many as its pace allows",
    DrainReport = "a drain that closes all in time",
    DrainCuts = "a drain that cuts somebody",
    TwoDrains = "two who wait for a drain",
    OpenedAfterFull = "one that comes in once a full server has room again",
    RejectedEarly = "turned away before its handshake",
    ShutdownInHandshake = "a stop during a handshake",
    ShutdownWhileStalled = "a stop while somebody does not read",
    SlotReused = "a slot reused right after a death",
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
    LargeFlush = "a flush of more than one turn",
    FlushShared = "a large flush that a helper takes part of",
    TwoFlushes = "two large flushes at once",
    InputDuringFlush = "somebody speaks during a large flush",
    GoneDuringFlush = "somebody goes during a large flush",
    Ping = "a ping",
    Pong = "a pong for a client's ping",
    SoftExactly = "a queue at its soft limit",
    HardExactly = "a queue at its hard limit",
    HardLimit = "a queue above its hard limit",
    WriteTimeout = "a write that took too long",
    CloseTimeout = "a close that took too long",
    OutOfMemory = "somebody closed for the sake of all",
    SlowClosed = "a slow reader closed among others",
    SenderPaused = "a sender held back",
    SenderResumed = "a sender that was held back and reads on",
    RawRejected = "a raw message refused",
    GoneWithOutputLeft = "gone with something still due",
    ClosedByPeer = "closed by its client",
    HandlerPanics = "a handler panics",
    PanicInCrowd = "a handler panics among others",
    HandlerClosesCaller = "a handler closes its caller",
    HandlerClosesOther = "a handler closes another",
    SlowHandler = "a handler waits",
    TwoWait = "two handlers wait at once",
    MessageBehindSlow = "a message behind a handler that waits",
    PingBehindSlow = "a ping behind a handler that waits",
    CloseBehindSlow = "a close frame behind a handler that waits",
    UnreadBehindSlow = "bytes that are not read while a handler waits",
    PingWhileWaiting = "a ping while a handler waits",
    ProgressCountsAsAlive = "one that says nothing, and takes what it is sent",
    SilentClosed = "close of a silent one",
    SilentWhileWaiting = "silence while a handler waits",
    ClosedWhileWaiting = "closed while a handler waits",
    LostWhileWaiting = "lost while a handler waits",
    AbortedWhileWaiting = "aborted while a handler waits",
    ShutdownWhileWaiting = "a stop while a handler waits",
    SlowNeverPolled = "a slow handler that is dropped before it begins",
    PanicAfterWait = "a handler panics after a wait",
    ErrorAfterWait = "a handler fails after a wait",
    ClosesCallerAfterWait = "a handler closes its caller after a wait",
    HookPanics = "a hook panics",
    HookPanicsWhileWaiting = "a hook panics while a handler waits",
    HookCloses = "a hook closes the one that it hears of",
    HookActsForGone = "a hook does something for one that is gone",
    CountShown = "a join_ack with a number",
    SelfOnlyShown = "a join_ack with its reader alone",
    JoinDenied = "a join denied by a rule",
    PublishDenied = "a message denied by a rule",
    DirectDenied = "a direct message denied by a rule",
    SlowRule = "a rule waits",
    AllowedAfterWait = "allowed after a wait",
    DeniedAfterWait = "denied after a wait",
    RulePanics = "a rule panics",
    RulePanicsAfterWait = "a rule panics after a wait",
    AnswerAfterClose = "a rule answers for one that it has closed",
    DeniedInside = "a join denied to one that was put into the room meanwhile",
    ClosedByAnswer = "closed for what came of an answer",
    HandlerAfterRule = "a handler after a rule",
    ClosedForRate = "closed for its rate",
    ClosedForViolations = "closed for too many rejected_packets",
    ClosedWithMoreInput = "closed for either with more that came in at once",
    ClosedBeforeClose = "closed for either just before it would have closed itself",
    NoSharedRoom = "refused: no common room",
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
    CloseOverflowsOther = "a close whose notice is too much for another",
    // One for each of `Bad`, in its order.
    BadReservedBits = "reserved bits",
    BadUnmasked = "an unmasked frame",
    BadContinuation = "a continuation of nothing",
    BadInside = "a message inside another",
    BadOpcode = "an unknown opcode",
    BadLongPing = "a ping too long",
    BadCutPing = "a ping in pieces",
    BadHalfCode = "half a close code",
    BadWrongCode = "a close code of nobody's",
    BadCloseText = "a close reason that is no text",
    BadTextBytes = "a text that is none",
    BadTopBit = "a length with its top bit set",
    BadFragments = "too many fragments",
    BadShortPacket = "a packet cut short",
    BadLongPacket = "a packet with something behind it",
    BadPastEnd = "a field beyond the packet's end",
    BadNameBytes = "a name that is no text",
}

impl Marks {
    /// Somebody was closed for this.
    pub fn violation(&mut self, violation: Violation) {
        self.0 |= 1 << (Mark::BadReservedBits as u8 + violation as u8);
    }

    /// A rule has answered.
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

    /// Something that was due has come.
    pub fn frame(&mut self, item: &ExpectedItem) {
        let mark = match item.what {
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

    /// A close frame has come.
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
