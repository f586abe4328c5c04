//! Plans that once failed in ordered rooms.

use roomer_hub::cluster::Loss;
use roomer_simulator::cluster::must_hold;
use roomer_simulator::cluster::plan::{Op, Plan, Setup};

use crate::ORDERED as SETUP;

/// The first home died after it had announced its term only to the receivers of the messages that
/// it had placed. The next home had received none of them and began a lower term, so the receivers
/// rejected the places that it assigned.
#[test]
fn next_home_continues_after_terms_of_dead_home() {
    must_hold(&Plan {
        setup: Setup {
            seed: 4_860_916_266_307_818_185,
            nodes: 5,
            max_delay: 1,
            backlog_bytes: 500,
            held_bytes: 3000,
            ..SETUP
        },
        ops: vec![
            Op::Open { node: 3 },
            Op::Open { node: 4 },
            Op::Open { node: 14 },
            Op::Close { client: 469 },
            Op::Wait(1093),
            Op::Join { client: 527, room: 1 },
            Op::Send { client: 457, room: 1, size: 2549 },
            Op::Wait(6),
            Op::Open { node: 10 },
            Op::Partition { one: 53, other: 57 },
            Op::Join { client: 598, room: 2 },
            Op::Wait(197),
            Op::Crash { node: 43 },
            Op::Join { client: 980, room: 2 },
            Op::Send { client: 366, room: 2, size: 40_450 },
            Op::Open { node: 40 },
            Op::Wait(5063),
            Op::ServerSend { node: 14, room: 0, except: 462 },
            Op::Join { client: 417, room: 1 },
        ],
    });
}

/// The stream to a node began just before the home's term, so the node never received the term.
#[test]
fn new_home_continues_after_earlier_terms() {
    must_hold(&Plan {
        setup: Setup {
            seed: 11_543_716_406_435_825_271,
            nodes: 7,
            repeated: 100,
            journal_bytes: 20_000,
            max_payload: 1000,
            has_info: true,
            ..SETUP
        },
        ops: vec![
            Op::Open { node: 29 },
            Op::Wait(14),
            Op::Open { node: 20 },
            Op::Open { node: 15 },
            Op::Open { node: 14 },
            Op::Open { node: 43 },
            Op::Join { client: 274, room: 3 },
            Op::LinkDown { node: 1 },
            Op::Join { client: 622, room: 3 },
            Op::Wait(500),
            Op::Send { client: 89, room: 3, size: 2610 },
        ],
    });
}

/// When a node became old enough to be the home, the previous home was still placing its own
/// messages.
#[test]
fn home_stops_before_younger_home_starts() {
    must_hold(&Plan {
        setup: Setup { seed: 83_903_097_792_454_269, repeated: 10, ..SETUP },
        ops: vec![
            Op::Stop { node: 1 },
            Op::Wait(6000),
            Op::Restart { node: 1 },
            Op::Open { node: 0 },
            Op::Stop { node: 1 },
            Op::Restart { node: 1 },
            Op::Open { node: 1 },
            Op::Open { node: 1 },
            Op::Join { client: 272, room: 1 },
            Op::Join { client: 810, room: 1 },
        ],
    });
}

