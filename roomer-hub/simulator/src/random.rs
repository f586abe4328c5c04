//! Sources for the choices in a plan: a seed, or a fuzzer's bytes.

/// A source of random choices.
pub trait Source {
    /// Returns a number below `end`, which must not be 0.
    fn below(&mut self, end: u32) -> u32;

    /// Returns true if the source has no more choices to offer.
    fn is_exhausted(&self) -> bool {
        false
    }

    /// Returns true once in `times` cases, on average.
    fn one_in(&mut self, times: u32) -> bool {
        self.below(times) == times - 1
    }

    /// Returns one of the items.
    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u32) as usize]
    }
}

/// A generator (SplitMix64) that depends only on its seed: its numbers are equal on all platforms
/// and in all versions.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        // Without this, adjacent seeds would yield shifted copies of the same sequence.
        let mut first = Random(seed ^ 0x5bf0_3635_dca5_9c21);
        Random(first.next_u64())
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Source for Random {
    fn below(&mut self, end: u32) -> u32 {
        (((self.next_u64() >> 32) * u64::from(end)) >> 32) as u32
    }
}

/// A source that consumes a fuzzer's bytes: a small change in the bytes is a small change in the
/// plan. After the last byte, it yields zeros.
#[derive(Clone, Debug)]
pub struct ByteSource<'a>(pub &'a [u8]);

impl ByteSource<'_> {
    fn byte(&mut self) -> u32 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first.into()
    }
}

impl Source for ByteSource<'_> {
    fn below(&mut self, end: u32) -> u32 {
        let number = match end {
            ..=0x100 => self.byte(),
            _ => self.byte() | self.byte() << 8 | self.byte() << 16,
        };
        number % end
    }

    fn is_exhausted(&self) -> bool {
        self.0.is_empty()
    }
}
