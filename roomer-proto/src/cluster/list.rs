//! Lists of ids and of names inside items.
//!
//! A list is validated as a whole when its item is decoded, so iterating over it cannot fail.

use alloc::vec::Vec;

use super::FrameError;
use super::cursor::{Cursor, prefixed_len, put_prefixed};
use crate::ConnId;

/// The length of an encoded id in bytes.
const ID: usize = 16;

/// A list of connection ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ids<'a>(&'a [[u8; ID]]);

impl<'a> Ids<'a> {
    /// Borrows a list of ids in the form of [`ConnId::to_bytes`].
    #[must_use]
    pub fn new(ids: &'a [[u8; ID]]) -> Self {
        Ids(ids)
    }

    /// Returns the ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = ConnId> + use<'a> {
        self.0.iter().map(|id| ConnId::from_bytes(*id))
    }

    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let (ids, rest) = bytes.as_chunks();
        // An incomplete id at the end means that the list is damaged.
        Cursor(rest).finish()?;
        Ok(Ids(ids))
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        self.0.as_flattened()
    }
}

/// A list of room names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names<'a>(List<'a>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List<'a> {
    Given(&'a [&'a str]),
    /// Encoded names with their lengths, already validated.
    Encoded(&'a [u8]),
}

impl Default for Names<'_> {
    fn default() -> Self {
        Names(List::Given(&[]))
    }
}

impl<'a> Names<'a> {
    /// Borrows a list of names.
    #[must_use]
    pub fn new(names: &'a [&'a str]) -> Self {
        Names(List::Given(names))
    }

    /// Returns the names.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let (given, encoded) = match self.0 {
            List::Given(names) => (names, &[][..]),
            List::Encoded(bytes) => (&[][..], bytes),
        };
        let mut cursor = Cursor(encoded);
        // An error means the end of the list, since `decode` has validated each name.
        let decoded = core::iter::from_fn(move || cursor.name("name").ok());
        given.iter().copied().chain(decoded)
    }

    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let mut cursor = Cursor(bytes);
        while !cursor.0.is_empty() {
            cursor.name("room")?;
        }
        Ok(Names(List::Encoded(bytes)))
    }

    pub(super) fn encoded_len(&self) -> usize {
        self.iter().map(|name| prefixed_len(name.len())).sum()
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        self.iter().for_each(|name| put_prefixed(name.as_bytes(), out));
    }
}
