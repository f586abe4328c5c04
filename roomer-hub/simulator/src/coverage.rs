//! Coverage marks: named situations that a large run must reach.
//!
//! If no run sets a mark, its situation is not tested.

/// Declares an enum `Mark` of situations, the list `MARKS` of their names in the same order, and
/// the set `Marks` of those that a run has reached.
macro_rules! marks {
    ($($mark:ident = $name:literal,)*) => {
        #[allow(dead_code, reason = "some marks are set by position")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mark { $($mark),* }

        /// The names of all marks, in the order of their bits.
        pub const MARKS: &[&str] = &[$($name),*];

        /// The marks that a run has reached: one bit per mark.
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
