//! Kinds and limits of messages, and reassembly of fragmented messages.

use alloc::vec::Vec;

use super::violation::Violation;

/// The kind of a message.
///
/// The enum is exhaustive: RFC 6455 defines no other kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text, validated as UTF-8.
    Text,
    /// A binary message. Packets are binary messages.
    Binary,
}

/// Limits on messages received from a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The maximum length of a message in bytes, including all fragments. Checked when a frame's
    /// header is received, before its payload is read. Default 16 MiB, as in the Go original.
    pub max_message: usize,
    /// The maximum number of fragments of a message, which bounds the number of empty fragments.
    /// Large messages may have more; see [`mean_fragment`](Self::mean_fragment). Default 1,024.
    pub max_fragments: u32,
    /// A message may have one fragment in addition to [`max_fragments`](Self::max_fragments) for
    /// every `mean_fragment` bytes of its length, rounded down, so that the cost of fragments stays
    /// proportional to the bytes that they carry. Default 256, so a message of 5 MiB may have
    /// 21,504 fragments. With 0, no message may have more than `max_fragments`.
    pub mean_fragment: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_message: 16 * 1024 * 1024, max_fragments: 1024, mean_fragment: 256 }
    }
}

impl Limits {
    /// Returns true if a message of this length may have this many fragments.
    fn allow(&self, fragments: u32, bytes: usize) -> bool {
        // `checked_div` returns `None` for 0, which disables additional fragments.
        let more = bytes.checked_div(self.mean_fragment).unwrap_or(0);
        u64::from(fragments) <= u64::from(self.max_fragments) + more as u64
    }
}

/// A fragmented message, kept from its first fragment until its event has been consumed.
#[derive(Debug)]
pub(super) struct FragmentedMessage {
    pub(super) kind: Kind,
    pub(super) is_compressed: bool,
    pub(super) data: Vec<u8>,
    fragments: u32,
    /// The length of the prefix that is known to be valid UTF-8.
    checked: usize,
    /// True once the last fragment has been added. The message is then reported.
    pub(super) is_complete: bool,
}

impl FragmentedMessage {
    pub(super) fn new(kind: Kind, is_compressed: bool) -> Self {
        FragmentedMessage {
            kind,
            is_compressed,
            data: Vec::new(),
            fragments: 0,
            checked: 0,
            is_complete: false,
        }
    }

    /// Appends a fragment. Checks the number of fragments, and validates text.
    pub(super) fn add(
        &mut self,
        data: &[u8],
        is_last: bool,
        limits: &Limits,
    ) -> Result<(), Violation> {
        self.fragments += 1;
        // Check before copying. Without this check, empty fragments of six bytes each could keep a
        // message open forever.
        if !limits.allow(self.fragments, self.data.len() + data.len()) {
            return Err(Violation::too_big("message has too many fragments"));
        }
        // `admit` has already checked the message's length, when the frame's header arrived.
        self.data.extend_from_slice(data);
        self.is_complete = is_last;
        // Invalid text is rejected with the first invalid fragment (RFC 6455 section 8.1),
        // before more of it is stored.
        if self.kind == Kind::Text && !self.is_compressed {
            self.check_text(is_last)?;
        }
        Ok(())
    }

    /// Validates the new part of a text message. A fragment may end inside a character, but the
    /// message may not.
    fn check_text(&mut self, is_last: bool) -> Result<(), Violation> {
        // Do not restart from the beginning: the cost would be quadratic in the number of
        // fragments.
        match core::str::from_utf8(&self.data[self.checked..]) {
            Ok(_) => self.checked = self.data.len(),
            // `error_len` is `None` if the text ends inside a character, which the next
            // fragment may complete.
            Err(error) if error.error_len().is_none() && !is_last => {
                self.checked += error.valid_up_to();
            }
            Err(_) => return Err(Violation::invalid_payload("text is not UTF-8")),
        }
        Ok(())
    }
}
