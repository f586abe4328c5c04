//! Converts the plan's steps for peers into inputs for the hub.

use roomer_proto::PacketRef;

use super::op::{PEERS, PeerOp};
use crate::alphabet::{TAGS, id_number, noise, tagged};
use crate::hub::op::Op;
use crate::hub::plan::{Address, Payload, Step};

/// Resolves a step to an input. Returns `None` if the step does not concern peers.
pub fn resolve(step: Step, address: &dyn Fn(Address) -> &'static str) -> Option<Op> {
    let message = |room, event, dst, src, Payload(from, len): Payload| {
        let (dst, src, payload) = (address(dst), address(src), noise(from, len));
        PacketRef { room, event, dst, src, payload }
    };
    let (peer, op) = match step {
        Step::PeerUp { peer, tag } => (peer, PeerOp::Up { tag: tag % TAGS }),
        Step::PeerGone { peer } => (peer, PeerOp::Gone),
        Step::GuestJoined { peer, room, guest } => {
            (peer, PeerOp::Joined { room, guest: tagged(guest) })
        }
        Step::GuestLeft { peer, room, guest } => {
            (peer, PeerOp::Left { room, guest: tagged(guest) })
        }
        Step::GuestCount { peer, room, members } => (peer, PeerOp::Count { room, members }),
        Step::PeerBroadcast { peer, except, room, event, dst, src, payload } => {
            let except = id_number(address(except).as_bytes());
            let packet = message(room, event, dst, src, payload);
            (peer, PeerOp::Broadcast { except, packet })
        }
        Step::PeerDirect { peer, room, event, dst, src, payload } => {
            (peer, PeerOp::Direct { packet: message(room, event, dst, src, payload) })
        }
        _ => return None,
    };
    Some(Op::Peer { peer: peer % PEERS as u8, op })
}
