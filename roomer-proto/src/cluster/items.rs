//! An iterator over the items of a frame's body.

use super::cursor::Cursor;
use super::{FrameError, Item};

/// An iterator over the items of a body, in order. It ends after the first error.
#[derive(Clone, Debug)]
pub struct Items<'a>(Cursor<'a>);

impl<'a> Items<'a> {
    /// Creates an iterator that decodes one item at a time.
    #[must_use]
    pub fn new(body: &'a [u8]) -> Self {
        Items(Cursor(body))
    }

    /// Returns the number of bytes after the last decoded item.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.0.0.len()
    }

    fn decode(&mut self) -> Result<Option<Item<'a>>, FrameError> {
        let kind = self.0.u8("item")?;
        Item::decode(kind, self.0.prefixed("item")?)
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.0.0.is_empty() {
            match self.decode() {
                Ok(None) => {} // A kind from a later version.
                Ok(Some(item)) => return Some(Ok(item)),
                Err(error) => {
                    // The damaged part may be the length, so the next item's offset is unknown.
                    self.0.0 = &[];
                    return Some(Err(error));
                }
            }
        }
        None
    }
}
