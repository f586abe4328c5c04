//! Seats: the rooms of one connection or guest.

use std::ops::{Deref, DerefMut};

use crate::keys::RoomKey;

/// An entry in a connection's list of rooms. The default is the null seat.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seat {
    pub(crate) room: RoomKey,
    /// The index into the room's members.
    pub(crate) member_index: u32,
}

/// A list of seats. Most connections are in `root` and one other room, for which no allocation is
/// needed.
#[derive(Debug)]
pub(crate) enum Seats {
    Few(u8, [Seat; 2]),
    Many(Vec<Seat>),
}

impl Seats {
    pub(crate) fn push(&mut self, seat: Seat) {
        match self {
            Seats::Few(len @ 0..2, seats) => {
                seats[usize::from(*len)] = seat;
                *len += 1;
            }
            Seats::Few(_, [first, second]) => *self = Seats::Many(vec![*first, *second, seat]),
            Seats::Many(seats) => seats.push(seat),
        }
    }

    /// Removes the seat at an index, and moves the last seat into the gap.
    pub(crate) fn swap_remove(&mut self, index: usize) -> Seat {
        match self {
            Seats::Few(len, seats) => {
                *len -= 1;
                let removed = seats[index];
                seats[index] = seats[usize::from(*len)];
                removed
            }
            Seats::Many(seats) => {
                let removed = seats.swap_remove(index);
                // Convert back at one seat, not at two, so that switching between rooms does not
                // allocate each time.
                if let [last] = seats[..] {
                    *self = Seats::Few(1, [last, Seat::default()]);
                }
                removed
            }
        }
    }
}

impl Default for Seats {
    fn default() -> Self {
        Seats::Few(0, [Seat::default(); 2])
    }
}

impl Deref for Seats {
    type Target = [Seat];

    #[inline]
    fn deref(&self) -> &[Seat] {
        match self {
            Seats::Few(len, seats) => &seats[..usize::from(*len)],
            Seats::Many(seats) => seats,
        }
    }
}

impl DerefMut for Seats {
    #[inline]
    fn deref_mut(&mut self) -> &mut [Seat] {
        match self {
            Seats::Few(len, seats) => &mut seats[..usize::from(*len)],
            Seats::Many(seats) => seats,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inline_and_heap_seats_behave_equally() {
        let (mut seats, mut expected) = (Seats::default(), Vec::new());
        let indices =
            |seats: &[Seat]| seats.iter().map(|seat| seat.member_index).collect::<Vec<_>>();
        // Positive steps add a seat; negative ones remove the seat at that index from the end.
        for step in [1, 2, 3, -1, 4, 5, -3, -2, -2, -1, 6, 7, 8, -1, -1, -1] {
            if step > 0 {
                seats.push(Seat { member_index: step as u32, ..Seat::default() });
                expected.push(step as u32);
            } else {
                let index = (expected.len() as i32 + step) as usize;
                assert_eq!(seats.swap_remove(index).member_index, expected.swap_remove(index));
            }
            assert_eq!(indices(&seats), expected);
            assert!(expected.len() != 1 || matches!(seats, Seats::Few(..)));
        }
    }

    #[test]
    fn few_seats_need_no_allocation() {
        let mut seats = Seats::default();
        seats.push(Seat::default());
        seats.push(Seat::default());
        assert!(matches!(seats, Seats::Few(2, _)));
    }
}
