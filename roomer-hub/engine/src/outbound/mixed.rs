//! Parts of a room's batch restricted to its plain or extended members.

use std::ops::Range;

use roomer_hub::{Audience, ConnKey, Members, RoomKey};
use roomer_proto::PacketRef;

use crate::outbound::Outbound;

/// A range of frames restricted to members of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Restriction {
    pub(super) start: usize,
    pub(super) end: usize,
    /// True if the range is for extended members, false if it is for plain ones.
    pub(super) is_extended: bool,
}

/// The position of a member count in the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Iterates over the parts of a range that members of one kind receive. `restrictions` must be
/// sorted and must not overlap, and each must consist of whole frames.
pub(super) fn included_for(
    restrictions: &[Restriction],
    is_extended: bool,
    range: Range<usize>,
) -> impl Iterator<Item = Range<usize>> + Clone {
    // Use binary search, since a member excluded from many messages receives many ranges.
    let first = restrictions.partition_point(|restriction| restriction.end <= range.start);
    let others = restrictions[first..].iter().filter(move |other| other.is_extended != is_extended);
    // An empty restriction at the end of the range makes the iterator return the part after the
    // last restriction.
    let end = range.end..range.end;
    let others = others.map(|other| other.start..other.end).chain(std::iter::once(end));
    let mut at = range.start;
    let mut is_done = false;
    others.filter_map(move |other| {
        if is_done {
            return None;
        }
        let part = at..other.start.min(range.end);
        at = at.max(other.end);
        is_done = at >= range.end;
        (part.start < part.end).then_some(part)
    })
}

impl Outbound {
    /// Adds a member count to the room's batch. Returns false if the count replaces one that has
    /// not been sent yet.
    pub(crate) fn count(
        &mut self,
        room: RoomKey,
        members: Members<'_>,
        except: Option<ConnKey>,
        audience: Audience,
        packet: &PacketRef<'_>,
    ) -> bool {
        let has_replaced = self.batches.get_mut(room).is_some_and(|batch| batch.take_count());
        let start = self.batches.get(room).map_or(0, |batch| batch.frames.len());
        self.broadcast(room, members, except, audience, packet);
        // The batch is empty if `broadcast` delivered it immediately.
        if let Some(batch) = self.batches.get_mut(room).filter(|batch| !batch.frames.is_empty()) {
            batch.mark_count(start);
        }
        !has_replaced
    }
}

#[cfg(test)]
mod tests {
    use roomer_hub::{Audience, ConnKey};

    use crate::outbound::Chunk;
    use crate::outbound::batch::RoomBatch;

    /// A member with the list of all frames that it must receive.
    struct Receiver {
        conn: ConnKey,
        is_extended: bool,
        due: Vec<u8>,
        got: Vec<u8>,
    }

