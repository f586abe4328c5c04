//! Configuration of faults in the simulated network.

use super::rng::Rng;

/// The faults that a [`World`](super::World)'s network injects automatically, at moments that the
/// seed determines. Methods of [`Client`](super::Client) inject stalls, half-closes and lost
/// connections manually.
///
/// ```
/// # mod roomer_tokio { pub use {roomer_engine::*, roomer_testkit as testkit}; }
/// use roomer_tokio::testkit::Faults;
///
/// // All faults that lose no data, and lost connections.
/// let mut faults = Faults::gentle();
/// faults.resets = true;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Faults {
    /// Bytes arrive split at arbitrary positions, or several messages arrive together.
    pub split: bool,
    /// Sockets accept few bytes at a time, and are sometimes full. Some calls are interrupted, and
    /// some sockets report that they are writable although they are not.
    pub short_writes: bool,
    /// Tasks are polled without having been woken, which the contract of futures permits.
    pub spurious_polls: bool,
    /// Clients stop reading for up to ten seconds.
    pub stalls: bool,
    /// Clients lose their connection, along with all data in flight. The server notices the loss
    /// immediately, later, or never.
    pub resets: bool,
    /// Clients close the sending direction, but keep receiving.
    pub half_closes: bool,
}

impl Faults {
    /// Creates a configuration without faults: data arrives whole, in an order that the seed
    /// determines.
    #[must_use]
    pub fn none() -> Self {
        Faults::default()
    }

    /// Creates a configuration with all faults that lose no data. Every guarantee of the server
    /// must hold under them. This is the default for [`World::new`](super::World::new).
    #[must_use]
    pub fn gentle() -> Self {
        Faults { split: true, short_writes: true, spurious_polls: true, ..Faults::default() }
    }

    /// Creates a configuration with all faults. Any client may lose its connection at any time.
    #[must_use]
    pub fn harsh() -> Self {
        Faults { stalls: true, resets: true, half_closes: true, ..Faults::gentle() }
    }

    /// Keeps a random subset of the enabled faults, chosen by the seed. Some faults hide the
    /// effects of others, so different subsets find more bugs over many seeds than all faults
    /// together.
    #[must_use]
    pub fn subset(mut self, seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x00fa_0175);
        for fault in [
            &mut self.split,
            &mut self.short_writes,
            &mut self.spurious_polls,
            &mut self.stalls,
            &mut self.resets,
            &mut self.half_closes,
        ] {
            // Draw for disabled faults too, so that the results for later faults do not depend on
            // them.
            *fault &= rng.chance(60);
        }
        self
    }
}