/// A home placed a message in a frame that the sender's node lost, and sent its goodbye on the next
/// stream. The next home placed the message a second time.
#[test]
fn message_with_possibly_lost_position_gets_no_second_one() {
    must_hold(&Plan {
        setup: Setup { seed: 3_655_972_978_995_415_723, shares_tag: true, ..SETUP },
        ops: vec![
            Op::Open { node: 0 },
            Op::Open { node: 1 },
            Op::Open { node: 2 },
            Op::Join { client: 219, room: 1 },
            Op::Join { client: 973, room: 1 },
            Op::Join { client: 533, room: 1 },
            Op::Wait(47),
            Op::Send { client: 60, room: 1, size: 28 },
            Op::Send { client: 170, room: 1, size: 31 },
            Op::Wait(31),
            Op::Send { client: 177, room: 1, size: 10 },
            Op::Send { client: 520, room: 1, size: 34 },
            Op::Wait(6000),
            Op::Send { client: 87, room: 1, size: 36 },
            Op::Send { client: 98, room: 1, size: 8 },
            Op::Wait(135),
            Op::Open { node: 0 },
            Op::Wait(127),
            Op::Wait(163),
            Op::Wait(115),
            Op::Send { client: 754, room: 1, size: 26 },
            Op::Send { client: 861, room: 1, size: 19 },
            Op::Send { client: 832, room: 1, size: 3 },
            Op::Wait(156),
            Op::Wait(181),
            Op::Wait(47),
            Op::Join { client: 555, room: 1 },
            Op::Wait(20),
            Op::Send { client: 278, room: 1, size: 4 },
            Op::Send { client: 513, room: 1, size: 2 },
            Op::Wait(300),
            Op::ServerSend { node: 1, room: 1, except: 897 },
            Op::Open { node: 2 },
            Op::Wait(80),
            Op::Send { client: 84, room: 1, size: 37 },
            Op::Stop { node: 1 },
            Op::Wait(2000),
            Op::Restart { node: 1 },
            Op::Open { node: 1 },
            Op::Open { node: 1 },
            Op::Send { client: 291, room: 1, size: 5 },
            Op::Send { client: 510, room: 1, size: 19 },
            Op::LossRate { of_thousand: 300 },
            Op::Stop { node: 1 },
            Op::Wait(56),
            Op::Send { client: 700, room: 1, size: 5 },
            Op::Send { client: 443, room: 1, size: 5 },
            Op::Wait(86),
            Op::Send { client: 954, room: 1, size: 5 },
            Op::Wait(99),
            Op::Send { client: 186, room: 1, size: 5 },
            Op::Wait(2000),
            Op::Restart { node: 1 },
            Op::Open { node: 1 },
            Op::Open { node: 1 },
            Op::Join { client: 364, room: 1 },
            Op::Send { client: 573, room: 1, size: 5 },
            Op::Wait(187),
            Op::Send { client: 867, room: 1, size: 5 },
            Op::Send { client: 540, room: 1, size: 5 },
            Op::Wait(2500),
            Op::Send { client: 980, room: 1, size: 5 },
            Op::Stop { node: 0 },
        ],
    });
}

/// A node that had not found any peers yet placed its clients' messages in a separate term, and
/// then rejected the places that the home assigned.
#[test]
fn starting_node_waits_for_home() {
    must_hold(&Plan {
        setup: Setup { seed: 6_571_120_955_964_788_420, repeated: 100, max_payload: 1000, ..SETUP },
        ops: vec![
            Op::Wait(6073),
            Op::Open { node: 0 },
            Op::Stop { node: 2 },
            Op::Wait(100),
            Op::Restart { node: 2 },
            Op::Open { node: 2 },
            Op::Join { client: 953, room: 1 },
            Op::Join { client: 798, room: 1 },
            Op::Wait(155),
            Op::Send { client: 677, room: 1, size: 5 },
            Op::Send { client: 236, room: 1, size: 5 },
        ],
    });
}

/// A message was submitted after changes of members that the home had not confirmed. The home
/// requested the stream again, and the submission was lost together with the first stream.
#[test]
fn submission_waits_until_home_has_members() {
    must_hold(&Plan {
        setup: Setup { seed: 13_932_543_786_418_053_722, max_delay: 300, ..SETUP },
        ops: vec![
            Op::Open { node: 2 },
            Op::Join { client: 425, room: 1 },
            Op::Send { client: 687, room: 1, size: 5 },
        ],
    });
}

/// The heartbeat of a stopped home arrived after its goodbye. The next home therefore waited for it
/// before it placed a message to its members.
#[test]
fn submission_to_stopping_home_goes_to_next_home() {
    must_hold(&Plan {
        setup: Setup { seed: 10_910_228_802_629_075_637, max_delay: 300, ..SETUP },
        ops: vec![
            Op::Open { node: 0 },
            Op::Open { node: 2 },
            Op::Join { client: 174, room: 1 },
            Op::Join { client: 197, room: 1 },
            Op::Wait(3000),
            Op::Send { client: 630, room: 1, size: 20 },
            Op::Stop { node: 2 },
        ],
    });
}