    /// A generator of small numbers (splitmix64).
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, limit: u64) -> usize {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            ((mixed ^ (mixed >> 27)) % limit) as usize
        }
    }

    fn keys() -> Vec<ConnKey> {
        (1..5).map(ConnKey::from_u64).collect()
    }

    /// Sends random messages, notices, joins and early deliveries, and checks that each member
    /// receives its own frames, in order.
    #[test]
    fn each_protocol_gets_own_notices_in_order() {
        for seed in 0..300 {
            let mut numbers = Numbers(seed);
            let mut batch = RoomBatch::default();
            let mut members: Vec<Receiver> = keys()
                .into_iter()
                .enumerate()
                .map(|(at, conn)| Receiver {
                    conn,
                    is_extended: at % 2 == 0,
                    due: Vec::new(),
                    got: Vec::new(),
                })
                .collect();
            for step in 0..40 {
                let chosen = numbers.below(4);
                let start = batch.frames.len();
                // Frames have different lengths, and each consists of one repeated letter.
                let frame = vec![b'a' + (step % 26) as u8; 1 + numbers.below(3)];
                match numbers.below(6) {
                    kind @ 0..=2 => {
                        let audience = [Audience::All, Audience::Plain, Audience::Extended][kind];
                        batch.frames.extend_from_slice(&frame);
                        batch.restrict(start, audience);
                        batch.exclude(members[chosen].conn, start);
                        for (at, member) in members.iter_mut().enumerate() {
                            let is_for = audience == Audience::All
                                || member.is_extended == (audience == Audience::Extended);
                            if is_for && at != chosen {
                                member.due.extend_from_slice(&frame);
                            }
                        }
                    }
                    3 => {
                        // The member leaves and rejoins, so deliver the frames collected for it
                        // first.
                        let member = &mut members[chosen];
                        member.got.extend(batch.pending_for(member.conn, member.is_extended));
                        batch.exclude(member.conn, 0);
                        assert_eq!(member.got, member.due, "seed {seed}");
                    }
                    4 => {
                        let sealed = batch.seal();
                        for member in &mut members {
                            let push = |chunk: Chunk| member.got.extend(chunk.bytes);
                            match sealed.is_mixed() {
                                true => sealed.mixed_chunks(member.conn, member.is_extended, push),
                                false => sealed.chunks(member.conn, member.is_extended, push),
                            }
                            assert_eq!(member.got, member.due, "seed {seed}");
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    /// Sends member counts between messages and joins, and checks that the last count received by
    /// each member that receives counts is the current one.
    #[test]
    fn consecutive_position_notices_are_merged() {
        for seed in 0..300 {
            let mut numbers = Numbers(seed);
            let (mut batch, members) = (RoomBatch::default(), keys());
            let is_extended = |at: usize| at.is_multiple_of(2);
            let audience = [Audience::All, Audience::Extended][seed as usize % 2];
            // The current count, the number of messages, and the count in each member's last
            // `join_ack`.
            let (mut number, mut messages) = (0, 0);
            let mut known = [0; 4];
            let mut got: Vec<Vec<u8>> = vec![Vec::new(); 4];
            for _ in 0..40 {
                let chosen = numbers.below(4);
                match numbers.below(4) {
                    0 => {
                        number += 1;
                        batch.take_count();
                        let start = batch.frames.len();
                        batch.frames.extend(std::iter::repeat_n(number, 1 + numbers.below(2)));
                        batch.restrict(start, audience);
                        batch.exclude(members[chosen], start);
                        batch.mark_count(start);
                        // The member has joined, and its `join_ack` contains the count.
                        known[chosen] = number;
                    }
                    1 => {
                        messages += 1;
                        batch.frames.push(200);
                    }
                    2 => {
                        let conn = members[chosen];
                        got[chosen].extend(batch.pending_for(conn, is_extended(chosen)));
                        batch.exclude(conn, 0);
                    }
                    _ => {}
                }
            }
            let sealed = batch.seal();
            for (at, conn) in members.iter().enumerate() {
                sealed.mixed_chunks(*conn, is_extended(at), |chunk| got[at].extend(chunk.bytes));
                let is_for = audience == Audience::All || is_extended(at);
                let announced = got[at].iter().rev().find(|byte| **byte < 200).copied();
                let last = announced.unwrap_or_default().max(known[at]);
                assert_eq!(last, if is_for { number } else { known[at] }, "seed {seed}, {at}");
                let received = got[at].iter().filter(|byte| **byte == 200).count();
                assert_eq!(received, messages, "seed {seed}: no message is lost with a number");
                // A member never receives an older count after a newer one.
                let ordered = got[at].iter().filter(|byte| **byte < 200).is_sorted();
                assert!(ordered, "seed {seed}: {:?}", got[at]);
            }
        }
        let mut batch = RoomBatch::default();
        for number in 0..1000 {
            batch.take_count();
            let start = batch.frames.len();
            batch.frames.extend_from_slice(&[number as u8; 4]);
            batch.mark_count(start);
        }
        assert_eq!(batch.frames, [231; 4]);
    }
}
