//! A hash of all output of a run.
//!
//! Unlike the standard library's hashers, it must never change, since expected hashes are
//! committed.

/// A running 64-bit hash of bytes and numbers, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace(u64);

impl Default for Trace {
    fn default() -> Self {
        Trace::new()
    }
}

impl Trace {
    pub fn new() -> Self {
        Trace(0xcbf2_9ce4_8422_2325)
    }

    pub fn number(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(23) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.number(u64::from_le_bytes(*word)));
        let last = rest.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        self.number(last);
    }

    pub fn hash(self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}
