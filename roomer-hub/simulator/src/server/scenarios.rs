//! Generates sequences of steps that random choices would rarely produce.

use super::generate::{PAUSES, Swarm, any_address, client_frame, payload, room, time};
use super::plan::{
    AppAction, AuthHook, Cap, ClientFrame, Flush, Form, Hooks, Plan, RequestKind, RuleAnswers,
    Script, Setup, Size, Step,
};
use crate::hub::plan::{Address, ClientRef, DEFAULT_RATES, Mode, Payload};
use crate::random::Source;

/// Connects so many clients that a snapshot has several chunks. The last clients do not read all of
/// their snapshots.
pub(super) fn crowd(source: &mut impl Source, steps: &mut Vec<Step>) {
    let count = 101 + source.below(8);
    for number in 0..count {
        // Slots are used again. The earlier connection in a slot stays open, but no further steps
        // refer to it.
        let slot = (number % 30) as u8;
        steps.push(Step::Connect { slot, request: RequestKind::Upgrade });
        // The `join_ack`s of the last clients are the longest.
        if number + 2 > count {
            steps.push(Step::SocketSpace { slot, bytes: 100 + source.below(4500) });
        }
        steps.push(Step::Deliver { slot, bytes: u32::MAX });
        steps.push(Step::PollWoken { nth: 0 });
    }
    steps.push(Step::RunUntilIdle);
    for slot in [0, 1, 2] {
        let (dst, src) = (Address::Nothing, Address::Nothing);
        let (room, event, payload) = ("root", "cha", Size::Bytes(Payload(0, 200)));
        let frame = ClientFrame::Packet { room, event, dst, src, payload, form: Form::Whole };
        steps.push(Step::Send { slot, frame });
        steps.push(Step::Deliver { slot, bytes: u32::MAX });
        steps.push(Step::RunFor { millis: 60 });
    }
    steps.push(Step::RunFor { millis: source.pick(&[100, 1500, 12_000]) });
}

/// Fills the queue of a client that does not read, exactly or nearly to its limit, and then sends
/// more.
pub(super) fn fill_queue(
    source: &mut impl Source,
    swarm: &Swarm,
    slot: u8,
    steps: &mut Vec<Step>,
) -> Step {
    let mut from = source.below(swarm.slots) as u8;
    let hard = source.one_in(2);
    let mut millis = source.pick(&[20, 60, 60]);
    let waits = swarm.slow && source.one_in(2);
    if waits {
        // Call the handler of another client, while the server still treats the receiver as
        // congested.
        (from, millis) = ((slot + 1) % swarm.slots as u8, 1);
    }
    // If the client has called a handler, the application has its handle, and can send to it.
    let known = source.one_in(3);
    if known {
        let (room, event, form, dst) = ("root", "chat", Form::Whole, Address::Nothing);
        let payload = Size::Bytes(payload(source));
        let frame = ClientFrame::Packet { room, event, dst, src: dst, payload, form };
        steps.extend([
            Step::Send { slot, frame },
            Step::Deliver { slot, bytes: u32::MAX },
            Step::RunUntilIdle,
        ]);
    }
    steps.push(Step::SocketSpace { slot, bytes: source.pick(&[0, 0, 1, 50]) });
    let mut send = |payload, calls| {
        let (dst, src) = (Address::Id(ClientRef::Slot(slot)), Address::Nothing);
        let (room, event, form) = ("root", "cha", Form::Whole);
        let frame = ClientFrame::Packet { room, event, dst, src, payload, form };
        steps.push(Step::Send { slot: from, frame });
        if calls {
            let (event, dst, payload) = ("chat", Address::Nothing, Size::Bytes(Payload(2, 2)));
            let frame = ClientFrame::Packet { room, event, dst, src, payload, form };
            steps.push(Step::Send { slot: from, frame });
        }
        steps.push(Step::Deliver { slot: from, bytes: u32::MAX });
        // Because of the congestion, the server pauses the senders for some time.
        steps.push(Step::RunFor { millis });
    };
    if hard || waits {
        for _ in 0..1 + source.below(4) {
            send(Size::Queue { slot, hard: false, more: 1 }, false);
        }
    }
    send(Size::Queue { slot, hard, more: source.pick(&[-1, 0, 0, 1]) }, false);
    // The server may pause a sender while that sender's handler is pending.
    send(Size::Bytes(payload(source)), waits);
    if known {
        steps.push(Step::App { slot, action: AppAction::Raw(payload(source)) });
    }
    Step::RunFor { millis: source.pick(&[1, 300, 1100]) }
}