/// The home died while it had a message from an application, whose node then stopped cleanly. If a
/// member had sent the message, its leave would have revealed the loss. No notice did so here, and
/// the receivers were not closed.
#[test]
fn lost_message_of_stopped_application_closes_receivers() {
    must_hold(&Plan {
        setup: Setup {
            seed: 1_054_123_043_327_649_552,
            max_delay: 300,
            repeated: 10,
            loss: Loss::Close,
            ..SETUP
        },
        ops: vec![
            Op::Open { node: 0 },
            Op::Join { client: 968, room: 1 },
            Op::Wait(6018),
            Op::Open { node: 1 },
            Op::Open { node: 1 },
            Op::Wait(9),
            Op::Stop { node: 2 },
            Op::Restart { node: 2 },
            Op::Wait(1024),
            Op::Send { client: 720, room: 1, size: 5 },
            Op::Wait(48),
            Op::Stop { node: 2 },
            Op::Wait(8),
            Op::Send { client: 585, room: 1, size: 5 },
            Op::Restart { node: 2 },
            Op::Wait(1000),
            Op::ServerSend { node: 1, room: 1, except: 287 },
            Op::Wait(900),
            Op::Stop { node: 1 },
        ],
    });
}

/// On the other side of a partition, a member left, joined again, sent a message and left again.
/// Its node had not kept the message. The checker expected a message whose loss could no longer be
/// revealed.
#[test]
fn unseen_membership_is_not_reported_missing() {
    must_hold(&Plan {
        setup: Setup {
            seed: 7_991_050_930_930_892_615,
            max_delay: 50,
            repeated: 10,
            journal_ms: 100,
            max_payload: 1000,
            shares_tag: true,
            ..SETUP
        },
        ops: vec![
            Op::Open { node: 0 },
            Op::Open { node: 0 },
            Op::Open { node: 1 },
            Op::Open { node: 1 },
            Op::Join { client: 563, room: 1 },
            Op::Open { node: 2 },
            Op::Join { client: 885, room: 1 },
            Op::Join { client: 478, room: 1 },
            Op::Wait(5800),
            Op::Send { client: 980, room: 1, size: 5 },
            Op::Wait(4),
            Op::Send { client: 773, room: 1, size: 5 },
            Op::Wait(1),
            Op::Send { client: 315, room: 1, size: 5 },
            Op::Wait(300),
            Op::Leave { client: 219, room: 1 },
            Op::Leave { client: 185, room: 1 },
            Op::Partition { one: 0, other: 1 },
            Op::Wait(1),
            Op::Join { client: 890, room: 1 },
            Op::Send { client: 445, room: 1, size: 11 },
            Op::Leave { client: 130, room: 1 },
            Op::Partition { one: 1, other: 2 },
            Op::Wait(2),
        ],
    });
}

/// Like the loss above, in a room without member lists, where no leave can reveal it.
#[test]
fn lost_message_without_visible_leave_closes_receivers() {
    must_hold(&Plan {
        setup: Setup {
            seed: 7_776_177_393_116_919_792,
            nodes: 4,
            max_payload: 200,
            loss: Loss::Close,
            ..SETUP
        },
        ops: vec![
            Op::Open { node: 0 },
            Op::Open { node: 1 },
            Op::Open { node: 2 },
            Op::Open { node: 3 },
            Op::Open { node: 3 },
            Op::Join { client: 667, room: 3 },
            Op::Join { client: 469, room: 1 },
            Op::Join { client: 198, room: 3 },
            Op::Wait(11_000),
            Op::Stop { node: 0 },
            Op::Send { client: 117, room: 3, size: 5 },
            Op::Send { client: 693, room: 3, size: 5 },
            Op::Restart { node: 0 },
            Op::Open { node: 0 },
            Op::Open { node: 0 },
            Op::Send { client: 511, room: 3, size: 5 },
            Op::Send { client: 399, room: 1, size: 5 },
            Op::Wait(4),
            Op::Stop { node: 1 },
            Op::Send { client: 725, room: 3, size: 5 },
            Op::Send { client: 635, room: 3, size: 5 },
            Op::Wait(1),
            Op::Restart { node: 1 },
            Op::Wait(900),
            Op::Stop { node: 2 },
        ],
    });
}
