//! Coverage marks: named situations that a large run must reach. A mark that is not set means that
//! the run has not tested its situation.

/// Declares an enum `Mark`, a list `MARKS` of the marks' names in the same order, and a set `Marks`
/// of reached marks.
macro_rules! marks {
    ($($mark:ident = $name:literal,)*) => {
        #[allow(dead_code, reason = "some marks are set by position")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mark { $($mark),* }

        /// All marks' names, in the order of their bits.
        pub const MARKS: &[&str] = &[$($name),*];

        /// The marks that a run has reached, one bit each.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Marks(pub u128);

        impl Marks {
            /// Sets a mark if the condition holds.
            pub fn mark(&mut self, condition: bool, mark: Mark) {
                self.0 |= u128::from(condition) << mark as u8;
            }
        }

        const _: () = assert!(MARKS.len() <= 128);
    };
}
pub(crate) use marks;