/// Makes a rule allow a message only after its sender has left the room, while the sender's
/// violation bucket is empty. The message must be rejected, without closing the connection.
pub(super) fn answered_too_late(
    source: &mut impl Source,
    setup: &mut Setup,
    steps: &mut Vec<Step>,
) {
    let (wait, action) = (Some(source.pick(&PAUSES)), AppAction::Raw(Payload(1, 1)));
    setup.mode = Mode::Default;
    // The bucket contains a single token, which the message with the reserved event takes.
    setup.rates = [None, None, None, Some((1, 1))];
    setup.authorize[1] = Some(RuleAnswers { allows: 0xff, acting: 0, action, wait, waits: 0xff });
    let slot = 30;
    steps.push(Step::Connect { slot, request: RequestKind::Upgrade });
    for event in ["open", "cha", "cha", "leave"] {
        let (dst, src) = (Address::Nothing, Address::Nothing);
        let (room, payload, form) = ("root", Size::Bytes(payload(source)), Form::Whole);
        let frame = ClientFrame::Packet { room, event, dst, src, payload, form };
        steps.push(Step::Send { slot, frame });
    }
    if source.one_in(2) {
        steps.push(Step::Send { slot, frame: ClientFrame::Close(1000) });
    }
    steps.push(Step::Deliver { slot, bytes: u32::MAX });
    steps.push(if source.one_in(2) { Step::RunUntilIdle } else { Step::Poll { slot } });
    steps.push(Step::App { slot, action: AppAction::Leave { room: "root" } });
    steps.push(Step::RunFor { millis: source.pick(&[1, 60, 4000]) });
}

/// While the permission rule for a client's join is pending, puts the client into that room, or
/// removes it from another. The hook for this event panics.
pub(super) fn moved_while_waiting(
    source: &mut impl Source,
    setup: &mut Setup,
    steps: &mut Vec<Step>,
) {
    let (wait, action) = (Some(source.pick(&[20, 300])), AppAction::Raw(Payload(1, 1)));
    (setup.max_rooms, setup.rates, setup.memory_slack) = (1100, DEFAULT_RATES, None);
    setup.authorize[0] = Some(RuleAnswers { allows: 0, acting: 0, action, wait, waits: 0xff });
    setup.hooks = Some(Hooks { enabled: 15, acting: 0x44, action: AppAction::Panic });
    let (slot, room) = (30, "r");
    let (event, dst, src) = ("join", Address::Nothing, Address::Nothing);
    let (payload, form) = (Size::Bytes(payload(source)), Form::Whole);
    steps.push(Step::Connect { slot, request: RequestKind::Upgrade });
    steps.push(Step::Send {
        slot,
        frame: ClientFrame::Packet { room, event, dst, src, payload, form },
    });
    steps.push(Step::Deliver { slot, bytes: u32::MAX });
    steps.push(Step::RunUntilIdle);
    let leaves = source.one_in(2);
    let action = if leaves { AppAction::Leave { room: "root" } } else { AppAction::Join { room } };
    steps.push(Step::App { slot, action });
    steps.push(Step::RunFor { millis: source.pick(&[1, 60, 4000]) });
}

