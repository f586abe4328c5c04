//! Messages: their kinds, their limits, and those whose fragments are still arriving.

use alloc::vec::Vec;

use super::violation::Violation;

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text; a session has checked that it is UTF-8.
    Text,
    /// A binary message, which packets are.
    Binary,
}

/// Limits on the messages of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The maximum length of a message in bytes, all fragments together, inclusive. Checked when a
    /// frame's header is received, before its payload is read. Default 16 MiB, as in the Go
    /// original.
    pub max_message: usize,
    /// The maximum number of fragments of a message, so that empty fragments cannot go on without
    /// end; large messages may have more, see [`mean_fragment`](Self::mean_fragment). Default
    /// 1,024.
    pub max_fragments: u32,
    /// The number of bytes for each of which a message may have one fragment above
    /// [`max_fragments`](Self::max_fragments), so that the cost of fragments is bounded by the
    /// bytes that they carry, however large the message is. Default 256: a message of 5 MiB may
    /// have 21,504 fragments. With 0, no message may have more than `max_fragments`.
    pub mean_fragment: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_message: 16 * 1024 * 1024, max_fragments: 1024, mean_fragment: 256 }
    }
}

impl Limits {
    /// Returns true if a message of this length may have this number of fragments.
    fn allow(&self, fragments: u32, bytes: usize) -> bool {
        // `checked_div` fails for 0 bytes, which stands for no additional fragments.
        let more = bytes.checked_div(self.mean_fragment).unwrap_or(0);
        u64::from(fragments) <= u64::from(self.max_fragments) + more as u64
    }
}

/// A message in fragments, from its first fragment until its event was used.
#[derive(Debug)]
pub(super) struct FragmentedMessage {
    pub(super) kind: Kind,
    pub(super) is_compressed: bool,
    pub(super) data: Vec<u8>,
    fragments: u32,
    /// The length of the beginning of a text that is known to be UTF-8.
    checked: usize,
    /// True once the last fragment was added, which reports the message.
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

    /// Appends a fragment.
    pub(super) fn add(
        &mut self,
        data: &[u8],
        is_last: bool,
        limits: &Limits,
    ) -> Result<(), Violation> {
        self.fragments += 1;
        // Before the fragment is copied. Without this check empty fragments, six bytes each on the
        // wire, would hold a message open without end.
        if !limits.allow(self.fragments, self.data.len() + data.len()) {
            return Err(Violation::too_big("message has too many fragments"));
        }
        // The limit on the message's length was checked by `admit`, with the frame's header.
        self.data.extend_from_slice(data);
        self.is_complete = is_last;
        // A text that is broken is rejected with the fragment that breaks it (RFC 6455 section
        // 8.1), before more of it is stored.
        if self.kind == Kind::Text && !self.is_compressed {
            self.check_text(is_last)?;
        }
        Ok(())
    }

    /// Checks the new part of a text. A fragment may end inside a character, the message may not.
    fn check_text(&mut self, is_last: bool) -> Result<(), Violation> {
        // Not from the start: a text in many fragments would be read again for each of them.
        match core::str::from_utf8(&self.data[self.checked..]) {
            Ok(_) => self.checked = self.data.len(),
            // No length: the end is missing, which the next fragment may bring.
            Err(error) if error.error_len().is_none() && !is_last => {
                self.checked += error.valid_up_to();
            }
            Err(_) => return Err(Violation::invalid_payload("text is not UTF-8")),
        }
        Ok(())
    }
}
