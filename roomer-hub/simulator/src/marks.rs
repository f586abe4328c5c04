//! The situations that plans have to get into: a run that never gets into one proves nothing
//! about it.

/// Declares the marks, in order, with their names.
macro_rules! marks {
    ($($mark:ident = $name:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mark { $($mark),* }

        /// Their names, in order.
        pub const MARKS: &[&str] = &[$($name),*];
    };
}

marks! {
    Reserved = "refused: a reserved event",
    NotMember = "refused: not a member",
    LongName = "refused: a long name",
    TooManyRooms = "refused: too many rooms",
    UnknownDst = "refused: unknown dst",
    JoinRefusedForName = "a join refused for its name",
    JoinRefusedForRooms = "a join refused for the number of rooms",
    NameAtLimit = "a name exactly at its limit",
    NameOverLimit = "a name one byte over its limit",
    EventAtLimit = "an event exactly at its limit",
    EventOverLimit = "an event one byte over its limit",
    RoomsAtLimit = "the last room that a connection may be in",
    RootRefused = "a connection that does not even get into root",
    RoomReborn = "a room reborn under its old name",
    RebornAtOnce = "a room reborn in the step after its end",
    Rejoin = "a repeated join",
    RejoinAnnounced = "a repeated join that is announced",
    LeaveTwice = "a leave of a room that one is not in",
    LeaveNowhere = "a leave of a room that there is not",
    RootLeft = "root left while the connection stays",
    RootAgain = "root joined again",
    Crowded = "a room of five",
    BroadcastToFour = "a broadcast to four",
    BroadcastToNobody = "a broadcast that nobody hears",
    ForeignRoom = "a broadcast from outside, delivered",
    ForeignCommand = "a command's broadcast for one who is not in the room",
    FromNobody = "a command on nobody's behalf",
    CommandNowhere = "a command into a room that there is not",
    ToOneself = "a message to oneself",
    ToStranger = "a message to somebody in no common room",
    WrongCase = "an id in upper case",
    ForgedSource = "a forged source",
    IdInUse = "an id in use",
    IdAgain = "an id of one that has gone",
    ToIdAgain = "a message to an id that was somebody else's",
    SlotReused = "a slot reused right after a death",
    Stale = "a stale key",
    StaleReused = "a stale key whose slot is somebody else's",
    GoneTwice = "gone twice",
    GoneEmptiesRoom = "a disconnect that empties a room",
    GoneFromThree = "a disconnect from three rooms",
    CloseEmptiesRoom = "a close that empties a room",
    CloseFromThree = "a close of one with three rooms",
    GoneFromNoRoom = "a disconnect of one in no room",
    Emptied = "the last connection gone and a new one opened",
    Call = "a handler called",
    CallFromOutside = "a handler called for a room that one is not in",
    CallInNoRoom = "a handler called for a room that there is not",
    HandlerClosesCaller = "a handler that closes its caller",
    HandlerClosesOther = "a handler that closes another in the room of the message",
    HandlerGoesOn = "a handler that asks for its caller after closing it",
    HandlerMoves = "a handler that moves its caller",
    HandlerBroadcasts = "a handler that broadcasts",
    HandlerCallsItself = "a handler that sends the event that it handles",
    EmptyRoomName = "a room without a name",
    EmptyEvent = "an event without a name",
    Prefixes = "two rooms, one's name the beginning of the other's",
    CasesDiffer = "two rooms whose names differ in case",
    SizeOfFrame = "a payload at a step of the framing",
    Large = "a payload above 64 KiB",
    ClockBack = "a clock that goes back",
    ClockStands = "two connections opened at one moment",
    PageFull = "a snapshot of one full page",
    PageNew = "a snapshot one member above a page",
    TwoPages = "a snapshot above two pages",
    PageGivenUp = "a room that shrinks to a full page",
    AskedAndAllowed = "a packet that the application was asked about and allowed",
    AskedAndDenied = "a packet that the application was asked about and denied",
    JoinDenied = "a join that the application denied",
    AnswerTooLate = "an answer about one who has gone meanwhile",
    OwnAlone = "a join_ack that shows the joiner alone",
    Counted = "a join_ack that is a number",
    HoleInPage = "a leave of a room of more than a page",
    NoCommonRoom = "refused: no common room",
    RootInCommon = "refused: nothing but root in common",
    PartedMeanwhile = "a message that is allowed when no room is common any more",
    Roommate = "a message to somebody in a common room, when it must be",
    AloneToOneself = "a message to oneself from no room, when it must be a common one",
    TooManyMessages = "closed for the number of its messages",
    TooManyBytes = "closed for the bytes of its messages",
    TooManyJoins = "closed for the number of its joins",
    TooManyStrikes = "closed for what was refused",
    ExpelledFromThree = "closed for any of that while in three rooms",
    LastMessage = "the last message of a burst",
    LastByte = "the last byte of a burst",
    LastJoin = "the last join of a burst",
    LastStrike = "the last refusal before the end",
    OneByteOver = "one byte more than a burst",
    TooEarly = "a part of a token is missing",
    PassesByTime = "what passes because time has passed",
    RunsOver = "a bucket that stays full however long the pause",
    FilledByClock = "a bucket filled by a clock that goes back",
    AllowedForFree = "a packet that is allowed after its sender has used up its rate",
    StruckLate = "a packet that is allowed and refused all the same",
    SparedUnknownDst = "unknown dst of one whose next refusal is its end",
    SparedCommand = "a refused command for one whose next refusal is its end",
}

/// Those that there have been, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen(pub u128);

impl Seen {
    pub fn mark(&mut self, is_so: bool, mark: Mark) {
        self.0 |= u128::from(is_so) << mark as u8;
    }
}

const _: () = assert!(MARKS.len() <= 128);