/// Calls a handler or rule that may wait. While it is pending, sends more messages and causes
/// another event.
pub(super) fn slow_call(
    source: &mut impl Source,
    swarm: &Swarm,
    slot: u8,
    steps: &mut Vec<Step>,
) -> Step {
    let (place, payload) = (room(source, swarm), Size::Bytes(payload(source)));
    let (room, event, dst) = match source.below(6) {
        0 => (place, "join", Address::Nothing),
        1 => ("root", "cha", any_address(source, swarm)),
        _ => ("root", source.pick(&["chat", "ping"]), Address::Nothing),
    };
    let (src, form) = (Address::Nothing, Form::Whole);
    if source.one_in(4) {
        steps.push(Step::Send { slot, frame: ClientFrame::Ping(1) });
    }
    let slow = ClientFrame::Packet { room, event, dst, src, payload, form };
    steps.push(Step::Send { slot, frame: slow });
    for _ in 0..source.below(4) {
        steps.push(Step::Send { slot, frame: client_frame(source, swarm) });
    }
    if source.one_in(4) {
        steps.push(Step::Send { slot, frame: ClientFrame::Close(1000) });
    }
    steps.push(Step::Deliver { slot, bytes: u32::MAX });
    if source.one_in(2) {
        steps.push(Step::RunUntilIdle);
    }
    match source.below(19) {
        0 => steps.push(Step::App { slot, action: AppAction::Close { code: 4000, reason: "bye" } }),
        16 => steps.push(Step::App { slot, action: AppAction::Join { room: "r" } }),
        17 => steps.push(Step::App { slot, action: AppAction::Leave { room: "root" } }),
        18 => steps.push(Step::App { slot, action: AppAction::Join { room: place } }),
        1 => steps.push(Step::Abort { slot }),
        2 => steps.push(Step::Reset { slot }),
        3 => steps.push(Step::FailWrites { slot }),
        4 => steps.push(Step::HalfClose { slot }),
        5 => steps.push(Step::SocketSpace { slot, bytes: source.below(60) }),
        6 => steps.push(Step::Poll { slot }),
        7..11 => {
            steps.push(Step::Send { slot, frame: client_frame(source, swarm) });
            steps.push(Step::Deliver { slot, bytes: u32::MAX });
        }
        _ => {}
    }
    match source.below(4) {
        0 => Step::RunUntilIdle,
        1 => Step::AdvanceClock { millis: time(source) },
        _ => Step::RunFor { millis: source.pick(&[1, 20, 60, 300, 1000, 4000]) },
    }
}

/// Sends a message to more clients than one poll writes to. While it is being written, causes
/// another event.
pub(super) fn large_flush(
    source: &mut impl Source,
    swarm: &Swarm,
    slot: u8,
    steps: &mut Vec<Step>,
) -> Step {
    if source.one_in(3) {
        for slot in 0..swarm.slots as u8 {
            steps.push(Step::Connect { slot, request: RequestKind::Upgrade });
            steps.push(Step::Deliver { slot, bytes: u32::MAX });
        }
        steps.push(Step::RunUntilIdle);
    }
    let other = source.below(swarm.slots) as u8;
    if source.one_in(4) {
        // The sender must have called a handler, so that the application can send on its behalf
        // during a write.
        steps.push(Step::Send { slot, frame: send("root", "chat", payload(source)) });
        steps.push(Step::Deliver { slot, bytes: u32::MAX });
        steps.push(Step::RunUntilIdle);
        let room = if source.one_in(2) { "root" } else { room(source, swarm) };
        steps.push(Step::SendDuringWrite {
            slot: other,
            sender: slot,
            room,
            payload: payload(source),
        });
    }
    steps.push(Step::Send { slot, frame: send("root", "cha", payload(source)) });
    steps.push(Step::Deliver { slot, bytes: u32::MAX });
    // Either poll the task that reads the message, or let the room's delay elapse first.
    steps.push(if source.one_in(4) {
        Step::AdvanceClock { millis: 2 }
    } else {
        Step::PollWoken { nth: 0 }
    });
    poll_some(source, 3, steps);
    for _ in 0..1 + source.below(2) {
        let (slot, place) = (other, room(source, swarm));
        disturb_flush(source, swarm, (slot, place), steps);
        steps.push(Step::Deliver { slot, bytes: u32::MAX });
        poll_some(source, 4, steps);
    }
    if source.one_in(2) { Step::RunUntilIdle } else { Step::PollWoken { nth: 0 } }
}

/// Returns a packet without `dst` and `src`.
fn send(room: &'static str, event: &'static str, payload: Payload) -> ClientFrame {
    let (dst, src, form) = (Address::Nothing, Address::Nothing, Form::Whole);
    ClientFrame::Packet { room, event, dst, src, payload: Size::Bytes(payload), form }
}

