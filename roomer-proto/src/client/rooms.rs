//! A client's rooms, by name.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytestring::ByteString;

use super::room::Room;

/// Rooms, sorted by name. A map would allocate space for eleven entries up front, but most clients
/// are in few rooms.
#[derive(Debug)]
pub(super) struct Rooms(Vec<(ByteString, Box<Room>)>);

impl Rooms {
    /// Creates a list with one room, and space for a second one.
    pub(super) fn new(name: ByteString, room: Room) -> Self {
        let mut rooms = Vec::with_capacity(2);
        rooms.push((name, Box::new(room)));
        Rooms(rooms)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Room> {
        self.find(name).ok().map(|at| &*self.0[at].1)
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Room> {
        self.find(name).ok().map(|at| &mut *self.0[at].1)
    }

    /// Returns a room with its name, which is cheap to clone.
    pub(super) fn entry_mut(&mut self, name: &str) -> Option<(&ByteString, &mut Room)> {
        let at = self.find(name).ok()?;
        let (name, room) = &mut self.0[at];
        Some((name, room))
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    /// Returns a room, which is added if there is none with this name.
    pub(super) fn get_or_insert(&mut self, name: &str) -> (&ByteString, &mut Room) {
        let at = self.find(name).unwrap_or_else(|at| {
            self.0.insert(at, (name.into(), Box::default()));
            at
        });
        let (name, room) = &mut self.0[at];
        (name, room)
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<(ByteString, Box<Room>)> {
        self.find(name).ok().map(|at| self.0.remove(at))
    }

    /// Removes and returns the rooms for which `is_finished` returns true.
    pub(super) fn extract(&mut self, is_finished: impl Fn(&Room) -> bool) -> Vec<ByteString> {
        self.0.extract_if(.., |(_, room)| is_finished(room)).map(|(name, _)| name).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&ByteString, &Room)> {
        self.0.iter().map(|(name, room)| (name, &**room))
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Room> {
        self.0.iter_mut().map(|(_, room)| &mut **room)
    }

    pub(super) fn clear(&mut self) {
        self.0 = Vec::new();
    }

    /// Returns the index of a room, or the index at which to insert it.
    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| (**other).cmp(name))
    }
}
