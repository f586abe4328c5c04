//! The items of a body.

use super::cursor::Cursor;
use super::{FrameError, Item};

/// The items of a body, in order. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Items<'a>(Cursor<'a>);

impl<'a> Items<'a> {
    /// Decodes the items of a body one by one.
    #[must_use]
    pub fn new(body: &'a [u8]) -> Self {
        Items(Cursor(body))
    }

    /// Returns the number of bytes that are not decoded yet. The last decoded item ends before them.
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
                Ok(None) => {} // A kind of a later version.
                Ok(Some(item)) => return Some(Ok(item)),
                Err(error) => {
                    // The length may be the damaged part: what follows cannot be trusted to start
                    // at an item.
                    self.0.0 = &[];
                    return Some(Err(error));
                }
            }
        }
        None
    }
}