/// Adds an event that may affect the room of a large flush, or the connections in it.
fn disturb_flush(
    source: &mut impl Source,
    swarm: &Swarm,
    (slot, place): (u8, &'static str),
    steps: &mut Vec<Step>,
) {
    match source.below(14) {
        0 => steps.push(Step::Abort { slot }),
        1 => steps.push(Step::Reset { slot }),
        2 => steps.push(Step::App { slot, action: AppAction::Close { code: 4000, reason: "bye" } }),
        3 => steps.push(Step::App { slot, action: AppAction::Leave { room: "root" } }),
        4 => steps.push(Step::SocketSpace { slot, bytes: source.below(60) }),
        5 => steps.push(Step::Connect { slot, request: RequestKind::Upgrade }),
        6 => steps.push(Step::Send { slot, frame: ClientFrame::Close(1000) }),
        7 => steps.push(Step::Send { slot, frame: send(place, "join", payload(source)) }),
        8 => steps.push(Step::Send { slot, frame: send(place, "leave", payload(source)) }),
        9 => steps.push(Step::Send { slot, frame: client_frame(source, swarm) }),
        _ => steps.push(Step::Send { slot, frame: send("root", "cha", payload(source)) }),
    }
}

/// Lets two clients from one address be authorized at the same time, although the address is
/// limited to one connection. The server may be drained or stopped in the meantime.
pub(super) fn concurrent_auth(source: &mut impl Source, setup: &mut Setup, steps: &mut Vec<Step>) {
    let wait = Some(source.pick(&[20, 300]));
    setup.auth_hook = Some(AuthHook { admits: u32::MAX, panics: 0, wait, waits: u32::MAX });
    setup.caps[0] = Cap { total: None, per_address: Some(1) };
    // This is longer than the hook's delay, so the handshakes do not time out.
    setup.handshake = 10_000;
    for slot in [25, 26] {
        steps.push(Step::Connect { slot, request: RequestKind::Upgrade });
        steps.push(Step::Deliver { slot, bytes: u32::MAX });
    }
    steps.push(Step::RunUntilIdle);
    match source.below(4) {
        0 => steps.push(Step::Drain),
        1 => steps.push(Step::Shutdown),
        _ => {}
    }
    steps.push(Step::RunFor { millis: 300 });
}

/// Starts and completes a large flush in one poll, thanks to a large chunk size. During its writes,
/// sends a message to the same room.
pub(super) fn input_at_flush_end(source: &mut impl Source, plan: &mut Plan) {
    let Plan { setup, scripts, steps } = plan;
    let workers = source.below(2) as usize;
    setup.flush = Some(Flush { max_inline: 1 + source.below(2) as usize, chunk: 32, workers });
    // Set all limits so high that none of them closes a connection, since the flush needs all
    // connections.
    (setup.rates, setup.max_message, setup.memory_slack) = (DEFAULT_RATES, 1000, None);
    (setup.max_name, setup.max_backlog, setup.caps) = (4096, 5000, [Cap::NONE; 2]);
    if scripts.is_empty() {
        scripts.push(Script { event: "chat", actions: Vec::new() });
    }
    for slot in 25..30 {
        steps.push(Step::Connect { slot, request: RequestKind::Upgrade });
        steps.push(Step::Deliver { slot, bytes: u32::MAX });
    }
    steps.push(Step::RunUntilIdle);
    let (slot, payload) = (25 + source.below(5) as u8, payload(source));
    for event in ["chat", "cha"] {
        let (dst, src, payload) = (Address::Nothing, Address::Nothing, Size::Bytes(payload));
        let frame =
            ClientFrame::Packet { room: "root", event, dst, src, payload, form: Form::Whole };
        steps.push(Step::Send { slot, frame });
        steps.push(Step::Deliver { slot, bytes: u32::MAX });
        steps.push(Step::RunUntilIdle);
        let reader = 25 + source.below(5) as u8;
        steps.push(Step::SendDuringWrite {
            slot: reader,
            sender: slot,
            room: "root",
            payload: Payload(2, 3),
        });
    }
}

/// Adds steps that poll a random number of woken tasks.
fn poll_some(source: &mut impl Source, max: u32, steps: &mut Vec<Step>) {
    for _ in 0..source.below(max) {
        steps.push(Step::PollWoken { nth: source.below(6) as u8 });
    }
}
